"""Recorded replies, played through `consensus`: accuracy, calls and rounds of every stopping rule.

    python benchmarks/consensus_replay.py [votes.jsonl] [--orderings 5] [--plot consensus_replay.svg]

Without a file it plays `data/arithmetic_replies.jsonl`. `data/README.md` says where that comes from.

Two other formats are read. Both have a question on each line, with eight samples or more. "invalid"
stands for a reply without a readable answer, which abstains.

- `{"gold": "A", "samples": ["A", "B", "invalid", ...]}`
- `{"doc_id": 0, "target": "A", "resps": [["A", "D"], ["invalid"], ...]}`: ranked votes, as in
  data/Votes.jsonl of https://github.com/szu-tera/RankedVotingSC. The first choices vote, and of lines
  with the same `doc_id` the first counts.

Every question is asked in the recorded order and in random orders, the same ones for every rule. Votes
of forty are drawn from the first eight samples with replacement.

The status is 1 when a vote stopped by "decided" has another winner than the full vote, or when a vote
paid for a sample that it did not need.
"""

import argparse
import asyncio
import json
import random
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from executionkit import ConsensusFailedError, LLMResponse, answers, consensus
from executionkit.bench._svg import COLOURS as PALETTE
from executionkit.bench._svg import Drawing

DATA = Path(__file__).parent / "data" / "arithmetic_replies.jsonl"
RECORDED = 8
DRAWN = 40
CEILINGS = (1, 3, 5, 7, RECORDED, DRAWN)
RULES: tuple[Literal["all", "decided"] | float, ...] = ("all", "decided", 0.99, 0.95, 0.9, 0.8, 0.7)
CONCURRENCIES = (1, 4, DRAWN)
SEED = 20_230_519


class Question(NamedTuple):
    """A question's right answer, its recorded replies, and the function that reads an answer from a reply."""

    gold: Hashable
    samples: list[str]
    key: Callable[[str], Hashable | None]


class Replay:
    """A provider that answers each call with the next sample; every reply takes one unit of simulated time.

    Attributes:
        calls: The number of samples requested.
        rounds: The simulated time of the last reply, which is the model calls made one after another.
    """

    def __init__(self, samples: list[str]) -> None:
        self._samples = samples
        self.calls = 0
        self.rounds = 0

    async def complete(self, messages: object, **_: Any) -> LLMResponse:
        """Return the next sample, after the other samples of the same round have been requested."""
        asked, index = self.rounds, self.calls
        self.calls += 1
        await asyncio.sleep(0)
        self.rounds = max(self.rounds, asked + 1)
        return LLMResponse(self._samples[index])


@dataclass
class Figures:
    """The totals of one rule, over many votes."""

    votes: int = 0
    right: int = 0
    calls: int = 0
    rounds: int = 0

    @property
    def accuracy(self) -> float:
        """The share of votes that the right answer won, in percent."""
        return 100 * self.right / self.votes

    @property
    def mean_calls(self) -> float:
        """The samples that a vote pays for, on average."""
        return self.calls / self.votes

    @property
    def mean_rounds(self) -> float:
        """The model calls that a vote makes one after another, on average."""
        return self.rounds / self.votes


def letter(text: str) -> Hashable | None:
    """Read the answer from a recorded vote."""
    return None if text == "invalid" else text


async def play(
    question: Question, samples: list[str], rule: Any, max_concurrency: int, figures: Figures
) -> Hashable | None:
    """Hold one vote and return its winner."""
    replay = Replay(samples)
    try:
        result = await consensus(
            replay,
            "q",
            num_samples=len(samples),
            stop=rule,
            key=question.key,
            max_concurrency=max_concurrency,
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
    """Return the samples in `count` orders, the first as recorded, each with a longer draw from them."""
    for index in range(count):
        samples = question.samples if not index else chance.sample(question.samples, RECORDED)
        yield samples, chance.choices(question.samples, k=DRAWN)


async def compare(questions: list[Question], orderings: int) -> tuple[dict[tuple[Any, int], Figures], int]:
    """Measure all rules and ceilings; count the votes in which "decided" had another winner than "all"."""
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
    """Measure all concurrencies, in one ordering."""
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
    """Compute the accuracy of the most common sample over all orders, without the library's own vote."""
    right = 0.0
    for question in questions:
        read = [question.key(sample) for sample in question.samples]
        votes = Counter(answer for answer in read if invalid_votes or answer is not None)
        best = [answer for answer, count in votes.items() if count == max(votes.values())]
        # Of several equally common answers, each comes first in as many orders as the others.
        right += best.count(question.gold) / max(1, len(best))
    return 100 * right / len(questions)


def report(figures: dict[tuple[Any, int], Figures]) -> None:
    """Print the figures of each rule under each ceiling."""
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
    """Print how many model calls one after another each rule takes at each concurrency."""
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
COLOURS = ("#888888", *PALETTE)


def plot(figures: dict[tuple[Any, int], Figures], path: Path) -> None:
    """Draw accuracy over cost, with a line for each rule and a point for each ceiling up to eight."""
    ceilings = [ceiling for ceiling in CEILINGS if ceiling <= RECORDED]
    lines = {
        rule: [(figures[rule, n].mean_calls, figures[rule, n].accuracy) for n in ceilings] for rule in RULES
    }
    heights = [each.accuracy for each in figures.values()]
    low, high = int(min(heights)), int(max(heights)) + 1

    def place(x: float, y: float) -> tuple[float, float]:
        across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
        return round(LEFT + across * x / RECORDED, 1), round(TOP + down * (high - y) / (high - low), 1)

    title = "Accuracy over cost, for ceilings of 1, 3, 5, 7 and 8 samples"
    drawing = Drawing(WIDTH, HEIGHT, title)
    drawing.text(12, 42, "circles: a ceiling of 40, drawn from the 8 with replacement")
    drawing.text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 18, "samples paid for, on average", "middle")
    for percent in range(high, low - 1, -2 if high - low > 8 else -1):
        left, y = place(0, percent)
        drawing.line([(left, y), (WIDTH - RIGHT, y)], "grid")
        drawing.text(left - 8, y + 4, f"{percent}%", "end")
    for samples in range(RECORDED + 1):
        x, bottom = place(samples, low)
        drawing.text(x, bottom + 20, str(samples), "middle")
    for index, (rule, line) in enumerate(lines.items()):
        colour = COLOURS[index]
        drawn = [place(*point) for point in line]
        drawing.stroke(drawn, colour)
        for x, y in drawn:
            drawing.dot(x, y, colour, 3.5)
        many = figures[rule, DRAWN]
        if many.mean_calls <= RECORDED:
            drawing.dot(*place(many.mean_calls, many.accuracy), colour, 5, is_open=True)
        y = TOP + 20 * index + 10
        drawing.bar(WIDTH - RIGHT + 20, y - 10, 12, 12, colour)
        drawing.text(WIDTH - RIGHT + 40, y, f"stop={rule!r}")
    path.write_text(drawing.done(), encoding="utf-8")


# -- the program -----------------------------------------------------------------------------------------


def load(path: Path) -> list[Question]:
    """Read the recorded replies; of more than eight samples of a question, the first eight."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if "text" in lines[0]:
        found = list(by_problem(lines).values())
    elif "resps" in lines[0]:
        first = {line["doc_id"]: line for line in reversed(lines)}
        unique = [line for line in lines if first[line["doc_id"]] is line]
        found = [Question(line["target"], [each[0] for each in line["resps"]], letter) for line in unique]
    else:
        found = [Question(line["gold"], line["samples"], letter) for line in lines]
    questions = [question._replace(samples=question.samples[:RECORDED]) for question in found]
    for index, question in enumerate(questions):
        if len(question.samples) < RECORDED:
            raise SystemExit(f"question {index} has fewer than {RECORDED} samples")
    return questions


def by_problem(lines: list[dict[str, Any]]) -> dict[int, Question]:
    """Gather the replies to each arithmetic problem."""
    found: dict[int, Question] = {}
    for line in lines:
        question = found.setdefault(line["qid"], Question(line["gold"], [], answers.number))
        question.samples.append(line["text"])
    return found


def main() -> int:
    """Hold the votes, print the tables, draw the plot."""
    parser = argparse.ArgumentParser(description="Play recorded votes through consensus().")
    parser.add_argument(
        "votes", type=Path, nargs="?", default=DATA, help="recorded votes, one JSON object on each line"
    )
    parser.add_argument("--orderings", type=int, default=5, help="orders of the samples of each question")
    parser.add_argument("--plot", type=Path, help="where to draw accuracy over cost, as SVG")
    arguments = parser.parse_args()
    questions = load(arguments.votes)
    abstaining, voting = (plurality(questions, invalid_votes=each) for each in (False, True))
    name, orderings = arguments.votes.name, arguments.orderings
    print(f"{name}: {len(questions)} questions, {RECORDED} samples each, {orderings} orderings")
    print(
        f"plurality of {RECORDED}, over all orders: {abstaining:.2f}% where invalid replies abstain,", end=" "
    )
    print(f"{voting:.2f}% where they vote")
    figures, different = asyncio.run(compare(questions, orderings))
    print(f"a single answer: {figures['all', 1].accuracy:.2f}%\n")
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
