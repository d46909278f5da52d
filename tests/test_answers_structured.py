"""`answers.structured`: structured answers vote as a whole, and field by field."""

import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import pytest
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, SecretStr, computed_field, field_serializer

from executionkit import MockProvider, answers, consensus, vote_by_field

SCHEMA = {"type": "object", "properties": {"year": {"type": "integer"}}, "required": ["year"]}


@dataclass
class Film:
    title: str
    year: int = 1927


def replies(*values: object) -> MockProvider:
    return MockProvider([value if isinstance(value, str) else json.dumps(value) for value in values])


async def test_equal_values_are_one_vote_and_what_does_not_fit_abstains() -> None:
    film = answers.structured(SCHEMA)
    provider = replies(
        {"year": 1927, "title": "M"},
        '```json\n{"title": "M", "year": 1927.0}\n```',
        {"title": "M"},
        {"year": "1927"},
        "It is M, of 1927.",
        {"year": 1931, "title": "M"},
    )
    result = await consensus(provider, "q", num_samples=6, key=film)
    assert film.value(result.answer) == {"title": "M", "year": 1927}
    assert [count for _, count in result.votes] == [2, 1]
    assert result.abstained == 3


async def test_a_type_gives_values_of_it_and_they_vote_field_by_field() -> None:
    film = answers.structured(Film)
    provider = replies({"title": "Metropolis"}, {"title": "M", "year": 1931}, {"title": "M"}, {"year": 1})
    result = await consensus(provider, "q", num_samples=4, key=film, stop="decided")
    values = film.values(result.votes)
    assert values == [Film("Metropolis"), Film("M", 1931), Film("M")]
    vote = vote_by_field(values)
    assert vote.fields == {"title": "M", "year": 1927}
    assert vote.agreement == {"title": 2 / 3, "year": 2 / 3}
    assert vote.closest == Film("M")


@pytest.mark.parametrize(
    ("output", "text", "value"),
    [
        (None, "x {} y", {}),
        (None, "[1, 2]", [1, 2]),
        (list[int], "[1, 2]", [1, 2]),
        (list[int], '["a"]', None),
        ({"type": "array", "items": {"type": "integer"}}, "[1, 2.0]", [1, 2]),
        ({"type": "array", "items": {"type": "integer"}}, "[1, 2.5]", None),
    ],
)
def test_whatever_structured_can_be_asked_for(output: Any, text: str, value: object) -> None:
    reader: answers.StructuredReader[Any] = answers.structured(output)
    answer = reader(text)
    assert (None if answer is None else reader.value(answer)) == value


@pytest.mark.parametrize("output", ["int", 3, [1], {"type": "nonsense"}])
def test_what_is_nothing_to_be_asked_for_is_refused_at_once(output: Any) -> None:
    with pytest.raises(ValueError, match=r"^output"):
        answers.structured(output)


def test_an_answer_of_another_reader_has_no_value() -> None:
    with pytest.raises(TypeError, match="answer must be one that this reader has read, got 42"):
        answers.structured().value(42)


class Colour(Enum):
    RED = "red"


class Offer(BaseModel):
    price: Decimal = Decimal(0)
    when: datetime | None = None
    tags: set[str] = set()
    colour: Colour = Colour.RED
    lasts: timedelta | None = None
    by: Annotated[str, Field(alias="from")] = "us"


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    day: date

    @computed_field  # type: ignore[prop-decorator]  # as pydantic's documentation has it
    @property
    def year(self) -> int:
        return self.day.year

    @field_serializer("day")
    def as_germans_write_it(self, day: date) -> str:
        return f"{day:%d.%m.%Y}"


@pytest.mark.parametrize(
    ("output", "spellings"),
    [
        (
            Film,
            ['{"title": "M"}', '{"year": "1927", "title": "M"}', '{"title": "M", "year": 1927.0, "x": 1}'],
        ),
        (Offer, ['{"price": 1.0}', '{"price": "1.00"}', '{"price": 1, "from": "us", "tags": []}']),
        (Offer, ['{"when": "2020-01-01T12:00:00Z"}', '{"when": "2020-01-01T13:00:00+01:00"}']),
        (Offer, ['{"tags": ["a", "b"], "lasts": 60}', '{"tags": ["b", "a", "a"], "lasts": "PT1M"}']),
        (Strict, ['{"day": "2020-01-02"}', '{"day": "2020-01-02T00:00:00"}']),
        (list[int], ["[1, 2]", '{"value": ["1", 2.0]}']),
        (dict[int, Film], ['{"1": {"title": "M"}}', '{"01": {"title": "M", "year": 1927}}']),
        ({"type": "array", "items": {"type": "integer"}}, ["[1]", '{"value": [1.0]}']),
    ],
)
def test_the_same_value_is_one_vote_however_it_is_spelt(output: Any, spellings: list[str]) -> None:
    reader: answers.StructuredReader[Any] = answers.structured(output)
    votes = set(map(reader, spellings))
    assert len(votes) == 1, votes
    vote = votes.pop()
    assert vote is not None
    assert reader(vote) == vote
    assert reader.value(vote) == reader.value(spellings[0]) or isinstance(output, dict)


class OneWay(BaseModel):
    secret: Annotated[SecretStr, Field(validation_alias=AliasChoices("code", "key"))]
    at: time = time(0)

    @field_serializer("secret")
    def hidden(self, _: SecretStr) -> str:
        return "***"


def test_a_type_that_does_not_read_what_it_writes_votes_by_its_first_json() -> None:
    reader: answers.StructuredReader[OneWay] = answers.structured(OneWay)
    assert reader('{ "code": "x" }') == '{"code":"x"}'
    assert reader('{"at": "00:00", "key": "x"}') == '{"code":"x"}'
    assert reader('{"key": "y"}') == '{"key":"y"}'
    assert reader.value('{"code":"x"}').secret == SecretStr("x")


async def test_fields_that_a_model_does_not_write_vote_too() -> None:
    reader: answers.StructuredReader[OneWay] = answers.structured(OneWay)
    texts = ['{"code": "x", "at": "12:00Z"}', '{"key": "x", "at": "13:00+01:00"}', '{"key": "y"}']
    result = await consensus(MockProvider(texts), "q", num_samples=3, key=reader)
    vote = vote_by_field(reader.values(result.votes))
    assert vote.agreement_ratio == vote.agreement["secret"] == result.agreement_ratio == 2 / 3
    assert vote.fields["secret"] == "***"


async def test_the_vote_on_fields_agrees_with_the_vote_on_the_whole() -> None:
    offer = answers.structured(Offer)
    provider = replies({"price": "1.0"}, {"price": 1}, {"price": "1.00", "colour": "red"}, {"price": 2})
    result = await consensus(provider, "q", num_samples=4, key=offer)
    values = [Offer(price=Decimal(price)) for price in ("1.0", "1", "1.00", "2")]
    for vote in (vote_by_field(offer.values(result.votes)), vote_by_field(values)):
        assert vote.agreement_ratio == result.agreement_ratio == vote.agreement["price"] == 0.75
        assert vote.winner.price == 1
