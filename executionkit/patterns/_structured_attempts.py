"""The attempts at structured output: the server's mode, more room, and requests that name the errors."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from executionkit._messages import with_remark, with_text, without_system
from executionkit._opening import count_instructions
from executionkit._output import Output, Rung, SchemaMode, UnfitError, Validator
from executionkit._refusals import NO_SYSTEM_MESSAGES, refuses_system
from executionkit._schema_modes import (
    MEMORY,
    MODES,
    is_lasting,
    refuses_mode,
    refuses_room,
    request_fields,
)
from executionkit.cost import minus
from executionkit.engine.run import Run
from executionkit.errors import LLMError, PatternError
from executionkit.events import Rejected
from executionkit.patterns._narrator import Narrator
from executionkit.patterns._options import Options
from executionkit.patterns._structured_reply import read_json, validate
from executionkit.responses import LLMResponse
from executionkit.types import TokenUsage

T = TypeVar("T")

_INSTRUCTIONS: Final = "Reply with one JSON {kind}, no text before or after it{fitting}"

_REPAIR: Final = """\
That is not what was asked for:
{errors}

Reply with the whole JSON {kind} again, mended, and no text before or after it."""

_BRIEFER: Final = "Be brief: an earlier reply was cut off because it was too long."


@dataclass(slots=True)
class Attempts(Generic[T]):
    """The attempts at one value: their settings, and what has come of them so far.

    Attributes:
        output: Turns the JSON of a reply into the value.
        validator: The caller's own check of the value.
        temperature: The sampling temperature of every request.
        max_tokens: The `max_tokens` of the first request.
        max_tokens_limit: The largest `max_tokens` of a request after replies were cut off.
        max_retries: The most requests after the first.
        mode: The schema mode in use.
        is_fixed: Whether the caller chose `mode`; then it is never given up.
        options: Further fields of every request.
        narrator: Tells of each reply that is rejected.
        is_certain: Whether every mode given up was surely refused; else `mode` is not remembered.
        is_without_system: Whether the server refused the system message.
        parse_attempts: Replies read.
        repair_attempts: Requests after the first.
        truncated_responses: Replies cut off.
        mended: Whether slips in the last reply were mended here.
        last_text: The last reply.
        errors: The errors of the last reply.
        rung_costs: The spend on each rung.
    """

    output: Output[T]
    validator: Validator[T] | None
    temperature: float
    max_tokens: int
    max_tokens_limit: int
    max_retries: int
    mode: SchemaMode
    is_fixed: bool
    options: Options
    narrator: Narrator
    is_certain: bool = True
    is_without_system: bool = False
    parse_attempts: int = 0
    repair_attempts: int = 0
    truncated_responses: int = 0
    mended: bool = False
    last_text: str | None = None
    errors: list[str] = field(default_factory=list[str])
    rung_costs: dict[Rung, TokenUsage] = field(default_factory=dict[Rung, TokenUsage])

    def salvage(self) -> dict[str, Any]:
        """The metadata of an error."""
        return {
            "last_text": self.last_text,
            "errors": list(self.errors),
            "parse_attempts": self.parse_attempts,
            "repair_attempts": self.repair_attempts,
            "validated": False,
            "truncated_responses": self.truncated_responses,
            "rung_costs": {rung: cost.to_dict() for rung, cost in self.rung_costs.items()},
        }

    async def make(self, messages: list[dict[str, Any]], run: Run) -> T:
        """Send requests until a reply to the messages fits, and return its value.

        Raises:
            PatternError: No reply fitted, and `max_retries` is used up.
        """
        kind, first = _first_request(messages, self.output)
        request = base = first
        room = self.max_tokens
        rung: Rung = "ask"
        while True:
            reply, room = await self._ask(request, rung, room, run)
            self.parse_attempts += 1
            self.truncated_responses += reply.was_truncated
            self.last_text = reply.content
            try:
                value = await self._read(reply)
            except UnfitError as exc:
                self.errors = exc.errors
                if self.narrator.listens:
                    await self.narrator.tell(Rejected(tuple(exc.errors), cost=run.usage))
            else:
                self.errors = []
                return value
            if self.repair_attempts == self.max_retries:
                raise self._failure(reply)
            self.repair_attempts += 1
            rung, request = "repair", base
            if reply.was_truncated:
                rung, larger = "more_tokens", min(room * 2, self.max_tokens_limit)
                if larger == room:
                    request = with_remark(base, _BRIEFER)
                room = larger
            elif reply.content.strip() and not reply.was_filtered:
                errors = "\n".join(f"- {error}" for error in self.errors)
                request = base = [
                    *first,
                    {"role": "assistant", "content": reply.content},
                    {"role": "user", "content": _REPAIR.format(errors=errors, kind=kind)},
                ]

    def _failure(self, last: LLMResponse) -> PatternError:
        attempts = f"{self.parse_attempts} attempt{'' if self.parse_attempts == 1 else 's'}"
        if last.was_truncated:
            advice = (
                f"{self.truncated_responses} cut off by max_tokens; raise max_tokens={self.max_tokens} or "
                f"max_tokens_limit={self.max_tokens_limit}, or ask for a shorter value"
            )
        else:
            advice = "raise max_retries, simplify `output`, or use a stronger model"
        return PatternError(
            f"structured: no reply fitted in {attempts} ({advice}). The last reply, {last.content[:200]!r}: "
            f"{'; '.join(self.errors)}"[:2000]
        )

    async def _ask(
        self, messages: list[dict[str, Any]], rung: Rung, room: int, run: Run
    ) -> tuple[LLMResponse, int]:
        """Get one reply, and the `max_tokens` it had, in a form that the server takes."""
        schema = self.output.schema
        while True:
            before = run.usage
            sent = without_system(messages) if self.is_without_system else messages
            fields = {} if schema is None else request_fields(self.mode, schema)
            try:
                reply = await run.complete(
                    sent,
                    temperature=self.temperature,
                    max_tokens=room,
                    is_final=self._is_settled,
                    **self.options,
                    **fields,
                )
            except LLMError as exc:
                if room > self.max_tokens and refuses_room(exc):
                    room = self.max_tokens_limit = self.max_tokens
                    messages = with_remark(messages, _BRIEFER)
                elif self._lacks_system(exc):
                    self.is_without_system = True
                elif self._is_given_up(exc) and schema is not None:
                    self.mode = self._next_mode(run, schema)
                else:
                    self._charge(rung, before, run)
                    raise
                self._charge("fallback", before, run)
                continue
            except BaseException:
                self._charge(rung, before, run)
                raise
            self._charge(rung, before, run)
            if self.is_without_system:
                NO_SYSTEM_MESSAGES.learn(run.target, "", value=True)
            if schema is not None and not self.is_fixed and self.is_certain and self.mode != MODES[0]:
                MEMORY.learn(run.target, schema, self.mode)
            return reply, room

    def _is_settled(self, exc: BaseException) -> bool:
        """Whether another request follows this one instead of the same again."""
        return self._lacks_system(exc) or self._is_given_up(exc)

    def _lacks_system(self, exc: BaseException) -> bool:
        return not self.is_without_system and isinstance(exc, LLMError) and refuses_system(exc)

    def _is_given_up(self, exc: BaseException) -> bool:
        """Whether `exc` is the end of the mode; then the same request is not sent again."""
        if self.output.schema is None or self.is_fixed:
            return False
        if not isinstance(exc, LLMError) or not refuses_mode(exc):
            return False
        # The last mode asks for nothing: a server that complains even then was out of order before, too.
        is_last = self.mode == MODES[-1]
        self.is_certain = self.is_certain and is_lasting(exc) and not is_last
        return not is_last

    def _next_mode(self, run: Run, schema: Mapping[str, Any]) -> SchemaMode:
        """The mode after one that was refused, or the one that another run has found in the meantime."""
        following = MODES[MODES.index(self.mode) + 1 :]
        known = MEMORY.recall(run.target, schema)
        return known if known in following else following[0]

    def _charge(self, rung: Rung, before: TokenUsage, run: Run) -> None:
        spent, earlier = minus(run.usage, before), self.rung_costs.get(rung)
        self.rung_costs[rung] = spent if earlier is None else earlier + spent

    async def _read(self, reply: LLMResponse) -> T:
        found, self.mended = read_json(reply)
        value = self.output.read(found)
        if self.validator is not None:
            await validate(self.validator, value)
        return value


def _first_request(messages: list[dict[str, Any]], output: Output[Any]) -> tuple[str, list[dict[str, Any]]]:
    # The schema goes first: small models follow it better there, and a server keeps it in its prompt cache.
    if output.schema is None:
        kind, fitting = "object or array", "."
    else:
        text = json.dumps(output.schema, ensure_ascii=False, separators=(",", ":"))
        kind, fitting = "value", f", that fits this JSON Schema:\n{text}"
    instructions = _INSTRUCTIONS.format(kind=kind, fitting=fitting)
    head = count_instructions(messages)
    if head:
        messages[head - 1] = with_text(messages[head - 1], [], [instructions])
    else:
        messages.insert(0, {"role": "system", "content": instructions})
    return kind, messages
