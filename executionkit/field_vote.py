"""`vote_by_field`: a vote on structured values, as a whole and field by field."""

import json
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from executionkit._display import Brief
from executionkit._json import as_dicts, canonical_text, is_record, own_fields

T = TypeVar("T")

Path: TypeAlias = tuple[str, ...]

_ABSENT: Final = object()


@dataclass(frozen=True)
class FieldVote(Brief, Generic[T]):
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
    leaves = [{_named(path): (path, item) for path, item in _leaves(_as_object(value))} for value in values]
    written = [_ballots(value, leaf) for value, leaf in zip(values, leaves, strict=True)]
    whole = _winner([frozenset(ballot.items()) for ballot in written])
    fields: dict[str, Any] = {}
    agreement: dict[str, float] = {}
    matches = [0 for _ in every]
    # Fields that a model's own hooks don't write vote too, or all could agree on values that differ.
    for name in dict.fromkeys(name for part in (leaves, written) for each in part for name in each):
        ballots = [ballot.get(name, _ABSENT) for ballot in written]
        chosen, votes = _winner(ballots)
        for index in every:
            matches[index] += ballots[index] == ballots[chosen]
        if name in written[chosen]:
            shown = leaves[chosen].get(name)
            _put(fields, *(shown or (name, json.loads(written[chosen][name]))))
            agreement[".".join(name)] = votes / len(values)
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
    """The fields as they are shown: those of a model as its own hooks write them."""
    if isinstance(value, Mapping) or is_record(value):
        with suppress(Exception):  # a model's own hooks may raise anything
            dump: Any = getattr(value, "model_dump", None)
            shown: object = dump(mode="json", by_alias=False) if callable(dump) else as_dicts(value)
            if isinstance(shown, dict):
                return cast("dict[str, Any]", shown)
        if is_record(value) and (own := own_fields(value)) and set(own) != {"root"}:
            return own
    raise ValueError(f"values must be mappings, dataclasses or models, got {value!r}")


def _ballots(value: object, shown: Mapping[Path, tuple[Path, Any]]) -> dict[Path, str]:
    """The fields as they vote: by Python's values, because a model's own hooks may write them otherwise."""
    compared = {_named(path): item for path, item in _leaves(_compared(value))}
    fields = {name: item for name, (_, item) in shown.items()} | compared
    return {name: canonical_text(item) for name, item in fields.items()}


def _compared(value: Any) -> dict[str, Any]:
    own: Mapping[str, Any] = own_fields(value) if is_record(value) else value
    if set(own) == {"root"} and isinstance(own["root"], Mapping):  # a RootModel
        own = own["root"]
    return {
        name: _compared(item) if is_record(item) or isinstance(item, Mapping) else item
        for name, item in own.items()
    }


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
        inner = fields.setdefault(name, {})
        if not isinstance(inner, dict):
            return  # a model's own hook writes one value for all of these fields
        fields = cast("dict[str, Any]", inner)
    fields[path[-1]] = value
