"""Running the calls of one reply: all at once, each with an observation, none of them lost."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from executionkit.engine.parallel import reap, spawn
from executionkit.events import Observation, ToolStarted
from executionkit.patterns._narrator import Narrator
from executionkit.patterns._tools import Toolbox, cut
from executionkit.patterns._transcript import Transcript
from executionkit.responses import ToolCall

_CUT_OFF = "Error: not run, because the reply was cut off by max_tokens before the call was complete."


@dataclass
class Counters:
    """What a tool loop counts; see `ReactResult`."""

    rounds: int = 0
    tool_calls_made: int = 0
    truncated_responses: int = 0
    truncated_observations: int = 0
    messages_trimmed: int = 0


@dataclass(frozen=True)
class Observer:
    """Runs calls, and puts their observations into the transcript.

    Attributes:
        toolbox: The tools.
        transcript: Where the observations go.
        counters: Where they are counted.
        narrator: Told of each call and observation.
        limit: The most characters of an observation.
    """

    toolbox: Toolbox
    transcript: Transcript
    counters: Counters
    narrator: Narrator
    limit: int

    async def observe(self, calls: Sequence[ToolCall], *, is_cut_off: bool = False) -> None:
        """Run the calls, and append their observations in the order of the calls.

        Also when this fails or is cancelled, for the calls that are done by then: a tool that was run must
        not be run again by whoever goes on from the transcript.

        Args:
            calls: The calls of one reply.
            is_cut_off: Whether the reply was cut off. Then no call is run.
        """
        texts = {call.id: cut(_CUT_OFF, self.limit)[0] for call in calls} if is_cut_off else {}
        try:
            if len(calls) == 1:
                await self._one(calls[0], texts)
            else:
                tasks = spawn(*(self._one(call, texts) for call in calls))
                try:
                    await asyncio.wait(tasks)
                finally:
                    await reap(tasks)
                for task in tasks:
                    task.result()
        finally:
            self.transcript.add_results(calls, texts)

    async def _one(self, call: ToolCall, texts: dict[str, str]) -> None:
        number, narrator = self.counters.rounds, self.narrator
        ran = shortened = False
        if call.id not in texts:
            if narrator.listens:
                await narrator.tell(ToolStarted(number, call))
            text, ran = await self.toolbox.call(call)
            texts[call.id], shortened = cut(text, self.limit)
        self.counters.tool_calls_made += ran
        self.counters.truncated_observations += shortened
        if narrator.listens:
            await narrator.tell(Observation(number, call, texts[call.id], ran, shortened))
