"""Docstrings in three styles; the reader is held to griffe's over what is installed here."""

import ast
import importlib.util
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import griffe
import pytest

from executionkit.tools._docstring import Docstring, read

GOOGLE = """The price.

    More words.

    Args:
        item: Its name, as printed
            on the menu.
        currency (Literal["EUR", "USD"], optional): The currency.

            Another paragraph.
        **others: More.

    Returns:
        x: Not a parameter.
"""
NUMPY = """The price.

    More words.

    Parameters
    ----------
    item, name : str
        Its name,
        as printed.
    currency : {'EUR', 'USD'}, default: 'EUR'
    *others
        More.

    Returns
    -------
    x : float
        Not a parameter.
"""
SPHINX = """The price.

    More words.

    :param str item: Its name,
        as printed.
    :param currency: The currency.
    :type currency: str
    :returns: Not a parameter.
"""


@pytest.mark.parametrize(
    ("docstring", "parameters"),
    [
        (
            GOOGLE,
            {
                "item": "Its name, as printed on the menu.",
                "currency": "The currency. Another paragraph.",
                "others": "More.",
            },
        ),
        (
            NUMPY,
            {
                "item": "Its name, as printed.",
                "name": "Its name, as printed.",
                "currency": "",
                "others": "More.",
            },
        ),
        (SPHINX, {"item": "Its name, as printed.", "currency": "The currency."}),
    ],
)
def test_each_style_is_read(docstring: str, parameters: dict[str, str]) -> None:
    assert read(docstring) == Docstring("The price.\n\nMore words.", parameters)


@pytest.mark.parametrize("docstring", [None, "", "The price.", "These are the Args:\nnone of them.", "Args:"])
def test_prose_is_a_description(docstring: str | None) -> None:
    assert read(docstring) == Docstring(docstring or "", {})


Style = Literal["google", "numpy", "sphinx"]

STYLES: dict[Style, re.Pattern[str]] = {
    "google": re.compile(r"^(Args|Arguments|Parameters):\s*$", re.MULTILINE),
    "numpy": re.compile(r"^Parameters\s*\n-{3,}", re.MULTILINE),
    "sphinx": re.compile(r"^:param ", re.MULTILINE),
}


_MAY_DESCRIBE = re.compile(r"^ *(:param |Args:|Arguments:|Parameters)", re.MULTILINE)


def docstrings() -> Iterator[tuple[Style, str, set[str]]]:
    """The docstrings of installed functions that are of exactly one style, with the names of parameters."""
    for package in ("anyio", "_pytest", "pydantic", "hypothesis"):
        home = importlib.util.find_spec(package)
        assert home is not None
        for path in Path(home.origin or "").parent.rglob("*.py"):
            source = path.read_text(encoding="utf-8")
            if not _MAY_DESCRIBE.search(source):  # to parse all of them takes seconds
                continue
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and (
                    text := ast.get_docstring(node)
                ):
                    styles = [name for name, mark in STYLES.items() if mark.search(text)]
                    names = {inner.arg for inner in ast.walk(node.args) if isinstance(inner, ast.arg)}
                    if len(styles) == 1:
                        yield styles[0], text, names


def test_we_read_what_griffe_reads() -> None:
    logging.getLogger("griffe").setLevel(logging.CRITICAL)
    read_alike, in_all = 0, 0
    for style, text, names in docstrings():
        sections = griffe.Docstring(text).parse(style)
        described = [
            item for section in sections if "parameters" in section.kind.value for item in section.value
        ]
        theirs = {item.name.lstrip("*\\"): " ".join(item.description.split()) for item in described}
        ours = {name: " ".join(said.split()) for name, said in read(text).parameters.items()}
        in_all += 1
        # griffe takes later paragraphs into the last field.
        read_alike += all(theirs.get(name, "").startswith(ours.get(name, "")) for name in names) and not (
            names & theirs.keys() - ours.keys()
        )
    assert in_all > 300, in_all
    assert read_alike / in_all > 0.99, (read_alike, in_all)
