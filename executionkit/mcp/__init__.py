"""Tools of MCP servers for `react_loop`. Using them needs the extra `mcp`."""

from executionkit.mcp._session import mcp_tools
from executionkit.mcp._tools import ToolServer, tools_from_mcp

__all__ = ["ToolServer", "mcp_tools", "tools_from_mcp"]
