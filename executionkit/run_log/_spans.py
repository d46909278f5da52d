"""The spans of a log: runs, calls and tools from their beginning to their end."""

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, ClassVar, Final, Self

from executionkit.observe import CallInfo, CallSpan, RunInfo, RunSpan, ToolInfo, ToolSpan, gives_answer
from executionkit.responses import LLMResponse
from executionkit.run_log import _facts as facts
from executionkit.run_log._journal import Journal
from executionkit.types import TokenUsage


class _Span:
    """A run, a call or a tool from its beginning to its end."""

    kind: ClassVar[str]
    _token: "Token[_Span | None] | None" = None
    _has_ended = False
    # The messages of its latest call: that call, and a digest of each.
    sent: "tuple[str, list[int]] | None" = None

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.id = ""
        self.around: _Span | None = None
        self._since = 0.0

    def __enter__(self) -> Self:
        self.around = _CURRENT.get()
        self.id = self.journal.new_id()
        parent = self.parent
        begun = {"id": self.id, "parent": None if parent is None else parent.id} | self._begun()
        self._since = time.perf_counter()
        self.journal.write(self.kind, begun)
        if self._is_current():
            self._token = _CURRENT.set(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._token is not None:
            with suppress(ValueError):  # a run may be left in another context, which has spans of its own
                _CURRENT.reset(self._token)
        self._end({} if exc is None else {"error": self._error(exc)})

    @property
    def parent(self) -> "_Span | None":
        """The span of the same log around this one; other logs may watch as well."""
        span = self.around
        while span is not None and span.journal is not self.journal:
            span = span.around
        return span

    def _begun(self) -> facts.Facts:
        raise NotImplementedError  # abstract: runs, calls and tools begin with facts of their own

    def _is_current(self) -> bool:
        return True

    def _error(self, exc: BaseException | None) -> facts.Facts | None:
        return None if exc is None else facts.error(exc, content=self.journal.content)

    def _event(self, event: str, rest: facts.Facts) -> None:
        self.journal.write(event, {"id": self.id, **rest})

    def _lasted(self) -> float:
        return facts.seconds(time.perf_counter() - self._since)

    def _end(self, rest: facts.Facts) -> None:
        if not self._has_ended:
            self._has_ended = True
            self._event(f"{self.kind}_end", {"seconds": self._lasted(), **rest})


_CURRENT: Final[ContextVar[_Span | None]] = ContextVar("executionkit_run_log", default=None)


class Run(_Span, RunSpan):
    """A run."""

    kind = "run"

    def __init__(self, journal: Journal, info: RunInfo) -> None:
        super().__init__(journal)
        self._info = info

    def _begun(self) -> facts.Facts:
        return {
            "name": facts.name(self._info.name),
            "model": facts.name(self._info.model),
            "base_url": facts.address(self._info.base_url),
            "max_cost": facts.usage(self._info.max_cost),
        }

    def ended(self, usage: TokenUsage, error: BaseException | None, figures: Mapping[str, object], /) -> None:
        """Write what the run has spent."""
        known = facts.figures(figures)
        rest = {"usage": facts.usage(usage), "error": self._error(error), "figures": known or None}
        self._end(rest)


class Call(_Span, CallSpan):
    """A call of the model."""

    kind = "call"

    def __init__(self, journal: Journal, info: CallInfo) -> None:
        super().__init__(journal)
        self._info = info
        self._usage: facts.Facts | None = None
        self._reply: facts.Facts = {}
        self._is_replayed = False

    def _is_current(self) -> bool:
        return not self._info.streamed

    def _begun(self) -> facts.Facts:
        info = self._info
        options = {key: facts.number(value) for key, value in info.options.items()}
        begun = {
            "run": facts.name(info.run.name),
            "model": facts.name(info.model),
            "base_url": facts.address(info.base_url),
            "messages": len(info.messages),
            "temperature": facts.number(info.temperature),
            "max_tokens": info.max_tokens,
            "tools": len(info.tools) if info.tools else None,
            "options": {key: value for key, value in options.items() if value is not None} or None,
            "streamed": info.streamed or None,
        }
        return begun | self._conversation(info.messages) if self.journal.content else begun

    def _conversation(self, messages: Sequence[Mapping[str, Any]]) -> facts.Facts:
        """The messages, but for those that the run's call before had as well: long loops repeat them."""
        digests = [facts.digest(message) for message in messages]
        parent = self.parent
        before = None if parent is None else parent.sent
        shared = 0
        if before is not None:
            while shared < min(len(digests), len(before[1])) and digests[shared] == before[1][shared]:
                shared += 1
        if parent is not None:
            parent.sent = self.id, digests
        like = {"call": before[0], "messages": shared} if before is not None and shared else None
        return {"like": like, "conversation": [facts.message(message) for message in messages[shared:]]}

    def waiting(self, seconds: float, /) -> None:
        """Write a wait for room in a budget."""
        self._event("wait", {"seconds": facts.seconds(seconds)})

    def retrying(self, attempt: int, error: Exception, wait: float, /) -> None:
        """Write an attempt that failed."""
        rest = {"attempt": attempt, "wait": facts.seconds(wait), "error": self._error(error)}
        self._event("retry", rest)

    def began(self) -> None:
        """Write when a stream began."""
        self._event("stream", {"seconds": self._lasted()})

    def partial(self, response: LLMResponse, /) -> None:
        """Keep the beginning of a reply that broke off."""
        self._reply = facts.reply(response, content=self.journal.content)

    def replayed(self) -> None:
        """Keep that the reply was there."""
        self._is_replayed = True

    def spent(self, usage: TokenUsage, /) -> None:
        """Keep what the call cost."""
        self._usage = facts.usage(usage)

    def answered(self, response: LLMResponse, /) -> None:
        """Write the facts of the reply."""
        counts = self._usage or facts.counts(response)
        replayed = True if self._is_replayed else None
        self._end(
            {"usage": counts, "replayed": replayed, **facts.reply(response, content=self.journal.content)}
        )

    def failed(self, error: BaseException, /) -> None:
        """Write why there is no reply, or no more of it."""
        self._end({"usage": self._usage, **self._reply, "error": self._error(error)})


class Tool(_Span, ToolSpan):
    """A call of a tool."""

    kind = "tool"

    def __init__(self, journal: Journal, info: ToolInfo) -> None:
        super().__init__(journal)
        self._info = info

    def _begun(self) -> facts.Facts:
        call, tool = self._info.call, self._info.tool
        # The model has written the name of a tool that isn't there: it may be any text.
        known = call.name if tool is None and gives_answer(call.name) else None
        begun: facts.Facts = {
            "name": known if tool is None else facts.name(tool.name),
            "call": facts.name(call.id),
        }
        return begun | facts.asked(call) if self.journal.content else begun

    def ended(self, text: str, error: BaseException | None, /, *, ran: bool, truncated: bool) -> None:
        """Write how the tool ended."""
        rest: facts.Facts = {"ran": ran, "truncated": truncated, "characters": len(text)}
        if self.journal.content:
            rest["text"] = facts.text(text)
        self._end(rest | {"error": self._error(error)})
