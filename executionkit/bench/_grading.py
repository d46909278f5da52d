"""Grades: functions that say how right an answer is."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from executionkit import answers
from executionkit._shown import shown
from executionkit._text import collapsed

Grade: TypeAlias = Callable[[Any, Any], bool | float | Awaitable[bool | float]]
"""`(value, item) -> grade`, plain or async: True and 1.0 are right, False and 0.0 wrong, others partly right.

A value is what the step returned, or the `value` of its result.
"""

_USUAL: Final = ("expected", "answer")


class match:  # noqa: N801 - called like a function, and in the place of one
    """A grade by the item's expected answer: 1 if the value is equal to it, else 0.

    With `key`, both are read by it, and a value that it can't read is wrong. Without, a value is right if it

    - equals the expected answer;
    - or is a text from which `answers.number` reads the expected answer, where that is an int or a float;
    - or is the same text, but for upper and lower case and white space. Values that are no text are compared
      as JSON.

    Example:
        ```python
        from executionkit import answers, bench

        grade = bench.match("gold", key=answers.number)
        assert grade("So it is 42.", {"gold": "#### 42"}) == 1.0
        assert bench.match()(" paris", {"expected": "Paris"}) == 1.0
        assert bench.match()("Paris it is", {"expected": "Paris"}) == 0.0
        ```

    Args:
        expected: The field of the item with the expected answer. Defaults to "expected" or "answer", of which
            the item must have one and not both.
        key: A reader of a text, such as `answers.number`. It returns None where it reads nothing.
    """

    def __init__(
        self, expected: str | None = None, *, key: Callable[[str], object | None] | None = None
    ) -> None:
        self._field = expected
        self._key = key

    def __call__(self, value: object, item: object) -> float:
        """Grade a value."""
        wanted = self.expected(item)
        if self._key is not None:
            return float(self._key(shown(value)) == wanted)
        if type(value) is type(wanted) and value == wanted:
            return 1.0
        if isinstance(wanted, int | float) and not isinstance(wanted, bool):
            found = answers.number(value) if isinstance(value, str) else value
            return float(not isinstance(found, bool) and found == wanted)
        return float(collapsed(shown(value)).casefold() == collapsed(shown(wanted)).casefold())

    def expected(self, item: object) -> object:
        """The expected answer of an item, read by `key` if it is a text.

        Raises:
            ValueError: The item has no such field, or `key` can't read the text in it.
        """
        if not isinstance(item, Mapping):
            raise ValueError(
                f"grade: an item must be a mapping with the expected answer, got a {type(item).__name__}"
            )
        fields: Mapping[str, object] = item
        names = [name for name in ((self._field,) if self._field else _USUAL) if name in fields]
        if len(names) != 1:
            wanted = repr(self._field) if self._field else "one of 'expected' and 'answer'"
            has = ", ".join(repr(str(name)) for name in fields) or "no fields"
            raise ValueError(
                f"grade: an item must have {wanted}, this one has {has}: name the field by bench.match(...), "
                "or give a grade= of your own"
            )
        answer = fields[names[0]]
        if self._key is None or not isinstance(answer, str):
            return answer
        if (found := self._key(answer)) is None:
            raise ValueError(f"grade: the key can't read the expected answer in the item's {names[0]!r}")
        return found
