"""The tasks that a model is measured with: orders to read, sums to work out, questions to vote on."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

SEED = 1201
Order: TypeAlias = Mapping[str, str | int]

_NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_ITEMS = ("tea", "coffee", "soup", "salad", "cake")
_SIZES = ("small", "medium", "large")
_WORDINGS = (
    "Hello, I would like {count} {size} portions of {item}, please.",
    "Good morning! For table seven: {item}, {size}, {count} of them.",
    "We wanted {other} at first, but please make it {count}. {size} {item} for everyone.",
    "Could you bring us {count} times {item}? {size} will do.",
    "My friend takes nothing. I take {count} {size} ones of your {item}.",
)

ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "item": {"type": "string", "enum": list(_ITEMS)},
        "size": {"type": "string", "enum": list(_SIZES)},
        "count": {"type": "integer", "enum": list(range(1, len(_NUMBERS) + 1))},
    },
    "required": ["item", "size", "count"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Task:
    """Something to be asked.

    Attributes:
        prompt: The question.
        answer: The right answer.
    """

    prompt: str
    answer: Order | int


def orders(count: int) -> list[Task]:
    """Orders in a few words; the answer is the order as data."""
    chance = random.Random(SEED)
    made: list[Task] = []
    for number in range(count):
        item, size = chance.choice(_ITEMS), chance.choice(_SIZES)
        many, other = chance.sample(range(len(_NUMBERS)), 2)
        text = _WORDINGS[number % len(_WORDINGS)].format(
            item=item, size=size, count=_NUMBERS[many], other=_NUMBERS[other]
        )
        answer: Order = {"item": item, "size": size, "count": many + 1}
        made.append(Task(f"Read this order, and give it as JSON.\n\n{text}", answer))
    return made


def sums(count: int) -> list[Task]:
    """Sums that are too hard to guess, for a calculator."""
    chance = random.Random(SEED)
    made: list[Task] = []
    for number in range(count):
        a, b = chance.randint(120, 980), chance.randint(12, 98)
        sign, answer = (("+", a + b), ("-", a - b), ("*", a * b))[number % 3]
        made.append(Task(f"What is {a} {sign} {b}? Use the calculator.", answer))
    return made


def questions(count: int) -> list[Task]:
    """Questions of one or two easy steps, which a small model gets right now and then."""
    chance = random.Random(SEED)
    made: list[Task] = []
    while len(made) < count:
        a, b, c = chance.randint(2, 9), chance.randint(2, 9), chance.randint(2, 5)
        kinds = (
            (f"What is {a} + {b}?", a + b),
            (f"What is {a} times {b}?", a * b),
            (f"Ana has {a + b} pens and gives away {b}. How many pens has Ana left?", a),
            (f"A box holds {a} eggs. How many eggs do {c} boxes hold?", a * c),
            (f"Ben has {a} coins, finds {b} and loses 1. How many coins has Ben now?", a + b - 1),
        )
        text, answer = kinds[len(made) % len(kinds)]
        made.append(Task(f"{text} Reply with the number only.", answer))
    return made
