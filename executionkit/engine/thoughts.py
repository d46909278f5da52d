"""Telling what a model says from what it thinks in the same text."""

import re
from typing import Final

_THOUGHT: Final = re.compile(r"<think>.*?(?:</think>|\Z)", re.IGNORECASE | re.DOTALL)
_UNOPENED: Final = re.compile(r"\A.*</think>", re.IGNORECASE | re.DOTALL)


def without_thoughts(text: str) -> str:
    """`text` without its `<think>` blocks, unclosed ones and such as lack the opening tag included."""
    return _UNOPENED.sub("", _THOUGHT.sub("", text))
