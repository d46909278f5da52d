"""Plain text out of what LaTeX, Markdown and HTML make of a number."""

import re
from typing import Final

_SIGNS: Final = str.maketrans(
    dict.fromkeys("−﹣－‐‑‒", "-")
    | dict.fromkeys("⋅∙", "·")
    | {"＋": "+", "∗": "*", "∕": "/", "∶": ":", "µ": "μ"}
)
_WIDE: Final = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3"
# For texts that are not ASCII.
_WIDE_RULES: Final = [
    (re.compile(r"(?:负|負|マイナス|零下|영하|마이너스)\s*(?=[$¥€£]?[0-9])"), " minus "),
    (re.compile(rf"(?<=[{_WIDE}])(?=[-+]?[$¥€£]?[0-9A-Za-z])|(?<=[A-Za-z])(?=[{_WIDE}])"), " "),
]

_FRACTION: Final = r"\\[dtc]?frac\s*(?:\{\s*(-?)\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))"
# In this order. Each comes with a text without which its pattern can't match: finding that out costs next to
# nothing, and most replies have none of them.
_RULES: Final = [
    (trigger, re.compile(pattern), plain)
    for trigger, pattern, plain in (
        ("<", r"</?[a-zA-Z][^<>]*>", " "),
        (">", r"[-=]>", " "),
        # LaTeX and brackets ignore the space after a sign.
        ("- ", r"(?<=[$(\[{])\s?-\s{1,3}(?=[0-9.$\\])", "-"),
        ("*", r"(?<![\w)*])\*{1,3}(?=[^\s*])|(?<=[^\s*])\*{1,3}(?![\w(*])", ""),
        ("_", r"(?<!\w)_{1,3}(?=[^\s_])|(?<=[^\s_])_{1,3}(?!\w)", ""),
        ("`", r"`+", ""),
        ("~", r"(?<=-)~+", ""),
        ("~", r"~", " "),
        ("{,}", r"\{,\}", ","),
        (",\\!", r",\\!", ","),
        ("\\", r"\\[,;:! ]", "\N{THIN SPACE}"),
        ("- ", r"(?:(?<=[^\n]-)|(?<=\A-)) {1,3}(?=\\[dtc]?frac)", ""),
        ("-\\", rf"(?<=-){_FRACTION}", r"\1\2\3/\4\5 "),
        ("\\", _FRACTION, r" \1\2\3/\4\5 "),
        ("\\", r"\^?\{?\\(?:circ|degree)\b\}?", "°"),
        ("\\", r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}", r" \1"),
        ("{-}", r"\{-\}", "-"),
        ("\\", r"\\(?:times|cdot)\b", "×"),
        (
            "\\",
            r"\\(?:left|right|q?quad|approx|displaystyle|therefore|implies|(?:long|Long)?[rR]ightarrow)\b"
            r"|\\[()\[\]]",
            " ",
        ),
        ("\\", r"\\([$%€£&#])", r"\1"),
        # A pair of dollars is LaTeX's, a single one is money.
        ("$", r"\$\$([^$]*)\$\$|(?<!\$)\$([^$]+)\$(?!\$)", r" \1\2 "),
    )
]


_TAGS: Final = re.compile(
    r"\\(?:text|textbf|textrm|mathrm|mathbf|mbox)\s*(?=\{)|</?[a-zA-Z][^<>]*>|\*\*+|(?<!\w)__|__(?!\w)"
)


def without_tags(text: str) -> str:
    """The text without tags, emphasis and LaTeX's commands for text; braces stay."""
    return _TAGS.sub("", text)


def plain(text: str) -> str:
    """The text without markup, with one minus sign."""
    if "&" in text:
        from html import unescape  # not at the top: few texts need it

        text = unescape(text)
    if not text.isascii():
        text = text.translate(_SIGNS)
        for wide, replacement in _WIDE_RULES:
            text = wide.sub(replacement, text)
    for trigger, pattern, replacement in _RULES:
        if trigger in text:
            text = pattern.sub(replacement, text)
    return text
