"""A bare HTTP client for the endpoint's tests: shows what is on the wire, and nothing is tidied up."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from executionkit.testing import LocalEndpoint


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    body: Any


def payload(text: str = "hello there", **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": text}], **fields}


def ask(
    endpoint: LocalEndpoint,
    body: Any = None,
    *,
    method: str = "POST",
    path: str = "/chat/completions",
    headers: dict[str, str] | None = None,
) -> Answered:
    """One request on a connection of its own; a mapping is sent as JSON, bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(payload() if body is None else body).encode()
    connection = http.client.HTTPConnection(*address(endpoint), timeout=30)
    try:
        connection.request(method, f"/v1{path}", data if method == "POST" else None, headers or {})
        response = connection.getresponse()
        text = response.read()
        parsed = json.loads(text) if text else None
        return Answered(response.status, {k.lower(): v for k, v in response.headers.items()}, parsed)
    finally:
        connection.close()


def address(endpoint: LocalEndpoint) -> tuple[str, int]:
    url = urlsplit(endpoint.base_url)
    assert url.hostname == "127.0.0.1"
    assert url.port is not None
    return url.hostname, url.port


@contextlib.contextmanager
def connected(endpoint: LocalEndpoint) -> Iterator[socket.socket]:
    with socket.create_connection(address(endpoint), timeout=30) as sock:
        yield sock


def request_bytes(body: Any = None, *, close: bool = True, version: str = "1.1", extra: str = "") -> bytes:
    data = json.dumps(payload() if body is None else body).encode()
    head = f"POST /v1/chat/completions HTTP/{version}\r\nHost: x\r\nContent-Length: {len(data)}\r\n{extra}"
    return (head + ("Connection: close\r\n" if close else "") + "\r\n").encode() + data


def read_all(sock: socket.socket) -> bytes:
    """Everything until the server closes; a reset is raised as it comes."""
    return b"".join(iter(lambda: sock.recv(65536), b""))


def exchange(endpoint: LocalEndpoint, data: bytes) -> bytes:
    """Send bytes, and read until the server closes."""
    with connected(endpoint) as sock:
        sock.sendall(data)
        return read_all(sock)


def text_of(answered: Answered) -> str:
    assert answered.status == 200, answered
    return str(answered.body["choices"][0]["message"]["content"])
