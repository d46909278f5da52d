"""`consensus`: ask the same question several times in parallel and let the answers vote."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal

from executionkit import _checks as checks
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.errors import ConsensusFailedError
from executionkit.patterns._sampling import Samples
from executionkit.patterns._voting import Reader, Votes, certainty, check_key, check_stop, stop_rule
from executionkit.protocols import LLMProvider
from executionkit.types import PatternResult, TokenUsage, VotingStrategy


@dataclass(frozen=True)
class ConsensusResult(PatternResult[str]):
    """The winning answer; `score` is its share of the samples.

    `num_samples` is `samples_used + failed + samples_saved`.

    Attributes:
        agreement_ratio: The winner's share of the samples that came back, those that abstained included;
            the same as `score`. Where the vote stopped early it is a share of fewer than `num_samples`.
        unique_responses: How many different answers were given.
        tie_count: How many answers share the top count: 1 means no tie.
        abstained: Samples without an answer: no text, withheld by a content filter, or none that `key` read.
        truncated_responses: Samples cut off by `max_tokens`; they vote.
        answer: What the winners agree on: what `key` read, or the text with its whitespace collapsed.
        votes: Every answer with its number of votes, the winner first, then by votes, then by first sight.
        margin: The winner's votes less those of the next best answer; 0 is a tie.
        is_majority: Whether more than half of the samples that came back gave the winning answer.
        confidence: How sure the votes make it that the winner and not the next best is the likelier answer,
            in [0.5, 1]: P(Beta(a+1, b+1) > 1/2) for their votes a and b. It says nothing of the truth: a
            model can be wrong every time.
        samples_used: Samples that came back.
        samples_saved: Samples that were not needed any more, and never asked for.
        failed: Samples that failed for good; never more than `num_samples - min_samples`.
        failures: What they failed of, in sample order.
    """

    agreement_ratio: float = 0.0
    unique_responses: int = 0
    tie_count: int = 0
    abstained: int = 0
    truncated_responses: int = 0
    answer: Hashable = None
    votes: tuple[tuple[Hashable, int], ...] = ()
    margin: int = 0
    is_majority: bool = False
    confidence: float = 0.5
    samples_used: int = 0
    samples_saved: int = 0
    failed: int = 0
    failures: tuple[str, ...] = ()


async def consensus(
    provider: LLMProvider,
    prompt: str,
    *,
    num_samples: int = 5,
    strategy: VotingStrategy | str = "majority",
    temperature: float = 0.9,
    max_tokens: int = 4096,
    max_concurrency: int = 5,
    retry: RetryConfig | None = None,
    max_cost: TokenUsage | None = None,
    key: Callable[[str], Hashable | None] | None = None,
    stop: Literal["all", "decided"] | float = "all",
    min_samples: int | None = None,
    choices_per_request: int = 1,
) -> ConsensusResult:
    """Sample `prompt` several times in parallel and return the answer most samples gave.

    Self-consistency (Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language
    Models", ICLR 2023). Without a `key`, whole replies are compared, whitespace apart: ask for a short,
    final form of the answer then.

    With `stop` below "all" the samples go out in windows, each as large as the fewest that could settle the
    vote, and a window is counted when all of it has come back, in sample order. So nothing is in flight when
    the vote is settled, and which samples count never depends on which reply was faster: the outcome is
    that of asking one at a time, in fewer rounds.

    Example:
        ```python
        from executionkit import MockProvider, TokenUsage, consensus

        provider = MockProvider(
            ["Paris", "Lyon", "Paris"]
        )  # in your program a Provider
        result = await consensus(
            provider,
            "The capital of France?",
            num_samples=3,
            max_cost=TokenUsage(llm_calls=5),
        )
        assert (result.value, result.votes) == ("Paris", (("Paris", 2), ("Lyon", 1)))
        ```

    Args:
        provider: What answers.
        prompt: Sent as the one user message of every sample.
        num_samples: How many completions to ask for; at least 1. The most, where `stop` is not "all".
        strategy: "majority": the most common answer wins, a tie goes to the one seen first in sample
            order. "unanimous": all answers must be the same.
        temperature: Sampling temperature in [0, 2]; samples that can't differ have nothing to vote on.
        max_tokens: The most tokens one reply may have; at least 1.
        max_concurrency: How many requests may be in flight at once; at least 1.
        retry: How failed calls are repeated; None means `DEFAULT_RETRY`.
        max_cost: The ceiling for the whole vote; None is no limit.
        key: Reads the answer out of a reply's text: anything hashable, where equal is the same vote, or None
            (or NaN) to abstain; `executionkit.answers` has ready ones. A plain function of the text alone,
            called once for each different text. None compares texts, whitespace apart.
        stop: "all": ask for every sample. "decided": stop when the rest can't change the outcome; the winner
            is always that of all samples. A confidence in (0.5, 1): stop when that sure, or decided, as in
            Adaptive-Consistency (Aggarwal et al., EMNLP 2023). "unanimous" fails at the first dissent
            with either of the last two, and takes two samples first, then one at a time; with a confidence
            it is content when that many agree.
        min_samples: How many samples must come back, in [1, num_samples]: as many as are left over may fail
            for good, by an error of this library's or one that `retry` repeats, or for want of budget, and
            only miss the vote. What holds for every sample (a wrong key, an unknown model) ends the asking;
            those not asked for count as failed. None is all of them.
        choices_per_request: How many samples one request may ask for (`n` in its body), so that the prompt
            is paid for once; for servers that offer it. What a server leaves out is asked for again, and no
            further request asks for more than it gave.

    Returns:
        The first original text of the winning answer. `metadata` keys: `agreement_ratio`,
        `unique_responses`, `tie_count`, `abstained`, `truncated_responses`, `answer`, `votes`, `margin`,
        `is_majority`, `confidence`, `samples_used`, `samples_saved`, `failed`, `failures`; see
        `ConsensusResult`.

    Raises:
        ValueError: A parameter is out of range; nothing was called.
        BudgetExhaustedError: The calls left can't pay for `num_samples`, should all be needed (before the
            first call), or the budget ran out on the way.
        ConsensusFailedError: The answers were not unanimous where they had to be, or nobody answered.
        LLMError: More samples failed for good than may. No further one is started; those in flight are
            awaited.
        Exception: What `key` raised, as it is, with a note of the reply it was given.

    Every error has the texts already paid for in `.metadata["responses"]`, in sample order.
    """
    checks.text(prompt=prompt)
    checks.at_least(1, num_samples=num_samples, max_concurrency=max_concurrency)
    checks.one_of(tuple(VotingStrategy), strategy=strategy)
    checks.sampling(temperature=temperature, max_tokens=max_tokens, max_cost=max_cost)
    checks.at_least(1, choices_per_request=choices_per_request)
    if min_samples is not None:
        checks.at_least(1, min_samples=min_samples)
        checks.between(1, num_samples, min_samples=min_samples)
    check_key(key)
    check_stop(stop)
    samples = Samples(
        prompt,
        temperature=temperature,
        max_tokens=max_tokens,
        max_concurrency=max_concurrency,
        per_request=choices_per_request,
        may_fail=num_samples - (min_samples or num_samples),
    )
    votes, reader = Votes(), Reader(key)
    is_unanimous = strategy == VotingStrategy.UNANIMOUS
    needed = stop_rule(stop, unanimous=is_unanimous)

    async with Run(
        "consensus", provider, max_cost=max_cost, retry=retry, salvage=lambda: {"responses": samples.texts}
    ) as run:
        # For all samples, early stop or not: a vote that begins must be able to end. Whoever has less may ask
        # for a smaller ceiling, which costs nothing; half a vote costs and gives no answer. An early stop may
        # come to asking for one sample at a time, whatever a request could hold.
        at_a_time = choices_per_request if stop == "all" else 1
        run.require(calls=-(-num_samples // at_a_time), replies=num_samples)
        while window := needed(votes, num_samples - samples.asked):
            for sample in await samples.take(run, window):
                votes.add(sample, reader.answer(sample, samples.replies[sample]))

        if votes.winner is None:
            raise ConsensusFailedError(
                f"none of {len(samples.replies)} samples gave an answer: every reply was empty or filtered"
                + (", or `key` read none in it" if key else "")
            )
        if is_unanimous and len(votes.counts) > 1:
            raise ConsensusFailedError(
                f"the vote was not unanimous: {len(votes.counts)} different answers in "
                f"{len(samples.replies)} samples, {votes.most} for the most common; all of them are in "
                "metadata['responses']"
            )
        return _result(votes, samples, num_samples, run.usage)


def _result(votes: Votes, samples: Samples, num_samples: int, cost: TokenUsage) -> ConsensusResult:
    replies = samples.replies
    share = votes.most / len(replies)
    return ConsensusResult(
        value=replies[votes.first[votes.winner]].content,
        score=share,
        cost=cost,
        agreement_ratio=share,
        unique_responses=len(votes.counts),
        tie_count=votes.tied,
        abstained=votes.abstained,
        truncated_responses=sum(reply.was_truncated for reply in replies.values()),
        answer=votes.winner,
        votes=votes.ranking(),
        margin=votes.most - votes.second,
        is_majority=2 * votes.most > len(replies),
        confidence=certainty(votes.most, votes.second),
        samples_used=len(replies),
        samples_saved=num_samples - samples.asked,
        failed=len(samples.failures),
        failures=samples.reports,
    )
