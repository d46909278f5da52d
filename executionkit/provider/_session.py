"""`Session`: the way of a call, from its arguments to its response; and the start of a stream."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from executionkit._prompt import bytes_of_request
from executionkit._secrets import Secret
from executionkit._text import describe
from executionkit.errors import LLMError, PermanentError, ProviderError, mark_not_dispatched
from executionkit.provider._failures import Reporter
from executionkit.provider._http.backends import Backend, open_transport
from executionkit.provider._http.faults import OverrunError, TransportError
from executionkit.provider._http.transport import AsyncHTTPClient, Dispatch, Endpoint, Transport
from executionkit.provider._options import Way, apart, has_header, with_headers
from executionkit.provider._per_loop import PerLoop
from executionkit.provider._reply import interpret
from executionkit.provider._request import Arguments, Form, choices_asked, compose
from executionkit.provider._settings import Limits, secret
from executionkit.provider._stream import Outgoing, ProviderStream
from executionkit.responses import LLMResponse
from executionkit.streaming import ReplyStream

_REFUSED = (400, 404, 405, 422, 501)
"""The statuses under which a server refuses what it can't do."""

_NO_STREAMS = (
    "stream_always asks for a stream. A server that can't stream needs stream_always=False; one that refuses "
    "stream_options needs omit={'stream_options'}."
)


class _Kind(NamedTuple):
    """How a reply is asked for, and by which method of the provider."""

    method: str
    is_streamed: bool


_WHOLE = _Kind("complete", is_streamed=False)
_COLLECTED = _Kind("complete", is_streamed=True)
_STREAMED = _Kind("stream", is_streamed=True)


class Session:
    """Carries out the calls of one provider, over connections of its own in each event loop.

    Args:
        endpoint: Where requests go.
        form: How their bodies are written.
        limits: How long a call may take, and how much its reply may bring.
        report: Writes the errors.
        backend: The HTTP library.
        client: The user's own client, used instead of one of ours.
        ask_key: Gives the API key of each request; None where it is fixed.
        lost: The settings that a pickle has left out; no call is made without them.
        streams_always: Whether whole replies are asked for as streams as well.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        form: Form,
        limits: Limits,
        report: Reporter,
        backend: Backend,
        client: AsyncHTTPClient | None,
        ask_key: Callable[[], str | Awaitable[str]] | None,
        lost: list[str],
        *,
        streams_always: bool,
    ) -> None:
        self._form = form
        self._way = Way(endpoint, limits, report)
        self._report = report
        self._ask_key = ask_key
        self._lost = lost
        self._streams_always = streams_always
        self._transports: PerLoop[Transport] = PerLoop(partial(open_transport, endpoint, backend, client))

    async def complete(self, call: Arguments) -> LLMResponse:
        """Send one request and return the reply; the errors are those of `Provider.complete`."""
        if self._streams_always:
            return await self._collected(call)
        dispatch = Dispatch()
        try:
            outgoing = await self._prepare(call, _WHOLE)
            transport = self._transports.held() or await self._connect()
            outcome = await self._post(transport, outgoing, dispatch)
            if isinstance(outcome, LLMError) and outcome.status_code == 401:
                again = await outgoing.renewed()
                if again is not None:
                    outcome = await self._post(await self._connect(), again, dispatch)
        except BaseException as exc:
            if not dispatch.sent:
                mark_not_dispatched(exc)
            raise
        if isinstance(outcome, LLMError):
            # Raised outside of every `except`, because the exceptions of HTTP libraries hold the headers.
            raise outcome
        return outcome

    def body(self, call: Arguments) -> bytes:
        """The body with which `complete` asks for a whole reply."""
        plain, _ = apart(call, self._way, self._form.max_tokens_field, streamed=False)
        return compose(self._form, plain, method="body_of")

    def stream(self, call: Arguments) -> ReplyStream:
        """Prepare one streamed request; entering the stream sends it."""
        return ProviderStream(partial(self._prepare, call, _STREAMED), self._connect)

    async def _collected(self, call: Arguments) -> LLMResponse:
        """Send one request as a stream, and return the reply once it is whole."""
        try:
            async with ProviderStream(partial(self._prepare, call, _COLLECTED), self._connect) as events:
                async for _ in events:
                    pass
        except LLMError as exc:
            if exc.status_code in _REFUSED and "stream" in str(exc).lower():
                exc.add_note(_NO_STREAMS)
            raise
        return events.response

    async def _prepare(self, call: Arguments, kind: _Kind) -> Outgoing:
        plain, way = apart(call, self._way, self._form.max_tokens_field, streamed=kind is _STREAMED)
        if kind is _COLLECTED:  # a stream with the limits of a whole reply
            way = way._replace(limits=way.limits._replace(deadline=way.limits.whole))
        body = compose(self._form, plain, streamed=kind.is_streamed, method=kind.method)
        if self._ask_key is not None and not has_header(way, "authorization"):
            way = await self._with_key(self._ask_key, way)
        renewed = partial(self._renewed, call, way.endpoint, kind)
        size = bytes_of_request(plain.messages, len(body)) if kind.is_streamed else 0
        return Outgoing(body, choices_asked(self._form, plain), *way, renewed, size)

    async def _renewed(self, call: Arguments, before: Endpoint, kind: _Kind) -> Outgoing | None:
        if self._ask_key is None:
            return None
        try:
            again = await self._prepare(call, kind)
        except LLMError as failure:
            failure.dispatched = True  # the request that met the 401 was sent
            raise
        return None if again.endpoint.headers == before.headers else again

    async def _with_key(self, ask: Callable[[], str | Awaitable[str]], way: Way) -> Way:
        patience = asyncio.timeout(way.limits.whole)
        try:
            async with patience:
                given = ask()
                given = await given if inspect.isawaitable(given) else given
        except Exception as exc:  # noqa: BLE001 - a function of the caller's may raise anything
            late = f"no key within {way.limits.whole:g} s" if patience.expired() else ""
            words = late or way.report.clean(describe(exc))
            failure = ProviderError(f"the function given as api_key failed ({words})", dispatched=False)
        else:
            key = secret(given, "the value that api_key returned")
            headers = {"Authorization": Secret(f"Bearer {key.reveal()}")} if key else {}
            return with_headers(way._replace(report=way.report.knowing([key])), headers)
        raise failure

    async def _connect(self) -> Transport:
        if self._lost:
            names, again = " and ".join(self._lost), ", ".join(f"{name}=..." for name in self._lost)
            raise PermanentError(
                f"this provider was pickled, and a pickle leaves its {names} out; set that again with "
                f"dataclasses.replace(provider, {again})"
            )
        try:
            return await self._transports.get()
        except Exception as exc:  # noqa: BLE001  # an HTTP library being set up may raise anything
            failure = self._report.setup(exc)
        raise failure

    async def _post(
        self, transport: Transport, outgoing: Outgoing, dispatch: Dispatch
    ) -> LLMResponse | LLMError:
        body, asked, endpoint, limits, report, _, _ = outgoing
        report = report.through(transport.proxy)
        try:
            reply = await transport.post(body, dispatch, endpoint, limits.whole)
        except OverrunError:
            fault = limits.overrun()
        except TransportError as exc:
            fault = exc
        else:
            return interpret(reply, limits.max_bytes, report, asked)
        return report.fault(fault, dispatch)

    async def aclose(self) -> None:
        """Close the connections of the running event loop; its requests under way fail."""
        await self._transports.aclose()
