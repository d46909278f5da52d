"""What early stops save and cost: recorded votes played through the real `consensus`.

    python benchmarks/consensus_replay.py votes.jsonl [--orderings 5] [--plot consensus_replay.svg]

A line of the file is a question, `{"gold": "A", "samples": ["A", "B", "invalid", ...]}`, with eight samples
or more, where "invalid" is a reply without a readable answer; it abstains. Every question is asked in the
recorded order and in random ones, the same for every rule. Votes of forty are drawn from the eight with
replacement.

The status is 1 when a vote stopped by "decided" has another winner than the full vote, or when a sample was
paid for that was not needed.
"""

import argparse
import asyncio
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from executionkit import ConsensusFailedError, LLMResponse, consensus

RECORDED = 8
DRAWN = 40
CEILINGS = (1, 3, 5, 7, RECORDED, DRAWN)
RULES: tuple[Literal["all", "decided"] | float, ...] = ("all", "decided", 0.99, 0.95, 0.9, 0.8, 0.7)
CONCURRENCIES = (1, 4, DRAWN)
SEED = 20_230_519


class Question(NamedTuple):
    """A question's right answer and the samples recorded for it."""

    gold: str
    samples: list[str]


class Replay:
    """Answers call after call with the next sample. Every reply takes one unit of a time of its own.

    Attributes:
        calls: How many samples were asked for.
        rounds: When the last reply came: how many model calls one after the other the vote took.
    """

    def __init__(self, samples: list[str]) -> None:
        self._samples = samples
        self.calls = 0
        self.rounds = 0

    async def complete(self, messages: object, **_: Any) -> LLMResponse:
        """Give the next sample, after the samples asked for at the same time have been asked for."""
        asked, index = self.rounds, self.calls
        self.calls += 1
        await asyncio.sleep(0)
        self.rounds = max(self.rounds, asked + 1)
        return LLMResponse(self._samples[index])


@dataclass
class Figures:
    """What one rule came to, over many votes."""

    votes: int = 0
    right: int = 0
    calls: int = 0
    rounds: int = 0

    @property
    def accuracy(self) -> float:
        """The share of votes that were won by the right answer, in percent."""
        return 100 * self.right / self.votes

    @property
    def mean_calls(self) -> float:
        """Samples paid for by a vote."""
        return self.calls / self.votes

    @property
    def mean_rounds(self) -> float:
        """Model calls one after the other in a vote."""
        return self.rounds / self.votes


def read(text: str) -> Hashable | None:
    """The answer of a recorded sample."""
    return None if text == "invalid" else text


async def play(
    question: Question, samples: list[str], rule: Any, max_concurrency: int, figures: Figures
) -> Hashable | None:
    """One vote; returns its winner."""
    replay = Replay(samples)
    try:
        result = await consensus(
            replay, "q", num_samples=len(samples), stop=rule, key=read, max_concurrency=max_concurrency
        )
    except ConsensusFailedError:
        answer = None
    else:
        answer = result.answer
        if replay.calls != result.samples_used:
            raise SystemExit(f"{replay.calls} samples were paid for and {result.samples_used} counted")
    figures.votes += 1
    figures.right += answer == question.gold
    figures.calls += replay.calls
    figures.rounds += replay.rounds
    return answer


def orders(question: Question, count: int, chance: random.Random) -> Iterator[tuple[list[str], list[str]]]:
    """The recorded samples in `count` orders, the first as recorded, and with each a longer draw of them."""
    for index in range(count):
        samples = question.samples if not index else chance.sample(question.samples, RECORDED)
        yield samples, chance.choices(question.samples, k=DRAWN)


async def compare(questions: list[Question], orderings: int) -> tuple[dict[tuple[Any, int], Figures], int]:
    """All rules and ceilings; also in how many votes "decided" had another winner than "all"."""
    figures: dict[tuple[Any, int], Figures] = defaultdict(Figures)
    chance = random.Random(SEED)
    different = 0
    for question in questions:
        for samples, draw in orders(question, orderings, chance):
            for ceiling in CEILINGS:
                taken = draw if ceiling == DRAWN else samples[:ceiling]
                winners = {
                    rule: await play(question, taken, rule, ceiling, figures[rule, ceiling]) for rule in RULES
                }
                different += winners["decided"] != winners["all"]
    return figures, different


async def rounds(questions: list[Question]) -> dict[tuple[Any, int, int], Figures]:
    """Rules, ceilings and concurrencies, in one ordering; the samples used don't depend on concurrency."""
    figures: dict[tuple[Any, int, int], Figures] = defaultdict(Figures)
    chance = random.Random(SEED)
    for question in questions:
        for samples, draw in orders(question, 1, chance):
            for taken in (samples, draw):
                for rule in RULES:
                    for concurrency in CONCURRENCIES:
                        key = rule, len(taken), concurrency
                        await play(question, taken, rule, concurrency, figures[key])
    return figures


def plurality(questions: list[Question], *, invalid_votes: bool) -> float:
    """The accuracy of the most common of the recorded samples, over all their orders; counted by hand."""
    right = 0.0
    for question in questions:
        votes = Counter(sample for sample in question.samples if invalid_votes or sample != "invalid")
        best = [answer for answer, count in votes.items() if count == max(votes.values())]
        # Each of several comes first in as many orders as the others.
        right += best.count(question.gold) / max(1, len(best))
    return 100 * right / len(questions)


def report(figures: dict[tuple[Any, int], Figures]) -> None:
    """Print what each rule came to under each ceiling."""
    print(f"{'samples':>7}  {'stop':<8} {'accuracy':>8} {'calls':>7} {'saved':>7} {'rounds':>7}")
    for ceiling in CEILINGS[1:]:
        for rule in RULES:
            found = figures[rule, ceiling]
            print(
                f"{ceiling:>7}  {rule!s:<8} {found.accuracy:>7.2f}% {found.mean_calls:>7.3f}"
                f" {1 - found.mean_calls / ceiling:>7.1%} {found.mean_rounds:>7.2f}"
            )
        print()


def report_rounds(figures: dict[tuple[Any, int, int], Figures]) -> None:
    """Print how many model calls one after the other each rule takes at each concurrency."""
    print("rounds, by max_concurrency:")
    print(f"{'samples':>7}  {'stop':<8} {'calls':>7}", *(f"{width:>7}" for width in CONCURRENCIES))
    for ceiling in (RECORDED, DRAWN):
        for rule in RULES:
            row = [figures[rule, ceiling, width] for width in CONCURRENCIES]
            if len({found.calls for found in row}) != 1:
                raise SystemExit(f"the samples used depend on max_concurrency: {row}")
            means = (f"{found.mean_rounds:>7.2f}" for found in row)
            print(f"{ceiling:>7}  {rule!s:<8} {row[0].mean_calls:>7.3f}", *means)


# -- the plot --------------------------------------------------------------------------------------------

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 470, 70, 60, 150, 60
COLOURS = ("#555555", "#0072b2", "#009e73", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9")


def plot(figures: dict[tuple[Any, int], Figures], path: Path) -> None:
    """Draw accuracy over cost, a line for each rule and a point for each ceiling up to the recorded eight."""
    ceilings = [ceiling for ceiling in CEILINGS if ceiling <= RECORDED]
    lines = {
        rule: [(figures[rule, n].mean_calls, figures[rule, n].accuracy) for n in ceilings] for rule in RULES
    }
    heights = [each.accuracy for each in figures.values()]
    low, high = int(min(heights)), int(max(heights)) + 1

    def place(x: float, y: float) -> tuple[float, float]:
        across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return round(LEFT + across * x / RECORDED, 1), round(TOP + down * (high - y) / (high - low), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        _text(LEFT, 24, "Accuracy over cost, for ceilings of 1, 3, 5, 7 and 8 samples", "start", 16),
        _text(LEFT, 42, "circles: a ceiling of 40, drawn from the 8 with replacement", "start"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18, "samples paid for, on average", "middle"),
    ]
    for percent in range(high, low - 1, -2 if high - low > 8 else -1):
        left, y = place(0, percent)
        parts.append(f'<path d="M{left} {y}H{WIDTH - RIGHT}" stroke="#dddddd"/>')
        parts.append(_text(left - 8, y + 4, f"{percent}%", "end"))
    for samples in range(RECORDED + 1):
        x, bottom = place(samples, low)
        parts.append(_text(x, bottom + 20, str(samples), "middle"))
    for index, (rule, line) in enumerate(lines.items()):
        colour = COLOURS[index]
        drawn = [place(*point) for point in line]
        path_of_line = "L".join(f"{x} {y}" for x, y in drawn)
        parts.append(f'<path d="M{path_of_line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>' for x, y in drawn)
        many = figures[rule, DRAWN]
        if many.mean_calls <= RECORDED:
            x, y = place(many.mean_calls, many.accuracy)
            parts.append(f'<circle cx="{x}" cy="{y}" r="5" fill="white" stroke="{colour}" stroke-width="2"/>')
        y = TOP + 20 * index + 10
        parts.append(f'<rect x="{WIDTH - RIGHT + 20}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(WIDTH - RIGHT + 40, y, f"stop={rule!r}", "start"))
    path.write_text("\n".join([*parts, "</svg>", ""]), encoding="utf-8")


def _text(x: float, y: float, text: str, anchor: str, size: int = 13) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}">{text}</text>'


# -- the program -----------------------------------------------------------------------------------------


def load(path: Path) -> list[Question]:
    """Read the recorded votes; of more than eight samples the first eight."""
    questions: list[Question] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        record = json.loads(line)
        questions.append(Question(record["gold"], record["samples"][:RECORDED]))
        if len(questions[-1].samples) < RECORDED:
            raise SystemExit(f"line {len(questions)} has fewer than {RECORDED} samples")
    return questions


def main() -> int:
    """Play the votes, print the tables, draw the plot."""
    parser = argparse.ArgumentParser(description="Play recorded votes through consensus().")
    parser.add_argument("votes", type=Path, nargs="?", help="recorded votes, a JSON object a line")
    parser.add_argument("--orderings", type=int, default=5, help="orders of the samples of each question")
    parser.add_argument("--plot", type=Path, help="where to draw accuracy over cost, as SVG")
    arguments = parser.parse_args()
    if arguments.votes is None:
        print("consensus_replay: no file of recorded votes given, nothing to play")
        return 0
    questions = load(arguments.votes)
    abstaining, voting = (plurality(questions, invalid_votes=each) for each in (False, True))
    print(f"{len(questions)} questions, {RECORDED} samples each, {arguments.orderings} orderings")
    print(
        f"plurality of {RECORDED}, over all orders: {abstaining:.2f}% where invalid replies abstain,", end=" "
    )
    print(f"{voting:.2f}% where they vote\n")
    figures, different = asyncio.run(compare(questions, arguments.orderings))
    report(figures)
    report_rounds(asyncio.run(rounds(questions)))
    votes = sum(found.votes for (rule, _), found in figures.items() if rule == "decided")
    print(f'\nwinners under "decided" that differ from the full vote\'s: {different} of {votes}')
    if arguments.plot is not None:
        plot(figures, arguments.plot)
        print(f"drawn: {arguments.plot}")
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())
