"""A vote while it is held: samples asked for in windows, read, told, and counted in sample order."""

from collections.abc import Hashable
from functools import partial
from typing import Final

from executionkit._warning import warn_the_caller
from executionkit.engine.run import Run
from executionkit.events import SampleDone
from executionkit.patterns._narrator import Narrator
from executionkit.patterns._sampling import Samples
from executionkit.patterns._voting import Reader, StopRule, Votes, most_probable
from executionkit.responses import LLMResponse


class Poll:
    """The samples of a vote, and the votes counted so far.

    Args:
        samples: The samples to ask for.
        reader: Reads the answers.
        narrator: Tells each sample as it ends.
        first: The number of the first sample in events; others were asked for before.
        by_confidence: As in `Votes`.

    Attributes:
        samples: The samples.
        votes: The votes, which are counted a window at a time.
        left_out: How many answers did not vote, because others were more probable.
    """

    def __init__(
        self,
        samples: Samples,
        reader: Reader,
        narrator: Narrator,
        *,
        first: int = 0,
        by_confidence: bool = False,
    ) -> None:
        self.samples: Final = samples
        self.votes = Votes(by_confidence=by_confidence)
        self.left_out = 0
        self._reader = reader
        self._narrator = narrator
        self._first = first
        # The votes in the order in which the samples ended, for events.
        self._seen: dict[Hashable, int] = {}

    async def hold(self, run: Run, most: int, rule: StopRule, *, pattern: Run | None = None) -> None:
        """Ask for samples, at most `most`, until the rule is content.

        Args:
            run: Makes the calls.
            most: The number of all samples.
            rule: When to stop.
            pattern: The run whose spend is told in events. Defaults to `run`.

        Raises:
            Exception: As in `Samples.take`; or an exception of the reader's.
        """
        samples, votes, answer = self.samples, self.votes, self._reader.answer
        if self._narrator.listens:
            samples.on_done = partial(self._tell, pattern or run)
        while window := rule(votes, most - samples.asked):
            for sample in await samples.take(run, window):
                reply = samples.replies[sample]
                confidence = reply.mean_logprob if votes.by_confidence else None
                votes.add(sample, answer(sample, reply), confidence)

    def leave_out(self, share: float) -> None:
        """Count the votes again, those of the most probable replies alone, if it is known which these are."""
        replies = sorted(self.samples.replies.items())
        read = [(sample, self._reader.answer(sample, reply), reply) for sample, reply in replies]
        given = [(sample, answer, reply.mean_logprob) for sample, answer, reply in read if answer is not None]
        votes = most_probable(given, share)
        if votes is not None:
            votes.abstained = self.votes.abstained
            self.left_out = len(given) - sum(votes.counts.values())
            self.votes = votes

    @property
    def count(self) -> int:
        """How many samples the vote is among: all that came back, or those that were not left out."""
        return len(self.samples.replies) - self.left_out

    def share(self) -> float:
        """The winner's share of the samples that the vote is among."""
        return self.votes.most / self.count

    def so_far(self) -> tuple[tuple[Hashable, int], ...]:
        """Every answer and its votes, those of a window that broke off included."""
        votes = Votes()
        for sample, reply in sorted(self.samples.replies.items()):
            votes.add(sample, self._read(sample, reply))
        return votes.ranking()

    def winning_text(self) -> str:
        """The first text that gave the winner."""
        return self.samples.replies[self.votes.first[self.votes.winner]].content

    def warn_of_truncation(self, name: str, max_tokens: int) -> None:
        """Warn that most replies of a vote with a key were cut off, unless they were meant to be."""
        cut, count = self.samples.truncated, len(self.samples.replies)
        if max_tokens > _ONLY_AN_ANSWER and 2 * cut > count:
            warn_the_caller(
                f"{name}: {cut} of {count} replies were cut off by max_tokens={max_tokens}, most likely "
                "before their answer; raise max_tokens, or ask for shorter replies"
            )

    async def _tell(self, run: Run, sample: int) -> None:
        reply = self.samples.replies.get(sample)
        answer = None if reply is None else self._read(sample, reply)
        votes = 0
        if answer is not None:
            votes = self._seen[answer] = self._seen.get(answer, 0) + 1
        variant = self.samples.opening_of(sample)
        number = self._first + sample
        await self._narrator.tell(
            SampleDone(number, answer, votes, failed=reply is None, variant=variant, cost=run.usage)
        )

    def _read(self, sample: int, reply: LLMResponse) -> Hashable | None:
        try:
            return self._reader.answer(sample, reply)
        except Exception:  # noqa: BLE001 - the key's own; the vote raises it when it comes to this sample
            return None


# In tokens. A reply cut off after so few was meant to be: they hold a label, and no reasons.
_ONLY_AN_ANSWER: Final = 8
