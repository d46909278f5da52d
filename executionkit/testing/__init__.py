"""The test kit: a scripted provider for unit tests."""

from executionkit._mock import MockCall, MockProvider, Reply, Responder, ScriptExhaustedError

__all__ = ["MockCall", "MockProvider", "Reply", "Responder", "ScriptExhaustedError"]
