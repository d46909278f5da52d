"""Finding the JSON of a reply, broken or not."""

import sys
import time
from contextlib import suppress

import pytest

from executionkit import LLMResponse, MockProvider, PatternError, extract_json, structured_sync
from executionkit._output import UnfitError
from executionkit.engine.json_extraction import locate_json
from executionkit.patterns._structured_reply import find_broken, is_doubtful, read_json


@pytest.mark.parametrize(
    ("form", "limit"),
    [('{{"a": {}}}', 640), ('{{"a": -{},}}', 1000), ('{{"b": "x", "a": [1, {}]', 640), ("{{a: {}}}", 640)],
)
def test_an_integer_that_python_does_not_read_is_no_text(form: str, limit: int) -> None:
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(limit)
    try:
        with pytest.raises(PatternError, match="can't be parsed"):
            structured_sync(MockProvider([form.format("9" * (limit + 1))]), "q", max_retries=0)
    finally:
        sys.set_int_max_str_digits(before)


@pytest.mark.parametrize(
    ("reply", "broken"),
    [
        ("There is none.", None),
        ("- [ ] to do, [note], {x}", None),
        ('So: {"a": 1,}\nHope this helps!', '{"a": 1,}\nHope this helps!'),
        ('[1] says so.\n```json\n{"a": 1,}\n```\nBye [2].', '{"a": 1,}'),
        ('```\nno json\n```\n{"a": 1,}', '{"a": 1,}'),
        ('```json\n{"a": 1,', '{"a": 1,'),
        ('~~~\n{"a": 1,}\n~~~\nSee {b}.', '{"a": 1,}'),
        ('<think>{"x": 1,}</think>{"a": 1,}', '{"a": 1,}'),
        ('{"x": 1,}</think>{"a": 1,}', '{"a": 1,}'),
    ],
)
def test_what_is_meant_to_be_json(reply: str, broken: str | None) -> None:
    assert find_broken(reply) == broken


@pytest.mark.parametrize(
    ("reply", "is_in_doubt"),
    [
        ('{"a": 1}', False),
        ('Here you are: {"a": 1}. Done.', False),
        ('It is {"a": 1}, as you asked, or so.', False),
        ('A [b] c ] {"a": 1}', False),
        ('```json\n{"a": 1}\n```', False),
        ('<think>{"x": [</think>{"a": 1}', False),
        ('{"a": 1}}', False),
        ('[{"a": 1}, {"a": 2},]', True),
        ('{"items": [{"a": 1}, {"a": 2}] "b": 3}', True),
        ('See [1].\n```json\n{"a": "b",}\n```', True),
        ('```json\n{"a": "b",}\n```\nsee [1]', True),
        ('{"a": 1}}, "b": 2}', True),
        ('{"a": {"b": {}}, "c": 1}}', True),
        ('{"a": 1}, {"a": 2}', True),
        ("[],]", True),
        ("[], 5 %]", True),
        ('{"a": 1}, as [1] has it', False),
        ('[null, ], "as [1] has it"]', True),
        ('[1, p. 5] says {"a": 1}', False),
        ('{"a": ], "b": []}', True),
        ('"a": {"b": 1}}', True),
        ("{'a': }, 'b': 'as [1] has it'}", True),
        ('For {name}, as [1] has it: {"a": 1}', False),
        ('{"a": 1} {"a": 2}', True),
        ("[1, 2], 3]", True),
        ('So: {"a": "\\frac{1}{2}"}', True),
    ],
)
def test_a_part_of_what_cannot_be_parsed_is_in_doubt(reply: str, is_in_doubt: bool) -> None:
    value, place = locate_json(reply)
    assert is_doubtful(reply, place, value) is is_in_doubt


HOSTILE = {
    "braces": "{",
    "brackets": "[",
    "closing braces": "}",
    "names": '{"',
    "names and values": '{"a": ',
    "quotes": '"',
    "single quotes": "'",
    "curly quotes": '"“',
    "escaped quotes": '\\"',
    "escaped names": '\\"k\\": \\"v\\", ',
    "backslashes": "\\",
    "quoted names": '"a" : ',
    "words in quotes": '"a" b, ',
    "single-quoted names": "'a",
    "strings": '"a", ',
    "comments": "/* ",
    "line comments": "//",
    "quotes and comments": '"//',
    "fences": "```\n",
    "fenced brackets": "```json\n{\n",
    "thoughts": "<think>",
    "closing thoughts": "</think>{",
    "channels": "<|channel|>",
    "spaces": "      \n",
    "commas": '", ',
    "words": "a ",
    "one word": "a",
    "digits": "1",
    "grouped": "1,234,",
    "empty": "{},",
}
BEFORE = ["", '{"a": "', "['", "{“a”: “"]


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE.keys())
def test_reading_takes_linear_time(unit: str) -> None:
    began = time.process_time()
    for before in BEFORE:
        text = before + unit * (20_000 // len(unit))
        for whole in (text, f'{text}"}}'):
            with suppress(UnfitError):
                read_json(LLMResponse(whole))
            with suppress(ValueError):
                extract_json(whole)
    assert time.process_time() - began < 10  # a quadratic reader needs longer, a linear one a second
