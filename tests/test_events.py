"""The events of each pattern: which, in what order, and where they go."""

import asyncio
from functools import partial
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider, idle

from executionkit import (
    CandidateScored,
    DraftScored,
    EventCallback,
    InputDone,
    Kit,
    LLMProvider,
    MockProvider,
    PairCompared,
    Pairwise,
    PatternEnded,
    PatternEvent,
    PatternResult,
    PatternStarted,
    PermanentError,
    ProviderError,
    Reducing,
    Rejected,
    RetryConfig,
    Retrying,
    Rubric,
    SampleDone,
    StepDone,
    StepStarted,
    best_of_n,
    consensus,
    map_reduce,
    pipe,
    pipe_sync,
    refine_loop,
    structured,
)
from executionkit.testing import MockCall


class Ear(list[PatternEvent]):
    """Hears every event."""

    def __call__(self, event: PatternEvent) -> None:
        self.append(event)

    def calls(self) -> list[int]:
        """The calls so far, as each event that knows them says."""
        return [event.cost.llm_calls for event in self if hasattr(event, "cost")]


# -- the events of each pattern --------------------------------------------------------------------------


async def test_consensus_tells_each_sample_when_it_ends_with_the_votes_in_that_order() -> None:
    def key(text: str) -> str | None:
        return text.upper() or None

    provider, ear = HeldProvider(), Ear()
    vote = consensus(provider, "q", num_samples=5, min_samples=4, key=key, on_event=ear, retry=ONCE)
    run = asyncio.create_task(vote)
    await provider.arrived(5)
    for index, reply in ((3, "no"), (0, "Yes"), (4, None), (1, "NO"), (2, "")):
        request = provider.requests[index]
        request.fail(ProviderError("503")) if reply is None else request.answer(reply)
        await idle()
    result = await run
    assert ear == [
        PatternStarted("consensus", 5),
        SampleDone(3, "NO", 1, failed=False),
        SampleDone(0, "YES", 1, failed=False),
        SampleDone(4, None, 0, failed=True),
        SampleDone(1, "NO", 2, failed=False),
        SampleDone(2, None, 0, failed=False),
        PatternEnded("consensus", None),
    ]
    assert result.votes == (("NO", 2), ("YES", 1))


async def test_consensus_tells_each_choice_of_a_request_and_all_that_it_failed_for() -> None:
    ear = Ear()
    script: list[Any] = [ProviderError("503"), "a", "b"]
    await consensus(
        MockProvider(script),
        "q",
        num_samples=4,
        min_samples=2,
        choices_per_request=2,
        max_concurrency=1,
        retry=ONCE,
        on_event=ear,
    )
    assert [(event.index, event.failed) for event in ear if isinstance(event, SampleDone)] == [
        *((0, True), (1, True), (2, False), (3, False)),
    ]


async def test_an_exception_of_a_key_is_the_vote_s_whether_anybody_listens_or_not() -> None:
    def key(text: str) -> str:
        if text == "b":
            raise KeyError(text)
        return text

    errors: list[str] = []
    for listener in (None, Ear()):
        provider = MockProvider(["a", "b", "c"])
        with pytest.raises(KeyError) as caught:
            await consensus(provider, "q", num_samples=3, key=key, on_event=listener)
        assert provider.call_count == 3
        errors.append("\n".join(caught.value.__notes__))
    assert errors[0] == errors[1]


def length(text: str, _provider: LLMProvider) -> float:
    return len(text) / 10


async def test_best_of_n_tells_candidates_and_their_scores() -> None:
    ear = Ear()
    script: list[Any] = ["aa", "", PermanentError("400"), "aaaa"]
    with pytest.raises(PermanentError) as caught:
        await best_of_n(
            MockProvider(script), "q", evaluator=length, num_samples=3, max_concurrency=1, on_event=ear
        )
    assert ear == [
        PatternStarted("best_of_n", 3),
        SampleDone(0, "aa", 0, failed=False),
        CandidateScored(0, 0.2),
        SampleDone(1, None, 0, failed=False),
        SampleDone(2, None, 0, failed=True),
        PatternEnded("best_of_n", caught.value),
    ]


async def test_best_of_n_tells_each_comparison_and_the_scores_at_the_end() -> None:
    ear = Ear()
    script = ["bad", "good", "Better: B", "Better: A"]
    await best_of_n(
        MockProvider(script),
        "q",
        evaluator=Pairwise(),
        num_samples=2,
        max_concurrency=1,
        on_event=ear,
    )
    assert ear[3:] == [
        PairCompared(0, 1, "second", 1, 2),
        PairCompared(1, 0, "first", 2, 2),
        CandidateScored(0, 0.0),
        CandidateScored(1, 1.0),
        PatternEnded("best_of_n", None),
    ]
    assert ear.calls() == [1, 2, 3, 4, 4, 4, 4]


PROMPTS: dict[str, Any] = {"map_prompt": "M:", "reduce_prompt": "R:", "max_concurrency": 1, "retry": ONCE}


async def test_map_reduce_tells_inputs_and_levels() -> None:
    def model(call: MockCall) -> str | Exception:
        return ProviderError("503") if "two" in str(call.messages) else "12345"

    ear = Ear()
    inputs = ["one", "two", "three", "four"]
    result = await map_reduce(
        MockProvider(model), inputs, **PROMPTS, on_failure="skip", max_reduce_chars=10, on_event=ear
    )
    assert ear == [
        PatternStarted("map_reduce", 4),
        InputDone(0, 1, 4, failed=False),
        InputDone(1, 2, 4, failed=True),
        InputDone(2, 3, 4, failed=False),
        InputDone(3, 4, 4, failed=False),
        Reducing(1, 2),
        Reducing(2, 1),
        PatternEnded("map_reduce", None),
    ]
    assert ear.calls() == [1, 2, 3, 4, 4, 5, 6]
    assert result.reduce_calls == 2


async def test_map_reduce_tells_the_input_that_ends_it() -> None:
    ear = Ear()
    script: list[Any] = ["a", ProviderError("503")]
    with pytest.raises(ProviderError) as caught:
        await map_reduce(MockProvider(script), ["one", "two", "three"], **PROMPTS, on_event=ear)
    assert ear[1:] == [
        InputDone(0, 1, 3, failed=False),
        InputDone(1, 2, 3, failed=True),
        PatternEnded("map_reduce", caught.value),
    ]


async def test_structured_tells_the_faults_of_each_reply() -> None:
    ear = Ear()
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    await structured(MockProvider(["{}", '{"n": "x"}', '{"n": 1}']), "q", schema, on_event=ear)
    started, first, second, ended = ear
    assert (started, ended) == (PatternStarted("structured", None), PatternEnded("structured", None))
    assert isinstance(first, Rejected)
    assert isinstance(second, Rejected)
    assert ("n" in first.errors[0], "integer" in second.errors[0]) == (True, True)
    assert ear.calls() == [1, 2, 3]


# -- pipes -----------------------------------------------------------------------------------------------


async def exclaim(_provider: LLMProvider, prompt: str) -> PatternResult[str]:
    return PatternResult(prompt + "!")


async def test_a_pipe_tells_its_steps_and_passes_on_what_they_tell() -> None:
    ear = Ear()
    provider = MockProvider(["a", "b", "a", "c"])
    vote = partial(consensus, num_samples=3, max_concurrency=1)
    improve = partial(refine_loop, evaluator=lambda _text, _provider: 1.0)
    await pipe(provider, "q", vote, exclaim, improve, on_event=ear)
    steps = (StepStarted, StepDone, PatternStarted, PatternEnded)
    assert [event for event in ear if isinstance(event, steps)] == [
        PatternStarted("pipe", 3),
        StepStarted(0, "consensus"),
        PatternStarted("consensus", 3, depth=1),
        PatternEnded("consensus", None, depth=1),
        StepDone(0, "consensus"),
        StepStarted(1, "exclaim"),
        StepDone(1, "exclaim"),
        StepStarted(2, "refine_loop"),
        PatternStarted("refine_loop", 6, depth=1),
        PatternEnded("refine_loop", None, depth=1),
        StepDone(2, "refine_loop"),
        PatternEnded("pipe", None),
    ]
    assert sum(isinstance(event, SampleDone) for event in ear) == 3
    costs = [(type(e), e.cost.llm_calls) for e in ear if isinstance(e, (StepStarted, StepDone))]
    assert [calls for _, calls in costs] == [0, 3, 3, 3, 3, 4]


async def test_a_step_with_a_callback_of_its_own_keeps_it() -> None:
    ear, own = Ear(), Ear()
    vote = partial(consensus, num_samples=1, on_event=own)
    await pipe(MockProvider(["a"]), "q", vote, on_event=ear)
    assert own[0] == PatternStarted("consensus", 1)
    assert [type(event) for event in ear] == [PatternStarted, StepStarted, StepDone, PatternEnded]


async def test_pipes_in_pipes_and_steps_that_pass_it_on_count_the_depth() -> None:
    async def inner(
        provider: LLMProvider, prompt: str, *, on_event: EventCallback | None = None
    ) -> PatternResult[str]:
        return await pipe(provider, prompt, partial(consensus, num_samples=1), on_event=on_event)

    ear = Ear()
    await pipe(MockProvider(["a"]), "q", inner, on_event=ear)
    started = [(event.pattern, event.depth) for event in ear if isinstance(event, PatternStarted)]
    ended = [(event.pattern, event.depth) for event in ear if isinstance(event, PatternEnded)]
    assert started == ended[::-1] == [("pipe", 0), ("pipe", 1), ("consensus", 2)]


def test_a_callback_that_raises_in_a_pipe_is_counted_by_the_pipe() -> None:
    def fail(_event: PatternEvent) -> None:
        raise RuntimeError("the screen is gone")

    result = pipe_sync(MockProvider(["a"]), "q", partial(consensus, num_samples=1), on_event=fail)
    # Seven events are told, the last one when the result exists already.
    assert (result.callback_errors, result.step_metadata[0]["callback_errors"]) == (6, 0)


async def test_retries_of_steps_reach_the_pipe_once_or_the_step_s_own_callback() -> None:
    async def silent(provider: LLMProvider, prompt: str) -> PatternResult[str]:
        return await consensus(provider, prompt, num_samples=1, retry=NO_WAIT)

    ear, own = Ear(), Ear()
    failed = ProviderError("503")
    script: list[Any] = [failed, "a", failed, failed, "b", failed, "c"]
    steps = (silent, partial(consensus, num_samples=1), partial(consensus, num_samples=1, on_event=own))
    await pipe(MockProvider(script), "q", *steps, on_event=ear, retry=NO_WAIT)
    told = [event for event in ear if isinstance(event, (Retrying, StepDone))]
    assert [(type(event), event.cost.llm_calls) for event in told] == [
        *((Retrying, 1), (StepDone, 2)),
        *((Retrying, 1), (Retrying, 2), (StepDone, 5)),
        (StepDone, 7),
    ]
    assert [(e.attempt, e.wait) for e in told if isinstance(e, Retrying)] == [(1, 0.0), (1, 0.0), (2, 0.0)]
    assert [str(event.error) for event in own if isinstance(event, Retrying)] == ["503"]


async def test_retries_of_a_judge_on_a_provider_of_its_own_are_told() -> None:
    ear = Ear()
    judge = MockProvider([ProviderError("503"), "Score: 10"])
    await refine_loop(
        MockProvider(["a"]), "q", evaluator=Rubric("", judge=judge), on_event=ear, retry=NO_WAIT
    )
    assert [event.attempt for event in ear if isinstance(event, Retrying)] == [1]


async def test_a_callback_may_call_the_model_by_the_run_s_own_provider() -> None:
    given: list[LLMProvider] = []
    told: list[str] = []

    def evaluate(_text: str, provider: LLMProvider) -> float:
        given.append(provider)
        return 1.0

    async def listen(event: PatternEvent) -> None:
        told.append(type(event).__name__)
        if isinstance(event, DraftScored):
            await consensus(given[0], "q", num_samples=1, retry=NO_WAIT)

    script: list[Any] = ["a", ProviderError("503"), "b"]
    result = await refine_loop(MockProvider(script), "q", evaluator=evaluate, on_event=listen)
    assert (result.callback_errors, result.cost.llm_calls) == (0, 3)
    assert told[-3:] == ["DraftScored", "Retrying", "PatternEnded"]


async def test_a_run_that_is_halted_while_a_retry_is_told_waits_no_longer() -> None:
    told, may_go_on = asyncio.Event(), asyncio.Event()

    async def listen(event: PatternEvent) -> None:
        if isinstance(event, Retrying):
            told.set()
            await may_go_on.wait()

    async def for_ever(_seconds: float) -> None:
        await asyncio.Event().wait()

    async def judge(text: str, provider: LLMProvider) -> float:
        if text == "bad":
            await told.wait()
            raise ValueError("halts the other one")
        retry = RetryConfig(sleep=for_ever)
        await consensus(provider, "q", num_samples=1, retry=retry, on_event=listen)
        return 1.0

    provider = HeldProvider()
    run = asyncio.create_task(best_of_n(provider, "q", evaluator=judge, num_samples=2))
    await provider.arrived(2)
    provider.requests[0].answer("good")
    provider.requests[1].answer("bad")
    (await provider.arrived(3)).fail(ProviderError("503"))
    await told.wait()
    await idle()
    may_go_on.set()
    with pytest.raises(ValueError, match="halts the other one"):
        await run


async def test_a_failed_step_ends_the_pipe_s_events_too() -> None:
    ear = Ear()
    script: list[Any] = [PermanentError("403")]
    with pytest.raises(PermanentError) as caught:
        await pipe(MockProvider(script), "q", partial(consensus, num_samples=1), on_event=ear)
    assert ear[3:] == [
        SampleDone(0, None, 0, failed=True),
        PatternEnded("consensus", caught.value, depth=1),
        PatternEnded("pipe", caught.value),
    ]


async def test_a_pipe_refuses_what_is_no_callback() -> None:
    with pytest.raises(ValueError, match=r"^on_event must be a function"):
        await pipe(MockProvider(["a"]), "q", on_event=3)  # type: ignore[arg-type]  # what is wrong is the point


# -- where else it goes ----------------------------------------------------------------------------------


async def test_the_methods_of_a_kit_and_the_data_of_a_conversation_are_told() -> None:
    ear = Ear()
    kit = Kit(MockProvider(["a", "a", "{}"]))
    await kit.consensus("q", num_samples=1, on_event=ear)
    await kit.pipe("q", partial(consensus, num_samples=1), on_event=ear)
    await kit.conversation(on_event=ear).ask("q")
    assert [event.pattern for event in ear if isinstance(event, PatternEnded)] == [
        *("consensus", "consensus", "pipe", "structured"),
    ]
