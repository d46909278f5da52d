"""`answers.structured`: structured answers vote as a whole, and field by field."""

import json
from dataclasses import dataclass
from typing import Any

import pytest

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
