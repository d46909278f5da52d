"""Which HTTP library "auto" takes, and a library that is too old or not as expected."""

import importlib
import re
import sys
import warnings
from importlib import metadata
from typing import Any

import pytest
from loopback import BACKENDS, USER, MakeProvider, Server

from executionkit import PermanentError, Provider
from executionkit.provider._http import backends

LIBRARIES = [name for name in ("httpx2", "httpx", "aiohttp") if name in BACKENDS]
"""In the order in which "auto" takes them."""


async def chosen(server: Server) -> str:
    """What "auto" takes here."""
    async with Provider(server.url, "m") as provider:
        await provider.complete(USER)
        library = getattr(await provider._session._transports.get(), "_library", None)
        return "stdlib" if library is None else str(library.__name__).replace("httpcore", "httpx")


def make_old(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    backends._warn_once.cache_clear()
    for name in names:
        monkeypatch.setattr(importlib.import_module(name), "__version__", "0.1.2")


async def test_auto_takes_the_first_that_is_installed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in LIBRARIES:
        assert await chosen(server) == name
        monkeypatch.setitem(sys.modules, name, None)
    assert await chosen(server) == "stdlib"


@pytest.mark.skipif(not LIBRARIES, reason="there is no library")
async def test_auto_passes_over_what_is_too_old_and_warns_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, *others = LIBRARIES
    make_old(monkeypatch, first)
    instead = others[0] if others else "the standard library"
    lowest = backends.LOWEST[first]
    text = f"{first} 0.1.2 is too old: executionkit needs {first}>={lowest}. Using {instead} instead."
    with pytest.warns(UserWarning, match=f"^{re.escape(text)}$"):
        assert await chosen(server) == (others[0] if others else "stdlib")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        await chosen(server)


async def test_auto_takes_the_standard_library_when_all_others_are_too_old(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_old(monkeypatch, *LIBRARIES)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert await chosen(server) == "stdlib"
    assert len(caught) == len(LIBRARIES)
    assert all(str(one.message).endswith("Using the standard library instead.") for one in caught)


@pytest.mark.parametrize("name", LIBRARIES)
async def test_a_library_that_was_asked_for_and_is_too_old(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: Any
) -> None:
    make_old(monkeypatch, name)
    async with Provider(server.url, "m", backend=name) as provider:
        with pytest.raises(PermanentError, match=f"ImportError: {name} 0.1.2 is too old: .* needs {name}>="):
            await provider.complete(USER)
    assert not server.connections


def test_the_lowest_versions_are_those_of_the_extras() -> None:
    wanted = [one for one in metadata.requires("executionkit") or [] if "extra ==" in one]
    for name, lowest in backends.LOWEST.items():
        (bound,) = {one.partition(";")[0].strip() for one in wanted if re.match(rf"{name}[>=]", one)} - {name}
        assert bound == f"{name}>={lowest}"


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name.startswith("httpx")])
async def test_where_h11s_state_is_not_found_connections_are_kept(
    server: Server, make: MakeProvider, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    core = importlib.import_module({"httpx": "httpcore", "httpx2": "httpcore2"}[backend])
    connection = vars(core)["AsyncHTTP11Connection"]
    told: list[str] = []

    def hide(self: Any, name: str) -> Any:
        if name == "_h11_state" and "executionkit" in sys._getframe(1).f_code.co_filename:
            told.append(name)
            raise AttributeError(name)
        return object.__getattribute__(self, name)

    monkeypatch.setattr(connection, "__getattribute__", hide)
    async with make() as provider:
        for _ in range(3):
            assert (await provider.complete(USER)).content == "hi"
    assert len(told) == 3
    assert server.connections == 1
