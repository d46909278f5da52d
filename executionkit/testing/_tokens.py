"""Counting tokens as the test endpoint does: simple, deterministic, and stable when a text is cut."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from executionkit.responses import text_of

# Up to six word characters, or one sign. A text that is cut after a token has as many tokens as were kept.
_TOKEN = re.compile(r"\w{1,6}|[^\w\s]")
_PER_MESSAGE = 3


def count_tokens(text: str) -> int:
    """Count the tokens of a text as the endpoint does: runs of up to six letters or digits, and single signs.

    Real models count differently. This rule is easy to predict in a test.
    """
    return len(_TOKEN.findall(text))


def first_tokens(text: str, limit: int) -> str:
    """Cut a text to `limit` tokens; a text that has no more is returned whole."""
    end = 0
    for seen, token in enumerate(_TOKEN.finditer(text)):
        if seen == limit:
            return text[:end]
        end = token.end()
    return text


def count_prompt_tokens(messages: Sequence[Mapping[str, Any]], tools: Sequence[Any] = ()) -> int:
    """Count the input tokens that the endpoint reports for a request.

    Each message has three and those of its text. Tool calls and tool schemas are counted as JSON text.
    """
    total = 0
    for message in messages:
        total += _PER_MESSAGE + count_tokens(text_of(message.get("content")))
        if calls := message.get("tool_calls"):
            total += count_tokens(json.dumps(calls))
    return total + (count_tokens(json.dumps(tools)) if tools else 0)
