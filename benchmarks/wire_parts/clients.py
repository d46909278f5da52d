"""The clients that `wire.py` compares, each as its users would write it."""

import asyncio
import http.client
import importlib
import importlib.util
import json
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from executionkit import Provider

KEY = "sk-0123456789abcdef"
MODEL = "bench-model"
Messages = list[dict[str, Any]]


class Client(Protocol):
    """Makes calls against one server."""

    async def __call__(self, messages: Messages) -> str:
        """Ask for a completion; its text."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class Contender(NamedTuple):
    """One line of a table.

    Attributes:
        name: How the line is called.
        needs: The packages it needs.
        make: Makes the client, for a base URL.
    """

    name: str
    needs: tuple[str, ...]
    make: Callable[[str], Client]

    @property
    def is_there(self) -> bool:
        """Whether what it needs is installed."""
        return all(importlib.util.find_spec(name) for name in self.needs)


def body(messages: Messages) -> dict[str, Any]:
    """What every client sends."""
    return {"model": MODEL, "messages": messages, "temperature": 0.7, "max_tokens": 4096}


def text(reply: Any) -> str:
    """The text of a parsed reply."""
    content: str = reply["choices"][0]["message"]["content"]
    return content


class Aiohttp:
    """A `ClientSession` without the limit of 100 connections."""

    def __init__(self, base_url: str) -> None:
        aiohttp = importlib.import_module("aiohttp")
        self._url = f"{base_url}/chat/completions"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), headers={"Authorization": f"Bearer {KEY}"}
        )

    async def __call__(self, messages: Messages) -> str:
        async with self._session.post(self._url, json=body(messages)) as response:
            return text(await response.json())

    async def close(self) -> None:
        await self._session.close()


class Httpx:
    """An `AsyncClient` of httpx or httpx2 as it comes."""

    def __init__(self, base_url: str, library: str) -> None:
        self._url = f"{base_url}/chat/completions"
        self._client = importlib.import_module(library).AsyncClient(
            headers={"Authorization": f"Bearer {KEY}"}
        )

    async def __call__(self, messages: Messages) -> str:
        response = await self._client.post(self._url, json=body(messages))
        return text(response.json())

    async def close(self) -> None:
        await self._client.aclose()


class Threads:
    """http.client in a pool of threads, each with a connection that is kept alive."""

    def __init__(self, base_url: str) -> None:
        parts = urlsplit(base_url)
        self._place = parts.hostname or "", parts.port
        self._path = f"{parts.path}/chat/completions"
        self._pool = ThreadPoolExecutor(500)
        self._local = threading.local()
        self._connections: list[http.client.HTTPConnection] = []

    async def __call__(self, messages: Messages) -> str:
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._post, messages)

    def _post(self, messages: Messages) -> str:
        connection: http.client.HTTPConnection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = http.client.HTTPConnection(*self._place)
            self._connections.append(connection)
        headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
        connection.request("POST", self._path, json.dumps(body(messages)).encode(), headers)
        return text(json.loads(connection.getresponse().read()))

    async def close(self) -> None:
        self._pool.shutdown()
        for connection in self._connections:
            connection.close()


class OpenAI:
    """OpenAI's SDK, on its own httpx client or on aiohttp."""

    def __init__(self, base_url: str, *, aiohttp: bool) -> None:
        openai = importlib.import_module("openai")
        self._client = openai.AsyncOpenAI(
            api_key=KEY,
            base_url=base_url,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient() if aiohttp else None,
        )

    async def __call__(self, messages: Messages) -> str:
        reply = await self._client.chat.completions.create(**body(messages))
        content: str = reply.choices[0].message.content
        return content

    async def close(self) -> None:
        await self._client.close()


class Ours:
    """`Provider` on one of its back ends."""

    def __init__(self, base_url: str, backend: Any) -> None:
        self._provider = Provider(base_url, MODEL, KEY, backend=backend)

    async def __call__(self, messages: Messages) -> str:
        return (await self._provider.complete(messages)).content

    async def close(self) -> None:
        await self._provider.aclose()


def _ours(backend: str) -> Contender:
    needs = () if backend == "stdlib" else (backend,)
    return Contender(f"Provider, {backend}", needs, lambda url: Ours(url, backend))


OURS = {backend: _ours(backend) for backend in ("aiohttp", "httpx", "httpx2", "stdlib")}
RAW = {
    "aiohttp": Contender("aiohttp", ("aiohttp",), Aiohttp),
    "httpx": Contender("httpx", ("httpx",), lambda url: Httpx(url, "httpx")),
    "httpx2": Contender("httpx2", ("httpx2",), lambda url: Httpx(url, "httpx2")),
    "stdlib": Contender("http.client in threads", (), Threads),
}
SDK = {
    "default": Contender("OpenAI's SDK", ("openai",), lambda url: OpenAI(url, aiohttp=False)),
    "aiohttp": Contender(
        "OpenAI's SDK over aiohttp", ("openai", "httpx_aiohttp"), lambda url: OpenAI(url, aiohttp=True)
    ),
}
ALL = [*RAW.values(), *SDK.values(), *OURS.values()]

Call = Callable[[], Awaitable[object]]
