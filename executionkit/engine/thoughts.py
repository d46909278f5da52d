"""Telling what a model says from what it thinks in the same text."""

import re
from typing import Final

TAG: Final = re.compile(r"<(/?)think(?:ing)?>", re.IGNORECASE)

# Some servers cut the opening tag off with the prompt it belongs to.
_THOUGHT: Final = re.compile(
    r"\A(?:(?!<think(?:ing)?>).)*?</think(?:ing)?>|<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)",
    re.IGNORECASE | re.DOTALL,
)


def without_thoughts(text: str) -> str:
    """`text` without its thoughts, unclosed ones and such as lack the opening tag included."""
    return _THOUGHT.sub("", text)
