"""An observer that keeps all it is told, as a tree."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from executionkit import LLMResponse, TokenUsage
from executionkit.observe import CallInfo, CallSpan, RunInfo, RunSpan, ToolInfo, ToolSpan


@dataclass(eq=False)
class Node:
    """A run, a call or a tool.

    Attributes:
        kind: Which of them.
        info: Its description.
        parent: The node that was current when it began.
        told: The names of the methods that were called, and their arguments, in order.
        left: The exceptions that its context manager was left with, one for each time it was left.
    """

    kind: str
    info: Any
    parent: "Node | None"
    told: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    left: list[BaseException | None] = field(default_factory=list)

    @property
    def name(self) -> str:
        if self.kind == "call":
            return self.kind
        return f"{self.kind} {self.info.call.name if self.kind == 'tool' else self.info.name}"

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told]

    def heard(self, name: str) -> tuple[Any, ...]:
        """The arguments of a method that was called once."""
        (arguments,) = [arguments for told, arguments in self.told if told == name]
        return arguments


class Watcher:
    """Keeps the nodes in the order in which they began."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.current: ContextVar[Node | None] = ContextVar("current", default=None)

    def run(self, info: RunInfo, /) -> AbstractContextManager[RunSpan]:
        return self._open("run", info)

    def call(self, info: CallInfo, /) -> AbstractContextManager[CallSpan]:
        return self._open("call", info, is_current=not info.streamed)

    def tool(self, info: ToolInfo, /) -> AbstractContextManager[ToolSpan]:
        return self._open("tool", info)

    def of(self, kind: str) -> list[Node]:
        return [node for node in self.nodes if node.kind == kind]

    def children(self, parent: Node | None) -> list[Node]:
        return [node for node in self.nodes if node.parent is parent]

    def tree(self, parent: Node | None = None, depth: int = 0) -> str:
        return "".join(
            f"{'  ' * depth}{node.name}\n{self.tree(node, depth + 1)}" for node in self.children(parent)
        )

    @contextmanager
    def _open(self, kind: str, info: Any, *, is_current: bool = True) -> Generator[Any, None, None]:
        node = Node(kind, info, self.current.get())
        self.nodes.append(node)
        token = self.current.set(node) if is_current else None
        try:
            yield _Span(node)
        except BaseException as exc:
            node.left.append(exc)
            raise
        else:
            node.left.append(None)
        finally:
            if token is not None:
                self.current.reset(token)


class _Span(RunSpan, CallSpan):
    """Keeps what it is told; it is a `ToolSpan` too, whose `ended` has other arguments."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def _keep(self, name: str, *arguments: Any) -> None:
        assert not self._node.left, f"{name} after the end"
        self._node.told.append((name, arguments))

    def ended(self, *arguments: Any, **more: Any) -> None:
        self._keep("ended", *arguments, *more.values())

    def waiting(self, seconds: float, /) -> None:
        self._keep("waiting", seconds)

    def retrying(self, attempt: int, error: Exception, wait: float, /) -> None:
        self._keep("retrying", attempt, error, wait)

    def began(self) -> None:
        self._keep("began")

    def partial(self, response: LLMResponse, /) -> None:
        self._keep("partial", response)

    def replayed(self) -> None:
        self._keep("replayed")

    def spent(self, usage: TokenUsage, /) -> None:
        self._keep("spent", usage)

    def answered(self, response: LLMResponse, /) -> None:
        self._keep("answered", response)

    def failed(self, error: BaseException, /) -> None:
        self._keep("failed", error)


def spent(nodes: list[Node]) -> TokenUsage:
    """What calls have cost together."""
    return sum((node.heard("spent")[0] for node in nodes), TokenUsage())
