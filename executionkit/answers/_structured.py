"""Reading an answer as a value of a type, or JSON that fits a schema, so that structured answers can vote."""

import json
from collections.abc import Hashable, Iterable, Mapping
from types import UnionType
from typing import Any, Generic, TypeVar, overload

from executionkit._output import OutputAdapter
from executionkit.engine.json_extraction import extract_json

T = TypeVar("T")


class StructuredReader(Generic[T]):
    """Reads the JSON of a reply if it fits the type or schema asked for. Make one with `structured`.

    The answer that votes is JSON text, the same for all replies that are read as the same value: defaults are
    filled in, and "1931" is 1931 where the type takes it as that. `value` turns it into the value.
    """

    def __init__(self, output: object) -> None:
        from executionkit._output import output_for  # not at the top: few programs need it

        self._output = output_for(output)

    def __call__(self, text: str) -> str | None:
        """Read the answer; None if there is no JSON, or it does not fit."""
        from executionkit._output import UnfitError

        try:
            return self._output.canonical(extract_json(text))
        except (UnfitError, ValueError, RecursionError):
            return None

    def value(self, answer: Hashable) -> T:
        """Return the value of an answer that this reader has read.

        Raises:
            TypeError: `answer` is not one of them.
        """
        if not isinstance(answer, str):
            raise TypeError(f"answer must be one that this reader has read, got {answer!r}")
        value: T = self._output.read(json.loads(answer))
        return value

    def values(self, votes: Iterable[tuple[Hashable, int]]) -> list[T]:
        """Return the value of every vote, for `vote_by_field`.

        Args:
            votes: The `votes` of a `ConsensusResult`: each answer with its number of votes.
        """
        return [self.value(answer) for answer, count in votes for _ in range(count)]


@overload
def structured(output: type[T] | OutputAdapter[T]) -> StructuredReader[T]: ...
@overload
def structured(output: None = None) -> StructuredReader[dict[str, Any] | list[Any]]: ...
@overload
def structured(output: Mapping[str, Any] | UnionType) -> StructuredReader[Any]: ...
def structured(output: object = None) -> StructuredReader[Any]:
    """Make a reader of structured answers. Equal values are one vote, and a reply that does not fit abstains.

    Each sample is one request, without the repairs of the pattern `structured`: a vote needs many answers,
    not that each of them is right. Describe the JSON in the prompt.

    Example:
        ```python
        from executionkit import MockProvider, answers, consensus, vote_by_field

        SCHEMA = {
            "type": "object",
            "properties": {"year": {"type": "integer"}},
            "required": ["year"],
        }
        film = answers.structured(SCHEMA)
        provider = MockProvider(['{"year": 1927}', '{ "year": 1927 }', '{"year": "?"}'])
        result = await consensus(
            provider, "Which year? As JSON.", num_samples=3, key=film
        )
        assert (film.value(result.answer), result.abstained) == ({"year": 1927}, 1)
        assert vote_by_field(film.values(result.votes)).agreement == {"year": 1.0}
        ```

    Args:
        output: As in the pattern `structured`: a type that pydantic can check, a TypeAdapter, or a JSON
            Schema. Defaults to any JSON object or array.

    Returns:
        A `StructuredReader`.

    Raises:
        ValueError: `output` is something else, or can't be checked.
        ImportError: `output` is a type, and pydantic is not installed.
    """
    return StructuredReader(output)
