"""The renderer of one line: the `repr` of results, and of dataclasses that may hold much."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, Final

from executionkit._display._card import Card
from executionkit._display._glimpse import glimpse
from executionkit._dollars import ZERO, shown
from executionkit._text import one_line, shorten

if TYPE_CHECKING:
    from executionkit.types import TokenUsage

_MOST: Final = 399
_MOST_BRIEFS: Final = 5
_FIELD: Final = 80


def card_of(shown: object, describe: Callable[[], Card]) -> Card:
    """The card of a value, which shows its name alone if its fields hold nothing that can be described."""
    try:
        return describe()
    except Exception:  # noqa: BLE001 - a repr that raises hides the error that someone looks for
        return Card(name=type(shown).__name__, value=getattr(shown, "value", None))


def line(card: Card) -> str:
    """The `repr` of a value: its answer, the figures that tell most, and the cost."""
    briefs = [shorten(one_line(figure.brief[:80]), 40) for figure in card.figures if figure.brief][
        :_MOST_BRIEFS
    ]
    value = [glimpse(card.value)] if card.has_value else []
    cost = [spent(card.cost)] if card.cost is not None else []
    left = [f"{card.left} left"] if card.left else []
    return shorten(f"{shorten(card.name, 60)}({', '.join([*value, *briefs, *cost, *left])})", _MOST)


def fields_line(value: Any) -> str:
    """The `repr` of a dataclass, without the fields that have their default."""
    items = [(spec, getattr(value, spec.name, None)) for spec in fields(value) if spec.repr]
    shown = {
        spec.name: item for spec, item in items if not _is_default(spec.default, spec.default_factory, item)
    }
    return call_line(type(value).__name__, shown)


def call_line(name: str, arguments: Mapping[str, object]) -> str:
    """A call with keywords, as the `repr` of what it makes."""
    parts: list[str] = []
    left = _MOST - len(name) - 2
    for key, value in arguments.items():
        part = f"{key}={glimpse(value, max(8, min(_FIELD, left - len(key) - 3)))}"
        parts.append(part)
        left -= len(part) + 2
    return shorten(f"{shorten(name, 60)}({', '.join(parts)})", _MOST)


def _is_default(default: object, factory: Any, item: object) -> bool:
    if default is MISSING:
        if factory is MISSING:
            return False
        default = factory()
    try:
        return item is default or (type(item) is type(default) and bool(item == default))
    except Exception:  # noqa: BLE001 - a value of another's making may raise anything
        return False


def spent(cost: "TokenUsage") -> str:
    """A usage in words: "5 calls, 220 + 10 tokens, $0.0004"."""
    price = "" if cost.usd is None else f", {shown(cost.usd)}"
    tokens = f"{number(cost.input_tokens)} + {number(cost.output_tokens)} tokens"
    return f"{counted(cost.llm_calls, 'call')}, {tokens}{price}"


def counted(count: int, name: str) -> str:
    """A number of things: "1 call", "1,200 calls"."""
    return f"{number(count)} {name}{'' if count == 1 else 's'}"


def rest_of(left: "TokenUsage") -> str:
    """What is left of a budget: "3 calls and 1,200 output tokens"; "" of one without limits."""
    limits = {"call": left.llm_calls, "input token": left.input_tokens, "output token": left.output_tokens}
    found = [counted(max(limit, 0), name) for name, limit in limits.items() if limit]
    if left.usd:
        found.append(shown(max(left.usd, ZERO)))
    return " and ".join(found)


def number(value: object) -> str:
    """A number for people to read."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return glimpse(value, 30)
    if isinstance(value, float):
        return f"{value:.2f}" if abs(value) < 1e9 else f"{value:.2e}"
    return f"{value:,}" if value.bit_length() <= 64 else "more than 10^19"


def words(value: object, limit: int = 80) -> str:
    """A figure, or a few words, without quotes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return number(value)
    return str.__str__(value)[:limit] if type(value) is str else glimpse(value, limit)
