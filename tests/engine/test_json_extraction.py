"""extract_json."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executionkit import answers
from executionkit._judge import read_score
from executionkit.engine.json_extraction import extract_json, locate_json
from executionkit.engine.thoughts import without_thoughts
from executionkit.patterns._structured_mending import mend
from executionkit.patterns._structured_reply import find_broken

# What models send, and what is meant.
REPLIES: dict[str, tuple[str, Any]] = {
    # The whole text.
    "object": ('{"a": 1}', {"a": 1}),
    "array": ("[1, 2]", [1, 2]),
    "surrounding space": ('\n\t {"a": 1} \r\n', {"a": 1}),
    "byte order mark": ('\ufeff{"a": 1}', {"a": 1}),
    "empty containers": ('{"a": [], "b": {}}', {"a": [], "b": {}}),
    "duplicate keys": ('{"a": 1, "a": 2}', {"a": 2}),
    "a whole array of scalars is no citation": ("[1]", [1]),
    "an object within a text within an object": (r'{"a": "{\"b\": 1}"}', {"a": '{"b": 1}'}),
    "a text is no object": (r'"say {\"a\": 1}"', None),
    # Fenced blocks.
    "fence": ('Here:\n```json\n{"a": 1}\n```\nDone.', {"a": 1}),
    "fence without label": ('```\n{"a": 1}\n```', {"a": 1}),
    "fence with CRLF": ('Here:\r\n```json\r\n{"a": 1}\r\n```\r\n', {"a": 1}),
    "fence of tildes": ('~~~json\n{"a": 1}\n~~~', {"a": 1}),
    "fence with attributes": ('```json {.line-numbers}\n{"a": 1}\n```', {"a": 1}),
    "indented fence": ('1. Do\n    ```json\n    {"a":\n     1}\n    ```', {"a": 1}),
    "longer closing fence": ('```json\n{"a": 1}\n`````\n{"b": 2}', {"a": 1}),
    "unclosed fence": ('```json\n{"a": 1}\n', {"a": 1}),
    "scalars in an unclosed fence": ("See [0] first.\n```json\n[1]", [1]),
    "fence closed on the last line of content": ('```json\n{"a": 1}```', {"a": 1}),
    "fence on one line": ('```json {"a": 1}```', {"a": 1}),
    "backticks on one line open nothing": ('```x``` is code\n[7] {"a": 1}\n```\n[2]\n```', [2]),
    "fence before earlier prose": ('Not {"draft": 1} but\n```json\n{"a": 1}\n```', {"a": 1}),
    "citation before a fence": ("As in [1]:\n```json\n[2, 3]\n```", [2, 3]),
    "scalars in a fence": ('```json\n[1]\n```\nlike {"b": 2}', [1]),
    "the first fence that parses": (
        '```python\nx = {"no": 1}\n```\n```json\n{"a": 1}\n```\n```json\n{"b": 1}\n```',
        {"a": 1},
    ),
    "a fence's end opens nothing": ('```python\nx\n```\n[8]\n```\n["a"]\n```', ["a"]),
    "another mark does not close": ('[1, 2]\n~~~\n["a"]\n```\n~~~', [1, 2]),
    "a shorter mark does not close": ('[1, 2]\n````\n["a"]\n```\n````', [1, 2]),
    "a mark with a label does not close": ('[1, 2]\n```\n["a"]\n```json\n```', [1, 2]),
    "a fence in a fence": ('````\n```json\n{"a": 1}\n```\n````', {"a": 1}),
    "prose in a fence": ('```\nResult: {"a": 1}\n```', {"a": 1}),
    "a scalar in a fence": ('```\n42\n```\n{"a": 1}', {"a": 1}),
    "a fence within a string": (
        '```json\n{"code": "```python\\nx = [1]\\n```"}\n```',
        {"code": "```python\nx = [1]\n```"},
    ),
    # Prose.
    "prose around": ('The answer is {"a": 1}. Anything else?', {"a": 1}),
    "the first of several": ('{"a": 1} and {"b": 2}', {"a": 1}),
    "brackets in strings": ('So: {"a": "}]{[", "b": 1} ok', {"a": "}]{[", "b": 1}),
    "escaped quotes": (r'So: {"a": "say \"}\" \\"} ok', {"a": 'say "}" \\'}),
    "escapes of every kind": (r'So ["\u00e9\n\/\b\f\r\t", {}] ok', ["é\n/\b\f\r\t", {}]),
    "numbers of every kind": ("So [0, -1, 2.5, 1e3, -0.1E-2, {}]", [0, -1, 2.5, 1000.0, -0.001, {}]),
    "words of every kind": ('So {"a": true, "b": false, "c": null}', {"a": True, "b": False, "c": None}),
    "spaces everywhere": ('So { "a" : [ 1 , { } , [ ] ] , "b" : 2 } ok', {"a": [1, {}, []], "b": 2}),
    "unbalanced brace first": ('Use { to open. {"a": 1}', {"a": 1}),
    "unbalanced bracket first": ('In [0, 1) we have {"a": 1}', {"a": 1}),
    "prose in braces first": ('Fill {name} and {date}: {"a": 1}', {"a": 1}),
    "doubled braces": ('Use {{"a": 1}}', {"a": 1}),
    "a quote opens no string": ('the set {"x, y} is {"a": 1}', {"a": 1}),
    "an object after a broken one": ('{"a": 1,} no: {"a": 2}', {"a": 2}),
    "a single-quoted one": ("{'a': 1} or {\"a\": 2}", {"a": 2}),
    "comments": ('{"a": 1 // one\n} or {"a": 2}', {"a": 2}),
    "leading zero": ('{"a": 01} or {"a": 2}', {"a": 2}),
    "raw control characters in a string": ('So {"a": "x\ny\tz\x00"} ok', {"a": "x\ny\tz\x00"}),
    "a raw line break in a name": ('{"a\nb": 1}', {"a\nb": 1}),
    "a raw line break beside strings": ('{"a":\v1} or {"a": 2}', {"a": 2}),
    "missing comma": ('{"a": 1 "b": 2} or {"a": 2}', {"a": 2}),
    "wrong closing bracket": ('{"a": [1}] or {"a": 2}', {"a": 2}),
    "NaN": ('{"a": NaN} or {"a": 2}', {"a": 2}),
    "Infinity": ('{"a": -Infinity} or {"a": 2}', {"a": 2}),
    "beyond a float": ('{"a": 1e999} or {"a": 2}', {"a": 2}),
    "beyond an int": (f'{{"a": {"9" * 5000}}} or {{"a": 2}}', {"a": 2}),
    # Arrays of bare scalars in prose.
    "citation": ('As [1] shows, {"a": 1}', {"a": 1}),
    "linked citation": ('As [[1]](https://example.org) shows, {"a": 1}', {"a": 1}),
    "to-do": ('- [ ] first\n- [x] second\n{"a": 1}', {"a": 1}),
    "words give way to objects": ('Of ["a", "b"] it is {"a": 1}', {"a": 1}),
    "scalars give way to nested arrays": ("Of [1, 2] it is [[1, 2], [3, 4]]", [[1, 2], [3, 4]]),
    "citation gives way to other scalars": ('As [1] shows: ["a", "b"], not ["c"]', ["a", "b"]),
    "one word is no citation": ('As [2] shows: ["a"]', ["a"]),
    "one boolean is no citation": ("As [2] shows: [true]", [True]),
    "nothing better than a citation": ("As [1] and [2] show", [1]),
    "nothing better than a to-do": ("- [ ] first", []),
    "an empty object is an object": ('{} then {"a": 1}', {}),
    # Thoughts.
    "thought": ('<think>maybe {"draft": 1}</think>{"a": 1}', {"a": 1}),
    "fenced thought": ('<think>\n```json\n{"draft": 1}\n```\n</think>\n```json\n{"a": 1}\n```', {"a": 1}),
    "thought with an open fence": ("<think>\n```json\n[8]\n</think>\n```json\n[1]\n```", [1]),
    "two thoughts": ('<think>{"b": 1}</think>{"a": 1}<THINK>{"c": 1}</THINK>', {"a": 1}),
    "thought about thoughts": ('<think>so <think>{"b": 1}</think> {"c": 1}</think>{"a": 1}', {"a": 1}),
    "fenced as a thought": ('```thinking\n{"draft": 1}\n```\n{"a": 1}', {"a": 1}),
    "thought of a gateway": (
        '<details type="reasoning" done="true"><summary>{"draft": 1}</summary></details>{"a": 1}',
        {"a": 1},
    ),
    "details": ('<details><summary>{"a": 1}</summary></details>{"b": 1}', {"a": 1}),
    "thought in lower case": ('[think]{"draft": 1}[/think]{"a": 1}', {"a": 1}),
    "a heading in brackets": ('[Thinking] It is {"a": 1}', {"a": 1}),
    "a comment after a bracket": ('[\n  // the first\n  {"a": 1}\n]', None),
    "a name without its first quote": ('{\n  name": {"a": 1}\n}', None),
    "an object closed early": ('{"a": 0} "b": [{"x": 1}]}', None),
    "an array that was cut off": ('["say \\"hi\\"", 3.5, [true], "x"', None),
    "only a thought": ('<think>{"draft": 1}</think>It is seven.', None),
    "unclosed thought": ('<think>maybe {"draft": 1}', None),
    "before an unclosed thought": ('{"a": 1} <think>or {"b": 1}', {"a": 1}),
    "thought in Ollama's terminal": ('Thinking...\n{"draft": 1}\n...done thinking.\n\n{"a": 1}', {"a": 1}),
    "thought opened by the server": ('maybe {"draft": 1}</think>{"a": 1}', {"a": 1}),
    "thought opened by the server, fenced": ("```\n[0, 9]\n```\n</think>\n```\n[1]\n```", [1]),
    "citation in a thought": ("<think>[2, 3]</think>[1]", [1]),
    "tags in a string": ('So {"a": "<think>x</think>"}', {"a": "<think>x</think>"}),
    "opening tag in a string": ('So {"a": "<think>"}', {"a": "<think>"}),
    "closing tag in a string": ('So {"a": "</think>"} ok', {"a": "</think>"}),
    "closing tag in a fenced string": ('So\n```json\n{"a": "</think>"}\n```', {"a": "</think>"}),
    "tag in a whole text": ('{"a": "</think>"}', {"a": "</think>"}),
    # Parts of what can't be parsed.
    "an item of a broken array": ('[{"a": 1}, {"a": 2},]', None),
    "an item after a scalar": ('["x", {"a": 1},]', None),
    "a value of a broken object": ('{"a": {"b": 1}, "n": 1 234}', None),
    "a value of an object with bare names": ('{a: 1, b: {"c": 2}}', None),
    "a bracket too many": ('{"a": {"b": 1}}, "c": 2}', None),
    "a tuple's item": ('(1, {"a": 2})', None),
    "a citation beside a broken object": ('As [1] shows: {"a": 1,}', None),
    "a citation beside a broken array": ("As [1] shows: [1, 2,]", None),
    "a fence in a string of a broken object": ('{"a": "x\n```json\n{\\"b\\": 1}\n```\n",}', None),
    "names in prose": ('As asked, result: {"a": 1}', {"a": 1}),
    "a list in prose": ('{"a": 1}, {"a": 2}', {"a": 1}),
    # Nothing.
    "empty": ("", None),
    "blank": (" \n\t", None),
    "prose": ("I can't do that.", None),
    "number": ("42", None),
    "null": ("null", None),
    "bare NaN": ("NaN", None),
    "within a broken array": ('[null, // why\n {"a": 1}, true]', None),
    "within a broken object": ('{{"a": [1, {"b": 2}, tru]}', None),
    "after a bracket too many": ('[[false, ["x"]]], -6, 47.5]', None),
    "in brackets of prose": ('[That is {"a": 1}, or so.] ', {"a": 1}),
    "among items of prose": ('See {"a": 1}, 5 and [6].', {"a": 1}),
    "cut off": ('{"a": "b', None),
    # Python before 3.11.5 can take half an escape for a whole one.
    "broken after a whole part": ('{"a": {}, "x\\u": 1} {"b": 1}', None),
    "a closing bracket": ("]}", None),
    "not even a value": ("[ {: ] }", None),
    "backslashes": ('\\{"\\a": 1', None),
    "null bytes": ("\x00{\x00}", None),
    "lone surrogate": ('\ud800 {"a": "\ud800"}', {"a": "\ud800"}),
}


@pytest.mark.parametrize(("reply", "meant"), REPLIES.values(), ids=REPLIES.keys())
def test_replies(reply: str, meant: Any) -> None:
    if meant is None:
        with pytest.raises(ValueError, match="no JSON object or array in "):
            extract_json(reply)
    else:
        found = extract_json(reply)
        assert found == meant
        assert json.dumps(found) == json.dumps(meant)  # true is not 1, and the keys keep their order


def test_the_message_quotes_the_beginning_only() -> None:
    with pytest.raises(ValueError, match="'I refuse I refuse ") as caught:
        extract_json("I refuse " * 10_000)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("text", [None, b"{}", 1, ["{}"]])
def test_only_text_is_taken(text: Any) -> None:
    with pytest.raises(TypeError, match=f"^text must be a str, got {type(text).__name__}$"):
        extract_json(text)


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
containers = st.dictionaries(st.text(), json_values, max_size=4) | st.lists(json_values, max_size=4)
words = st.text(st.characters(exclude_characters="[]{}<>`~", exclude_categories=()))


@st.composite
def written(draw: st.DrawFn, values: st.SearchStrategy[Any]) -> tuple[Any, str]:
    value = draw(values)
    layout: dict[str, Any] = draw(
        st.sampled_from([{}, {"indent": 2}, {"separators": (",", ":")}, {"ensure_ascii": False}])
    )
    return value, json.dumps(value, **layout)


@given(written(containers), words, words)
def test_json_is_found_in_prose_without_brackets(document: tuple[Any, str], before: str, after: str) -> None:
    value, text = document
    assert extract_json(f"{before}\n{text}\n{after}") == value


@given(written(containers), words, words, st.sampled_from(["```", "```json", "~~~ JSON", "````"]))
def test_json_is_found_in_a_fence(document: tuple[Any, str], before: str, after: str, fence: str) -> None:
    value, text = document
    close = fence.rstrip(" jsonJSON")
    assert extract_json(f"[1] {before}\n{fence}\n{text}\n{close}\n{after}") == value


@given(written(containers), st.text().filter(lambda thought: "think>" not in thought.lower()))
def test_thoughts_are_passed_over(document: tuple[Any, str], thought: str) -> None:
    value, text = document
    assert extract_json(f"<think>{thought}</think>\n{text}") == value


pieces = st.sampled_from(
    [
        *'{}[]":,\\ \n',
        "{",
        "[",
        '{"a":',
        "1",
        "null",
        "NaN",
        "```\n",
        "~~~",
        "<think>",
        "</think>",
        "\ufeff",
        "é",
    ]
)


@given(st.lists(pieces | st.text(max_size=3), max_size=40).map("".join))
def test_the_outcome_is_a_container_that_stands_in_the_text_or_a_value_error(text: str) -> None:
    try:
        found = extract_json(text)
    except ValueError:
        return
    assert type(found) in (dict, list)
    spans = ((i, j) for i, a in enumerate(text) if a in "{[" for j, b in enumerate(text, 1) if b in "}]")
    assert any(_loads(text[i:j]) == found for i, j in spans if i < j)


def _loads(text: str) -> Any:
    try:
        return json.loads(text, strict=False)
    except ValueError:
        return None


def search_plainly(text: str) -> Any:
    """The third step as it is documented, at any cost: every bracket, in order, is tried."""
    decoder = json.JSONDecoder(parse_constant=_no_constants, strict=False)
    found: list[tuple[int, Any]] = []
    start = 0
    while start < len(text):
        try:
            value, end = decoder.raw_decode(text, start) if text[start] in "{[" else (None, start + 1)
        except ValueError:
            value, end = None, start + 1
        if value is not None:
            found.append((grade(value), value))
        start = end
    return max(found, key=lambda graded: graded[0])[1] if found else None


def grade(value: Any) -> int:
    if isinstance(value, dict) or any(isinstance(item, (dict, list)) for item in value):
        return 1 if str(value).strip("[]0123456789") == "" else 3
    return 1 if str(value).strip("[]0123456789") == "" else 2


def _no_constants(name: str) -> Any:
    raise ValueError(name)


@settings(max_examples=200)
@given(
    st.lists(st.sampled_from([*'{{[[}]]":,\\ 1x', '"k":', '"', "{}", "\n", "true"]), max_size=30).map("".join)
)
def test_agrees_with_trying_every_bracket_in_turn(text: str) -> None:
    try:
        found: Any = locate_json(text)[0]
    except ValueError:
        found = None
    assert found == search_plainly(text)


HOSTILE = {
    "braces": "{",
    "brackets": "[",
    "pairs": "[{",
    "keys": '{"a":',
    "arrays": "[1,",
    "open strings": '["',
    "strings": '["[",',
    "two readings": '[",",',
    "escapes": '\\"[',
    "closed within": "[[1],",
    "citations": "[1] ",
    "fences": "```\n",
    "open fences": "```json\n[1,\n",
    "thoughts": "<think>[</think>",
    "closing thoughts": "</think>[",
    "words": '{"a": tru',
}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE.keys())
def test_an_object_is_found_behind_any_amount_of_brackets(unit: str) -> None:
    assert extract_json(f'{unit * 10_000}\n"~~~ {{"a": 1}}') == {"a": 1}


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE.keys())
def test_work_grows_with_length_and_no_faster(unit: str) -> None:
    def work(count: int) -> int:
        with counted_calls() as calls:
            extract_json(f'{unit * count}\n"~~~ {{"a": 1}}')
        return len(calls)

    few, many = work(200), work(1600)
    assert many <= 9 * few


@contextmanager
def counted_calls() -> Iterator[list[None]]:
    """Every call made meanwhile, of Python and of C functions (each match of an expression is one)."""
    calls: list[None] = []

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        if event in ("call", "c_call"):
            calls.append(None)

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(before)


@pytest.mark.parametrize("text", ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000])
def test_what_python_cannot_hold_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="no JSON object or array"):
        extract_json(text)
    assert extract_json(f'{text} {{"a": 1}}') == {"a": 1}


def test_no_float_comes_out_that_json_does_not_have() -> None:
    found = extract_json('{"a": 1e308}')
    assert isinstance(found, dict)
    assert math.isfinite(found["a"])


NOTATIONS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<THINKING>", "</THINKING>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<scratchpad>", "</scratchpad>"),
    ("<seed:think>", "</seed:think>"),
    ("<longcat_think>", "</longcat_think>"),
    ("<think_fast>", "</think_fast>"),
    ('<thinking mode="deep">', "</thinking >"),
    ("<antThinking>", "</antThinking>"),
    ("<thought_process>", "</thought_process>"),
    ("<inner_monologue>", "</inner_monologue>"),
    ("<reasoning_content>", "</reasoning_content>"),
    ("[THINKING]", "[/THINKING]"),
    ("<思考>", "</思考>"),
    ("<begin_thought>", "<end_thought>"),
    ("<start_of_thought>", "<end_of_thought>"),
    ("<|thinking_start|>", "<|thinking_end|>"),
    ("<unused94>thought\n", "<unused95>"),
    ("<|thinking|>", "<|/thinking|>"),
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
    ("<|channel|>commentary to=x<|message|>", "<|channel|>final <|constrain|>json<|message|>"),
    ("<|think|>", "<|end|><|begin|>assistant<|content|>"),
]


@pytest.mark.parametrize(("opening", "closing"), NOTATIONS)
def test_a_draft_among_thoughts_is_not_the_answer(opening: str, closing: str) -> None:
    text = f'{opening}{{"draft": 1}}{closing}{{"final": 2}}'
    assert extract_json(text) == {"final": 2}
    assert extract_json(text.removeprefix(opening)) == {"final": 2}
    assert without_thoughts(text) == '{"final": 2}'
    assert without_thoughts(f"7 {opening} so") == "7 "


@pytest.mark.parametrize(("opening", "closing"), NOTATIONS[:-3])
def test_the_marks_of_another_notation_within_a_thought_are_thought(opening: str, closing: str) -> None:
    assert without_thoughts(f"7{opening} <reflection>x</reflection> <|end|> {closing}") == "7"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<|channel|>final<|message|>7<|return|>", "7"),
        ("<|START_RESPONSE|>7<|END_RESPONSE|>", "7"),
        ("<think/>7", "7"),
        ("<|begin_of_box|>7<|end_of_box|>", "7"),
        ("<|end_of_thought|>\n\n<|begin_of_solution|>7<|end_of_solution|>", "\n\n7"),
        ("analysisThe user asks.assistantcommentaryHm.assistantfinal7", "7"),
        ("Here is my thought process: 6 or 7.\nHere is my response:\n7", "\n7"),
    ],
)
def test_marks_around_the_answer_are_not_part_of_it(text: str, answer: str) -> None:
    assert without_thoughts(text) == answer


@pytest.mark.parametrize(
    "text",
    [
        "Put it between `<think>` and `</think>`.",
        'The tag is "</thought>", not "<reasoning>".',
        "I [think] so. <b>Thinking</b> helps.",
        "import app.assistantfinal",
        "Here is my thought process: there is none.",
        "analysis of variance",
        "Use <think> tags to reason.",
        "<thinking_mode>auto</thinking_mode>7",
    ],
)
def test_a_mark_that_is_only_spoken_of_hides_nothing(text: str) -> None:
    assert without_thoughts(text) == text


# Where what is said is JSON, a number and a score at once, everything that passes over thoughts must agree.
@pytest.mark.parametrize(
    "text",
    [
        "<think>[1]</think>[7]",
        "<think>[1]<think>[2]</think>[3]</think>[7]",
        "[1]<think>[2]</think>[3]</think>[7]",
        "[1]</think>[2]</thinking>[7]",
        "<think>[1]</think>[7]<think>[2]",
        "<think>[1]</think>[7]<thinking>[2]</think>",
    ],
)
def test_all_readers_agree_on_what_is_thought(text: str) -> None:
    assert without_thoughts(text) == "[7]"
    assert extract_json(text) == [7]
    assert answers.canonical_json(text) == answers.last_line(text) == "[7]"
    assert mend(find_broken(text.replace("]", ",]")) or "") == [7]
    assert read_score(text.replace("[", "Score: ").replace("]", "\n")) == 0.7
