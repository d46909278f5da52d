"""Telling what a model says from what it thinks in the same text."""

import re
from typing import Final

# Some servers cut the opening tag off with the prompt it belongs to.
_THOUGHT: Final = re.compile(
    r"\A(?:(?!<think>).)*?</think>|<think>.*?(?:</think>|\Z)", re.IGNORECASE | re.DOTALL
)


def without_thoughts(text: str) -> str:
    """`text` without its `<think>` blocks, unclosed ones and such as lack the opening tag included."""
    return _THOUGHT.sub("", text)
