"""One tool call: every kind of function, every way it may end, and that only cancellation gets out."""

import asyncio
import contextvars
import functools
import gc
import logging
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any
from unittest.mock import AsyncMock

import pytest
from fakes import idle

from executionkit import LLMProvider, MockProvider, Tool, ToolCall, ToolError
from executionkit.patterns._tools import Toolbox, cut

ANYTHING = {"type": "object"}
NUMBERS = {
    "type": "object",
    "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
    "required": ["a", "b"],
}
PROVIDER = MockProvider()


def box(
    execute: Callable[..., object],
    parameters: dict[str, Any] = ANYTHING,
    timeout: float | None = None,
    **tool: Any,
) -> Toolbox:
    made = Tool("t", "A tool.", parameters, execute, **tool)
    return Toolbox({"t": made}, PROVIDER, timeout)


async def observe(
    execute: Callable[..., object], *, parameters: dict[str, Any] = ANYTHING, **arguments: Any
) -> str:
    text, ran = await box(execute, parameters).call(ToolCall("c", "t", arguments))
    assert ran
    return text


@pytest.fixture(autouse=True)
def no_thread_left_behind() -> Iterator[None]:
    yield
    for thread in threading.enumerate():
        if thread.name == "executionkit-tool":
            thread.join(10)
            assert not thread.is_alive()


# -- every kind of function ------------------------------------------------------------------------------


async def async_add(a: int, b: int) -> str:
    return f"{a + b} in {threading.current_thread().name}"


def plain_add(a: int, b: int) -> str:
    return f"{a + b} in {threading.current_thread().name}"


class AsyncAdder:
    async def __call__(self, a: int, b: int) -> str:
        return await async_add(a, b)

    async def method(self, a: int, b: int) -> str:
        return await async_add(a, b)

    @staticmethod
    async def static(a: int, b: int) -> str:
        return await async_add(a, b)


class PlainAdder:
    def __call__(self, a: int, b: int) -> str:
        return plain_add(a, b)


def logged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as many are written: a plain wrapper around whatever it is given."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return wrapper


def blocking(function: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """A decorator that makes an async function a plain one: it must not run in the event loop's thread."""

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        async def call() -> Any:
            return await function(*args, **kwargs)

        return asyncio.run(call())

    return wrapper


@pytest.mark.parametrize(
    "execute",
    [
        async_add,
        AsyncAdder(),
        AsyncAdder().method,
        AsyncAdder.static,
        functools.partial(async_add, b=2),
        functools.partial(functools.partial(AsyncAdder().method), b=2),
        logged(async_add),
        lambda a, b: async_add(a, b),
        functools.partial(AsyncAdder(), b=2),
    ],
)
async def test_what_is_async_runs_in_the_event_loops_thread(execute: Callable[..., object]) -> None:
    assert await observe(execute, a=1, b=2) == f"3 in {threading.current_thread().name}"


@pytest.mark.parametrize(
    "execute",
    [
        plain_add,
        PlainAdder(),
        PlainAdder().__call__,
        functools.partial(plain_add, b=2),
        logged(plain_add),
        lambda a, b: plain_add(a, b),
        blocking(async_add),
    ],
)
async def test_what_is_plain_runs_in_a_thread_of_its_own(execute: Callable[..., object]) -> None:
    assert await observe(execute, a=1, b=2) == "3 in executionkit-tool"


async def test_a_mock_will_do() -> None:
    mock = AsyncMock(return_value="mocked")
    assert await observe(mock, a=1) == "mocked"
    mock.assert_awaited_once_with(a=1)


async def test_a_builtin_will_do() -> None:
    assert await observe(dict, a=1) == '{"a": 1}'
    assert await observe(max, iterable=[1]) == "Error: t failed with TypeError."


async def test_any_awaitable_a_plain_function_returns_is_awaited() -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[str] = loop.create_future()
    loop.call_soon(future.set_result, "later")
    assert await observe(lambda: future) == "later"


async def test_a_thread_sees_the_callers_context() -> None:
    name = contextvars.ContextVar("name", default="nobody")
    name.set("caller")
    assert await observe(lambda: name.get()) == "caller"


@pytest.mark.parametrize(
    "execute", [lambda **given: sorted(given), AsyncMock(side_effect=lambda **g: sorted(g))]
)
async def test_arguments_may_have_any_name(execute: Callable[..., object]) -> None:
    names = ["arguments", "callable", "function", "self", "loop", "context", "name"]
    assert await observe(execute, parameters=ANYTHING, **dict.fromkeys(names, 1)) == str(
        sorted(names)
    ).replace("'", '"')


async def test_the_arguments_of_the_call_are_not_changed() -> None:
    call = ToolCall("c", "t", {"a": 1})

    async def execute(a: int, provider: LLMProvider) -> str:
        return "x"

    await box(execute).call(call)
    assert call.arguments == {"a": 1}


async def test_plain_functions_run_at_once_however_many() -> None:
    barrier = threading.Barrier(40)
    tools = box(lambda: barrier.wait(timeout=30) >= 0)
    answers = await asyncio.gather(*(tools.call(ToolCall("c", "t", {})) for _ in range(40)))
    assert answers == [("true", True)] * 40


# -- what it returns -------------------------------------------------------------------------------------


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("secret")


class Printable:
    def __str__(self) -> str:
        return "printed"


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)


@pytest.mark.parametrize(
    ("result", "text"),
    [
        ("as it is\n", "as it is\n"),
        ("", ""),
        (None, "null"),
        (True, "true"),
        (3, "3"),
        ({"a": [1, None, True], "ü": "é"}, '{"a": [1, null, true], "ü": "é"}'),
        ((1, 2), "[1, 2]"),
        (Printable(), '"printed"'),
        ([Printable()], '["printed"]'),
        ({("a", "b"): 1}, r'{"[\"a\", \"b\"]": 1}'),
        (CIRCLE, '["[circular]"]'),
        (Unprintable(), '"<Unprintable object>"'),
    ],
    ids=lambda value: type(value).__name__,
)
async def test_any_result_is_text(result: object, text: str) -> None:
    async def execute() -> object:
        return result

    for function in (execute, lambda: result):
        assert await observe(function) == text


# -- how it fails ----------------------------------------------------------------------------------------


class Ours(Exception):
    pass


FAILURES = [
    (ValueError("secret"), "ValueError"),
    (Ours("secret"), "Ours"),
    (TimeoutError("secret"), "TimeoutError"),
    (asyncio.CancelledError("secret"), "CancelledError"),
    (SystemExit("secret"), "SystemExit"),
    (StopAsyncIteration("secret"), "StopAsyncIteration"),
    (RecursionError("secret"), "RecursionError"),
    (ExceptionGroup("secret", [ValueError("secret")]), "ExceptionGroup"),
    (StopIteration("secret"), "RuntimeError"),
]


@pytest.mark.parametrize(("exc", "shown"), FAILURES, ids=lambda value: type(value).__name__)
async def test_of_a_failure_the_model_sees_the_kind_only(exc: BaseException, shown: str) -> None:
    async def execute() -> str:
        raise exc

    def plain() -> str:
        raise exc

    for function in (execute, plain):
        assert await observe(function) == f"Error: t failed with {shown}."


async def test_sys_exit_in_a_tool_ends_neither_program_nor_loop() -> None:
    async def execute() -> str:
        sys.exit(3)

    for function in (execute, lambda: sys.exit(3)):
        assert await observe(function) == "Error: t failed with SystemExit."


async def test_of_a_tool_error_the_model_sees_the_text() -> None:
    async def execute() -> str:
        raise ToolError("no such file: a.txt")

    def plain() -> str:
        raise ToolError("no such file: a.txt")

    for function in (execute, plain):
        assert await observe(function) == "Error: no such file: a.txt"


async def test_a_failure_that_is_a_fault_of_the_program_is_logged_with_its_traceback(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def plain() -> str:
        raise ValueError("the details")

    def refusing() -> str:
        raise ToolError("no such file")

    await observe(plain)
    await observe(refusing)
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("executionkit.tools", logging.WARNING)
    assert record.getMessage() == "tool t raised ValueError"
    assert "raise ValueError" in caplog.text


class Outcry(BaseException):
    """As test frameworks raise it, past `except Exception`."""


async def test_what_is_no_exception_is_not_the_models_business() -> None:
    async def execute() -> str:
        raise Outcry

    def plain() -> str:
        raise Outcry

    for function in (execute, plain):
        with pytest.raises(Outcry):
            await observe(function)


# -- out of time -----------------------------------------------------------------------------------------


class Hanging:
    """An async tool that waits for the test, and says how it was treated."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.release = asyncio.Event()
        self.cancelled = 0

    async def obedient(self) -> str:
        self.started.set()
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        return "done"

    async def resisting(self) -> str:
        self.started.set()
        while not self.release.is_set():
            try:
                await self.release.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
        return "done"


CALL = ToolCall("c", "t", {})


async def test_a_tool_out_of_its_time_is_cancelled() -> None:
    tool = Hanging()
    assert await box(tool.obedient, timeout=0.01).call(CALL) == (
        "Error: t did not finish within 0.01 seconds.",
        True,
    )
    assert tool.cancelled == 1


async def test_a_tools_own_time_counts_unless_another_is_given() -> None:
    tool = Hanging()
    own = Tool("t", "", ANYTHING, tool.obedient, timeout=0.01)
    assert await Toolbox({"t": own}, PROVIDER, None).call(CALL) == (
        "Error: t did not finish within 0.01 seconds.",
        True,
    )
    longer = asyncio.create_task(Toolbox({"t": own}, PROVIDER, 60).call(CALL))
    await idle()
    tool.release.set()
    assert await longer == ("done", True)


async def test_a_tool_may_have_all_the_time_in_the_world() -> None:
    tool = Hanging()
    tool.release.set()
    assert await box(tool.obedient, timeout=float("inf")).call(CALL) == ("done", True)


async def test_a_tool_that_resists_is_left_behind_and_said_so(caplog: pytest.LogCaptureFixture) -> None:
    tool = Hanging()
    before = asyncio.all_tasks()
    text, _ = await box(tool.resisting, timeout=0.01).call(CALL)
    assert text == "Error: t did not finish within 0.01 seconds."
    assert [record.message for record in caplog.records] == [
        "tool t resists cancellation and was left running"
    ]
    (left_behind,) = asyncio.all_tasks() - before
    tool.release.set()
    assert (await left_behind).text == "done"


async def test_a_tool_that_fails_while_being_cancelled_was_still_out_of_time() -> None:
    async def execute() -> str:
        try:
            await asyncio.Event().wait()
        finally:
            raise ValueError("dirty")

    assert await box(execute, timeout=0.01).call(CALL) == (
        "Error: t did not finish within 0.01 seconds.",
        True,
    )


async def test_a_plain_function_out_of_time_is_left_to_end_by_itself() -> None:
    release = threading.Event()
    text, _ = await box(lambda: release.wait(30), timeout=0.01).call(CALL)
    assert text == "Error: t did not finish within 0.01 seconds."
    release.set()
    await idle()


@pytest.mark.parametrize("ending", ["returns", "raises"])
def test_a_plain_function_may_outlast_its_event_loop(ending: str, caplog: pytest.LogCaptureFixture) -> None:
    release = threading.Event()

    def plain() -> str:
        release.wait(30)
        if ending == "raises":
            raise ValueError
        return "too late"

    with caplog.at_level(logging.DEBUG, logger="executionkit.tools"):
        text, _ = asyncio.run(box(plain, timeout=0.01).call(CALL))
        assert text.startswith("Error: t did not finish")
        (thread,) = (t for t in threading.enumerate() if t.name == "executionkit-tool")
        assert thread.daemon
        release.set()
        thread.join(30)
    assert caplog.messages == ["a tool ended after its event loop was closed"]


# -- cancelled from outside ------------------------------------------------------------------------------


async def test_cancelling_the_call_cancels_the_tool_and_waits_for_it() -> None:
    tool = Hanging()
    calling = asyncio.create_task(box(tool.obedient).call(CALL))
    await tool.started.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert tool.cancelled == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_cancelling_the_call_does_not_wait_for_a_tool_that_resists() -> None:
    tool = Hanging()
    before = asyncio.all_tasks()
    calling = asyncio.create_task(box(tool.resisting, timeout=0.01).call(CALL))
    await tool.started.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    (left_behind,) = asyncio.all_tasks() - before
    tool.release.set()
    assert (await left_behind).text == "done"


async def test_cancelling_the_call_lets_a_plain_function_go_on_alone() -> None:
    started, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def plain() -> None:
        loop.call_soon_threadsafe(started.set)
        release.wait(30)

    calling = asyncio.create_task(box(plain).call(CALL))
    await started.wait()
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    release.set()


# -- calls that are not run ------------------------------------------------------------------------------


def unwanted(**_: object) -> str:
    raise AssertionError("the tool was run")


async def refused(
    call: ToolCall, execute: Callable[..., object] = unwanted, parameters: dict[str, Any] = NUMBERS
) -> str:
    text, ran = await box(execute, parameters).call(call)
    assert not ran
    return text


async def test_an_unknown_tool_is_told_with_the_known_ones() -> None:
    tools = {name: Tool(name, "", ANYTHING, unwanted) for name in ("b", "a")}
    text, ran = await Toolbox(tools, PROVIDER, None).call(ToolCall("c", "nope", {}))
    assert (text, ran) == ("Error: there is no tool 'nope'. Available tools: a, b.", False)
    text, _ = await Toolbox({}, PROVIDER, None).call(ToolCall("c", "", {}))
    assert text == "Error: there is no tool ''. Available tools: there are none."


async def test_arguments_that_do_not_fit_the_schema_are_told_all_at_once() -> None:
    text = await refused(ToolCall("c", "t", {"a": "one"}))
    assert text.startswith("Error: invalid arguments for t: ")
    assert "a" in text
    assert "b" in text


async def test_arguments_that_were_no_json_object_are_shown_as_they_were() -> None:
    call = ToolCall("c", "t", {}, invalid_arguments='{"a": 1,}')
    text = await refused(call)
    assert text == 'Error: the arguments of t must be a JSON object, got: {"a": 1,}'


@pytest.mark.parametrize("arguments", ['{"a": 1', [1, 2], 3], ids=repr)
async def test_arguments_a_provider_did_not_parse_are_no_crash(arguments: Any) -> None:
    text = await refused(ToolCall("c", "t", arguments))
    assert text == f"Error: the arguments of t must be a JSON object, got: {arguments}"


async def test_what_the_function_does_not_take_is_told_before_it_runs() -> None:
    ran: list[int] = []

    async def execute(a: int) -> None:
        ran.append(a)

    text = await refused(ToolCall("c", "t", {"a": 1, "b": 2}), execute, ANYTHING)
    assert text == "Error: invalid arguments for t: got an unexpected keyword argument 'b'"
    assert ran == []


async def test_what_the_function_needs_and_the_schema_lets_out_is_told_before_it_runs() -> None:
    async def execute(a: int, b: int, c: int) -> None:
        raise AssertionError

    text = await refused(ToolCall("c", "t", {"a": 1, "b": 2}), execute, ANYTHING)
    assert text == "Error: invalid arguments for t: missing a required argument: 'c'"


async def test_a_wrapper_that_gives_some_arguments_itself_is_not_held_to_what_it_wraps() -> None:
    def with_database(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        async def wrapper(**kwargs: Any) -> Any:
            return await function("the database", **kwargs)

        return wrapper

    @with_database
    async def query(database: str, a: int) -> str:
        return f"{a} from {database}"

    assert await observe(query, a=1) == "1 from the database"


# -- the provider ----------------------------------------------------------------------------------------


async def takes_provider(provider: LLMProvider) -> bool:
    return provider is PROVIDER


def takes_provider_plainly(*, provider: LLMProvider) -> bool:
    return provider is PROVIDER


@pytest.mark.parametrize(
    "execute",
    [
        takes_provider,
        takes_provider_plainly,
        functools.partial(takes_provider),
        logged(takes_provider),
        logged(takes_provider_plainly),
    ],
)
async def test_a_tool_that_asks_for_the_provider_is_given_it(execute: Callable[..., object]) -> None:
    assert await observe(execute) == "true"
    assert await observe(execute, provider="the model's idea") == "true"


async def test_a_decorator_may_supply_the_provider_itself() -> None:
    @functools.wraps(takes_provider)
    async def supplied() -> bool:
        return await takes_provider(PROVIDER)

    assert await observe(supplied) == "true"


async def test_a_provider_the_schema_declares_is_the_models_to_name() -> None:
    async def execute(provider: str) -> str:
        return provider

    parameters = {"type": "object", "properties": {"provider": {"type": "string"}}}
    assert await observe(execute, parameters=parameters, provider="acme") == "acme"


async def test_a_tool_that_does_not_ask_is_not_given_it() -> None:
    assert await observe(lambda **given: list(given), a=1) == '["a"]'


# -- cutting ---------------------------------------------------------------------------------------------


def test_a_text_that_fits_stays() -> None:
    assert cut("x" * 10, 10) == ("x" * 10, False)
    assert cut("", 1) == ("", False)


def test_a_text_that_does_not_fit_says_how_long_it_was() -> None:
    text, was_cut = cut("x" * 1000, 100)
    assert was_cut
    assert len(text) == 100
    assert text == "x" * 64 + "\n[truncated: 1000 characters in all]"


def test_no_limit_is_too_small_for_a_mark() -> None:
    for limit in range(1, 60):
        text, was_cut = cut("x" * 60, limit)
        assert was_cut
        assert len(text) == limit
        assert text.lstrip("x") in ("…", "\n[truncated: 60 characters in all]")


async def test_what_a_tool_does_to_its_arguments_stays_with_it() -> None:
    call = ToolCall("1", "pop", {"items": [1, 2]})
    schema = {"type": "object", "properties": {"items": {"type": "array"}}}
    toolbox = Toolbox({"pop": Tool("pop", "", schema, lambda items: items.pop())}, MockProvider(), None)
    assert await toolbox.call(call) == ("2", True)
    assert call.arguments == {"items": [1, 2]}


@pytest.mark.parametrize("steps", range(3))
async def test_cancelling_in_the_moment_a_tool_fails_leaves_no_complaint(steps: int) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    now = asyncio.Event()

    async def fail() -> None:
        await now.wait()
        raise RuntimeError("at the same time")

    call = asyncio.create_task(box(fail).call(ToolCall("1", "t", {})))
    await idle()
    now.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    call.cancel()
    await asyncio.wait([call])
    assert call.cancelled()
    del call
    gc.collect()
    assert complaints == []
