"""`variants`: samples asked for by several phrasings in turn, in `consensus` and `best_of_n`."""

import asyncio
from functools import partial
from typing import Any

import pytest
from fakes import ONCE, HeldProvider, Scripted
from hypothesis import given
from hypothesis import strategies as st

from executionkit import (
    BestOfNResult,
    BudgetExhaustedError,
    CandidateScored,
    ConsensusResult,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PatternEvent,
    PermanentError,
    Provider,
    Rubric,
    SampleDone,
    TokenUsage,
    best_of_n,
    consensus,
    consensus_sync,
    pipe,
)
from executionkit.parts import image
from executionkit.testing import ChatRequest, LocalEndpoint, MockCall

DOT = image(b"\x89PNG\r\n\x1a\n" + bytes(12))


def asked(provider: MockProvider) -> list[Any]:
    return [call.messages[-1]["content"] for call in provider.calls]


def test_samples_are_asked_for_in_turn_and_a_variant_stands_where_the_prompt_stood() -> None:
    earlier = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    provider = MockProvider(["yes"])
    consensus_sync(
        provider,
        "q",
        num_samples=7,
        variants=["r", ["s", DOT]],
        max_concurrency=1,
        system="Be brief.",
        messages=earlier,
    )
    parts = [{"type": "text", "text": "s"}, DOT]
    assert asked(provider) == ["q", "r", parts, "q", "r", parts, "q"]
    before = [{"role": "system", "content": "Be brief."}, *earlier]
    assert all(call.messages[:-1] == before for call in provider.calls)


def test_the_prompt_stands_where_a_variant_names_it() -> None:
    provider = MockProvider(["yes"])
    frames = ("Write the steps down. {prompt}", "{prompt}\n{Then} the answer.")
    consensus_sync(provider, ["What is this?", DOT], num_samples=3, variants=frames, max_concurrency=1)
    text, parts = {"type": "text", "text": "What is this?"}, asked(provider)
    assert parts == [
        [text, DOT],
        [{"type": "text", "text": "Write the steps down. "}, text, DOT],
        [text, DOT, {"type": "text", "text": "\n{Then} the answer."}],
    ]


async def test_variants_of_a_step_frame_the_prompt_that_the_step_is_given() -> None:
    provider = MockProvider(["Paris"])
    step = partial(consensus, variants=("Think first. {prompt}",), num_samples=2, max_concurrency=1)
    await pipe(provider, "The capital?", step, step)
    assert asked(provider) == ["The capital?", "Think first. The capital?", "Paris", "Think first. Paris"]


NO_ANSWER = ""
SCRIPTS = st.lists(st.sampled_from(["a", "a", "b", "c", NO_ANSWER]), min_size=2, max_size=12)


def held(script: list[str], variants: tuple[str, ...], **more: Any) -> tuple[ConsensusResult, Scripted]:
    provider = Scripted(script, more.pop("delays", [0]))
    options: dict[str, Any] = {"options": {"seed": 0}, "num_samples": len(script), "retry": ONCE, **more}
    return consensus_sync(provider, "q", variants=variants, **options), provider


@given(
    SCRIPTS,
    st.integers(1, 3),
    st.integers(1, 6),
    st.lists(st.integers(0, 9), min_size=1, max_size=5),
    st.sampled_from(["all", "decided", 0.8]),
)
def test_phrasings_change_neither_the_counting_nor_the_stop_and_no_reply_can_be_too_fast(
    script: list[str], more: int, max_concurrency: int, delays: list[int], stop: Any
) -> None:
    script = ["a", *script, "b"]  # so that there is an answer, and no fewer samples than phrasings
    variants = tuple("rst"[:more])
    plain, _ = held(script, (), stop=stop, max_concurrency=1)
    result, provider = held(script, variants, stop=stop, max_concurrency=max_concurrency, delays=delays)
    phrasings = ("q", *variants)
    used = range(result.samples_used)
    assert provider.asked == {sample: phrasings[sample % len(phrasings)] for sample in used}
    assert (result.value, result.votes, result.samples_saved) == (
        plain.value,
        plain.votes,
        plain.samples_saved,
    )
    assert plain.agreement_by_variant == ()
    expected: list[float | None] = []
    for number in range(len(phrasings)):
        answers = [script[sample] for sample in used if sample % len(phrasings) == number]
        readable = [answer for answer in answers if answer != NO_ANSWER]
        expected.append(readable.count(result.value) / len(readable) if readable else None)
    assert result.agreement_by_variant == result.metadata["agreement_by_variant"] == tuple(expected)


@given(st.integers(4, 12), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 4))
def test_the_choices_of_a_request_share_a_phrasing(
    num_samples: int, more: int, choices: int, gives: int, max_concurrency: int
) -> None:
    def reply(call: MockCall) -> LLMResponse:
        """Answers with its prompt; a server that gives fewer choices than it was asked for."""
        text = call.messages[-1]["content"]
        others = min(call.kwargs.get("n", 1), gives) - 1
        return LLMResponse(text, alternatives=[LLMResponse(text)] * others)

    phrasings = "qrst"[: more + 1]
    each = {text: len(range(number, num_samples, more + 1)) for number, text in enumerate(phrasings)}
    requests = sum(-(-count // choices) for count in each.values())
    vote = partial(
        consensus_sync,
        prompt="q",
        variants=tuple(phrasings[1:]),
        num_samples=num_samples,
        choices_per_request=choices,
        max_concurrency=max_concurrency,
    )
    result = vote(MockProvider(reply), max_cost=TokenUsage(llm_calls=requests) if choices <= gives else None)
    assert dict(result.votes) == each
    assert choices > gives or result.cost.llm_calls == requests
    provider = MockProvider(reply)
    with pytest.raises(BudgetExhaustedError, match=f"{requests} calls are needed|nothing was left"):
        vote(provider, max_cost=TokenUsage(llm_calls=requests - 1 or -1))
    assert provider.call_count == 0


# -- a variant that the server refuses -------------------------------------------------------------------


@pytest.mark.parametrize("choices", [1, 2])
async def test_a_variant_that_fails_for_good_costs_its_own_samples_only(choices: int) -> None:
    def model(call: MockCall) -> LLMResponse:
        if call.messages[-1]["content"] == "s":
            raise PermanentError("too long", status_code=400)
        return LLMResponse("yes", alternatives=[LLMResponse("no")] * (call.kwargs.get("n", 1) - 1))

    vote = partial(
        consensus, prompt="q", variants=("r", "s"), num_samples=6, choices_per_request=choices, retry=ONCE
    )
    events: list[PatternEvent] = []
    result = await vote(MockProvider(model), min_samples=4, on_event=events.append)
    assert (result.failed, result.samples_used) == (2, 4)
    assert result.agreement_by_variant == ((1.0, 1.0, None) if choices == 1 else (0.5, 0.5, None))
    failed = {event.variant for event in events if isinstance(event, SampleDone) and event.failed}
    assert failed == {2}
    with pytest.raises(PermanentError, match="too long") as caught:
        await vote(MockProvider(model), min_samples=5, max_concurrency=1)
    assert "asked by variants[1]" in caught.value.__notes__


async def test_what_every_phrasing_would_meet_blames_none_of_them() -> None:
    provider = MockProvider(["yes", PermanentError("no such model", status_code=404)])
    with pytest.raises(PermanentError) as caught:
        await consensus(provider, "q", variants=("r",), max_concurrency=1, retry=ONCE)
    assert not any("variants" in note for note in getattr(caught.value, "__notes__", []))
    assert provider.call_count == 2


# -- what is refused, and what is warned of --------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "variants", "said"),
    [
        ("q", "Think first.", r"write variants=\('Think first.',\) for one"),
        ("q", ["r", 3], r"^variants\[1\] must be a str, or a list of texts and parts"),
        ("q", [["r", ""], [""]], r"^variants\[1\] must be .* with something in it"),
        ("q", ("r", "q"), r"^variants\[1\] must differ .* it is the prompt again"),
        ("q", ("r", "s", "r"), r"^variants\[2\] must differ .* it is variants\[0\] again"),
        ("q", ("{prompt}",), r"^variants\[0\] must differ .* it is the prompt again"),
        (None, ("r",), "^variants must be empty without a prompt, whose place they take"),
    ],
)
async def test_phrasings_that_can_t_be_meant_are_refused_before_any_call(
    prompt: str | None, variants: Any, said: str
) -> None:
    provider = MockProvider(["yes"])
    messages = [{"role": "user", "content": "Hi"}]
    with pytest.raises(ValueError, match=said):
        await consensus(provider, prompt, variants=variants, messages=messages)
    with pytest.raises(ValueError, match=said):
        await best_of_n(provider, prompt, variants=variants, messages=messages, evaluator=length)
    assert provider.call_count == 0


async def test_variants_that_no_sample_is_left_for_are_warned_of() -> None:
    provider = MockProvider(["yes"])
    with pytest.warns(UserWarning, match="^num_samples=2 is less .* its 3 variants: the last 2 ask for no"):
        result = await consensus(provider, "q", num_samples=2, variants=("r", "s", "t"))
    assert result.agreement_by_variant == (1.0, 1.0, None, None)
    with pytest.warns(UserWarning, match="^num_samples=1 is less"):
        await best_of_n(provider, "q", num_samples=1, variants=("r",), evaluator=length)


# -- best_of_n -------------------------------------------------------------------------------------------


def length(text: str, _provider: LLMProvider) -> float:
    return len(text) / 10


async def test_candidates_are_written_in_turn_and_a_judge_is_shown_the_prompt() -> None:
    def model(request: ChatRequest) -> str:
        asked = str(request.messages[-1]["content"])
        if asked.startswith("Judge "):
            assert ">\nPraise tea.\n</task-" in asked
            assert "Sing" not in asked
            return "Score: 8" if "La la" in asked else "Score: 2"
        return "La la tea" if asked == "Sing: Praise tea." else "Tea is good"

    events: list[PatternEvent] = []
    with LocalEndpoint(model) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            result = await best_of_n(
                provider,
                "Praise tea.",
                variants=("Sing: {prompt}", "Praise tea, please."),
                evaluator=Rubric("Moving."),
                num_samples=4,
                on_event=events.append,
            )
    assert (result.value, result.best_index, result.score) == ("La la tea", 1, 0.8)
    assert result.score_by_variant == result.metadata["score_by_variant"] == (0.2, 0.8, 0.2)
    done = {event.index: event.variant for event in events if isinstance(event, SampleDone)}
    assert done == {0: 0, 1: 1, 2: 2, 3: 0}
    assert {event.index for event in events if isinstance(event, CandidateScored)} == set(done)


async def test_a_phrasing_without_a_judged_candidate_has_no_score() -> None:
    provider = HeldProvider()
    run = asyncio.create_task(
        best_of_n(
            provider, "q", variants=("r", "s"), evaluator=length, num_samples=3, target_score=0.9, retry=ONCE
        )
    )
    await provider.arrived(3)
    by_prompt = {request.prompt: request for request in provider.requests}
    by_prompt["r"].fail(PermanentError("too long", status_code=400))
    by_prompt["s"].answer("")
    by_prompt["q"].answer("tea+cake!!")
    result: BestOfNResult = await run
    assert result.score_by_variant == (1.0, None, None)
