"""`Session`: the way of a call, from its arguments to its response; and the start of a stream."""

import asyncio
from functools import partial

from executionkit.errors import LLMError, PermanentError, mark_not_dispatched
from executionkit.provider._failures import Reporter
from executionkit.provider._http.backends import Backend, open_transport
from executionkit.provider._http.faults import TransportError
from executionkit.provider._http.transport import AsyncHTTPClient, Dispatch, Endpoint, Transport
from executionkit.provider._per_loop import PerLoop
from executionkit.provider._reply import interpret
from executionkit.provider._request import Arguments, Form, choices_asked, compose
from executionkit.provider._settings import Limits
from executionkit.provider._stream import ProviderStream
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
        lost: list[str],
    ) -> None:
        self._form = form
        self._limits = limits
        self._report = report
        self._lost = lost
        self._transports: PerLoop[Transport] = PerLoop(partial(open_transport, endpoint, backend, client))

    async def complete(self, call: Arguments) -> LLMResponse:
        """Send one request and return the reply; the errors are those of `Provider.complete`."""
        dispatch = Dispatch()
        try:
            body = compose(self._form, call)
            transport = await self._connect()
            outcome = await self._post(transport, body, dispatch, choices_asked(self._form, call))
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
        write = partial(compose, self._form, call, streamed=True)
        return ProviderStream(
            write, self._connect, self._limits, self._report, choices_asked(self._form, call)
        )

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
        self, transport: Transport, body: bytes, dispatch: Dispatch, asked: int
    ) -> LLMResponse | LLMError:
        report = self._report.through(transport.proxy)
        try:
            async with asyncio.timeout(self._limits.whole):
                reply = await transport.post(body, dispatch)
        except TimeoutError:
            fault = self._limits.overrun()
        except TransportError as exc:
            fault = exc
        else:
            return interpret(reply, self._limits.max_bytes, report, asked)
        return report.fault(fault, dispatch)

    async def aclose(self) -> None:
        """Close the connections of the running event loop; its requests under way fail."""
        await self._transports.aclose()
