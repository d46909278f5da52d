"""Prompts with the fields of a row in them."""

from typing import Any

import pytest

from executionkit.many._template import FieldError, Template

ROW: dict[str, Any] = {
    "text": "so {text}",
    "n": 3,
    "a": {"b": [{"c": "deep"}]},
    "a.d": "dotted",
    "Review Text": "r",
}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{text}!", "so {text}!"),
        ("{n} {a}", '3 {"b": [{"c": "deep"}]}'),
        ("{a.b.0.c} {a.d}", "deep dotted"),
        ("{Review Text}", "r"),
        ("{{text}} {{nothing}}", "{text} {nothing}"),
        ('{"label": {"of": "{text}"}} {} { text } {0} {', '{"label": {"of": "so {text}"}} {} { text } {0} {'),
    ],
)
def test_names_between_braces_are_fields_and_nothing_else_is(text: str, filled: str) -> None:
    assert Template(text).fill(ROW) == filled


@pytest.mark.parametrize(
    ("text", "row", "said"),
    [
        ("{texts}", ROW, "no field 'texts'; the row has text, n, a, a.d, Review Text. .* write {{texts}}"),
        ("{a.b.1}", ROW, "no field 'a.b.1'"),
        ("{text.x}", ROW, "no field 'text.x'"),
        ("{x}", {"x": None}, "field 'x' is null"),
        ("{x}", ["x"], "no field 'x'; the row is no object, but an array"),
        ("{x}", {}, "the row has no fields"),
    ],
)
def test_a_field_that_is_not_there_is_an_error(text: str, row: Any, said: str) -> None:
    with pytest.raises(FieldError, match=said):
        Template(text).fill(row)


def test_a_template_knows_its_names() -> None:
    assert Template("{b} {a.x} {b} {{c}}").names == ["b", "a.x"]
