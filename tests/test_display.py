"""Results show themselves: in one line, in notebooks, and on terminals, whatever they hold."""

import io
import pickle
import pkgutil
import pprint
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from decimal import Decimal
from functools import partial
from importlib import import_module
from typing import (
    Any,
    Literal,
    NamedTuple,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)
from xml.etree import ElementTree

import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import executionkit
from executionkit import (
    BestOfNResult,
    ConsensusResult,
    Conversation,
    Evaluation,
    Kit,
    LLMResponse,
    MockProvider,
    Pairwise,
    PatternResult,
    Provider,
    Rates,
    RefineResult,
    Rubric,
    StructuredResult,
    Tier,
    TokenUsage,
    Tool,
    ToolCall,
    best_of_n,
    cascade,
    consensus,
    map_reduce,
    pipe,
    react_loop,
    refine_loop,
    structured,
    tool,
)
from executionkit._display import Brief, Displayed
from executionkit._display._glimpse import glimpse
from executionkit._prompt import Data
from executionkit.engine.run import Run
from executionkit.patterns.refine_loop import Attempt

LIMIT = 400
KEY = "sk-0123456789abcdef"
PROMPT = "the-words-of-the-prompt"

for module in pkgutil.walk_packages(executionkit.__path__, "executionkit."):
    if not module.name.endswith("__main__") and "._demo" not in module.name:
        import_module(module.name)


def subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for each in kind.__subclasses__():
        # A slotted dataclass leaves the class behind that it was made from.
        if vars(sys.modules.get(each.__module__)).get(each.__name__) is each:
            yield each
        yield from subclasses(each)


RESULTS = [PatternResult, *dict.fromkeys(subclasses(PatternResult))]
OTHERS = [
    kind
    for kind in dict.fromkeys(subclasses(Brief))
    if is_dataclass(kind) and not issubclass(kind, (PatternResult, Tool, Tier, Rubric, Pairwise))
]


# -- Values that are hard to show ------------------------------------------------------------------------


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class Loud:
    def __repr__(self) -> str:
        return "loud\n\x1b[2J" * 100_000


@dataclass
class Order:
    item: Any
    note: str = "x" * 1_000_000
    key: str = field(default=KEY, repr=False)


class Model(pydantic.BaseModel):
    text: str = "y" * 1_000_000
    key: pydantic.SecretStr = pydantic.SecretStr(KEY)
    rows: list[int] = list(range(10_000))


def _endless() -> list[Any]:
    loop: list[Any] = [1]
    loop.append({"again": loop})
    return loop


MARKUP = (
    "[bold]x[/bold] <script>alert(1)</script><b onclick='x'>&amp;\x1b[31m\x07\x9b\u202e\ud800\ufffe :smile: "
)
TEXTS = st.one_of(
    # Made by multiplication: hypothesis writes out its strategies.
    st.builds(str.__mul__, st.sampled_from(["z", "&", "\U0001f600", "\x00"]), st.sampled_from([1, 400_000])),
    st.builds(str.__mul__, st.just(MARKUP), st.sampled_from([1, 10, 1_000])),
    st.text(max_size=20),
)
VALUES: st.SearchStrategy[Any] = st.one_of(
    TEXTS,
    st.sampled_from([float("nan"), float("inf"), None, True, {1, 2}, print]),
    st.builds(bytes, st.just(1_000_000)),
    st.builds(pow, st.just(10), st.just(6_000)),
    st.builds(Rude),
    st.builds(Loud),
    st.builds(Model),
    st.builds(Order, TEXTS),
    st.builds(_endless),
    TEXTS.map(lambda text: {text: [text] * 5_000}),
)
COUNTS = st.one_of(st.integers(0, 10), st.just(10**30))
MESSAGES = st.one_of(
    st.builds(
        lambda text: {"role": "assistant", "content": text, "tool_calls": [_raw_call(text)]},
        TEXTS,
    ),
    st.builds(lambda text: {"role": "tool", "tool_call_id": "1", "content": text}, TEXTS),
)


def _look() -> str:
    return ""


def _raw_call(text: str) -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": "t", "arguments": text}}


def _is_many(hint: Any) -> bool:
    return get_origin(hint) is list or (get_origin(hint) is tuple and get_args(hint)[-1] is ...)


def of(hint: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation, all of them hard to show."""
    origin, args = get_origin(hint), get_args(hint)
    plain: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXTS,
        bool: st.booleans(),
        int: COUNTS,
        float: st.floats(0, 1),
        Decimal: st.decimals(-(10**39), 10**39, allow_nan=False, allow_infinity=False),
        type(None): st.none(),
    }
    if hint in plain:
        return plain[hint]
    if origin is Literal:
        return st.sampled_from(args)
    if origin in (Union, types.UnionType):
        return st.one_of(*map(of, args))
    if origin is Sequence:
        return st.lists(of(args[0]), max_size=3).map(lambda items: items * 400)
    if _is_many(hint):
        times = 4 if _is_many(args[0]) else 400  # a million things would show nothing more
        return st.lists(of(args[0]), max_size=3).map(lambda items: origin(items * times))
    if origin is tuple:
        return st.tuples(*map(of, args))
    if hint == Mapping[str, Any]:
        return MESSAGES
    if hint == dict[str, Any]:  # metadata, which is copied
        return st.dictionaries(TEXTS, st.one_of(COUNTS, TEXTS, st.floats()), max_size=3)
    if origin in (dict, Mapping):
        return st.dictionaries(of(args[0]), of(args[1]), max_size=3)
    if is_typeddict(hint):
        return st.fixed_dictionaries({name: of(each) for name, each in get_type_hints(hint).items()})
    if isinstance(hint, TypeVar) and hint.__bound__ is None and hint.__name__ == "Answer_co":
        return TEXTS
    if hint is Tool:
        return st.builds(lambda text: Tool("t", text, {"type": "object", "properties": {}}, _look), TEXTS)
    if isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, tuple)):
        return st.builds(hint, **{name: of(each) for name, each in fields_of(hint).items()})
    return VALUES


def fields_of(kind: Any) -> dict[str, Any]:
    names = kind.__dataclass_fields__ if is_dataclass(kind) else kind.__annotations__
    hints = {
        name: hint for name, hint in get_type_hints(kind).items() if name in names and name != "metadata"
    }
    return {name: hint for name, hint in hints.items() if kind.__name__ not in str(hint)}


def recorded(value: object, width: int, **settings: Any) -> str:
    console = pytest.importorskip("rich.console").Console(
        width=width,
        file=io.StringIO(),
        force_terminal=True,
        color_system=None,
        legacy_windows=False,
        **settings,
    )
    console.print(value)
    return str(console.file.getvalue())


def page(value: Displayed) -> ElementTree.Element:
    """The HTML of a value, which is well-formed, small, and holds nothing that runs or is fetched."""
    text = value._repr_html_()
    assert len(text.encode()) < 50_000
    root = ElementTree.fromstring(text)
    for element in root.iter():
        assert element.tag not in {"script", "style", "a", "img", "iframe", "b"}
        assert not any(name.startswith("on") for name in element.attrib)
        if element.tag == "svg":
            assert element.get("role") == "img"
            assert element.get("aria-label")
        assert "color:" not in element.get("style", "").replace("currentColor", "")
    return root


def printed(text: str) -> None:
    """Require that a text moves no cursor and turns no line."""
    assert not [c for c in text if c != "\n" and (c < " " or "\x7f" <= c <= "\x9f" or c in "\u202e\ufffe")]


SOME = settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("kind", RESULTS, ids=lambda kind: kind.__name__)
@SOME
@given(data=st.data())
def test_a_result_of_anything_shows_itself(kind: type[PatternResult[Any]], data: st.DataObject) -> None:
    result = data.draw(of(kind))
    line = repr(result)
    assert len(line) < LIMIT
    assert line.startswith(f"{kind.__name__}(")
    assert KEY not in line
    printed(line)
    page(result)
    assert KEY not in result._repr_html_()
    for width in (40, 80, 120):
        text = recorded(result, width)
        printed(text)
        assert KEY not in text


@pytest.mark.parametrize("kind", OTHERS, ids=lambda kind: kind.__name__)
@SOME
@given(data=st.data())
def test_other_values_have_a_short_repr(kind: type[Any], data: st.DataObject) -> None:
    line = repr(data.draw(of(kind)))
    assert len(line) < LIMIT
    assert KEY not in line
    printed(line)


# -- What is shown ---------------------------------------------------------------------------------------


@dataclass
class OwnProvider:
    """A provider of a user's, whose own `repr` shows its key."""

    api_key: str
    inner: MockProvider
    supports_tools: Literal[True] = True

    async def complete(self, messages: Any, **kwargs: Any) -> LLMResponse:
        return await self.inner.complete(messages, **kwargs)


@tool
def price(item: str) -> float:
    """The price of an item."""
    return 3.2


def answering(*replies: str | LLMResponse) -> OwnProvider:
    return OwnProvider(KEY, MockProvider(list(replies), usage=TokenUsage(44, 2)))


def test_a_dataclass_and_a_named_tuple_are_walked_so_that_what_they_hold_is_shown_as_anywhere() -> None:
    class Pair(NamedTuple):
        first: Any
        second: Any

    held = glimpse(Order(Pair(answering(), Loud())), 200)
    assert held.startswith("Order(item=Pair(first=<OwnProvider>, second=loud")
    assert KEY not in held


def _by_length(text: str, provider: object) -> Evaluation:
    return Evaluation(len(text) / 10, "Shorter.")


async def shown_values() -> dict[str, Displayed]:
    asked = LLMResponse("", [ToolCall("1", "price", {"item": "tea"})], usage={"prompt_tokens": 90})
    kit = Kit(answering("Paris"), system=PROMPT, max_cost=TokenUsage(llm_calls=10, output_tokens=300))
    chat = kit.conversation(tools=[price])
    await chat.send(PROMPT)
    return {
        "consensus": await consensus(answering("Paris", "Lyon", "Paris", "Nice", "Paris"), PROMPT),
        "cascade": await cascade([Tier(answering("Paris", "Lyon"), 2), Tier(answering("Lyon"))], PROMPT),
        "best_of_n": await best_of_n(answering("one", "three"), PROMPT, num_samples=2, evaluator=_by_length),
        "refine_loop": await refine_loop(
            answering("one", "seven", "wonderful"), PROMPT, evaluator=_by_length
        ),
        "react_loop": await react_loop(answering(asked, "Tea costs 3.20."), PROMPT, [price]),
        "structured": await structured(answering('{"title": "M", "year": 1931}'), PROMPT),
        "map_reduce": await map_reduce(
            answering("note"), ["a", PROMPT, "c"], map_prompt="{input}", reduce_prompt=PROMPT
        ),
        "pipe": await pipe(answering("Paris"), PROMPT, partial(consensus, num_samples=2), consensus),
        "conversation": chat,
        "kit": kit,
    }


LINES = {
    "consensus": "ConsensusResult('Paris', agreement 3/5, 5 calls, 220 + 10 tokens)",
    "cascade": "CascadeResult('Lyon', tier 1, agreement 1/1, 3 calls, 132 + 6 tokens)",
    "best_of_n": "BestOfNResult('three', score 0.50, best of 2, 2 calls, 88 + 4 tokens)",
    "refine_loop": "RefineResult('wonderful', score 0.90, 2 iterations, target, 3 calls, 132 + 6 tokens)",
    "react_loop": "ReactResult('Tea costs 3.20.', 2 rounds, 1 tool call, 2 calls, 134 + 2 tokens)",
    "structured": "StructuredResult({'title': 'M', 'year': 1931}, 1 call, 44 + 2 tokens)",
    "map_reduce": "MapReduceResult('note', 3 inputs, 1 reduction, 4 calls, 176 + 8 tokens)",
    "pipe": "PipeResult('Paris', score 1.00, 2 steps, 7 calls, 308 + 14 tokens)",
    "conversation": "Conversation(<OwnProvider>, 1 turn, 3 messages, 1 call, 44 + 2 tokens)",
    "kit": "Kit(<OwnProvider>, 1 call, 44 + 2 tokens, 9 calls and 298 output tokens left)",
}


async def test_every_value_has_its_line_and_shows_neither_key_nor_prompt() -> None:
    values = await shown_values()
    assert {name: repr(value) for name, value in values.items()} == LINES
    for value in values.values():
        drawings = [repr(value), "".join(page(value).itertext()), value._repr_html_(), recorded(value, 80)]
        for drawing in drawings:
            assert KEY not in drawing
            assert PROMPT not in drawing


async def test_a_card_has_the_figures_the_charts_and_the_lists() -> None:
    values = await shown_values()
    votes = page(values["consensus"])
    labels = [svg.get("aria-label") for svg in votes.iter("svg")]
    assert labels == ["Paris: 3", "Lyon: 1", "Nice: 1"]
    phrased = ConsensusResult("Paris", agreement_by_variant=(0.5, None, 1.0))
    labels = [svg.get("aria-label") for svg in page(phrased).iter("svg")]
    assert labels == ["prompt: 0.50", "variant 1: no answer", "variant 2: 1.00"]
    escalated = page(values["cascade"])
    assert [svg.get("aria-label") for svg in escalated.iter("svg")] == ["Paris: 1", "Lyon: 1", "Lyon: 1"]
    assert "cost of tier 02 calls, 88 + 4 tokenscost of tier 11 call, 44 + 2 tokens" in "".join(
        escalated.itertext()
    )
    widths = [float(bar.get("width", "")) for bar in votes.iter("rect")]
    assert widths == [100.0, 33.3, 33.3]
    (scores,) = page(values["refine_loop"]).iter("svg")
    assert scores.get("aria-label") == "Scores: 0.30, 0.50, 0.90"
    text = "".join(page(values["react_loop"]).itertext())
    assert 'price({"item":"tea"})3.2' in text
    assert "134 in, 2 out" in text

    text = recorded(values["consensus"], 40)
    bars = [line.count("█") for line in text.splitlines() if "█" in line]
    assert bars == [13, 4, 4]
    assert "▃▅▇  0.30, 0.50, 0.90" in recorded(values["refine_loop"], 80)
    assert 'price({"item":"tea"}) → 3.2' in recorded(values["react_loop"], 80)
    assert "9 calls and 298 output tokens" in recorded(values["kit"], 80)


def test_a_text_is_neither_markup_nor_a_command() -> None:
    result = PatternResult(MARKUP)
    assert MARKUP[:46] in "".join(page(result).itertext())
    text = recorded(result, 200)
    assert MARKUP[:46] in text
    assert ":smile:" in text
    printed(text)


def test_a_long_answer_says_how_much_is_missing() -> None:
    result = PatternResult("x" * 1_000_000)
    assert "997,000 more characters" in "".join(page(result).itertext())
    assert "998,000 more characters" in recorded(result, 80)
    many = ConsensusResult("0", votes=tuple((str(n), 1) for n in range(1_000)), samples_used=1_000)
    assert "agreement 1/1000" in repr(many)
    assert "StructuredResult{}" in "".join(page(StructuredResult[Any]({})).itertext())
    assert "… 990 more" in "".join(page(many).itertext())


def test_a_score_that_is_no_number_is_not_said_to_be_one() -> None:
    result = RefineResult("a", score_history=[0.1, float("nan"), 0.9])
    assert "Scores: 0.10, nan, 0.90" in "".join(page(result).itertext())
    assert "0.10, nan, 0.90" in recorded(result, 80)


def test_dollars_are_shown_where_there_are_any() -> None:
    result = PatternResult("x", cost=TokenUsage(220, 10, 5, usd="0.0000042"))
    assert repr(result) == f"PatternResult('x', {result.cost})"
    assert str(result.cost) == "5 calls, 220 + 10 tokens, $0.0000042"
    assert "dollars$0.0000042" in "".join(page(result).itertext())
    assert str(result.cost) in recorded(result, 80)
    kit = Kit(MockProvider(prices=Rates("0.15", "0.60")), max_cost=TokenUsage(usd="0.00005"))
    assert repr(kit) == "Kit(<MockProvider>, 0 calls, 0 + 0 tokens, $0.00005 left)"


def test_a_cost_that_is_no_usage_is_left_out() -> None:
    result = PatternResult("x", cost=cast("Any", types.SimpleNamespace(llm_calls=1)))
    assert repr(result) == "PatternResult('x')"


@pytest.mark.parametrize("letter", ["&", '"', "\U0001f600"])
def test_a_card_is_small_whatever_is_in_it(letter: str) -> None:
    text = letter * 10_000
    many = [text] * 100
    page(
        BestOfNResult(
            text, candidates=many, scores=[0.5] * 100, feedback=many, failures=tuple(many), failed=100
        )
    )
    page(RefineResult(text, score_history=[0.5] * 1_000, attempts=[Attempt(text, 0.5, text)] * 100))
    page(StructuredResult({f"{letter * 200}{n}": text for n in range(100)}, text=text))


@dataclass(frozen=True)
class OwnResult(PatternResult[str]):
    drafts: int = 0
    notes: tuple[str, ...] = ()
    tone: str = ""


@dataclass(frozen=True)
class Signed(PatternResult[str]):
    def __repr__(self) -> str:
        return "signed"


def test_a_result_of_a_users_own_shows_its_figures() -> None:
    result = OwnResult(
        "x", 0.5, metadata={"seen": 7, "prompt": PROMPT}, drafts=3, notes=("a", "b"), tone="dry"
    )
    assert repr(result) == "OwnResult('x', score 0.50, drafts 3, 0 calls, 0 + 0 tokens)"
    text = "".join(page(result).itertext())
    assert all(each in text for each in ("drafts3", "notes2", "tonedry", "seen7"))
    assert PROMPT not in text
    assert repr(Signed("x")) == "signed"


def test_showing_a_result_changes_nothing_else_of_it() -> None:
    result = RefineResult("x" * 10_000, 0.5, score_history=[0.5] * 1_000)
    assert str(result) == result.value
    assert pickle.loads(pickle.dumps(result)) == result
    assert len(result.to_dict()["value"]) == 10_000
    assert pprint.pformat(result) == repr(result)
    pretty = pytest.importorskip("rich.pretty")
    assert pretty.pretty_repr(result) == repr(result)


class Counted:
    calls = 0

    def __repr__(self) -> str:
        Counted.calls += 1
        return "counted"


def test_no_more_of_a_value_is_walked_than_is_shown() -> None:
    assert glimpse([Counted() for _ in range(100_000)]).endswith("more]")
    assert Counted.calls < 10
    assert glimpse(_endless()) == "[1, {'again': [1, {'again': …}]}]"
    assert glimpse([Rude(), Order("tea"), Model()], 200).startswith(
        "[<Rude object>, Order(item='tea', note='xx"
    )
    assert glimpse(price.execute) == "<function price>"
    assert glimpse(partial(price.execute, KEY)) == "<partial of <function price>>"
    assert glimpse((1,)) == "(1,)"
    assert glimpse({"a": Data("data:image/png;base64,AAAA")}) == "{'a': <image/png, 3 bytes>}"


def test_settings_have_a_short_repr() -> None:
    long = "x" * 100_000
    schema = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(1_000)}}
    values = [
        Tool("t", long, schema, lambda **_: "", strict=False),
        Rubric(long, judge=answering()),
        Pairwise(long, judge=answering()),
        Provider("http://localhost/" + long, long, KEY, headers={long: KEY}),
        Kit(Provider("http://localhost/" + long, long, KEY)),
        Conversation(Provider("http://localhost/" + long, long, KEY)),
        Run(long, MockProvider()),
    ]
    for value in values:
        assert len(repr(value)) < LIMIT
        assert KEY not in repr(value)
    assert repr(ToolCall("1", "price", {"item": "tea"})) == (
        "ToolCall(id='1', name='price', arguments={'item': 'tea'})"
    )


def test_a_terminal_without_unicode_gets_ascii() -> None:
    console = pytest.importorskip("rich.console")
    result = ConsensusResult("a", votes=(("a", 2), ("b", 1)), samples_used=3)
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding="ascii")
    console.Console(width=60, file=file).print(result)
    file.flush()
    assert b"####" in raw.getvalue()
