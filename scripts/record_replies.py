"""Record a model's replies to word problems in four forms of answer, for `benchmarks/diverse_replay.py`.

    python scripts/record_replies.py BASE_URL MODEL OUT.jsonl [--problems 150] [--samples 10]

The problems and their answers come from a seeded generator. A recording that was interrupted goes on where it
stopped. Each line of the file is one reply: the number of the problem and of the reply, the prompt form, the
right answer, the text, the mean log-probability of its tokens, their number, and whether it was cut off.
"""

import argparse
import asyncio
import json
import random
from pathlib import Path

from executionkit import CostTracker, Provider, RetryConfig, checked_complete

SEED = 20_261_130
EXAMPLES = (
    ("Mia has 40 stamps. She gives away 12 and gets 25. How many has she now?", 40, "- 12", 28, "+ 25", 53),
    (
        "A box holds 6 eggs. Leo buys 4 boxes and breaks 5 eggs. How many eggs are left?",
        6,
        "* 4",
        24,
        "- 5",
        19,
    ),
)
FORMS = {
    "answer first": "The answer is {end}, because {start} {one} = {middle} and {middle} {two} = {end}.",
    "steps": "{start} {one} = {middle}. {middle} {two} = {end}. The answer is {end}.",
    "code": "a = {start} {one}  # {middle}\nb = a {two}  # {end}\nThe answer is {end}.",
    "table": "| first | {start} {one} | {middle} |\n| then | {middle} {two} | {end} |\nThe answer is {end}.",
}


def messages(form: str, question: str) -> list[dict[str, str]]:
    """A question after two examples, answered in one form."""
    told = []
    for text, start, one, middle, two, end in EXAMPLES:
        answer = FORMS[form].format(start=start, one=one, middle=middle, two=two, end=end)
        told += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
    return [*told, {"role": "user", "content": question}]


def problems(count: int) -> list[tuple[str, int]]:
    """Word problems of two or three steps, each with its answer."""
    rng = random.Random(SEED)
    names, things = (
        ("Ana", "Ben", "Chen", "Dina", "Emil", "Fay"),
        ("pens", "apples", "books", "coins", "cards"),
    )
    made: list[tuple[str, int]] = []
    while len(made) < count:
        who, what = rng.choice(names), rng.choice(things)
        a, b, c, d = rng.randint(3, 9), rng.randint(11, 29), rng.randint(31, 99), rng.randint(101, 399)
        few, some = c % 20, c % 30
        kinds = (
            (
                f"{who} has {c} {what}. {who} gives away {b} and gets {a * 7}. How many has {who} now?",
                c - b + a * 7,
            ),
            (
                f"{who} buys {a} boxes with {b} {what} each and gives away {few}. How many are left?",
                a * b - few,
            ),
            (f"A train goes {d} km, and then {c} km for {a} hours each. How far is that?", d + c * a),
            (
                f"{who} saves {b} euros a week for {a} weeks and then spends {some}. How much is left?",
                a * b - some,
            ),
            (
                f"{a * b} {what} are shared among {a} children. One of them, {who}, gets {c} more. "
                f"How many has {who}?",
                b + c,
            ),
            (f"A shop has {d} {what}. It sells {b} a day for {a} days. How many are left?", d - a * b),
        )
        made.append(kinds[len(made) % len(kinds)])
    return made


def recorded(out: Path) -> set[tuple[int, str, int]]:
    """The replies that the file has: problem, form and number."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.exists() else []
    return {(row["qid"], row["form"], row["k"]) for row in map(json.loads, lines)}


async def record(base_url: str, model: str, out: Path, count: int, samples: int, in_flight: int) -> None:
    """Ask for every reply that the file lacks, one problem after the other."""
    have, asked = recorded(out), problems(count)
    todo = [
        (qid, form, k)
        for qid in range(count)
        for form in FORMS
        for k in range(samples)
        if (qid, form, k) not in have
    ]
    places = asyncio.Semaphore(in_flight)
    tracker, patient = CostTracker(), RetryConfig(max_retries=5)
    with out.open("a", encoding="utf-8") as file:
        async with Provider(base_url, model, timeout=600) as provider:

            async def one(qid: int, form: str, k: int) -> None:
                text, gold = asked[qid]
                options = {"temperature": 0.8, "max_tokens": 120, "logprobs": True, "seed": 1000 * k + qid}
                async with places:
                    reply = await checked_complete(
                        provider, messages(form, text), tracker, None, patient, **options
                    )
                mean = reply.mean_logprob
                row = {
                    "qid": qid,
                    "form": form,
                    "k": k,
                    "gold": gold,
                    "text": reply.content,
                    "mean_logprob": None if mean is None else round(mean, 4),
                    "n_tokens": reply.output_tokens,
                    "cut": reply.finish_reason == "length",
                }
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()

            await asyncio.gather(*(one(*place) for place in todo))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base_url")
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--problems", type=int, default=150)
    parser.add_argument("--samples", type=int, default=10)
    parser.add_argument("--in-flight", type=int, default=8)
    args = parser.parse_args()
    asyncio.run(record(args.base_url, args.model, args.out, args.problems, args.samples, args.in_flight))


if __name__ == "__main__":
    main()
