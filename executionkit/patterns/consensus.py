"""`consensus`: ask the same question several times in parallel and let the answers vote."""

from dataclasses import dataclass

from executionkit.engine import checks
from executionkit.engine.parallel import fan_out, merged
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.engine.voting import tally
from executionkit.errors import ConsensusFailedError
from executionkit.protocols import LLMProvider
from executionkit.responses import LLMResponse
from executionkit.types import PatternResult, TokenUsage, VotingStrategy


@dataclass(frozen=True)
class ConsensusResult(PatternResult[str]):
    """The winning answer; `score` is its share of all samples.

    Attributes:
        agreement_ratio: The winner's share of all samples, the same as `score`.
        unique_responses: How many different answers were given.
        tie_count: How many answers share the top count: 1 means no tie.
        abstained: Samples without an answer: no text, or withheld by a content filter.
        truncated_responses: Samples cut off by `max_tokens`; they vote.
    """

    agreement_ratio: float = 0.0
    unique_responses: int = 0
    tie_count: int = 0
    abstained: int = 0
    truncated_responses: int = 0


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
) -> ConsensusResult:
    """Sample `prompt` several times in parallel and return the answer most samples gave.

    Self-consistency (Wang et al., "Self-Consistency Improves Chain of Thought Reasoning in Language
    Models", ICLR 2023) on whole replies: ask for a short, final form of the answer, since two replies
    agree only when their text does, whitespace apart.

    Args:
        provider: What answers.
        prompt: Sent as the one user message of every sample.
        num_samples: How many completions to ask for; at least 1.
        strategy: "majority": the most common answer wins, a tie goes to the one seen first in sample
            order. "unanimous": all answers must be the same.
        temperature: Sampling temperature in [0, 2]; samples that can't differ have nothing to vote on.
        max_tokens: The most tokens one reply may have; at least 1.
        max_concurrency: How many requests may be in flight at once; at least 1.
        retry: How failed calls are repeated; None means `DEFAULT_RETRY`.
        max_cost: The ceiling for the whole vote; None is no limit.

    Returns:
        The first original text of the winning answer. `metadata` keys: `agreement_ratio`,
        `unique_responses`, `tie_count`, `abstained`, `truncated_responses`.

    Raises:
        ValueError: A parameter is out of range; nothing was called.
        BudgetExhaustedError: The calls left can't pay for `num_samples` (before the first call), or the
            budget ran out on the way.
        ConsensusFailedError: The answers were not unanimous where they had to be, or nobody answered.
        LLMError: A sample failed for good. No further one is started; those in flight are awaited.

    Every error has the texts already paid for in `.metadata["responses"]`, in sample order.
    """
    checks.text(prompt=prompt)
    checks.at_least(1, num_samples=num_samples, max_concurrency=max_concurrency)
    checks.one_of(tuple(VotingStrategy), strategy=strategy)
    checks.sampling(temperature=temperature, max_tokens=max_tokens, max_cost=max_cost)
    replies: dict[int, LLMResponse] = {}

    def texts() -> list[str]:
        return [replies[index].content for index in sorted(replies)]

    async with Run(
        "consensus", provider, max_cost=max_cost, retry=retry, salvage=lambda: {"responses": texts()}
    ) as run:

        async def sample(index: int) -> None:
            replies[index] = await run.complete(
                [{"role": "user", "content": prompt}], temperature=temperature, max_tokens=max_tokens
            )

        run.require(calls=num_samples)
        outcomes = await fan_out(
            sample, num_samples, max_concurrency, on_failure="start no more", when_failed=run.halt
        )
        if outcomes.failures:
            raise merged([outcomes.failures[index] for index in sorted(outcomes.failures)])

        answers = [_answer(replies[index]) for index in range(num_samples)]
        count = tally(answers)
        if count.winner is None:
            raise ConsensusFailedError(
                f"none of {num_samples} samples gave an answer: every reply was empty or filtered"
            )
        if strategy == VotingStrategy.UNANIMOUS and count.unique > 1:
            raise ConsensusFailedError(
                f"the vote was not unanimous: {count.unique} different answers in {num_samples} samples, "
                f"{count.votes} for the most common; all of them are in metadata['responses']"
            )
        share = count.votes / num_samples
        return ConsensusResult(
            value=count.winner,
            score=share,
            cost=run.usage,
            agreement_ratio=share,
            unique_responses=count.unique,
            tie_count=count.tied,
            abstained=answers.count(None),
            truncated_responses=sum(reply.was_truncated for reply in replies.values()),
        )


def _answer(reply: LLMResponse) -> str | None:
    """The text a reply votes for, or None when it is no answer."""
    if reply.was_filtered or not reply.content.strip():
        return None
    return reply.content
