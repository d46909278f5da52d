"""Mending JSON: what counts as a slip, and what must never be guessed."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executionkit import LLMResponse
from executionkit._output import UnfitError
from executionkit.patterns._structured_mending import MAX_DEPTH, mend
from executionkit.patterns._structured_reply import read_json

MENDED: list[tuple[str, Any]] = [
    # Commas.
    ('{"a": [1, 2,],}', {"a": [1, 2]}),
    ('{"a": 1\n"b": 2}', {"a": 1, "b": 2}),
    ('{"a": "x" "b": [] "c": {}}', {"a": "x", "b": [], "c": {}}),
    ('[{"a": 1} {"b": 2}\n[3]]', [{"a": 1}, {"b": 2}, [3]]),
    # Quotes.
    ("{'a': 'x', 'b': \"it's\"}", {"a": "x", "b": "it's"}),
    ("{'a': 'it's fine', 'b': 'say \"hi\"'}", {"a": "it's fine", "b": 'say "hi"'}),
    ("['don't', 'O'Brien',]", ["don't", "O'Brien"]),
    ("{“a”: “x”, “b”: ‘it’s’}", {"a": "x", "b": "it’s"}),
    ('{"a": "He said "no", twice", "b": 2}', {"a": 'He said "no", twice', "b": 2}),
    ('["say "hi"", ""x" it is", "(so "called")"]', ['say "hi"', '"x" it is', '(so "called")']),
    ("{a: 'x', $b: 1, c-d: 2, 3: 4}", {"a": "x", "$b": 1, "c-d": 2, "3": 4}),
    # Values.
    ("{'b': True, 'c': None, 'd': FALSE, 'e': Null}", {"b": True, "c": None, "d": False, "e": None}),
    ('{"a": +5, "b": .5, "c": -.5, "d": +1.5e3}', {"a": 5, "b": 0.5, "c": -0.5, "d": 1500.0}),
    ('{"status": active, "list": [red, Grün]}', {"status": "active", "list": ["red", "Grün"]}),
    ('{"a": -1.5, "b": "10 %, -$5, 3-4, tru, 1 234",}', {"a": -1.5, "b": "10 %, -$5, 3-4, tru, 1 234"}),
    ("[100, 200,0,100,]", [100, 200, 0, 100]),
    ("[1.5,100,1000,]", [1.5, 100, 1000]),
    # Comments.
    ('{"a": 1, // the first\n /* and */ "b": "http://x//y"}', {"a": 1, "b": "http://x//y"}),
    ('{"a": +5, /* at least - or ~ */ "b": truth}', {"a": 5, "b": "truth"}),
    ('{"a": "x" // the last\n}', {"a": "x"}),
    ('{"a": "/* not */ // one",}', {"a": "/* not */ // one"}),
    # Brackets.
    ('{"a": {"b": [1, 2}', {"a": {"b": [1, 2]}}),
    ('{"a": [1, 2], "b": "x"', {"a": [1, 2], "b": "x"}),
    ('[{"a": 1, "b": 2}, {"a": 3, "b": 4}', [{"a": 1, "b": 2}, {"a": 3, "b": 4}]),
    ('{"items": [{"a": 1, "b": 2}]', {"items": [{"a": 1, "b": 2}]}),
    ('{"a": 1,}}', {"a": 1}),
    # Escapes and what is no escape.
    ('{"a": "one\ntwo\tthree",}', {"a": "one\ntwo\tthree"}),
    (r'{"a": 12.50, "b": "caf\u00e9 \"3.10\" \/",}', {"a": 12.5, "b": 'café "3.10" /'}),
    (r'{"a": "\ud83d\ude00",}', {"a": "\U0001f600"}),
    (r'{"a": "one line\nline two\n\n- x",}', {"a": "one line\nline two\n\n- x"}),
    (r'{"a": "def f():\n\treturn 1\r\n",}', {"a": "def f():\n\treturn 1\r\n"}),
    (r'{"a": "it\'s", "b": "C:\\new\\table",}', {"a": "it's", "b": r"C:\new\table"}),
    (r'{"a": "C:\Windows\System32", "b": "^\d+\s\w$"}', {"a": r"C:\Windows\System32", "b": r"^\d+\s\w$"}),
    (r'{"a": "\alpha + \xi \leq \upsilon"}', {"a": r"\alpha + \xi \leq \upsilon"}),
    # Marks of thoughts in a string are text.
    ('{"a": "<think>no</think> yes",}', {"a": "<think>no</think> yes"}),
    ('{"a": 1,}\n<think>is it {b}?</think>', {"a": 1}),
    # Prose after it.
    ('{"a": 1,}\nHope this "helps"!', {"a": 1}),
]


@pytest.mark.parametrize(("broken", "value"), MENDED, ids=[broken for broken, _ in MENDED])
def test_slips_are_mended(broken: str, value: object) -> None:
    assert json.dumps(mend(broken)) == json.dumps(value)  # true is not 1, and the names keep their order


REFUSED = [
    # A comment, or the end of a string.
    '["end" // x"\n, 5,]',
    # Something is missing.
    '{"items": [{"a": 1}, ...]}',
    '{"items": [1, 2, …]}',
    '{"items": [1, 2, etc]}',
    '{"a": [1, 2 // ... and so on\n]}',
    '{"a": [1, /* the rest is similar */ 2]}',
    '{"a": }',
    '{"a":, "b": 1}',
    '{"a": 1, , "b": 2}',
    "[,1]",
    "[1,,2]",
    '{"a"}',
    '{"a": tru}',
    '{"a": [Fals], "b": 1}',
    "[nullnull]",
    '{"a": nul,}',
    '{"a": 12',
    '{"a": activ',
    '{"a": 1,',
    '{"a": "x',
    '{"a": [1, 2,',
    '{"a": [',
    '{"a": /* x',
    # A value in a notation of its own.
    '{"a": NaN}',
    '{"a": -Infinity}',
    '{"a": undefined}',
    '{"a": 1e999,}',
    '{"a": yes}',
    '{"a": no,}',
    '{"a": 5 apples}',
    '{"a": New York}',
    '{"a": "b" "c"}',
    '{"a": "b" + "c"}',
    '{"a": 10%,}',
    '{"a": $5,}',
    '{"a": 5 €,}',
    '{"a": ~5,}',
    '{"a": <5,}',
    '{"a": 1/2}',
    '{"a": 7 // 2\n}',
    '{"a": 7//2\n}',
    '{"a": --5}',
    '{"a": 007}',
    '{"a": 0x1F}',
    '{"a": 1.5.2}',
    '{"a": 1.}',
    '{"a": 2024-01-02}',
    '{"a": 12:30}',
    '{"a": datetime(2024)}',
    '{"a": Color.RED}',
    '{"a": (1, 2)}',
    '{"x", "y"}',
    "{True: 1}",
    # Grouped digits.
    '{"n": [1 234, 5 678]}',
    '{"n": 1,234}',
    '{"n": 1_000}',
    "{\"n\": 1'234, 'm': 2'345}",
    '{"n": [1,234, 5,678],}',
    '{"n": [1,234,567],}',
    "[255,128,0,]",
    '{"n": 1,000.50}',
    # The same name twice.
    '{"a": 1, "a": 2,}',
    "{'a': 1, \"a\": 2}",
    r'{"a": 1, "\u0061": 2,}',
    '{"a": {"b": 1, "b": 2},}',
    # Brackets.
    '{"a": {"b": 1, "c": 2}',
    '{"a": {"b": 1, "c": 2',
    '{"a": [{"b": 1, "c": 2',
    '{"a": {"b": 1}, "c": {"d": 2, "e": 3}',
    "[[1, 2, [3, 4]]",
    '[{"a": 1, {"a": 2}]',
    '{"a": [1, 2, "b": 3}',
    '{"a": [1, 2}, "c": 3}',
    '{"a": {"b": 1}}, "c": 2}',
    '{"a": {"b": {}}, "c": 1,}}',
    '[{"a": 1}}, {"b": 2}]',
    '{"l": [{"a": 1}}, {"b": 2}]}',
    '{"a": [1, 2], 3]',
    "[1, 2]]",
    "[{]",
    '{"a": [}',
    '{"a": [1, 2,}',
    "[1, 2], 3]",
    '{"a": 1} {"b": 2,}',
    '{"a": 1,}, {"b": 2}',
    "[" * 5000,
    "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1),
    '[["a"]',
    '[{"a": 1} {"a": 2}\n\n[DONE]',
    # A string that may end elsewhere.
    '[{"a": ""b""}]',
    r'{"a": "C:\", "b": ["x"',
    '{"a": ½}',
    '{"a": "x"y"}',
    '{"a": "x, "b": "y"}',
    '{"a": "x, "b": 1, "c": y"}',
    '{"a": "the "b", "c": 1}',
    '{"a": "x", y", "b": 1}',
    '{"a": "5"", "b": 1}',
    '{"a": "x": "y"}',
    '{"a": """text"""}',
    '{"a": """\ntext\n"""}',
    "{'a': 'it''s'}",
    "{'a': 'the dogs' bone'}",
    "{'a': 'it's'}\n\nNote: {b: 2}",
    '{‘a": 1, "b’: 2}',
    '{"a": "x "quoted" is\n so "b"}',
    '{"a": "x" // note, "b": 2}',
    # Backslashes.
    r'{"a": "C:\Users\build\new\table.csv"}',
    r'{"a": "C:\Users", "b": "C:\new"}',
    r'{"a": "C:\new folder\notes",}',
    r'{"a": "D:\temp\x",}',
    r'{"a": "src\new",}',
    r'{"a": "\\server\share"}',
    r'{"a": "K_\beta",}',
    r'{"a": "\frac{1}{2}",}',
    r'{"a": "a \times b",}',
    r'{"a": "where \nu = 1",}',
    r'{"a": "\rho is one",}',
    r"{'a': 'x\r'}",
    r'{"a": "\x41"}',
    r'{"a": "snake\_case"}',
    r'{"a": "\0"}',
    r'{"a": "\ud83d",}',
    r'{"a": "\ude00\ud83d",}',
    r'{"a": "\u12"}',
]


@pytest.mark.parametrize("broken", REFUSED, ids=[broken[:40] for broken in REFUSED])
def test_what_is_not_certain_is_refused(broken: str) -> None:
    with pytest.raises(ValueError, match=r": line \d+ column \d+$"):
        mend(broken)


def test_the_reason_names_the_place() -> None:
    with pytest.raises(ValueError, match=r"^expected a value, got '%': line 2 column 7$"):
        mend('{"a": 1,\n "b": %}')


# -- random values with random slips -----------------------------------------------------------------------

# Words as they stand in answers. Quotes among them are those of quoted words, so that a person could tell
# what is meant: no reader can tell `"a", "b"` within a string from two strings.
WORDS = [
    *("", "a", "yes", "New York", "it's", 'say "hi" now', "1,234", "x: y", "a, b", "{x}", "[1]", "// no"),
    *(
        "C:\\Users\\new",
        "K_\\beta",
        "\\d+",
        "50%",
        "true",
        "None",
        "né",
        "\U0001f600",
        "a tab\there",
        "…",
        "#1",
    ),
    "a line\nand another",
]
some_texts = st.text(st.characters(exclude_characters="\"'“”‘’", exclude_categories=["Cs"]), max_size=6)
texts = st.sampled_from(WORDS) | some_texts
names = st.sampled_from(["a", "b", "name", "first name", "ü", "n1"])
scalars = st.none() | st.booleans() | st.integers(-3000, 3000) | st.sampled_from([0.5, -1.25, 1e30]) | texts
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=10,
)
objects = st.dictionaries(names, values, min_size=1, max_size=4)
containers = objects | st.lists(values, min_size=1, max_size=4)

_STRING = re.compile(r"""\"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'""", re.DOTALL)
_JSON_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)


def _structure(text: str, chars: str) -> list[int]:
    """Where these characters stand outside strings."""
    spans = [found.span() for found in _STRING.finditer(text)]
    return [
        place
        for place, char in enumerate(text)
        if char in chars and not any(start <= place < end for start, end in spans)
    ]


def _outside_strings(pattern: str, put: str, text: str) -> str:
    parts = re.split(f"({_STRING.pattern})", text, flags=re.DOTALL)
    return "".join(part if place % 2 else re.sub(pattern, put, part) for place, part in enumerate(parts))


@st.composite
def slipped(draw: st.DrawFn) -> tuple[Any, str]:
    value = draw(containers)
    layout: dict[str, Any] = draw(
        st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])
    )
    text = json.dumps(value, **layout)

    def any_of(places: list[int]) -> int | None:
        return draw(st.sampled_from(places)) if places else None

    # One part of the structure at most is lost: without a pair of brackets, `[[1]]` is `[1]`. Slips of quotes
    # come last, because `_structure` knows strings by their quotes.
    kinds = draw(st.sets(st.sampled_from(SLIPS), min_size=1, max_size=3))
    if len(kinds & LOSSES) > 1:
        kinds -= LOSSES
    if "repr" in kinds:
        kinds -= QUOTES
    if "single quotes" in kinds:
        kinds -= {"curly quotes"}
    for kind in sorted(kinds, key=SLIPS.index):
        if kind == "repr":
            text = repr(value)
        elif kind == "drop a bracket":
            place = any_of(_structure(text, "]}"))
            text = text if place is None else text[:place] + text[place + 1 :]
        elif kind == "drop an opening bracket":
            place = any_of(_structure(text, "[{")[1:])
            text = text if place is None else text[:place] + text[place + 1 :]
        elif kind == "swap a bracket":
            place = any_of(_structure(text, "]}"))
            if place is not None:
                text = text[:place] + "]}"[text[place] == "]"] + text[place + 1 :]
        elif kind == "a bracket too many":
            place = any_of(_structure(text, "]}"))
            text = text if place is None else text[:place] + text[place] + text[place:]
        elif kind == "drop a comma":
            place = any_of(_structure(text, ","))
            text = text if place is None else f"{text[:place]} {text[place + 1 :]}"
        elif kind == "drop closing brackets":
            text = text.rstrip("]} \n") if draw(st.booleans()) else text.rstrip("]}")
        elif kind == "trailing comma":
            place = any_of(_structure(text, "]}"))
            text = text if place is None else f"{text[:place]},{text[place:]}"
        elif kind == "comment":
            place = any_of(_structure(text, ",[{"))
            comment = draw(st.sampled_from([" // why\n", " /* so */ ", ' // the "b" one\n']))
            text = text if place is None else text[: place + 1] + comment + text[place + 1 :]
        elif kind == "single quotes":
            text = _JSON_STRING.sub(lambda found: f"'{json.loads(found[0], strict=False)}'", text)
        elif kind == "curly quotes":
            text = _JSON_STRING.sub(lambda found: f"“{found[0][1:-1]}”", text)
        elif kind == "bare names":
            text = re.sub(r'"(\w+)"(\s*:)', r"\1\2", text)
        elif kind == "bare values":
            text = re.sub(r':\s*"(?!true|false|null|none|[0-9])(\w+)"', r": \1", text, flags=re.IGNORECASE)
        elif kind == "raw breaks":
            text = re.sub(r"\\.", lambda found: RAW.get(found[0], found[0]), text)
        elif kind == "quotes not escaped":
            text = re.sub(r"\\.", lambda found: found[0].replace('\\"', '"'), text)
        elif kind == "grouped digits":
            grouped = draw(st.sampled_from([r"\1 \2", r"\1,\2", r"\1_\2", r"\1'\2"]))
            text = _outside_strings(r"(\d)(\d{3})\b", grouped, text)
        elif kind == "unit":
            text = _outside_strings(r"(\d)(?=[,}\]])", r"\1 %", text)
        elif kind == "prose":
            text = f"{text}{PROSE}"
        elif kind == "more":
            text = f"{text}\n{draw(st.sampled_from([', ', '', 'or ']))}{json.dumps(value)}"
    return value, text


SLIPS = [
    *("repr", "drop a bracket", "drop an opening bracket", "swap a bracket", "a bracket too many"),
    *("drop a comma", "drop closing brackets", "trailing comma", "comment", "prose", "more"),
    *("grouped digits", "unit"),
    *("raw breaks", "bare names", "bare values", "single quotes", "curly quotes", "quotes not escaped"),
]
LOSSES = {
    *("drop a bracket", "drop an opening bracket", "swap a bracket", "a bracket too many", "drop a comma"),
    *("drop closing brackets", "more"),
}
PROSE = "\n\nLet me know, please."
RAW = {"\\n": "\n", "\\t": "\t"}
QUOTES = {"raw breaks", "bare names", "bare values", "single quotes", "curly quotes", "quotes not escaped"}


def _is_json(text: str) -> bool:
    try:
        json.loads(text, strict=False)
    except ValueError:
        return False
    return True


@settings(max_examples=300)
@given(slipped(), st.sampled_from(["{}", "So:\n{}", "```json\n{}\n```"]))
def test_a_reply_with_slips_gives_the_value_or_is_refused(document: tuple[Any, str], around: str) -> None:
    value, text = document
    if _is_json(text.removesuffix(PROSE)):
        return  # it says what it says
    try:
        found, _ = read_json(LLMResponse(around.replace("{}", text)))
    except UnfitError:
        return
    assert json.dumps(found) == json.dumps(value)
