"""Retry-After in its forms."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executionkit.provider._retry_after import retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


def wait(value: str) -> float | None:
    return retry_after({"retry-after": value}, NOW)


@pytest.mark.parametrize(("value", "seconds"), [("0", 0.0), ("7", 7.0), (" 2.5 ", 2.5), ("3600", 3600.0)])
def test_seconds(value: str, seconds: float) -> None:
    assert wait(value) == seconds


@pytest.mark.parametrize(
    "value",
    [
        "",
        "soon",
        "-1",
        "nan",
        "inf",
        "1e400",
        "9" * 400,
        "1_000",
        "٣",
        "+5",
        "0x10",
        "1,5",
        "Sun, 99 Foo 2026",
    ],
)
def test_nonsense(value: str) -> None:
    assert wait(value) is None


@pytest.mark.parametrize(
    "value", ["Sun, 01 Mar 2026 12:00:30 GMT", "Sunday, 01-Mar-26 12:00:30 GMT", "Sun Mar  1 12:00:30 2026"]
)
def test_the_three_forms_of_a_date(value: str) -> None:
    assert wait(value) == 30.0


def test_dates_in_other_zones_and_in_the_past() -> None:
    assert wait("Sun, 01 Mar 2026 13:00:30 +0100") == 30.0
    assert wait("Sun, 01 Mar 2026 12:00:30 -0000") == 30.0
    assert wait("Sun, 01 Mar 2020 12:00:00 GMT") == 0.0


def test_a_date_is_measured_by_the_servers_own_clock() -> None:
    headers = {"retry-after": "Sun, 01 Mar 2020 12:00:30 GMT", "date": "Sun, 01 Mar 2020 12:00:00 GMT"}
    assert retry_after(headers) == 30.0
    assert retry_after({**headers, "date": "today"}) == 0.0


def test_milliseconds_come_first() -> None:
    assert retry_after({"retry-after-ms": "250", "retry-after": "9"}) == 0.25
    assert retry_after({"retry-after-ms": "x", "retry-after": "9"}) == 9.0


@given(st.text())
def test_any_text_is_a_wait_or_none(value: str) -> None:
    found = wait(value)
    assert found is None or 0 <= found < float("inf")


@given(st.floats(0, 10**9).map(lambda seconds: round(seconds)))
def test_dates_round_trip(seconds: int) -> None:
    assert wait(format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)) == seconds
