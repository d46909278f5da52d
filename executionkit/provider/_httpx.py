"""The back end over httpx or httpx2, whichever it is given: their interfaces are the same."""

import asyncio
import importlib
import ssl
from collections.abc import AsyncIterator
from contextlib import aclosing, nullcontext
from functools import cache
from types import ModuleType
from typing import Any

from executionkit.provider._network import proxy_for, trusting
from executionkit.provider._text import describe
from executionkit.provider._transport import (
    BROKEN,
    CLOSED,
    CONNECT,
    KEEP_ALIVE,
    SILENT,
    TOO_LARGE,
    AsyncHTTPClient,
    Dispatch,
    Endpoint,
    Incoming,
    Reply,
    TransportError,
)


class HttpxTransport:
    """Posts through an `AsyncHTTPTransport` of its own, or through a caller's `AsyncClient`.

    Its own is the transport without the client around it: no cookies are kept, nothing is logged, no
    redirect is followed, and nothing is merged anew for each request.
    """

    def __init__(self, library: ModuleType, endpoint: Endpoint, client: AsyncHTTPClient | None) -> None:
        # Any: one of two modules of the same shape, neither of which need be installed.
        self._library: Any = library
        self._client: Any = client
        self._endpoint = endpoint
        self._url = self._library.URL(endpoint.url)
        headers = [
            ("Host", endpoint.authority),
            *((name, value.reveal()) for name, value in endpoint.headers),
        ]
        self._headers = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        self._upload = _upload_type(library)
        # httpx (mended in httpx2) forgets connections when asyncio cancels it at the wrong moment. What it is
        # prepared for are the cancel scopes of anyio, which comes with it.
        self._scopes: Any = importlib.import_module("anyio") if library.__name__ == "httpx" else None
        # No limit on waiting for a connection: as many are made as there are requests.
        self._timeout = {
            "connect": endpoint.connect_timeout,
            "read": endpoint.timeout,
            "write": endpoint.timeout,
            "pool": None,
        }
        self._own: Any = self._open() if client is None else None

    def _open(self) -> Any:
        proxy = proxy_for(self._endpoint)
        # A bare context trusts nobody and costs nothing: it is for connections that never use it.
        bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        create = self._library.create_ssl_context
        return self._library.AsyncHTTPTransport(
            verify=trusting(create) if self._endpoint.scheme == "https" else bare,
            proxy=proxy
            and self._library.Proxy(
                proxy, ssl_context=trusting(create) if proxy.startswith("https:") else None
            ),
            # The number of requests at once is the caller's to limit; here a limit would only queue or fail.
            limits=self._library.Limits(
                max_connections=None, max_keepalive_connections=None, keepalive_expiry=KEEP_ALIVE
            ),
        )

    async def post(self, body: bytes, dispatch: Dispatch) -> Reply:
        """Post the body and read the whole reply."""
        try:
            if self._scopes is None:
                return await self._attempt(body, dispatch)
            return await self._attempt_in_scope(body, dispatch)
        except TransportError:
            raise
        except Exception as exc:  # noqa: BLE001  # whatever a library raises here, its own bugs included, is a fault
            outcome = self._outcome(exc)
        # Raised out here, so that the library's exception is not in the context: it holds the request.
        if isinstance(outcome, TransportError):
            raise outcome
        return outcome

    async def _attempt_in_scope(self, body: bytes, dispatch: Dispatch) -> Reply:
        """Attempt in a task of its own, so that cancelling ours reaches it through a cancel scope."""
        scope = self._scopes.CancelScope()

        async def run() -> Reply:
            with scope:
                return await self._attempt(body, dispatch)
            raise asyncio.CancelledError  # the scope has swallowed it

        task = asyncio.ensure_future(run())
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            dispatch.called_off = True
            scope.cancel()
            await asyncio.wait([task])
            raise

    async def _attempt(self, body: bytes, dispatch: Dispatch) -> Reply:
        response = await self._send(body, dispatch)
        try:
            return await self._read(response)
        finally:
            await response.aclose()

    def stream(self, body: bytes, dispatch: Dispatch) -> Incoming:
        """Post the body and hand the reply over while it arrives."""
        # A task of its own reads, because a library's streams have to be closed by the task that opened them.
        scope: Any = nullcontext() if self._scopes is None else self._scopes.CancelScope()

        def stop() -> None:
            dispatch.called_off = True
            if self._scopes is None:
                task.cancel()
            else:
                scope.cancel()

        incoming = Incoming(self._endpoint.max_bytes, stop)
        task = asyncio.ensure_future(self._forward(body, dispatch, incoming, scope))
        task.add_done_callback(lambda _: incoming.end(TransportError(CLOSED)))
        return incoming

    async def _forward(self, body: bytes, dispatch: Dispatch, incoming: Incoming, scope: Any) -> None:
        with scope:
            outcome: Reply | TransportError | None = None
            try:
                response = await self._send(body, dispatch)
                try:
                    await self._hand_on(response, incoming)
                finally:
                    await response.aclose()
            except TransportError as fault:
                outcome = fault
            except Exception as exc:  # noqa: BLE001  # as in `post`
                outcome = self._outcome(exc)
            if isinstance(outcome, Reply):
                incoming.begin(outcome.status, outcome.headers)
                outcome = None
            incoming.end(outcome)

    async def _hand_on(self, response: Any, incoming: Incoming) -> None:
        if response.is_stream_consumed:
            reply = await self._read(response)
            incoming.begin(reply.status, reply.headers)
            incoming.feed(reply.body)
            return
        incoming.begin(
            response.status_code, {name.lower(): value for name, value in response.headers.items()}
        )
        async with aclosing(aiter(response.stream)) as stream:
            async for part in stream:
                incoming.feed(part)

    async def _send(self, body: bytes, dispatch: Dispatch) -> Any:
        extensions: dict[str, Any] = {"timeout": self._timeout}
        if self._endpoint.scheme == "http":
            return await self._request(body, dispatch, extensions)
        newest = extensions["trace"] = _NewestStream()
        try:
            return await self._request(body, dispatch, extensions)
        except BaseException:
            if not dispatch.sent:
                await newest.aclose()
            raise

    async def _request(self, body: bytes, dispatch: Dispatch, extensions: dict[str, Any]) -> Any:
        headers = [*self._headers, (b"Content-Length", b"%d" % len(body))]
        upload = self._upload(body, dispatch)
        if self._own is not None:
            request = self._library.Request(
                "POST", self._url, headers=headers, stream=upload, extensions=extensions
            )
            return await self._own.handle_async_request(request)
        timeout = self._library.Timeout(**self._timeout)
        request = self._client.build_request(
            "POST", self._url, headers=headers, content=upload, timeout=timeout, extensions=extensions
        )
        return await self._client.send(request, stream=True, follow_redirects=False)

    async def _read(self, response: Any) -> Reply:
        headers = {name.lower(): value for name, value in response.headers.items()}
        limit = self._endpoint.max_bytes
        if response.is_stream_consumed:
            # A hook of the caller's client has read it, and so decoded it.
            headers.pop("content-encoding", None)
            return Reply(response.status_code, headers, response.content)
        declared = headers.get("content-length", "")
        if declared.isdecimal() and int(declared) > limit:
            raise TransportError(TOO_LARGE.format(limit))
        parts: list[bytes] = []
        size = 0
        async with aclosing(aiter(response.stream)) as stream:
            async for part in stream:
                parts.append(part)
                size += len(part)
                if size > limit:
                    raise TransportError(TOO_LARGE.format(limit))
        return Reply(response.status_code, headers, b"".join(parts))

    def _outcome(self, exc: Any) -> "Reply | TransportError":
        library = self._library
        if isinstance(exc, library.HTTPStatusError):
            # A hook of the caller's client called raise_for_status(): the status tells more than that it did.
            return Reply(exc.response.status_code, dict(exc.response.headers), b"")
        if isinstance(exc, (library.ConnectError, library.ConnectTimeout, library.ProxyError)):
            return TransportError(f"{CONNECT} ({describe(exc)})")
        if isinstance(exc, (library.ReadTimeout, library.WriteTimeout)):
            return TransportError(SILENT.format(self._endpoint.timeout))
        return TransportError(f"{BROKEN} ({describe(exc)})")

    async def aclose(self) -> None:
        """Close the connections; a caller's client is left as it is."""
        if self._own is not None:
            await self._own.aclose()


class _NewestStream:
    """Knows, as a `trace` extension, the stream of the connection that is being made for a request.

    A request that is cancelled during the TLS handshake leaves its socket open: nobody but the trace has it.
    """

    def __init__(self) -> None:
        self._stream: Any = None

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            self._stream = info["return_value"]

    async def aclose(self) -> None:
        """Close it; it doesn't matter if that was done already."""
        if self._stream is not None:
            await self._stream.aclose()


@cache
def _upload_type(library: Any) -> Any:
    """The request body as this library takes it."""

    class Upload(library.AsyncByteStream):  # type: ignore[misc]  # the base is known at run time only
        def __init__(self, body: bytes, dispatch: Dispatch) -> None:
            self._body = body
            self._dispatch = dispatch

        def __aiter__(self) -> AsyncIterator[bytes]:
            return _Once(self._body, self._dispatch)

    return Upload


class _Once:
    """Yields the body, noting that it leaves.

    The headers are out when the body is asked for, and it is written at once (older anyio lets other tasks
    run first: a request cancelled in just that moment counts as sent although its body was not).
    An object and not an async generator, because an abandoned generator leaves a task behind to close it.
    """

    def __init__(self, body: bytes, dispatch: Dispatch) -> None:
        self._body: bytes | None = body
        self._dispatch = dispatch

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        body, self._body = self._body, None
        if body is None:
            raise StopAsyncIteration
        if self._dispatch.called_off:
            raise asyncio.CancelledError
        self._dispatch.sent = True
        return body
