"""`vote_by_field`: what several structured values agree on, as a whole and field by field."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from executionkit import FieldVote, MockProvider, structured, vote_by_field
from executionkit.engine.parallel import gather_strict


@dataclass(frozen=True)
class Address:
    city: str
    zip: str | None = None


@dataclass(frozen=True)
class Person:
    name: str
    born: date
    address: Address


class Film(BaseModel):
    title: str
    year: int
    cast: list[str] = []


def test_each_field_is_voted_on_by_itself() -> None:
    values = [
        {"title": "Metropolis", "year": 1926, "by": {"name": "Lang", "born": 1890}},
        {"title": "metropolis", "year": 1927, "by": {"born": 1890, "name": "Lang"}},
        {"title": "Metropolis", "year": 1927, "by": {"name": "Fritz Lang", "born": 1890}},
    ]
    vote = vote_by_field(values)
    assert isinstance(vote, FieldVote)
    assert vote.fields == {"title": "Metropolis", "year": 1927, "by": {"name": "Lang", "born": 1890}}
    third = pytest.approx(2 / 3)
    assert vote.agreement == {"title": third, "year": third, "by.name": third, "by.born": 1.0}
    assert vote.winner == values[0]
    assert vote.agreement_ratio == pytest.approx(1 / 3)
    assert vote.closest == values[0]


def test_the_whole_has_a_vote_of_its_own_whatever_the_order_of_names() -> None:
    values = [{"a": 1, "b": 2}, {"a": 3, "b": 4}, {"b": 4.0, "a": 3}]
    vote = vote_by_field(values)
    assert vote.winner == {"a": 3, "b": 4}
    assert vote.agreement_ratio == pytest.approx(2 / 3)
    assert vote.closest is values[1]


def test_one_is_not_true() -> None:
    assert vote_by_field([{"a": True}, {"a": 1}, {"a": 1}]).fields == {"a": 1}


def test_names_that_are_numbers_are_fields_too() -> None:
    assert vote_by_field([{1: "a"}, {1: "a"}, {1: "b"}]).agreement == {"1": pytest.approx(2 / 3)}


def test_dataclasses_and_models_vote_and_the_closest_is_one_of_them() -> None:
    people = [
        Person("Ada", date(1815, 12, 10), Address("London")),
        Person("Ada", date(1815, 12, 11), Address("London")),
        Person("Eda", date(1815, 12, 10), Address("Paris")),
    ]
    vote = vote_by_field(people)
    assert vote.closest is people[0]
    assert vote.agreement["address.zip"] == 1.0
    assert vote.fields["born"] == date(1815, 12, 10)

    films = [
        Film(title="M", year=1931),
        Film(title="M", year=1930),
        Film(title="M", year=1931, cast=["Lorre"]),
    ]
    assert vote_by_field(films).fields == {"title": "M", "year": 1931, "cast": []}


def test_what_most_leave_out_is_left_out() -> None:
    vote = vote_by_field([{"a": 1}, {"a": 1, "b": 2}, {"a": 1}])
    assert (vote.fields, vote.agreement) == ({"a": 1}, {"a": 1.0})


def test_an_object_some_hold_to_be_null_is_one_or_the_other() -> None:
    values: list[dict[str, Any]] = [{"a": {"b": 1}}, {"a": None}, {"a": {"b": 1}}]
    assert vote_by_field(values).fields == {"a": {"b": 1}}
    assert vote_by_field(values[1:]).fields == {"a": None}
    assert vote_by_field(values[:2]).fields == {"a": {"b": 1}}


@pytest.mark.parametrize("values", [[], [3], [["a"]], [Film]])
def test_what_has_no_fields_cannot_vote(values: list[Any]) -> None:
    with pytest.raises(ValueError, match="values must"):
        vote_by_field(values)


OBJECTS = st.recursive(
    st.integers(0, 2) | st.none(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3)
)


@settings(max_examples=40)
@given(st.lists(st.dictionaries(st.sampled_from("abc"), OBJECTS, min_size=1), min_size=1, max_size=6))
def test_any_objects_can_vote_and_a_majority_has_its_way(values: list[dict[str, Any]]) -> None:
    vote = vote_by_field(values)
    assert vote.winner in values
    assert vote.closest in values
    assert all(0 < share <= 1 for share in vote.agreement.values())
    if vote.agreement_ratio > 0.5:
        assert vote.closest == vote.winner
        assert vote.fields == vote.winner


async def test_with_structured() -> None:
    provider = MockProvider(
        ['{"title": "M", "year": 1931}', '{"title": "M", "year": 1930}', '{"title": "M", "year": 1931}']
    )
    results = await gather_strict([structured(provider, "q", Film, temperature=0.9) for _ in range(3)])
    vote = vote_by_field([result.value for result in results])
    assert vote.winner == Film(title="M", year=1931)
    assert vote.agreement == {"title": 1.0, "year": pytest.approx(2 / 3), "cast": 1.0}


def test_values_that_json_does_not_have_vote_by_their_own_equality() -> None:
    @dataclass(frozen=True)
    class Price:
        amount: Decimal

    vote = vote_by_field([Price(Decimal("12.5")), Price(Decimal("12.50")), Price(Decimal("13"))])
    assert vote.agreement_ratio == pytest.approx(2 / 3)
    assert vote.winner == Price(Decimal("12.5"))
