"""`vote_by_field`: a vote on structured values, as a whole and field by field."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from executionkit._json import as_dicts, canonical_text, is_record

T = TypeVar("T")

Path: TypeAlias = tuple[str, ...]

_ABSENT: Final = object()


@dataclass(frozen=True)
class FieldVote(Generic[T]):
    """The outcome of a vote on structured values.

    Attributes:
        winner: The value that most of the values equal. A tie goes to the first. This is the vote on whole
            values.
        agreement_ratio: The winner's share of all values.
        fields: The most common value of each field, as plain dicts and lists. A tie goes to the first. The
            combination may be one that no single value has, so check it before you use it.
        agreement: The share of each field's most common value, by path (`"address.city"`). A list is one
            field. A field that most values leave out is left out here too.
        closest: The value that agrees with the most `fields`. A tie goes to the first.
    """

    winner: T
    agreement_ratio: float
    fields: dict[str, Any]
    agreement: dict[str, float]
    closest: T


def vote_by_field(values: Sequence[T]) -> FieldVote[T]:
    """Let structured values vote, as a whole and field by field.

    Several extractions from the same text seldom agree on everything. The fields on which they disagree are
    the ones to look at.

    Example:
        ```python
        from executionkit import vote_by_field

        vote = vote_by_field(
            [
                {"title": "Metropolis", "year": 1927},
                {"title": "Metropolis", "year": 1926},
                {"title": "M", "year": 1927},
            ]
        )
        assert vote.fields == {"title": "Metropolis", "year": 1927}
        assert vote.agreement == {"title": 2 / 3, "year": 2 / 3}
        ```

    Args:
        values: The `value`s of several `structured` calls: mappings, dataclasses or pydantic models; at least
            one. Two fields are equal if their JSON is equal, whatever the order of keys.

    Returns:
        A `FieldVote`: the most common value, the most common fields, and how much the values agree.

    Raises:
        ValueError: `values` is empty, or one of them has no fields.
    """
    if not values:
        raise ValueError(f"values must hold at least one, got {values!r}")
    every = range(len(values))
    leaves = [dict(_leaves(_as_object(value))) for value in values]
    written = [_ballots(value) for value in values]
    whole = _winner([frozenset(ballot.items()) for ballot in written])
    fields: dict[str, Any] = {}
    agreement: dict[str, float] = {}
    matches = [0 for _ in every]
    for path in dict.fromkeys(path for leaf in leaves for path in leaf):
        ballots = [ballot.get(_named(path), _ABSENT) for ballot in written]
        chosen, votes = _winner(ballots)
        for index in every:
            matches[index] += ballots[index] == ballots[chosen]
        if path in leaves[chosen]:
            _put(fields, path, leaves[chosen][path])
            agreement[".".join(_named(path))] = votes / len(values)
    return FieldVote(
        winner=values[whole[0]],
        agreement_ratio=whole[1] / len(values),
        fields=fields,
        agreement=agreement,
        closest=values[max(every, key=matches.__getitem__)],
    )


def _winner(ballots: Sequence[Hashable]) -> tuple[int, int]:
    """The index of the first voter for what most voted for, and how many did."""
    counts = Counter(ballots)
    first = max(range(len(ballots)), key=lambda index: counts[ballots[index]])
    return first, counts[ballots[first]]


def _as_object(value: object) -> dict[str, Any]:
    if isinstance(value, Mapping) or is_record(value):
        return cast("dict[str, Any]", as_dicts(value))
    raise ValueError(f"values must be mappings, dataclasses or models, got {value!r}")


def _ballots(value: object) -> dict[Path, str]:
    """The fields as they vote: by Python's values, because 1.0 and 1.00 of a Decimal are different JSON."""
    dump: Callable[[], dict[str, Any]] | None = getattr(value, "model_dump", None)
    compared = _as_object(value) if dump is None else dump()
    return {_named(path): canonical_text(item) for path, item in _leaves(compared)}


def _named(path: Path) -> Path:
    return tuple(map(str, path))


def _leaves(value: Mapping[str, Any], path: Path = ()) -> Iterator[tuple[Path, Any]]:
    for name, item in value.items():
        if isinstance(item, Mapping) and item:
            yield from _leaves(cast("Mapping[str, Any]", item), (*path, name))
        else:
            yield (*path, name), item


def _put(fields: dict[str, Any], path: Path, value: object) -> None:
    for name in path[:-1]:
        fields = fields.setdefault(name, {})
    fields[path[-1]] = value
