"""Read an invoice into a dataclass, with a check of our own, and print the cost of each rung.

It needs pydantic. The mistake in the third reply is corrected without a request.
"""

import asyncio
from dataclasses import dataclass

from endpoint import endpoint

from executionkit import Provider, structured

MAIL = "Please pay 3 teapots at 12.50 and 1 tray at 8.00, that is 45.50 in all. Invoice T-17."


@dataclass
class Line:
    what: str
    count: int
    price: float


@dataclass
class Invoice:
    number: str
    lines: list[Line]
    total: float


def adds_up(invoice: Invoice) -> str | None:
    """Return the reason if the total is wrong. The model reads it."""
    total = sum(line.count * line.price for line in invoice.lines)
    return (
        None
        if abs(total - invoice.total) < 0.005
        else f"the lines add up to {total:.2f}, not the total"
    )


async def main() -> None:
    async with Provider(*endpoint(simulated)) as provider:
        result = await structured(
            provider, f"Read this invoice.\n\n{MAIL}", Invoice, validator=adds_up
        )
    invoice = result.value
    for line in invoice.lines:
        print(f"{line.count} x {line.what:<8} {line.price:>6.2f}")
    print(f"{invoice.number:<12} {invoice.total:>6.2f}")
    print(
        f"{result.repair_attempts} requests after the first; "
        f"mistakes corrected without one: {result.mended}"
    )
    for rung, cost in result.rung_costs.items():
        print(f"{rung:<12} {cost}")


# The model first omits a field, then omits a line, and then writes an extra comma.
simulated = [
    '{"number": "T-17", "lines": [{"what": "teapot", "count": 3, "price": 12.5}]}',
    '{"number": "T-17", "lines": [{"what": "teapot", "count": 3, "price": 12.5}], '
    '"total": 45.5}',
    """```json
    {"number": "T-17", "total": 45.5, "lines": [
        {"what": "teapot", "count": 3, "price": 12.5},
        {"what": "tray", "count": 1, "price": 8.0},
    ]}
    ```""",
]


if __name__ == "__main__":
    asyncio.run(main())
