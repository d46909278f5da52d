"""What keeps the observations of tools, so that a run that is repeated runs no tool again."""

from contextvars import ContextVar
from typing import NamedTuple, Protocol

from executionkit._prompt import Part
from executionkit.responses import ToolCall


class Observed(NamedTuple):
    """What came of a call of a tool.

    Attributes:
        text: The observation, before it is cut.
        remark: What precedes it, if an approver gave other arguments.
        parts: The pictures and other parts that the tool returned.
        error: The name of the exception by which the tool failed; None if it did not.
        ran: Whether the tool ran.
        declined: Whether the call was declined.
    """

    text: str
    remark: str = ""
    parts: tuple[Part, ...] = ()
    error: str | None = None
    ran: bool = True
    declined: bool = False


class ToolMemory(Protocol):
    """Keeps what came of the calls of tools."""

    def recall(self, call: ToolCall) -> Observed | None:
        """What came of the call before; each time it is asked, of another one of the equal calls."""
        ...

    async def keep(self, call: ToolCall, observed: Observed) -> None:
        """Keep what came of the call. The observation is used when this has returned."""
        ...


TOOL_MEMORY: ContextVar[ToolMemory | None] = ContextVar("executionkit_tool_memory", default=None)
"""The memory of the row that is worked on; None where there is none."""
