"""The endpoint's own token count: simple, deterministic, and stable under cutting."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from executionkit.responses import text_of

# Up to six word characters, or one sign: a text cut at the end of a token counts as many tokens as were kept.
_TOKEN = re.compile(r"\w{1,6}|[^\w\s]")
_PER_MESSAGE = 3


def count_tokens(text: str) -> int:
    """How many tokens the endpoint takes `text` for: runs of up to six letters or digits, and single signs.

    No real model counts like this; it is made to be predicted in a test.
    """
    return len(_TOKEN.findall(text))


def first_tokens(text: str, limit: int) -> str:
    """The beginning of `text` that has at most `limit` tokens; `text` itself when it has no more."""
    end = 0
    for seen, token in enumerate(_TOKEN.finditer(text)):
        if seen == limit:
            return text[:end]
        end = token.end()
    return text


def count_prompt_tokens(messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] = ()) -> int:
    """How many input tokens the endpoint reports for a request.

    Three for each message, the tokens of its text, and those of tool calls and tool schemas as JSON text.
    """
    total = 0
    for message in messages:
        total += _PER_MESSAGE + count_tokens(text_of(message.get("content")))
        if calls := message.get("tool_calls"):
            total += count_tokens(json.dumps(calls))
    return total + (count_tokens(json.dumps(tools)) if tools else 0)
