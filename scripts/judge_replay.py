"""Let a model judge recorded replies to word problems: does its score tell right from wrong?

    python scripts/judge_replay.py BASE_URL MODEL [--pairs 60]

The replies are those in steps of `benchmarks/data/phrasings_replies.jsonl.gz`. Of each problem that was
answered both rightly and wrongly, the first right and the first wrong reply are judged by
`Rubric(expected=True)`. A pair is told apart if the right reply has the higher score; a tie counts half. The
share of such pairs is printed for the score that was written and for the one to be expected of it, each with
a 95 % interval by a bootstrap over the pairs.
"""

import argparse
import asyncio
import gzip
import json
from collections import defaultdict
from pathlib import Path

from record_replies import problems

from executionkit import Evaluation, ExecutionKitError, Provider, Rubric, answers
from executionkit.bench._statistics import bootstrap

DATA = Path(__file__).parent.parent / "benchmarks" / "data" / "phrasings_replies.jsonl.gz"
CRITERIA = "The answer to the problem is right. Check each step."


def pairs(most: int) -> list[tuple[str, str, str]]:
    """Problems, each with a right and a wrong reply."""
    replies: dict[int, dict[bool, str]] = defaultdict(dict)
    with gzip.open(DATA, "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            number = answers.number(row["text"])
            if row["form"] == "steps" and number is not None:
                replies[row["qid"]].setdefault(number == row["gold"], row["text"])
    asked = problems(max(replies) + 1)
    both = [(asked[qid][0], each[True], each[False]) for qid, each in replies.items() if len(each) == 2]
    return both[:most]


def told_apart(right: float, wrong: float) -> float:
    """Whether a pair is told apart."""
    return 0.5 if right == wrong else float(right > wrong)


def written(verdict: Evaluation) -> float:
    """The score that the judge wrote."""
    return verdict.score if verdict.stated is None else verdict.stated


async def measure(base_url: str, model: str, most: int) -> None:
    """Judge all pairs, and print how many each score tells apart."""
    rubric = Rubric(CRITERIA, expected=True)
    places = asyncio.Semaphore(8)

    async with Provider(base_url, model, timeout=600) as provider:

        async def judged(problem: str, text: str) -> Evaluation | None:
            async with places:
                try:
                    return await rubric(text, provider, task=problem)
                except ExecutionKitError as exc:
                    print(f"not judged: {exc}")
                    return None

        found = pairs(most)
        verdicts = await asyncio.gather(*(judged(problem, text) for problem, *two in found for text in two))
    both = [(a, b) for a, b in zip(verdicts[::2], verdicts[1::2], strict=True) if a and b]
    expected = [told_apart(a.score, b.score) for a, b in both]
    stated = [told_apart(written(a), written(b)) for a, b in both]
    without = sum(each.stated is None for pair in both for each in pair)
    print(f"{len(both)} of {len(found)} pairs; {without} scores without log-probabilities")
    for name, told in (("the score that was written", stated), ("its expectation", expected)):
        mean, interval = sum(told) / len(told), bootstrap(told, resamples=2000, seed=1)
        print(f"{name:28} {mean:6.1%}  [{interval.low:.1%}, {interval.high:.1%}]  ties {told.count(0.5)}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base_url")
    parser.add_argument("model")
    parser.add_argument("--pairs", type=int, default=60)
    args = parser.parse_args()
    asyncio.run(measure(args.base_url, args.model, args.pairs))


if __name__ == "__main__":
    main()
