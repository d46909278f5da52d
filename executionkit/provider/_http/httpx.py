"""The back end over a caller's own `AsyncClient` of httpx or httpx2."""

import importlib
from collections.abc import AsyncIterator
from contextlib import aclosing
from functools import cache, partial
from types import ModuleType
from typing import Any

from executionkit.provider._http.anyio import Body, NewestStream, fault_of, in_scope
from executionkit.provider._http.exchange import ExchangingTransport
from executionkit.provider._http.transport import (
    AsyncHTTPClient,
    Dispatch,
    Endpoint,
    Incoming,
    Reply,
    TransportError,
)


class ClientTransport(ExchangingTransport):
    """Posts through the client's public interface, with its hooks, limits and defaults; never closes it."""

    def __init__(self, library: ModuleType, endpoint: Endpoint, client: AsyncHTTPClient) -> None:
        super().__init__(endpoint)
        # Any: one of two modules of the same shape, neither of which need be installed.
        self._library: Any = library
        self._client: Any = client
        self._anyio: Any = importlib.import_module("anyio") if library.__name__ == "httpx" else None
        self._url = self._library.URL(endpoint.url)
        headers = [
            ("Host", endpoint.authority),
            *((name, value.reveal()) for name, value in endpoint.headers),
        ]
        self._headers = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        self._upload = _upload_type(library)
        # No limit on waiting for a connection: how many there are is for the client to say.
        self._timeout = self._library.Timeout(
            connect=endpoint.connect_timeout, read=endpoint.timeout, write=endpoint.timeout, pool=None
        )

    async def _exchange(self, body: bytes, dispatch: Dispatch, incoming: Incoming | None) -> Reply:
        attempt = partial(self._attempt, body, dispatch, incoming)
        return await (attempt() if self._anyio is None else in_scope(self._anyio, dispatch, attempt))

    async def _attempt(self, body: bytes, dispatch: Dispatch, incoming: Incoming | None) -> Reply:
        response = await self._send(body, dispatch)
        try:
            headers = {name.lower(): value for name, value in response.headers.items()}
            if not response.is_stream_consumed:
                async with aclosing(aiter(response.stream)) as parts:
                    return await self._receive(response.status_code, headers, parts, incoming)
            # A hook of the caller's client has read it, and so decoded it.
            headers.pop("content-encoding", None)
            if incoming is not None:
                incoming.begin(response.status_code, headers)
                incoming.feed(response.content)
            return Reply(response.status_code, headers, response.content)
        finally:
            await response.aclose()

    async def _send(self, body: bytes, dispatch: Dispatch) -> Any:
        newest = NewestStream()
        request = self._client.build_request(
            "POST",
            self._url,
            headers=[*self._headers, (b"Content-Length", b"%d" % len(body))],
            content=self._upload(body, dispatch),
            timeout=self._timeout,
            extensions={"trace": newest},
        )
        try:
            return await self._client.send(request, stream=True, follow_redirects=False)
        except BaseException:
            if not dispatch.sent:
                await newest.aclose()
            raise

    def _outcome(self, exc: Exception) -> Reply | TransportError:
        library = self._library
        if isinstance(exc, library.HTTPStatusError):
            # A hook of the caller's client called raise_for_status(): the status tells more than that it did.
            response: Any = exc
            return Reply(response.response.status_code, dict(response.response.headers), b"")
        return fault_of(exc, library, self._endpoint)

    async def _close(self) -> None:
        """Leave the client as it is."""


@cache
def _upload_type(library: Any) -> Any:
    """The request body as this library takes it."""

    class Upload(library.AsyncByteStream):  # type: ignore[misc]  # the base is known at run time only
        def __init__(self, body: bytes, dispatch: Dispatch) -> None:
            self._body = Body(body, dispatch)

        def __aiter__(self) -> AsyncIterator[bytes]:
            return self._body

    return Upload
