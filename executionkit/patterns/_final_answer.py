"""The typed answer of a tool loop: the tool by which the model gives it, and how it is read and refused."""

import json
from collections.abc import Callable, Container, Mapping
from typing import Any, Final, Generic, TypeVar

from executionkit._json import plain
from executionkit._output import UnfitError, output_for
from executionkit._schema import sendable
from executionkit.errors import PatternError
from executionkit.patterns._structured_reply import read_json
from executionkit.responses import LLMResponse, ToolCall

T = TypeVar("T")

_DESCRIPTION: Final = "Give the final answer. Call this when you have all that it takes."

_REFUSED: Final = """\
That is not what was asked for:
{errors}

"""
_GIVE: Final = "Give the answer by calling {name}."
_AGAIN: Final = "Call {name} again with the whole answer, mended."
_TAKEN: Final = "The answer was taken."
_SECOND: Final = "Not read: the answer was given before."


class FinalAnswer(Generic[T]):
    """The answer of one run, and the attempts at it.

    A tool call gives it. A text in its place is read as `structured` reads a reply, and the call is asked for
    once.

    Args:
        output: The form of the answer, as `structured` takes it.
        taken: The names of the other tools.
        max_retries: How many replies may give an answer that does not fit, before it is an error.

    Attributes:
        name: The tool's name.
        parameters: The JSON Schema of its arguments, which lets others in: they are for the form to refuse.
        value: The answer. Only once `is_given`.
        is_given: Whether a fitting answer was given.
        given: The answer as the model wrote it; "" before.

    Raises:
        ValueError: `output` is no form, or one that no tool can have.
        ImportError: `output` is a type, and pydantic is not installed.
    """

    value: T

    def __init__(self, output: object, taken: Container[str], max_retries: int) -> None:
        self.name = _free_name(taken)
        self.is_given = False
        self.given = ""
        self._output = output_for(output)
        self._schema = _parameters(self._output.schema or {}, output)
        self.parameters: Mapping[str, Any] = {"additionalProperties": True, **self._schema}
        self._max_retries = max_retries
        self._refused = 0
        self._is_refused = False
        self._texts_refused = 0
        self._last_text: str | None = None
        self._errors: list[str] = []

    def to_schema(self) -> dict[str, Any]:
        """The tool in the form the chat completions API takes."""
        function = {
            "name": self.name,
            "description": _DESCRIPTION,
            "parameters": sendable(self._schema),
        }
        return {"type": "function", "function": function}

    def convert(self, arguments: Mapping[str, object]) -> Mapping[str, object]:
        """Take any arguments: a call that is written as text is one, even if its arguments don't fit."""
        return arguments

    @property
    def answer_now(self) -> str:
        """The request for the answer, to a model that calls the other tools again and again."""
        return f"You have called the tools and have their results. {_GIVE.format(name=self.name)}"

    def salvage(self) -> dict[str, Any]:
        """The metadata of an error."""
        return {"last_text": self._last_text, "errors": list(self._errors)}

    def take(self, call: ToolCall, *, is_cut_off: bool = False) -> str:
        """Read a call of the tool; returns what the model is told.

        Args:
            call: The call.
            is_cut_off: Whether the reply that it stands in was cut off.
        """
        if self.is_given:
            return _SECOND

        broken = call.invalid_arguments
        text = json.dumps(call.arguments, ensure_ascii=False, default=repr) if broken is None else broken

        def found() -> object:
            # The arguments as they are, where they are whole: only slips have to be read like a reply.
            if broken is None and not is_cut_off:
                return plain(call.arguments)
            return read_json(LLMResponse(text, finish_reason="length" if is_cut_off else "stop"))[0]

        errors = self._try(text, found)
        self._is_refused = self._is_refused or bool(errors)
        return f"{errors}{_AGAIN.format(name=self.name)}" if errors else _TAKEN

    def take_text(self, reply: LLMResponse, *, is_call: bool) -> str:
        """Read a text in place of the call; returns the request for the call, or "" if it is the answer.

        Args:
            reply: The reply, without a call.
            is_call: Whether the text is a call of another tool.
        """

        def found() -> object:
            if is_call:
                raise UnfitError("the reply is a tool call written as text, and was not run")
            return read_json(reply)[0]

        errors = self._try(reply.content, found)
        self._texts_refused += bool(errors)
        return f"{errors}{_GIVE.format(name=self.name)}" if errors else ""

    def settle(self) -> bool:
        """Whether a reply that has been read gave the answer.

        Raises:
            PatternError: It gave none that fits, and no more may be refused.
        """
        if self.is_given:
            return True
        self._refused += self._is_refused
        self._is_refused = False
        if self._refused > self._max_retries:
            raise self._failure(
                f"no answer fitted in {self._refused} attempt{'s' * (self._refused > 1)} (raise max_retries, "
                "simplify `output`, or use a stronger model)"
            )
        if self._texts_refused > 1:
            raise self._failure(
                f"asked to call {self.name}, the model wrote another text (simplify `output`, use a stronger "
                "model, or a server that reads its tool calls)"
            )
        return False

    def _try(self, text: str, found: Callable[[], object]) -> str:
        """Read what a text holds as the answer; returns its errors in words for the model, "" if it fits."""
        try:
            self.value = self._output.read(found())
        except UnfitError as exc:
            self._last_text, self._errors = text, exc.errors
            return _REFUSED.format(errors="\n".join(f"- {error}" for error in exc.errors))
        self.is_given, self.given = True, text
        return ""

    def _failure(self, what: str) -> PatternError:
        last = (self._last_text or "")[:200]
        return PatternError(f"react_loop: {what}. The last one, {last!r}: {'; '.join(self._errors)}"[:2000])


def _free_name(taken: Container[str]) -> str:
    name, number = "final_answer", 1
    while name in taken:
        number += 1
        name = f"final_answer_{number}"
    return name


def _parameters(schema: Mapping[str, Any], output: object) -> dict[str, Any]:
    """The schema as one of arguments, which servers take only if it says at its root that it is an object."""
    whole = dict(schema)
    reference = whole.get("$ref")
    if "type" not in whole and isinstance(reference, str):  # as pydantic has it for what refers to itself
        del whole["$ref"]
        whole |= whole.get("$defs", {}).get(reference.removeprefix("#/$defs/"), {})
    if whole.setdefault("type", "object") != "object":
        raise ValueError(
            "output must describe an object, or refer to its definitions as '#/$defs/...' alone, so that a "
            f"tool can have it as its arguments, got {output!r}"
        )
    return whole
