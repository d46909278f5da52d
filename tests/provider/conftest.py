"""Fixtures of the provider's tests: the loopback server, and a Provider for it on each back end there is."""

from collections.abc import Iterator
from typing import Any

import pytest
from loopback import BACKENDS, MakeProvider, Server, serving

from executionkit.provider import Provider

PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _direct(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(server: Server, backend: str) -> MakeProvider:
    def make(**settings: Any) -> Provider:
        given = {"base_url": server.url, "model": "m", "backend": backend, "timeout": 30.0, **settings}
        return Provider(**given)

    return make
