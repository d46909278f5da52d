"""What the calls of a provider cost: its price book, asked and checked."""

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from executionkit._dollars import EXACT, TOO_DEAR, fitting
from executionkit._genai_prices import GENAI
from executionkit._threads import in_thread
from executionkit.cost import estimated_tokens
from executionkit.errors import PatternError
from executionkit.prices import PriceBook, is_price_book
from executionkit.responses import LLMResponse


class BrokenPricesError(PatternError):
    """A price book failed, or gave what is no price: a mistake in code, which ends every run."""


class NoPriceError(ValueError):
    """A ceiling in dollars is on a model without a price."""


class Tariff:
    """The prices of one provider.

    Args:
        book: Its price book.
        model: Its model; "" if it does not say.
        base_url: Its URL; "" if it does not say.
    """

    def __init__(self, book: PriceBook, model: str, base_url: str) -> None:
        self._book: Final = book
        self._model: Final = model
        self._base_url: Final = base_url
        self._loading: asyncio.Lock | None = None

    @property
    def is_ready(self) -> bool:
        """Whether the book can be asked."""
        return self._book is not GENAI or GENAI.is_loaded

    async def get_ready(self) -> None:
        """Load the book in a thread.

        Raises:
            ImportError: Its package is not installed.
        """
        if self._loading is None:
            self._loading = asyncio.Lock()
        async with self._loading:  # a hundred calls that begin together need one thread
            if not self.is_ready:
                await in_thread(GENAI.load)

    def price(self, reply: LLMResponse, prompt_tokens: int) -> Decimal | None:
        """The price of a reply: the server's own figure, else the book's; None if there is none.

        Args:
            reply: The reply. Tokens that the server did not report are estimated.
            prompt_tokens: The estimate of the prompt's tokens.

        Raises:
            BrokenPricesError: The book failed.
        """
        told = reply.reported_usd
        if told is not None:
            return told
        is_whole = reply.reported_input_tokens is not None and reply.reported_output_tokens is not None
        if not is_whole:
            counts = {
                "prompt_tokens": reply.input_tokens or prompt_tokens,
                "completion_tokens": reply.output_tokens or estimated_tokens(reply),
                "estimated": True,
            }
            reply = replace(reply, usage={**reply.usage, **counts})
        return self._asked("usd", lambda: self._book.usd(reply, model=self._model, base_url=self._base_url))

    def at_most(self, input_tokens: int, output_tokens: int) -> Decimal:
        """The most that a call may cost.

        Raises:
            NoPriceError: The model has no price.
            BrokenPricesError: The book failed.
        """
        usd = self._asked(
            "at_most",
            lambda: self._book.at_most(
                model=self._model,
                base_url=self._base_url,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
            ),
        )
        if usd is None:
            raise NoPriceError(
                no_prices(f"{type(self._book).__name__} has no price", self._model, self._base_url)
            )
        return usd

    def buys(self, usd: Decimal, input_tokens: int, most: int) -> int:
        """The output tokens, at most `most`, that an amount buys beside a prompt; -1 if it is too little."""
        base, full = self.at_most(input_tokens, 0), self.at_most(input_tokens, most)
        if full <= usd:
            return most
        if base > usd:
            return -1
        low, high = 0, most  # the one is bought, the other is not
        # Nearly all prices are linear: then the first guess is right, and the second shows it.
        guess = int(
            EXACT.multiply(EXACT.divide(EXACT.subtract(usd, base), EXACT.subtract(full, base)), Decimal(most))
        )
        guesses = [guess + 1, guess]
        while high - low > 1:
            middle = guesses.pop() if guesses else (low + high) // 2
            if low < middle < high:
                low, high = (middle, high) if self.at_most(input_tokens, middle) <= usd else (low, middle)
        return low

    def _asked(self, method: str, ask: Callable[[], object]) -> Decimal | None:
        name = f"the price book {type(self._book).__name__}"
        try:
            found = ask()
        except Exception as exc:
            raise BrokenPricesError(f"{name} failed: its `{method}` raised {type(exc).__name__}") from exc
        if found is None:
            return None
        usd = fitting(found) if type(found) is Decimal else None
        if usd is None or not 0 <= usd < TOO_DEAR:
            if inspect.iscoroutine(found):
                found.close()  # or it would warn that it was never awaited
            wanted = "a Decimal of at least 0, or None"
            raise BrokenPricesError(
                f"{name} is wrong: its `{method}` must return {wanted}, it gave {_brief(found)}"
            )
        return usd


def _brief(value: object) -> str:
    from executionkit._display._glimpse import glimpse

    return glimpse(value)


def tariff_of(provider: object) -> Tariff | None:
    """The tariff of a provider with a price book as its `prices`; None if it has none."""
    prices = getattr(provider, "prices", None)
    if prices is None:
        return None
    book = GENAI if isinstance(prices, str) and prices == "genai" else prices
    if not is_price_book(book):
        return None
    return Tariff(book, *_address(provider))


def no_prices_of(provider: object) -> str:
    """The message for a ceiling in dollars on a provider without prices."""
    return no_prices("the provider has no prices", *_address(provider))


def no_prices(problem: str, model: str, base_url: str) -> str:
    """The message for a ceiling in dollars where there are no prices."""
    where = " at ".join(filter(None, (f"model {model!r}" if model else "", base_url.partition("?")[0])))
    return (
        f"a ceiling in dollars needs prices, but {problem}{f' for {where}' if where else ''}; give the "
        "provider prices=Rates(input=..., output=...), in dollars for a million tokens, or limit the tokens"
    )


def _address(provider: object) -> tuple[str, str]:
    found = (getattr(provider, name, "") for name in ("model", "base_url"))
    model, base_url = (value if isinstance(value, str) else "" for value in found)
    return model, base_url
