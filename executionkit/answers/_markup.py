"""Plain text out of what LaTeX, Markdown and HTML make of a number."""

import re
from typing import Final

_SIGNS: Final = str.maketrans({"−": "-", "﹣": "-", "－": "-", "＋": "+", "\N{MICRO SIGN}": "μ"})

# In this order. Each comes with a text without which its pattern can't match: finding that out costs next to
# nothing, and most replies have none of them.
_RULES: Final = [
    (trigger, re.compile(pattern), plain)
    for trigger, pattern, plain in (
        ("<", r"</?[a-zA-Z][^<>]*>", " "),
        (">", r"[-=]>", " "),
        ("*", r"(?<![\w)*])\*{1,3}(?=[^\s*])|(?<=[^\s*])\*{1,3}(?![\w(*])", ""),
        ("_", r"(?<!\w)_{1,3}(?=[^\s_])|(?<=[^\s_])_{1,3}(?!\w)", ""),
        ("`", r"`+", ""),
        ("~", r"~", ""),
        ("{,}", r"\{,\}", ","),
        ("\\", r"\\[,;:! ]", "\N{THIN SPACE}"),
        ("\\", r"\\[dt]?frac\s*\{\s*(\d+)\s*\}\s*\{\s*(\d+)\s*\}", r" \1/\2 "),
        ("\\", r"\^?\{?\\(?:circ|degree)\b\}?", "°"),
        ("\\", r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}", r" \1"),
        ("\\", r"\\(?:times|cdot)\b", "×"),
        ("\\", r"\\(?:left|right|quad|approx|displaystyle)\b|\\[()\[\]]", " "),
        ("\\", r"\\([$%€£&#])", r"\1"),
        # A pair of dollars is LaTeX's, a single one is money.
        ("$", r"\$\$?([^$]*)\$\$?", r" \1 "),
        ("- ", r"(?<=-) +(?=\d+/\d)", ""),
    )
]


def plain(text: str) -> str:
    """The text without markup, with one minus sign."""
    text = text.translate(_SIGNS)
    for trigger, pattern, replacement in _RULES:
        if trigger in text:
            text = pattern.sub(replacement, text)
    return text
