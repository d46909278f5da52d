"""Tools of MCP servers: in process with servers of the SDK, and over stdio with one that misbehaves."""

import asyncio
import io
import json
import sys
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from executionkit import (
    BudgetExhaustedError,
    LLMResponse,
    MockProvider,
    TokenUsage,
    Tool,
    ToolCall,
    ToolError,
    react_loop,
)
from executionkit._prompt import in_words
from executionkit.mcp import mcp_tools, tools_from_mcp

pytest.importorskip("mcp")

import anyio
import mcp_types as types
from mcp import Client, StdioServerParameters, stdio_client
from mcp.server import MCPServer, Server

RAW = Path(__file__).with_name("mcp_server.py")


def raw(how: str = "") -> StdioServerParameters:
    return StdioServerParameters(command=sys.executable, args=[str(RAW), how])


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """No process of a server outlives its test."""
    yield
    lists = (path.read_text() for path in Path("/proc/self/task").glob("*/children"))
    children = [Path(f"/proc/{pid}/cmdline").read_text() for pid in " ".join(lists).split()]
    assert not any(RAW.name in child for child in children)


@asynccontextmanager
async def no_task_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() == before


def serving(
    *tools: types.Tool, call: Callable[[types.CallToolRequestParams], types.CallToolResult] | None = None
) -> Server[Any]:
    """A server with these tools, each of which answers with its arguments."""

    async def on_list(_: Any, __: Any) -> types.ListToolsResult:
        return types.ListToolsResult(tools=list(tools))

    async def on_call(_: Any, params: types.CallToolRequestParams) -> types.CallToolResult:
        return call(params) if call else told(json.dumps(params.arguments))

    return Server("shop", on_list_tools=on_list, on_call_tool=on_call)


def told(*texts: str, **fields: Any) -> types.CallToolResult:
    return types.CallToolResult(content=[types.TextContent(text=text) for text in texts], **fields)


def described(name: str, **schema: Any) -> types.Tool:
    return types.Tool(name=name, input_schema={"type": "object", **schema})


async def run(tool: Tool, **arguments: object) -> str:
    outcome = tool.execute(**arguments)
    assert isinstance(outcome, Awaitable)
    return in_words(await outcome)


async def test_a_loop_calls_the_tools_of_a_server_beside_functions() -> None:
    shop = MCPServer("shop")

    @shop.tool()
    def price(item: str) -> float:
        """The price of an item."""
        return {"tea": 3.20}[item]

    def vat(amount: float) -> float:
        """The tax on an amount."""
        return round(amount * 0.2, 2)

    calls = [
        ToolCall("1", "shop_price", {"item": "tea"}),
        ToolCall("2", "shop_price", {"item": "gold"}),
        ToolCall("3", "shop_price", {"itm": "tea"}),
        ToolCall("4", "vat", {"amount": 3.2}),
    ]
    provider = MockProvider([LLMResponse("", calls), "Tea costs 3.20."])
    async with no_task_left(), mcp_tools(shop, prefix="shop_", needs_approval="none") as tools:
        assert [(tool.name, tool.description, tool.timeout) for tool in tools] == [
            ("shop_price", "The price of an item.", 30.0)
        ]
        result = await react_loop(provider, "What does tea cost?", [*tools, vat])
    assert result.value == "Tea costs 3.20."
    sent = [message["content"] for message in provider.calls[1].messages if message["role"] == "tool"]
    assert sent[0] == '{"result": 3.2}'
    assert sent[1].startswith("Error: ")
    assert sent[2].startswith("Error: invalid arguments for shop_price: ")  # by our own check
    assert sent[3] == "0.64"
    assert result.tool_calls_made == 3


@pytest.mark.parametrize(
    ("own", "name"),
    [
        ("a.b/c d-e_f", "a_b_c_d-e_f"),
        ("x" * 64, "x" * 64),
        ("x" * 65, "x" * 55 + "_"),
        ("天气", "___"),
        ("naïve", "na_ve_"),
    ],
)
async def test_a_name_is_made_one_that_the_api_takes(own: str, name: str) -> None:
    async with mcp_tools(serving(described(own))) as (tool,):
        digest = tool.name.removeprefix(name)
        assert tool.name.startswith(name)
        assert len(digest) in (0, 8)
        assert len(tool.name) <= 64
        assert await run(tool, item="tea") == '{"item": "tea"}'
    # The digest tells apart what would be the same.
    twins = serving(described(own), described(own + "天"))
    async with mcp_tools(twins, prefix="p_") as tools:
        assert len({tool.name for tool in tools}) == 2


async def test_two_tools_of_one_name_are_refused_before_any_call() -> None:
    server = serving(described("a.b"), described("a/b"))
    with pytest.raises(ValueError, match=r"'a\.b' and 'a/b' of the MCP server shop both get the name 'a_b'"):
        async with mcp_tools(server):
            pass
    async with mcp_tools(server, exclude=["a/b"]) as tools:
        assert [tool.name for tool in tools] == ["a_b"]


async def test_a_tool_that_is_listed_twice_is_there_once() -> None:
    async with mcp_tools(serving(described("price"), described("price"))) as tools:
        assert [tool.name for tool in tools] == ["price"]


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"include": ["prize"]}, ValueError, "include: .* no tool 'prize'; its tools: order, price"),
        ({"exclude": ["prize"]}, ValueError, "exclude: .* no tool 'prize'; its tools: order, price"),
        ({"include": "price"}, TypeError, "include must be a list of names"),
        ({"exclude": "price"}, TypeError, "exclude must be a list of names"),
        ({"prefix": "shop."}, ValueError, "prefix must be"),
        ({"prefix": "x" * 41}, ValueError, "prefix must be"),
        ({"needs_approval": "some"}, ValueError, "needs_approval must be"),
        ({"timeout": 0}, ValueError, "timeout must be"),
        ({"timeout": float("nan")}, ValueError, "timeout must be"),
    ],
)
async def test_what_is_out_of_range_is_refused(
    options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    server = serving(described("price"), described("order"))
    with pytest.raises(kind, match=text):
        async with mcp_tools(server, **options):
            pass
    async with Client(server) as client:
        with pytest.raises(kind, match=text):
            await tools_from_mcp(client, **options)


async def test_tools_are_chosen_by_the_names_that_the_server_gave_them() -> None:
    server = serving(described("a.price"), described("a.order"), described("a.refund"))
    async with mcp_tools(server, prefix="s_", include=["a.price", "a.order"], exclude={"a.order"}) as tools:
        assert [tool.name for tool in tools] == ["s_a_price"]
    async with mcp_tools(server, include=()) as tools:
        assert tools == []


@pytest.mark.parametrize(
    "schema",
    [
        {"unevaluatedProperties": False, "properties": {"item": {"type": "string"}}},
        {"$ref": "https://example.com/schema.json"},
        {"$dynamicRef": "#node"},
        {"properties": {"item": {"type": "string", "pattern": "("}}},
        {"properties": {"item": {"type": "strnig"}}},
        {"$ref": "#/$defs/nothing"},
    ],
)
async def test_a_schema_that_cannot_be_checked_is_sent_as_it_is(schema: dict[str, Any]) -> None:
    server = serving(described("odd", **schema), described("even"))
    asks = LLMResponse("", [ToolCall("1", "odd", {"item": "tea", "n": [1.5]})])
    provider = MockProvider([asks, "done"])

    async def program() -> None:
        async with mcp_tools(server, needs_approval="none") as tools:
            assert [tool.name for tool in tools] == ["odd", "even"]
            assert tools[0].to_schema()["function"]["parameters"] == {"type": "object", **schema}
            await react_loop(provider, "go", tools)

    with pytest.warns(UserWarning, match="the schema of the tool 'odd' of the MCP server shop") as caught:
        await program()
    assert [Path(warning.filename).name for warning in caught] == ["test_mcp.py"]
    assert provider.calls[1].messages[-1]["content"] == '{"item": "tea", "n": [1.5]}'


@pytest.mark.parametrize(
    ("option", "asked"),
    [
        ({}, ["writes", "odd", "silent"]),
        ({"needs_approval": "unsafe"}, ["writes", "odd", "silent"]),
        ({"needs_approval": "all"}, ["reads", "writes", "odd", "silent"]),
        ({"needs_approval": "none"}, []),
    ],
)
@pytest.mark.filterwarnings("ignore:the schema of the tool")
async def test_tools_that_do_not_say_that_they_only_read_need_approval(
    option: dict[str, Any], asked: list[str]
) -> None:
    hints = {"reads": True, "writes": False, "odd": None}
    listed = [
        types.Tool(
            name=name,
            input_schema={"type": "object", **({"$dynamicRef": "#x"} if name == "odd" else {})},
            annotations=types.ToolAnnotations(read_only_hint=hint),
        )
        for name, hint in hints.items()
    ]
    async with mcp_tools(serving(*listed, described("silent")), **option) as tools:
        assert [tool.name for tool in tools if tool.needs_approval] == asked


async def test_a_call_that_is_declined_never_reaches_the_server() -> None:
    calls: list[str] = []

    def call(params: types.CallToolRequestParams) -> types.CallToolResult:
        calls.append(params.name)
        return told("done")

    asks = LLMResponse("", [ToolCall("1", "pay", {}), ToolCall("2", "read", {})])
    provider = MockProvider([asks, "done"])
    async with mcp_tools(serving(described("pay"), described("read"), call=call)) as tools:
        result = await react_loop(provider, "go", tools, approve=lambda request: request.call.name == "read")
    assert (calls, result.declined) == (["read"], 1)


async def test_a_long_description_is_cut() -> None:
    tool = types.Tool(name="wordy", title="A title", description="x" * 9_000, input_schema={"type": "object"})
    titled = types.Tool(name="titled", title="A title", input_schema={"type": "object"})
    async with mcp_tools(serving(tool, titled)) as (first, second):
        assert len(first.description) == 2_000
        assert second.description == "A title"


IMAGE = types.ImageContent(data="QUJD" * 4_000, mime_type="image/png")
LINK = types.ResourceLink(name="menu", uri="file:///menu.txt")
TEXT = types.EmbeddedResource(resource=types.TextResourceContents(uri="file:///a", text="Tea 3.20"))
BLOB = types.EmbeddedResource(resource=types.BlobResourceContents(uri="file:///b", blob="QUI="))
SOUND = types.AudioContent(data="QUJD", mime_type="audio/wav")


@pytest.mark.parametrize(
    ("result", "text"),
    [
        (told("one", "two"), "one\ntwo"),
        (told(), ""),
        (told('{"a": 1}', structured_content={"a": 1, "b": "é"}), '{"a": 1, "b": "é"}'),
        (told(structured_content={}), "{}"),
        (types.CallToolResult(content=[types.TextContent(text="a"), IMAGE]), "a\n[image/png, 12 kB]"),
        (
            types.CallToolResult(content=[IMAGE, SOUND], structured_content={"a": 1}),
            "[image/png, 12 kB]\n[audio/wav, 3 bytes]",
        ),
        (
            types.CallToolResult(content=[LINK, TEXT, BLOB]),
            "file:///menu.txt\nTea 3.20\n[file:///b: application/octet-stream, 2 bytes]",
        ),
    ],
)
async def test_a_result_is_shown_as_text(result: types.CallToolResult, text: str) -> None:
    async with mcp_tools(serving(described("f"), call=lambda _: result)) as (tool,):
        assert await run(tool) == text


async def test_a_picture_is_a_part_for_the_model() -> None:
    result = types.CallToolResult(content=[types.TextContent(text="The menu:"), IMAGE])
    async with mcp_tools(serving(described("f"), call=lambda _: result)) as (tool,):
        outcome = tool.execute()
        assert isinstance(outcome, Awaitable)
        assert await outcome == [
            "The menu:",
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{IMAGE.data}"}},
        ]


@pytest.mark.parametrize(
    ("data", "kind", "text"),
    [
        ("%%%", "image/png", "[image/png, 2 bytes]"),
        ("QUJ", "image/png", "[image/png, 2 bytes]"),
        ("", "image/png", "[image/png, 0 bytes]"),
        ("QUJD", "a picture", "[a picture, 3 bytes]"),
    ],
)
async def test_a_picture_that_cannot_be_read_is_described(data: str, kind: str, text: str) -> None:
    result = types.CallToolResult(content=[types.ImageContent(data=data, mime_type=kind)])
    async with mcp_tools(serving(described("f"), call=lambda _: result)) as (tool,):
        outcome = tool.execute()
        assert isinstance(outcome, Awaitable)
        assert await outcome == text


@pytest.mark.parametrize(
    ("result", "text"),
    [(told("no tea", "today", is_error=True), "no tea\ntoday"), (told(is_error=True), "f failed")],
)
async def test_an_error_of_a_tool_is_told_to_the_model(result: types.CallToolResult, text: str) -> None:
    async with mcp_tools(serving(described("f"), call=lambda _: result)) as (tool,):
        with pytest.raises(ToolError, match=text):
            await run(tool)


async def test_a_result_that_cannot_be_read_is_told_as_one_of_a_call_that_was_made() -> None:
    schema = {"type": "object", "required": ["price"]}
    tool = types.Tool(name="f", input_schema={"type": "object"}, output_schema=schema)
    async with mcp_tools(serving(tool, call=lambda _: told(structured_content={"cost": 1}))) as (made,):
        with pytest.raises(ToolError, match="the call of f was made, but its result can't be read"):
            await run(made)


async def test_the_tools_of_a_client_of_your_own_work_while_it_is_open() -> None:
    async with Client(serving(described("price"))) as client:
        (tool,) = await tools_from_mcp(client, prefix="shop_", timeout=2.5)
        assert (tool.name, tool.timeout) == ("shop_price", 2.5)
        assert await run(tool, item="tea") == '{"item": "tea"}'
    with pytest.raises(ToolError, match="the server shop has gone"):
        await run(tool, item="tea")


async def test_a_client_that_is_not_entered_yet_is_entered() -> None:
    async with mcp_tools(Client(serving(described("price")))) as (tool,):
        assert await run(tool) == "{}"


@pytest.mark.parametrize("wrong", [None, 3, ["uvx", "shop"], {"command": "uvx"}])
async def test_what_cannot_be_connected_to_is_a_type_error(wrong: object) -> None:
    with pytest.raises(TypeError, match="server must be"):
        async with mcp_tools(wrong):
            pass
    with pytest.raises(TypeError, match="client must be"):
        await tools_from_mcp(wrong)  # type: ignore[arg-type]  # what users do


# -- Cancellation, timeouts and exceptions -----------------------------------------------------------------


class Slow:
    """A server whose one tool never ends by itself."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.server = MCPServer("slow")
        self.server.add_tool(self.wait)

    async def wait(self) -> str:
        """Wait for ever."""
        self.started.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        return ""


async def test_a_call_that_takes_too_long_is_cancelled_at_the_server() -> None:
    slow = Slow()
    provider = MockProvider([LLMResponse("", [ToolCall("1", "wait", {})]), "done"])
    async with no_task_left(), mcp_tools(slow.server, timeout=5.0, needs_approval="none") as tools:
        await react_loop(provider, "go", tools, tool_timeout=0.05)
        await slow.cancelled.wait()
    assert provider.calls[1].messages[-1]["content"] == "Error: wait did not finish within 0.05 seconds."


async def test_cancelling_the_loop_cancels_the_call_at_the_server() -> None:
    slow = Slow()
    provider = MockProvider([LLMResponse("", [ToolCall("1", "wait", {})])])

    async def program() -> None:
        async with mcp_tools(slow.server, needs_approval="none") as tools:
            await react_loop(provider, "go", tools)

    async with no_task_left():
        task = asyncio.create_task(program())
        await slow.started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await slow.cancelled.wait()


class _Stop(BaseException):
    pass


@pytest.mark.parametrize("raised", [KeyError("x"), BudgetExhaustedError("spent"), _Stop()])
@pytest.mark.parametrize("server", ["in process", "stdio"])
async def test_an_exception_in_the_block_comes_out_as_it_is(raised: BaseException, server: str) -> None:
    target = serving(described("f")) if server == "in process" else raw()
    async with no_task_left():
        with pytest.raises(type(raised)) as caught:
            async with mcp_tools(target):
                raise raised
    assert caught.value is raised


async def test_the_error_of_a_loop_keeps_its_cost() -> None:
    provider = MockProvider([LLMResponse("", [ToolCall("1", "f", {})])] * 2)
    with pytest.raises(BudgetExhaustedError) as caught:
        async with mcp_tools(serving(described("f")), needs_approval="none") as tools:
            await react_loop(provider, "go", tools, max_cost=TokenUsage(llm_calls=1))
    assert caught.value.cost.llm_calls == 1


# -- Over stdio --------------------------------------------------------------------------------------------


async def test_a_server_of_the_sdk_is_started_and_stopped(tmp_path: Path) -> None:
    program = tmp_path / RAW.name
    program.write_text(
        "from mcp.server import MCPServer\n"
        "shop = MCPServer('shop')\n"
        "@shop.tool()\n"
        "def price(item: str) -> float:\n"
        "    return 3.2\n"
        "shop.run('stdio')\n",
        encoding="utf-8",
    )
    async with no_task_left():
        target = StdioServerParameters(command=sys.executable, args=[str(program)])
        async with mcp_tools(target, prefix="shop_") as (tool,):
            both = await asyncio.gather(run(tool, item="tea"), run(tool, item="scone"))
        assert [*both] == ['{"result": 3.2}'] * 2
        with pytest.raises(ToolError, match="the server shop has gone"):
            await run(tool, item="tea")


@pytest.mark.parametrize("stream", [None, io.StringIO()])
async def test_a_server_is_started_where_the_error_output_is_no_file(
    stream: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    async with mcp_tools(raw(), include=["echo"]) as (tool,):
        assert await run(tool) == "{}"


async def test_a_server_that_dies_in_a_call_has_gone_and_the_loop_goes_on() -> None:
    rounds = [LLMResponse("", [ToolCall("", name, {}) for name in ("die", "hang")])]
    rounds += [LLMResponse("", [ToolCall("", "echo", {})])]
    provider = MockProvider([*rounds, "I can't reach the shop."])
    async with no_task_left(), mcp_tools(raw(), needs_approval="none") as tools:
        result = await react_loop(provider, "go", tools)
    assert result.value == "I can't reach the shop."
    sent = [message["content"] for message in provider.calls[2].messages if message["role"] == "tool"]
    assert sent == ["Error: the server raw has gone"] * 3


async def test_a_server_that_hangs_is_told_that_the_call_is_cancelled() -> None:
    rounds = [LLMResponse("", [ToolCall("", name, {})]) for name in ("hang", "seen")]
    provider = MockProvider([*rounds, "done"])
    async with no_task_left(), mcp_tools(raw(), timeout=5.0, needs_approval="none") as tools:
        await react_loop(provider, "go", tools, tool_timeout=0.5)
    late, seen = [str(m["content"]) for m in provider.calls[2].messages if m["role"] == "tool"]
    assert late == "Error: hang did not finish within 0.5 seconds."
    assert seen.split()[-3:] == ["tools/call", "notifications/cancelled", "tools/call"]


async def test_what_a_server_sends_amiss_ends_neither_the_loop_nor_the_connection() -> None:
    names = ("bad_bytes", "no_json", "no_result", "refuse", "big", "echo")
    provider = MockProvider([*(LLMResponse("", [ToolCall("", n, {"x": "\ud83d"})]) for n in names), "done"])
    async with mcp_tools(raw(), needs_approval="none") as tools:
        result = await react_loop(provider, "go", tools, max_observation_chars=500)
    sent = [m["content"] for m in provider.calls[-1].messages if m["role"] == "tool"]
    assert sent[:2] == ["caf\ufffd", "after the noise"]
    assert sent[2].startswith("Error: the call of no_result was made, but its result can't be read: ")
    assert sent[3] == "Error: the server raw answered the call of refuse with an error: the shop is closed"
    assert (len(sent[4]), result.truncated_observations) == (500, 1)
    assert json.loads(sent[5]) == {"x": "\ufffd"}


async def test_the_tools_of_all_pages_are_there() -> None:
    async with mcp_tools(raw("pages")) as tools:
        assert [tool.name for tool in tools] == [f"tool_{n}" for n in range(300)]
        assert await run(tools[299], item="tea") == '{"item": "tea"}'


async def test_a_tool_that_the_protocol_does_not_allow_is_left_out_and_no_other() -> None:
    async def program() -> None:
        async with mcp_tools(raw("broken_list")) as tools:
            assert [tool.name for tool in tools] == ["good", "no_type"]
            assert tools[1].parameters["type"] == "object"

    with pytest.warns(UserWarning, match="is left out") as caught:
        await program()
    texts = [str(warning.message) for warning in caught]
    assert [text.split(": ")[0] for text in texts] == [
        f"the tool {name!r} of the MCP server raw is left out"
        for name in ("an_array", "no_schema", "", "", "a_number")
    ]


@pytest.mark.parametrize(
    ("target", "text"),
    [
        (StdioServerParameters(command="/no/such/shop-server"), "shop-server failed: FileNotFoundError"),
        (raw("exits"), "failed: it closed the connection; if it is a program"),
        ("http://127.0.0.1:9/mcp?key=sk-secret", r"MCP server 127\.0\.0\.1:9 failed: "),
    ],
)
async def test_a_server_that_cannot_be_reached_is_a_connection_error(target: object, text: str) -> None:
    async with no_task_left():
        with pytest.raises(ConnectionError, match=text) as caught:
            async with mcp_tools(target):
                pass
    assert "sk-secret" not in str(caught.value)


async def test_a_server_that_does_not_start_in_time_is_a_timeout_error() -> None:
    async with no_task_left():
        with pytest.raises(TimeoutError, match=r"did not start and list its tools within 0\.3 seconds"):
            async with mcp_tools(raw("hangs"), timeout=0.3):
                pass


async def test_a_connection_that_ends_badly_takes_no_result_along(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "executionkit.mcp")
    strict = raw().model_copy(update={"encoding_error_handler": "strict"})
    provider = MockProvider([LLMResponse("", [ToolCall("", "bad_bytes", {})]), "done"])
    async with no_task_left(), mcp_tools(strict, needs_approval="none") as tools:
        result = await react_loop(provider, "go", tools, tool_timeout=0.2)
    assert result.value == "done"
    assert "the connection to the MCP server raw did not end well: UnicodeDecodeError: " in caplog.text


async def test_a_transport_that_breaks_ends_the_call_and_not_the_loop() -> None:
    broken = asyncio.Event()

    @asynccontextmanager
    async def transport() -> AsyncIterator[Any]:
        """Ends as the SDK's own for HTTP does: an exception in a task beside the one that entered it."""

        async def fail() -> None:
            await broken.wait()
            raise OSError("the network is down")

        async with stdio_client(raw()) as streams, anyio.create_task_group() as group:
            group.start_soon(fail)
            yield streams

    def after(name: str) -> LLMResponse:
        return LLMResponse("", [ToolCall("", name, {}), ToolCall("", "break_it", {})])

    def break_it() -> str:
        """Break the connection."""
        loop.call_soon_threadsafe(broken.set)
        return "broken"

    loop = asyncio.get_running_loop()
    provider = MockProvider([after("hang"), after("echo"), "done"])
    async with no_task_left(), mcp_tools(transport(), needs_approval="none") as tools:
        result = await react_loop(provider, "go", [*tools, break_it])
    assert result.value == "done"
    sent = [m["content"] for m in provider.calls[-1].messages if m["role"] == "tool"]
    assert sent == ["Error: the server raw has gone", "broken"] * 2


async def test_being_cancelled_while_the_server_starts_leaves_nothing() -> None:
    async def program() -> None:
        async with mcp_tools(raw("hangs")):
            pass

    async with no_task_left():
        task = asyncio.create_task(program())
        await asyncio.sleep(0)  # it has begun, and the server never answers
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_block_may_be_entered_and_left_by_different_tasks() -> None:
    block = mcp_tools(raw(), include=["echo"])
    async with no_task_left():
        (tool,) = await asyncio.create_task(block.__aenter__())
        assert await run(tool) == "{}"
        await asyncio.create_task(block.__aexit__(None, None, None))


async def test_without_the_sdk_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mcp", None)
    with pytest.raises(ImportError, match=r"pip install 'mcp>=2\.2,<3'"):
        async with mcp_tools("http://127.0.0.1:9/mcp"):
            pass


async def test_warnings_as_errors_come_out_as_they_are() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserWarning, match="can't be checked here"):
            async with mcp_tools(serving(described("odd", unevaluatedProperties=False))):
                pass
