"""The prices of the package genai-prices, by the provider's URL and the model."""

from collections.abc import Callable
from decimal import Decimal, localcontext
from importlib import import_module
from typing import Any

from executionkit._dollars import EXACT
from executionkit.prices import GENAI_MISSING
from executionkit.responses import LLMResponse, token_count


class GenaiPrices:
    """A price book that is loaded when it is first used: importing the package takes most of a second."""

    _price: Callable[..., Any] | None = None
    _usage: Callable[..., Any] | None = None

    def __init__(self) -> None:
        self._dearer_written: dict[tuple[str, str], bool] = {}

    @property
    def is_loaded(self) -> bool:
        """Whether it can be asked."""
        return self._price is not None

    def load(self) -> None:
        """Import the package.

        Raises:
            ImportError: It is not installed; the message names the extra.
        """
        try:
            package = import_module("genai_prices")
        except ImportError as exc:
            raise ImportError(f"{GENAI_MISSING} ({exc})") from exc
        self._usage, self._price = package.Usage, package.calc_price

    def usd(self, response: LLMResponse, *, model: str, base_url: str) -> Decimal | None:
        """The price of a reply; None for an unknown model."""
        details = response.usage.get("prompt_tokens_details")
        written = token_count(response.usage.get("cache_creation_input_tokens")) or 0
        if not written and isinstance(details, dict):
            written = token_count(details.get("cache_write_tokens")) or 0
        read = min(response.cached_tokens, response.input_tokens)
        return self._priced(
            model,
            base_url,
            input_tokens=response.input_tokens,
            output_tokens=response.output_tokens,
            cache_read_tokens=read,
            cache_write_tokens=min(written, response.input_tokens - read),
        )

    def at_most(self, *, model: str, base_url: str, input_tokens: int, output_tokens: int) -> Decimal | None:
        """The price of so many tokens, none of them read from a cache; None for an unknown model.

        Where prompt tokens that are written to a cache are dearer, all are taken for such.
        """
        written = input_tokens if self._is_dearer_written(model, base_url) else 0
        return self._priced(
            model,
            base_url,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cache_write_tokens=written,
        )

    def _is_dearer_written(self, model: str, base_url: str) -> bool:
        found = self._dearer_written.get((model, base_url))
        if found is None:
            read = self._priced(model, base_url, input_tokens=1_000)
            written = self._priced(model, base_url, input_tokens=1_000, cache_write_tokens=1_000)
            found = read is not None and written is not None and written > read
            self._dearer_written[model, base_url] = found
        return found

    def _priced(self, model: str, base_url: str, **tokens: int) -> Decimal | None:
        if self._price is None or self._usage is None:
            raise RuntimeError("the prices were not loaded")
        usage = self._usage(**{name: count for name, count in tokens.items() if count})
        try:
            with localcontext(EXACT):  # the package calculates in that of the program
                total: Decimal = self._price(usage, model_ref=model, provider_api_url=base_url).total_price
        except LookupError:
            return None
        return total


GENAI = GenaiPrices()
