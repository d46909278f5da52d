"""Mending JSON: what counts as a slip, and what must never be guessed."""

import sys

import pytest

from executionkit import MockProvider, PatternError, structured_sync
from executionkit.engine.json_extraction import locate_json
from executionkit.patterns._structured_reply import MAX_CHARS, find_broken, is_doubtful, mend


@pytest.mark.parametrize(
    ("broken", "value"),
    [
        ('{"a": [1, 2,],}', {"a": [1, 2]}),
        ("{'a': 'x', 'b': True, 'c': None}", {"a": "x", "b": True, "c": None}),
        ('{a: "x"}', {"a": "x"}),
        ('{"a": 1\n"b": 2}', {"a": 1, "b": 2}),
        ('{"a": {"b": [1, 2}', {"a": {"b": [1, 2]}}),
        ('{"a": [1, 2], "b": "x"', {"a": [1, 2], "b": "x"}),
        ('{"a": "one\ntwo"}', {"a": "one\ntwo"}),
        ('{"a": "He said "no", twice", "b": 2}', {"a": 'He said "no", twice', "b": 2}),
        ('{"a": 12.50, "b": "caf\\u00e9 at 3.10",}', {"a": 12.5, "b": "café at 3.10"}),
        ('{"a": 1, // the first\n /* and */ "b": "http://x//y"}', {"a": 1, "b": "http://x//y"}),
        ('[{"a": 1}, {"a": 2},]', [{"a": 1}, {"a": 2}]),
        ('{"a": -1.5, "b": "10 %, -$5, 3-4, tru",}', {"a": -1.5, "b": "10 %, -$5, 3-4, tru"}),
        ('{"a": +5, /* at least - or ~ */ "b": truth}', {"a": 5, "b": "truth"}),
    ],
)
def test_slips_are_mended(broken: str, value: object) -> None:
    assert mend(broken) == value


@pytest.mark.parametrize(
    "broken",
    [
        '{"items": [{"a": 1}, ...]}',  # the rest was left out
        '{"items": [1, 2, …]}',
        '{"a": 5 apples}',  # 5 is not all of it
        '{"a": "b" "c"}',
        '{"a": 1, "a": 2,}',  # one of them would be dropped
        '{"a": 1} {"b": 2,}',
        '{"a": NaN}',
        '{"a": 1e999,}',
        '{"a": tru}',  # cut short
        '{"a": [Fals], "b": 1}',
        '{"a": nul,}',
        '{"a": 10%,}',  # a sign would be dropped
        '{"a": $5,}',
        '{"a": 5 €,}',
        '{"a": ~5,}',
        '{"a": <5,}',
        "{'a': 'it's'}\n\nNote: {b: 2}",  # what follows would become part of the text
        "[" * 5000,
        '{"a": "' + "x" * MAX_CHARS + '",}',
    ],
)
def test_what_is_not_certain_is_left_alone(broken: str) -> None:
    assert mend(broken) is None


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
        # As long as it may be, or as a text, it is what it says.
        assert mend(f'{{"a": {"9" * limit},}}') == {"a": 10**limit - 1}
        assert mend(f'{{"a": "{"9" * (limit + 1)}",}}') == {"a": "9" * (limit + 1)}
    finally:
        sys.set_int_max_str_digits(before)


def test_without_the_library_nothing_is_mended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "json_repair", None)
    assert mend('{"a": 1,}') is None


@pytest.mark.parametrize(
    ("reply", "broken"),
    [
        ("There is none.", None),
        ("- [ ] to do, [note], {x}", None),
        ('So: {"a": 1,}\nHope this helps!', '{"a": 1,}'),
        ('{"a": [1, 2], "b": "x"\nThat is all.', '{"a": [1, 2], "b": "x"\nThat is all.'),
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
        ('A [b] c ] {"a": 1}', False),
        ('```json\n{"a": 1}\n```', False),
        ('<think>{"x": [</think>{"a": 1}', False),
        ('[{"a": 1}, {"a": 2},]', True),
        ('{"items": [{"a": 1}, {"a": 2}] "b": 3}', True),
        ('See [1].\n```json\n{"a": "b",}\n```', True),
        ('```json\n{"a": "b",}\n```\nsee [1]', True),
    ],
)
def test_a_part_of_what_cannot_be_parsed_is_in_doubt(reply: str, is_in_doubt: bool) -> None:
    assert is_doubtful(reply, locate_json(reply)[1]) is is_in_doubt
