"""`react_loop`: let the model think, call tools and read what they returned, until it answers."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Never, cast

from executionkit import _checks as checks
from executionkit._checks import warn_of_unknown_keyword
from executionkit.engine.parallel import reap, spawn
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.errors import MaxIterationsError
from executionkit.events import EventCallback, Observation, RoundStarted, ToolStarted
from executionkit.patterns._narrator import Narrator
from executionkit.patterns._tools import Toolbox, cut
from executionkit.patterns._transcript import Transcript
from executionkit.protocols import ToolCallingProvider
from executionkit.responses import LLMResponse, ToolCall
from executionkit.types import PatternResult, TokenUsage, Tool

_CUT_OFF = "Error: not run, because the reply was cut off by max_tokens before the call was complete."


@dataclass(frozen=True)
class ReactResult(PatternResult[str]):
    """The model's final answer.

    Attributes:
        rounds: Model calls, the final one included.
        tool_calls_made: Tools run; calls refused for their name or arguments are not counted.
        truncated_responses: Replies cut off by `max_tokens`, the final answer included.
        truncated_observations: Observations cut to `max_observation_chars`.
        messages_trimmed: Messages left out of the last request because of `max_history_messages`.
        finish_reason: Why the model stopped writing the answer ("stop", "length", "content_filter", ...).
        refusal: The server's refusal text, "" when it did not refuse.
        callback_errors: How often `on_event` raised; each time is logged as a warning.
    """

    rounds: int = 0
    tool_calls_made: int = 0
    truncated_responses: int = 0
    truncated_observations: int = 0
    messages_trimmed: int = 0
    finish_reason: str = "stop"
    refusal: str = ""
    callback_errors: int = 0


@dataclass
class _Counters:
    rounds: int = 0
    tool_calls_made: int = 0
    truncated_responses: int = 0
    truncated_observations: int = 0
    messages_trimmed: int = 0


async def react_loop(
    provider: ToolCallingProvider,
    prompt: str,
    tools: Sequence[Tool],
    *,
    max_rounds: int = 8,
    max_observation_chars: int = 12000,
    tool_timeout: float | None = None,
    temperature: float = 0.3,
    max_tokens: int = 4096,
    max_cost: TokenUsage | None = None,
    retry: RetryConfig | None = None,
    max_history_messages: int | None = None,
    on_event: EventCallback | None = None,
    **_: Never,
) -> ReactResult:
    """Send the task with the tools, run the tools the model asks for, and so on until it answers.

    After Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models", ICLR 2023, on the tool
    calls of the chat completions API. The calls of one round run concurrently; their observations stand
    in the order of the calls. Whatever goes wrong with a call (no such tool, arguments that don't fit its
    schema, an exception, no time left) becomes an observation the model can react to. Of an exception the
    model sees the type only; raise `ToolError` to tell it more.

    A tool whose function has a parameter named `provider` that its schema does not declare is handed a
    provider whose calls count against this loop's budget.

    Example:
        ```python
        from executionkit import LLMResponse, MockProvider, Tool, ToolCall, react_loop

        schema = {
            "type": "object",
            "properties": {"item": {"type": "string"}},
            "required": ["item"],
        }
        price = Tool(
            "price", "The price of an item.", schema, lambda item: {"tea": 3.20}[item]
        )

        asks = LLMResponse("", [ToolCall("call_1", "price", {"item": "tea"})])
        provider = MockProvider([asks, "Tea costs 3.20."])  # in your program a Provider
        result = await react_loop(provider, "What does tea cost?", [price])
        assert (result.value, result.rounds, result.tool_calls_made) == (
            "Tea costs 3.20.",
            2,
            1,
        )
        ```

    Args:
        provider: What answers; `supports_tools` must be true.
        prompt: The task, sent as the first user message.
        tools: What the model may call; the names must differ.
        max_rounds: Model calls at the most; at least 1.
        max_observation_chars: Longest observation, in characters, the truncation mark included; at least 1.
        tool_timeout: Seconds any tool may take; None leaves it to each tool's own `timeout`. A plain
            function runs in a thread, which can't be stopped: out of time, it is left to end by itself.
        temperature: Sampling temperature in [0, 2].
        max_tokens: The most tokens one reply may have; at least 1.
        max_cost: The ceiling for the whole loop; None is no limit.
        retry: How failed calls are repeated; None means `DEFAULT_RETRY`.
        max_history_messages: Messages sent at the most, the first one counted; at least 1, None sends all.
            The first message and the most recent whole exchanges are kept, the latest one always.
        on_event: Told, as they happen, of rounds, tool calls and observations (`executionkit.events`) and
            of the replies' own events; a plain or async function, called with one event at a time, which the
            loop waits for. Replies are streamed then, where the provider can; a stream that breaks off
            after something was told is not retried. What the function raises is logged and counted.
        **_: Ignored, with a warning: a keyword meant for another pattern, or misspelt.

    Returns:
        The final answer; `score` is None. `metadata` keys: `rounds`, `tool_calls_made`,
        `truncated_responses`, `truncated_observations`, `messages_trimmed`, `finish_reason`, `refusal`,
        `callback_errors`.

    Raises:
        TypeError: The provider does not support tools, or `tools` holds something else than tools.
        ValueError: A parameter is out of range, or two tools share a name. Nothing was called.
        MaxIterationsError: No answer within `max_rounds`.
        BudgetExhaustedError: The budget ran out.
        LLMError: A call failed for good.

    Every error has the transcript so far in `.metadata["messages"]`, and the counters beside it.
    """
    for name in _:
        warn_of_unknown_keyword("react_loop", name, react_loop)
    checks.text(prompt=prompt)
    checks.at_least(1, max_rounds=max_rounds, max_observation_chars=max_observation_chars)
    if max_history_messages is not None:
        checks.at_least(1, max_history_messages=max_history_messages)
    if tool_timeout is not None:
        checks.positive(tool_timeout=tool_timeout)
    checks.sampling(temperature=temperature, max_tokens=max_tokens, max_cost=max_cost)
    narrator = Narrator("react_loop", on_event)
    by_name = _by_name(tools)
    transcript = Transcript(prompt)
    counters = _Counters()

    async with Run(
        "react_loop",
        provider,
        max_cost=max_cost,
        retry=retry,
        salvage=lambda: {"messages": list(transcript.messages), **vars(counters)},
    ) as run:
        _require_tool_support(run, provider)
        toolbox = Toolbox(by_name, run, tool_timeout)
        schemas = [tool.to_schema() for tool in by_name.values()] or None

        while counters.rounds < max_rounds:
            messages, counters.messages_trimmed = transcript.recent(max_history_messages)
            if narrator.listens:
                await narrator.tell(RoundStarted(counters.rounds + 1))
            reply = await narrator.ask(
                run, messages, temperature=temperature, max_tokens=max_tokens, tools=schemas
            )
            counters.rounds += 1
            counters.truncated_responses += reply.was_truncated
            calls = transcript.add_reply(reply)
            if not calls:
                return _result(reply, run.usage, counters, narrator.errors)
            observations = await _observe(toolbox, reply, calls, counters, max_observation_chars, narrator)
            transcript.add_results(calls, observations)

        raise MaxIterationsError(
            f"no final answer within max_rounds={max_rounds}; allow more rounds, or go on from the "
            "transcript in metadata['messages']"
        )


def _require_tool_support(run: Run, provider: object) -> None:
    if getattr(run, "supports_tools", False) is not True:
        has = f"says {run.supports_tools!r}" if hasattr(run, "supports_tools") else "has no such attribute"
        raise TypeError(
            f"react_loop: the provider needs supports_tools = True; {type(provider).__name__} {has}"
        )


async def _observe(
    toolbox: Toolbox,
    reply: LLMResponse,
    calls: list[ToolCall],
    counters: _Counters,
    limit: int,
    narrator: Narrator,
) -> list[str]:
    """Run the calls of one reply, all at once; their observations in order."""
    number = counters.rounds

    async def observe(call: ToolCall) -> str:
        if reply.was_truncated:
            text, ran, shortened = cut(_CUT_OFF, limit)[0], False, False
        else:
            if narrator.listens:
                await narrator.tell(ToolStarted(number, call))
            text, ran = await toolbox.call(call)
            text, shortened = cut(text, limit)
        counters.tool_calls_made += ran
        counters.truncated_observations += shortened
        if narrator.listens:
            await narrator.tell(Observation(number, call, text, ran, shortened))
        return text

    return await _all(observe, calls)


async def _all(observe: Callable[[ToolCall], Coroutine[Any, Any, str]], calls: list[ToolCall]) -> list[str]:
    if len(calls) == 1:
        return [await observe(calls[0])]
    tasks = spawn(*map(observe, calls))
    try:
        await asyncio.wait(tasks)
    finally:
        await reap(tasks)
    return [task.result() for task in tasks]


def _result(reply: LLMResponse, cost: TokenUsage, counters: _Counters, callback_errors: int) -> ReactResult:
    return ReactResult(
        value=reply.content,
        cost=cost,
        finish_reason=reply.finish_reason,
        refusal=reply.refusal,
        callback_errors=callback_errors,
        **vars(counters),
    )


def _by_name(tools: object) -> dict[str, Tool]:
    if not isinstance(tools, Iterable):
        raise TypeError(f"tools must be a list of Tool objects, got {tools!r}")
    by_name: dict[str, Tool] = {}
    for tool in cast("Iterable[object]", tools):
        if not isinstance(tool, Tool):
            raise TypeError(f"tools must be Tool objects, got {tool!r}")
        if tool.name in by_name:
            raise ValueError(f"tools must have different names, got {tool.name!r} twice")
        by_name[tool.name] = tool
    return by_name
