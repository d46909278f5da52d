"""Running the calls of one reply: all at once, each with an observation, none of them lost."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from executionkit._json import plain
from executionkit._prompt import Part
from executionkit.engine.parallel import reap, spawn
from executionkit.engine.run import Run
from executionkit.engine.tool_memory import TOOL_MEMORY, Observed
from executionkit.engine.watch import ToolWatch
from executionkit.errors import ToolError
from executionkit.events import Observation, ToolStarted
from executionkit.observe import WATCH, ToolInfo, observers
from executionkit.patterns._approval import Desk, approved_call
from executionkit.patterns._narrator import Narrator
from executionkit.patterns._repeats import Repeats
from executionkit.patterns._tool_choice import ToolChoice
from executionkit.patterns._tools import Prepared, Toolbox, cut
from executionkit.patterns._transcript import Transcript
from executionkit.responses import ToolCall

if TYPE_CHECKING:
    from executionkit.patterns._final_answer import FinalAnswer

_CUT_OFF: Final = "Error: not run, because the reply was cut off by max_tokens before the call was complete."


@dataclass
class Counters:
    """What a tool loop counts; see `ReactResult`."""

    rounds: int = 0
    tool_calls_made: int = 0
    truncated_responses: int = 0
    truncated_observations: int = 0
    messages_trimmed: int = 0
    declined: int = 0
    repeated_calls: int = 0


@dataclass(slots=True, eq=False)
class ToolRunner:
    """Runs calls, and puts their observations into the transcript.

    Attributes:
        loop: The run of the loop.
        toolbox: The tools.
        final: The tool that takes a typed answer, if there is one.
        desk: Where calls get their approval.
        choice: Says which calls may run.
        repeats: Says which calls were made too often.
        transcript: Where the observations go.
        counters: Where they are counted.
        narrator: Told of each call and observation.
        limit: The most characters of an observation.
    """

    loop: Run
    toolbox: Toolbox
    final: "FinalAnswer[Any] | None"
    desk: Desk
    choice: ToolChoice
    repeats: Repeats
    transcript: Transcript
    counters: Counters
    narrator: Narrator
    limit: int

    async def run(self, calls: Sequence[ToolCall], *, is_cut_off: bool = False) -> None:
        """Run the calls, and append their observations in the order of the calls.

        Also when this fails or is cancelled, for the calls that are done by then: a tool that was run must
        not be run again by a run that goes on from the transcript.

        Args:
            calls: The calls of one reply.
            is_cut_off: Whether the reply was cut off. Then no call is run.

        Raises:
            ApprovalPending: Some of them wait for approval; the others are done.
        """
        texts: dict[str, str] = {}
        final = self.final
        others = calls if final is None else [call for call in calls if call.name != final.name]
        try:
            again: list[ToolCall] = []
            first: list[ToolCall] = []
            refused: list[ToolCall] = []
            for index, call in enumerate(others):
                refusal = _CUT_OFF if is_cut_off else self.choice.refusal(index)
                if refusal is not None:
                    # At once, or a run that goes on from a transcript without it would run the call.
                    texts[call.id] = refusal
                    refused.append(call)
                elif self.repeats.is_one_too_many(call, self.toolbox.find(call.name)):
                    again.append(call)
                else:
                    first.append(call)
            for call in refused:
                await self._tell(call, texts[call.id], texts)
            if len(first) == 1:
                await self._one(first[0], texts)
            elif first:
                await self._several(first, texts)
            for call in again:  # a result of this very round may be the one to repeat
                if (former := self.repeats.former(call)) is not None:
                    self.counters.repeated_calls += 1
                    await self._tell(call, former, texts)
            # After the others. If some of them wait, so does the answer: it is read when they have run.
            if final is not None and len(texts) == len(others):
                for call in calls:
                    if call.name == final.name:
                        await self._tell(call, final.take(call, is_cut_off=is_cut_off), texts)
        finally:
            self.transcript.add_results(calls, texts, self.toolbox.take_parts(calls))
        self.desk.settle([call for call in others if call.id not in texts] if len(texts) < len(calls) else [])

    async def _several(self, calls: Sequence[ToolCall], texts: dict[str, str]) -> None:
        tasks = spawn(*(self._one(call, texts) for call in calls))
        try:
            await asyncio.wait(tasks)
        finally:
            await reap(tasks)
        for task in tasks:
            task.result()

    async def _one(self, call: ToolCall, texts: dict[str, str]) -> None:
        # No await before the approval: calls ask for it in their order.
        ready = self.toolbox.prepared(call)
        asked = call
        error: BaseException | None = None
        ran = was_declined = False
        remark = ""
        parts: tuple[Part, ...] = ()
        # What a call that can't be run comes to is no matter of its tool: it needs no memory.
        memory = TOOL_MEMORY.get() if isinstance(ready, Prepared) else None
        known = None if memory is None else memory.recall(call)
        if known is not None:
            ready, remark, ran, was_declined = known.text, known.remark, known.ran, known.declined
            error = None if known.error is None else ToolError(known.error)
            self.toolbox.put_parts(call.id, known.parts)
        elif isinstance(ready, Prepared) and self.desk.is_needed(self.counters.rounds, call, ready):
            approval = await self.desk.decide(self.counters.rounds, call, ready)
            if approval is None:
                return
            if not approval.approved:
                was_declined = True
                ready = f"declined: {approval.reason}" if approval.reason else "declined"
            elif approval.arguments is not None:
                asked = approved_call(call, approval)
                ready, remark = self._edited(asked)
        if not was_declined and self.narrator.listens:
            await self.narrator.tell(ToolStarted(self.counters.rounds, call))
        watch = self._watch(asked) if WATCH.is_on else None
        if isinstance(ready, Prepared):
            try:
                text, parts, error, ran = await self.toolbox.run(ready)
            except BaseException as exc:
                if watch is not None:
                    watch.break_off(exc)
                raise
        else:
            text = ready
        if memory is not None and known is None:
            failed = None if error is None else type(error).__name__
            await memory.keep(call, Observed(text, remark, parts, failed, ran, was_declined))
        self.counters.tool_calls_made += ran
        self.counters.declined += was_declined
        if ran or was_declined:
            self.choice.met(call.name)
        self.repeats.note(call, text, counts=ran or was_declined)
        shown, shortened = self._kept(call, remark + text, texts)
        if watch is not None:
            watch.end(shown, error, ran=ran, truncated=shortened)
        if self.narrator.listens:
            await self.narrator.tell(Observation(self.counters.rounds, call, shown, ran, shortened))

    def _watch(self, call: ToolCall) -> ToolWatch | None:
        """Where observers are told of a call; None if there are none."""
        watchers = observers()
        if not watchers:
            return None
        return ToolWatch(watchers, ToolInfo(self.loop.info, call, self.toolbox.find(call.name)))

    def _edited(self, call: ToolCall) -> tuple[Prepared | str, str]:
        """A call with the approver's arguments, checked again, and a remark on it for the model."""
        ready = self.toolbox.prepared(call)
        if isinstance(ready, str):
            return f"Error: not run, because the approver's own arguments don't fit. {ready}", ""
        shown = json.dumps(plain(call.arguments), ensure_ascii=False, default=str)
        return ready, f"[approved with other arguments: {shown}]\n"

    async def _tell(self, call: ToolCall, text: str, texts: dict[str, str]) -> None:
        """Keep the observation of a call that was not run, and tell of it."""
        watch = self._watch(call) if WATCH.is_on else None
        shown, shortened = self._kept(call, text, texts)
        if watch is not None:
            watch.end(shown, None, ran=False, truncated=shortened)
        if self.narrator.listens:
            event = Observation(self.counters.rounds, call, shown, ran=False, truncated=shortened)
            await self.narrator.tell(event)

    def _kept(self, call: ToolCall, text: str, texts: dict[str, str]) -> tuple[str, bool]:
        """Keep an observation, cut to the limit, and count it."""
        shown, shortened = cut(text, self.limit)
        texts[call.id] = shown
        self.counters.truncated_observations += shortened
        return shown, shortened
