"""Replies that came another way than over the provider's own connections, read as those are."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from executionkit.errors import LLMError
from executionkit.provider._failures import Reporter
from executionkit.provider._http.transport import Reply
from executionkit.provider._reply import interpret
from executionkit.responses import LLMResponse

_NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
_NO_LIMIT: Final = 2**62


def reply_of(
    body: bytes, *, source: str, status: int = 200, model: str = "", choices: int = 1
) -> LLMResponse | LLMError:
    """Read a reply as `Provider.complete` does.

    Args:
        body: The body, as JSON.
        source: What answered, for messages of errors.
        status: The HTTP status.
        model: The model that was asked, for messages of errors.
        choices: How many choices the request asked for (`n`).

    Returns:
        The response, or the error that `complete` would raise.
    """
    return interpret(Reply(status, _NOTHING, body), _NO_LIMIT, Reporter(source, model, ()), choices)
