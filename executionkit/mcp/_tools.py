"""The tools that an MCP server lists, as tools of ours that call it."""

import hashlib
import re
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, get_args

from executionkit import _checks as checks
from executionkit._json import dumps, loads, plain
from executionkit._schema import check_schema
from executionkit._text import one_line, shorten
from executionkit._warning import warn_the_caller
from executionkit.errors import ToolError
from executionkit.mcp._results import returned, text_of
from executionkit.types import Tool

Asked: TypeAlias = Literal["unsafe", "all", "none"]
"""The tools that need approval."""

_LONGEST_NAME: Final = 64
_LONGEST_DESCRIPTION: Final = 2_000
_MOST_PAGES: Final = 1_000
"""The most pages of tools that are read: a server may never say that one is the last."""


class ToolServer(Protocol):
    """A connection to an MCP server, such as an `mcp.Client` inside its `async with`."""

    async def list_tools(self, *, cursor: str | None = None) -> Any:
        """List the tools of one page."""
        ...

    async def call_tool(self, name: str, arguments: dict[str, Any] | None = None) -> Any:
        """Call a tool."""
        ...


@dataclass(frozen=True)
class Options:
    """Which tools of a server are taken, and how: see `tools_from_mcp`."""

    _: KW_ONLY
    prefix: str
    include: Collection[str] | None
    exclude: Collection[str]
    timeout: float
    needs_approval: Asked

    def __post_init__(self) -> None:
        if not isinstance(self.prefix, str) or not re.fullmatch(r"[A-Za-z0-9_-]{0,40}", self.prefix):
            raise ValueError(f"prefix must be at most 40 letters, digits, '_' or '-', got {self.prefix!r}")
        for parameter, names in (("include", self.include), ("exclude", self.exclude)):
            if isinstance(names, str) or not isinstance(names, Collection | None):
                raise TypeError(f"{parameter} must be a list of names of tools, got {names!r}")
        checks.positive(timeout=self.timeout)
        checks.one_of(get_args(Asked), needs_approval=self.needs_approval)

    def asks_about(self, tool: Any) -> bool:
        """Whether a tool, as the server describes it, needs approval."""
        reads_only = tool.annotations is not None and tool.annotations.read_only_hint is True
        return self.needs_approval == "all" or (self.needs_approval == "unsafe" and not reads_only)

    def chosen(self, tools: Iterable[Any]) -> dict[str, Any]:
        """Those of a server's tools that are asked for, by the server's own names.

        Raises:
            ValueError: A name in `include` or `exclude` is not a tool's.
        """
        by_name: dict[str, Any] = {}
        for tool in tools:
            by_name.setdefault(tool.name, tool)  # a call could not tell apart two of one name
        include = by_name.keys() if self.include is None else self.include
        for parameter, names in (("include", include), ("exclude", self.exclude)):
            unknown = [name for name in names if name not in by_name]
            if unknown:
                has = ", ".join(sorted(by_name)) or "none"
                raise ValueError(f"{parameter}: the server has no tool {unknown[0]!r}; its tools: {has}")
        return {name: tool for name, tool in by_name.items() if name in include and name not in self.exclude}


# Not slotted: see `PatternResult`.
@dataclass(frozen=True, eq=False)
class _UncheckedTool(Tool):
    """A tool whose schema can't be checked here: the model gets it as it is, and the server checks."""

    def convert(self, arguments: Mapping[str, object]) -> dict[str, object]:
        whole: dict[str, object] = plain(arguments)
        return whole

    def to_schema(self) -> dict[str, Any]:
        function = {"name": self.name, "description": self.description, "parameters": plain(self.parameters)}
        return {"type": "function", "function": function}

    def _check_parameters(self) -> None:
        """Nothing is checked."""


async def tools_from_mcp(
    client: ToolServer,
    *,
    prefix: str = "",
    include: Collection[str] | None = None,
    exclude: Collection[str] = (),
    timeout: float = 30.0,
    needs_approval: Asked = "unsafe",
) -> list[Tool]:
    """Make tools of those of an MCP server, for a client that you hold yourself.

    The tools work as long as the client is connected. They are the tools that the server has now: a later
    change of its list is not followed.

    Args:
        client: An `mcp.Client` inside its `async with`.
        prefix: Written before each name, so that the tools of several servers can be told apart; at most 40
            letters, digits, `_` and `-`.
        include: The server's own names of the tools that are wanted. Defaults to all.
        exclude: The server's own names of tools that are not wanted.
        timeout: Time limit of each call in seconds; a finite number more than 0. A call that takes longer, or
            whose loop is cancelled, is cancelled at the server too.
        needs_approval: Which tools `react_loop` asks about before each call: "unsafe" are those of which the
            server does not say that they only read, "all", or "none". The server's word is not checked.

    Returns:
        The tools. Their names have 1 to 64 letters, digits, `_` and `-`: other characters become `_`, and a
        name that is too long is cut and ends in a digest. Descriptions are cut to 2,000 characters. A schema
        that can't be checked here is sent to the model as it is, with a UserWarning; the server then checks
        the arguments. A tool that can't be used at all is left out with a UserWarning.

    Raises:
        TypeError: `client` is no client, or `include` or `exclude` is not a list of names.
        ValueError: A parameter is out of range, `include` or `exclude` has a name that the server doesn't
            have, or two tools have the same name after their names were changed.
        mcp.MCPError: The server refused to list its tools, or is gone.
    """
    options = Options(
        prefix=prefix, include=include, exclude=exclude, timeout=timeout, needs_approval=needs_approval
    )
    if not callable(getattr(client, "list_tools", None)) or not callable(getattr(client, "call_tool", None)):
        raise TypeError(f"client must be an mcp.Client inside its `async with`, got {client!r}")
    server = name_of(client, "without a name")
    return made(await listed(client), options, client, server)


async def listed(client: ToolServer) -> list[Any]:
    """The tools of all pages, as the server describes them."""
    found: list[Any] = []
    cursors: set[str] = set()
    cursor: str | None = None
    while True:
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor or cursor in cursors or len(cursors) >= _MOST_PAGES:
            return found
        cursors.add(cursor)


def made(listing: Iterable[Any], options: Options, client: ToolServer, server: str) -> list[Tool]:
    """Make the tools.

    Args:
        listing: The tools as the server describes them.
        options: Which of them are wanted, and how.
        client: The connection for the calls.
        server: The server's name, for messages.
    """
    tools: dict[str, Tool] = {}
    owners: dict[str, str] = {}
    for own_name, described in options.chosen(listing).items():
        tool = _tool(own_name, described, options, client, server)
        if tool is None:
            continue
        if tool.name in tools:
            raise ValueError(
                f"the tools {owners[tool.name]!r} and {own_name!r} of the MCP server {server} both get the "
                f"name {tool.name!r}; exclude one of them"
            )
        tools[tool.name], owners[tool.name] = tool, own_name
    return list(tools.values())


def name_of(client: object, default: str) -> str:
    """The name that the server gives itself, for messages."""
    own: object = getattr(getattr(client, "server_info", None), "name", None)
    return shorten(one_line(own), 60) if isinstance(own, str) and own.strip() else default


def warn_left_out(tool: str, server: str, why: str) -> None:
    """Warn that a tool is not among those made."""
    reason = shorten(one_line(why), 300)
    warn_the_caller(f"the tool {tool!r} of the MCP server {server} is left out: {reason}")


def _tool(own_name: str, described: Any, options: Options, client: ToolServer, server: str) -> Tool | None:
    description = shorten(described.description or described.title or "", _LONGEST_DESCRIPTION)
    execute = _caller(client, own_name, server)
    schema = described.input_schema
    asks = options.asks_about(described)
    try:
        if not own_name:
            raise ValueError("it has no name")
        name = _callable_name(options.prefix + own_name)
        try:
            check_schema(schema)
        except ValueError as exc:
            tool: Tool = _UncheckedTool(
                name, description, schema, execute, options.timeout, needs_approval=asks
            )
            warn_the_caller(
                f"the schema of the tool {own_name!r} of the MCP server {server} can't be checked here and "
                f"is sent to the model as it is: {shorten(one_line(str(exc)), 300)}"
            )
            return tool
        return Tool(name, description, schema, execute, options.timeout, needs_approval=asks)
    except (ValueError, RecursionError) as exc:
        warn_left_out(own_name, server, str(exc))
        return None


def _callable_name(name: str) -> str:
    """A name that the chat completions API takes; only `.`, `/`, ` ` and `_` may lead to the same one."""
    clean = re.sub(r"[^A-Za-z0-9_-]", "_", name)
    if len(clean) <= _LONGEST_NAME and re.fullmatch(r"[A-Za-z0-9_./ -]+", name):
        return clean
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{clean[: _LONGEST_NAME - 9]}_{digest}"


def _caller(client: ToolServer, name: str, server: str) -> Callable[..., Coroutine[Any, Any, object]]:
    """The function of a tool: it calls the server, and says what went wrong in words for the model."""

    async def call(**arguments: object) -> object:
        try:
            # Half a surrogate pair in a text can't be written, and would end the connection.
            result = await client.call_tool(name, loads(dumps(arguments)))
        except Exception as exc:
            raise ToolError(_explained(exc, client, name, server)) from exc
        if result.is_error:
            raise ToolError(text_of(result) or f"{name} failed and did not say why")
        return returned(result)

    return call


def _explained(exc: Exception, client: object, name: str, server: str) -> str:
    from mcp import MCPError

    if isinstance(exc, MCPError) and exc.message != "Connection closed":
        return f"the server {server} answered the call of {name} with an error: {exc.message}"
    if isinstance(exc, MCPError) or not _is_open(client):
        return f"the server {server} has gone"
    # The call was made, and the SDK does not hand out a result that it can't read.
    return f"the call of {name} was made, but its result can't be read: {shorten(one_line(str(exc)), 500)}"


def _is_open(client: object) -> bool:
    try:
        getattr(client, "session", None)
    except RuntimeError:  # from the SDK, after the end of its `async with`
        return False
    return True
