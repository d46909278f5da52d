"""Approval of tool calls: nothing runs without a clear yes, and a run that waits can be gone on with."""

import asyncio
import builtins
import dataclasses
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from fakes import idle

from executionkit import (
    Approval,
    ApprovalAsked,
    ApprovalGiven,
    ApprovalPending,
    ApprovalRequest,
    ExecutionKitError,
    Kit,
    LLMResponse,
    MockProvider,
    Observation,
    PatternEvent,
    Tool,
    ToolCall,
    ToolStarted,
    react_loop,
    react_loop_sync,
    tool,
)
from executionkit.approval import Approver, ask_on_terminal

SCHEMA = {
    "type": "object",
    "properties": {"order": {"type": "integer"}, "items": {"type": "array"}},
    "required": ["order"],
}


class Shop:
    """Tools that note what they were called with."""

    def __init__(self, needs_approval: Any = True) -> None:
        self.refunded: list[Any] = []
        self.looked_up: list[int] = []
        self.tools = [
            Tool("refund", "Refund an order.", SCHEMA, self.refund, needs_approval=needs_approval),
            Tool("look_up", "Look up an order.", SCHEMA, self.look_up),
        ]

    async def refund(self, order: int, items: list[Any] | None = None) -> str:
        self.refunded.append(order if items is None else (order, items))
        return f"refunded {order}"

    async def look_up(self, order: int, items: object = None) -> str:
        self.looked_up.append(order)
        return f"order {order}"


def asks(*wanted: tuple[str, dict[str, Any]]) -> LLMResponse:
    calls = [ToolCall(f"c{index}", name, arguments) for index, (name, arguments) in enumerate(wanted)]
    return LLMResponse("", calls, finish_reason="tool_calls")


def model(*wanted: tuple[str, dict[str, Any]]) -> MockProvider:
    return MockProvider([asks(*(wanted or (("refund", {"order": 1}),))), "done"])


def told(provider: MockProvider) -> list[str]:
    """The observations that the model was shown."""
    return [str(m["content"]) for m in provider.calls[-1].messages if m["role"] == "tool"]


def answering(answer: object) -> Approver:
    """An approver that gives an answer which a type checker would not let pass."""

    async def approve(_request: ApprovalRequest) -> Any:
        return answer

    return approve


# -- yes and no ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [True, Approval(approved=True)])
async def test_what_is_approved_runs(answer: bool | Approval) -> None:
    shop, provider = Shop(), model()
    result = await react_loop(provider, "q", shop.tools, approve=answering(answer))
    assert (shop.refunded, told(provider), result.declined) == ([1], ["refunded 1"], 0)


@pytest.mark.parametrize(
    ("answer", "shown"),
    [
        (False, "declined"),
        (Approval(approved=False), "declined"),
        (Approval(approved=False, reason="not today"), "declined: not today"),
        (Approval(approved=False, arguments={"order": 2}), "declined"),
    ],
)
async def test_what_is_declined_does_not_run_and_the_model_reads_why(
    answer: bool | Approval, shown: str
) -> None:
    shop, provider = Shop(), model()
    events: list[PatternEvent] = []
    result = await react_loop(provider, "q", shop.tools, approve=answering(answer), on_event=events.append)
    assert (shop.refunded, told(provider)) == ([], [shown])
    assert (result.value, result.declined, result.metadata["declined"]) == ("done", 1, 1)
    assert result.tool_calls_made == 0
    assert [event.ran for event in events if isinstance(event, Observation)] == [False]
    assert not any(isinstance(event, ToolStarted) for event in events)


async def never_awaited() -> bool:
    return True


@pytest.mark.parametrize(
    "answer",
    [
        None,
        0,
        1,
        "",
        "y",
        "yes",
        "no",
        [],
        [1],
        (),
        {},
        {"approved": True},
        0.0,
        1.0,
        object(),
        bool,
        Approval,
    ],
)
@pytest.mark.parametrize("is_async", [True, False])
async def test_any_other_answer_ends_the_run_and_nothing_runs(answer: object, is_async: bool) -> None:
    shop, provider = Shop(), model()
    approve: Any = answering(answer) if is_async else lambda _request: answer
    with pytest.raises(TypeError, match="approve must return True, False or an Approval") as caught:
        await react_loop(provider, "q", shop.tools, approve=approve)
    assert shop.refunded == []
    facts = vars(caught.value)
    assert facts["cost"].llm_calls == 1
    assert facts["metadata"]["messages"][-1]["tool_calls"][0]["id"] == "c0"


async def test_a_coroutine_that_was_not_awaited_is_no_approval() -> None:
    shop = Shop()
    with pytest.raises(TypeError, match="got <coroutine object never_awaited"):
        await react_loop(model(), "q", shop.tools, approve=answering(never_awaited()))
    assert shop.refunded == []


async def test_an_awaitable_that_a_plain_function_returns_is_awaited() -> None:
    shop = Shop()
    await react_loop(model(), "q", shop.tools, approve=lambda _request: never_awaited())
    assert shop.refunded == [1]


@pytest.mark.parametrize("fields", [{"approved": 1}, {"approved": None}, {"approved": "yes"}])
def test_an_approval_takes_nothing_but_true_and_false(fields: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match="approved must be True or False"):
        Approval(**fields)


async def test_an_approval_that_was_tampered_with_does_not_approve() -> None:
    approval = Approval(approved=False)
    object.__setattr__(approval, "approved", "yes")
    shop = Shop()
    with pytest.raises(TypeError, match="approve must return"):
        await react_loop(model(), "q", shop.tools, approve=answering(approval))
    assert shop.refunded == []


@pytest.mark.parametrize("failure", [OSError("no terminal"), asyncio.CancelledError()])
async def test_an_approver_that_fails_ends_the_run_and_asks_no_further(failure: BaseException) -> None:
    shop, asked = Shop(), list[int]()

    async def approve(request: ApprovalRequest) -> bool:
        asked.append(request.call.arguments["order"])
        raise failure

    calls = [("refund", {"order": 1}), ("look_up", {"order": 2}), ("refund", {"order": 3})]
    with pytest.raises((OSError, ExecutionKitError)) as caught:
        await react_loop(model(*calls), "q", shop.tools, approve=approve)
    assert (asked, shop.refunded, shop.looked_up) == ([1], [], [2])
    # What did run is in the transcript, so it is not run again.
    assert vars(caught.value)["metadata"]["messages"][-1]["tool_call_id"] == "c1"


# -- which calls -----------------------------------------------------------------------------------------


async def test_the_tool_decides_by_its_arguments_which_calls_need_approval() -> None:
    asked: list[int] = []

    @tool(needs_approval=lambda arguments: arguments["amount"] > 10)
    def pay(amount: int) -> str:
        "Pay."
        return f"paid {amount}"

    async def approve(request: ApprovalRequest) -> bool:
        asked.append(request.call.arguments["amount"])
        return False

    provider = model(("pay", {"amount": "9"}), ("pay", {"amount": 11}))
    await react_loop(provider, "q", [pay], approve=approve)
    assert (asked, told(provider)) == ([11], ["paid 9", "declined"])


@pytest.mark.parametrize("answer", [None, 0, 1, "", "no"])
async def test_a_tool_that_does_not_clearly_say_whether_it_needs_approval_ends_the_run(answer: Any) -> None:
    shop = Shop(needs_approval=lambda _arguments: answer)
    with pytest.raises(TypeError, match="needs_approval of refund must return True or False"):
        await react_loop(model(), "q", shop.tools, approve=answering(True))
    assert shop.refunded == []


@pytest.mark.parametrize("wrong", [None, 1, "yes", lambda: True, never_awaited, answering(True)])
def test_what_says_nothing_of_approval_is_refused_at_construction(wrong: Any) -> None:
    with pytest.raises(ValueError, match="needs_approval must be True, False or a function"):
        Shop(needs_approval=wrong)


async def test_a_call_that_cannot_run_is_not_asked_about() -> None:
    provider = model(("refund", {"order": "?"}), ("reefund", {"order": 1}))
    await react_loop(provider, "q", Shop().tools, approve=answering("never asked"))
    assert [text.split(":")[0] for text in told(provider)] == ["Error", "Error"]


async def test_a_call_written_as_text_needs_approval_too() -> None:
    shop = Shop()
    provider = MockProvider(['{"name": "refund", "arguments": {"order": 1}}', "done"])
    result = await react_loop(provider, "q", shop.tools, text_calls="run", approve=answering(False))
    assert (shop.refunded, result.declined) == ([], 1)


async def test_a_copy_of_any_tool_can_ask() -> None:
    @tool
    def pay(amount: int) -> str:
        "Pay."
        return f"paid {amount}"

    asking = dataclasses.replace(pay, needs_approval=True)
    provider = model(("pay", {"amount": "9"}))
    await react_loop(provider, "q", [asking], approve=answering(False))
    assert (told(provider), pay.needs_approval, asking(9)) == (["declined"], False, "paid 9")


# -- arguments -------------------------------------------------------------------------------------------


async def test_edited_arguments_are_those_that_run_and_the_model_is_told() -> None:
    shop, provider = Shop(), model()
    approval = Approval(approved=True, arguments={"order": 2.0})
    await react_loop(provider, "q", shop.tools, approve=answering(approval))
    assert shop.refunded == [2]
    assert told(provider) == ['[approved with other arguments: {"order": 2.0}]\nrefunded 2']


async def test_edited_arguments_are_checked_again() -> None:
    shop, provider = Shop(), model()
    approval = Approval(approved=True, arguments={"order": "two"})
    await react_loop(provider, "q", shop.tools, approve=answering(approval))
    assert shop.refunded == []
    assert told(provider)[0].startswith("Error: not run, because the approver's own arguments don't fit.")


async def test_what_an_approver_does_to_its_request_changes_nothing() -> None:
    shop, provider = Shop(), model(("refund", {"order": 1, "items": [{"name": "tea"}]}))

    async def approve(request: ApprovalRequest) -> bool:
        assert request.call.arguments == {"order": 1, "items": [{"name": "tea"}]}
        assert request.messages[0] == {"role": "user", "content": "q"}
        assert (request.tool.name, request.round) == ("refund", 1)
        request.call.arguments["items"][0]["name"] = "gold"
        request.call.arguments["order"] = 2
        message: Any = request.messages[0]
        message["content"] = "changed"
        return True

    await react_loop(provider, "q", shop.tools, approve=approve)
    assert shop.refunded == [(1, [{"name": "tea"}])]
    assert provider.calls[1].messages[0]["content"] == "q"
    asked = provider.calls[1].messages[1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(asked) == {"order": 1, "items": [{"name": "tea"}]}


# -- time and order --------------------------------------------------------------------------------------


async def test_one_is_asked_at_a_time_in_order_while_other_calls_run() -> None:
    shop, provider = (
        Shop(),
        model(("refund", {"order": 1}), ("look_up", {"order": 2}), ("refund", {"order": 3})),
    )
    open_questions: list[tuple[int, asyncio.Future[bool]]] = []
    events: list[PatternEvent] = []

    async def approve(request: ApprovalRequest) -> bool:
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        open_questions.append((request.call.arguments["order"], answer))
        return await answer

    loop = asyncio.create_task(react_loop(provider, "q", shop.tools, approve=approve, on_event=events.append))
    await idle()
    assert ([order for order, _ in open_questions], shop.looked_up) == ([1], [2])
    open_questions[0][1].set_result(False)
    await idle()
    assert [order for order, _ in open_questions] == [1, 3]
    open_questions[1][1].set_result(True)
    await loop
    assert told(provider) == ["declined", "order 2", "refunded 3"]
    given = [(e.call.id, e.approved) for e in events if isinstance(e, ApprovalGiven)]
    asked = [e.call.id for e in events if isinstance(e, ApprovalAsked)]
    assert (asked, given) == (["c0", "c2"], [("c0", False), ("c2", True)])


@pytest.mark.parametrize("is_async", [True, False])
async def test_out_of_time_is_declined(is_async: bool) -> None:
    shop, provider = Shop(), model()
    end = threading.Event()

    async def forever(_request: ApprovalRequest) -> bool:
        return await asyncio.Future[bool]()

    approve: Any = forever if is_async else lambda _request: end.wait(10)
    result = await react_loop(provider, "q", shop.tools, approve=approve, approval_timeout=0.01)
    end.set()
    assert (shop.refunded, result.declined) == ([], 1)
    assert told(provider) == ["declined: no answer within 0.01 seconds"]


async def test_a_yes_that_comes_too_late_is_none() -> None:
    shop = Shop()

    async def approve(_request: ApprovalRequest) -> bool:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return True
        return False

    result = await react_loop(model(), "q", shop.tools, approve=approve, approval_timeout=0.01)
    assert (shop.refunded, result.declined) == ([], 1)


async def test_approval_counts_against_no_tool_s_time() -> None:
    shop, provider = Shop(), model()
    open_questions: list[asyncio.Future[bool]] = []

    async def approve(_request: ApprovalRequest) -> bool:
        open_questions.append(asyncio.get_running_loop().create_future())
        return await open_questions[0]

    loop = asyncio.create_task(react_loop(provider, "q", shop.tools, approve=approve, tool_timeout=0.001))
    await idle()
    asyncio.get_running_loop().call_later(0.02, open_questions[0].set_result, True)
    await loop
    assert told(provider) == ["refunded 1"]


async def test_a_run_that_is_cancelled_while_it_asks_runs_nothing() -> None:
    shop, kit = Shop(), Kit(model(("refund", {"order": 1}), ("refund", {"order": 2})))
    was_cancelled = False

    async def approve(_request: ApprovalRequest) -> bool:
        nonlocal was_cancelled
        try:
            return await asyncio.Future[bool]()
        except asyncio.CancelledError:
            was_cancelled = True
            raise

    loop = asyncio.create_task(kit.react("q", shop.tools, approve=approve))
    await idle()
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    assert (shop.refunded, was_cancelled, kit.usage.llm_calls) == ([], True, 1)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), "1"])
async def test_a_time_that_is_none_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError, match="approval_timeout must be"):
        await react_loop(model(), "q", Shop().tools, approve=answering(True), approval_timeout=wrong)


# -- later, and in another process -----------------------------------------------------------------------

CALLS = (("refund", {"order": 1}), ("look_up", {"order": 2}), ("refund", {"order": 3}))


async def put_off(shop: Shop, approve: Approver | None = None) -> ApprovalPending:
    with pytest.raises(ApprovalPending) as caught:
        await react_loop(model(*CALLS), "q", shop.tools, approve=approve)
    return caught.value


async def later(_request: ApprovalRequest) -> bool:
    raise ApprovalPending("ticket 17")


@pytest.mark.parametrize("approve", [None, later])
async def test_without_an_answer_the_round_is_finished_and_the_run_put_off(approve: Approver | None) -> None:
    shop = Shop()
    pending = await put_off(shop, approve)
    assert [call.id for call in pending.calls] == ["c0", "c2"]
    assert pending.calls[0].arguments == {"order": 1}
    assert (shop.refunded, shop.looked_up, pending.cost.llm_calls) == ([], [2], 1)
    assert "2 tool call(s) wait for approval, refund (c0), refund (c2)" in str(pending)
    assert ("ticket 17" in str(pending)) == (approve is later)
    roles = [message["role"] for message in pending.metadata["messages"]]
    assert roles == ["user", "assistant", "tool"]

    copy = pickle.loads(pickle.dumps(pending))
    assert (copy.calls, copy.metadata, copy.cost) == (pending.calls, pending.metadata, pending.cost)


async def test_a_run_that_was_put_off_goes_on_with_the_answers() -> None:
    shop = Shop()
    pending = await put_off(shop)
    saved = json.loads(json.dumps(pending.metadata["messages"]))
    provider = MockProvider(["done"])
    answers: dict[str, Approval | bool] = {"c0": True, "c2": Approval(approved=False, reason="too old")}
    result = await react_loop(provider, None, shop.tools, messages=saved, approvals=answers)
    assert (result.value, shop.refunded, shop.looked_up, result.declined) == ("done", [1], [2], 1)
    shown = {m["tool_call_id"]: m["content"] for m in provider.calls[0].messages if m["role"] == "tool"}
    assert shown == {"c0": "refunded 1", "c1": "order 2", "c2": "declined: too old"}


async def test_answers_may_come_one_by_one() -> None:
    shop = Shop()
    first = await put_off(shop)
    with pytest.raises(ApprovalPending) as caught:
        await react_loop(
            MockProvider(), None, shop.tools, messages=first.metadata["messages"], approvals={"c2": True}
        )
    assert ([call.id for call in caught.value.calls], shop.refunded) == (["c0"], [3])
    messages = caught.value.metadata["messages"]
    await react_loop(MockProvider(["done"]), None, shop.tools, messages=messages, approve=answering(True))
    assert (shop.refunded, shop.looked_up) == ([3, 1], [2])


async def test_an_answer_counts_for_its_call_alone_though_a_server_gives_the_id_again() -> None:
    shop = Shop()
    with pytest.raises(ApprovalPending) as caught:
        await react_loop(model(), "q", shop.tools)
    provider = model(("refund", {"order": 999}))
    with pytest.raises(ApprovalPending):
        await react_loop(
            provider, None, shop.tools, messages=caught.value.metadata["messages"], approvals={"c0": True}
        )
    assert shop.refunded == [1]


async def test_an_answer_counts_though_the_tool_needs_none() -> None:
    shop = Shop(needs_approval=False)
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c0", "type": "function", "function": {"name": "refund", "arguments": '{"order": 1}'}}
            ],
        },
    ]
    provider = MockProvider(["done"])
    await react_loop(provider, None, shop.tools, messages=messages, approvals={"c0": False})
    assert shop.refunded == []


@pytest.mark.parametrize(
    ("approvals", "kind", "reason"),
    [
        (
            {"c9": True},
            ValueError,
            r"calls at the end of messages that have no result \('c0', 'c2'\), got 'c9'",
        ),
        ({"c0": 1}, TypeError, "approvals must hold True, False or an Approval, got 1"),
        ({"c0": "yes"}, TypeError, "approvals must hold"),
        ([("c0", True)], TypeError, "approvals must map"),
    ],
)
async def test_wrong_answers_are_refused_before_anything_runs(
    approvals: Any, kind: type[Exception], reason: str
) -> None:
    shop, provider = Shop(), MockProvider(["done"])
    messages = (await put_off(shop)).metadata["messages"]
    with pytest.raises(kind, match=reason):
        await react_loop(provider, None, shop.tools, messages=messages, approvals=approvals)
    assert (shop.refunded, provider.call_count) == ([], 0)


def test_a_run_is_gone_on_with_in_another_process(tmp_path: Any) -> None:
    with pytest.raises(ApprovalPending) as caught:
        react_loop_sync(model(), "q", Shop().tools)
    path = tmp_path / "pending.pickle"
    path.write_bytes(pickle.dumps(caught.value))
    program = f"""
import pickle, pathlib
from executionkit import MockProvider, react_loop_sync, tool

@tool(needs_approval=True)
def refund(order: int) -> str:
    "Refund an order."
    return f"refunded {{order}}"

pending = pickle.loads(pathlib.Path({str(path)!r}).read_bytes())
saved, answers = pending.metadata["messages"], {{call.id: True for call in pending.calls}}
result = react_loop_sync(MockProvider(["done"]), None, [refund], messages=saved, approvals=answers)
print(result.messages[-2]["content"], result.value)
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout == "refunded 1 done\n"


# -- at the terminal -------------------------------------------------------------------------------------


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def lines(*given: str) -> None:
        left: Iterator[str] = iter(given)

        def read(_prompt: str = "") -> str:
            line = next(left, None)
            if line is None:
                raise EOFError
            return line

        monkeypatch.setattr(builtins, "input", read)

    return lines


@pytest.mark.parametrize(
    ("lines", "answer"),
    [
        (["y"], Approval(approved=True)),
        (["what?", "", "YES"], Approval(approved=True)),
        (["n"], Approval(approved=False)),
        (["no ask first"], Approval(approved=False, reason="ask first")),
        ([], Approval(approved=False, reason="no answer at the terminal")),
        (["yesterday"], Approval(approved=False, reason="no answer at the terminal")),
        (["e", '{"order": 2}'], Approval(approved=True, arguments={"order": 2})),
        (["e", "[", "e", '{"order": "x"}', "n"], Approval(approved=False)),
    ],
)
async def test_the_terminal_is_asked(
    typed: Callable[..., None], lines: list[str], answer: Approval, capsys: pytest.CaptureFixture[str]
) -> None:
    typed(*lines)
    call = ToolCall("c0", "refund", {"order": 1, "note": "\x1b[2Jé\u202e"})
    request = ApprovalRequest(call, Shop().tools[0], 1, ())
    assert await ask_on_terminal(request) == answer
    shown = capsys.readouterr().out
    assert '"order": 1' in shown
    assert "é" in shown
    assert not any(mark in shown for mark in "\x1b\u202e")
