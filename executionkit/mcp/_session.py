"""A connection to an MCP server, for as long as its tools are in use."""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import urlsplit

from executionkit._logs import write
from executionkit._text import describe, unquoted
from executionkit.engine.parallel import look_at, spawn
from executionkit.mcp._listing import ListMender
from executionkit.mcp._tools import Asked, Options, listed, made, name_of, warn_left_out
from executionkit.types import Tool

_log = logging.getLogger("executionkit.mcp")

_GRACE: Final = 10.0
"""Seconds that the SDK has to end a connection; it gives a process that does not stop about 7."""


@asynccontextmanager
async def mcp_tools(
    server: object,
    *,
    prefix: str = "",
    include: Collection[str] | None = None,
    exclude: Collection[str] = (),
    timeout: float = 30.0,
    needs_approval: Asked = "unsafe",
) -> AsyncGenerator[list[Tool], None]:
    """Connect to an MCP server, and make tools of those that it has.

    The connection lives as long as the `async with`. A server that was started for it is stopped at its end.
    The tools belong to the event loop that runs it.

    Example:
        ```python
        from mcp.server import MCPServer

        from executionkit import LLMResponse, MockProvider, ToolCall, react_loop
        from executionkit.mcp import mcp_tools

        shop = MCPServer("shop")


        @shop.tool()
        def price(item: str) -> float:
            return {"tea": 3.20}[item]


        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        asks = LLMResponse("", [ToolCall("call_1", "shop_price", {"item": "tea"})])
        provider = MockProvider([asks, "Tea costs 3.20."])
        async with mcp_tools(shop, prefix="shop_", needs_approval="none") as tools:
            result = await react_loop(provider, "What does tea cost?", tools)
        assert result.value == "Tea costs 3.20."
        ```

    Args:
        server: An `mcp.StdioServerParameters` (the command that starts the server), a URL (Streamable HTTP),
            a transport of the SDK, a server object in this process, or an `mcp.Client` not entered yet.
        prefix: Written before each name, so that the tools of several servers can be told apart; at most 40
            letters, digits, `_` and `-`.
        include: The server's own names of the tools that are wanted. Defaults to all.
        exclude: The server's own names of tools that are not wanted.
        timeout: Time limit in seconds of each call, and of connecting and listing the tools together; a
            finite number more than 0. A call that takes longer, or whose loop is cancelled, is cancelled at
            the server too.
        needs_approval: Which tools `react_loop` asks about before each call: "unsafe" are those of which the
            server does not say that they only read, "all", or "none". The server's word is not checked.

    Yields:
        The tools: see `tools_from_mcp`.

    Raises:
        ImportError: The package `mcp` is not installed, or is too old.
        TypeError: `server` is nothing that can be connected to, or `include` or `exclude` is not a list of
            names.
        ValueError: As `tools_from_mcp`.
        TimeoutError: The server did not start and list its tools in time.
        ConnectionError: The server could not be started or reached, or did not list its tools. A connection
            that breaks later raises nothing: each further call is then told to the model as failed.
    """
    options = Options(
        prefix=prefix, include=include, exclude=exclude, timeout=timeout, needs_approval=needs_approval
    )
    mender = ListMender(lambda: client.protocol_version)
    client, name = _client(server, mender)
    connection = _Connection(client)
    try:
        try:
            async with asyncio.timeout(timeout):
                await connection.opened()
                listing = await listed(client)
        except TimeoutError:
            raise TimeoutError(
                f"the MCP server {name} did not start and list its tools within {timeout:g} seconds; "
                "allow more timeout"
            ) from None
        except Exception as exc:  # noqa: BLE001 - the SDK documents no base of its errors
            cause = _first(await connection.closed() or exc)
            text = f"the connection to the MCP server {name} failed: {_said(cause, server)}"
            # It may quote the URL, and with it what is secret there.
            raise ConnectionError(text) from (None if isinstance(server, str) else cause)
        name = name_of(client, name)
        for tool, why in mender.left_out:
            warn_left_out(tool, name, why)
        yield made(listing, options, client, name)
    finally:
        fault = await connection.closed()
        if fault is not None:
            what = (name, _said(fault, server))
            write(_log, logging.INFO, "the connection to the MCP server %s did not end well: %s", *what)


class _Connection:
    """A client that is entered and left by a task of its own.

    The SDK's task groups cancel the task that entered them when the transport breaks, and wrap whatever
    exception passes through them in groups. The loop that uses the tools must meet with neither.
    """

    def __init__(self, client: Any) -> None:
        self._is_open = asyncio.get_running_loop().create_future()
        self._leave = asyncio.Event()
        (self._task,) = spawn(self._keep(client))

    async def opened(self) -> None:
        """Wait until the client is connected; raise what went wrong."""
        await asyncio.wait((self._task, self._is_open), return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            self._task.result()

    async def closed(self) -> BaseException | None:
        """Leave the client, even if the caller is cancelled meanwhile; what ended the connection before."""
        self._leave.set()
        if not self._is_open.done():
            self._task.cancel()
        cancelled: asyncio.CancelledError | None = None
        while not self._task.done():
            try:
                # Not cancelled at once: the SDK needs a moment to stop a process.
                await asyncio.wait((self._task,), timeout=_GRACE)
                self._task.cancel()
            except asyncio.CancelledError as exc:
                cancelled = exc
        if cancelled is not None:
            look_at(self._task)
            raise cancelled
        return None if self._task.cancelled() else self._task.exception()

    async def _keep(self, client: Any) -> None:
        async with client:
            if not self._is_open.done():
                self._is_open.set_result(None)
            await self._leave.wait()


def _client(server: object, mender: ListMender) -> tuple[Any, str]:
    """A client for the server, not entered yet, and a name for messages until it gives its own."""
    try:
        from mcp import Client, StdioServerParameters, stdio_client
        from mcp.client.streamable_http import streamable_http_client
        from mcp.server import MCPServer, Server
    except ImportError as exc:
        raise ImportError("executionkit.mcp needs the package mcp: pip install 'mcp>=2.2,<3'") from exc

    if isinstance(server, Client):
        return server, "given as a client"
    if isinstance(server, (MCPServer, Server)):
        return Client(server), server.name
    if isinstance(server, StdioServerParameters):
        if "encoding_error_handler" not in server.model_fields_set:
            # One wrong byte would end the connection.
            server = server.model_copy(update={"encoding_error_handler": "replace"})
        return Client(mender.around(stdio_client(server, errlog=_error_output()))), PurePath(
            server.command
        ).name
    if isinstance(server, str):
        where = urlsplit(server).netloc.rpartition("@")[2]
        return Client(mender.around(streamable_http_client(server))), where or "of an empty URL"
    if hasattr(server, "__aenter__") and hasattr(server, "__aexit__"):
        transport: Any = server
        return Client(mender.around(transport)), "behind a transport"
    raise TypeError(
        "server must be an mcp.StdioServerParameters, a URL, a transport, a server object or an mcp.Client, "
        f"got {server!r}"
    )


def _error_output() -> Any:
    """Where a process writes its errors: `sys.stderr`, or that of this process if there is only an object."""
    try:
        sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):  # a notebook, a test, a program without a console
        return None
    return sys.stderr


def _first(exc: BaseException) -> BaseException:
    while isinstance(exc, BaseExceptionGroup):  # one for each task group of the SDK
        exc = exc.exceptions[0]
    return exc


def _said(exc: BaseException, server: object) -> str:
    exc = _first(exc)
    if str(exc) == "Connection closed":
        return "it closed the connection; if it is a program, its standard error may say why"
    return unquoted(describe(exc)) if isinstance(server, str) else describe(exc)
