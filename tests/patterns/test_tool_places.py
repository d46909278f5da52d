"""How many tools run at once, and what holds a place."""

import asyncio
import threading
from collections.abc import Callable

import pytest
from fakes import idle

from executionkit import LLMResponse, MockProvider, Tool, ToolCall, react_loop
from executionkit.patterns._tools import Toolbox

CALL = ToolCall("c", "t", {})


def box(execute: Callable[[], object], at_once: int, timeout: float = 30.0) -> Toolbox:
    return Toolbox({"t": Tool("t", "", {"type": "object"}, execute, timeout)}, MockProvider(), None, at_once)


class Busy:
    """Counts how many of it run at once."""

    def __init__(self) -> None:
        self.now = self.most = self.done = 0
        self._lock = threading.Lock()

    def enter(self) -> None:
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def leave(self) -> None:
        with self._lock:
            self.now -= 1
            self.done += 1


@pytest.mark.parametrize(("limit", "most"), [(None, 10), (3, 3)])
@pytest.mark.parametrize("is_plain", [True, False])
async def test_the_tools_of_one_reply_run_so_many_at_a_time(
    is_plain: bool, limit: int | None, most: int
) -> None:
    busy = Busy()
    full = threading.Barrier(most)

    def plain() -> None:
        busy.enter()
        full.wait(30)  # passes only if as many as may run do run
        busy.leave()

    async def on_the_loop() -> None:
        busy.enter()
        await idle()
        busy.leave()

    tool = Tool("t", "", {"type": "object"}, plain if is_plain else on_the_loop)
    asked = LLMResponse("", [ToolCall(f"c{number}", "t", {}) for number in range(most * 4)])
    provider = MockProvider([asked, "done"])
    if limit is None:
        result = await react_loop(provider, "q", [tool])
    else:
        result = await react_loop(provider, "q", [tool], max_parallel_tools=limit)
    assert result.tool_calls_made == busy.done == most * 4
    assert busy.most == most


@pytest.mark.parametrize("number", [0, -1, True, 2.5])
async def test_a_number_of_places_out_of_range_is_refused_before_any_call(number: int) -> None:
    provider = MockProvider(["done"])
    with pytest.raises(ValueError, match="max_parallel_tools"):
        await react_loop(provider, "q", [], max_parallel_tools=number)
    assert provider.call_count == 0


async def test_the_time_of_a_tool_that_waits_has_not_begun() -> None:
    release = asyncio.Event()

    async def wait() -> str:
        await release.wait()
        return "done"

    tools = box(wait, 1, timeout=0.2)
    first = asyncio.create_task(tools.call(CALL))
    await idle()
    second = asyncio.create_task(tools.call(CALL))
    assert (await first)[0] == "Error: t did not finish within 0.2 seconds."
    release.set()
    assert await second == ("done", True)


async def test_a_thread_that_overruns_keeps_its_place_until_it_ends() -> None:
    release = threading.Event()
    tools = box(lambda: release.wait(30), 2, timeout=0.01)
    answers = await asyncio.gather(*(tools.call(CALL) for _ in range(5)))
    assert [ran for _, ran in answers] == [True, True, False, False, False]
    assert answers[-1][0] == "Error: t was not run: earlier calls that overran their time still run."
    assert sum(thread.name == "executionkit-tool" for thread in threading.enumerate()) == 2
    release.set()
    for thread in threading.enumerate():
        if thread.name == "executionkit-tool":
            thread.join(30)
    await idle()
    assert await tools.call(CALL) == ("true", True)


async def test_a_call_that_is_cancelled_while_it_waits_takes_no_place() -> None:
    release = asyncio.Event()
    tools = box(release.wait, 1)
    running = asyncio.create_task(tools.call(CALL))
    await idle()
    waiting = [asyncio.create_task(tools.call(CALL)) for _ in range(3)]
    await idle()
    waiting[0].cancel()
    release.set()
    await idle()
    waiting[1].cancel()  # its turn may have come in this moment
    assert (await running, await waiting[2]) == (("true", True), ("true", True))
    assert await tools.call(CALL) == ("true", True)


async def test_a_thread_that_can_not_be_started_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    tools = box(lambda: "done", 1)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert await tools.call(CALL) == ("Error: t failed with RuntimeError.", True)
    assert await tools.call(CALL) == ("done", True)
