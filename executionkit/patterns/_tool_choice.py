"""Which tools the model may or must call in a round, as fields of the request."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from executionkit import _checks as checks
from executionkit._refusals import NO_TOOL_CHOICE, refuses_tool_choice
from executionkit.engine.run import Run
from executionkit.errors import LLMError
from executionkit.patterns._narrator import Narrator
from executionkit.responses import LLMResponse

_WORDS: Final = ("auto", "required", "none")

NOT_ALLOWED: Final = "Error: not run, because no tool may be called. Answer in words."
ONE_AT_A_TIME: Final = (
    "Error: not run, because tools are called one at a time. Wait for the result of the first call, and make "
    "this call again if it is still needed."
)


class ToolChoice:
    """The choice of tools in one run.

    Args:
        wanted: "auto", "required", "none" or the name of a tool. "required" and a name hold until that tool
            was run or declined once.
        parallel: Whether the model may call several tools in one reply; None leaves it to the server.
        tools: The names of the tools.
        answer: The name of the tool that takes a typed answer, if there is one. Where no tool may be called,
            this one must be.

    Attributes:
        is_closed: Whether no call is run any more.

    Raises:
        ValueError: There is no such tool, or none to be required.
    """

    def __init__(
        self, wanted: object, parallel: object, tools: Iterable[str], answer: str | None = None
    ) -> None:
        if wanted != "auto":
            _check(wanted, list(tools), answer)
        if parallel is not None and not isinstance(parallel, bool):
            raise ValueError(f"parallel_tool_calls must be True, False or None, got {parallel!r}")
        self._wanted = str(wanted)
        self._parallel = parallel
        self._answer = answer
        self.is_closed = wanted == "none"

    def met(self, name: str) -> None:
        """Note that a tool was run, or declined."""
        if self._wanted in ("required", name):
            self._wanted = "auto"

    def fields(self) -> dict[str, Any]:
        """The fields of the next request, which has tools."""
        if self._wanted == "auto" and self._parallel is None and not self.is_closed:  # nearly always
            return {}
        fields: dict[str, Any] = {} if self._parallel is None else {"parallel_tool_calls": self._parallel}
        if self.is_closed and self._answer is None:
            return {**fields, "tool_choice": "none"}
        name = self._answer if self.is_closed else self._wanted
        if name in _WORDS:
            return fields if name == "auto" else {**fields, "tool_choice": name}
        return {**fields, "tool_choice": {"type": "function", "function": {"name": name}}}

    def refusal(self, index: int) -> str | None:
        """Why a call of a reply is not run, by its place in the reply; None if it may run."""
        if self.is_closed:
            return NOT_ALLOWED
        return ONE_AT_A_TIME if index and self._parallel is False else None


def _check(wanted: object, names: list[str], answer: str | None) -> None:
    checks.text(tool_choice=wanted)
    if wanted not in (*_WORDS, *names):
        known = ", ".join(map(repr, (*_WORDS, *names)))
        raise ValueError(f"tool_choice must be one of {known}, got {wanted!r}")
    if wanted == "required" and not names and answer is None:
        raise ValueError("tool_choice must not be 'required' where there are no tools, got 'required'")


async def ask_without_tools(
    narrator: Narrator, run: Run, messages: list[dict[str, Any]], settings: Mapping[str, Any]
) -> LLMResponse:
    """Call the model where no tool may run; a server that refuses `tool_choice` is asked without it."""
    without = {name: value for name, value in settings.items() if name != "tool_choice"}
    kind = "none" if settings["tool_choice"] == "none" else "name"
    if NO_TOOL_CHOICE.recall(run.target, kind):
        return await narrator.ask(run, messages, **without)
    try:
        return await narrator.ask(run, messages, **settings)
    except LLMError as exc:
        if not refuses_tool_choice(exc):
            raise
    reply = await narrator.ask(run, messages, **without)
    NO_TOOL_CHOICE.learn(run.target, kind, True)  # noqa: FBT003 - the value that is remembered
    return reply
