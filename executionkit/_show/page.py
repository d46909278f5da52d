"""A log as one page of HTML, which needs no script and no network."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html import escape
from typing import Final

from executionkit._show.figures import Figures, mapping, number
from executionkit._show.log import Facts, Log, Span
from executionkit._show.rows import Row, rows_of
from executionkit._show.style import STYLE
from executionkit._show.tree import cells, complaints, over_all, summary
from executionkit._version import __version__

_HEAD: Final = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
<main class="{kind}">
"""
_FIGURES: Final = ("", "calls", "in", "out", "")
"""The words after the figures where the head of the table has no room."""
_MANY: Final = 400
"""With more rows than this, the runs inside others begin folded."""

# What would change how the text around it is shown.
_UNSEEN: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def page(log: Log, name: str) -> Iterator[str]:
    """The pieces of the page."""
    rows = rows_of(log)
    has_dollars = any(row.figures.usd is not None for row in rows)
    yield _HEAD.format(title=_text(name), style=STYLE, kind="" if has_dollars else "free")
    yield f"<h1>{_text(name)}</h1>\n"
    yield f'<p class="soft">{_text(summary(log, rows, "").removeprefix(": "))}</p>\n'
    yield from _tiles(over_all(log))
    yield from (f'<p class="note">{_text(complaint)}</p>\n' for complaint in complaints(log))
    if rows:
        names = ("", "when", "time", "calls", "input", "output", "dollars")
        yield '<div class="row head">' + "".join(f"<span>{each}</span>" for each in names) + "</div>\n"
    anchors = {key: f"s{number}" for number, key in enumerate(log.spans)}
    drawing = _Drawing(anchors, log.latest, is_long=len(log.spans) > _MANY)
    for row in rows:
        yield from drawing.row(row, row.span, 0)
    yield f"<footer>Drawn by ExecutionKit {__version__}</footer>\n</main>\n</html>\n"


def _tiles(figures: Figures) -> Iterator[str]:
    names = ("time", "calls", "input tokens", "output tokens", "dollars")
    yield "<dl>\n"
    for name, cell in zip(names, cells(figures), strict=True):
        if cell:
            yield f"<div><dt>{name}</dt><dd>{cell}</dd></div>\n"
    yield "</dl>\n"


class _Drawing:
    def __init__(self, anchors: dict[str, str], latest: float | None, *, is_long: bool) -> None:
        self._anchors = anchors
        self._latest = latest
        self._is_long = is_long

    def row(self, row: Row, root: Span, depth: int) -> Iterator[str]:
        """A row, what is said of it, and the rows inside it."""
        span = row.span
        kind = span.kind if span.kind in ("run", "call", "tool") else "run"
        is_open = not depth or (not self._is_long and (kind == "run" or bool(row.rows)))
        is_open = is_open or any(note.tone == "error" for note in row.notes)
        anchor = self._anchors.get(str(mapping(span.facts).get("id")), "")
        named = f' id="{anchor}"' if anchor else ""
        yield f'<details class="{kind}" style="--in:{min(depth, 12)}"{named}{" open" if is_open else ""}>\n'
        yield f'<summary class="row"><span class="name"><b>{_text(row.label)}</b>{_tags(row)}</span>'
        yield self._bar(row, root)
        for cell, title in zip(cells(row.figures), _FIGURES, strict=True):
            yield f'<span class="n" data-of="{title}">{cell}</span>'
        yield '</summary>\n<div class="more">\n'
        for note in row.notes:
            tone = {"error": "bad", "retry": "warn", "open": "warn", "plain": ""}[note.tone]
            yield f'<p class="{tone}">{_text(note.text)}</p>\n'
        yield f'<p class="soft">{_text(_circumstances(span))}</p>\n'
        yield from self._content(span)
        yield "</div>\n"
        for inner in row.rows:
            yield from self.row(inner, root, depth + 1)
        yield "</details>\n"

    def _bar(self, row: Row, root: Span) -> str:
        """When it happened, within the outermost run."""
        begun, end = root.began, _ended(root, self._latest)
        if begun is None or end is None or row.span.began is None or end <= begun:
            return '<span class="bar"></span>'
        until = _ended(row.span, self._latest) or end
        left = min(100.0, max(0.0, (row.span.began - begun) / (end - begun) * 100))
        width = min(100.0 - left, max(0.0, (until - row.span.began) / (end - begun) * 100))
        is_open = ' class="open"' if row.span.end is None else ""
        place = f"left:min({left:.2f}%,100% - 2px);width:{width:.2f}%"
        return f'<span class="bar"><i{is_open} style="{place}"></i></span>'

    def _content(self, span: Span) -> Iterator[str]:
        said: list[str] = []
        like = mapping(span.facts.get("like"))
        shared = number(like.get("messages"))
        if shared is not None:
            anchor = self._anchors.get(str(like.get("call")))
            call = f'<a href="#{anchor}">an earlier call</a>' if anchor else "an earlier call"
            first = "message is that" if shared == 1 else f"{shared:,.0f} messages are those"
            said.append(f'<p class="soft">The first {first} of {call}.</p>\n')
        end = span.end or {}
        said += [_said(message) for message in _list(span.facts.get("conversation"))]
        said += [_said(end["reply"])] if "reply" in end else []
        said += [_said(message) for message in _list(end.get("alternatives"))]
        if span.kind == "tool":
            parts = (("arguments", span.facts.get("arguments")), ("observation", end.get("text")))
            said += [_block(name, text) for name, text in parts if isinstance(text, str)]
        if said:
            yield "<details><summary>texts</summary>\n"
            yield from said
            yield "</details>\n"


def _ended(span: Span, latest: float | None) -> float | None:
    lasted = number((span.end or {}).get("seconds"))
    return latest if span.began is None or lasted is None else span.began + lasted


def _tags(row: Row) -> str:
    retries = sum(event["event"] == "retry" for event in row.span.events)
    tags = [("warn", f"{retries} retr{'y' if retries == 1 else 'ies'}")] if retries else []
    if row.state != "done":
        tags.append(("bad" if row.state == "failed" else "warn", row.state))
    return "".join(f'<span class="tag {tone}">{text}</span>' for tone, text in tags)


def _circumstances(span: Span) -> str:
    facts = span.facts
    found: list[str] = []
    if span.began is not None:
        found.append(datetime.fromtimestamp(span.began, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + " UTC")
    around = {} if span.parent is None else span.parent.facts
    where = [(facts.get(name), around.get(name)) for name in ("model", "base_url")]
    found += [here for here, there in where if isinstance(here, str) and here != there]
    found += [_counted(facts, name) for name in ("message", "tool") if number(facts.get(f"{name}s"))]
    options = {name: facts.get(name) for name in ("temperature", "max_tokens")} | mapping(
        facts.get("options")
    )
    found += [f"{name} {value:g}" for name, given in options.items() if (value := number(given)) is not None]
    limits = [
        f"{name} {_limit(value)}" for name, value in mapping(facts.get("max_cost")).items() if _limit(value)
    ]
    if limits:
        found.append(f"at most {', '.join(limits)}")
    if isinstance(request := (span.end or {}).get("request_id"), str):
        found.append(f"request {request}")
    return " · ".join(found)


def _counted(facts: Facts, name: str) -> str:
    count = number(facts.get(f"{name}s")) or 0
    return f"{count:,.0f} {name}{'' if count == 1 else 's'}"


def _limit(value: object) -> str:
    count = number(value)
    return value[:40] if isinstance(value, str) else f"{count:,.0f}" if count else ""


def _list(value: object) -> list[Facts]:
    return [mapping(item) for item in value] if isinstance(value, list) else []


def _said(message: object) -> str:
    found = mapping(message)
    role = found.get("role")
    pieces = (
        [_block(role if isinstance(role, str) else "?", text)] if (text := _string(found, "text")) else []
    )
    pieces += [_block(name, text) for name in ("reasoning", "refusal") if (text := _string(found, name))]
    for call in _list(found.get("tool_calls")):
        pieces.append(_block(f"asks for {_string(call, 'name')}", _string(call, "arguments")))
    return "".join(pieces)


def _string(facts: Facts, name: str) -> str:
    value = facts.get(name)
    return value if isinstance(value, str) else ""


def _block(name: str, text: str) -> str:
    return f'<div class="said"><span>{_text(name)}</span><pre>{_text(text)}</pre></div>\n'


def _text(text: str) -> str:
    return escape(_UNSEEN.sub("\ufffd", text))
