"""The spans of runs, calls and tools, from their beginnings to their ends."""

import re
from collections.abc import Mapping
from time import perf_counter
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from executionkit.engine.parallel import Suspended
from executionkit.observe import CallInfo, CallSpan, RunInfo, RunSpan, ToolInfo, ToolSpan, gives_answer
from executionkit.otel import _names as names
from executionkit.otel._attributes import (
    add_request,
    add_spent,
    add_usage,
    error_type,
    origin_of,
    parts_of,
    reasons_of,
    short,
)
from executionkit.otel._endpoint import labels_of
from executionkit.otel._telemetry import Telemetry
from executionkit.responses import LLMResponse
from executionkit.types import TokenUsage

if TYPE_CHECKING:
    from opentelemetry.trace import SpanKind

_AGENTS: Final = frozenset({"react_loop"})
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""The names that a tool can have."""


class Scope:
    """A span from its beginning to its end.

    Args:
        telemetry: What it is told to.
        name: The span's name.
        kind: Its kind.
        attributes: Its first attributes.
        is_current: Whether spans that begin inside are its children. Then it must be entered and left in the
            same task.
    """

    def __init__(
        self,
        telemetry: Telemetry,
        name: str,
        kind: "SpanKind",
        attributes: dict[str, Any],
        *,
        is_current: bool = True,
    ) -> None:
        self._telemetry = telemetry
        self._error: BaseException | None = None
        self._token: Any = None  # the context API's Token is a class of its own in newer versions only
        self._is_current = is_current
        self._begins = name, kind, attributes

    def __enter__(self) -> Self:
        name, kind, attributes = self._begins
        self._since = perf_counter()
        self._span = self._telemetry.start(name, kind=kind, attributes=self._telemetry.identified(attributes))
        if self._is_current:
            self._token = self._telemetry.attach(self._telemetry.in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc is not None:
                self._fail(exc)
            if self._token is not None:
                self._telemetry.detach(self._token)
            self._measure(perf_counter() - self._since)
        finally:
            self._span.end()

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, Suspended):  # no failure: it is done at a later start
            self._span.set_attribute(names.PUT_OFF, value=True)
        elif self._error is None:
            self._error = error
            self._span.set_attribute(names.ERROR_TYPE, error_type(error))
            self._span.set_status(self._telemetry.status_of(error))

    def _measured_by(self, labels: Mapping[str, Any]) -> Mapping[str, Any]:
        return labels if self._error is None else {**labels, names.ERROR_TYPE: error_type(self._error)}

    def _measure(self, seconds: float) -> None:
        """Record the metrics."""


class RunScope(Scope, RunSpan):
    """The span of a run."""

    def __init__(self, telemetry: Telemetry, info: RunInfo) -> None:
        name = info.name
        is_agent = name in _AGENTS
        operation = names.INVOKE_AGENT if is_agent else names.INVOKE_WORKFLOW
        self._labels: dict[str, Any] = {names.OPERATION: operation, names.AGENT_NAME: name}
        attributes = dict(self._labels)
        if not is_agent:
            attributes[names.WORKFLOW_NAME] = name
        elif info.model is not None:
            attributes[names.REQUEST_MODEL] = info.model
        if info.max_cost is not None:
            add_usage(attributes, "budget", info.max_cost, without_zeros=True)
        super().__init__(telemetry, f"{operation} {name}", telemetry.internal, attributes)

    def ended(self, usage: TokenUsage, error: BaseException | None, figures: Mapping[str, object], /) -> None:
        attributes: dict[str, Any] = {}
        add_usage(attributes, "usage", usage)
        for name, value in figures.items():
            if isinstance(value, (bool, int, float, str)):
                attributes[names.OWN + name] = value
        self._span.set_attributes(attributes)
        if error is not None:
            self._fail(error)

    def _measure(self, seconds: float) -> None:
        self._telemetry.instruments.run(self._measured_by(self._labels), seconds)


class CallScope(Scope, CallSpan):
    """The span of a call of the model, its retries included."""

    def __init__(self, telemetry: Telemetry, info: CallInfo) -> None:
        self._labels = labels_of(info.model, info.base_url)
        attributes: dict[str, Any] = {**self._labels}
        add_request(attributes, info)
        if telemetry.content:
            from executionkit.otel import _content as content

            attributes[names.INPUT_MESSAGES] = content.messages_as_json(info.messages)
            if info.tools:
                attributes[names.TOOL_DEFINITIONS] = content.tools_as_json(info.tools)
        self._reply: LLMResponse | None = None
        self._usage = TokenUsage()
        self._first: float | None = None
        self._is_sent = True
        super().__init__(
            telemetry,
            names.CHAT if info.model is None else f"{names.CHAT} {info.model}",
            telemetry.client,
            attributes,
            is_current=not info.streamed,
        )

    def waiting(self, seconds: float, /) -> None:
        self._span.add_event(names.WAIT_EVENT, {"executionkit.wait.seconds": seconds})

    def retrying(self, attempt: int, error: Exception, wait: float, /) -> None:
        self._span.add_event(
            names.RETRY_EVENT,
            {
                "executionkit.retry.attempt": attempt,
                "executionkit.retry.wait": wait,
                names.ERROR_TYPE: error_type(error),
            },
        )

    def began(self) -> None:
        self._first = perf_counter() - self._since

    def partial(self, response: LLMResponse, /) -> None:
        self._reply = response

    def replayed(self) -> None:
        self._is_sent = False
        self._span.set_attribute(names.REPLAYED, value=True)

    def spent(self, usage: TokenUsage, /) -> None:
        self._usage = usage

    def answered(self, response: LLMResponse, /) -> None:
        self._reply = response

    def failed(self, error: BaseException, /) -> None:
        self._is_sent = not isinstance(error, Suspended)
        self._fail(error)

    def _measure(self, seconds: float) -> None:
        reply, span = self._reply, self._span
        origin = {} if reply is None else origin_of(reply)
        parts = parts_of(reply) if reply is not None and self._is_sent else {}
        if span.is_recording():
            is_broken = self._error is not None
            reasons = (names.FAILED,) if reply is None or is_broken else reasons_of(reply)
            attributes: dict[str, Any] = {names.FINISH_REASONS: reasons, **origin, **parts}
            add_spent(attributes, self._usage)
            if self._first is not None:
                attributes[names.TIME_TO_FIRST_CHUNK] = self._first
            if reply is not None and self._telemetry.content:
                from executionkit.otel import _content as content

                attributes[names.OUTPUT_MESSAGES] = content.reply_as_json(reply)
            span.set_attributes(attributes)
        if not self._is_sent:  # nothing that could be measured
            return
        labels = self._labels
        if names.RESPONSE_MODEL in origin:
            labels = {**labels, names.RESPONSE_MODEL: origin[names.RESPONSE_MODEL]}
        self._telemetry.instruments.call(self._measured_by(labels), seconds, self._first, self._usage, parts)


class ToolScope(Scope, ToolSpan):
    """The span of a call of a tool."""

    def __init__(self, telemetry: Telemetry, info: ToolInfo) -> None:
        tool, asked = info.tool, info.call.name
        # A name that the model made up is content, and a value of its own in every metric.
        is_known = gives_answer(asked) or (telemetry.content and _NAME.fullmatch(asked))
        name = tool.name if tool else asked if is_known else names.OTHER
        self._labels: dict[str, Any] = {
            names.TOOL_NAME: name if tool else names.OTHER,
            names.AGENT_NAME: info.run.name,
        }
        attributes = {
            names.OPERATION: names.EXECUTE_TOOL,
            names.TOOL_TYPE: names.FUNCTION,
            **self._labels,
            names.TOOL_NAME: name,
        }
        if tool:
            attributes[names.TOOL_DESCRIPTION] = tool.description
        if info.call.id:
            attributes[names.TOOL_CALL_ID] = short(info.call.id)
        if telemetry.content:
            from executionkit.otel import _content as content

            attributes[names.TOOL_ARGUMENTS] = content.arguments_as_json(info.call)
        super().__init__(telemetry, f"{names.EXECUTE_TOOL} {name}", telemetry.internal, attributes)

    def ended(self, text: str, error: BaseException | None, /, *, ran: bool, truncated: bool) -> None:
        if not ran:
            self._span.set_attribute("executionkit.tool.ran", value=False)
        if truncated:
            self._span.set_attribute("executionkit.tool.truncated", value=True)
        if self._telemetry.content:
            from executionkit.otel import _content as content

            self._span.set_attribute(names.TOOL_RESULT, content.cut(text))
        if error is not None:
            self._fail(error)

    def _measure(self, seconds: float) -> None:
        self._telemetry.instruments.tool(self._measured_by(self._labels), seconds)
