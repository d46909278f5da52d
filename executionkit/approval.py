"""Asking a person before a tool runs: the request, the answer, and asking at the terminal."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypeAlias

from executionkit._display import Brief
from executionkit._json import STRICT, plain
from executionkit._threads import in_thread
from executionkit.responses import ToolCall, rebuild
from executionkit.tools._tool import Tool

__all__ = ["Approval", "ApprovalRequest", "Approver", "ask_on_terminal"]


@dataclass(frozen=True, slots=True)
class Approval(Brief):
    """The answer to an `ApprovalRequest`.

    Example:
        ```python
        from executionkit import Approval

        Approval(True)
        Approval(False, "Ask the guest for the order number first.")
        Approval(
            True, arguments={"order": 17, "amount": 5.0}
        )  # less than was asked for
        ```

    Attributes:
        approved: Whether the tool may run; True or False.
        reason: The reason for a refusal, which the model reads.
        arguments: The arguments to run the tool with instead of the model's. They are checked like the
            model's, and the model is told of them.

    Raises:
        TypeError: A field has the wrong type. Nothing else than True approves.
    """

    approved: bool
    reason: str = ""
    arguments: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.approved, bool):
            raise TypeError(f"approved must be True or False, got {self.approved!r}")
        if not isinstance(self.reason, str):
            raise TypeError(f"reason must be a str, got {self.reason!r}")
        if self.arguments is not None and not isinstance(self.arguments, Mapping):
            raise TypeError(f"arguments must be a mapping or None, got {self.arguments!r}")


@dataclass(frozen=True, slots=True)
class ApprovalRequest(Brief):
    """A tool call that needs approval. All of it is a copy: changing it changes nothing in the run.

    Attributes:
        call: The call, with the arguments as the model wrote them. They fit the tool's parameters.
        tool: The tool.
        round: Number of the round whose reply asked for the call; 0 if the conversation began with it.
        messages: The conversation so far, in the form of the chat completions API. The last message asks for
            the call.
    """

    call: ToolCall
    tool: Tool
    round: int
    messages: tuple[Mapping[str, Any], ...] = field(repr=False)

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuild, (type(self), {f.name: getattr(self, f.name) for f in fields(self)})


Approver: TypeAlias = Callable[[ApprovalRequest], Approval | bool | Awaitable[Approval | bool]]
"""A function of an `ApprovalRequest`, sync or async, that returns an `Approval`, True or False.

A sync function runs in a thread.
"""


async def ask_on_terminal(request: ApprovalRequest) -> Approval:
    """Ask at the terminal before a tool runs: an approver for `react_loop(approve=...)`.

    The answer is `y` (yes), `n` (no), which may be followed by a reason for the model, or `e` (edit), which
    asks for other arguments as JSON. The end of the input is a refusal. The question is read in a thread,
    which goes on waiting for a line if the run is cancelled meanwhile.

    Example:
        ```python
        from executionkit import MockProvider, react_loop, tool
        from executionkit.approval import ask_on_terminal


        @tool(needs_approval=True)
        def refund(order: int) -> str:
            "Refund an order."
            return "refunded"


        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        provider = MockProvider(["There is nothing to refund."])
        await react_loop(provider, "Order 17?", [refund], approve=ask_on_terminal)
        ```
    """
    return await in_thread(lambda: _ask(request))


def _ask(request: ApprovalRequest) -> Approval:
    name = request.call.name
    shown = _printable(json.dumps(plain(request.call.arguments), ensure_ascii=False, indent=2, default=repr))
    print(f"The model wants to run {name} with:\n{shown}")
    while True:
        try:
            said = input(f"Run {name}? [y]es, [n]o and why, [e]dit: ").strip()
        except EOFError:
            return Approval(approved=False, reason="no answer at the terminal")
        word, _, rest = said.partition(" ")
        if word.lower() in ("y", "yes"):
            return Approval(approved=True)
        if word.lower() in ("n", "no", "n:", "no:", "n,", "no,"):
            return Approval(approved=False, reason=rest.strip())
        if word.lower() in ("e", "edit"):
            edited = _edited(request)
            if edited is not None:
                return Approval(approved=True, arguments=edited)


def _edited(request: ApprovalRequest) -> dict[str, Any] | None:
    """Other arguments that fit the tool, or None."""
    try:
        text = input("Arguments as one line of JSON: ")
    except EOFError:
        return None
    try:
        given = replace(request.call, arguments=STRICT.decode(text), invalid_arguments=None)
        if given.invalid_arguments is not None:
            raise ValueError("they must be a JSON object")
        request.tool.convert(plain(given.arguments))
    except (ValueError, RecursionError) as exc:
        print(f"These arguments don't fit: {_printable(str(exc))}")
        return None
    return given.arguments


def _printable(text: str) -> str:
    # A model could write sequences that change what the terminal shows.
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)
