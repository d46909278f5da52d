"""The test kit that ships with the library: a scripted provider, and a local endpoint to test over real HTTP.

`MockProvider` is for unit tests: no network, no threads. `LocalEndpoint` is an OpenAI-compatible server on
127.0.0.1 with faults on demand and a ledger of what it served, for whatever should be tested with the real
client. Neither needs anything but the standard library.
"""

from executionkit._mock import MockCall, MockProvider, Reply, Responder, ScriptExhaustedError
from executionkit.testing._endpoint import LocalEndpoint
from executionkit.testing._faults import Answer, Fault
from executionkit.testing._gate import Gate
from executionkit.testing._ledger import Ledger
from executionkit.testing._requests import ChatRequest
from executionkit.testing._service import Model
from executionkit.testing._tokens import count_prompt_tokens, count_tokens

__all__ = [
    "Answer",
    "ChatRequest",
    "Fault",
    "Gate",
    "Ledger",
    "LocalEndpoint",
    "MockCall",
    "MockProvider",
    "Model",
    "Reply",
    "Responder",
    "ScriptExhaustedError",
    "count_prompt_tokens",
    "count_tokens",
]
