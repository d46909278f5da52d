"""Where the examples' model is: at the endpoint that the environment names, or simulated on this machine."""

import atexit
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from executionkit import LLMResponse
from executionkit.testing import ChatRequest, Fault, LocalEndpoint

Reply: TypeAlias = str | LLMResponse | Fault


class Endpoint(NamedTuple):
    """The first three settings of a `Provider`."""

    base_url: str
    model: str
    api_key: str = ""


def endpoint(simulated: Sequence[Reply] | Callable[[ChatRequest], Reply], role: str = "") -> Endpoint:
    """The endpoint of EXECUTIONKIT_BASE_URL, EXECUTIONKIT_MODEL and EXECUTIONKIT_API_KEY, or a simulated one.

    Args:
        simulated: What the simulated model replies, in order, or a function from request to reply.
        role: What this endpoint is for, where a program has several: "strong" takes
            EXECUTIONKIT_STRONG_MODEL and so on before EXECUTIONKIT_MODEL.
    """
    base_url = _setting("BASE_URL", role)
    if base_url:
        model = _setting("MODEL", role) or sys.exit("EXECUTIONKIT_BASE_URL is set, EXECUTIONKIT_MODEL is not")
        return Endpoint(base_url, model, _setting("API_KEY", role))
    print(f"({role or 'the model'} is simulated: EXECUTIONKIT_BASE_URL and _MODEL choose a real one)")
    server = LocalEndpoint(simulated)
    server.start()
    atexit.register(server.close)
    return Endpoint(server.base_url, role or "simulated")


def _setting(name: str, role: str) -> str:
    shared = os.environ.get(f"EXECUTIONKIT_{name}", "")
    return os.environ.get(f"EXECUTIONKIT_{role.upper()}_{name}", shared) if role else shared
