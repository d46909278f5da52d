"""Docstrings in the styles of Google, NumPy and Sphinx: what they say of a function and its parameters."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple


class Docstring(NamedTuple):
    """The parts of a docstring that a tool needs.

    Attributes:
        description: The text up to the first section.
        parameters: The text of each parameter, by its name.
    """

    description: str
    parameters: dict[str, str]


_PARAMETERS: Final = {
    *("args", "arguments", "params", "parameters", "other parameters", "other args"),
    *("keyword args", "keyword arguments"),
}
_SECTIONS: Final = _PARAMETERS | {
    *("attributes", "returns", "return", "yields", "yield", "receives", "raises", "raise", "exceptions"),
    *("warns", "warnings", "warning", "note", "notes", "example", "examples", "see also", "references"),
    *("todo", "methods", "functions", "classes", "modules", "deprecated"),
}
_GOOGLE_ITEM: Final = re.compile(r"(\*{0,2}\w+)\s*(?:\(.*?\)\s*)?:(?:\s+(.*)|$)")
_NUMPY_ITEM: Final = re.compile(r"([*\w]+(?:\s*,\s*[*\w]+)*)\s*(?::.*)?$")
_FIELD: Final = re.compile(r":(\w+)(?:\s+([^:]+?))?\s*:(?:\s+(.*)|$)")


def read(docstring: str | None) -> Docstring:
    """Read a docstring; sections of all three styles may stand in it."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    parameters: dict[str, str] = {}
    end = len(lines)
    for start, items in _sections(lines):
        end = min(end, start)
        for name, text in items:
            parameters.setdefault(name, text)
    return Docstring("\n".join(lines[:end]).strip(), parameters)


def _sections(lines: list[str]) -> Iterator[tuple[int, Iterable[tuple[str, str]]]]:
    """The line where each section begins, and the parameters that it describes."""
    for number, line in enumerate(lines):
        title, following = line.strip().lower(), "\n".join(lines[number + 1 : number + 2])
        if re.fullmatch(r"\s*-{3,}\s*", following) and title in _SECTIONS:
            body = lines[number + 2 : _numpy_end(lines, number + 2)]
            yield number, _numpy(body) if title in _PARAMETERS else ()
        elif line[:1] == ":" and (field := _FIELD.match(line)):
            yield number, _sphinx(field, _unfielded(lines, number + 1))
        elif title[-1:] == ":" and title[:-1].rstrip() in _SECTIONS and not line[0].isspace():
            body = _indented(lines, number + 1)
            if body:  # else it is prose that ends in a colon
                yield number, _google(body) if title[:-1].rstrip() in _PARAMETERS else ()


def _indented(lines: list[str], start: int) -> list[str]:
    """The lines from `start` on that are indented or blank, without blank ones at either end."""
    end = start
    while end < len(lines) and (not lines[end].strip() or lines[end][0].isspace()):
        end += 1
    return inspect.cleandoc("\n" + "\n".join(lines[start:end])).splitlines()


def _unfielded(lines: list[str], start: int) -> list[str]:
    """The rest of a field: its paragraph, whatever its indentation, and indented paragraphs after it."""
    end = start
    while end < len(lines) and lines[end].strip() and lines[end][0] != ":":
        end += 1
    return [*lines[start:end], *_indented(lines, end)]


def _numpy_end(lines: list[str], start: int) -> int:
    for number in range(start, len(lines) - 1):
        if lines[number].strip() and re.fullmatch(r"[-=]{3,}\s*", lines[number + 1]):
            return number
    return len(lines)


def _google(body: list[str]) -> Iterator[tuple[str, str]]:
    return _items(body, _GOOGLE_ITEM)


def _numpy(body: list[str]) -> Iterator[tuple[str, str]]:
    for names, text in _items(inspect.cleandoc("\n" + "\n".join(body)).splitlines(), _NUMPY_ITEM):
        for name in names.split(","):
            yield name.strip().lstrip("*"), text


def _sphinx(field: re.Match[str], body: list[str]) -> Iterator[tuple[str, str]]:
    kind, subject, text = field.groups(default="")
    if kind in ("param", "parameter", "arg", "argument", "key", "keyword", "kwarg") and subject:
        yield subject.split()[-1].lstrip("*").replace("\\*", ""), _joined([text, *body])


def _items(body: list[str], item: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Each item that begins at the left edge, with the text on its line and on the indented ones after it."""
    name, texts = "", list[str]()
    for line in [*body, "end"]:
        if not line.strip() or line[0].isspace():
            texts.append(line)
            continue
        if name:
            yield name.lstrip("*"), _joined(texts)
        found = item.match(line)
        name, texts = (found[1], [found[2] or ""] if item.groups > 1 else []) if found else ("", [])


def _joined(lines: Iterable[str]) -> str:
    return " ".join(stripped for line in lines if (stripped := line.strip()))
