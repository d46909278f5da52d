"""Prices: the protocol of price books, and `Rates`, a book of a few numbers."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal, Protocol, TypeAlias, TypeGuard

from executionkit._dollars import EXACT, ZERO, Amount, dollars
from executionkit.responses import LLMResponse

GENAI_MISSING: Final = (
    'prices="genai" needs the package genai-prices, which the extra `prices` brings: pip install genai-prices'
)


class PriceBook(Protocol):
    """Knows what replies cost. Any object with these two methods will do.

    Both are called with the provider's `model` and `base_url`, between two steps of the event loop, so they
    must not block. An exception, or anything but None or an amount from 0 to below 10^20, ends the run with
    a `PatternError`.
    """

    def usd(self, response: LLMResponse, *, model: str, base_url: str) -> Decimal | None:
        """The price of a reply in dollars; None if it is not known.

        Args:
            response: The reply. Where the server reported no usage, it has an estimate, marked as one.
            model: The model that was asked for; "" if the provider does not say.
            base_url: Where it was asked for; "" if the provider does not say.
        """
        ...

    def at_most(self, *, model: str, base_url: str, input_tokens: int, output_tokens: int) -> Decimal | None:
        """The highest price of a reply with so many tokens; None if it is not known.

        It is asked before a call under a ceiling in dollars. It must not fall when a count rises.
        """
        ...


Prices: TypeAlias = PriceBook | Literal["genai"]
"""A price book, or "genai" for that of the package genai-prices."""


@dataclass(frozen=True, slots=True, init=False)
class Rates:
    """A price book of a few numbers, for any model: dollars for a million tokens.

    Example:
        ```python
        from executionkit import MockProvider, Rates, TokenUsage, consensus

        provider = MockProvider(
            ["Paris"],
            usage={"prompt_tokens": 1_000, "completion_tokens": 100},
            prices=Rates(input="0.15", output="0.60"),
        )
        result = await consensus(provider, "The capital of France?", num_samples=2)
        assert result.cost == TokenUsage(2_000, 200, 2, usd="0.00042")
        ```

    Attributes:
        input: Dollars for `per` prompt tokens.
        output: Dollars for `per` completion tokens.
        cached: Dollars for `per` prompt tokens that came from the server's cache. Defaults to `input`.
        reasoning: Dollars for `per` completion tokens of reasoning. Defaults to `output`.
        per: The number of tokens that the prices are for.

    Raises:
        ValueError: A price is negative or no finite number, or `per` is less than 1.
    """

    input: Decimal
    output: Decimal
    cached: Decimal = field(kw_only=True)
    reasoning: Decimal = field(kw_only=True)
    per: int = field(kw_only=True)

    def __init__(
        self,
        input: Amount,  # noqa: A002 - the name that every price list has
        output: Amount,
        *,
        cached: Amount | None = None,
        reasoning: Amount | None = None,
        per: int = 1_000_000,
    ) -> None:
        if not isinstance(per, int) or isinstance(per, bool) or per < 1:
            raise ValueError(f"per must be an integer >= 1, got {per!r}")
        given = {
            "input": input,
            "output": output,
            "cached": input if cached is None else cached,
            "reasoning": output if reasoning is None else reasoning,
        }
        for name, value in given.items():
            rate = dollars(value, name)
            if rate < 0:
                raise ValueError(f"{name} must be at least 0, got {value!r}")
            object.__setattr__(self, name, rate)
        object.__setattr__(self, "per", per)

    def usd(
        self,
        response: LLMResponse,
        *,
        model: str = "",  # noqa: ARG002 - the same for all
        base_url: str = "",  # noqa: ARG002
    ) -> Decimal:
        """The price of a reply, cached and reasoning tokens at their own rates."""
        cached = min(response.cached_tokens, response.input_tokens)
        reasoning = min(response.reasoning_tokens, response.output_tokens)
        return self._sum(
            (response.input_tokens - cached, self.input),
            (cached, self.cached),
            (response.output_tokens - reasoning, self.output),
            (reasoning, self.reasoning),
        )

    def at_most(
        self,
        *,
        model: str = "",  # noqa: ARG002
        base_url: str = "",  # noqa: ARG002
        input_tokens: int,
        output_tokens: int,
    ) -> Decimal:
        """The price of so many tokens, each at the highest rate that it may have."""
        return self._sum(
            (input_tokens, max(self.input, self.cached)), (output_tokens, max(self.output, self.reasoning))
        )

    def _sum(self, *counts: tuple[int, Decimal]) -> Decimal:
        total = ZERO
        for tokens, rate in counts:
            if tokens:
                total = EXACT.add(total, EXACT.multiply(Decimal(tokens), rate))
        return EXACT.divide(total, Decimal(self.per))


def is_price_book(value: object) -> TypeGuard[PriceBook]:
    """Whether a value is a price book. Its class says it: a mock has every attribute."""
    return all(callable(getattr(type(value), name, None)) for name in ("usd", "at_most"))
