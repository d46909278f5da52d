"""`react_loop`: let the model think, call tools and read what they returned, until it answers."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Never, cast

from executionkit import _checks as checks
from executionkit._keywords import ignore_keywords
from executionkit._text import collapsed, shorten
from executionkit.engine.parallel import reap, spawn
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.engine.thoughts import without_thoughts
from executionkit.errors import MaxIterationsError, ProviderError
from executionkit.events import EventCallback, Observation, RoundStarted, ToolStarted
from executionkit.patterns._narrator import Narrator
from executionkit.patterns._text_calls import ANSWER_NOW, TextCalls
from executionkit.patterns._tools import Toolbox, cut
from executionkit.patterns._transcript import Transcript
from executionkit.protocols import ToolCallingProvider
from executionkit.responses import LLMResponse, ToolCall
from executionkit.tools._tool import Tool, Toolable
from executionkit.types import PatternResult, TokenUsage

_CUT_OFF = "Error: not run, because the reply was cut off by max_tokens before the call was complete."


@dataclass(frozen=True)
class ReactResult(PatternResult[str]):
    """The model's final answer. `score` is None.

    Attributes:
        rounds: Number of model calls, the final one included.
        tool_calls_made: Number of tools run. Calls refused for their name or arguments are not counted.
        truncated_responses: Replies cut off by `max_tokens`, the final answer included.
        truncated_observations: Observations cut to `max_observation_chars`.
        messages_trimmed: Messages that `max_history_messages` left out of the last request.
        finish_reason: Why the model stopped writing the answer ("stop", "length", "content_filter", ...).
        refusal: The server's refusal text; "" if it did not refuse.
        callback_errors: How often `on_event` raised. Each time is logged as a warning, and the loop goes on.
        unread_tool_calls: The tool calls that the answer consists of, written as text and not run; 0 for an
            ordinary answer. A warning is logged as well.
    """

    rounds: int = 0
    tool_calls_made: int = 0
    truncated_responses: int = 0
    truncated_observations: int = 0
    messages_trimmed: int = 0
    finish_reason: str = "stop"
    refusal: str = ""
    callback_errors: int = 0
    unread_tool_calls: int = 0


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
    tools: Sequence[Toolable],
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
    max_parallel_tools: int = 10,
    text_calls: Literal["flag", "run"] = "flag",
    **_: Never,
) -> ReactResult:
    """Let the model call tools and read their results until it answers.

    The loop sends the task with the tools, runs the tools that the model asks for, and sends the results
    back. This is ReAct (Yao et al., "ReAct: Synergizing Reasoning and Acting in Language Models", ICLR 2023)
    on the tool calls of the chat completions API. The calls of one round run at once, up to
    `max_parallel_tools`, and their results are sent in the order of the calls.

    A call that fails (unknown tool, arguments that don't fit the schema, an exception, a timeout) becomes an
    observation that the model can react to. The model sees only the type of an exception; raise `ToolError`
    to tell it more. A tool whose function has a parameter `provider` that its schema does not declare
    receives a provider whose calls count against this loop's budget.

    Example:
        ```python
        from executionkit import LLMResponse, MockProvider, Tool, ToolCall, react_loop


        def price(item):
            return {"tea": 3.20}[item]


        schema = {
            "type": "object",
            "properties": {"item": {"type": "string"}},
            "required": ["item"],
        }
        menu = Tool("price", "The price of an item.", schema, price)

        # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
        asks = LLMResponse("", [ToolCall("call_1", "price", {"item": "tea"})])
        provider = MockProvider([asks, "Tea costs 3.20."])
        result = await react_loop(provider, "What does tea cost?", [menu])
        assert (result.value, result.rounds) == ("Tea costs 3.20.", 2)
        assert result.tool_calls_made == 1
        ```

    Args:
        provider: Makes the model calls: a `Provider`, or any object that satisfies `ToolCallingProvider`.
            Its `supports_tools` must be True.
        prompt: The task, sent as the first user message.
        tools: The tools that the model may call: functions and `Tool` objects. A function becomes a tool as
            `executionkit.tool` makes one. The names must differ.
        max_rounds: Maximum number of model calls, retries not counted; at least 1.
        max_observation_chars: Maximum characters of one observation; at least 1. A longer one is cut and ends
            in a mark that says so.
        tool_timeout: Seconds that any tool may take; more than 0. A sync function runs in a thread, which
            can't be stopped: after a timeout it is left to end by itself. Defaults to each tool's own
            `timeout`.
        temperature: Sampling temperature, in [0, 2].
        max_tokens: Maximum tokens in one reply; at least 1.
        max_cost: Maximum calls and tokens for the whole loop, retries included. Defaults to no limit.
        retry: How failed calls are retried. Defaults to `DEFAULT_RETRY`: up to 3 retries.
        max_history_messages: Maximum messages in one request; at least 1. The first message and the latest
            whole exchanges are kept. A tool result is never separated from its call, and the latest exchange
            is always kept, even if it exceeds the limit. Defaults to sending all messages.
        on_event: Callback, sync or async, that receives each `PatternEvent` as it happens: rounds, tool
            calls, observations, and the stream of the model's replies. It is called with one event at a time,
            and the loop waits for it. An exception that it raises is logged and counted. Replies are then
            streamed, if the provider can stream. A stream that breaks off after its first event is not
            retried.
        max_parallel_tools: How many tools run at once; at least 1. The others wait, and their time has not
            begun. A sync function that overruns its time counts until its thread ends. Where such functions
            take all the room, a further call is not run, which the model is told.
        text_calls: How tool calls that the model writes as text are treated, because its server doesn't read
            them: "flag" returns such a text as the answer, with `unread_tool_calls`; "run" runs them like any
            other call. A call that was run is not run again: the model is then asked for its answer without
            tools. Only a reply that consists of calls counts: known tools, with arguments that fit their
            schemas.
        **_: Keywords that a `pipe` shares with its other steps; they are ignored with a warning. A keyword
            that is nearly a parameter's name, or that asks for a feature by another name (`messages`,
            `system`, `tool_choice`, `approval`, ...), is a TypeError before any call.

    Returns:
        A `ReactResult`, which explains the `metadata` keys: `rounds`, `tool_calls_made`,
        `truncated_responses`, `truncated_observations`, `messages_trimmed`, `finish_reason`, `refusal`,
        `callback_errors`, `unread_tool_calls`.

    Raises:
        TypeError: The provider does not support tools, `tools` holds something other than tools, or a keyword
            is refused. No call was made.
        ValueError: A parameter is out of range, or two tools share a name. No call was made.
        MaxIterationsError: The model gave no answer within `max_rounds`.
        BudgetExhaustedError: The budget ran out.
        LLMError: A call failed for good. After a reply without text and without a tool call, the next round
            asks once more; a second one, or one in the last round, is a `ProviderError` that shows what the
            model said.

    Every error has the conversation so far in `.metadata["messages"]`, in the form that `Provider.complete`
    takes, and beside it `["rounds"]`, `["tool_calls_made"]`, `["truncated_responses"]`,
    `["truncated_observations"]` and `["messages_trimmed"]`.
    """
    if _:
        ignore_keywords(react_loop, _)
    checks.text(prompt=prompt)
    _check_limits(max_rounds, max_observation_chars, max_history_messages, tool_timeout, max_parallel_tools)
    checks.one_of(("flag", "run"), text_calls=text_calls)
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
        toolbox = Toolbox(by_name, run, tool_timeout, max_parallel_tools)
        schemas = [tool.to_schema() for tool in by_name.values()] or None
        written = TextCalls(by_name, are_run=text_calls == "run")
        said_nothing = False

        while counters.rounds < max_rounds:
            messages, counters.messages_trimmed = transcript.recent(max_history_messages)
            if narrator.listens:
                await narrator.tell(RoundStarted(counters.rounds + 1))
            sampling = {"temperature": temperature, "max_tokens": max_tokens}
            reply = await narrator.ask(run, messages, tools=None if written.is_over else schemas, **sampling)
            counters.rounds += 1
            counters.truncated_responses += reply.was_truncated
            if _says_nothing(reply):
                if said_nothing or counters.rounds == max_rounds:
                    transcript.add_reply(reply)
                    raise _empty_answer(reply)
                said_nothing = True
                continue
            said_nothing = False
            taken = written.taken(reply)
            if taken is None:
                transcript.add_user(ANSWER_NOW)
                continue
            calls = transcript.add_reply(taken)
            if not calls:
                return _result(reply, run.usage, counters, narrator.errors, written.unread)
            observations = await _observe(toolbox, reply, calls, counters, max_observation_chars, narrator)
            transcript.add_results(calls, observations)

        raise MaxIterationsError(
            f"no final answer within max_rounds={max_rounds}; allow more rounds, or go on from the "
            "transcript in metadata['messages']"
        )


def _check_limits(
    rounds: int, observation: int, history: int | None, timeout: float | None, parallel: int
) -> None:
    checks.at_least(1, max_rounds=rounds, max_observation_chars=observation, max_parallel_tools=parallel)
    if history is not None:
        checks.at_least(1, max_history_messages=history)
    if timeout is not None:
        checks.positive(tool_timeout=timeout)


def _says_nothing(reply: LLMResponse) -> bool:
    """Whether a reply has no text for the reader and no call, and nothing says that it was withheld."""
    if reply.tool_calls or reply.refusal or reply.was_filtered:
        return False
    return not without_thoughts(reply.content).strip()


def _empty_answer(reply: LLMResponse) -> ProviderError:
    thought = collapsed(reply.reasoning or reply.content)
    said = f"; it thought: {shorten(thought, 300)}" if thought else ""
    advice = "; allow more max_tokens" if reply.was_truncated else ""
    return ProviderError(
        "react_loop: the model gave neither an answer nor a tool call, and there is no further attempt "
        f"(finish_reason {reply.finish_reason!r}){advice}{said}",
        metadata={"finish_reason": reply.finish_reason, "reasoning": reply.reasoning},
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


def _result(
    reply: LLMResponse, cost: TokenUsage, counters: _Counters, callback_errors: int, unread: int
) -> ReactResult:
    return ReactResult(
        value=reply.content,
        cost=cost,
        finish_reason=reply.finish_reason,
        refusal=reply.refusal,
        callback_errors=callback_errors,
        unread_tool_calls=unread,
        **vars(counters),
    )


def _by_name(tools: object) -> dict[str, Tool]:
    if not isinstance(tools, Iterable):
        raise TypeError(f"tools must be a list of functions and Tool objects, got {tools!r}")
    by_name: dict[str, Tool] = {}
    for given in cast("Iterable[Toolable]", tools):
        if not callable(given) and not isinstance(given, Tool):
            raise TypeError(f"tools must be functions and Tool objects, got {given!r}")
        tool = given if isinstance(given, Tool) else Tool.from_function(given)
        if tool.name in by_name:
            raise ValueError(f"tools must have different names, got {tool.name!r} twice")
        by_name[tool.name] = tool
    return by_name
