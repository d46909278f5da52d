"""Sampling replies to a conversation, or to several in turn: bounded, in sample order, with choices."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final

from executionkit._refusals import LOGPROBS, MOST_CHOICES, NO_LOGPROBS, fewer_choices, refuses_logprobs
from executionkit._warning import warn_the_caller
from executionkit.engine.bill import add_note
from executionkit.engine.parallel import fan_out, merged, told
from executionkit.engine.retry import concerns_one_request
from executionkit.engine.run import Run
from executionkit.engine.tariff import BrokenPricesError
from executionkit.errors import ExecutionKitError, LLMError, PermanentError
from executionkit.patterns._options import Options, for_sample
from executionkit.responses import LLMResponse


class Samples:
    """Replies, numbered from 0 in the order in which they were asked for.

    Args:
        openings: The conversations to reply to, in turn: sample n is a reply to number n modulo their count.
        temperature: Sampling temperature.
        max_tokens: The most tokens a sample may have.
        max_concurrency: How many requests may be in flight at once.
        per_request: How many samples one request asks for at the most.
        may_fail: How many samples may fail for good before that is an error.
        options: Further fields of each request.
        wants_logprobs: Whether the samples are asked for again without log-probabilities where a server
            refuses the field that asks for them.

    Attributes:
        replies: The replies, by sample number.
        failures: The errors of samples that failed for good, by sample number.
        asked: The number of samples requested so far.
        openings: The number of conversations.
        on_done: Called with the number of each sample that has come back or failed for good.
    """

    def __init__(
        self,
        openings: Sequence[list[dict[str, Any]]],
        *,
        temperature: float,
        max_tokens: int,
        max_concurrency: int,
        per_request: int = 1,
        may_fail: int = 0,
        options: Options = MappingProxyType({}),
        wants_logprobs: bool = False,
    ) -> None:
        self.replies: dict[int, LLMResponse] = {}
        self.failures: dict[int, BaseException] = {}
        self.asked: int = 0
        self.on_done: Callable[[int], Awaitable[None]] | None = None
        self.openings: Final = len(openings)
        self._openings: Final = openings
        self._temperature: Final = temperature
        self._max_tokens: Final = max_tokens
        self._max_concurrency: Final = max_concurrency
        self._per_request = per_request
        self._may_fail: Final = may_fail
        self._options = options
        self._wants_logprobs: Final = wants_logprobs
        # Some servers take one choice only where nothing is drawn at random.
        self._kind: Final = "sampled" if temperature else "greedy"
        self._refusal: PermanentError | None = None
        self._most_taken: int | None = None

    @property
    def texts(self) -> list[str]:
        """The texts of the replies, in sample order."""
        return [self.replies[sample].content for sample in sorted(self.replies)]

    @property
    def truncated(self) -> int:
        """How many replies were cut off by `max_tokens`."""
        return sum(reply.was_truncated for reply in self.replies.values())

    @property
    def reports(self) -> tuple[str, ...]:
        """The errors of the failed samples as text, in sample order."""
        return tuple(told(self.failures[sample]) for sample in sorted(self.failures))

    def opening_of(self, sample: int) -> int:
        """The number of the conversation that a sample is a reply to."""
        return sample % self.openings

    def recall(self, run: Run) -> None:
        """Ask for no more choices than the server takes, and for no log-probabilities that it refuses."""
        if self._wants_logprobs and not (
            run.takes(logprobs=True) and LOGPROBS.recall(run.target, _OWN) != NO_LOGPROBS
        ):
            self._options = _without_logprobs(self._options)
        if self._per_request > 1:
            known = MOST_CHOICES.recall(run.target, self._kind) or self._per_request
            self._per_request = min(self._per_request, known)

    def prompts(self, count: int) -> list[list[dict[str, Any]]]:
        """The messages of the first `count` samples."""
        return [self._openings[self.opening_of(sample)] for sample in range(count)]

    def requests_for(self, count: int) -> int:
        """How many requests the first `count` samples take if they are asked for at once."""
        return count if self._per_request == 1 else len(self._batches(range(count)))

    def _batches(self, samples: Sequence[int]) -> list[list[int]]:
        """The samples of each request, which share a conversation, in the order of the first ones."""
        size, every = self._per_request, self.openings
        if size == 1:
            return [[sample] for sample in samples]
        batches: list[list[int]] = []
        for number in range(every):
            alike = [sample for sample in samples if sample % every == number]
            batches += [alike[start : start + size] for start in range(0, len(alike), size)]
        return sorted(batches)

    async def take(self, run: Run, count: int) -> list[int]:
        """Ask for `count` more samples and wait until each has come back or failed for good.

        A reply with fewer choices than its request asked for has the rest asked for again, and no further
        request asks for more than that server gave: one that knows no `n` is asked for one at a time. So it
        is where the server refuses the number of choices; that is remembered for this provider.

        Returns:
            The numbers of those that came back, in order.

        Raises:
            BaseException: The first failure, as it is, with the others in its notes, once more failed
                than may, or one of what is a mistake and no failure: neither an error of the library's
                nor worth a retry. Nothing further was started; what was in flight has been awaited.
        """
        new = range(self.asked, self.asked + count)
        self.asked += count
        while missing := [n for n in new if n not in self.replies and n not in self.failures]:
            batches = self._batches(missing)
            outcomes = await fan_out(
                partial(self._request, run, batches),
                len(batches),
                self._max_concurrency,
                on_failure=run.halt,
            )
            if outcomes.failures:
                for index, failure in outcomes.failures.items():
                    self.failures.setdefault(batches[index][0], failure)
                raise merged(sorted(self.failures.values(), key=partial(_is_failure, run)))
        return [sample for sample in new if sample in self.replies]

    async def _request(self, run: Run, batches: list[list[int]], index: int) -> None:
        # An earlier request may have shown that the server gives fewer; `take` requests the rest again.
        samples = batches[index][: self._per_request]
        wanted = len(samples)
        extra: dict[str, Any] = {"n": wanted} if wanted > 1 else {}
        options = self._options
        try:
            if self._refusal is not None:
                raise self._refusal
            reply = await run.complete(
                list(self._openings[samples[0] % self.openings]),
                temperature=self._temperature,
                max_tokens=self._max_tokens,
                is_final=lambda exc: _fewer(exc, wanted) is not None or self._can_do_without(exc, options),
                **for_sample(options, samples[0]),
                **extra,
            )
        except Exception as exc:
            if self._can_do_without(exc, options):
                LOGPROBS.learn(run.target, _OWN, NO_LOGPROBS)
                self._options = _without_logprobs(options)
                return
            fewer = _fewer(exc, wanted)
            if fewer is not None:
                self._per_request = min(self._per_request, fewer)
                self._most_taken = self._per_request
                return
            if isinstance(exc, PermanentError) and not concerns_one_request(exc):
                self._refusal = exc  # every sample would be refused, and need not be sent for that
            else:
                blame(self.opening_of(samples[0]), exc)
            self.failures.update(dict.fromkeys(samples, exc))
            if self.on_done is not None:
                await self._tell(samples)
            if len(self.failures) > self._may_fail or not _is_failure(run, exc):
                raise
            return
        if self._most_taken is not None and wanted <= self._most_taken:
            MOST_CHOICES.learn(run.target, self._kind, self._most_taken)
        choices = (reply, *reply.alternatives)
        self.replies.update(zip(samples, choices, strict=False))
        if self.on_done is not None:
            await self._tell(samples[: len(choices)])
        if len(choices) < wanted:
            self._per_request = min(self._per_request, len(choices))

    def _can_do_without(self, exc: Exception, options: Options) -> bool:
        """Whether the server refuses to send log-probabilities, which are merely wished for."""
        is_asked = self._wants_logprobs and "logprobs" in options
        return is_asked and isinstance(exc, LLMError) and refuses_logprobs(exc)

    async def _tell(self, samples: list[int]) -> None:
        for sample in samples:
            if self.on_done is not None:
                await self.on_done(sample)


def warn_of_unused(variants: int, num_samples: int) -> None:
    """Warn of variants that ask for no sample."""
    unused = variants + 1 - num_samples
    if unused > 0:
        warn_the_caller(
            f"num_samples={num_samples} is less than the prompt and its {variants} variants: "
            f"the last {unused} ask for no sample"
        )


def blame(variant: int, exc: BaseException) -> None:
    """Note on the error of a sample which of the variants asked for it; 0 is the prompt itself."""
    if variant:
        add_note(exc, f"asked by variants[{variant - 1}]")


_OWN: Final = "own"
"""Of the log-probabilities: those of the reply's own tokens alone."""


def _without_logprobs(options: Options) -> Options:
    return {name: value for name, value in options.items() if name not in ("logprobs", "top_logprobs")}


def _fewer(exc: BaseException, wanted: int) -> int | None:
    return fewer_choices(exc, wanted) if wanted > 1 and isinstance(exc, LLMError) else None


def _is_failure(run: Run, exc: BaseException) -> bool:
    """Whether an exception is the failure of a request, and not a mistake in code."""
    if isinstance(exc, BrokenPricesError):
        return False
    return isinstance(exc, ExecutionKitError) or run.is_retryable(exc)
