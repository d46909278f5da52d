"""Patterns are those of ECMA-262: what they match, what is left unchecked, and the form that is sent."""

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executionkit import MockProvider, PatternError, Tool, structured
from executionkit._schema import check_schema, find_errors, sendable


def fits(pattern: str, text: str) -> bool:
    schema = {"properties": {"x": {"pattern": pattern}}}
    check_schema(schema)
    return not find_errors({"x": text}, schema)


# pattern, what it matches, what it doesn't
MEANINGS: list[tuple[str, list[str], list[str]]] = [
    (r"^[a-z]+$", ["abc"], ["abc\n", "\nabc", ""]),
    (r"^$", [""], ["\n"]),
    (r"^\d+$", ["12"], ["١٢", "12\n"]),
    (r"^\w+$", ["a_1"], ["é"]),
    (r"^\S+$", ["abc"], ["a b", "\ufeff", "\u3000"]),
    (r"^[^\W\d]$", ["a", "_"], ["1", "é"]),
    (r"\bfoo\b", ["a foo b", "éfoo"], ["afoo"]),
    (r"^a\Bb", ["ab"], ["a b"]),
    (r"^.$", ["a", "😀"], ["\n", "\r", "\u2028"]),
    (r"^[^]$", ["\n", "a"], [""]),
    (r"^[]$", [], ["", "a"]),
    (r"^\u{1F600}\ud83d\ude00[\u0041-\u{5A}\x61]$", ["😀😀B", "😀😀a"], ["😀😀b"]),
    (r"^\cA\0\t[\b]$", ["\x01\x00\t\x08"], ["A0tb"]),
    (r"^(?<year>\d{4})-\k<year>$", ["2020-2020"], ["2020-2021"]),
    (r"^(a)?\1b$", ["b", "aab"], ["ab"]),
    (r"^[\w-.]+\/\-$", ["a-./-"], ["+/-"]),
    (r"^[[a&&b~]{x}]$", ["[{x}]", "&{x}]"], ["c{x}]"]),
    (r"(?i)^abc$", ["ABC"], ["ABC\n"]),
    (r"(?s)^.$", ["\n"], []),
    (r"(?m)^b$", ["a\nb\nc"], ["ab"]),
    (r"^(?P<n>a)(?P=n)\z", ["aa"], ["aa\n"]),
    (r"\Aa{2,3}?\Z", ["aa"], ["aa\n", "a"]),
    (r"^(?!foo)(?:a|b(?=c))", ["a", "bc"], ["foo", "b"]),
]


@pytest.mark.parametrize(("pattern", "yes", "no"), MEANINGS, ids=[pattern for pattern, _, _ in MEANINGS])
def test_a_pattern_matches_what_ecma_262_says(pattern: str, yes: list[str], no: list[str]) -> None:
    assert [text for text in yes if not fits(pattern, text)] == []
    assert [text for text in no if fits(pattern, text)] == []


@pytest.mark.parametrize(
    "pattern", ["(", "[a", "a)", "*a", "a**", "a|+", "\\", "[z-a]", "(?", r"\p{L}(", r"[\p{L}", r"\p{L})"]
)
def test_what_is_no_pattern_in_any_dialect_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern must be a regular expression"):
        check_schema({"pattern": pattern})


UNCHECKED = [
    *(r"^\p{Lu}+$", r"[\p{L}\d]", r"(?<=a*)b", "a++", "(?>a)", r"\h", "a{,3}", "a{99999999999999999999}"),
    *(r"^*a", r"(?<a>x)(?<a>y)", "[[:alpha:]]", "(?x) a", r"\01", r"\u{110000}", "(?#c)", r"\1", r"[\B]"),
]


@pytest.mark.parametrize("pattern", UNCHECKED)
def test_what_python_can_not_match_is_left_unchecked(pattern: str) -> None:
    assert fits(pattern, "whatever")
    assert fits(pattern, "")


def say(word: object = None, **_: object) -> object:
    return word


def test_a_tool_with_such_a_pattern_is_usable_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    word = {"type": "string", "pattern": r"^\p{L}{3,}$", "maxLength": 5}
    parameters = {"type": "object", "properties": {"word": word}, "required": ["word"]}
    with caplog.at_level(logging.WARNING, "executionkit"):
        tools = [Tool("say", "Say it.", parameters, say) for _ in range(3)]
        assert find_errors({"word": "été"}, tools[0].parameters) == []
        assert find_errors({"word": "toolong"}, tools[0].parameters) != []
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(r'parameters at #/properties/word: pattern "^\\p{L}{3,}$" is not checked')


OPEN = {"pattern": r"\p{L}"}


@pytest.mark.parametrize(
    "schema",
    [
        {"not": OPEN},
        {"not": {"not": OPEN}},
        {"oneOf": [OPEN, {"type": "string"}]},
        {"if": OPEN, "then": {"minLength": 9}},
        {"if": OPEN, "else": {"minLength": 9}},
        {"type": "array", "contains": OPEN, "maxContains": 0},
        {"type": "object", "patternProperties": {r"\p{L}": False}, "additionalProperties": False},
    ],
)
def test_an_unchecked_pattern_makes_nothing_invalid(schema: dict[str, Any]) -> None:
    value: Any = {"array": ["a"], "object": {"a": 1}}.get(schema.get("type", ""), "a")
    whole = {"properties": {"x": schema}}
    check_schema(whole)
    assert find_errors({"x": value}, whole) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"not": {"type": "string", "minLength": 1}},
        {"oneOf": [OPEN, {"minLength": 1}, {"maxLength": 1}]},
        {"if": OPEN, "then": {"minLength": 9}, "else": {"minLength": 9}},
        {"allOf": [OPEN, {"minLength": 9}]},
    ],
)
def test_what_stands_beside_an_unchecked_pattern_is_checked(schema: dict[str, Any]) -> None:
    whole = {"properties": {"x": schema}}
    assert find_errors({"x": "a"}, whole) != []


# as it is written, as it is sent
PLAIN = [
    (r"^\d{3}$", "^[0-9]{3}$"),
    (r"^[\w.-]+@\w+$", "^[A-Za-z0-9_.-]+@[A-Za-z0-9_]+$"),
    (r"^\d+\/\d+\.\-$", r"^[0-9]+/[0-9]+\.-$"),
    (r"(?<year>\d{4})", "([0-9]{4})"),
    (r"(?<a>b)\k<a>", r"(?<a>b)\k<a>"),
    (r"[-^\d]", "[-^0-9]"),
    (r"[a\]\d]", r"[a\]0-9]"),
    (r"\\d\D\s[\n-]", r"\\d\D\s[\n-]"),
    (r"\p{L}\d", r"\p{L}\d"),
]


@pytest.mark.parametrize(("pattern", "plain"), PLAIN)
async def test_servers_get_the_plain_form_and_the_check_stays(pattern: str, plain: str) -> None:
    code = {"type": "string", "pattern": pattern}
    # Where it is no keyword but a name or a value, it stays as it is.
    parameters = {
        "type": "object",
        "properties": {"pattern": code, "word": {"enum": [pattern]}},
        "required": ["pattern"],
        "default": {"pattern": pattern},
    }
    sent: Any = Tool("say", "", parameters, lambda pattern, word=None: pattern).to_schema()
    assert sent["function"]["parameters"] == {
        **parameters,
        "properties": {"pattern": {**code, "pattern": plain}, "word": {"enum": [pattern]}},
    }
    provider = MockProvider(['{"pattern": "nothing of the kind"}'])
    if plain != r"\p{L}\d":
        with pytest.raises(PatternError, match="must match the pattern"):
            await structured(provider, "q", parameters, max_retries=0)
        (call,) = provider.calls
        schema = call.kwargs["response_format"]["json_schema"]["schema"]
        assert schema["properties"]["pattern"]["pattern"] == plain


signs = st.sampled_from([*r"ab1-_/.^é ", r"\d", r"\w", r"\/", r"\-", r"\.", r"\]", r"\^", r"\\"])


@given(st.lists(signs, min_size=1, max_size=6), st.booleans(), st.text("ab1-_/.^é ]\\", max_size=4))
def test_the_plain_form_means_the_same(parts: list[str], negated: bool, text: str) -> None:
    pattern = f"[{'^' if negated else ''}{''.join(parts)}]{''.join(parts[:2])}"
    schema = {"pattern": pattern}
    try:
        check_schema(schema, any_type=True)
    except ValueError:
        return  # a range that ends before it begins
    assert find_errors(text, schema) == [] or find_errors(text, sendable(schema)) != []
    assert find_errors(text, schema) != [] or find_errors(text, sendable(schema)) == []
