"""Batch files: their lines, and the requests that wait for a reply."""
