"""Find the model for the examples: at the endpoint that is set, or simulated here."""

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


def endpoint(
    simulated: Sequence[Reply] | Callable[[ChatRequest], Reply], role: str = ""
) -> Endpoint:
    """Return the endpoint of EXECUTIONKIT_BASE_URL, _MODEL and _API_KEY, or a simulated one.

    Args:
        simulated: The replies of the simulated model, in order, or a function that takes
            the request and returns the reply.
        role: The purpose of this endpoint, for programs with several. With "strong",
            EXECUTIONKIT_STRONG_MODEL and the like take precedence over EXECUTIONKIT_MODEL.
    """
    base_url = _setting("BASE_URL", role)
    if base_url:
        model = _setting("MODEL", role) or sys.exit(
            "EXECUTIONKIT_BASE_URL is set, EXECUTIONKIT_MODEL is not"
        )
        return Endpoint(base_url, model, _setting("API_KEY", role))
    print(
        f"({role or 'the model'} is simulated: "
        "EXECUTIONKIT_BASE_URL and _MODEL choose a real one)"
    )
    server = LocalEndpoint(simulated)
    server.start()
    atexit.register(server.close)
    return Endpoint(server.base_url, role or "simulated")


def _setting(name: str, role: str) -> str:
    shared = os.environ.get(f"EXECUTIONKIT_{name}", "")
    return os.environ.get(f"EXECUTIONKIT_{role.upper()}_{name}", shared) if role else shared
