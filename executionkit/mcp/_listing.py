"""A transport that takes unusable tools out of a server's list.

The SDK refuses the whole page for one tool that is not described as the protocol wants it.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from executionkit._json import is_list, is_object


class ListMender:
    """Takes unusable tools out of the lists that come in.

    Attributes:
        left_out: The name of each such tool and what is wrong with it.
    """

    def __init__(self, version: Callable[[], str]) -> None:
        self.left_out: list[tuple[str, str]] = []
        self._version = version

    @asynccontextmanager
    async def around(
        self, transport: AbstractAsyncContextManager[Any]
    ) -> AsyncGenerator[tuple[Any, Any], None]:
        """The same transport, with the lists that come in mended."""
        async with transport as (incoming, outgoing):
            yield _Incoming(incoming, self._mend), outgoing

    def _mend(self, message: Any) -> None:
        result = getattr(getattr(message, "message", None), "result", None)
        if not is_object(result) or not is_list(tools := result.get("tools")):
            return
        if self._fault(result) is None or self._fault({**result, "tools": []}) is not None:
            return  # whatever is wrong with the rest is the SDK's to say
        kept: list[Any] = []
        for tool in tools:
            mended = _with_root_type(tool)
            fault = self._fault({**result, "tools": [mended]})
            if fault is None:
                kept.append(mended)
            else:
                name = tool.get("name") if is_object(tool) else None
                self.left_out.append((name if isinstance(name, str) else "", fault))
        result["tools"] = kept

    def _fault(self, result: dict[str, Any]) -> str | None:
        """The first thing that the SDK would say against a list of tools."""
        from mcp_types import ListToolsResult
        from mcp_types.methods import validate_server_result
        from pydantic import ValidationError

        try:
            validate_server_result("tools/list", self._version(), result)
            ListToolsResult.model_validate(result, by_name=False)
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
            place = [step for step in first["loc"] if isinstance(step, str) and step != "tools"]
            return f"{'.'.join(place)}: {first['msg']}" if place else str(first["msg"])
        return None


def _with_root_type(tool: Any) -> Any:
    """The tool, with the one keyword in its schema that goes without saying."""
    schema = tool.get("inputSchema") if is_object(tool) else None
    if not is_object(schema) or "type" in schema:
        return tool
    return {**tool, "inputSchema": {"type": "object", **schema}}


class _Incoming:
    """A stream of messages, each looked at before the SDK gets it."""

    def __init__(self, stream: Any, look: Callable[[Any], None]) -> None:
        self._stream = stream
        self._look = look

    async def receive(self) -> Any:
        message = await self._stream.receive()
        self._look(message)
        return message

    def __aiter__(self) -> "_Incoming":
        return self

    async def __anext__(self) -> Any:
        message = await anext(self._stream)
        self._look(message)
        return message

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> "_Incoming":
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> bool | None:
        handled: bool | None = await self._stream.__aexit__(*raised)
        return handled

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)  # such as `last_context`, which some streams have
