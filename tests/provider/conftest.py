"""Fixtures of the provider's tests: the loopback server, and a Provider for it on each back end there is."""

import ssl
from collections.abc import Iterator
from pathlib import Path
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


def _maker(server: Server, backend: str) -> MakeProvider:
    def make(**settings: Any) -> Provider:
        given = {"base_url": server.url, "model": "m", "backend": backend, "timeout": 30.0, **settings}
        return Provider(**given)

    return make


@pytest.fixture
def make(server: Server, backend: str) -> MakeProvider:
    """For what depends on the bytes: on each back end."""
    return _maker(server, backend)


@pytest.fixture
def make_one(server: Server) -> MakeProvider:
    """For what is done with the bytes: on one back end, since all hand on the same."""
    return _maker(server, BACKENDS[0])


@pytest.fixture(scope="session")
def authority() -> Any:
    """A certificate authority of our own."""
    return pytest.importorskip("trustme").CA()


@pytest.fixture
def ca_file(authority: Any, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def secure(authority: Any) -> Iterator[Server]:
    """A server over TLS; `ca_file` is what to trust."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    with serving(context) as running:
        yield running
