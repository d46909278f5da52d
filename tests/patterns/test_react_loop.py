"""`react_loop`: the conversation it holds, the tools it runs or refuses to run, what a failure keeps."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from fakes import NO_WAIT, ONCE, HeldProvider, idle

from executionkit import (
    BudgetExhaustedError,
    LLMProvider,
    LLMResponse,
    MaxIterationsError,
    MockProvider,
    PermanentError,
    ProviderError,
    ReactResult,
    TokenUsage,
    Tool,
    ToolCall,
    ToolError,
    consensus,
    react_loop,
)


async def forever() -> str:
    waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    return await waiting


def calls(*wanted: tuple[str, dict[str, Any]], **fields: Any) -> LLMResponse:
    """A reply that asks for these tools, with ids "c0", "c1", ..."""
    asked = [ToolCall(f"c{index}", name, arguments) for index, (name, arguments) in enumerate(wanted)]
    return LLMResponse("", tool_calls=asked, **{"finish_reason": "tool_calls", **fields})


def tool(
    execute: Callable[..., object], name: str = "look", timeout: float = 30.0, **properties: Any
) -> Tool:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return Tool(name, f"The {name} tool.", schema, execute, timeout)


def look(result: object = "a cat") -> Tool:
    async def execute() -> object:
        return result

    return tool(execute)


async def observed(*tools: Tool, asked: LLMResponse | None = None, **keywords: Any) -> list[str]:
    """What the model is shown after asking once."""
    provider = MockProvider([asked or calls(("look", {})), "done"])
    await react_loop(provider, "q", tools, **keywords)
    return [message["content"] for message in provider.calls[1].messages if message["role"] == "tool"]


# -- the conversation ------------------------------------------------------------------------------------


async def test_the_whole_conversation_of_two_rounds() -> None:
    async def add(a: int, b: int) -> str:
        return str(a + b)

    adder = tool(add, "add", a={"type": "integer"}, b={"type": "integer"})
    asked = LLMResponse(
        "Let me add.", tool_calls=[ToolCall("c1", "add", {"a": 2, "b": 40})], finish_reason="tool_calls"
    )
    provider = MockProvider([asked, "It is 42."], usage=TokenUsage(20, 4))
    result = await react_loop(provider, "2 + 40?", [adder])

    first, second = provider.calls
    question = {"role": "user", "content": "2 + 40?"}
    assert first.messages == [question]
    assert first.tools == second.tools == [adder.to_schema()]
    assert (first.temperature, first.max_tokens) == (0.3, 4096)
    assert second.messages == [
        question,
        {
            "role": "assistant",
            "content": "Let me add.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"a":2,"b":40}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "42"},
    ]
    assert isinstance(result, ReactResult)
    assert (result.value, result.score) == ("It is 42.", None)
    assert result.cost == TokenUsage(20, 4, 2)
    assert dict(result.metadata) == {
        "rounds": 2,
        "tool_calls_made": 1,
        "truncated_responses": 0,
        "truncated_observations": 0,
        "messages_trimmed": 0,
        "finish_reason": "stop",
        "refusal": "",
        "callback_errors": 0,
        "unread_tool_calls": 0,
        "declined": 0,
        "repeated_calls": 0,
        "stop_reason": "answer",
        "messages": (*second.messages, {"role": "assistant", "content": "It is 42."}),
    }
    assert (result.rounds, result.tool_calls_made) == (2, 1)


async def test_an_answer_at_once_calls_no_tool() -> None:
    result = await react_loop(MockProvider(["42"]), "q", [look()])
    assert (result.value, result.rounds, result.tool_calls_made) == ("42", 1, 0)


async def test_without_tools_no_schema_is_sent() -> None:
    provider = MockProvider(["42"])
    await react_loop(provider, "q", [], temperature=1.5, max_tokens=7)
    call = provider.calls[0]
    assert (call.tools, call.temperature, call.max_tokens) == (None, 1.5, 7)


@pytest.mark.parametrize(
    ("reply", "finish_reason", "refusal", "truncated"),
    [
        (LLMResponse("half a", finish_reason="length"), "length", "", 1),
        (LLMResponse("", finish_reason="content_filter"), "content_filter", "", 0),
        (LLMResponse("", refusal="I won't"), "stop", "I won't", 0),
    ],
)
async def test_a_final_answer_that_is_none_is_visible_as_such(
    reply: LLMResponse, finish_reason: str, refusal: str, truncated: int
) -> None:
    result = await react_loop(MockProvider([reply]), "q", [look()])
    assert result.value == reply.content
    assert (result.finish_reason, result.refusal) == (finish_reason, refusal)
    assert result.truncated_responses == truncated


async def test_calls_without_or_with_the_same_id_get_their_own() -> None:
    asked = LLMResponse("", tool_calls=[ToolCall(name, "look", {}) for name in ("", "", "x", "x")])
    provider = MockProvider([asked, "done"])
    await react_loop(provider, "q", [look()])
    message, *results = provider.calls[1].messages[1:]
    ids = [call["id"] for call in message["tool_calls"]]
    assert len(set(ids)) == 4
    assert "" not in ids
    assert [result["tool_call_id"] for result in results] == ids


# -- limits ----------------------------------------------------------------------------------------------


async def test_max_rounds_ends_it_with_the_transcript_the_counters_and_the_cost() -> None:
    provider = MockProvider([calls(("look", {}), usage={"prompt_tokens": 5, "completion_tokens": 1})])
    with pytest.raises(MaxIterationsError, match="max_rounds=3") as caught:
        await react_loop(provider, "q", [look()], max_rounds=3)
    assert provider.call_count == 3
    assert caught.value.cost == TokenUsage(15, 3, 3)
    metadata = caught.value.metadata
    assert [message["role"] for message in metadata["messages"]] == ["user", *["assistant", "tool"] * 3]
    assert (metadata["rounds"], metadata["tool_calls_made"]) == (3, 3)


async def test_an_answer_in_the_last_round_is_an_answer() -> None:
    result = await react_loop(MockProvider([calls(("look", {})), "done"]), "q", [look()], max_rounds=2)
    assert (result.value, result.rounds) == ("done", 2)


async def test_a_failure_in_round_three_keeps_the_transcript() -> None:
    provider = MockProvider([calls(("look", {})), calls(("look", {})), PermanentError("403")])
    with pytest.raises(PermanentError) as caught:
        await react_loop(provider, "q", [look("seen")])
    assert caught.value.cost.llm_calls == 3
    assert [message["role"] for message in caught.value.metadata["messages"]] == [
        "user",
        *["assistant", "tool"] * 2,
    ]
    assert caught.value.metadata["messages"][-1]["content"] == "seen"
    assert (caught.value.metadata["rounds"], caught.value.metadata["tool_calls_made"]) == (2, 2)


async def test_a_budget_of_two_calls_allows_two_rounds() -> None:
    provider = MockProvider([calls(("look", {}))])
    with pytest.raises(BudgetExhaustedError, match="llm_calls") as caught:
        await react_loop(provider, "q", [look()], max_cost=TokenUsage(llm_calls=2))
    assert provider.call_count == 2
    assert caught.value.cost.llm_calls == 2
    assert len(caught.value.metadata["messages"]) == 5


async def test_a_retried_round_counts_every_attempt_but_is_one_round() -> None:
    provider = MockProvider([ProviderError("503"), ProviderError("503"), "done"])
    result = await react_loop(provider, "q", [], retry=NO_WAIT)
    assert (result.rounds, result.cost.llm_calls) == (1, 3)


# -- what is refused before any call ---------------------------------------------------------------------


@pytest.mark.parametrize("supports", [False, None, "yes", 1])
async def test_a_provider_that_does_not_say_it_supports_tools_is_refused(supports: object) -> None:
    class Other(MockProvider):
        supports_tools = supports  # type: ignore[assignment]  # what is wrong is the point

    provider = Other(["42"])
    with pytest.raises(TypeError, match="supports_tools"):
        await react_loop(provider, "q", [look()])  # type: ignore[call-overload]  # what is wrong is the point
    assert provider.call_count == 0


async def test_a_provider_without_the_attribute_is_refused() -> None:
    class Plain:
        complete = MockProvider(["42"]).complete

    with pytest.raises(TypeError, match=r"Plain has .*no such attribute"):
        await react_loop(Plain(), "q", [look()])  # type: ignore[call-overload]  # what is wrong is the point


async def test_two_tools_of_one_name_are_refused() -> None:
    provider = MockProvider(["42"])
    with pytest.raises(ValueError, match="'look' twice"):
        await react_loop(provider, "q", [look(), look()])
    assert provider.call_count == 0


@pytest.mark.parametrize("tools", [None, look(), "look", [look().to_schema()], 3])
async def test_what_is_no_list_of_tools_is_refused(tools: Any) -> None:
    provider = MockProvider(["42"])
    with pytest.raises(TypeError, match="tools must be"):
        await react_loop(provider, "q", tools)
    assert provider.call_count == 0


# -- tools that fail -------------------------------------------------------------------------------------


async def test_an_unknown_tool_is_an_observation_that_names_the_known_ones() -> None:
    provider = MockProvider([calls(("lokk", {})), "done"])
    result = await react_loop(provider, "q", [look(), tool(print, "buy")])
    observation = provider.calls[1].messages[-1]["content"]
    assert "'lokk'" in observation
    assert "buy, look" in observation
    assert result.tool_calls_made == 0


async def test_a_call_though_there_are_no_tools_is_an_observation() -> None:
    assert "there are none" in (await observed())[0]


async def test_arguments_are_checked_before_the_tool_runs() -> None:
    ran: list[object] = []

    async def pay(amount: int) -> str:
        ran.append(amount)
        return "paid"

    purse = tool(pay, "pay", amount={"type": "integer", "minimum": 1})
    asked = calls(("pay", {"amount": "9"}), ("pay", {"amount": 0}), ("pay", {}), ("pay", {"amount": 5}))
    provider = MockProvider([asked, "done"])
    result = await react_loop(provider, "q", [purse])
    *wrong, right = [message["content"] for message in provider.calls[1].messages[2:]]
    assert ran == [5]
    assert right == "paid"
    assert len(wrong) == 3
    for text in wrong:
        assert text.startswith("Error: invalid arguments for pay")
        assert "amount" in text
    assert result.tool_calls_made == 1


async def test_an_argument_the_function_does_not_take_is_an_observation_even_if_the_schema_lets_it_pass() -> (
    None
):
    (observation,) = await observed(look(), asked=calls(("look", {"extra": 1})))
    assert "invalid arguments" in observation
    assert "extra" in observation


async def test_arguments_that_were_no_json_object_reach_the_model_as_they_were() -> None:
    ran: list[object] = []

    async def execute(**arguments: object) -> str:
        ran.append(arguments)
        return ""

    broken = ToolCall("c", "look", {}, invalid_arguments='{"x":1,}')
    provider = MockProvider([LLMResponse("", tool_calls=[broken]), "done"])
    await react_loop(provider, "q", [tool(execute)])
    assistant, observation = provider.calls[1].messages[1:]
    assert '{"x":1,}' in observation["content"]
    assert json.loads(assistant["tool_calls"][0]["function"]["arguments"]) == {}
    assert ran == []
    assert provider.call_count == 2  # paid once, and not asked for again


async def test_of_an_exception_the_model_sees_the_type_only() -> None:
    async def execute() -> str:
        raise LookupError("SELECT * FROM secrets WHERE key = 'hunter2'")

    (observation,) = await observed(tool(execute))
    assert "LookupError" in observation
    assert "hunter2" not in observation


async def test_of_a_tool_error_the_model_sees_the_text() -> None:
    async def execute() -> str:
        raise ToolError("flight HAT042 is sold out; try HAT043")

    (observation,) = await observed(tool(execute))
    assert "flight HAT042 is sold out; try HAT043" in observation


async def test_a_tool_out_of_its_own_time_is_cancelled_and_an_observation() -> None:
    ended = asyncio.Event()

    async def execute() -> str:
        try:
            return await forever()
        finally:
            ended.set()

    (observation,) = await observed(tool(execute, timeout=0.01))
    assert "did not finish within 0.01 seconds" in observation
    assert ended.is_set()


async def test_tool_timeout_overrides_the_tool_s_own() -> None:
    async def execute() -> str:
        return await forever()

    (observation,) = await observed(tool(execute, timeout=3600), tool_timeout=0.01)
    assert "did not finish within 0.01 seconds" in observation


async def test_a_timeout_error_of_the_tool_s_own_is_not_reported_as_ours() -> None:
    async def execute() -> str:
        raise TimeoutError("the database")

    (observation,) = await observed(tool(execute))
    assert "failed with TimeoutError" in observation
    assert "did not finish" not in observation


async def test_a_tool_that_resists_cancelling_does_not_hold_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release = asyncio.Event()

    async def execute() -> str:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        return "at last"

    (observation,) = await observed(tool(execute, timeout=0.01))
    assert "did not finish" in observation
    assert "look resists cancellation" in caplog.text
    release.set()
    await idle()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_tool_that_raises_cancelled_error_does_not_end_the_run() -> None:
    async def execute() -> str:
        raise asyncio.CancelledError

    (observation,) = await observed(tool(execute))
    assert "failed with CancelledError" in observation


# -- plain functions -------------------------------------------------------------------------------------


async def test_a_plain_function_runs_once_in_a_thread() -> None:
    threads: list[threading.Thread] = []

    def execute(city: str) -> str:
        threads.append(threading.current_thread())
        return f"rain in {city}"

    seen = await observed(tool(execute, city={"type": "string"}), asked=calls(("look", {"city": "Bern"})))
    assert seen == ["rain in Bern"]
    assert len(threads) == 1
    assert threads[0] is not threading.main_thread()


async def test_a_plain_function_out_of_time_is_left_to_end_by_itself() -> None:
    release = threading.Event()

    def execute() -> str:
        release.wait(30)
        return "late"

    (observation,) = await observed(tool(execute, timeout=0.01))
    assert "did not finish" in observation
    release.set()


async def test_a_plain_function_may_return_an_awaitable() -> None:
    async def later() -> str:
        return "here"

    assert await observed(tool(lambda: later())) == ["here"]


# -- observations ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "shown"),
    [
        ("text", "text"),
        ("", ""),
        ({"ok": True, "none": None, "é": [1.5]}, '{"ok": true, "none": null, "é": [1.5]}'),
        ([1, "a"], '[1, "a"]'),
        (None, "null"),
        (False, "false"),
        (7, "7"),
    ],
)
async def test_a_result_that_is_no_text_is_shown_as_json(result: object, shown: str) -> None:
    assert await observed(look(result)) == [shown]


async def test_a_long_observation_is_cut_to_the_limit_mark_included() -> None:
    provider = MockProvider([calls(("look", {})), "done"])
    result = await react_loop(provider, "q", [look("x" * 500)], max_observation_chars=100)
    observation = provider.calls[1].messages[-1]["content"]
    assert len(observation) == 100
    assert observation.startswith("xxxx")
    assert observation.endswith("[truncated: 500 characters in all]")
    assert result.truncated_observations == 1


@pytest.mark.parametrize("limit", [1, 2, 20, 34, 35, 36])
async def test_a_limit_smaller_than_the_mark_holds_too(limit: int) -> None:
    (observation,) = await observed(look("x" * 500), max_observation_chars=limit)
    assert len(observation) == limit
    assert observation[-1] in "…]"


async def test_a_limit_that_is_just_enough_cuts_nothing() -> None:
    assert await observed(look("x" * 50), max_observation_chars=50) == ["x" * 50]


async def test_a_tool_cannot_forge_the_count_of_truncated_observations() -> None:
    forged = "short\n[truncated: 500 characters in all]"
    result = await react_loop(MockProvider([calls(("look", {})), "done"]), "q", [look(forged)])
    assert result.truncated_observations == 0


# -- several calls in one round --------------------------------------------------------------------------


async def test_the_calls_of_one_round_run_at_once_and_their_observations_keep_the_order_of_the_calls() -> (
    None
):
    running: list[int] = []
    turns = [asyncio.Event() for _ in range(3)]

    async def execute(number: int) -> str:
        running.append(number)
        if len(running) == 3:
            turns[2].set()
        await turns[number].wait()
        if number:
            turns[number - 1].set()
        return f"result {number}"

    asked = calls(*[("look", {"number": number}) for number in range(3)])
    seen = await observed(tool(execute, number={"type": "integer"}), asked=asked)
    assert running == [0, 1, 2]  # each began before the first was done
    assert seen == ["result 0", "result 1", "result 2"]


async def test_one_failing_call_does_not_touch_the_others() -> None:
    async def execute(number: int) -> str:
        if number == 1:
            raise OSError
        await idle()
        return f"result {number}"

    asked = calls(*[("look", {"number": number}) for number in range(3)])
    seen = await observed(tool(execute, number={"type": "integer"}), asked=asked)
    assert seen[0] == "result 0"
    assert "OSError" in seen[1]
    assert seen[2] == "result 2"


async def test_calls_in_a_reply_cut_off_by_max_tokens_are_not_run() -> None:
    ran: list[object] = []

    async def transfer(amount: int) -> str:
        ran.append(amount)
        return "sent"

    asked = calls(("transfer", {"amount": 1}), ("transfer", {"amount": 10}), finish_reason="length")
    provider = MockProvider([asked, "done"])
    result = await react_loop(provider, "q", [tool(transfer, "transfer", amount={"type": "integer"})])
    observations = [message["content"] for message in provider.calls[1].messages[2:]]
    assert ran == []
    assert len(observations) == 2
    assert all("cut off" in text for text in observations)
    assert (result.truncated_responses, result.tool_calls_made) == (1, 0)


async def test_a_reply_that_ends_with_stop_though_it_calls_tools_is_carried_out() -> None:
    assert await observed(look(), asked=calls(("look", {}), finish_reason="stop")) == ["a cat"]


@pytest.mark.parametrize("at_once", [1, 3])
async def test_cancelling_the_loop_cancels_its_tools(at_once: int) -> None:
    started, ended = asyncio.Semaphore(0), asyncio.Semaphore(0)

    async def execute() -> str:
        started.release()
        try:
            return await forever()
        finally:
            ended.release()

    provider = MockProvider([calls(*[("look", {})] * at_once)])
    loop = asyncio.create_task(react_loop(provider, "q", [tool(execute)]))
    for _ in range(at_once):
        await started.acquire()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    for _ in range(at_once):
        await ended.acquire()
    assert asyncio.all_tasks() == {asyncio.current_task()}


# -- tools that call a model themselves ------------------------------------------------------------------


async def test_a_tool_with_a_provider_parameter_is_handed_one_that_counts() -> None:
    async def ask(question: str, provider: LLMProvider) -> str:
        return str(await consensus(provider, question, num_samples=3))

    asked = calls(("ask", {"question": "why"}), usage={"completion_tokens": 1})
    provider = MockProvider([asked, "because", "because", "so", "done"], usage=TokenUsage(output_tokens=2))
    result = await react_loop(provider, "q", [tool(ask, "ask", question={"type": "string"})])
    assert provider.calls[-1].messages[-1]["content"] == "because"
    assert result.cost == TokenUsage(output_tokens=9, llm_calls=5)


async def test_a_tool_s_own_calls_are_bound_by_the_budget() -> None:
    async def ask(provider: LLMProvider) -> str:
        return str(await consensus(provider, "why", num_samples=3))

    provider = MockProvider([calls(("ask", {})), "done"])
    result = await react_loop(provider, "q", [tool(ask, "ask")], max_cost=TokenUsage(llm_calls=3))
    assert result.cost.llm_calls == provider.call_count == 2
    assert "BudgetExhaustedError" in provider.calls[1].messages[-1]["content"]


async def test_the_model_cannot_fill_in_the_provider_parameter() -> None:
    given: list[object] = []

    async def ask(provider: LLMProvider) -> str:
        given.append(provider)
        return ""

    await observed(tool(ask), asked=calls(("look", {"provider": "mine"})))
    assert "mine" not in given


async def test_a_provider_parameter_that_the_schema_declares_is_the_model_s() -> None:
    async def ask(provider: str) -> str:
        return f"asked {provider}"

    declared = tool(ask, provider={"type": "string"})
    assert await observed(declared, asked=calls(("look", {"provider": "Bob"}))) == ["asked Bob"]


# -- history ---------------------------------------------------------------------------------------------


async def conversation(limit: int | None, per_round: int, rounds: int) -> tuple[list[list[str]], ReactResult]:
    """The contents of each request: the task, "ask n" and "n.m" for the result of call m in round n."""
    numbers = iter(range(100))

    async def execute(number: int, call: int) -> str:
        return f"{number}.{call}"

    def reply(_: object) -> LLMResponse:
        number = next(numbers)
        if number == rounds:
            return LLMResponse("done")
        asked = [ToolCall(f"{number}-{n}", "look", {"number": number, "call": n}) for n in range(per_round)]
        return LLMResponse(f"ask {number}", tool_calls=asked)

    provider = MockProvider(reply)
    counted = tool(execute, number={"type": "integer"}, call={"type": "integer"})
    result = await react_loop(provider, "task", [counted], max_history_messages=limit, max_rounds=rounds + 1)
    return [[message["content"] for message in call.messages] for call in provider.calls], result


async def test_without_a_limit_everything_is_sent() -> None:
    requests, result = await conversation(None, per_round=1, rounds=4)
    assert len(requests[-1]) == 9
    assert result.messages_trimmed == 0


async def test_a_limit_keeps_the_task_and_the_most_recent_whole_exchanges() -> None:
    requests, result = await conversation(6, per_round=1, rounds=4)
    assert requests[-1] == ["task", "ask 2", "2.0", "ask 3", "3.0"]
    assert requests[2] == ["task", "ask 0", "0.0", "ask 1", "1.0"]
    assert result.messages_trimmed == 4


async def test_a_tool_result_is_never_parted_from_its_call() -> None:
    requests, _ = await conversation(5, per_round=3, rounds=3)
    assert requests[-1] == ["task", "ask 2", "2.0", "2.1", "2.2"]


@pytest.mark.parametrize("limit", [1, 2, 3])
async def test_the_latest_exchange_stays_even_beyond_the_limit(limit: int) -> None:
    requests, result = await conversation(limit, per_round=3, rounds=3)
    assert requests[-1] == ["task", "ask 2", "2.0", "2.1", "2.2"]
    assert requests[0] == ["task"]
    assert result.messages_trimmed == 8


async def test_the_transcript_on_an_error_is_whole_however_much_was_sent() -> None:
    provider = MockProvider([calls(("look", {}))] * 3 + [ProviderError("502")])
    with pytest.raises(ProviderError) as caught:
        await react_loop(provider, "q", [look()], max_history_messages=3, retry=ONCE)
    assert len(provider.calls[-1].messages) == 3
    assert len(caught.value.metadata["messages"]) == 7
    assert caught.value.metadata["messages_trimmed"] == 4


async def test_cancelling_while_the_model_thinks_ends_the_request() -> None:
    provider = HeldProvider()
    loop = asyncio.create_task(react_loop(provider, "q", [look()]))
    await provider.arrived(1)
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    assert provider.waiting == []


async def test_a_plain_tool_that_takes_its_time_does_not_stop_the_event_loop() -> None:
    release = threading.Event()

    def wait() -> str:
        return "released" if release.wait(30) else "never"

    async def let_go() -> str:
        release.set()
        return ""

    asked = calls(("look", {}), ("let_go", {}))
    assert await observed(tool(wait), tool(let_go, "let_go"), asked=asked) == ["released", ""]


# -- the turn that goes back -----------------------------------------------------------------------------


async def test_a_reply_whose_raw_is_of_another_message_goes_back_without_it() -> None:
    other = {"choices": [{"message": {"tool_calls": [{"function": {"name": "other"}}], "odd": 1}}]}
    for raw in (other, {"choices": [None, {}]}, {"choices": 3}, "text", object()):
        provider = MockProvider([LLMResponse("", [ToolCall("c", "look", {})], raw=raw), "done"])
        await react_loop(provider, "q", [look()])
        assert provider.calls[1].messages[1] == {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        }


# -- answers that say nothing ----------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", [LLMResponse(""), LLMResponse(" \n"), LLMResponse("<think>hm</think>")])
@pytest.mark.parametrize("listens", [False, True])
async def test_an_empty_answer_is_asked_for_again(nothing: LLMResponse, listens: bool) -> None:
    provider = MockProvider([nothing, "42"])
    on_event = (lambda _: None) if listens else None
    result = await react_loop(provider, "q", [look()], max_rounds=2, on_event=on_event)
    assert (result.value, result.rounds, result.cost.llm_calls) == ("42", 2, 2)
    assert [len(call.messages) for call in provider.calls] == [1, 1]


async def test_an_empty_answer_in_the_last_round_is_an_error() -> None:
    provider = MockProvider([calls(("look", {})), LLMResponse("<think>hm</think>"), "42"])
    with pytest.raises(ProviderError, match=r"neither an answer nor a tool call.*hm") as caught:
        await react_loop(provider, "q", [look()], max_rounds=2)
    assert (provider.call_count, caught.value.metadata["rounds"]) == (2, 2)


async def test_a_second_empty_answer_is_an_error_that_says_what_was_said() -> None:
    nothing = LLMResponse("", reasoning="I wonder", finish_reason="length")
    with pytest.raises(ProviderError, match=r"'length'.*max_tokens.*I wonder") as caught:
        await react_loop(MockProvider([nothing]), "q", [look()])
    assert caught.value.metadata["reasoning"] == "I wonder"
    assert caught.value.metadata["finish_reason"] == "length"
    assert caught.value.cost.llm_calls == 2
    assert caught.value.metadata["messages"][0]["content"] == "q"
