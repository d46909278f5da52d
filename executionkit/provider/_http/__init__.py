"""Bytes to an endpoint and back; nothing here knows of chat."""
