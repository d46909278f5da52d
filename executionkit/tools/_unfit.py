"""Arguments that don't fit a function: their errors, and the places of these."""

import json


class UnfitArgumentsError(ValueError):
    """The arguments of a call don't fit the tool's function.

    Attributes:
        errors: The errors, each with its place.
    """

    def __init__(self, *errors: str) -> None:
        super().__init__("; ".join(errors))
        self.errors: list[str] = list(errors)


def member(place: str, name: str) -> str:
    """The place of a member of an object that stands at `place`."""
    if not name.isidentifier():
        return f"{place}[{json.dumps(name, ensure_ascii=False)}]"
    return f"{place}.{name}" if place else name
