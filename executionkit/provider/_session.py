"""`Session`: the way of a call, from its arguments to its response; and the start of a stream."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial

from executionkit._text import describe
from executionkit.errors import LLMError, PermanentError, ProviderError, mark_not_dispatched
from executionkit.provider._failures import Reporter
from executionkit.provider._http.backends import Backend, open_transport
from executionkit.provider._http.faults import TransportError
from executionkit.provider._http.transport import AsyncHTTPClient, Dispatch, Endpoint, Transport
from executionkit.provider._options import Way, apart, has_header, with_headers
from executionkit.provider._per_loop import PerLoop
from executionkit.provider._reply import interpret
from executionkit.provider._request import Arguments, Form, choices_asked, compose
from executionkit.provider._secrets import Secret
from executionkit.provider._settings import Limits, secret
from executionkit.provider._stream import Outgoing, ProviderStream
from executionkit.responses import LLMResponse
from executionkit.streaming import ReplyStream


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
    ) -> None:
        self._form = form
        self._way = Way(endpoint, limits, report)
        self._report = report
        self._ask_key = ask_key
        self._lost = lost
        self._transports: PerLoop[Transport] = PerLoop(partial(open_transport, endpoint, backend, client))

    async def complete(self, call: Arguments) -> LLMResponse:
        """Send one request and return the reply; the errors are those of `Provider.complete`."""
        dispatch = Dispatch()
        try:
            outgoing = await self._prepare(call, streamed=False)
            transport = await self._connect()
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

    def stream(self, call: Arguments) -> ReplyStream:
        """Prepare one streamed request; entering the stream sends it."""
        return ProviderStream(partial(self._prepare, call, streamed=True), self._connect)

    async def _prepare(self, call: Arguments, *, streamed: bool) -> Outgoing:
        plain, way = apart(call, self._way, self._form.max_tokens_field, streamed=streamed)
        body = compose(self._form, plain, streamed=streamed)
        if self._ask_key is not None and not has_header(way, "authorization"):
            way = await self._with_key(self._ask_key, way)
        renewed = partial(self._renewed, call, way.endpoint, streamed=streamed)
        return Outgoing(body, choices_asked(self._form, plain), *way, renewed)

    async def _renewed(self, call: Arguments, before: Endpoint, *, streamed: bool) -> Outgoing | None:
        if self._ask_key is None:
            return None
        try:
            again = await self._prepare(call, streamed=streamed)
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
        body, asked, endpoint, limits, report, _ = outgoing
        report = report.through(transport.proxy)
        try:
            async with asyncio.timeout(limits.whole):
                reply = await transport.post(body, dispatch, endpoint)
        except TimeoutError:
            fault = limits.overrun()
        except TransportError as exc:
            fault = exc
        else:
            return interpret(reply, limits.max_bytes, report, asked)
        return report.fault(fault, dispatch)

    async def aclose(self) -> None:
        """Close the connections of the running event loop; its requests under way fail."""
        await self._transports.aclose()
