"""Recorded replies, played through `consensus(confidence=...)` and `best_of_n(evaluator=Confidence())`.

    python benchmarks/confidence_replay.py [--orders 20]

The recording is `data/arithmetic_replies.jsonl`: 71 problems, 12 replies to each, with the mean
log-probability of their tokens. Of each problem the first replies of random orders vote, the same orders
for every rule. The interval of a gain is that of a bootstrap over the problems, because the replies to one
problem are alike.

The status is 1 when a vote stopped by "decided" has another winner than the vote of all samples.
"""

import argparse
import asyncio
import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

from executionkit import (
    Confidence,
    ConsensusFailedError,
    LLMResponse,
    MockProvider,
    TokenLogprob,
    answers,
    best_of_n,
    consensus,
)
from executionkit.bench._statistics import bootstrap, mean

DATA = Path(__file__).parent / "data" / "arithmetic_replies.jsonl"
SIZES = (1, 3, 5, 8, 12)
SEED = 20_250_821

Rule: TypeAlias = Literal["ties"] | float | None
RULES: tuple[Rule, ...] = (None, "ties", 1 / 3, 2 / 3)


class Problem(NamedTuple):
    """A problem's right answer and its recorded replies."""

    gold: float
    replies: list[LLMResponse]


def load() -> list[Problem]:
    """Read the recording."""
    found: dict[int, Problem] = {}
    for line in DATA.read_text(encoding="utf-8").splitlines():
        reply = json.loads(line)
        tokens = (TokenLogprob(reply["text"], reply["mean_logprob"]),)
        problem = found.setdefault(reply["qid"], Problem(reply["gold"], []))
        problem.replies.append(LLMResponse(reply["text"], logprobs=tokens))
    return list(found.values())


async def winner(replies: Sequence[LLMResponse], rule: Rule, stop: Any = "all") -> tuple[object, int]:
    """Hold one vote; returns the winner, and the samples that it took."""
    provider = MockProvider(replies, strict=True)
    try:
        result = await consensus(
            provider,
            "q",
            num_samples=len(replies),
            key=answers.number,
            max_concurrency=len(replies),
            confidence=rule,
            stop=stop,
        )
    except ConsensusFailedError:
        return None, len(replies)
    return result.answer, result.samples_used


async def play(problems: list[Problem], orders: int) -> tuple[dict[tuple[int, Any], list[float]], int, float]:
    """Hold all votes.

    Returns:
        For each size and rule, the share of right votes of each problem; how many votes with "ties" that
        stopped early had another winner; and the samples that those took, as a share.
    """
    right: dict[tuple[int, Any], list[float]] = defaultdict(list)
    different = taken = asked = 0
    chance = random.Random(SEED)
    for problem in problems:
        found: dict[tuple[int, Any], int] = defaultdict(int)
        for _ in range(orders):
            order = chance.sample(problem.replies, len(problem.replies))
            for size in SIZES:
                answers_by_rule = {rule: (await winner(order[:size], rule))[0] for rule in RULES}
                for rule, answer in answers_by_rule.items():
                    found[size, rule] += answer == problem.gold
                early, used = await winner(order[:size], "ties", "decided")
                different += early != answers_by_rule["ties"]
                taken, asked = taken + used, asked + size
        best = await best_of_n(
            MockProvider(problem.replies), "q", evaluator=Confidence(), num_samples=len(problem.replies)
        )
        found[len(problem.replies), "best"] = orders * (answers.number(best.value) == problem.gold)
        for key, count in found.items():
            right[key].append(100 * count / orders)
    return right, different, taken / asked


def gain(better: list[float], base: list[float]) -> str:
    """The mean difference with its 95 % interval."""
    differences = [one - other for one, other in zip(better, base, strict=True)]
    low, high = bootstrap(differences, resamples=2_000, seed=SEED)
    return f"{mean(differences):+5.1f} [{low:+5.1f}, {high:+5.1f}]"


def main() -> int:
    """Hold the votes and print the table."""
    parser = argparse.ArgumentParser(description="Play recorded replies through votes by confidence.")
    parser.add_argument("--orders", type=int, default=20, help="random orders of the replies to each problem")
    arguments = parser.parse_args()
    problems = load()
    right, different, taken = asyncio.run(play(problems, arguments.orders))
    print(f"{len(problems)} problems, {arguments.orders} orders; right answers in percent, and the gain\n")
    print(f"{'samples':>7}  {'plain':>5}  {'ties':<30}{'the most probable third':<30}{'two thirds'}")
    for size in SIZES:
        base = right[size, None]
        cells = [f"{mean(right[size, rule]):5.1f} {gain(right[size, rule], base)}" for rule in RULES[1:]]
        print(f"{size:>7}  {mean(base):5.1f}  {cells[0]:<30}{cells[1]:<30}{cells[2]}")
    best = mean(right[12, "best"])
    print(f"\nthe most probable reply of 12, by best_of_n(evaluator=Confidence()): {best:.1f}")
    print(f'"ties" with stop="decided": {taken:.0%} of the samples, {different} other winners')
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
