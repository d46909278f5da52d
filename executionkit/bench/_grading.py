"""Grades: functions that say how right an answer is."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, TypeAlias

from executionkit import _checks as checks
from executionkit import answers
from executionkit._shown import shown
from executionkit._text import collapsed

Grade: TypeAlias = Callable[[Any, Any], bool | float | Awaitable[bool | float]]
"""`(value, item) -> grade`, plain or async: True and 1.0 are right, False and 0.0 wrong, others partly right.

A value is what the step returned, or the `value` of its result.
"""

_USUAL: Final = ("expected", "answer")


class match:  # noqa: N801 - called like a function, and in the place of one
    """A grade by the item's expected answer: 1 if the value is the same, else 0.

    - Where `key` is given, it reads texts, those of the value and those expected. A text that it can't read
      stands for itself.
    - Without it, `answers.number` reads the value where an int or a float is expected.
    - Numbers are the same if they are equal. All else is compared as text, a value that is no text as JSON,
      without regard to upper and lower case and white space.

    Example:
        ```python
        from executionkit import answers, bench

        grade = bench.match("gold", key=answers.number)
        assert grade("So it is 42.", {"gold": "#### 42"}) == 1.0
        assert bench.match()("So it is 42.", {"expected": 42}) == 1.0
        assert bench.match()(" paris", {"expected": "Paris"}) == 1.0
        assert bench.match()("Paris it is", {"expected": "Paris"}) == 0.0
        ```

    Args:
        expected: The field of the item with the expected answer. Defaults to "expected" or "answer", of which
            the item must have one and not both.
        key: A reader of texts, such as `answers.number`. It returns None where it reads nothing.
    """

    def __init__(
        self, expected: str | None = None, *, key: Callable[[str], object | None] | None = None
    ) -> None:
        checks.called_with("text", key=key)
        self._field = expected
        self._key = key

    def __call__(self, value: object, item: object) -> float:
        """Grade a value."""
        wanted = self.expected(item)
        if isinstance(value, str):
            key = answers.number if self._key is None and _is_number(wanted) else self._key
            read = None if key is None else key(value)
            value = value if read is None else read
        if _is_number(value) and _is_number(wanted):
            return float(value == wanted)
        return float(_plain(value) == _plain(wanted))

    def expected(self, item: object) -> object:
        """The expected answer of an item, read by `key` if it is a text.

        Raises:
            ValueError: The item has no such field.
        """
        if not isinstance(item, Mapping):
            found = type(item).__name__
            raise ValueError(
                f"grade: an item must be a mapping with the expected answer, got a {found}; or give grade="
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
        read = self._key(answer) if self._key is not None and isinstance(answer, str) else None
        return answer if read is None else read


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: object) -> str:
    return collapsed(shown(value)).casefold()
