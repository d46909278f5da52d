"""The log lines: what was done and what it took, and no word of what was said."""

import asyncio
import logging
from typing import Any

import pytest
from fakes import ONCE, HeldProvider, idle
from watching import Watcher

from executionkit import (
    Kit,
    LLMResponse,
    MockProvider,
    PermanentError,
    Provider,
    ProviderError,
    RetryConfig,
    TokenUsage,
    ToolCall,
    consensus,
    react_loop,
    tool,
)
from executionkit.engine.run import Run
from executionkit.observe import observe
from executionkit.testing import Fault, LocalEndpoint

CALLS = "executionkit.calls"
MESSAGES = [{"role": "user", "content": "q"}]


def lines(caplog: pytest.LogCaptureFixture, name: str = CALLS) -> list[tuple[str, str]]:
    return [(r.levelname, r.getMessage()) for r in caplog.records if r.name == name]


def extras(record: logging.LogRecord) -> dict[str, Any]:
    return {name: value for name, value in vars(record).items() if name.startswith("ek_")}


async def test_a_call_is_logged_when_it_begins_and_when_it_is_answered(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, CALLS)
    with LocalEndpoint(["Paris"]) as endpoint:
        async with Provider(endpoint.base_url, "simulated") as provider:
            await consensus(provider, "The capital?", num_samples=1)
        usage = endpoint.ledger.usage
    begun, answered = caplog.records
    assert begun.getMessage() == "consensus: call of simulated begins"
    told = extras(answered)
    ms = told.pop("ek_ms")
    assert told == {
        "ek_event": "answered",
        "ek_run": "consensus",
        "ek_model": "simulated",
        "ek_input_tokens": usage.input_tokens,
        "ek_output_tokens": usage.output_tokens,
    }
    tokens = f"{usage.input_tokens} + {usage.output_tokens} tokens"
    assert answered.getMessage() == f"consensus: call of simulated answered after {ms:.0f} ms: {tokens}"


async def test_a_retry_is_information_and_a_long_one_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, CALLS)
    busy = ProviderError("'q' can't be served", status_code=503, retry_after=1.3)
    provider = MockProvider([busy, ProviderError("slow", retry_after=20), "a"])
    retry = RetryConfig(base_delay=0, sleep=lambda _: None)
    await consensus(provider, "q", num_samples=1, retry=retry)
    assert lines(caplog) == [
        ("INFO", "consensus: 503 from the model, attempt 1 of 4, waiting 1.3 s"),
        ("WARNING", "consensus: ProviderError from the model, attempt 2 of 4, waiting 20.0 s"),
    ]
    assert extras(caplog.records[0]) == {
        "ek_event": "retry",
        "ek_run": "consensus",
        "ek_model": None,
        "ek_error": "ProviderError",
        "ek_status": 503,
        "ek_attempt": 1,
        "ek_attempts": 4,
        "ek_wait": 1.3,
    }


async def test_a_long_wait_for_room_is_a_warning(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider, budget = HeldProvider(), TokenUsage(output_tokens=12)
    job = consensus(provider, "q", num_samples=2, max_tokens=8, max_cost=budget, retry=ONCE)
    task = asyncio.create_task(job)
    first = await provider.arrived(1)
    await idle()  # the second sample waits, because the first one may write up to 8 tokens
    now = asyncio.get_running_loop().time() + 11
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    first.answer(usage={"prompt_tokens": 1, "completion_tokens": 1})
    (await provider.arrived(2)).answer(usage={"prompt_tokens": 1, "completion_tokens": 1})
    await task
    ((level, line),) = lines(caplog)
    assert level == "WARNING"
    assert line.startswith("consensus: waited 11.")
    assert line.endswith(" s for room in a budget")


async def test_a_stream_that_breaks_off_is_a_warning_and_one_that_is_left_is_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, CALLS)
    with LocalEndpoint([Fault.error_event("one two three"), "one two three", Fault.stall()]) as endpoint:
        async with Provider(endpoint.base_url, "simulated") as provider:
            kit = Kit(provider)
            with pytest.raises(ProviderError):
                _ = [event async for event in kit.stream("q")]
            stream = kit.stream("q")
            await anext(stream)
            await stream.aclose()
            stream = kit.stream("q")
            await anext(stream)
            task = asyncio.ensure_future(anext(stream))
            await idle()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
    (_, first), broken, (_, failed), (_, second), (level, left), *others = lines(caplog)
    assert [level for level, _ in others] == ["DEBUG", "DEBUG"]
    assert first == second == "stream: streamed call of simulated begins"
    assert broken == ("WARNING", "stream: the reply of simulated broke off: ProviderError")
    assert failed.startswith("stream: call of simulated failed after")
    assert (level, left.endswith("its reader left the stream")) == ("DEBUG", True)


@pytest.mark.parametrize(
    ("budget", "warnings"),
    [
        (TokenUsage(llm_calls=20), ["mine: 90 % of the budget of llm_calls is spent, 18 of 20"]),
        (TokenUsage(output_tokens=100), ["mine: 90 % of the budget of output_tokens is spent, 90 of 100"]),
        (TokenUsage(input_tokens=59), ["mine: 91 % of the budget of input_tokens is spent, 54 of 59"]),
        (TokenUsage(1000, 1000, 1000), []),
    ],
)
async def test_a_budget_that_is_nearly_spent_is_warned_of_once(
    budget: TokenUsage, warnings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    provider = MockProvider(["a"], usage=TokenUsage(3, 5))
    run = Run("mine", Run("outer", provider, max_cost=TokenUsage(llm_calls=1000)), max_cost=budget)
    for _ in range(20):
        await run.complete(MESSAGES, max_tokens=5)
    assert lines(caplog) == [("WARNING", warning) for warning in warnings]


async def test_no_line_has_a_word_of_what_was_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "executionkit")

    @tool
    def look(at: str) -> str:
        """Look."""
        raise LookupError

    secret = "sk-0123456789abcdef"
    words = ("Tangerine", "Kumquat", "Pomelo", "Bergamot")  # prompt, reply, argument, error
    asked = LLMResponse("", [ToolCall("1", "look", {"at": words[2]})])
    failure = Fault.status(503, body=f'{{"error": {{"message": "{words[3]}"}}}}')
    retry = RetryConfig(base_delay=0)
    with LocalEndpoint(
        [failure, asked, words[1], Fault.error_event(words[1]), Fault.status(400)]
    ) as endpoint:
        async with Provider(endpoint.base_url, "simulated", api_key=secret) as provider:
            await react_loop(provider, words[0], [look], retry=retry, max_cost=TokenUsage(llm_calls=3))
            kit = Kit(provider)
            with pytest.raises(ProviderError):
                _ = [event async for event in kit.stream(words[0])]
            with pytest.raises(PermanentError):
                await kit.consensus(words[0])
    shown = [record for record in caplog.records if record.name.startswith("executionkit")]
    assert {record.levelname for record in shown} == {"DEBUG", "INFO", "WARNING"}
    (fault,) = [record for record in shown if record.name == "executionkit.tools"]
    assert (fault.levelname, fault.getMessage()) == ("WARNING", "tool look raised LookupError")
    text = caplog.text + "".join(str(vars(record)) for record in shown)
    assert "LookupError" in text
    assert [word for word in (*words, secret) if word in text] == []


async def test_faults_of_the_program_are_seen_where_logging_is_not_set_up() -> None:
    def has_handler(name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None and logger.name.startswith("executionkit"):
            if logger.handlers:
                return True
            logger = logger.parent
        return False

    assert has_handler(CALLS)
    assert not has_handler("executionkit.tools")
    assert not has_handler("executionkit.events")


async def test_a_filter_that_raises_breaks_nothing_and_holds_nothing_back(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, "executionkit")

    class Raising(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            raise LookupError(record.name)

    @tool
    def look(at: str) -> str:
        """Look."""
        raise KeyError

    watcher, raising = Watcher(), Raising()
    asked = LLMResponse(
        "", [ToolCall("1", "look", {"at": "x"})], usage={"prompt_tokens": 1, "completion_tokens": 1}
    )
    provider = MockProvider([ProviderError("'q' can't be served", retry_after=20), asked, "done"])
    retry = RetryConfig(base_delay=0, sleep=lambda _: None)
    budget = TokenUsage(llm_calls=3, output_tokens=5000)
    caplog.handler.addFilter(raising)
    try:
        with observe(watcher):
            result = await react_loop(
                provider, "q", [look], retry=retry, max_cost=budget, on_event=lambda _: 1 / 0
            )
    finally:
        caplog.handler.removeFilter(raising)
    assert (result.value, result.callback_errors > 0) == ("done", True)
    assert all(len(node.left) == 1 for node in watcher.nodes)
    printed = capsys.readouterr().err
    for name in (CALLS, "executionkit.tools", "executionkit.events"):
        assert f"LookupError: {name}" in printed
    assert "can't be served" not in printed
