"""The choice among the back ends; each is loaded when it is first used."""

import importlib
import re
import warnings
from functools import cache
from types import ModuleType
from typing import Literal, TypeAlias

from executionkit.provider._http.transport import AsyncHTTPClient, Endpoint, Transport

Backend: TypeAlias = Literal["auto", "httpx2", "httpx", "aiohttp", "stdlib"]
"""The HTTP libraries a Provider can use; "auto" takes the first of the others that is installed."""

LOWEST = {"httpx2": "2", "httpx": "0.27", "aiohttp": "3.12.6"}
"""The lowest version of each library that serves, in the order in which "auto" tries them."""


def open_transport(endpoint: Endpoint, backend: Backend, client: AsyncHTTPClient | None) -> Transport:
    """Make a transport on the chosen back end, or on the caller's client when there is one.

    Raises:
        ImportError: The chosen library is not installed, or too old.
        OSError: The CA bundle named by the environment can't be read.
        ValueError: The back end can't use the proxy named by the environment, or can't send a header.
    """
    _load_for_errors()
    if client is not None:
        from executionkit.provider._http.client import ClientTransport

        return ClientTransport(_library_of(client), endpoint, client)
    library = _chosen() if backend == "auto" else None if backend == "stdlib" else _usable(backend)
    if library is None:
        from executionkit.provider._http.stdlib import StdlibTransport

        return StdlibTransport(endpoint)
    if library.__name__ == "aiohttp":
        from executionkit.provider._http.aiohttp import AiohttpTransport

        return AiohttpTransport(endpoint)
    from executionkit.provider._http.httpx import HttpxTransport

    return HttpxTransport(library, endpoint)


def _load_for_errors() -> None:
    """Load what the paths of errors use: later there may be no file descriptor left to load it with."""
    for name in ("datetime", "email.utils", "html", "http", "encodings.idna"):  # the last to look up a host
        importlib.import_module(name)


def _usable(name: str) -> ModuleType:
    library = importlib.import_module(name)
    if why := _too_old(library):
        raise ImportError(why)
    return library


def _too_old(library: ModuleType) -> str:
    """Why a library does not serve; empty where it does."""
    name, version = library.__name__, str(library.__version__)
    if _numbers(version) >= _numbers(LOWEST[name]):
        return ""
    return f"{name} {version} is too old: executionkit needs {name}>={LOWEST[name]}"


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:3]]


def _chosen() -> ModuleType | None:
    """The library that "auto" takes; None where only the standard library serves."""
    found = None
    complaints: list[str] = []
    for name in LOWEST:
        try:
            library = importlib.import_module(name)
        except ImportError:
            continue
        if why := _too_old(library):
            complaints.append(why)
        else:
            found = library
            break
    for why in complaints:
        _warn_once(f"{why}. Using {found.__name__ if found else 'the standard library'} instead.")
    return found


@cache
def _warn_once(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=2)


def _library_of(client: AsyncHTTPClient) -> ModuleType:
    # By the class it descends from, so that a subclass defined elsewhere is recognised.
    roots = {cls.__module__.partition(".")[0] for cls in type(client).__mro__}
    return _usable("httpx2" if "httpx2" in roots else "httpx")
