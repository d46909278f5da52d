"""Keywords that no function takes: some are refused before any call, the others are ignored."""

import asyncio
import inspect
import traceback
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import executionkit
from executionkit import LLMProvider, MockProvider, PatternResult, TokenUsage

# Any: what these tests are about, a type checker would not let them do.
ek: Any = executionkit

BUDGET = TokenUsage(llm_calls=3)
agent = partial(ek.react_loop, tools=[])


def said(call: Callable[[MockProvider], Any]) -> str:
    """The message of the TypeError of a call, which has called no model."""
    provider = MockProvider(["text"])
    with pytest.raises(TypeError) as caught:
        run(call, provider)
    assert provider.call_count == 0
    return str(caught.value)


def run(call: Callable[[MockProvider], Any], provider: MockProvider) -> object:
    outcome = call(provider)
    return asyncio.run(outcome) if inspect.iscoroutine(outcome) else outcome


# -- nearly one of ours ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        *(("max_round", "max_rounds"), ("maxRounds", "max_rounds"), ("Max_Rounds", "max_rounds")),
        *(
            ("max_costs", "max_cost"),
            ("max_cots", "max_cost"),
            ("maxCost", "max_cost"),
            ("MAX_COST", "max_cost"),
        ),
        *(("tool_timeouts", "tool_timeout"), ("on_events", "on_event"), ("temprature", "temperature")),
    ],
)
def test_react_loop_refuses_a_misspelt_keyword(given: str, meant: str) -> None:
    message = said(lambda provider: ek.react_loop(provider, "q", [], **{given: 3}))
    assert message == f"react_loop() got an unexpected keyword argument {given!r}; did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("max_buget", "max_budget"),
        ("maxBudget", "max_budget"),
        ("num_sample", "num_samples"),
        ("patient", "patience"),
    ],
)
def test_pipe_judges_a_keyword_by_its_own_names_and_those_of_all_its_steps(given: str, meant: str) -> None:
    message = said(lambda provider: ek.pipe(provider, "q", ek.consensus, ek.refine_loop, **{given: 3}))
    assert message == f"pipe() got an unexpected keyword argument {given!r}; did you mean {meant!r}?"


@pytest.mark.parametrize(
    "call",
    [
        lambda provider: ek.consensus(provider, "q", num_sample=3),
        lambda provider: ek.consensus_sync(provider, "q", num_sample=3),
        lambda provider: ek.Kit(provider).consensus("q", num_sample=3),
        lambda provider: ek.best_of_n(provider, "q", evaluator=print, num_sample=3),
        lambda provider: ek.refine_loop(provider, "q", max_iteration=3),
        lambda provider: ek.structured(provider, "q", max_retrie=3),
        lambda provider: ek.map_reduce(provider, ["q"], map_prompt="", reduce_prompt="", map_prompts=""),
        lambda provider: ek.react_loop_sync(provider, "q", [], max_round=3),
        lambda provider: ek.Kit(provider).react("q", [], max_round=3),
        lambda provider: ek.pipe_sync(provider, "q", agent, max_round=3),
        lambda provider: ek.Kit(provider).pipe("q", agent, max_round=3),
    ],
)
def test_every_function_suggests_the_keyword_that_is_meant(call: Callable[[MockProvider], Any]) -> None:
    message = said(call)
    assert "() got an unexpected keyword argument '" in message
    assert "; did you mean '" in message


def test_a_keyword_like_no_other_is_the_type_error_of_python() -> None:
    assert said(lambda provider: ek.consensus(provider, "q", zzz=3)).endswith("argument 'zzz'")


def test_a_type_error_from_inside_goes_through_as_it_is() -> None:
    def key(text: str) -> str:
        raise TypeError("consensus() got an unexpected keyword argument 'num_sample'")

    with pytest.raises(TypeError, match="argument 'num_sample'\n"):
        ek.consensus_sync(MockProvider(["a"]), "q", key=key)


def test_the_traceback_of_a_misspelt_keyword_is_short_and_has_no_other_error() -> None:
    with pytest.raises(TypeError) as caught:
        ek.consensus_sync(MockProvider(["a"]), "q", num_sample=3)
    assert caught.value.__context__ is None
    ours = [frame for frame in traceback.extract_tb(caught.tb) if "executionkit/" in frame.filename]
    assert len(ours) <= 3


# -- with a meaning elsewhere ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "advice"),
    [
        *((name, "max_rounds") for name in ("max_turns", "max_steps", "max_iterations", "recursion_limit")),
        *(
            (name, "max_cost=TokenUsage")
            for name in ("usage_limits", "cost_limit", "budget", "max_usd", "max_budget")
        ),
        *(
            (name, "max_cost=TokenUsage(llm_calls")
            for name in ("max_calls", "tool_calls_limit", "request_limit")
        ),
        *((name, "'approve'") for name in ("approval_gate", "needs_approval", "requireApproval", "confirm")),
        *((name, "'approve'") for name in ("human_in_the_loop", "interrupt_before", "permissions")),
        *((name, "'messages'") for name in ("message", "message_history", "history", "session_id")),
        *((name, "'system'") for name in ("system_message", "system_prompt", "instructions")),
        *((name, "'tool_choice'") for name in ("force_tool", "tool_use_behavior")),
        *((name, "chooses among `tools`") for name in ("allowed_tools", "handoffs")),
        *((name, "'parallel_tool_calls'") for name in ("disable_parallel_tool_use", "parallelToolCalls")),
        *((name, "'on_limit'") for name in ("early_stopping_method", "on_max_turns")),
        *((name, "'output'") for name in ("outputs", "output_type", "response_format", "response_model")),
        *((name, "asyncio.timeout") for name in ("timeout", "max_time", "deadline")),
        *((name, "on_event") for name in ("stream", "callbacks", "hooks", "on_tool_call")),
        *((name, "Provider(") for name in ("model", "api_key")),
        *((name, "options={") for name in ("stop", "stop_sequences", "seed", "topP", "extra_body")),
        *((name, "'max_retries'") for name in ("max_retry", "maxRetries", "retries")),
        *((name, "RetryConfig(max_retries") for name in ("max_attempts", "retry_policy")),
        *((name, "'max_tokens'") for name in ("max_output_tokens", "max_completion_tokens")),
    ],
)
def test_a_keyword_with_a_meaning_elsewhere_is_refused_and_the_message_says_what_to_do(
    given: str, advice: str
) -> None:
    message = said(lambda provider: ek.react_loop(provider, "q", [], **{given: True}))
    assert message.startswith(f"react_loop() got an unexpected keyword argument {given!r}; ")
    assert advice in message


def test_the_advice_fits_the_function() -> None:
    assert "max_budget=TokenUsage" in said(
        lambda provider: ek.pipe(provider, "q", ek.consensus, usage_limits=3)
    )
    assert "'num_samples'" in said(lambda provider: ek.consensus(provider, "q", n=3))
    tiers = [ek.Tier(MockProvider(["a"]))]
    assert "Tier(provider, temperature=...)" in said(lambda _: ek.cascade(tiers, "q", temperature=1))
    assert "Tier(provider, max_tokens=...)" in said(lambda _: ek.cascade(tiers, "q", max_output_tokens=1))
    assert "Tier(provider, num_samples=...)" in said(lambda _: ek.cascade(tiers, "q", n=1))
    assert "'stop'?" in said(lambda provider: ek.consensus(provider, "q", early_stopping=True))
    assert "options={" in said(lambda provider: ek.consensus(provider, "q", stop_sequences=["x"]))
    assert "options={" in said(lambda provider: ek.pipe(provider, "q", ek.consensus, seed=3))
    assert "extra_body" in said(lambda provider: ek.pipe(provider, "q", seed=3))
    assert "'output'" in said(lambda provider: ek.structured(provider, "q", response_model=int))
    assert "no system message" in said(
        lambda provider: ek.map_reduce(provider, ["q"], map_prompt="m", reduce_prompt="r", system="x")
    )
    assert "one user message" in said(
        lambda provider: ek.map_reduce(provider, ["q"], map_prompt="m", reduce_prompt="r", history="x")
    )


def test_a_usage_is_a_ceiling_by_whatever_name() -> None:
    assert "max_budget=" in said(lambda provider: ek.pipe(provider, "q", ek.consensus, ours=BUDGET))
    assert "max_cost=" in said(lambda provider: ek.react_loop(provider, "q", [], ours=BUDGET))
    assert "'max_cost'" in said(lambda provider: ek.Kit(provider).stream("q", ours=BUDGET))
    # Nearer to `on_budget`, which is no ceiling.
    assert "max_cost=" in said(lambda provider: ek.refine_loop(provider, "q", budget=BUDGET))
    assert "'max_budget'" in said(lambda provider: ek.pipe(provider, "q", ek.refine_loop, budget=BUDGET))


# -- the rest --------------------------------------------------------------------------------------------


def test_a_keyword_that_a_step_takes_passes_whatever_it_means_elsewhere() -> None:
    async def greet(provider: LLMProvider, prompt: str, *, instructions: str) -> PatternResult[str]:
        return PatternResult(f"{instructions}: {prompt}")

    assert ek.pipe_sync(MockProvider(), "q", greet, instructions="be kind").value == "be kind: q"


@pytest.mark.parametrize(
    "call",
    [
        lambda: asyncio.run(ek.pipe(MockProvider(["a"]), "q", ek.consensus, zzz=1, num_samples=1)),
        lambda: asyncio.run(ek.Kit(MockProvider(["a"])).pipe("q", ek.consensus, zzz=1, num_samples=1)),
        lambda: ek.pipe_sync(MockProvider(["a"]), "q", ek.consensus, zzz=1, num_samples=1),
        lambda: ek.react_loop_sync(MockProvider(["a"]), "q", [], zzz=1),
    ],
)
def test_a_keyword_that_means_nothing_is_ignored_with_a_warning_at_the_line_of_the_user(
    call: Callable[[], object],
) -> None:
    with pytest.warns(UserWarning, match="the keyword 'zzz' is ignored$") as met:
        call()
    assert met[0].filename == __file__
    lines, first = inspect.getsourcelines(call)
    assert met[0].lineno in range(first, first + len(lines))
