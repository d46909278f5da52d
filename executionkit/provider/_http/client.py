"""The back end over a caller's own httpx or httpx2 client."""

import asyncio
import importlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing, suppress
from functools import cache, lru_cache, partial
from types import ModuleType
from typing import Any, TypeVar

from executionkit._text import describe
from executionkit.provider._http.faults import TransportError
from executionkit.provider._http.httpx_exchange import HttpxExchange, NewestStream, Upload, Way
from executionkit.provider._http.incoming import Incoming
from executionkit.provider._http.transport import AsyncHTTPClient, Dispatch, Endpoint, Reply

T = TypeVar("T")


class ClientTransport(HttpxExchange):
    """Posts through a caller's own client, with its hooks, limits and defaults; never closes it."""

    _failed = "the http_client failed"

    def __init__(self, library: ModuleType, endpoint: Endpoint, client: AsyncHTTPClient) -> None:
        super().__init__(library, endpoint)
        self._client: Any = client
        self._anyio: Any = importlib.import_module("anyio") if library.__name__ == "httpx" else None

    async def _exchange(
        self,
        endpoint: Endpoint,  # noqa: ARG002 - the interface has it
        way: Way,
        body: bytes,
        dispatch: Dispatch,
        incoming: Incoming | None,
    ) -> Reply:
        attempt = partial(self._attempt, way, body, dispatch, incoming)
        return await (attempt() if self._anyio is None else _in_scope(self._anyio, dispatch, attempt))

    async def _attempt(self, way: Way, body: bytes, dispatch: Dispatch, incoming: Incoming | None) -> Reply:
        response = await self._send(way, body, dispatch)
        try:
            if not response.is_stream_consumed:
                headers = {name.lower(): value for name, value in response.headers.items()}
                async with aclosing(aiter(response.stream)) as parts:
                    return await self._receive(response.status_code, headers, parts, incoming)
            reply = self._read_by_a_hook(response)
            if incoming is not None:
                incoming.begin(reply.status, reply.headers)
                incoming.feed(reply.body)
            return reply
        finally:
            await response.aclose()

    @staticmethod
    def _read_by_a_hook(response: Any) -> Reply:
        """A reply that a hook of the client has read, and so decoded."""
        headers = {name.lower(): value for name, value in response.headers.items()}
        headers.pop("content-encoding", None)
        return Reply(response.status_code, headers, response.content)

    async def _send(self, way: Way, body: bytes, dispatch: Dispatch) -> Any:
        trace = _Trace()
        request = self._client.build_request(
            "POST",
            way.url,
            headers=way.headers_for(body),
            content=body,
            # The client's own parameters would take the place of the URL's.
            params=way.url.params if getattr(self._client, "params", None) else None,
            # No limit on waiting for a connection: how many there are is for the client to say.
            timeout=self._library.Timeout(**way.timeouts[True], pool=None),
            extensions={"trace": trace},
        )
        request.stream = _stream_type(self._library)(body, dispatch)
        # The client makes the request, so its class can be changed only afterwards.
        kind: Any = type(request)
        request.__class__ = _watched_type(kind)
        try:
            return await self._client.send(request, stream=True, follow_redirects=False)
        except BaseException as exc:
            if not dispatch.sent:
                await trace.aclose()
                dispatch.sent = self._may_have_left(request, trace, exc)
            if not isinstance(exc, self._library.TransportError) or _is_about_ours(exc):
                raise
            # A hook or an auth flow has made a request of its own, for a token for instance.
            failure = TransportError(f"{self._failed} ({describe(exc)})")
        raise failure

    def _may_have_left(self, request: Any, trace: "_Trace", exc: BaseException) -> bool:
        """Whether code that read the content of a request, and not its stream, may have sent it.

        It was a hook if no connection came about, or if the client's core has not begun to send a body. A
        transport of another kind tells nothing of what it does.
        """
        library = self._library
        unconnected = (library.ConnectError, library.ConnectTimeout, library.PoolTimeout)
        if not request.was_read or request.stream.was_used or isinstance(exc, unconnected):
            return False
        return trace.is_sending or not trace.is_heard

    def _outcome(self, exc: Exception, endpoint: Endpoint) -> Reply | TransportError:
        if isinstance(exc, self._library.HTTPStatusError) and _is_about_ours(exc):
            # A hook of the client called raise_for_status(). The status tells more than that.
            failure: Any = exc
            with suppress(self._library.ResponseNotRead):
                return self._read_by_a_hook(failure.response)
            return Reply(failure.response.status_code, dict(failure.response.headers), b"")
        if not isinstance(exc, self._library.TransportError):
            return TransportError(f"{self._failed} ({describe(exc)})")
        return super()._outcome(exc, endpoint)

    async def _close(self) -> None:
        """Leave the client as it is."""


def _is_about_ours(exc: Any) -> bool:
    """Whether an exception of the library's is about our request."""
    try:
        return hasattr(exc.request, "was_read")
    except RuntimeError:  # it names none
        return False


class _Trace(NewestStream):
    """The same `trace` extension, which also notes how far the client's core has come."""

    is_heard = False
    is_sending = False

    async def __call__(self, event: str, info: dict[str, Any]) -> None:
        self.is_heard = True
        if event.endswith(".send_request_body.started"):
            self.is_sending |= info["request"].method != b"CONNECT"  # that one is for the proxy
        await super().__call__(event, info)


@cache
def _stream_type(library: Any) -> Any:
    """The body as a caller's client takes it."""

    class Stream(library.ByteStream):  # type: ignore[misc]  # the base is known at run time only
        """The body, any number of times: the client may have to send it again."""

        was_used = False

        def __init__(self, body: bytes, dispatch: Dispatch) -> None:
            super().__init__(body)
            self._body = body
            self._dispatch = dispatch

        def __aiter__(self) -> Upload:
            self.was_used = True
            return Upload(self._body, self._dispatch)

        def __iter__(self) -> Iterator[bytes]:
            self._dispatch.sent = True
            yield self._body

    return Stream


@lru_cache(maxsize=16)
def _watched_type(kind: Any) -> Any:
    """A kind of request that notes that its content was read, by a hook or by a transport of another kind."""

    class Watched(kind):  # type: ignore[misc]  # the base is known at run time only
        was_read = False

        @property
        def content(self) -> bytes:
            self.was_read = True
            return bytes(super().content)

        def read(self) -> bytes:
            self.was_read = True
            return bytes(super().read())

        async def aread(self) -> bytes:
            self.was_read = True
            return bytes(await super().aread())

        def __reduce__(self) -> tuple[Any, ...]:
            # A copy is one of the kind that the client knows; a pickle could not name this class.
            return object.__new__, (kind,), self.__getstate__()

    Watched.__name__, Watched.__qualname__ = kind.__name__, kind.__qualname__
    return Watched


async def _in_scope(anyio: Any, dispatch: Dispatch, run: Callable[[], Awaitable[T]]) -> T:
    """Run in a task of its own, and cancel that task by a cancel scope.

    httpx, unlike httpx2, loses connections when asyncio cancels it at the wrong moment. It is prepared for
    the cancel scopes of anyio, which comes with it.
    """
    scope = anyio.CancelScope()

    async def scoped() -> T:
        with scope:
            return await run()
        raise asyncio.CancelledError  # the scope has swallowed it

    task = asyncio.ensure_future(scoped())
    # Where it fails in the moment in which it is cancelled, nobody asks why, and asyncio would log that.
    task.add_done_callback(lambda task: task.cancelled() or task.exception())
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        dispatch.called_off = True
        scope.cancel()
        await asyncio.wait([task])
        raise
