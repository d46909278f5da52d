"""The test kit: a scripted provider for unit tests, and a local endpoint for tests over real HTTP.

`MockProvider` uses no network and no threads. `LocalEndpoint` is an OpenAI-compatible server on 127.0.0.1. It
fails on demand, and its ledger counts the requests that it served. Both need the standard library only.
"""

from executionkit._mock import MockCall, MockProvider, Reply, Responder, ScriptExhaustedError
from executionkit.testing._batch import run_batch
from executionkit.testing._endpoint import LocalEndpoint
from executionkit.testing._faults import Answer, Fault
from executionkit.testing._ledger import Ledger
from executionkit.testing._limits import Limits
from executionkit.testing._requests import ChatRequest
from executionkit.testing._service import Gate, Model
from executionkit.testing._tokens import count_prompt_tokens, count_tokens

__all__ = [
    "Answer",
    "ChatRequest",
    "Fault",
    "Gate",
    "Ledger",
    "Limits",
    "LocalEndpoint",
    "MockCall",
    "MockProvider",
    "Model",
    "Reply",
    "Responder",
    "ScriptExhaustedError",
    "count_prompt_tokens",
    "count_tokens",
    "run_batch",
]
