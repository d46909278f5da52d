"""Where the examples' model is: the endpoint named by the environment, or a simulated one on this machine."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from executionkit import LLMResponse, Provider
from executionkit.testing import ChatRequest, Fault, LocalEndpoint


@contextmanager
def open_provider(
    simulated: list[str] | Callable[[ChatRequest], str | LLMResponse | Fault],
) -> Iterator[Provider]:
    """Give a provider for EXECUTIONKIT_BASE_URL, _MODEL and _API_KEY, else for the simulated model.

    Args:
        simulated: What the simulated model replies, in order; or a function from request to reply.
    """
    base_url = os.environ.get("EXECUTIONKIT_BASE_URL")
    if base_url:
        yield Provider(base_url, os.environ["EXECUTIONKIT_MODEL"], os.environ.get("EXECUTIONKIT_API_KEY", ""))
        return
    print("(a simulated model: set EXECUTIONKIT_BASE_URL and EXECUTIONKIT_MODEL to ask a real one)")
    with LocalEndpoint(simulated) as endpoint:
        yield Provider(endpoint.base_url, "simulated")
