"""`react_loop`: let the model think, call tools and read what they returned, until it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Never, TypedDict, TypeVar, Unpack, overload

from executionkit import _checks as checks
from executionkit._json import plain
from executionkit._keywords import ignore_keywords
from executionkit._opening import Messages, opening
from executionkit._output import OutputAdapter
from executionkit._prompt import Prompt
from executionkit._text import collapsed, shorten
from executionkit.approval import Approval, Approver
from executionkit.engine.retry import RetryConfig
from executionkit.engine.run import Run
from executionkit.engine.thoughts import without_thoughts
from executionkit.errors import BudgetExhaustedError, MaxIterationsError, ProviderError
from executionkit.events import EventCallback, RoundStarted
from executionkit.patterns._approval import Desk, check_approvals
from executionkit.patterns._closing import Closing, StopReason
from executionkit.patterns._narrator import Narrator
from executionkit.patterns._options import Options, checked_options
from executionkit.patterns._repeats import Repeats
from executionkit.patterns._result_types import Value_co
from executionkit.patterns._running import Counters, ToolRunner
from executionkit.patterns._text_calls import ANSWER_NOW, Described, TextCalls
from executionkit.patterns._tool_choice import ToolChoice, ask_without_tools
from executionkit.patterns._tools import Toolbox, tools_by_name
from executionkit.patterns._transcript import Transcript
from executionkit.protocols import ToolCallingProvider
from executionkit.responses import LLMResponse, ToolCall
from executionkit.tools._tool import Tool, Toolable
from executionkit.types import PatternResult, TokenUsage

if TYPE_CHECKING:
    from executionkit._display._card import Card
    from executionkit.patterns._final_answer import FinalAnswer

__all__ = ["react_loop"]

T = TypeVar("T")


class ReactOptions(TypedDict, total=False):
    """Keyword parameters of `react_loop`, except those that a `Conversation` holds itself."""

    max_rounds: int
    max_observation_chars: int
    tool_timeout: float | None
    temperature: float
    max_tokens: int
    retry: RetryConfig | None
    options: Options | None
    max_history_messages: int | None
    on_event: EventCallback | None
    max_parallel_tools: int
    text_calls: Literal["flag", "run"]
    approve: Approver | None
    approval_timeout: float | None
    on_limit: Literal["raise", "answer"]
    max_repeats: int | None
    tool_choice: Literal["auto", "required", "none"] | str
    parallel_tool_calls: bool | None


@dataclass(frozen=True)
class ReactResult(PatternResult[Value_co]):
    """The model's final answer: a text, or a value of the type that `output` asks for. `score` is None.

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
        declined: Calls that were not approved.
        repeated_calls: Calls that `max_repeats` kept from being run again.
        stop_reason: "answer" if the model answered by itself; "max_rounds" or "budget" if `on_limit="answer"`
            asked it for the answer at that limit.
        messages: The whole conversation, with the system message, the earlier messages and the answer, in
            the form of the chat completions API. They are plain copies, ready for `json.dumps`. Pass them as
            `messages` for the next turn.
        text: The words that the model wrote beside a value of `output`; "" without `output`. Not in
            `metadata`.
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
    declined: int = 0
    repeated_calls: int = 0
    stop_reason: StopReason = "answer"
    messages: tuple[Mapping[str, Any], ...] = field(default=(), metadata={"copied": False})
    text: str = field(default="", metadata={"mirrored": False})

    def _describe(self, card: "Card") -> None:
        from executionkit.patterns._call_list import calls_of

        card.count(self.rounds, "round")
        card.count(self.tool_calls_made, "tool call")
        card.add("stopped by", self.stop_reason, self.stop_reason if self.stop_reason != "answer" else "")
        card.add("truncated", self.truncated_responses)
        card.add("cut observations", self.truncated_observations)
        card.add("messages left out", self.messages_trimmed)
        card.add("finish reason", self.finish_reason if self.finish_reason != "stop" else "")
        card.add("refusal", self.refusal)
        card.add("callback errors", self.callback_errors)
        card.add("unread tool calls", self.unread_tool_calls, f"{self.unread_tool_calls} unread tool calls")
        card.add("declined", self.declined)
        card.add("repeated calls", self.repeated_calls)
        card.folds.append(calls_of(self.messages))


class LoopOptions(ReactOptions, total=False):
    """Keyword parameters of `react_loop`, except `output`."""

    max_cost: TokenUsage | None
    messages: Messages | None
    system: str | None
    approvals: Mapping[str, Approval | bool] | None
    max_retries: int


@overload
async def react_loop(
    provider: ToolCallingProvider,
    prompt: Prompt | None,
    tools: Sequence[Toolable],
    *,
    output: None = None,
    **options: Unpack[LoopOptions],
) -> ReactResult: ...
@overload
async def react_loop(
    provider: ToolCallingProvider,
    prompt: Prompt | None,
    tools: Sequence[Toolable],
    *,
    output: type[T] | OutputAdapter[T],
    **options: Unpack[LoopOptions],
) -> ReactResult[T]: ...
@overload
async def react_loop(
    provider: ToolCallingProvider,
    prompt: Prompt | None,
    tools: Sequence[Toolable],
    *,
    output: Mapping[str, Any] | UnionType,
    **options: Unpack[LoopOptions],
) -> ReactResult[Any]: ...
async def react_loop(
    provider: ToolCallingProvider,
    prompt: Prompt | None,
    tools: Sequence[Toolable],
    *,
    max_rounds: int = 8,
    max_observation_chars: int = 12000,
    tool_timeout: float | None = None,
    temperature: float = 0.3,
    max_tokens: int = 4096,
    max_cost: TokenUsage | None = None,
    options: Options | None = None,
    retry: RetryConfig | None = None,
    max_history_messages: int | None = None,
    on_event: EventCallback | None = None,
    max_parallel_tools: int = 10,
    text_calls: Literal["flag", "run"] = "flag",
    messages: Messages | None = None,
    system: str | None = None,
    approve: Approver | None = None,
    approval_timeout: float | None = None,
    approvals: Mapping[str, Approval | bool] | None = None,
    on_limit: Literal["raise", "answer"] = "raise",
    max_repeats: int | None = None,
    tool_choice: Literal["auto", "required", "none"] | str = "auto",
    parallel_tool_calls: bool | None = None,
    output: object = None,
    max_retries: int = 3,
    **_: Never,
) -> ReactResult[Any]:
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
        prompt: The task: a text, or a list of texts and parts such as pictures. It is sent as a user message
            after `messages`. None goes on from `messages` as they stand:
            after an error, from its `.metadata["messages"]`.
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
        options: Further fields of every request, such as `seed`, `top_p`, `stop` or `reasoning_effort`.
            Fields that the pattern sets itself are refused. Defaults to none.
        retry: How failed calls are retried. Defaults to those of the run around it, else `DEFAULT_RETRY`.
        max_history_messages: Maximum messages in one request; at least 1. The oldest turns are left out
            first, each whole: a user message and all that follows it. The system message and the newest turn
            are kept. If that turn alone exceeds the limit, its oldest exchanges are left out. Its user
            message and its latest exchange are always kept, even if they exceed the limit. A tool result is
            never separated from its call. Defaults to sending all messages.
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
        messages: The conversation so far, in the form of the chat completions API. Every tool call in it must
            have its result. Only the calls of the last message may lack theirs, with `prompt=None`: they are
            run before the first model call. Defaults to none.
        system: The system message, sent first. It must be None if `messages` begin with a system or
            developer message. Defaults to none.
        approve: Function of an `ApprovalRequest`, sync or async, that is asked before a call of a tool with
            `needs_approval` runs. It returns an `Approval`, True or False; anything else, and an exception,
            ends the run. A sync function runs in a thread. Calls are asked about one at a time, in their
            order, while the other calls of the round run. A refusal is an observation, "declined: " and the
            reason. Without `approve`, such a call is an `ApprovalPending`.
        approval_timeout: Seconds that `approve` has for each call; more than 0. After that the call is
            declined. This time counts against no tool's. Defaults to no limit.
        approvals: Answers for the calls at the end of `messages`, by their ids: True, False or an
            `Approval`. Calls without one are put to `approve`. Defaults to none.
        on_limit: At `max_rounds` or the end of a budget, "raise" raises the error, and "answer" uses the last
            call to ask for an answer without tools, or by the tool of `output`. That call, with `max_tokens`,
            is kept back from the beginning in every budget around the loop. A ceiling on input tokens can be
            used up by others nevertheless.
        max_repeats: How often the same call is run; at least 1. The same are calls of one tool with equal
            arguments. A further one is not run: the model reads the former result once more. Tools with
            `repeatable` are left alone. Defaults to no limit.
        tool_choice: "auto" leaves it to the model whether to call a tool. "required" or the name of a tool
            makes it call one, until such a tool has run once or was declined. With "none" no tool is run.
        parallel_tool_calls: Whether the model may ask for several calls in one reply. With False, of several
            calls the first is run, and the model is told to wait with the others. Defaults to the server's
            own default.
        output: The form of the answer, as in `structured`: a type that pydantic can check, a TypeAdapter
            (these need the extra `pydantic`), or a JSON Schema as a mapping. The model gives the answer by a
            tool `final_answer`, which ends the loop; the other calls of that reply are run before. A text in
            its place is taken if JSON that fits can be read from it. Otherwise the call is asked for, once.
            Defaults to an answer in words.
        max_retries: How many replies may give an answer that does not fit `output`; at least 0. Each one is
            answered with all errors.
        **_: Keywords that a `pipe` shares with its other steps; they are ignored with a warning. A keyword
            that is nearly a parameter's name, or that asks for a feature by another name (`instructions`,
            `approval_gate`, ...), is a TypeError before any call.

    Returns:
        A `ReactResult`, which explains the `metadata` keys: `rounds`, `tool_calls_made`,
        `truncated_responses`, `truncated_observations`, `messages_trimmed`, `finish_reason`, `refusal`,
        `callback_errors`, `unread_tool_calls`, `declined`, `repeated_calls`, `stop_reason`, `messages`.

    Raises:
        TypeError: The provider does not support tools, `tools` holds something other than tools, or a keyword
            is refused. No call was made. Also: `approve`, or a tool's `needs_approval`, returned something
            else than it must. The tool was not run.
        ValueError: A parameter is out of range, two tools share a name, `output` can't be checked, or
            `messages` can't be sent; then the error names the message and the reason. No call was made.
        ImportError: `output` is a type, and pydantic is not installed. No call was made.
        PatternError: More than `max_retries` answers did not fit `output`, or the model wrote another text
            when it was asked to call `final_answer`.
        ApprovalPending: Calls wait for approval, and there is no `approve`, or it raised this error. The
            other calls of the round are done.
        MaxIterationsError: The model gave no answer within `max_rounds`.
        BudgetExhaustedError: The budget ran out.
        LLMError: A call failed for good. After a reply without text and without a tool call, the next round
            asks once more; a second one, or one in the last round, is a `ProviderError` that shows what the
            model said.

    Every error has the conversation so far in `.metadata["messages"]`, with the results of the tools that
    were run. To go on, pass it as `messages`, with `prompt=None`. Beside it are `["rounds"]`,
    `["tool_calls_made"]`, `["truncated_responses"]`, `["truncated_observations"]`, `["messages_trimmed"]`,
    `["declined"]` and `["repeated_calls"]`. With `output` the last answer that did not fit is in
    `["last_text"]`, and its faults in `["errors"]`.
    """
    if _:
        ignore_keywords(react_loop, _)
    transcript = Transcript(
        opening(prompt, messages, system, runs_calls=True), is_prompted=prompt is not None
    )
    _check_limits(max_rounds, max_observation_chars, max_history_messages, tool_timeout, max_parallel_tools)
    if max_repeats is not None:
        checks.at_least(1, max_repeats=max_repeats)
    checks.one_of(("flag", "run"), text_calls=text_calls)
    checks.one_of(("raise", "answer"), on_limit=on_limit)
    checks.at_least(0, max_retries=max_retries)
    left_over = transcript.unanswered
    check_approvals(approve, approval_timeout, approvals, left_over)
    checks.sampling(temperature=temperature, max_tokens=max_tokens, max_cost=max_cost)
    further = checked_options(options)
    narrator = Narrator("react_loop", on_event)
    by_name = tools_by_name(tools)
    final = None if output is None else _final_answer(output, by_name, max_retries)
    answer = None if final is None else final.name
    choice = ToolChoice(tool_choice, parallel_tool_calls, by_name, answer)
    counters = Counters()

    run = narrator.run(
        provider,
        None,
        max_cost=max_cost,
        retry=retry,
        salvage=lambda: {
            "messages": plain(transcript.messages),
            **vars(counters),
            **(final.salvage() if final is not None else {}),
        },
        is_dialogue=True,
    )
    _require_tool_support(provider, run.innermost)
    async with run, Closing(run, on_limit, max_rounds, max_tokens, answer) as closing:
        toolbox = Toolbox(by_name, run, tool_timeout, max_parallel_tools)
        desk = Desk(approve, approval_timeout, approvals, narrator, transcript)
        repeats = Repeats(max_repeats)
        runner = ToolRunner(
            run, toolbox, final, desk, choice, repeats, transcript, counters, narrator, max_observation_chars
        )
        last_tool = [] if final is None else [final.to_schema()]
        schemas = [*(tool.to_schema() for tool in by_name.values()), *last_tool] or None
        read: Mapping[str, Described] = by_name if final is None else {**by_name, final.name: final}
        written = TextCalls(read, are_run=text_calls == "run", answer=answer)
        said_nothing = False

        if left_over:
            await runner.run(left_over)
            if final is not None and final.settle():
                return _result(LLMResponse(""), final, run, counters, transcript, narrator, closing)
        while counters.rounds < max_rounds:
            offered = (last_tool or None) if written.is_over else schemas
            if closing.answers and closing.is_due(counters.rounds, transcript.messages, offered):
                choice.is_closed = True
                written.close()
            room = max_history_messages
            if closing.has_begun and room is not None:
                room = max(1, room - 1)  # for the closing words
            request, counters.messages_trimmed = transcript.recent(room)
            if narrator.listens:
                await narrator.tell(RoundStarted(counters.rounds + 1, cost=run.usage))
            fields: dict[str, Any] = {
                **further,
                "tools": offered,
                "temperature": temperature,
                "max_tokens": max_tokens,
            }
            if offered and not written.is_over:
                fields |= choice.fields()
            if closing.has_begun:
                request, fields["max_tokens"] = closing.begun(request)
            try:
                if choice.is_closed and "tool_choice" in fields:
                    reply = await ask_without_tools(narrator, run, request, fields)
                else:
                    reply = await narrator.ask(run, request, **fields)
            except BudgetExhaustedError:
                if not closing.is_possible():
                    raise
                continue
            called = reply.tool_calls
            if closing.has_begun and called:
                reply = replace(reply, tool_calls=[call for call in called if call.name == answer])
            counters.rounds += 1
            is_cut_off = reply.was_truncated
            counters.truncated_responses += is_cut_off
            if _says_nothing(reply):
                # It stays out of the transcript: no run can go on from an empty turn of the model's.
                if said_nothing or closing.has_begun or counters.rounds == max_rounds:
                    raise _empty_answer(reply, called)
                said_nothing = True
                continue
            said_nothing = False
            taken = written.taken(reply)
            if taken is None:
                transcript.add_user(ANSWER_NOW if final is None else final.answer_now)
                continue
            if taken.tool_calls:
                await runner.run(transcript.add_reply(taken), is_cut_off=is_cut_off)
                if final is None or not final.settle():
                    continue
            elif final is not None and (call_request := final.take_text(reply, is_call=written.unread > 0)):
                transcript.add_refused(taken, call_request)
                final.settle()
                continue
            return _result(taken, final, run, counters, transcript, narrator, closing, written.unread)

        unfit = ": the one that the model was asked for does not fit output" if closing.has_begun else ""
        advice = "" if closing.answers else "pass on_limit='answer', "
        raise MaxIterationsError(
            f"no final answer within max_rounds={max_rounds}{unfit}; allow more rounds, {advice}or go on "
            "from the transcript: messages=error.metadata['messages'], prompt=None"
        )


def _final_answer(output: object, others: Mapping[str, Tool], max_retries: int) -> "FinalAnswer[Any]":
    from executionkit.patterns._final_answer import FinalAnswer  # not at the top: few loops need it

    return FinalAnswer(output, others, max_retries)


def _result(
    reply: LLMResponse,
    final: "FinalAnswer[Any] | None",
    run: Run,
    counters: Counters,
    transcript: Transcript,
    narrator: Narrator,
    closing: Closing,
    unread: int = 0,
) -> ReactResult[Any]:
    # The conversation ends with a turn of the model's, also where a call gave the answer: not every server
    # lets the user speak after the result of a tool.
    is_said = final is None or reply.content == final.given
    transcript.add_answer(reply if final is None or is_said else LLMResponse(final.given))
    result: ReactResult[Any] = ReactResult(
        value=reply.content if final is None else final.value,
        cost=run.usage,
        finish_reason=reply.finish_reason,
        refusal=reply.refusal,
        callback_errors=narrator.errors,
        unread_tool_calls=unread if final is None else 0,
        stop_reason=closing.reason,
        messages=tuple(transcript.messages),
        text="" if final is None else reply.content,
        **vars(counters),
    )
    return run.shows(result)


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


def _empty_answer(reply: LLMResponse, called: Sequence[ToolCall]) -> ProviderError:
    names = ", ".join(dict.fromkeys(call.name for call in called))
    gave = (
        f"called {names} instead of giving its answer" if called else "gave neither an answer nor a tool call"
    )
    thought = collapsed(reply.reasoning or reply.content)
    said = f"; it thought: {shorten(thought, 300)}" if thought else ""
    advice = "; allow more max_tokens" if reply.was_truncated else ""
    return ProviderError(
        f"react_loop: the model {gave}, and there is no further attempt (finish_reason "
        f"{reply.finish_reason!r}){advice}{said}",
        metadata={"finish_reason": reply.finish_reason, "reasoning": reply.reasoning},
    )


def _require_tool_support(provider: object, target: object) -> None:
    supports = getattr(provider, "supports_tools", ...)
    if supports is not True:
        has = "has no such attribute" if supports is ... else f"says {supports!r}"
        raise TypeError(
            f"react_loop: the provider needs supports_tools = True; {type(target).__name__} {has}"
        )
