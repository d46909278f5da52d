"""`RunLog`: the observer."""

import os
from contextlib import AbstractContextManager
from typing import Self

from executionkit.observe import CallInfo, CallSpan, RunInfo, RunSpan, ToolInfo, ToolSpan
from executionkit.run_log._journal import Journal
from executionkit.run_log._spans import Call, Run, Tool


class RunLog:
    """An observer that writes runs, calls, retries, waits and tools to a file of JSON Lines.

    `executionkit show FILE` prints the file as a tree, or makes one page of it.

    Each line is appended by one write, so that several processes and threads may log to the same file, and
    a process that is killed leaves all lines but perhaps its last one whole. A full disk or a closed log
    breaks no run: lines that can't be written are counted in `lost`, and the first one is logged.

    Example:
        ```python
        from executionkit import MockProvider, consensus
        from executionkit.observe import observe
        from executionkit.run_log import RunLog

        with RunLog("run.jsonl") as log, observe(log):
            await consensus(MockProvider(["Paris"]), "The capital of France?")
        ```

    Args:
        path: The file. It is made if it is not there, readable for its owner alone; otherwise it grows.
        content: Whether to write prompts, replies, arguments, observations and the messages of errors too.
            They are written without what is shaped like a credential, and cut at 8,000 characters each.

    Raises:
        OSError: The file can't be opened.
    """

    def __init__(self, path: str | os.PathLike[str], *, content: bool = False) -> None:
        self._journal = Journal(path, content=content)

    def __repr__(self) -> str:
        return f"RunLog({self._journal.path!r}, content={self._journal.content})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def lost(self) -> int:
        """The number of lines that could not be written."""
        return self._journal.lines.lost

    def close(self) -> None:
        """Close the file. Runs that go on are no longer logged."""
        self._journal.lines.close()

    def run(self, info: RunInfo, /) -> AbstractContextManager[RunSpan]:
        """Write that a run begins."""
        return Run(self._journal, info)

    def call(self, info: CallInfo, /) -> AbstractContextManager[CallSpan]:
        """Write that a call of the model begins."""
        return Call(self._journal, info)

    def tool(self, info: ToolInfo, /) -> AbstractContextManager[ToolSpan]:
        """Write that a tool is called."""
        return Tool(self._journal, info)
