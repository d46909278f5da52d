"""`Intake`: takes the output of a batch into a journal."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import NamedTuple

from executionkit._dollars import EXACT
from executionkit._genai_prices import GENAI
from executionkit.engine.tariff import Tariff, tariff_of
from executionkit.errors import LLMError, spent_of
from executionkit.many._batch.lines import Key, NotRun, ResponseLine, failure_facts
from executionkit.many._batch.results import BatchRead
from executionkit.many._batch.slips import FAILED, LATE, Slip, Slips, ended_line
from executionkit.many._journal.book import Book
from executionkit.many._journal.format import quoted
from executionkit.prices import Prices
from executionkit.responses import LLMResponse
from executionkit.types import TokenUsage


class Intake:
    """Takes the lines of a batch's output into a journal.

    Args:
        book: The journal, open.
        slips: The requests that wait.
        prices: As in `read_batch`.
        price_share: As in `read_batch`.
    """

    def __init__(self, book: Book, slips: Slips, prices: Prices | None, price_share: float) -> None:
        self._book = book
        self._slips = slips
        self._prices: Prices | None = prices
        self._share = Decimal(str(price_share))
        self._tariffs: dict[str, Tariff | None] = {}
        self._counts: Counter[str] = Counter()
        self._cost = TokenUsage()

    def take(self, text: str | bytes) -> None:
        """Take a line."""
        line = ResponseLine.of(text)
        if line is None:
            self._counts["broken"] += 1
            return
        slip = self._slips.waiting.get(line.name) or self._slips.forgotten.get(line.name)
        if slip is None:
            self._counts["repeated" if line.name in self._slips.ended else "unknown"] += 1
            return
        outcome = line.outcome(source="the batch", model=slip.model, choices=slip.choices)
        name, key, row = line.name, slip.key, quoted(slip.key.row)
        if isinstance(outcome, NotRun):
            self._end(name, slip, outcome.code)
            self._counts["not_run"] += 1
            return
        self._book.write_sent(row, key.request, key.n, (0, 0))
        if isinstance(outcome, LLMError):
            found = spent_of(outcome)
            spent = None if found is None else TokenUsage(found.input_tokens, found.output_tokens)
            self._book.write_failure(row, key.request, key.n, outcome, spent, dispatched=True)
            self._end(name, slip, FAILED, failure_facts(outcome))
            self._counts["failed"] += 1
            return
        reply, usd = self._priced(outcome, slip.model)
        spent = TokenUsage(reply.input_tokens, reply.output_tokens, usd=usd)
        if self._is_late(key):
            self._book.write_failure(row, key.request, key.n, _TooLate(), spent, dispatched=True)
            self._end(name, slip, LATE)
            self._counts["late"] += 1
        else:
            self._book.write_reply(row, key.request, key.n, reply, usd, rest={"batch": name})
            self._slips.close(name)
            self._counts["replies"] += 1
        self._cost += replace(spent, llm_calls=1)

    def _end(self, name: str, slip: Slip, end: str, facts: Mapping[str, object] | None = None) -> None:
        self._book.append(ended_line(name, slip, end, facts))
        self._slips.close(name)

    def _is_late(self, key: Key) -> bool:
        """Whether the request has been answered in another way, or its row is done."""
        there = self._book.replies_of(key.row).get(key.request, ())
        return self._book.is_done(key.row) or any(n == key.n for n, _ in there)

    def _priced(self, reply: LLMResponse, model: str) -> tuple[LLMResponse, Decimal | None]:
        """A reply with its price among its usage, so that it counts with that wherever it is replayed."""
        if (told := reply.reported_usd) is not None:
            return reply, told
        if model not in self._tariffs:
            self._tariffs[model] = tariff_of(_Account(self._prices, model, self._slips.base_url))
        tariff = self._tariffs[model]
        if tariff is None:
            return reply, None
        if not tariff.is_ready:
            GENAI.load()
        usd = tariff.price(reply, 0)
        if usd is None:
            return reply, None
        usd = EXACT.multiply(usd, self._share)
        return replace(reply, usage={**reply.usage, "cost": str(usd)}), usd

    def result(self) -> BatchRead:
        """What was found."""
        return BatchRead(**self._counts, waiting=len(self._slips.waiting), cost=self._cost)


class _TooLate(Exception):  # noqa: N818 - it stands in the journal under this name
    """A reply that came too late."""


class _Account(NamedTuple):
    """What a tariff depends on, in the form of a provider."""

    prices: Prices | None
    model: str
    base_url: str
