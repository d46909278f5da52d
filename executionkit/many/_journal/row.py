"""A row of a journal, and the tools that ran for it: what came of them is asked of the journal, and kept."""

from executionkit._json import plain
from executionkit.engine.tool_memory import Observed
from executionkit.many._journal.book import Book
from executionkit.many._journal.format import request_digest, request_text
from executionkit.many._journal.load import Kept
from executionkit.many._journal.scope import Scope
from executionkit.responses import ToolCall


def scope_of(book: Book, row: str | int) -> Scope[Kept]:
    """A scope for `with`: the calls inside, and the tools that run there, are this row's."""
    name = str(row)
    return Scope(book, name, lambda: book.replies_of(name), RowTools(book, name))


class RowTools:
    """The tools of one row, whose observations are kept in a journal.

    Args:
        book: The journal.
        row: The row.
    """

    def __init__(self, book: Book, row: str) -> None:
        self._book = book
        self._row = row
        self._scope: Scope[Kept] | None = None

    @property
    def _tools(self) -> Scope[Kept]:
        if self._scope is None:  # most rows run no tool
            self._scope = Scope(self._book, self._row, lambda: self._book.observations_of(self._row))
        return self._scope

    def recall(self, call: ToolCall) -> Observed | None:
        """What came of the call before."""
        kept = self._tools.next_reply(_digest(call))
        return None if kept is None else self._book.observed_at(kept)

    async def keep(self, call: ToolCall, observed: Observed) -> None:
        """Write what came of the call, and wait until it is on the disk."""
        request = _digest(call)
        n = self._tools.take(request)
        self._book.write_tool(self._tools.row_json, request, n, call, observed)
        await self._book.commit()


def _digest(call: ToolCall) -> str:
    asked = [call.id, call.name, plain(call.arguments), call.invalid_arguments]
    return request_digest(request_text("", asked, None, None, None))
