"""`structured`: what is asked, what is accepted, every rung of the ladder, what an error keeps."""

import asyncio
import json
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider
from pydantic import BaseModel

from executionkit import (
    BudgetExhaustedError,
    ConsensusFailedError,
    Kit,
    LLMError,
    LLMResponse,
    MockProvider,
    PatternError,
    PermanentError,
    ProviderError,
    RetryConfig,
    StructuredResult,
    TokenUsage,
    pipe,
    structured,
    structured_sync,
)
from executionkit.testing import MockCall


@dataclass
class Film:
    title: str
    year: int


class Movie(BaseModel):
    title: str
    year: int


GOOD = '{"title": "Metropolis", "year": 1927}'
METROPOLIS = Movie(title="Metropolis", year=1927)
SCHEMA = {
    "type": "object",
    "properties": {"title": {"type": "string"}, "year": {"type": "integer"}},
    "required": ["title", "year"],
}


def asked(provider: MockProvider, number: int) -> str:
    return str(provider.calls[number].messages[-1]["content"])


# -- what is asked and returned --------------------------------------------------------------------------


async def test_a_reply_that_fits_at_once() -> None:
    provider = MockProvider([GOOD], usage=TokenUsage(10, 5))
    result = await structured(provider, "A film?", Movie)
    assert isinstance(result, StructuredResult)
    assert (result.value, result.score, result.cost) == (METROPOLIS, None, TokenUsage(10, 5, 1))
    assert dict(result.metadata) == {
        "parse_attempts": 1,
        "repair_attempts": 0,
        "validated": True,
        "mended": False,
        "truncated_responses": 0,
        "schema_mode": "json_schema",
        "callback_errors": 0,
    }
    assert result.rung_costs == {"ask": TokenUsage(10, 5, 1)}
    assert pickle.loads(pickle.dumps(result)) == result


async def test_the_request_has_the_prompt_and_the_schema_and_the_settings() -> None:
    provider = MockProvider([GOOD])
    await structured(provider, "A {film}?", Movie, max_tokens=99, temperature=0.5)
    await structured(provider, "q", Movie)
    first, second = provider.calls
    system, user = first.messages
    assert user == {"role": "user", "content": "A {film}?"}
    assert system["role"] == "system"
    assert '"year":{"title":"Year","type":"integer"}' in system["content"]
    assert second.messages[0] == system  # the same for every prompt, so that a server's prompt cache works
    assert (first.temperature, first.max_tokens) == (0.5, 99)
    assert (second.temperature, second.max_tokens) == (0.0, 4096)
    assert first.kwargs["response_format"]["json_schema"]["strict"] is True


async def test_a_schema_gives_a_dict() -> None:
    result = await structured(MockProvider([f"Here: {GOOD}"]), "q", SCHEMA)
    assert result.value == {"title": "Metropolis", "year": 1927}
    assert result.validated


@pytest.mark.parametrize(("reply", "value"), [('{"a": 1}', {"a": 1}), ("```\n[1, 2]\n```", [1, 2])])
async def test_without_an_output_any_object_or_array_will_do(reply: str, value: object) -> None:
    provider = MockProvider([reply])
    result = await structured(provider, "q")
    assert (result.value, result.validated, result.schema_mode) == (value, False, "none")
    assert provider.calls[0].kwargs == {}
    assert "JSON" in provider.calls[0].messages[0]["content"]


async def test_a_list_of_models_is_asked_for_inside_an_object() -> None:
    provider = MockProvider([f'{{"value": [{GOOD}]}}'])
    result = await structured(provider, "q", list[Movie])
    assert result.value == [METROPOLIS]
    sent = provider.calls[0].kwargs["response_format"]["json_schema"]["schema"]
    assert sent["type"] == "object"


# -- asking again ----------------------------------------------------------------------------------------


async def test_the_errors_with_their_places_are_told_and_the_reply_is_shown() -> None:
    wrong = '{"title": 5, "year": "long ago"}'
    provider = MockProvider([wrong, GOOD], usage=TokenUsage(10, 5))
    result = await structured(provider, "A film?", Movie)
    assert result.value == METROPOLIS
    assert (result.parse_attempts, result.repair_attempts) == (2, 1)
    first, again = provider.calls
    assert again.messages[:2] == first.messages
    assert again.messages[2] == {"role": "assistant", "content": wrong}
    assert "- title: Input should be a valid string, got 5" in asked(provider, 1)
    assert "- year: Input should be a valid integer" in asked(provider, 1)
    assert result.rung_costs == {"ask": TokenUsage(10, 5, 1), "repair": TokenUsage(10, 5, 1)}


async def test_only_the_last_reply_is_shown_again() -> None:
    provider = MockProvider(["{}", '{"title": "x"}', GOOD])
    await structured(provider, "q", SCHEMA)
    roles = [message["role"] for message in provider.calls[2].messages]
    assert roles == ["system", "user", "assistant", "user"]
    assert provider.calls[2].messages[2]["content"] == '{"title": "x"}'


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("I can't say.", "there is no JSON object or array in the reply"),
        (
            '{"title": "x", "year": ...}',
            "the reply can't be parsed: expected a value, got '.': line 1 column 24",
        ),
        ('{"title": "x", "year": NaN}', "expected a value, got 'NaN': line 1 column 24"),
        ('{"title": "x", "year": 1e999}', "a number too large: line 1 column 24"),
    ],
)
async def test_what_cannot_be_read_is_told_too(reply: str, reason: str) -> None:
    provider = MockProvider([reply, GOOD])
    await structured(provider, "q", Movie)
    assert reason in asked(provider, 1)


@pytest.mark.parametrize(
    "nothing",
    [
        LLMResponse(""),
        LLMResponse("", refusal="no films"),
        LLMResponse(GOOD, finish_reason="content_filter"),
    ],
)
async def test_no_reply_is_asked_for_again_as_before(nothing: LLMResponse) -> None:
    provider = MockProvider([nothing, GOOD])
    result = await structured(provider, "q", Movie)
    assert (result.value, result.repair_attempts) == (METROPOLIS, 1)
    assert provider.calls[0] == provider.calls[1]


async def test_a_refusal_is_the_error_of_the_exhausted() -> None:
    with pytest.raises(PatternError, match="the model refused: no films"):
        await structured(MockProvider([LLMResponse("", refusal="no films")]), "q", Movie, max_retries=0)


async def test_the_last_reply_is_quoted_but_not_all_of_it() -> None:
    with pytest.raises(PatternError) as caught:
        await structured(MockProvider(["Sure! " + "x" * 300]), "q", max_retries=0)
    assert f"The last reply, 'Sure! {'x' * 194}': there is no JSON" in str(caught.value)


@pytest.mark.parametrize("retries", [0, 2])
async def test_when_no_reply_fits_the_error_has_the_cost_the_last_text_and_its_errors(retries: int) -> None:
    provider = MockProvider(['{"year": 1}'], usage=TokenUsage(10, 5))
    with pytest.raises(PatternError, match="title: Field required") as caught:
        await structured(provider, "q", Movie, max_retries=retries)
    calls = retries + 1
    assert provider.call_count == calls
    assert caught.value.cost == TokenUsage(10 * calls, 5 * calls, calls)
    paid = caught.value.metadata
    assert (paid["last_text"], paid["errors"]) == ('{"year": 1}', ["title: Field required"])
    assert (paid["parse_attempts"], paid["repair_attempts"], paid["validated"]) == (calls, retries, False)
    assert (
        sum((TokenUsage(**cost) for cost in paid["rung_costs"].values()), TokenUsage()) == caught.value.cost
    )


async def test_a_failure_keeps_what_was_paid() -> None:
    provider = MockProvider(["{}", ProviderError("503"), ProviderError("503")])
    with pytest.raises(ProviderError) as caught:
        await structured(provider, "q", Movie, retry=ONCE)
    assert caught.value.cost == TokenUsage(llm_calls=2)
    assert caught.value.metadata["last_text"] == "{}"
    one_call = TokenUsage(llm_calls=1).to_dict()
    assert caught.value.metadata["rung_costs"] == {"ask": one_call, "repair": one_call}


async def test_one_budget_for_all_of_it() -> None:
    provider = MockProvider(["{}"])
    with pytest.raises(BudgetExhaustedError, match="llm_calls") as caught:
        await structured(provider, "q", Movie, max_cost=TokenUsage(llm_calls=2))
    assert provider.call_count == 2
    assert caught.value.metadata["errors"] == ["title: Field required", "year: Field required"]


async def test_cancelling_keeps_the_books_right() -> None:
    provider = HeldProvider()
    kit = Kit(provider)
    task = asyncio.create_task(kit.structured("q", Movie))
    await provider.arrived(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert kit.usage.llm_calls == 1
    assert provider.waiting == []


# -- mending ---------------------------------------------------------------------------------------------


async def test_slips_are_mended_without_asking_again() -> None:
    provider = MockProvider(['```json\n{"title": "Metropolis", "year": 1927,}\n```'])
    result = await structured(provider, "q", Movie)
    assert (result.value, result.mended, result.repair_attempts) == (METROPOLIS, True, 0)
    assert provider.call_count == 1


async def test_a_part_of_broken_json_is_never_taken_for_the_whole() -> None:
    reply = '[{"a": 1}, {"a": 2},]'
    result = await structured(MockProvider([reply]), "q")
    assert (result.value, result.mended) == ([{"a": 1}, {"a": 2}], True)


@pytest.mark.parametrize(
    "reply",
    [
        '{"a": {"b": 1}}, "c": 2}',  # a bracket too many, and more after it
        '{"a": 1}, {"a": 2}',  # a list without its brackets
        '{"a": 1}\n{"a": 2}',
        '```json\n{"a": {"b": 1, "n": 1 234}}\n```',  # the inner object is only a part
        '{"formula": "K_\\beta"}',  # a backspace, says JSON
        '{"formula": "\\frac{1}{2}"}',
        '{"formula": "\\theta"}',  # a tab, says JSON
        '{"path": "C:\\temp\\new.csv"}',
        'See [2]: [{"a": 1 "b": 2 3}]',
        '{"md": "x\n```json\n{"a": 1}\n```", "n": 2,}',
    ],
)
async def test_what_may_be_a_part_or_another_value_is_asked_for_again(reply: str) -> None:
    provider = MockProvider([reply, '{"whole": true}'])
    result = await structured(provider, "q")
    assert (result.value, result.mended, result.repair_attempts) == ({"whole": True}, False, 1)


async def test_a_bracket_too_many_at_the_end_changes_nothing() -> None:
    result = await structured(MockProvider(['{"a": {"b": 1}}}']), "q")
    assert result.value == {"a": {"b": 1}}


async def test_a_mended_value_is_checked_like_any_other() -> None:
    provider = MockProvider(['{"title": "x",}', GOOD])
    result = await structured(provider, "q", Movie)
    assert (result.mended, result.repair_attempts) == (False, 1)
    assert "year: Field required" in asked(provider, 1)


# -- replies cut off -------------------------------------------------------------------------------------


def cut_off(text: str) -> LLMResponse:
    return LLMResponse(text, finish_reason="length")


@pytest.mark.parametrize("text", ['{"title": "Metropolis", "year": 19', GOOD, "", '[{"a": 1}, {"a"'])
async def test_a_reply_cut_off_is_not_read_but_asked_for_with_more_room(text: str) -> None:
    provider = MockProvider([cut_off(text), GOOD], usage=TokenUsage(10, 5))
    result = await structured(provider, "q", Movie, max_tokens=100)
    assert (result.value, result.mended, result.repair_attempts) == (METROPOLIS, False, 1)
    assert provider.calls[1].messages == provider.calls[0].messages
    assert [call.max_tokens for call in provider.calls] == [100, 200]
    assert set(result.rung_costs) == {"ask", "more_tokens"}
    assert result.truncated_responses == 1


async def test_a_mended_reply_cut_off_is_asked_for_with_the_errors_still() -> None:
    provider = MockProvider(["{}", cut_off("{"), LLMResponse(""), GOOD])
    await structured(provider, "q", Movie, max_tokens=100)
    asked_again = provider.calls[1].messages
    assert "title: Field required" in asked_again[-1]["content"]
    assert [call.messages == asked_again for call in provider.calls] == [False, True, True, True]
    assert [call.max_tokens for call in provider.calls] == [100, 100, 200, 200]


async def test_room_grows_to_its_limit_and_then_brevity_is_asked_for() -> None:
    provider = MockProvider([cut_off("{"), cut_off("{"), cut_off("{"), cut_off("{"), GOOD])
    await structured(provider, "q", Movie, max_tokens=100, max_retries=9)
    assert [call.max_tokens for call in provider.calls] == [100, 200, 400, 400, 400]
    assert ["Be brief" in asked(provider, number) for number in range(5)] == [False] * 3 + [True] * 2


async def test_the_error_of_a_reply_cut_off_to_the_last_says_how_to_allow_more() -> None:
    with pytest.raises(
        PatternError, match=r"3 attempts \(3 cut off by max_tokens; raise max_tokens=10 or "
    ) as caught:
        await structured(MockProvider([cut_off("{")]), "q", Movie, max_tokens=10, max_retries=2)
    assert "max_tokens_limit=40" in str(caught.value)
    assert caught.value.cost.llm_calls == 3


async def test_a_limit_of_one_s_own() -> None:
    provider = MockProvider([cut_off("{"), cut_off("{"), GOOD])
    await structured(provider, "q", Movie, max_tokens=100, max_tokens_limit=150)
    assert [call.max_tokens for call in provider.calls] == [100, 150, 150]


async def test_room_that_the_server_refuses_is_not_asked_for_again() -> None:
    def reply(call: MockCall) -> LLMResponse | str | BaseException:
        if call.max_tokens != 100:
            return PermanentError("max_tokens is too large: 200 > 100", status_code=400)
        return GOOD if "Be brief" in str(call.messages) else cut_off("{")

    provider = MockProvider(reply)
    result = await structured(provider, "q", Movie, max_tokens=100)
    assert result.value == METROPOLIS
    assert [call.max_tokens for call in provider.calls] == [100, 200, 100]
    assert result.rung_costs["fallback"] == TokenUsage(llm_calls=1)


async def test_a_first_room_that_is_refused_is_the_caller_s_mistake() -> None:
    provider = MockProvider([PermanentError("max_tokens is too large", status_code=400)])
    with pytest.raises(PermanentError):
        await structured(provider, "q", Movie)
    assert provider.call_count == 1


# -- the server's modes ----------------------------------------------------------------------------------

MODES = ["json_schema", "json_object_schema", "json_object", "none"]


def taking(mode: str, reply: str = GOOD) -> MockProvider:
    """A server that has this mode and the ones below only."""

    def answer(call: MockCall) -> str | BaseException:
        wanted = call.kwargs.get("response_format", {})
        found = {None: "none"}.get(wanted.get("type"), wanted.get("type", ""))
        found = "json_object_schema" if found == "json_object" and "schema" in wanted else found
        if MODES.index(found) < MODES.index(mode):
            return PermanentError(f"response_format: {found} is not supported", status_code=400)
        return reply

    return MockProvider(answer)


@pytest.mark.parametrize("mode", MODES)
async def test_a_mode_that_is_refused_is_given_up_for_the_next_and_remembered(mode: str) -> None:
    provider = taking(mode)
    result = await structured(provider, "q", Movie)
    refused = MODES.index(mode)
    assert (result.value, result.schema_mode, result.repair_attempts) == (METROPOLIS, mode, 0)
    assert provider.call_count == result.cost.llm_calls == refused + 1
    assert result.rung_costs.get("fallback", TokenUsage()) == TokenUsage(llm_calls=refused)

    await structured(provider, "q", Movie)
    assert provider.call_count == refused + 2
    await structured(provider, "q", SCHEMA)  # another schema may be taken
    assert provider.call_count == 2 * refused + 3


async def test_a_mode_is_remembered_through_a_kit_and_a_pipe() -> None:
    provider = taking("none")
    await Kit(provider).structured("q", Movie)
    await pipe(provider, "q", structured, output=Movie)
    assert provider.call_count == 5


async def test_a_refused_mode_counts_against_the_calls_of_the_budget() -> None:
    provider = taking("none")
    with pytest.raises(BudgetExhaustedError):
        await structured(provider, "q", Movie, max_cost=TokenUsage(llm_calls=3))
    assert provider.call_count == 3


@pytest.mark.parametrize("mode", MODES)
async def test_a_mode_that_was_chosen_is_used_and_not_given_up(mode: Any) -> None:
    provider = taking(mode)
    result = await structured(provider, "q", Movie, schema_mode=mode)
    assert (provider.call_count, result.schema_mode) == (1, mode)
    if mode != "none":
        with pytest.raises(PermanentError):
            await structured(taking("none"), "q", Movie, schema_mode=mode)


async def test_another_refusal_is_no_reason_to_give_up_a_mode() -> None:
    provider = MockProvider([PermanentError("no such model", status_code=400)])
    with pytest.raises(PermanentError):
        await structured(provider, "q", Movie)
    assert provider.call_count == 1


def without_modes(failures: list[BaseException]) -> MockProvider:
    """Fails with one error after the other, then answers."""
    script = iter(failures)
    return MockProvider(lambda _: next(script, GOOD))


async def mode_and_calls(provider: MockProvider) -> tuple[str, int]:
    result = await structured(provider, "q", Movie, retry=NO_WAIT)
    return result.schema_mode, result.cost.llm_calls


@pytest.mark.parametrize(
    "refusal",
    [
        ProviderError("failed to parse grammar", status_code=500),
        ProviderError(
            "host answered 500 Internal Server Error: JSON schema conversion failed", status_code=500
        ),
        ProviderError("Could not translate the schema into a grammar", status_code=500),
        ProviderError("502 Bad Gateway: upstream: response_format is not supported", status_code=502),
        ProviderError("200 with an error: json_schema is not available for this model", status_code=200),
        ProviderError("unsupported response_format"),
        PermanentError("response_format", status_code=200),
        PermanentError("response_format must be text", status_code=422),
    ],
)
async def test_a_refusal_costs_one_request_for_each_mode_and_is_remembered(refusal: LLMError) -> None:
    provider = MockProvider(lambda call: refusal if "response_format" in call.kwargs else GOOD)
    assert await mode_and_calls(provider) == ("none", 4)
    assert await mode_and_calls(provider) == ("none", 1)


@pytest.mark.parametrize("failures", [1, 2, 3, 4, 6])
@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("the schema compiler is restarting", 500),
        ("failed to load the grammar cache, try again later", 500),
        ("cannot reach the schema service", 500),
        ("failed to allocate memory for the grammar", 500),
        ("the structured output service did not answer in time", 500),
        ("schema error", 500),
        ("grammar", 200),
        ("response_format service unavailable", 503),
    ],
)
async def test_a_fault_of_the_moment_changes_nothing_for_later(
    words: str, status: int, failures: int
) -> None:
    fault = ProviderError(words, status_code=status)
    provider = without_modes([fault] * failures)
    with suppress(ProviderError):
        await structured(provider, "q", Movie, retry=NO_WAIT)
    await structured(provider, "q", Movie, retry=NO_WAIT)  # six failures may reach into this one
    assert await mode_and_calls(provider) == ("json_schema", 1)


async def test_what_the_last_mode_meets_as_well_was_no_refusal() -> None:
    provider = without_modes([ProviderError("failed to parse grammar", status_code=500)] * 4)
    assert await mode_and_calls(provider) == ("none", 5)
    assert await mode_and_calls(provider) == ("json_schema", 1)


async def test_a_run_takes_the_mode_that_another_has_found_meanwhile() -> None:
    asked, late = asyncio.Event(), asyncio.Event()

    async def answer(call: MockCall) -> str | BaseException:
        if "response_format" not in call.kwargs:
            return GOOD
        if "slow" in str(call.messages):
            asked.set()
            await late.wait()
        return PermanentError("no response_format here", status_code=400)

    provider = MockProvider(answer)
    slow = asyncio.ensure_future(structured(provider, "slow", Movie))
    await asked.wait()
    assert await mode_and_calls(provider) == ("none", 4)
    late.set()
    assert (await slow).cost.llm_calls == 2


@pytest.mark.parametrize(
    "error",
    [
        ProviderError("generated JSON does not match the expected schema", status_code=400),
        PermanentError("schema and prompt: too long", status_code=400, code="context_length_exceeded"),
    ],
)
async def test_what_no_mode_can_help_is_no_refusal(error: LLMError) -> None:
    provider = MockProvider([error])
    with pytest.raises(LLMError):
        await structured(provider, "q", Movie, retry=RetryConfig(max_retries=0))
    assert provider.call_count == 1


# -- validators ------------------------------------------------------------------------------------------


async def accept_later(_value: object) -> bool:
    return True


@pytest.mark.parametrize(
    "validator",
    [lambda _: None, lambda _: True, lambda _: "", accept_later, lambda movie: movie.year == 1927],
)
async def test_a_validator_accepts(validator: Callable[[Movie], Any]) -> None:
    result = await structured(MockProvider([GOOD]), "q", Movie, validator=validator)
    assert (result.value, result.validated) == (METROPOLIS, True)


async def test_a_validator_alone_makes_a_value_validated() -> None:
    assert (await structured(MockProvider(["[]"]), "q", validator=lambda _: None)).validated


async def too_old(movie: Movie) -> str:
    return "must be after 1950" if movie.year < 1950 else ""


def fail(_movie: Movie) -> None:
    raise LookupError("must be after 1950")


def fail_by_assertion(movie: Movie) -> None:
    assert movie.year > 1950, "too old"


@pytest.mark.parametrize(
    ("validator", "reason"),
    [
        (too_old, "must be after 1950"),
        (fail, "must be after 1950"),
        (lambda movie: movie.year > 1950, "the value was rejected"),
        (fail_by_assertion, "too old"),
        (lambda _: (_ for _ in ()).throw(ValueError), "ValueError"),
    ],
)
async def test_a_validator_rejects_with_its_reason(validator: Callable[[Movie], Any], reason: str) -> None:
    provider = MockProvider([GOOD])
    with pytest.raises(PatternError, match=reason) as caught:
        await structured(provider, "q", Movie, validator=validator, max_retries=1)
    assert reason in caught.value.metadata["errors"][0]
    assert f"- {caught.value.metadata['errors'][0]}" in asked(provider, 1)


async def test_an_error_of_the_library_s_own_in_a_validator_goes_through() -> None:
    def ask_others(_movie: Movie) -> bool:
        raise ConsensusFailedError("nobody answered")

    provider = MockProvider([GOOD])
    with pytest.raises(ConsensusFailedError) as caught:
        await structured(provider, "q", Movie, validator=ask_others)
    assert caught.value.cost.llm_calls == provider.call_count == 1
    assert caught.value.metadata["last_text"] == GOOD


async def test_a_validator_that_says_neither_yes_nor_no_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"validator must return .* got 0") as caught:
        await structured(
            MockProvider([GOOD]),
            "q",
            Movie,
            validator=lambda _: 0,  # type: ignore[arg-type, return-value]  # what is wrong is the point
        )
    assert vars(caught.value)["cost"] == TokenUsage(llm_calls=1)


# -- the doors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"output": 3},
        {"output": {"type": "whole"}},
        {"validator": "yes"},
        {"max_retries": -1},
        {"max_tokens_limit": 4095},
        {"schema_mode": "strict"},
        {"temperature": 3},
        {"max_tokens": 0},
        {"max_cost": 3},
    ],
)
async def test_what_is_out_of_range_is_refused_before_any_call(wrong: dict[str, Any]) -> None:
    provider = MockProvider([GOOD])
    with pytest.raises(ValueError, match=next(iter(wrong))):
        await structured(provider, "q", **wrong)
    assert provider.call_count == 0


def test_the_blocking_twin() -> None:
    assert structured_sync(MockProvider([GOOD]), "q", Movie).value == METROPOLIS


async def test_the_method_of_a_kit_adds_to_its_total() -> None:
    kit = Kit(MockProvider(["{}", GOOD], usage=TokenUsage(10, 5)))
    assert (await kit.structured("q", Movie)).value == METROPOLIS
    assert kit.usage == TokenUsage(20, 10, 2)


async def test_as_a_step_of_a_pipe_it_obeys_the_pipe_s_budget() -> None:
    provider = MockProvider(["{}"])
    with pytest.raises(BudgetExhaustedError):
        await pipe(provider, "q", structured, output=Movie, max_budget=TokenUsage(llm_calls=3))
    assert provider.call_count == 3


@pytest.mark.parametrize("output", [Movie, Film])
async def test_a_typed_result_turns_into_json(output: type[Any]) -> None:
    result = await structured(MockProvider([GOOD]), "q", output)
    assert json.loads(json.dumps(result.to_dict()))["value"] == json.loads(GOOD)
    provider = MockProvider([f'{{"value": [{GOOD}]}}'])
    several = await structured(provider, "q", list[output])  # type: ignore[valid-type]  # known at run time only
    assert json.loads(json.dumps(several.to_dict()))["value"] == [json.loads(GOOD)]
