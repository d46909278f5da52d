"""Recorded replies in several phrasings, played through `consensus(variants=...)` and `cascade`.

    python benchmarks/diverse_replay.py [replies.jsonl.gz] [--orders 20] [--plot diverse_replay.svg]

Without a file it plays `data/phrasings_replies.jsonl.gz`: arithmetic problems, asked for in four forms of
answer, with ten replies to each form. `data/README.md` says where it comes from, and `record_replies.py`
records such a file with a model of yours.

Every rule plays the same random orders of the replies. The strong tier of a cascade is a vote over further
replies in all forms, because the recording has one model. The intervals are those of a bootstrap over the
problems, because the replies to one problem are alike.

The status is 1 when a call was paid for that the rules don't allow, or a phrasing was asked out of turn.
"""

import argparse
import asyncio
import gzip
import json
import random
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from executionkit import ConsensusFailedError, LLMResponse, Tier, answers, cascade, consensus
from executionkit.bench._statistics import Interval, bootstrap, mean
from executionkit.bench._svg import Drawing

DATA = Path(__file__).parent / "data" / "phrasings_replies.jsonl.gz"
SEED = 20_261_130
VOTES = (5, 10)
STRONG = 8

Texts: TypeAlias = dict[str, list[str]]


class Problem(NamedTuple):
    """A problem's right answer, and its recorded replies by form."""

    gold: float
    texts: Texts


class Outcome(NamedTuple):
    """What one rule came to on one problem: the share of right answers in percent, and the calls."""

    right: float
    calls: float


class Replay:
    """A provider that answers with the next recorded reply in the form that the prompt names.

    Attributes:
        asked: The forms in the order of the calls.
    """

    def __init__(self, texts: Texts) -> None:
        self._left = {form: list(replies) for form, replies in texts.items()}
        self.asked: list[str] = []

    async def complete(self, messages: Sequence[dict[str, Any]], **_: Any) -> LLMResponse:
        """Return the next reply in the form."""
        form = messages[-1]["content"]
        self.asked.append(form)
        return LLMResponse(self._left[form].pop(0))


def load(path: Path) -> dict[int, Problem]:
    """Read the recording: the problems that have all replies in all forms."""
    found: dict[int, Problem] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = sorted(map(json.loads, lines), key=lambda row: (row["qid"], row["k"]))
    for row in rows:
        problem = found.setdefault(row["qid"], Problem(row["gold"], {}))
        problem.texts.setdefault(row["form"], []).append(row["text"])
    shapes = [{form: len(texts) for form, texts in problem.texts.items()} for problem in found.values()]
    whole = max(shapes, key=lambda shape: sum(shape.values()))
    return {
        qid: problem for (qid, problem), shape in zip(found.items(), shapes, strict=True) if shape == whole
    }


async def vote(texts: Texts, forms: Sequence[str], size: int) -> tuple[object, list[str]]:
    """Hold one vote over one form or several; returns the answer, and the forms that were asked."""
    replay = Replay(texts)
    try:
        result = await consensus(
            replay, forms[0], variants=tuple(forms[1:]), num_samples=size, key=answers.number
        )
    except ConsensusFailedError:
        return None, replay.asked
    if sorted(replay.asked) != sorted(forms[index % len(forms)] for index in range(size)):
        raise SystemExit(f"a phrasing was asked out of turn: {replay.asked}")
    return result.answer, replay.asked


async def climb(texts: Texts, forms: Sequence[str]) -> tuple[object, list[str]]:
    """Two samples, and where they disagree a vote over the further replies in all forms."""
    pair = [*forms, forms[0]][:2]
    cheap = Replay(texts)
    rest = {form: texts[form][pair.count(form) :] for form in texts}
    strong = Strong(rest)
    tiers = (Tier(cheap, num_samples=2), Tier(strong, num_samples=1))
    try:
        result = await cascade(tiers, pair[0], variants=tuple(set(pair[1:]) - {pair[0]}), key=answers.number)
    except ConsensusFailedError:
        return None, cheap.asked + strong.asked
    if result.escalated is not bool(strong.asked) or sorted(cheap.asked) != sorted(pair):
        raise SystemExit(f"wrong calls: {cheap.asked} and {strong.asked}, escalated {result.escalated}")
    return result.answer, cheap.asked + strong.asked


class Strong:
    """A stronger model: each of its replies is a vote over `STRONG` recorded ones, in all forms.

    Attributes:
        asked: The forms in the order of the recorded replies.
    """

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self.asked: list[str] = []

    async def complete(self, messages: object, **_: Any) -> LLMResponse:
        """Hold the vote, and say its winner."""
        answer, asked = await vote(self._texts, list(self._texts), STRONG)
        self.asked += asked
        return LLMResponse("I can't say." if answer is None else f"The answer is {answer}.")


def ranking(problems: dict[int, Problem]) -> list[str]:
    """The forms, the one whose replies are right most often first."""
    right: dict[str, int] = defaultdict(int)
    for problem in problems.values():
        for form, texts in problem.texts.items():
            right[form] += sum(answers.number(text) == problem.gold for text in texts)
    return sorted(right, key=lambda form: -right[form])


async def play(problems: dict[int, Problem], orders: int) -> dict[str, list[Outcome]]:
    """Play every rule on every problem."""
    chance = random.Random(SEED)
    ranked = ranking(problems)
    sets = {f"'{ranked[0]}'": ranked[:1], "the best 2 forms": ranked[:2], "the best 3 forms": ranked[:3]}
    sets["all forms"] = ranked
    found: dict[str, list[Outcome]] = defaultdict(list)
    for problem in problems.values():
        played: dict[str, list[tuple[object, list[str]]]] = defaultdict(list)
        for _ in range(orders):
            texts = {form: chance.sample(replies, len(replies)) for form, replies in problem.texts.items()}
            for form in ranked:
                played[f"1 sample of '{form}'"].append(await vote(texts, [form], 1))
            for name, forms in sets.items():
                dealt = chance.sample(forms, len(forms))
                for size in VOTES:
                    played[f"{size} votes, {name}"].append(await vote(texts, dealt, size))
            for name in (f"'{ranked[0]}'", "the best 2 forms", "all forms"):
                dealt = chance.sample(sets[name], len(sets[name]))
                played[f"cascade, {name}"].append(await climb(texts, dealt))
            played["its strong tier alone"].append(await vote(texts, ranked, STRONG))
        for rule, outcomes in played.items():
            right = sum(answer == problem.gold for answer, _ in outcomes)
            calls = sum(len(asked) for _, asked in outcomes)
            found[rule].append(Outcome(100 * right / orders, calls / orders))
    return found


def interval(values: Sequence[float]) -> Interval:
    """The 95 % interval of the mean, by a bootstrap over the problems."""
    return bootstrap(values, resamples=2_000, seed=SEED)


def plot(found: dict[str, list[Outcome]], rules: Sequence[str], path: Path) -> None:
    """Draw a bar for each rule, with its interval and its calls."""
    width, row, left, scale = 760, 26, 260, 3.6
    height = row * len(rules) + 60
    drawing = Drawing(width, height, "Right answers in percent, and calls for each problem")
    for index, rule in enumerate(rules):
        y = 40 + row * index
        shares = [outcome.right for outcome in found[rule]]
        share, (low, high) = mean(shares), interval(shares)
        calls = mean([outcome.calls for outcome in found[rule]])
        colour = "#009e73" if "forms" in rule else "#999999"
        drawing.text(left - 10, y + 14, rule.replace("'", ""), "end")
        drawing.bar(left, y + 2, scale * share, 16, colour)
        drawing.line([(left + scale * low, y + 10), (left + scale * high, y + 10)])
        drawing.text(left + scale * max(share, high) + 8, y + 14, f"{share:.1f} %, {calls:.1f} calls")
    path.write_text(drawing.done(), encoding="utf-8")


def main() -> int:
    """Play the rules, print the table, draw the bars."""
    parser = argparse.ArgumentParser(description="Play recorded replies through votes over phrasings.")
    parser.add_argument(
        "replies", type=Path, nargs="?", default=DATA, help="recorded replies, gzip of JSON lines"
    )
    parser.add_argument("--orders", type=int, default=20, help="random orders of the replies to each problem")
    parser.add_argument("--plot", type=Path, help="where to draw the bars, as SVG")
    arguments = parser.parse_args()
    problems = load(arguments.replies)
    found = asyncio.run(play(problems, arguments.orders))
    print(f"{len(problems)} problems, {arguments.orders} orders; right answers in percent, 95 % intervals\n")
    rules = list(found)
    for rule in rules:
        shares = [outcome.right for outcome in found[rule]]
        low, high = interval(shares)
        calls = mean([outcome.calls for outcome in found[rule]])
        print(f"{rule:<32} {mean(shares):5.1f}  [{low:4.1f}, {high:5.1f}]  {calls:5.1f} calls")
    print()
    for pattern in ("5 votes, {}", "10 votes, {}", "cascade, {}"):
        base, *others = [rule for rule in rules if rule.startswith(pattern.format(""))]
        for rule in others:
            gains = [one.right - other.right for one, other in zip(found[rule], found[base], strict=True)]
            low, high = interval(gains)
            print(f"{rule} against {base.partition(', ')[2]}: {mean(gains):+.1f} [{low:+.1f}, {high:+.1f}]")
    if arguments.plot is not None:
        plot(found, rules, arguments.plot)
        print(f"drawn: {arguments.plot}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
