"""The types that `structured` shows to users; what works with them is loaded when it is called."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

SchemaMode: TypeAlias = Literal["json_schema", "json_object_schema", "json_object", "none"]
"""From the strictest to none at all; "json_object_schema" is a json_object with the schema beside it."""

Rung: TypeAlias = Literal["ask", "fallback", "more_tokens", "repair"]
"""What a call was for: the first asking, a mode that was refused, more room, asking with the errors."""

Validator: TypeAlias = Callable[[T], bool | str | Awaitable[bool | str | None] | None]
"""`(value)`, async or plain: None, True or "" accepts, False or a text (the reason) rejects."""


class OutputAdapter(Protocol[T_co]):
    """What `structured` needs of a `pydantic.TypeAdapter`, which types unions and `Literal`s precisely."""

    def validate_json(self, data: str, /) -> T_co:
        """Read a JSON text as the type, or raise a ValueError."""
        ...

    def json_schema(self) -> dict[str, Any]:
        """The JSON Schema of the type."""
        ...
