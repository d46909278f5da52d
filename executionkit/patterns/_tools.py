"""One tool call: check the arguments, run the tool within its time, say what came of it."""

import asyncio
import inspect
import logging
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, cast

from executionkit._callables import signature_of
from executionkit._json import plain
from executionkit._logs import write
from executionkit._prompt import Part
from executionkit._threads import in_thread
from executionkit.engine.parallel import look_at, spawn
from executionkit.engine.tariff import BrokenPricesError
from executionkit.errors import ToolError
from executionkit.patterns._returned import Returned, returned_by
from executionkit.patterns._tool_places import Place, Places
from executionkit.protocols import LLMProvider
from executionkit.responses import ToolCall
from executionkit.tools._signature import Injected
from executionkit.tools._tool import Toolable
from executionkit.types import Tool

_log = logging.getLogger("executionkit.tools")

GRACE: Final = 1.0
"""Seconds a cancelled tool has to end before it is left behind; never more than it had to run."""


class Toolbox:
    """The tools of one run by name, ready to be called.

    A tool whose function has a parameter `provider` that its schema does not declare is handed the run,
    so that the calls it makes itself are metered.

    Args:
        tools: The tools.
        provider: The run.
        timeout: Seconds that any of them may take; None for each tool's own time.
        at_once: How many may run at once. The time of one that waits does not count yet.
    """

    def __init__(
        self,
        tools: Mapping[str, Tool],
        provider: LLMProvider,
        timeout: float | None,
        at_once: int = sys.maxsize,
    ) -> None:
        self._tools = tools
        self._provider = provider
        self._timeout = timeout
        self._places = Places(at_once)
        self._functions: dict[str, _Function] = {}
        self._parts: dict[str, tuple[Part, ...]] = {}

    def take_parts(self, calls: Sequence[ToolCall]) -> dict[str, tuple[Part, ...]]:
        """The pictures and other parts that these calls returned, by the id of the call; only once."""
        if not self._parts:
            return {}
        ids = [call.id for call in calls if call.id in self._parts]
        return {own: self._parts.pop(own) for own in ids}

    def find(self, name: str) -> Tool | None:
        """The tool of this name, if there is one."""
        return self._tools.get(name)

    async def call(self, call: ToolCall) -> tuple[str, bool]:
        """The observation a call leads to, and whether the tool was run. Only cancellation gets out."""
        prepared = self.prepared(call)
        if isinstance(prepared, str):
            return prepared, False
        returned = await self.run(prepared)
        return returned.text, returned.ran

    def prepared(self, call: ToolCall) -> "Prepared | str":
        """A call whose name and arguments are right, ready to run; else the observation that says why not."""
        tool = self._tools.get(call.name)
        if tool is None:
            known = ", ".join(sorted(self._tools)) or "there are none"
            return f"Error: there is no tool {call.name!r}. Available tools: {known}."
        raw = call.invalid_arguments
        if raw is not None:
            return f"Error: the arguments of {tool.name} must be a JSON object, got: {raw}"
        # Most tools are never called, and looking at a function takes longer than calling it.
        function = self._functions.get(tool.name)
        if function is None:
            function = self._functions[tool.name] = _Function.of(tool)
        try:
            # A copy however deep: what a tool changes must reach neither the transcript nor the events.
            arguments = tool.convert(plain(call.arguments))
            for name, wanted in function.injected.items():
                arguments[name] = self._provider if wanted == "provider" else call
            function.check(arguments)
        except ValueError as exc:
            return f"Error: invalid arguments for {tool.name}: {exc}"
        return Prepared(tool, function, arguments, call.id)

    async def run(self, prepared: "Prepared") -> Returned:
        """What comes of a tool. It is not run where there is no place to run it."""
        tool, function, arguments, own = prepared
        place = await self._places.take()
        if place is None:
            why = f"Error: {tool.name} was not run: earlier calls that overran their time still run."
            return Returned(why, ran=False)
        returned = await self._run(tool, function, arguments, place)
        self.put_parts(own, returned.parts)
        return returned

    def put_parts(self, own: str, parts: tuple[Part, ...]) -> None:
        """Keep the parts that the call with this id returned, until they are taken."""
        if parts:
            self._parts[own] = parts

    async def _run(
        self, tool: Tool, function: "_Function", arguments: dict[str, Any], place: Place
    ) -> Returned:
        limit = tool.timeout if self._timeout is None else self._timeout
        (task,) = spawn(_execute(function, arguments, place))
        # Looked at in any case: cancelled in the moment the tool fails, we never come to its error.
        task.add_done_callback(look_at)
        task.add_done_callback(lambda _: place.let_go())
        try:
            await asyncio.wait((task,), timeout=limit)
            timed_out = not task.done()
        finally:
            if not task.done():
                try:
                    await abandon(task, f"tool {tool.name}", min(GRACE, limit))
                finally:
                    place.overrun()
        if timed_out:
            late = f"did not finish within {limit:g} seconds"
            return Returned(f"Error: {tool.name} {late}.", error=TimeoutError(late))
        if task.cancelled():
            # The tool raised CancelledError itself; this run was not cancelled.
            return Returned(f"Error: {tool.name} failed with CancelledError.", error=asyncio.CancelledError())
        exc = task.exception()
        if isinstance(exc, ToolError):
            return Returned(f"Error: {exc}", error=exc)
        if exc is not None:
            if not isinstance(exc, Exception) or isinstance(exc, BrokenPricesError):
                raise exc
            own = exc.__cause__ if isinstance(exc, _Exited) and exc.__cause__ is not None else exc
            kind = type(own).__name__
            # A fault of the program, which the model alone would otherwise hear of.
            write(_log, logging.WARNING, "tool %s raised %s", tool.name, kind, exc=own)
            return Returned(f"Error: {tool.name} failed with {kind}.", error=own)
        return task.result()


class _Function(NamedTuple):
    """A tool's function, and what calling it takes.

    Attributes:
        execute: The function.
        is_async: Whether it is called in the event loop, not in a thread.
        injected: The parameters that are filled in here: the run as "provider", the call as "call".
        signature: Its own signature, not that of a function it wraps; None if it can't be found out.
        accepted: The names it takes as keywords, those taken by a `**` parameter apart.
        required: Those of its parameters that have no default.
    """

    execute: Callable[..., Awaitable[object] | object]
    is_async: bool
    injected: Mapping[str, Injected]
    signature: inspect.Signature | None
    accepted: frozenset[str]
    required: frozenset[str]

    @classmethod
    def of(cls, tool: Tool) -> "_Function":
        signature = signature_of(tool.execute, follow_wrapped=False)
        parameters = signature.parameters.values() if signature is not None else ()
        named = [p for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        return cls(
            tool.execute,
            is_async(tool.execute),
            tool.injected,
            signature,
            frozenset(p.name for p in named if p.kind is not p.POSITIONAL_ONLY),
            frozenset(p.name for p in named if p.default is p.empty),
        )

    def check(self, arguments: Mapping[str, Any]) -> None:
        """Raise a ValueError if it can't be called with these arguments."""
        if self.signature is None or self.required <= arguments.keys() <= self.accepted:
            return
        try:
            self.signature.bind(**arguments)
        except TypeError as exc:
            raise ValueError(str(exc)) from None


class Prepared(NamedTuple):
    """A call that can be run: its tool, the arguments that were checked, and its id."""

    tool: Tool
    function: _Function
    arguments: dict[str, Any]
    id: str


class _Exited(Exception):  # noqa: N818 - named for what the tool did
    """A tool called `sys.exit()`: a SystemExit would pass through the task and end the event loop."""


async def _execute(function: _Function, arguments: dict[str, Any], place: Place) -> Returned:
    try:
        if function.is_async:
            result = function.execute(**arguments)
        else:
            # Its result is written there too, which may take long.
            result = await in_thread(lambda: _called(function.execute, arguments), place)
        if isinstance(result, Returned):
            return result
        return returned_by(await result if inspect.isawaitable(result) else result)
    except SystemExit as exc:
        raise _Exited from exc


def _called(function: Callable[..., object], arguments: dict[str, Any]) -> Awaitable[object] | Returned:
    result = function(**arguments)
    return result if inspect.isawaitable(result) else returned_by(result)


async def abandon(task: "asyncio.Future[Any]", name: str, grace: float) -> None:
    """Cancel what a task runs and give it a moment; one that resists is left behind, and said so."""
    task.cancel()
    await asyncio.wait((task,), timeout=grace)
    if not task.done():
        write(_log, logging.WARNING, "%s resists cancellation and was left running", name)


def is_async(function: object) -> bool:
    """Whether calling it blocks nothing: it is called in the event loop, anything else in a thread."""
    # A decorator counts, not the function that it wraps: it may block. A coroutine that it returns is
    # awaited on the event loop, whichever thread made it.
    call = getattr(function, "__call__", None)  # noqa: B004 - the method is needed, not a yes or no
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def cut(text: str, limit: int) -> tuple[str, bool]:
    """Cut `text` to `limit` characters, a mark at the end included, and say whether it was cut."""
    if len(text) <= limit:
        return text, False
    mark = f"\n[truncated: {len(text)} characters in all]"
    if len(mark) >= limit:
        mark = "…"
    return text[: limit - len(mark)] + mark, True


def tools_by_name(tools: object) -> dict[str, Tool]:
    """The tools under their names; functions become tools.

    Raises:
        TypeError: `tools` is no list, or holds something that is no tool.
        ValueError: Two tools share a name, or a function can't be made a tool.
    """
    if not isinstance(tools, Iterable):
        raise TypeError(f"tools must be a list of functions and Tool objects, got {tools!r}")
    by_name: dict[str, Tool] = {}
    for given in cast("Iterable[Toolable]", tools):
        if not callable(given) and not isinstance(given, Tool):
            raise TypeError(f"tools must be functions and Tool objects, got {given!r}")
        tool = given if isinstance(given, Tool) else Tool.from_function(given)
        if tool.name in by_name:
            raise ValueError(f"tools must have different names, got {tool.name!r} twice")
        by_name[tool.name] = tool
    return by_name
