"""The network of httpx's core: a request leaves in one piece."""

import importlib
from typing import Any

import pytest
from loopback import BACKENDS

from executionkit.provider._http.httpx_network import network_of

CORES = {"httpx": "httpcore", "httpx2": "httpcore2"}


class Recording:
    """A connection of the core's, as far as it is used."""

    def __init__(self) -> None:
        self.done: list[bytes | str] = []

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.done.append(buffer)

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        self.done.append("read")
        return b"reply"


@pytest.fixture(params=[name for name in BACKENDS if name in CORES])
def core(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(CORES[request.param])


CONVERSATIONS: list[tuple[list[bytes | str], list[bytes | str]]] = [
    ([b"head", b"body", b"", "read", "read"], [b"headbody", "read", "read"]),
    ([b"head", b"one", b"two", b"", "read"], [b"headone", b"two", "read"]),
    ([b"CONNECT", b"", "read", b"hello", "read"], [b"CONNECT", "read", b"hello", "read"]),
    ([b"head", b"body", "read", b"head", b"body", "read"], [b"headbody", "read", b"headbody", "read"]),
]


@pytest.mark.parametrize(("asked", "done"), CONVERSATIONS)
async def test_the_head_leaves_with_what_follows(
    core: Any, monkeypatch: pytest.MonkeyPatch, asked: list[bytes | str], done: list[bytes | str]
) -> None:
    beneath = Recording()

    async def connect(*_: Any, **__: Any) -> Recording:
        return beneath

    monkeypatch.setattr(core.AnyIOBackend, "connect_tcp", connect)
    stream = await network_of(core).connect_tcp("host", 80)
    for step in asked:
        assert await (stream.read(9) if isinstance(step, str) else stream.write(step)) in (None, b"reply")
    assert beneath.done == done
