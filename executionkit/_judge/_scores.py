"""Reading the score in a judge's reply: a number that is certainly the score, or none."""

import re
from collections.abc import Iterator, Mapping
from itertools import accumulate, pairwise
from typing import Any, Final

from executionkit._corrections import is_taken_back
from executionkit._judge._replies import json_object, reasons_in_json, spoken
from executionkit._judge._shapes import plain_text, shapes_of_scores
from executionkit._suppositions import is_supposed
from executionkit.types import Evaluation


def read_verdict(reply: str, cut_off: bool = False) -> Evaluation | None:  # noqa: FBT001, FBT002 - of a pair
    """Read a judge's score and its reasons; None unless the score is certain."""
    score = read_score(reply, cut_off=cut_off)
    return None if score is None else Evaluation(score, reasons_of(reply))


def read_score(reply: str, *, cut_off: bool = False) -> float | None:
    """Read a score from 0 to 10 out of a judge's reply, as a number in [0, 1]; None unless it is certain.

    These are looked for in this order, and the first kind that is there decides:

    1. a JSON object with a "score";
    2. a reply of nothing but the score: "8", "8.5/10", "[[8]]", "0.8 (on a scale from 0 to 1)";
    3. a line of nothing but a final score: "Overall: 8/10", "<score>8</score>";
    4. a line of nothing but a score: "Score: <8>", "Rating (0-10): 8", "评分：8";
    5. a score that more follows ("Score: 8 - well written"), and a share of ten that the judge gives itself:
       "8/10.", "I'd give it 8/10". A share that is merely told of ("9 out of 10 people") is no score.

    If several of a kind differ, no score is certain. The last kind doesn't count in a reply that was cut off,
    since it may be about a part of the answer.
    """
    text = spoken(reply)
    if cut_off and text.endswith("1"):
        return None  # within the number, perhaps: the 1 of a 10
    found = json_object(reply)
    if found is not None and (stated := _scores_in(found)):
        return _agreed(stated)
    text = plain_text(text)
    if whole := shapes_of_scores().bare.fullmatch(text):
        return _value(whole)
    lines = text.split("\n")
    for scores, end in _lines_of_score(text, lines):
        if scores:
            is_doubtful = _is_taken_back(text[end:]) or _has_another(text[end:], scores)
            return None if is_doubtful else _agreed(scores)
    return None if cut_off else _agreed([score for line in lines for score in _in_prose(line)])


def reasons_of(reply: str) -> str:
    """The text of a judge's reply without its score."""
    reasons = reasons_in_json(reply)
    if reasons is not None:
        return reasons
    found = json_object(reply)
    text = spoken(reply)
    if (found is not None and _scores_in(found)) or shapes_of_scores().bare.fullmatch(plain_text(text)):
        return ""
    return "\n".join(line for line in text.split("\n") if not _is_score(plain_text(line))).strip()


def _is_score(line: str) -> bool:
    shapes = shapes_of_scores()
    match = shapes.line.fullmatch(line)
    return (match is not None and _is_label(match)) or shapes.tag.fullmatch(line) is not None


# -- numbers -----------------------------------------------------------------------------------------------


def _agreed(scores: list[float | None]) -> float | None:
    """The one score; None where there is none, or where they differ."""
    return scores[0] if len(set(scores)) == 1 else None


def _value(match: re.Match[str]) -> float | None:
    """The score that a match of a shape means."""
    groups = match.groupdict()
    low, high = groups.get("low"), groups.get("high")
    if low is None or high is None:
        low, high = groups.get("label_low") or "0", groups.get("label_high") or "10"
    return _on_scale(float(groups["number"]), float(low), float(high))


def _on_scale(number: float, low: float, high: float) -> float | None:
    """A number on a scale as a share of it; None where the scale is not certain, or the number not on it."""
    # 8 on a scale from 1 to 10 is what 8 of 10 is.
    is_known = low == 0 or (low, high) == (1, 10)
    return number / high if is_known and 0 <= number <= high and high > 0 else None


def _is_label(match: re.Match[str]) -> bool:
    """Whether the label of a match is enough: some need a share of ten after them."""
    return not match["doubtful"] or bool(match["ten"])


def _scores_in(found: Mapping[str, Any]) -> list[float | None]:
    """The scores that an object states, final ones before others; None for one that can't be read."""
    final: list[float | None] = []
    others: list[float | None] = []
    for name, value in found.items():
        label = shapes_of_scores().key.fullmatch(plain_text(name.replace("_", " ")))
        if label and not label["doubtful"]:
            (final if label["final"] or label["overall"] else others).append(_stated(value, label))
    scores = final or others
    is_other_scale = any(_LIMIT.fullmatch(name) and value not in (10, "10") for name, value in found.items())
    return [None for _ in scores] if is_other_scale else scores


_LIMIT: Final = re.compile(
    r"(?:max(?:imum)?|out|best|scale)(?:[_ -]?(?:score|rating|of|max|possible))*", re.IGNORECASE
)


def _stated(value: object, label: re.Match[str]) -> float | None:
    if isinstance(value, str):
        whole = shapes_of_scores().bare.fullmatch(plain_text(value))
        return _value(whole) if whole else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return _on_scale(value, float(label["label_low"] or 0), float(label["label_high"] or 10))


# -- lines and prose ---------------------------------------------------------------------------------------


def _lines_of_score(text: str, lines: list[str]) -> Iterator[tuple[list[float | None], int]]:
    """The scores that have a line of their own, and where the last ends: final ones, then others."""
    shapes = shapes_of_scores()
    ends = [*accumulate(len(line) + 1 for line in lines)]
    placed = [
        *zip(lines, ends, strict=True),
        *(
            (f"{one} {two}", end)
            for (one, two), end in zip(pairwise(lines), ends[1:], strict=True)
            if shapes.heading.fullmatch(one) and shapes.bare.fullmatch(two)
        ),
    ]
    found = [(match, end) for line, end in placed for match in [shapes.line.fullmatch(line)] if match]
    final: list[tuple[float | None, int]] = []
    others: list[tuple[float | None, int]] = []
    for match, end in found:
        if _is_label(match):
            is_final = match["final"] or match["overall"] or match["doubtful"]
            (final if is_final else others).append((_value(match), end))
    final += [(_value(match), match.end()) for match in shapes.tag.finditer(text)]
    final += [(_value(match), len(text)) for match in [shapes.boxed.fullmatch(lines[-1])] if match]
    for scores in (final, others):
        yield [score for score, _ in scores], max((end for _, end in scores), default=0)


def _has_another(after: str, scores: list[float | None]) -> bool:
    """Whether the text after the lines of a score gives another one within a line."""
    labelled = shapes_of_scores().labelled
    found = (match for line in after.split("\n") for match in labelled.finditer(line))
    return any(match["final"] is None and _is_label(match) and _value(match) not in scores for match in found)


def _is_taken_back(after: str) -> bool:
    return is_taken_back(after, lambda piece: re.search(r"\d", piece) is not None)


def _in_prose(line: str) -> Iterator[float | None]:
    """The scores that a line of prose gives, with None where something beside one makes it doubtful."""
    shapes = shapes_of_scores()
    labelled = [match for match in shapes.labelled.finditer(line) if _is_label(match)]
    given = [*labelled, *shapes.member.finditer(line), *shapes.verdict.finditer(line)]
    if not given:
        return
    yield from (None if is_supposed(line, *match.span("number")) else _value(match) for match in given)
    if _is_taken_back(line[max(match.end() for match in given) :]):
        yield None
    # Another share in the same line, or a score for a part and a number for another.
    yield from map(_value, shapes.share.finditer(line))
    for match in given:
        rest = line[match.end() :]
        if re.match(r" ?(?:for|on|in) ", rest) and re.search(r"\d", rest):
            yield None
