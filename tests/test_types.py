"""TokenUsage, PatternResult, Tool and VotingStrategy: frozen, checked, copied, pickled."""

import copy
import json
import math
import pickle
from collections.abc import AsyncIterator, Callable, Hashable, Iterator
from dataclasses import FrozenInstanceError, dataclass, field, fields, replace
from enum import IntEnum
from functools import partial, wraps
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executionkit import (
    ConsensusResult,
    LLMProvider,
    PatternResult,
    PipeResult,
    ReactResult,
    RefineResult,
    TokenUsage,
    Tool,
    VotingStrategy,
)

PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def copies(value: Any) -> list[Any]:
    pickled = [pickle.loads(pickle.dumps(value, protocol)) for protocol in PROTOCOLS]
    return [*pickled, copy.copy(value), copy.deepcopy(value)]


# -- TokenUsage ------------------------------------------------------------------------------------------

usages = st.builds(TokenUsage, *[st.integers(-(10**12), 10**12)] * 3)


def test_usage_is_zero_by_default_and_takes_its_fields_in_order() -> None:
    assert TokenUsage() == TokenUsage(0, 0, 0)
    usage = TokenUsage(1, 2, 3)
    assert (usage.input_tokens, usage.output_tokens, usage.llm_calls) == (1, 2, 3)


@given(usages, usages)
def test_usage_adds_field_by_field(a: TokenUsage, b: TokenUsage) -> None:
    for name in ("input_tokens", "output_tokens", "llm_calls"):
        assert getattr(a + b, name) == getattr(a, name) + getattr(b, name)
    assert a + b == b + a
    assert a + TokenUsage() == a


@pytest.mark.parametrize("other", [1, None, (1, 2, 3)])
def test_usage_adds_to_nothing_else(other: Any) -> None:
    with pytest.raises(TypeError):
        TokenUsage() + other


class Small(IntEnum):
    ONE = 1


@pytest.mark.parametrize("value", [1.0, "1", None, True, math.nan, Small.ONE], ids=repr)
@pytest.mark.parametrize("name", ["input_tokens", "output_tokens", "llm_calls"])
def test_usage_holds_integers_only(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be an int, got ") as caught:
        TokenUsage(**{name: value})
    assert repr(value) in str(caught.value)


def test_usage_is_frozen_hashable_and_has_no_room_for_more() -> None:
    usage = TokenUsage(1, 2, 3)
    with pytest.raises(FrozenInstanceError):
        usage.llm_calls = 0  # type: ignore[misc]  # what is refused
    with pytest.raises((AttributeError, TypeError)):
        object.__setattr__(usage, "extra", 1)
    assert {usage: "x"}[TokenUsage(1, 2, 3)] == "x"
    assert copies(usage) == [usage] * len(copies(usage))


# -- PatternResult ---------------------------------------------------------------------------------------


def test_result_defaults() -> None:
    result = PatternResult("text")
    assert (result.value, result.score, result.cost, dict(result.metadata)) == (
        "text",
        None,
        TokenUsage(),
        {},
    )


@pytest.mark.parametrize("value", ["text", "", 3, None, {"a": True}])
def test_str_of_a_result_is_str_of_its_value(value: object) -> None:
    assert str(PatternResult(value)) == str(value)


def test_a_result_can_be_made_subscripted() -> None:
    assert PatternResult[str]("x") == PatternResult("x")
    assert PatternResult[dict[str, int]]({"a": 1}, score=0.5).score == 0.5
    assert PipeResult[int](1, step_count=2).step_count == 2


@pytest.mark.parametrize("make", [dict, MappingProxyType], ids=["dict", "proxy"])
def test_metadata_is_read_only_and_shares_nothing_with_its_maker(make: Any) -> None:
    inner: dict[str, Any] = {"scores": [0.1, 0.2], "deep": {"list": [[1]]}}
    result = PatternResult("x", metadata=make(inner))
    assert isinstance(result.metadata, MappingProxyType)
    with pytest.raises(TypeError):
        result.metadata["new"] = 1  # type: ignore[index]  # what is refused
    inner["scores"].append(9.9)
    inner["deep"]["list"][0].append(2)
    inner["more"] = []
    assert result.metadata == {"scores": [0.1, 0.2], "deep": {"list": [[1]]}}


def test_a_result_is_frozen() -> None:
    result = PatternResult("x")
    for name in ("value", "score", "cost", "metadata", "new"):
        with pytest.raises(FrozenInstanceError):
            setattr(result, name, None)
    with pytest.raises(FrozenInstanceError):
        del result.score


def test_two_results_never_share_the_default_metadata() -> None:
    assert PatternResult("a").metadata is not PatternResult("b").metadata


@dataclass(frozen=True)
class Vote(PatternResult[str]):
    votes: int = 0
    history: list[float] = field(default_factory=list)


def test_fields_of_a_subclass_are_mirrored_in_metadata() -> None:
    vote = Vote("x", metadata={"note": "n", "votes": 99}, votes=3, history=[0.5])
    assert vote.metadata == {"note": "n", "votes": 3, "history": [0.5]}
    vote.history.append(0.9)
    assert vote.metadata["history"] == [0.5]


def test_replacing_a_field_replaces_its_mirror() -> None:
    assert replace(Vote("x", votes=3), votes=4).metadata["votes"] == 4


RESULTS: list[PatternResult[Any]] = [
    PatternResult("x", 0.5, TokenUsage(1, 2, 3), {"k": [1, {"a": (2,)}]}),
    PatternResult[str]("x"),
    Vote("x", votes=2, history=[0.1]),
    ConsensusResult[Hashable](
        "x", unique_responses=2, answer=(1,), votes=((4, 2), ("b", 1)), failures=("e",)
    ),
    RefineResult("x", iterations=1, converged=True, score_history=[0.1, 0.9], stop_reason="target"),
    ReactResult("x", rounds=2, tool_calls_made=1),
    ReactResult[list[int]]([1], text="Here."),
    PipeResult({"a": [1]}, metadata={"rounds": 1}, step_count=1, step_metadata=[{"rounds": 1}]),
]


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_results_survive_pickling_and_copying(result: PatternResult[Any]) -> None:
    for twin in copies(result):
        assert type(twin) is type(result)
        assert twin == result
        assert isinstance(twin.metadata, MappingProxyType)


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_metadata_mirrors_every_field_of_the_patterns_results(result: PatternResult[Any]) -> None:
    own = [f for f in fields(result) if f.name not in {f.name for f in fields(PatternResult)}]
    for f in own:
        if f.metadata.get("mirrored", True):
            assert result.metadata[f.name] == getattr(result, f.name)
        else:
            assert f.name not in result.metadata


@pytest.mark.parametrize("result", RESULTS, ids=lambda result: type(result).__name__)
def test_results_turn_into_json(result: PatternResult[Any]) -> None:
    told = json.loads(json.dumps(result.to_dict()))
    assert told["value"] == result.value
    assert told["score"] == result.score
    assert told["cost"] == {
        "input_tokens": result.cost.input_tokens,
        "output_tokens": result.cost.output_tokens,
        "llm_calls": result.cost.llm_calls,
    }
    assert told["metadata"].keys() == result.metadata.keys()


def test_a_deep_copy_shares_no_list() -> None:
    vote = PatternResult({"answer": [1]}, metadata={"history": [0.1]})
    twin = copy.deepcopy(vote)
    twin.metadata["history"].append(0.2)
    twin.value["answer"].append(2)
    assert vote.metadata["history"] == [0.1]
    assert vote.value == {"answer": [1]}


# -- Tool ------------------------------------------------------------------------------------------------

PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Rome", "Oslo"]}},
    "required": ["city"],
}


async def weather(city: str) -> str:
    return f"{city}: rain"


def tool(**changes: Any) -> Tool:
    given: dict[str, Any] = {
        "name": "weather",
        "description": "The weather.",
        "parameters": PARAMETERS,
        "execute": weather,
    }
    return Tool(**{**given, **changes})


def test_a_tool_takes_its_fields_in_order_and_thirty_seconds() -> None:
    made = Tool("weather", "The weather.", PARAMETERS, weather)
    assert made == tool()
    assert made.timeout == 30.0


def test_a_tools_schema_is_plain_json_of_its_own() -> None:
    made = tool()
    schema = made.to_schema()
    assert schema == {
        "type": "function",
        "function": {"name": "weather", "description": "The weather.", "parameters": PARAMETERS},
    }
    assert json.loads(json.dumps(schema)) == schema
    schema["function"]["parameters"]["properties"]["city"]["enum"].append("Bonn")
    assert made.to_schema()["function"]["parameters"] == PARAMETERS


def test_a_tools_parameters_are_copied_and_read_only_however_deep() -> None:
    parameters = copy.deepcopy(PARAMETERS)
    made = tool(parameters=parameters)
    parameters["properties"]["city"]["enum"].append("Bonn")  # type: ignore[index]  # a dict
    assert made.to_schema()["function"]["parameters"] == PARAMETERS
    with pytest.raises(TypeError):
        made.parameters["type"] = "string"  # type: ignore[index]  # what is refused
    with pytest.raises(TypeError):
        made.parameters["properties"]["city"]["type"] = "integer"
    with pytest.raises(AttributeError):
        made.parameters["required"].append("country")


def test_a_tool_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        tool().name = "other"  # type: ignore[misc]  # what is refused


@pytest.mark.parametrize("name", ["a", "get_weather", "get-weather", "9to5", "_", "-", "A" * 64])
def test_names_the_api_takes(name: str) -> None:
    assert tool(name=name).to_schema()["function"]["name"] == name


@pytest.mark.parametrize("name", ["", "a b", "a.b", "wétter", "a\n", "A" * 65, "²", None, 7], ids=repr)
def test_names_the_api_refuses(name: Any) -> None:
    with pytest.raises(ValueError, match=r"^name must be 1 to 64 letters") as caught:
        tool(name=name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    "timeout", [0, -1, -0.1, math.nan, math.inf, -math.inf, True, None, "3", [1]], ids=repr
)
def test_a_timeout_is_more_than_no_time(timeout: Any) -> None:
    with pytest.raises(ValueError, match=r"^timeout must be a finite number > 0 \(seconds\), got ") as caught:
        tool(timeout=timeout)
    assert repr(timeout) in str(caught.value)


@pytest.mark.parametrize("timeout", [1, 0.001, 1e9])
def test_a_timeout_may_be_any_number_above(timeout: float) -> None:
    assert tool(timeout=timeout).timeout == timeout


def _yields() -> Iterator[int]:
    yield 1


async def _yields_later() -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize("execute", [_yields, _yields_later, partial(_yields)])
def test_execute_is_no_generator(execute: Any) -> None:
    with pytest.raises(ValueError, match=r"^execute must return its result, "):
        tool(execute=execute)


@pytest.mark.parametrize("execute", ["weather", None, 3])
def test_execute_is_callable(execute: Any) -> None:
    with pytest.raises(ValueError, match=r"^execute must be callable, got "):
        tool(execute=execute)


class Station:
    async def weather(self, city: str) -> str:
        return city

    async def town(self, town: str) -> str:
        return town

    async def __call__(self, city: str) -> str:
        return city


async def anywhere(**places: str) -> str:
    return str(places)


async def within(country: str, city: str) -> str:
    return f"{city}, {country}"


async def metered(city: str, provider: LLMProvider) -> str:
    return city


async def positional(city: str, /) -> str:
    return city


def widened(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator whose wrapper takes other arguments than the function it wraps."""

    @wraps(function)
    async def wrapper(city: str) -> Any:
        return await function(town=city)

    return wrapper


@pytest.mark.parametrize(
    "execute",
    [
        *(Station().weather, Station(), anywhere, metered, lambda city, days=3: city),
        *(partial(within, "Italy"), partial(within, country="Italy"), widened(Station().town)),
        dict,  # takes what it likes
    ],
)
def test_a_function_that_takes_the_arguments_of_the_schema_passes(execute: Any) -> None:
    assert tool(execute=execute).execute is execute


@pytest.mark.parametrize(
    ("execute", "why"),
    [
        (lambda town: town, "it has no parameter 'city', only 'town'"),
        (lambda: "rain", "it has no parameter 'city' and no other"),
        (within, "it needs 'country', which no call would have"),
        (partial(within, city="Rome"), "it needs 'country', which no call would have"),
        (positional, "its parameter 'city' is positional-only"),
        (Station().town, "it has no parameter 'city', only 'town'"),
        (widened, "it has no parameter 'city', only 'function'"),
    ],
)
def test_a_function_that_cannot_take_the_arguments_of_the_schema_is_refused(execute: Any, why: str) -> None:
    with pytest.raises(ValueError, match=r"^execute must take the arguments in parameters, got ") as caught:
        tool(execute=execute)
    assert str(caught.value).endswith(f": {why}")


def test_a_schema_that_may_declare_more_elsewhere_leaves_the_function_what_it_needs() -> None:
    more = {"allOf": [{"properties": {"country": {"type": "string"}}, "required": ["country"]}]}
    text = {"type": "string"}
    for keyword in (
        more,
        {"dependentRequired": {"city": ["country"]}},
        {"dependentSchemas": {"city": {"required": ["country"]}}},
        {"patternProperties": {"^c": text}},
        {"additionalProperties": text},
    ):
        assert tool(parameters={**PARAMETERS, **keyword}, execute=within).execute is within
    assert tool(parameters={"type": "object"}, execute=within).execute is within


@pytest.mark.parametrize("description", [None, 3, b"x"])
def test_a_description_is_text(description: Any) -> None:
    with pytest.raises(ValueError, match=r"^description must be a str, got "):
        tool(description=description)


@pytest.mark.parametrize("parameters", [None, [], "{}", {"type": "nonsense"}, {"type": "string"}], ids=repr)
def test_a_schema_that_cannot_be_checked_is_refused_at_once(parameters: Any) -> None:
    with pytest.raises(ValueError, match="parameters"):
        tool(parameters=parameters)


class Special(Tool):
    __slots__ = ()


@pytest.mark.parametrize("made", [tool(timeout=2.5), Special("w", "", PARAMETERS, weather)])
def test_a_tool_survives_pickling_and_copying(made: Tool) -> None:
    for twin in copies(made):
        assert type(twin) is type(made)
        assert twin == made
        assert isinstance(twin.parameters, MappingProxyType)
        assert twin.to_schema() == made.to_schema()


# -- VotingStrategy --------------------------------------------------------------------------------------


def test_strategies_are_their_text() -> None:
    assert [str(strategy) for strategy in VotingStrategy] == ["majority", "unanimous"]
    assert VotingStrategy("unanimous") is VotingStrategy.UNANIMOUS
    assert f"{VotingStrategy.MAJORITY}" == "majority"
