"""The frozen values of the public interface: usage, results, tools, strategies."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar

from executionkit._display import Brief, Displayed
from executionkit._dollars import EXACT, ZERO, Amount, dollars
from executionkit._json import as_dicts, copied, plain
from executionkit.protocols import LLMProvider
from executionkit.responses import empty_mapping, rebuild
from executionkit.tools._tool import Tool as Tool

if TYPE_CHECKING:
    from executionkit._display._card import Card

__all__ = ["Evaluator", "PatternResult", "TokenUsage", "Tool", "VotingStrategy"]

T_co = TypeVar("T_co", covariant=True)

Evaluator: TypeAlias = Callable[[str, LLMProvider], Awaitable[float]]
"""`async (text, provider) -> score` in [0, 1]; calls made through `provider` count against the budget."""


@dataclass(frozen=True, slots=True)
class Evaluation(Brief):
    """An evaluator's verdict on a text.

    Example:
        ```python
        from executionkit import Evaluation


        def brief(text, provider):
            return (
                Evaluation(1.0)
                if len(text) < 200
                else Evaluation(0.4, "Use fewer words.")
            )
        ```

    Attributes:
        score: The score, in [0, 1]; the pattern checks it.
        feedback: How to make the text better, for the model that writes the next one; "" if there is nothing
            to say.
        stated: The score that the judge wrote, where `score` is the one to be expected of it
            (`Rubric(expected=True)`); else None.
    """

    score: float
    feedback: str = ""
    stated: float | None = field(default=None, kw_only=True)


class TaskScorer(Protocol):
    """A `Scorer` with a parameter `task`, which is given the pattern's task: a text, or parts as dicts."""

    def __call__(
        self, text: str, provider: LLMProvider, /, *, task: Any
    ) -> float | Evaluation | Awaitable[float | Evaluation]:
        """Score `text`, plain or async."""
        ...


Scorer: TypeAlias = (
    Callable[[str, LLMProvider], float | Evaluation | Awaitable[float | Evaluation]] | TaskScorer
)
"""An evaluator for `refine_loop` and `best_of_n`, async or plain; it returns a score or an `Evaluation`.

A plain function runs on the event loop: leave long work to `asyncio.to_thread`. A scorer that has a further
parameter named `task` is given the pattern's prompt.
"""


Verdict: TypeAlias = Literal["first", "second", "tie"]
"""Which of two texts is better."""


class VotingStrategy(StrEnum):
    """How `consensus` decides."""

    MAJORITY = "majority"
    UNANIMOUS = "unanimous"


@dataclass(frozen=True, slots=True, init=False, repr=False)
class TokenUsage:
    """Tokens, calls and dollars, spent or allowed; `a + b` adds field by field.

    As a budget (`max_cost`, `max_budget`): 0 or None on a field means no limit, a positive number is the
    ceiling, and a negative number means that the field was limited and nothing is left.

    A sum has `usd` only if all its parts have: the sum with an unknown amount is unknown. A usage without any
    tokens, calls and dollars, such as `TokenUsage()`, changes no sum.

    Example:
        ```python
        from executionkit import TokenUsage

        spent = TokenUsage(input_tokens=12, output_tokens=3, llm_calls=1)
        assert spent + spent == TokenUsage(24, 6, 2)
        budget = TokenUsage(llm_calls=10)  # ten calls, any number of tokens

        spent = TokenUsage(220, 10, 6, usd="0.0004")
        assert str(spent) == "6 calls, 220 + 10 tokens, $0.0004"
        ```

    Attributes:
        input_tokens: Prompt tokens as the server counts them.
        output_tokens: Completion tokens as the server counts them.
        llm_calls: Attempts sent to the provider, failed ones included.
        usd: The price in US dollars, exact to 30 places; None if it is not known. It is given as a Decimal,
            an int, a text or a float; a float is read as it is written.

    Raises:
        ValueError: A count is no int, or `usd` no finite number below 10^40.
    """

    input_tokens: int = 0
    output_tokens: int = 0
    llm_calls: int = 0
    usd: Decimal | None = field(default=None, kw_only=True)

    def __init__(
        self, input_tokens: int = 0, output_tokens: int = 0, llm_calls: int = 0, *, usd: Amount | None = None
    ) -> None:
        # Made several times a call under a budget, so the checks are those of one look each.
        if type(input_tokens) is not int:
            raise ValueError(f"input_tokens must be an int, got {input_tokens!r}")
        if type(output_tokens) is not int:
            raise ValueError(f"output_tokens must be an int, got {output_tokens!r}")
        if type(llm_calls) is not int:
            raise ValueError(f"llm_calls must be an int, got {llm_calls!r}")
        object.__setattr__(self, "input_tokens", input_tokens)
        object.__setattr__(self, "output_tokens", output_tokens)
        object.__setattr__(self, "llm_calls", llm_calls)
        object.__setattr__(self, "usd", usd if usd is None else dollars(usd, "usd"))

    def __add__(self, other: "TokenUsage") -> "TokenUsage":
        if not isinstance(other, TokenUsage):
            return NotImplemented
        return TokenUsage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.llm_calls + other.llm_calls,
            usd=usd_of(EXACT.add, self, other),
        )

    def __str__(self) -> str:
        from executionkit._display._line import spent

        return spent(self)

    def __repr__(self) -> str:
        counts = f"input_tokens={self.input_tokens}, output_tokens={self.output_tokens}"
        price = "" if self.usd is None else f", usd={str(self.usd)!r}"
        return f"TokenUsage({counts}, llm_calls={self.llm_calls}{price})"

    def to_dict(self) -> dict[str, Any]:
        """The usage as plain data, ready for `json.dumps`; `TokenUsage(**data)` makes an equal one.

        Returns:
            The counts, and where it is known `usd` as a text, because JSON has no exact decimals.
        """
        counts: dict[str, Any] = {
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "llm_calls": self.llm_calls,
        }
        return counts if self.usd is None else {**counts, "usd": str(self.usd)}


def usd_of(
    of_both: Callable[[Decimal, Decimal], Decimal], one: TokenUsage, other: TokenUsage
) -> Decimal | None:
    """The dollars of two usages, added or subtracted; None if those of one are not known."""
    a, b = one.usd, other.usd
    if a is None and b is None:
        return None
    a = ZERO if a is None and _is_nothing(one) else a
    b = ZERO if b is None and _is_nothing(other) else b
    return None if a is None or b is None else of_both(a, b)


def _is_nothing(usage: TokenUsage) -> bool:
    return not (usage.input_tokens or usage.output_tokens or usage.llm_calls)


# Frozen but not slotted: on CPython 3.11.2 to 3.11.7 and 3.12.1 a frozen, slotted, generic dataclass raises
# TypeError when it is constructed subscripted, `PatternResult[str](...)`.
@dataclass(frozen=True)
class PatternResult(Displayed, Generic[T_co]):
    """The result of a pattern; `str(result)` is `str(result.value)`.

    Patterns return subclasses with their figures as typed fields; `metadata` mirrors those fields. A result
    shows itself as a line in `repr`, and as a card of its figures in notebooks and by rich.

    Example:
        ```python
        from executionkit import MockProvider, consensus

        result = await consensus(
            MockProvider(["Paris"]), "The capital of France?", num_samples=3
        )
        assert (str(result), result.score, result.cost.llm_calls) == ("Paris", 1.0, 3)
        assert result.metadata["tie_count"] == result.tie_count == 1
        ```

    Attributes:
        value: The answer.
        score: The pattern's own measure of the answer, in [0, 1]; None if the pattern has no such measure.
        cost: The spend of the run, nested calls and failed attempts included.
        metadata: Read-only. The documented keys of each pattern are API; others are not.
    """

    value: T_co
    score: float | None = None
    cost: TokenUsage = field(default_factory=TokenUsage)
    metadata: Mapping[str, Any] = field(default_factory=empty_mapping)

    def __post_init__(self) -> None:
        names, own = _mirrored(type(self))  # type: ignore[arg-type]  # mypy takes the instances' __hash__ for the class's
        metadata = {**self.metadata, **{name: getattr(self, name) for name in names}}
        # Copied, so that the result shares no list or dict with its maker.
        metadata = {**copied(metadata), **{name: getattr(self, name) for name in own}}
        object.__setattr__(self, "metadata", MappingProxyType(metadata))

    def __str__(self) -> str:
        return str(self.value)

    def _card(self) -> "Card":
        from executionkit._display._card import Card

        cost: object = self.cost  # which nothing has checked
        card = Card(type(self).__name__, self.value, cost=self.cost if isinstance(cost, TokenUsage) else None)
        self._describe(card)
        return card

    def _describe(self, card: "Card") -> None:
        """Add what the result has to show beside value and cost: of a user's own class, all its figures."""
        from executionkit._display._card import add_fields

        card.score(self.score)
        names = [spec.name for spec in fields(self) if spec.name not in _RESULT_FIELDS]
        own = {name: getattr(self, name) for name in names}
        add_fields(card, {**self.metadata, **own}, own)

    def __reduce__(self) -> tuple[Any, ...]:
        # A MappingProxyType can't be pickled; the fields can.
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        values["metadata"] = dict(self.metadata)
        return rebuild, (type(self), values)

    def to_dict(self) -> dict[str, Any]:
        """The result as plain dicts and lists, ready for `json.dumps`.

        It stands in for `dataclasses.asdict`, which can't copy the read-only `metadata`.

        Dataclasses and pydantic models become dicts, however deep. Other values that JSON does not have, such
        as a date in a dataclass, stay as they are.
        """
        return {
            "value": as_dicts(self.value),
            "score": self.score,
            "cost": self.cost.to_dict(),
            "metadata": plain(self.metadata),
        }


_RESULT_FIELDS = frozenset(f.name for f in fields(PatternResult))


@cache
def _mirrored(kind: type[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields that `metadata` repeats: those that subclasses add, except for `{"mirrored": False}`.

    Returns:
        The fields that are copied, and those marked `{"copied": False}`: their makers give them away.
    """
    added = (spec for spec in fields(kind) if spec.name not in _RESULT_FIELDS)
    mirrored = [spec for spec in added if spec.metadata.get("mirrored", True)]
    copies = tuple(spec.name for spec in mirrored if spec.metadata.get("copied", True))
    return copies, tuple(spec.name for spec in mirrored if spec.name not in copies)
