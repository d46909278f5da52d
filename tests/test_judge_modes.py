"""Judges and the server's schema mode: what is sent, what a refusal costs, what is remembered."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from fakes import NO_WAIT, HeldProvider, idle

from executionkit import (
    Evaluation,
    LLMError,
    LLMProvider,
    LLMResponse,
    MockProvider,
    Pairwise,
    PermanentError,
    Provider,
    ProviderError,
    Rubric,
    TokenUsage,
    best_of_n,
    refine_loop,
)
from executionkit.testing import ChatRequest, Fault, LocalEndpoint, MockCall

REFUSED = PermanentError("response_format of type json_schema is not supported", status_code=400)


def is_bound(call: MockCall) -> bool:
    return "response_format" in call.kwargs


def without_modes(exc: LLMError = REFUSED, score: str = "Fine.\nScore: 8") -> MockProvider:
    """Writes and judges, and refuses every schema mode."""

    def reply(call: MockCall) -> str | BaseException:
        if is_bound(call):
            return exc
        return score if call.temperature == 0.1 else f"draft {provider.call_count}"

    provider = MockProvider(reply)
    return provider


# -- a server that has the mode --------------------------------------------------------------------------


async def test_over_http_a_score_is_asked_for_through_the_mode_and_takes_one_call() -> None:
    schemas: list[dict[str, Any]] = []

    def simulated(request: ChatRequest) -> str:
        asked = request.field("response_format")
        if asked is None:
            return f"draft {request.number}"
        schemas.append(asked["json_schema"])
        return '{"reasons": "It covers 9 out of 10 points.", "score": 7.5}'

    with LocalEndpoint(simulated) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            result = await best_of_n(provider, "q", evaluator=Rubric("c"), num_samples=3)
        assert endpoint.ledger.calls == 6
    assert result.scores == [0.75] * 3
    assert result.feedback == ["It covers 9 out of 10 points."] * 3
    assert result.undecided
    assert len(schemas) == 3
    assert schemas[0]["strict"] is True
    properties = schemas[0]["schema"]["properties"]
    assert list(properties) == ["reasons", "score"]
    assert (min(properties["score"]["enum"]), max(properties["score"]["enum"])) == (0, 10)


async def test_a_comparison_is_asked_for_through_the_mode() -> None:
    provider = MockProvider(['{"reasons": "B is worse.", "better": "A"}'], strict=True)
    assert await Pairwise().compare("t", "one", "two", provider) == "first"
    described = provider.calls[0].kwargs["response_format"]["json_schema"]
    assert described["schema"]["properties"]["better"]["enum"] == ["A", "B", "tie"]


async def test_a_reply_cut_off_is_asked_for_again_without_reasons_and_its_own_are_kept() -> None:
    cut_off = LLMResponse('{"reasons": "Name a \\"date\\".\\nSay mo', finish_reason="length")
    provider = MockProvider([cut_off, '{"score": 4}'], strict=True)
    evaluation = await Rubric("c", max_tokens=900)("text", provider)
    assert evaluation == Evaluation(0.4, 'Name a "date".\nSay mo')
    second = provider.calls[1]
    assert list(second.kwargs["response_format"]["json_schema"]["schema"]["properties"]) == ["score"]
    assert second.max_tokens == 900


@pytest.mark.parametrize("reply", ["0.8", "Score: 0.8", '```json\n{"score": 0.8}\n```'])
async def test_a_server_that_ignores_the_mode_is_read_all_the_same(reply: str) -> None:
    provider = MockProvider([reply], strict=True)
    assert (await Rubric("c")("text", provider)).score == pytest.approx(0.08)


# -- a server that refuses it ----------------------------------------------------------------------------


@pytest.mark.parametrize("max_concurrency", [1, 5])
async def test_a_refusal_costs_one_call_once(max_concurrency: int) -> None:
    provider = without_modes()
    for calls in (7, 6):
        result = await best_of_n(
            provider, "q", evaluator=Rubric("c"), num_samples=3, max_concurrency=max_concurrency
        )
        assert result.scores == [0.8] * 3
        assert result.cost.llm_calls == calls
    assert sum(is_bound(call) for call in provider.calls) == 1


async def test_a_request_in_words_ends_with_the_form_of_the_line() -> None:
    provider = without_modes()
    await Rubric("c")("text", provider)
    bound, in_words = (str(call.messages[0]["content"]) for call in provider.calls)
    assert "\nScore: <number>" in in_words
    assert "\nScore: <number>" not in bound
    assert '{"reasons": "<text>", "score": <number>}' in bound


async def test_over_http_a_500_about_the_grammar_is_a_refusal_and_not_retried() -> None:
    def simulated(request: ChatRequest) -> str | Fault:
        if request.field("response_format"):
            return Fault.status(500, body={"error": {"message": "failed to parse grammar"}})
        return "Score: 8"

    with LocalEndpoint(simulated) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            for calls in (3, 2):  # the draft among them
                result = await refine_loop(provider, "q", target_score=0.5, retry=NO_WAIT)
                assert (result.score, result.cost.llm_calls) == (0.8, calls)


async def test_a_fault_of_the_moment_changes_nothing_for_later() -> None:
    def reply(call: MockCall) -> str | BaseException:
        if provider.call_count == 1:
            return ProviderError("the schema compiler is restarting", status_code=500)
        return '{"reasons": "", "score": 8}' if is_bound(call) else "8"

    provider = MockProvider(reply)
    for _ in range(3):
        assert (await Rubric("c")("text", provider)).score == 0.8
    assert [is_bound(call) for call in provider.calls] == [True, False, True, True]


async def test_another_error_is_no_refusal_and_is_retried() -> None:
    provider = MockProvider([ProviderError("503", status_code=503), '{"score": 8}'], strict=True)
    result = await best_of_n(
        MockProvider(["draft"]), "q", evaluator=Rubric("c", judge=provider), num_samples=1, retry=NO_WAIT
    )
    assert result.score == 0.8
    assert all(map(is_bound, provider.calls))


async def test_where_one_call_is_left_it_is_not_risked() -> None:
    provider = without_modes()
    result = await refine_loop(provider, "q", max_cost=TokenUsage(llm_calls=2), target_score=0.5)
    assert (result.score, result.cost.llm_calls) == (0.8, 2)


async def test_the_others_wait_until_the_first_has_found_out_even_if_it_is_cancelled() -> None:
    provider = HeldProvider()
    rubric = Rubric("c")
    asked = [asyncio.create_task(_score(rubric, f"text {number}", provider)) for number in range(3)]
    await provider.arrived(1)
    await idle()
    assert len(provider.requests) == 1
    asked[0].cancel()
    (await provider.arrived(2)).answer('{"score": 8}')
    (await provider.arrived(3)).answer('{"score": 6}')
    assert await asyncio.gather(*asked[1:]) == [0.8, 0.6]


async def _score(rubric: Rubric, text: str, provider: LLMProvider) -> float:
    return (await rubric(text, provider)).score


# -- providers of one's own ------------------------------------------------------------------------------


class Plain:
    """Takes no further keywords."""

    async def complete(
        self,
        messages: list[dict[str, Any]],
        *,
        temperature: float | None = None,
        max_tokens: int | None = None,
        tools: list[dict[str, Any]] | None = None,
    ) -> LLMResponse:
        return LLMResponse("Score: 8")


@dataclass
class Raising:
    """Raises its own error for a further keyword. It can't be hashed, so nothing is remembered of it."""

    error: Exception
    calls: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    async def complete(self, messages: list[dict[str, Any]], **kwargs: Any) -> LLMResponse:
        self.calls.append(kwargs)
        if "response_format" in kwargs:
            raise self.error
        return LLMResponse("Score: 8")


class Hashed(Raising):
    """Raises too, and can be remembered."""

    __hash__ = object.__hash__


ERRORS = [
    TypeError("create() got an unexpected keyword argument 'response_format'"),
    ValueError("unknown options: ['response_format']"),
    RuntimeError("Error code: 400 - response_format is unavailable now"),
]


async def test_a_provider_that_takes_no_further_keyword_is_not_given_one() -> None:
    provider: Any = Plain()
    assert (await Rubric("c")("text", provider)).score == 0.8


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_a_provider_that_does_not_know_the_keyword_is_asked_in_words(error: Exception) -> None:
    provider = Hashed(error)
    for _ in range(2):
        result = await best_of_n(
            MockProvider(["draft"]), "q", evaluator=Rubric("c", judge=provider), num_samples=1
        )
        # A request that never left the provider is no call.
        was_sent = isinstance(error, RuntimeError) and len(provider.calls) == 2
        assert (result.score, result.cost.llm_calls) == (0.8, 2 + was_sent)
    assert ["response_format" in kwargs for kwargs in provider.calls] == [True, False, False]


async def test_where_a_refusal_could_not_be_remembered_the_mode_is_not_tried() -> None:
    provider = Raising(ERRORS[0])
    assert (await Rubric("c")("text", provider)).score == 0.8
    assert len(provider.calls) == 1


async def test_another_error_of_a_provider_goes_through() -> None:
    provider = Hashed(LookupError("no such deployment"))
    with pytest.raises(LookupError):
        await Rubric("c")("text", provider)
    assert len(provider.calls) == 1
