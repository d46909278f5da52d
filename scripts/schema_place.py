"""How often a real model extracts the right value, by the place of the schema in the request.

    python scripts/schema_place.py http://localhost:8080/v1 [model]

The server must report `timings`, as llama.cpp's does. 72 short texts of three families are read with each
arrangement, at temperature 0. `docs/decisions/0013-the-schema-goes-first.md` has the result for one model.
"""

import asyncio
import calendar
import json
import math
import random
import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from executionkit import LLMError, Provider
from executionkit._output import SchemaMode, UnfitError
from executionkit._schema_modes import request_fields
from executionkit.engine.parallel import gather_strict
from executionkit.patterns._structured_reply import read_json

EACH: Final = 24
RANDOM: Final = random.Random(7)
FIRST: Final = ("Anna", "Boris", "Chloe", "Deniz", "Emil", "Farah", "Goran", "Hana", "Ivo", "Jana", "Karim")
LAST: Final = ("Novak", "Schmidt", "Rossi", "Okafor", "Tanaka", "Garcia", "Larsen", "Haddad", "Kovacs")
CITIES: Final = ("Oslo", "Lyon", "Graz", "Porto", "Turin", "Gdansk", "Basel", "Leeds", "Bergen", "Malmo")
ARTICLES: Final = ("AX-17", "BK-20", "CM-31", "DN-44", "EP-52", "FR-68", "GS-75", "HT-83")
TRADES: Final = ("nurse", "baker", "architect", "bus driver", "biologist", "carpenter", "teacher", "pilot")
MONTHS: Final = calendar.month_name[1:]
CHILDREN: Final = ("no children", "one child", "two children", "three children", "four children")

STRING: Final = {"type": "string"}
INTEGER: Final = {"type": "integer"}


def an_object(**properties: Any) -> dict[str, Any]:
    """The schema of an object that has all of these properties and no others."""
    required = list(properties)
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


class Case(NamedTuple):
    """A text to read, the schema of the value, and the right value."""

    prompt: str
    schema: dict[str, Any]
    value: dict[str, Any]


def order() -> Case:
    """An order in an e-mail."""
    name, city = f"{RANDOM.choice(FIRST)} {RANDOM.choice(LAST)}", RANDOM.choice(CITIES)
    items = [
        (article, RANDOM.randint(2, 60)) for article in RANDOM.sample(ARTICLES, RANDOM.choice([1, 2, 3]))
    ]
    is_express = RANDOM.random() < 0.5
    listed = ", ".join(f"{quantity} pieces of {article}" for article, quantity in items)
    haste = "We need it by express." if is_express else "There is no hurry, normal delivery is fine."
    return Case(
        f"Read the order in this e-mail.\n\nHello,\n\nwe would like to order {listed}. Please deliver to our "
        f"shop in {city}. {haste}\n\nKind regards,\n{name}",
        an_object(
            customer=STRING,
            city=STRING,
            items={"type": "array", "items": an_object(article=STRING, quantity=INTEGER)},
            express={"type": "boolean"},
        ),
        {
            "customer": name,
            "city": city,
            "items": [{"article": article, "quantity": quantity} for article, quantity in items],
            "express": is_express,
        },
    )


def person() -> Case:
    """A description of a person."""
    first, last, city = RANDOM.choice(FIRST), RANDOM.choice(LAST), RANDOM.choice(CITIES)
    trade, age, children = RANDOM.choice([*TRADES, None]), RANDOM.randint(21, 79), RANDOM.randint(0, 4)
    subject = f"By trade a {trade}, {first}" if trade else first
    return Case(
        f"Who is described here?\n\n{first} {last} is {age} years old and lives in {city}. {subject} has "
        f"{CHILDREN[children]} and likes long walks by the sea.",
        an_object(name=STRING, age=INTEGER, job={"type": ["string", "null"]}, city=STRING, children=INTEGER),
        {"name": f"{first} {last}", "age": age, "job": trade, "city": city, "children": children},
    )


def notice() -> Case:
    """A notice of an amount that is due."""
    company = f"{RANDOM.choice(LAST)} {RANDOM.choice(['Ltd', 'GmbH', 'SA'])}"
    day, month, year = RANDOM.randint(1, 28), RANDOM.randint(1, 12), RANDOM.choice([2024, 2025, 2026])
    amount = RANDOM.randint(40, 9000) + RANDOM.choice([0, 0.5, 0.25, 0.99])
    currency = RANDOM.choice(["EUR", "GBP", "CHF"])
    return Case(
        "Take the date and amount due from this notice.\n\n"
        f"{company}: our invoice of {amount:.2f} {currency} has not been paid. Please transfer the amount by "
        f"{day} {MONTHS[month - 1]} {year} at the latest.",
        an_object(
            company=STRING,
            due={"type": "string", "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"},
            amount={"type": "number"},
            currency={"enum": ["EUR", "GBP", "CHF"]},
        ),
        {
            "company": company,
            "due": f"{year}-{month:02}-{day:02}",
            "amount": float(amount),
            "currency": currency,
        },
    )


ASK: Final = "Reply with one JSON value, no text before or after it, that fits this JSON Schema:\n"


def messages(place: str, case: Case) -> list[dict[str, Any]]:
    """The request, with the schema in one of three places."""
    form = ASK + json.dumps(case.schema, separators=(",", ":"))
    if place == "in a system message":
        return [{"role": "system", "content": form}, {"role": "user", "content": case.prompt}]
    parts = [form, case.prompt] if place == "before the prompt" else [case.prompt, form]
    return [{"role": "user", "content": "\n\n".join(parts)}]


async def tried(provider: Provider, place: str, mode: SchemaMode, case: Case) -> tuple[bool, int]:
    """Whether the value is right, and how many tokens of the prompt the server evaluated."""
    fields = request_fields(mode, case.schema)
    try:
        reply = await provider.complete(messages(place, case), temperature=0.0, max_tokens=120, **fields)
        value, _ = read_json(reply)
    except (LLMError, UnfitError):
        return False, 0
    timings: Mapping[str, Any] = reply.raw.get("timings", {})
    return value == case.value, int(timings.get("prompt_n", 0))


def interval(right: int, of: int) -> str:
    """A share with its 95 % interval (Wilson)."""
    share, z = right / of, 1.96
    scale = 1 + z * z / of
    middle = (share + z * z / 2 / of) / scale
    half = z * math.sqrt(share * (1 - share) / of + z * z / 4 / of / of) / scale
    return f"{100 * share:.0f} % [{100 * (middle - half):.0f}, {100 * (middle + half):.0f}]"


async def main(url: str, model: str = "model") -> None:
    """Try each arrangement with and without the server's schema mode, and print a table."""
    cases = [make() for make in (order, person, notice) for _ in range(EACH)]
    modes: tuple[SchemaMode, ...] = ("json_schema", "none")
    print(
        f"{'place of the schema':<22} {'mode':<12} {'right':<16} {'orders people notices':<22} prompt tokens"
    )
    async with Provider(url, model, timeout=900) as provider:
        for mode in modes:
            for place in ("after the prompt", "before the prompt", "in a system message"):
                runs = await gather_strict((tried(provider, place, mode, case) for case in cases), 4)
                rights = [right for right, _ in runs]
                each = " ".join(
                    f"{sum(rights[start : start + EACH]):>6}" for start in range(0, 3 * EACH, EACH)
                )
                evaluated = sum(tokens for _, tokens in runs) / len(runs)
                share = interval(sum(rights), len(runs))
                print(f"{place:<22} {mode:<12} {share:<16} {each:<22} {evaluated:.0f}", flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
