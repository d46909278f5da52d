"""Telling how far the JSON goes that begins somewhere in a text."""

import re
from typing import Final

# The grammar of JSON, with no two ways to match a text: a failed match costs no more than its length.
_BLANK: Final = r"[ \t\n\r]*"
_PLAIN: Final = r'[^"\\\x00-\x1f]*'
_STRING: Final = rf'"{_PLAIN}(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{{4}}){_PLAIN})*"'
_KEY: Final = rf"{_STRING}{_BLANK}:{_BLANK}"
_SCALAR: Final = re.compile(
    rf"{_STRING}|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|true|false|null"
)
# After an opening bracket, and after an item: up to the next value, or (group 1) over the closing bracket.
_FIRST: Final = {
    "{": re.compile(rf"{_BLANK}(?:{_KEY}|(\}}))"),
    "[": re.compile(rf"{_BLANK}(\])?"),
}
_NEXT: Final = {
    "{": re.compile(rf"{_BLANK}(?:,{_BLANK}{_KEY}|(\}}))"),
    "[": re.compile(rf"{_BLANK}(?:,{_BLANK}|(\]))"),
}


def recognise(text: str, start: int, ends: dict[int, int]) -> None:
    """Find where the object or array that begins at `start` ends, and every one inside it.

    `ends` takes the end of each, 0 for those that are not JSON. Whether the text from a bracket on is JSON
    does not depend on what is around it, so nothing need be searched from a bracket in `ends` again. The
    searches still to come begin at brackets that this one holds to be within strings; they take for
    strings what lies between this one's, so no character is read more than twice, and a reply takes time
    in proportion to its length. There is no recursion: replies nest as deep as they like.
    """
    inside: list[int] = []  # where the containers begin that we are in
    at = start
    while True:
        # A value begins at `at`.
        char = text[at : at + 1]
        if char in _FIRST:
            inside.append(at)
            step = _FIRST[char].match(text, at + 1)
        else:
            scalar = _SCALAR.match(text, at)
            step = scalar and _NEXT[text[inside[-1]]].match(text, scalar.end())
        # Leave the containers that close here.
        while step and step[1]:
            at = step.end()
            ends[inside.pop()] = at
            if not inside:
                return
            step = _NEXT[text[inside[-1]]].match(text, at)
        if not step:
            ends.update(dict.fromkeys(inside, 0))
            return
        at = step.end()
