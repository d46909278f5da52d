"""`executionkit.answers`: what each reader takes for the answer, and where it abstains."""

import json
import math
import re
from collections.abc import Callable, Hashable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executionkit import answers

Reader = Callable[[str], Hashable | None]

READERS: dict[str, Reader] = {
    "number": answers.number,
    "european_number": answers.european_number,
    "choice": answers.choice("ABCD"),
    "label": answers.label("positive", "negative", "neutral"),
    "canonical_json": answers.canonical_json,
    "last_line": answers.last_line,
    "boxed": answers.boxed,
    "tagged": answers.tagged(),
}

# -- number ----------------------------------------------------------------------------------------------

FORTY_TWO = [
    "42",
    " 42\n",
    "42.",
    "42.0",
    "042",
    "+42",
    "$42.00",
    "$42",
    "\\$42",
    "US$ 42",
    "42 USD",
    "42 €",
    "€42",
    "42%",
    "42 %",
    "42 percent",
    "42 km",
    "42km",
    "42 m",
    "42m",
    "42 m^2",
    "42 m²",
    "42 km/h",
    "42°",
    "42 °C",
    "42 apples",
    "(42)",
    "**42**",
    "*42*",
    "`42`",
    "__42__ ",
    "<b>42</b>",
    "- 42",
    "= 42",
    "≈ 42",
    "about 42",
    "x = 42",
    "84/2",
    "4.2e1",
    "4.2 × 10^1",
    "0.42 \\times 10^{2}",
    "$42$",
    "\\(42\\)",
    "\\[ x = 42 \\]",
    "\\boxed{42}",
    "$\\boxed{42}$",
    "\\boxed{ 42 \\text{ km} }",
    "\\boxed{\\$42}",
    "\\boxed{42\\%}",
    "\\boxed{42^\\circ}",
    "\\boxed{x = 42}",
    "\\boxed{\\text{42}}",
    "\\fbox{42}",
    "the answer is 42.",
    "The answer is 42",
    "The answer is: 42.",
    "The final answer is **42**.",
    "The answer is therefore 42, since 6 * 7 = 42.",
    "The answer is 42 because 40 + 2 = 42.",
    "The answer is 42 (6 times 7).",
    "The answer is $42.00 per month.",
    "The answer to the question is 42.",
    "The answer should be 42.",
    "The answer is \\boxed{42}.",
    "The answer is (42).",
    "The answer is 40 + 2 = 42.",
    "The answer is x = 42.",
    "Answer: 42",
    "**Answer:** 42",
    "**Answer**: 42",
    "Answer:\n\n42",
    "## Answer\n\n42",
    "Final answer: 42 apples.",
    "The answer is 41. Wait, I forgot one. The answer is 42.",
    "First 6, then 7.\n#### 42",
    "6 * 7 = 42",
    "There are 42 apples in the basket.",
    "The answer is 42. I hope this answer is helpful!",
    "6 and 7 make\n42",
    "6 times 7 is what we want.\n\n**42**",
    "42\n\nExplanation: 6 * 7 = 42.",
    "42\n\n6 * 7 is\n42",
    "<answer>42</answer>",
    "<answer>The answer is 42</answer>",
    "I put it in <answer>...</answer> tags, 1 of them: <answer>\n42\n</answer>",
    "<think>Is it 41?</think>42",
    "<thinking>The answer is 41.</thinking> The answer is 42.",
    "The answer is 41.</think>42",
    "3.5 dozen",
    "42 (forty-two)",
    "42<think>But what if",
]


@pytest.mark.parametrize("reply", FORTY_TWO)
def test_all_ways_to_write_a_number_are_one_vote(reply: str) -> None:
    assert answers.number(reply) == 42


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("-5", -5),
        ("−5", -5),
        ("-$5", -5),
        ("$-5", -5),
        ("minus 5", -5),
        ("negative 5 degrees", -5),
        ("The answer is -5.", -5),
        ("x = -5", -5),
        ("5 - 8 = -3", -3),
        ("0.5", 0.5),
        (".5", 0.5),
        ("-.5", -0.5),
        ("1/2", 0.5),
        ("\\frac{1}{2}", 0.5),
        ("\\boxed{-\\dfrac{1}{2}}", -0.5),
        ("3 1/2", 3.5),
        ("-3 1/2", -3.5),
        ("$3\\frac{1}{2}$", 3.5),
        ("6/3", 2),
        ("1,234", 1234),
        ("1,234,567.89", 1234567.89),
        ("$1{,}234", 1234),
        ("1\\,234", 1234),
        ("1\u202f234\u202f567", 1234567),
        ("1'234'567", 1234567),
        ("1_000", 1000),
        ("1.234", 1.234),
        ("3.14159", 3.14159),
        ("3 million", 3_000_000),
        ("$1.5 million", 1_500_000),
        ("2 hundred", 200),
        ("1.5e3", 1500),
        ("1e-2", 0.01),
        ("6.02 × 10^23", 602 * 10**21),
        ("12345678901234567890", 12345678901234567890),
        ("50 %", 50),
        ("10 m/s", 10),
        ("The answer is 1,234 apples.", 1234),
    ],
)
def test_a_number_is_read(reply: str, value: float) -> None:
    found = answers.number(reply)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "no idea",
        "forty-two",
        "NaN",
        "inf",
        "∞",
        "3 or 4",
        "3, 4",
        "3,4",
        "3, or 4",
        "3 and 4",
        "3-4",
        "3–4",
        "3 - 4",
        "3 to 4",
        "between 3 and 4",
        "at least 3",
        "more than 3",
        "> 3",
        "≤ 3",
        "±3",
        "not 3",
        "It isn't 3.",
        "3:30",
        "3:4",
        "2020-01-02",
        "12/05/2020",
        "1.2.3",
        "1.234.567",
        "1.234,56",
        "3,5",
        "1,23",
        "1,2345",
        "12,34,567",
        "0,500",
        "1 234",
        "3rd",
        "3x",
        "3 x",
        "2\\pi",
        "2π",
        "\\boxed{2\\sqrt{3}}",
        "√3",
        "2^10",
        "2**10",
        "5^2",
        "5²",
        "3 + 4",
        "3(4)",
        "3!4",
        "5k",
        "5 K",
        "5M",
        "5bn",
        "1/0",
        "1/2/3",
        "1e9999",
        "1e99999",
        "1e500/3",
        "0." + "1" * 400,
        "1" * 5000,
        "x-5",
        "x - 5",
        "= - 5",
        "COVID-19",
        "H2O",
        "see step 3",
        "See chapter 3.",
        "question 3",
        "#3",
        "1. I can't tell.",
        "1. Multiply.",
        "½",
        "42½",
        "٤٢",
        "The answer is 3 or 4.",
        "The answer is 3, or maybe 4.",
        "The answer is 3 (or 4).",
        "The answer is 3 apples and 4 pears.",
        "The answer is 3 to 4.",
        "The answer is 3 out of 4.",
        "The answer is not 42.",
        "The answer is 41. No: the answer is not 41.",
        "The answer is unknown: 3 are missing.",
        "The wrong answer is 42; 43 is tempting too.",
        "\\boxed{3, 4}",
        "\\boxed{}",
        "It is 5. \\boxed{4",
        "\\boxed{5} or rather \\boxed{4",
        "It is 5. <answer>4",
        "<answer></answer> 4",
        "1\n2\n3",
        "41\n\n6 * 7 is\n42",
        "3 apples\nand 4 pears",
        "18. Because 9 * 2 = 18",
        "First 3.\nThen 4 more apples and so on",
        "Step 1: 3\nStep 2: 4",
        "<think>42</think>",
        "<think>The answer is 42.",
        "</think>",
    ],
)
def test_what_may_be_something_else_abstains(reply: str) -> None:
    assert answers.number(reply) is None


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("42", 42),
        ("1.234", 1234),
        ("1.234.567", 1234567),
        ("1.234,56 €", 1234.56),
        ("3,5", 3.5),
        ("-0,5 %", -0.5),
        ("Answer: 1\u202f234,5", 1234.5),
        ("1,234.56", None),
        ("3.5", None),
        ("3,5,7", None),
        ("0.500", None),
    ],
)
def test_a_decimal_comma_has_a_reader_of_its_own(reply: str, value: float | None) -> None:
    assert answers.european_number(reply) == value


@given(st.integers(-(10**18), 10**18), st.sampled_from(["{}", "{:,}", "{:_}", "{}.0", "{}.", "**{}**"]))
def test_every_integer_is_read_as_it_is_written(value: int, form: str) -> None:
    for sentence in ("{}", "The answer is {}.", "$\\boxed{{{}}}$", "1 + 1\n#### {}", "<answer>{}</answer>"):
        text = sentence.format(form.format(value))
        assert answers.number(text) == value


@given(st.decimals(-(10**9), 10**9, places=4))
def test_every_decimal_is_read_in_both_notations(value: object) -> None:
    english = f"{value:,}"
    assert answers.number(f"The answer is {english} km.") == float(str(value))
    european = english.translate(str.maketrans(",.", ".,"))
    assert answers.european_number(f"The answer is {european} km.") == float(str(value))


@given(st.integers(-999, 999), st.integers(1, 999))
def test_every_fraction_is_read(above: int, below: int) -> None:
    sign = "-" if above < 0 else ""
    for text in (f"{above}/{below}", f"{sign}\\frac{{{abs(above)}}}{{{below}}}"):
        assert answers.number(text) == float(Fraction(above, below))


# -- choice ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        "B",
        "b",
        " B.\n",
        "(B)",
        "(b)",
        "[B]",
        "B)",
        "B) Paris",
        "B. Paris",
        "B: Paris",
        "B - Paris",
        "**B**",
        "**B**: Paris",
        "*(B)*",
        "`B`",
        '"B"',
        "$B$",
        "Option B",
        "Option (B).",
        "option b",
        "B, because it is the capital.",
        "B because it is the capital.",
        "B is the capital.",
        "The answer is B",
        "The answer is B.",
        "The answer is b.",
        "The answer is (B) Paris.",
        "The answer is **B) Paris**.",
        "The correct answer is option B.",
        "The correct answer is B, not C.",
        "Answer: B",
        "**Answer:** B",
        "Answer: B) Paris",
        "Final answer: (B)",
        "(A) is wrong and (C) too, so the answer is (B).",
        "The answer is A. No, wait. The answer is B.",
        "A) Rome\nB) Paris\nC) Bonn\n\nAnswer: B",
        "\\boxed{B}",
        "\\boxed{\\text{B}}",
        "\\boxed{(B)}",
        "<answer>B</answer>",
        "Between A and C there is\nB",
        "I think B fits.",
        "A good choice is B.",
        "It is (B), I believe.",
        "B. A library is where books are.",
        "B) A library",
        "Answer: B) A library",
        "B\n\nExplanation: A is wrong because it has no books.",
        "<think>A</think>B",
        "#### B",
    ],
)
def test_all_ways_to_name_a_letter_are_one_vote(reply: str) -> None:
    assert answers.choice("ABCD")(reply) == "B"


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "E",
        "Paris",
        "A good question.",
        "I can't say.",
        "A or B",
        "A/B",
        "A, B",
        "both B and C",
        "The answer is A or B.",
        "The answer is (A) and (C).",
        "The answer is not B.",
        "not B",
        "It isn't B.",
        "(A) Rome (B) Paris",
        "A) Rome\nB) Paris",
        "A\nB",
        "The answer is a mystery.",
        "Because",
        "Plan-B",
        "B-17",
        "<think>B</think>",
        "B is wrong.",
        "B is not right.",
        "Option C is close, but option A is right.",
        "B because A is wrong.",
        "\\boxed{E}",
        "The answer is B. \\boxed{",
    ],
)
def test_a_letter_that_is_not_plainly_chosen_abstains(reply: str) -> None:
    assert answers.choice("ABCD")(reply) is None


def test_the_letters_may_be_digits_or_any_others() -> None:
    assert answers.choice("1234")("The answer is (3).") == "3"
    assert answers.choice("yn")("Y") == "Y"
    assert answers.choice("ABCDEFGHI")("I think it is H.") == "H"
    assert answers.choice()("E") == "E"


@pytest.mark.parametrize("letters", ["", "AA", "aA", "A B", "A,B", "ÄÖ", None, ["A", "B"]])
def test_letters_that_can_t_be_told_apart_are_refused(letters: object) -> None:
    with pytest.raises(ValueError, match=r"^letters must be .*, got " + re.escape(repr(letters))):
        answers.choice(letters)  # type: ignore[arg-type]  # what is wrong is the point


# -- label -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("positive", "positive"),
        ("Positive.", "positive"),
        ("**POSITIVE**", "positive"),
        ("It is positive.", "positive"),
        ("Sentiment: positive", "positive"),
        ("The answer is positive, though negative words occur.", "positive"),
        ("Not negative, for sure.\nAnswer: positive", "positive"),
        ("Some negative words, but overall:\n\npositive", "positive"),
        ("<think>negative?</think>positive", "positive"),
        ("\\boxed{\\text{positive}}", "positive"),
        ("It isn't positive.", None),
        ("positive is wrong", None),
        ("not positive", None),
        ("positive or negative", None),
        ("positive\nnegative", None),
        ("positively", None),
        ("nonpositive", None),
        ("mixed", None),
        ("", None),
    ],
)
def test_the_one_label_is_read(reply: str, value: str | None) -> None:
    assert answers.label("positive", "negative", "neutral")(reply) == value


def test_the_longer_of_two_labels_is_read_and_given_back_as_written() -> None:
    read = answers.label("spam", "Not spam")
    assert read("not-spam") == "Not spam"
    assert read("This is NOT  SPAM.") == "Not spam"
    assert read("This is spam") == "spam"
    assert read("This isn't spam") is None
    assert answers.label("yes", "no")("No.") == "no"


@pytest.mark.parametrize(
    "labels", [(), ("a", "A"), ("a", "a"), ("",), ("+",), ("a", None), ("not-a", "not a")]
)
def test_labels_that_can_t_be_told_apart_are_refused(labels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"^labels must be different texts"):
        answers.label(*labels)


# -- text ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("a\nb", "b"),
        ("a\n  b   c \n\n", "b c"),
        ("so:\n**b**", "b"),
        ("so:\n`b`", "b"),
        ("so:\n> b", "b"),
        ("so:\n## b", "b"),
        ("C#", "C#"),
        ("so:\n```python\nb\n```", "b"),
        ("b\n---\n", "b"),
        ("-5", "-5"),
        ("<think>a\nb</think>", None),
        ("", None),
        ("\n \n", None),
    ],
)
def test_the_last_line_is_read(reply: str, value: str | None) -> None:
    assert answers.last_line(reply) == value


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("\\boxed{x  +\n1}", "x + 1"),
        ("\\boxed{\\frac{1}{2}}", "\\frac{1}{2}"),
        ("\\boxed{1} and \\boxed{2}", "2"),
        ("\\boxed {2}", "2"),
        ("\\boxed{\\{1, 2\\}}", "\\{1, 2\\}"),
        ("\\boxed{\\boxed{2}}", "\\boxed{2}"),
        ("\\boxed{1} and \\boxed{2", None),
        ("\\boxed{ }", None),
        ("boxed{2}", None),
        ("<think>\\boxed{1}</think>2", None),
    ],
)
def test_the_last_box_is_read(reply: str, value: str | None) -> None:
    assert answers.boxed(reply) == value


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("<answer>a  b</answer>", "a b"),
        ("<ANSWER>\na\n</Answer>", "a"),
        ('<answer lang="en">a</answer>', "a"),
        ("<answer>a</answer> or <answer>b</answer>", "b"),
        ("<answer><answer>b</answer>", "b"),
        ("<answer>a</answer> or <answer>b", None),
        ("<answer> </answer>", None),
        ("a</answer>", None),
        ("<answers>a</answers>", None),
        ("<think><answer>a</answer></think>", None),
    ],
)
def test_the_last_tag_is_read(reply: str, value: str | None) -> None:
    assert answers.tagged()(reply) == value


def test_a_tag_has_a_name_and_what_stands_in_it_may_be_read_further() -> None:
    read = answers.tagged("result", then=answers.number)
    assert read("7, 8? <result>about $42</result>") == 42
    assert read("<result>7 or 8</result>") is None
    assert read("42") is None
    assert answers.tagged(then=answers.last_line)("<answer>a\nb</answer>") == "b"


@pytest.mark.parametrize("tag", ["", "<answer>", "a b", "1", None, 3])
def test_what_is_no_tag_is_refused(tag: object) -> None:
    with pytest.raises(ValueError, match=r"^tag must be .*, got " + re.escape(repr(tag))):
        answers.tagged(tag)  # type: ignore[call-overload]  # what is wrong is the point


def test_what_is_no_reader_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^then must be .*, got 'number'"):
        answers.tagged(then="number")  # type: ignore[call-overload]  # what is wrong is the point


# -- JSON ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        '{"b": [1, 2], "a": "ä"}',
        '{"a":"ä","b":[1,2]}',
        '{"a": "\\u00e4", "b": [1.0, 2e0]}',
        'Here you are:\n```json\n{"b": [1, 2],\n "a": "ä"}\n```',
        '<think>{"a": 1}</think>{"b": [1, 2], "a": "ä"}',
    ],
)
def test_order_spacing_and_notation_do_not_split_a_json_vote(reply: str) -> None:
    assert answers.canonical_json(reply) == '{"a":"ä","b":[1,2]}'


@pytest.mark.parametrize("reply", ["", "42", '"a"', '{"a": NaN}', '{"a": 1', "none"])
def test_what_holds_no_json_abstains(reply: str) -> None:
    assert answers.canonical_json(reply) is None


def test_what_differs_stays_different_as_json() -> None:
    for one, other in (
        ("[1, 2]", "[2, 1]"),
        ('{"a": 1}', '{"a": "1"}'),
        ('{"a": 1}', '{"a": true}'),
        ('{"a": 9007199254740993}', '{"a": 9007199254740993.0}'),
        ('{"a": null}', "{}"),
    ):
        assert answers.canonical_json(one) != answers.canonical_json(other)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(st.text(), JSON, max_size=3)
    | st.lists(st.lists(JSON, max_size=3), min_size=1, max_size=3)
)
def test_the_canonical_form_is_the_same_value_and_its_own_canonical_form(value: object) -> None:
    form = answers.canonical_json(json.dumps(value, indent=2))
    assert form is not None
    assert json.loads(form) == value
    assert answers.canonical_json(form) == form


# -- every reader ----------------------------------------------------------------------------------------

SCRAPS = st.sampled_from(
    [
        *(
            "\\boxed{",
            "}",
            "{",
            "<answer>",
            "</answer>",
            "<think>",
            "</think>",
            "answer is ",
            "Answer:",
            "#### ",
        ),
        *("B", "(B)", "positive", "negative", "not ", "42", "1,234", ".", ",", "-", "/", " ", "$", "**", "="),
        *("%", "^", "e5", "\\frac{1}{2}", "million", '{"a": 1}', "[1]", "```", "or", "²", "٤", "\n"),
    ]
)
REPLIES = st.lists(SCRAPS | st.text(max_size=5), max_size=12).map("".join)


@pytest.mark.parametrize("name", READERS)
@given(reply=REPLIES)
def test_a_reader_takes_any_text_and_gives_something_that_can_be_counted(name: str, reply: str) -> None:
    answer = READERS[name](reply)
    hash(answer)
    assert answer is None or isinstance(answer, (str, int, float))
    assert not isinstance(answer, float) or math.isfinite(answer)
    assert json.loads(json.dumps(answer)) == answer


@pytest.mark.parametrize("name", READERS)
@given(thought=REPLIES, reply=REPLIES)
def test_thoughts_do_not_count(name: str, thought: str, reply: str) -> None:
    thought, reply = (re.sub("</?think>", "", text) for text in (thought, reply))
    # A thought's tag in quotes, or in a JSON string, is text.
    if thought[-1:] + reply[:1] not in ('""', "''", "``") and (
        name != "canonical_json" or '"' not in thought + reply
    ):
        assert READERS[name](f"<think>{thought}</think>{reply}") == READERS[name](reply)


LENGTH = 25_000
# Texts that lead a reader on, again and again.
LURES = [
    *(
        "\\boxed{",
        "\\boxed{}",
        "<answer>",
        "<answer></answer>",
        "<answer ",
        "answer is ",
        "answer to ",
        "answer:\n",
    ),
    *(
        "1",
        "1 ",
        "1,",
        "1.",
        "1/",
        "111,",
        "1 1/",
        "1e",
        "1=",
        "x^{",
        "\\frac{1}",
        "step ",
        "e",
        "=",
        "- ",
        "-",
    ),
    *(" ", "\n", "*", "* ", "$", "{", "[", "(A", "A ", "A or ", "not ", "positive ", "```\n", "<", "<a", "#"),
    *(
        "no ",
        "No, ",
        "so, ",
        "A, ",
        "A (",
        "3, ",
        "3; ",
        "5 or ",
        "minus ",
        "million ",
        "[3, ",
        "x = ",
        "\\a{",
        "_{",
    ),
    *(
        "答案是",
        "答案是3、",
        "故选A、",
        "，",
        "万",
        "&lt;",
        "antwort ist ",
        "Word ",
        "answer is\n- ",
        "no doubt ",
    ),
]


@pytest.mark.timeout(4)
@pytest.mark.parametrize("lure", LURES)
def test_a_long_reply_takes_no_longer_than_its_length(lure: str) -> None:
    # A reader whose time grows with the square of the length runs into the time limit here.
    for name in ("number", "choice", "label", "tagged"):
        READERS[name](lure * (LENGTH // len(lure)))
