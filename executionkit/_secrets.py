"""`Secret`: a string that doesn't show itself, for keys and the values of headers."""

from typing import Any, Self


class Secret(str):
    """A string whose `repr`, `str` and `format` are `***`; pickling it yields a `LostSecret`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'***'" if self else "''"

    def __str__(self) -> str:
        return "***" if self else ""

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return (LostSecret, ("***",)) if self else (Secret, ("",))

    def reveal(self) -> str:
        """Return the string itself."""
        return str.__str__(self)


class LostSecret(Secret):
    """A secret that came out of a pickle: there was one, but its value is lost."""

    __slots__ = ()
