"""The rows of a job: where they come from, their ids, the digests of both, and which shard has them."""

import json
from array import array
from bisect import bisect_left
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
    Sized,
)
from operator import index as as_index
from typing import Any, Final, Generic, TypeAlias, TypeVar, cast

from executionkit._callables import misfit
from executionkit._json import canonical_text, is_sequence
from executionkit.many._journal.format import digest_of

Row = TypeVar("Row")

IdOf: TypeAlias = str | Callable[[Row], str | int] | None
"""Where the id of a row comes from: a field, a function, or its position."""


class RowError(ValueError):
    """A row that can't be worked on: it fails, and the others go on."""


_IN_ORDER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def content_digest(row: object) -> int | None:
    """A number that stands for what is in a row; None where nothing of it can be compared.

    Two rows have the same one where JSON holds them equal. An object of a class that has no text of its own
    has none, because its `repr` is another one in the next process.
    """
    if type(row) is str:
        return digest_of(row)
    try:
        text = _IN_ORDER.encode(row)
    except (TypeError, ValueError, RecursionError):
        try:
            text = canonical_text(row)
        except Exception:  # noqa: BLE001 - a value of another's making may raise anything
            return None
        if " at 0x" in text:
            return None
    return digest_of(text)


class Shard:
    """A part of the rows: every one whose id has `digest(id) % count == number`.

    The digest is the blake2b of the id in UTF-8, of 8 bytes, read as a big-endian number: the same in every
    process and version of Python.

    Args:
        shard: The number of the part, from 0, and how many there are; None for all rows.

    Raises:
        ValueError: It is no such pair.
    """

    def __init__(self, shard: object) -> None:
        self.number, self.count = 0, 1
        if shard is None:
            return
        pair: list[object] = (
            list(cast("tuple[object, ...]", shard)) if isinstance(shard, (tuple, list)) else []
        )
        if len(pair) != 2 or not all(type(each) is int for each in pair):
            raise ValueError(f"shard must be a pair of ints such as (3, 16), got {shard!r}")
        self.number, self.count = cast("list[int]", pair)
        if not 0 <= self.number < self.count:
            raise ValueError(f"shard must be (i, n) with 0 <= i < n, got {shard!r}")

    def has(self, key: int) -> bool:
        """Whether a row whose id has this digest belongs to the shard."""
        return self.count == 1 or key % self.count == self.number


class Ids(Generic[Row]):
    """Finds the id of each row.

    Args:
        id_of: As in `run_many`.

    Raises:
        ValueError: `id_of` is neither a field's name nor a function of one argument.
    """

    def __init__(self, id_of: IdOf[Row]) -> None:
        self._field = id_of if isinstance(id_of, str) else None
        self._function = id_of if callable(id_of) else None
        if id_of is not None and not self._field and self._function is None:
            raise ValueError(f"id must be a field's name, a function of the row, or None, got {id_of!r}")
        if self._function is not None and (why := misfit(self._function, None)):
            raise ValueError(f"id must be a function called as id(row), got {id_of!r}: {why}")
        self.are_positions: bool = id_of is None

    def of(self, row: Row, position: int) -> str:
        """The id of a row.

        Raises:
            RowError: It has none that can be used.
        """
        if self.are_positions:
            return str(position)
        found = self._found(row, position)
        if type(found) is str and found:
            return found
        if isinstance(found, str) and found:
            return str.__str__(found)
        if not isinstance(found, (bool, float, str)) and found is not None:
            try:
                return str(as_index(cast("Any", found)))  # numpy's integers have one too
            except TypeError:
                pass
        shown = repr(found) if isinstance(found, (bool, float, str, type(None))) else type(found).__name__
        raise RowError(f"row {position} has no id: it must be a text or an int, got {shown}")

    def _found(self, row: Row, position: int) -> object:
        if self._function is not None:
            try:
                return self._function(row)
            except Exception as exc:  # of any type: it is the user's function
                raise RowError(f"row {position} has no id: {type(exc).__name__}: {exc}") from exc
        name = self._field or ""
        if isinstance(row, Mapping):
            fields = cast("Mapping[str, object]", row)
            if name in fields:
                return fields[name]
        elif (found := getattr(row, name, _MISSING)) is not _MISSING:
            return found
        raise RowError(f"row {position} has no id: it has no field {name!r}")


_MISSING: Final = object()

_IN_BUCKET: Final = 1024


class SeenIds:
    """The ids of this start, by their digests.

    It takes 8 to 9 bytes an id. The digests lie sorted in buckets, by their leading bits.
    """

    def __init__(self) -> None:
        self._shift = 64
        self._buckets = [array("Q")]
        self._left = _IN_BUCKET

    def add(self, key: int) -> bool:
        """Add an id; returns whether it was not there."""
        bucket = self._buckets[key >> self._shift]
        place = bisect_left(bucket, key)
        if place < len(bucket) and bucket[place] == key:
            return False
        bucket.insert(place, key)
        self._left -= 1
        if not self._left:
            self._split()
        return True

    def _split(self) -> None:
        """Make two buckets of each one."""
        self._shift -= 1
        self._left = _IN_BUCKET * len(self._buckets)
        halves: list[array[int]] = []
        # From the end, so that each one is let go before the next is copied.
        while self._buckets:
            bucket = self._buckets.pop()
            cut = bisect_left(bucket, (2 * len(self._buckets) + 1) << self._shift)
            halves += [bucket[cut:], bucket[:cut]]
        halves.reverse()
        self._buckets = halves


_COLUMNWISE: Final = {
    "iterrows": "df.to_dict('records')",
    "iter_rows": "df.iter_rows(named=True)",
}
"""Tables that iterate over their columns, by a method that tells them, and what to give in their place."""


class Source(Generic[Row]):
    """Hands out the rows one by one.

    Args:
        rows: The rows.

    Attributes:
        total: How many there are; None if that can't be known beforehand.

    Raises:
        ValueError: They are no rows.
    """

    def __init__(self, rows: Iterable[Row] | AsyncIterable[Row]) -> None:
        given: object = rows
        self.total: int | None = len(given) if isinstance(given, Sized) else None
        self._rows: Sequence[Row] = rows if is_sequence(rows) else ()
        self._iterator: Iterator[Row] | None = None
        self._async_iterator: AsyncIterator[Row] | None = None
        for method, advice in _COLUMNWISE.items():
            if hasattr(given, method):
                raise ValueError(
                    f"rows must be an iterable of rows, got a {type(given).__name__}, which iterates over "
                    f"its columns; give {advice}"
                )
        if isinstance(given, AsyncIterable):
            self._async_iterator = aiter(cast("AsyncIterable[Row]", given))
        elif isinstance(given, Iterable) and not isinstance(given, (str, bytes, bytearray, Mapping)):
            self._iterator = iter(cast("Iterable[Row]", given))
        else:
            shown = "None" if given is None else f"a {type(given).__name__}"
            raise ValueError(f"rows must be an iterable of rows, such as a list or a generator, got {shown}")

    def first_with(self, ids: Ids[Row], row_id: str, before: int) -> int | None:
        """The position of the first row with an id, among those before a position; None if they are gone."""
        for position, row in enumerate(self._rows):
            if position == before:
                break
            try:
                if ids.of(row, position) == row_id:
                    return position
            except RowError:
                continue
        return None

    async def next(self) -> Row:
        """The next row.

        Raises:
            NoMoreRows: There is none.
        """
        try:
            if self._iterator is not None:
                return next(self._iterator)
            if self._async_iterator is not None:
                return await anext(self._async_iterator)
        except (StopIteration, StopAsyncIteration):
            pass
        raise NoMoreRows


class NoMoreRows(Exception):  # noqa: N818 - a signal, not an error
    """The rows are at their end."""
