"""The choice among the back ends; each is loaded when it is first used."""

import importlib
from types import ModuleType
from typing import Literal, TypeAlias

from executionkit.provider._http.transport import AsyncHTTPClient, Endpoint, Transport

Backend: TypeAlias = Literal["auto", "httpx2", "httpx", "aiohttp", "stdlib"]
"""The HTTP libraries a Provider can use; "auto" takes the first of the others that is installed."""

_LIBRARIES = ("httpx2", "httpx", "aiohttp")


def open_transport(endpoint: Endpoint, backend: Backend, client: AsyncHTTPClient | None) -> Transport:
    """Make a transport on the chosen back end, or on the caller's client when there is one.

    Raises:
        ImportError: The chosen library is not installed.
        OSError: The CA bundle named by the environment can't be read.
        ValueError: The back end can't use the proxy named by the environment, or can't send a header.
    """
    if client is not None:
        from executionkit.provider._http.httpx import ClientTransport

        return ClientTransport(_library_of(client), endpoint, client)
    library = _library(backend)
    if library is None:
        from executionkit.provider._http.stdlib import StdlibTransport

        return StdlibTransport(endpoint)
    if library.__name__ == "aiohttp":
        from executionkit.provider._http.aiohttp import AiohttpTransport

        return AiohttpTransport(endpoint)
    from executionkit.provider._http.httpcore import HttpcoreTransport

    return HttpcoreTransport(library, endpoint)


def _library(backend: Backend) -> ModuleType | None:
    if backend != "auto":
        return None if backend == "stdlib" else importlib.import_module(backend)
    for name in _LIBRARIES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    return None


def _library_of(client: AsyncHTTPClient) -> ModuleType:
    # By the class it descends from, so that a subclass defined elsewhere is recognised.
    roots = {cls.__module__.partition(".")[0] for cls in type(client).__mro__}
    return importlib.import_module("httpx2" if "httpx2" in roots else "httpx")
