"""The conversation of a tool loop: its messages, its ids, and what of it still fits a limit."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executionkit import LLMResponse, ToolCall
from executionkit.patterns import _transcript

Message = dict[str, Any]


class Transcript(_transcript.Transcript):
    """A transcript that begins with nothing but a task."""

    def __init__(self, task: str) -> None:
        super().__init__([{"role": "user", "content": task}])


def asks(*ids: str, content: str = "", name: str = "look") -> LLMResponse:
    return LLMResponse(content, [ToolCall(id_, name, {}) for id_ in ids])


def completion(content: str) -> dict[str, Any]:
    """The body of a reply whose server sends its reasoning beside it."""
    message = {"role": "assistant", "content": content, "reasoning_content": "hm"}
    return {"choices": [{"message": message}]}


def exchange(transcript: Transcript, reply: LLMResponse) -> list[ToolCall]:
    calls = transcript.add_reply(reply)
    transcript.add_results(calls, {call.id: f"result of {call.id}" for call in calls})
    return calls


# -- messages --------------------------------------------------------------------------------------------


def test_it_begins_with_the_task() -> None:
    assert Transcript("do it").messages == [{"role": "user", "content": "do it"}]


def test_an_exchange_in_the_chat_form() -> None:
    transcript = Transcript("do it")
    reply = LLMResponse("Let me see.", [ToolCall("c1", "add", {"a": 1, "ü": [True, None]})])
    calls = transcript.add_reply(reply)
    assert calls == list(reply.tool_calls)
    transcript.add_results(calls, {"c1": "3"})
    assert transcript.messages[1:] == [
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "add", "arguments": '{"a":1,"ü":[true,null]}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
    ]


def test_calls_without_words_have_no_content() -> None:
    transcript = Transcript("do it")
    transcript.add_reply(asks("c1"))
    assert transcript.messages[1]["content"] is None


@pytest.mark.parametrize("content", ["the answer", ""])
def test_an_answer_is_text_and_nothing_else(content: str) -> None:
    transcript = Transcript("do it")
    transcript.add_answer(LLMResponse(content, reasoning="hm", raw=completion(content)))
    assert transcript.messages[1:] == [{"role": "assistant", "content": content}]


def test_arguments_that_were_no_object_go_back_as_an_empty_one() -> None:
    transcript = Transcript("do it")
    transcript.add_reply(LLMResponse("", [ToolCall("c1", "add", {}, invalid_arguments='{"a": 1,}')]))
    assert transcript.messages[1]["tool_calls"][0]["function"]["arguments"] == "{}"


def test_calls_without_a_result_are_known_and_get_theirs_later() -> None:
    transcript = Transcript("do it")
    exchange(transcript, asks("a", "c"))
    reply = LLMResponse("", [ToolCall(name, "look", {"at": name}) for name in "abc"])
    begin = len(transcript.messages) + 1
    calls = transcript.add_reply(reply)
    assert transcript.unanswered == calls
    transcript.add_results(calls, {"b": "seen"})
    assert transcript.unanswered == [calls[0], calls[2]]
    transcript.add_results(transcript.unanswered, {"a": "seen", "c": "seen"})
    assert transcript.unanswered == []
    assert [message["tool_call_id"] for message in transcript.messages[begin:]] == ["b", "a", "c"]


# -- ids -------------------------------------------------------------------------------------------------

# Ids as servers send them: their own, none, the same again, or one that looks like those we make up.
IDS = st.lists(st.sampled_from(["", "a", "b", "call_1_0", "call_1_1", "call_1_1_", "call_3_0"]), max_size=6)


@given(st.lists(IDS, max_size=4))
def test_every_call_of_a_reply_has_an_id_of_its_own(replies: list[list[str]]) -> None:
    transcript = Transcript("do it")
    for ids in replies:
        calls = exchange(transcript, asks(*ids))
        named = [call.id for call in calls]
        assert all(named)
        assert len(set(named)) == len(ids)
        for position, (sent, used) in enumerate(zip(ids, named, strict=True)):
            if sent and sent not in ids[:position]:
                assert used == sent
        if calls:
            reply, *results = transcript.messages[-1 - len(calls) :]
            assert [call["id"] for call in reply["tool_calls"]] == named
            assert [result["tool_call_id"] for result in results] == named


def test_a_call_without_an_id_keeps_everything_else() -> None:
    call = ToolCall("", "add", {"a": 1}, invalid_arguments="raw")
    (named,) = Transcript("do it").add_reply(LLMResponse("", [call]))
    assert (named.name, named.arguments, named.invalid_arguments) == ("add", {"a": 1}, "raw")


# -- what still fits -------------------------------------------------------------------------------------


def conversation(*sizes: int) -> Transcript:
    """One exchange for each size: a reply that asks for that many calls, and their results."""
    transcript = Transcript("do it")
    for number, size in enumerate(sizes):
        exchange(transcript, asks(*(f"{number}.{call}" for call in range(size))))
    return transcript


def test_without_a_limit_all_of_it_goes() -> None:
    transcript = conversation(1, 2, 3)
    assert transcript.recent(None) == (transcript.messages, 0)


def test_what_fits_goes_whole() -> None:
    transcript = conversation(1, 2)
    assert transcript.recent(len(transcript.messages)) == (transcript.messages, 0)


@pytest.mark.parametrize(
    ("limit", "kept"),
    [(1, [8, 9, 10]), (4, [8, 9, 10]), (5, [8, 9, 10]), (6, [6, 7, 8, 9, 10]), (8, [6, 7, 8, 9, 10]),
     (9, [3, 4, 5, 6, 7, 8, 9, 10]), (10, [3, 4, 5, 6, 7, 8, 9, 10]), (11, list(range(1, 11)))],
)  # fmt: skip
def test_the_task_and_the_latest_whole_exchanges_go(limit: int, kept: list[int]) -> None:
    transcript = conversation(1, 2, 1, 2)
    messages, trimmed = transcript.recent(limit)
    assert messages == [transcript.messages[0], *(transcript.messages[number] for number in kept)]
    assert trimmed == len(transcript.messages) - len(messages)


def test_a_task_alone_always_goes() -> None:
    assert Transcript("do it").recent(1) == ([{"role": "user", "content": "do it"}], 0)


def test_the_list_is_the_callers_own() -> None:
    transcript = conversation(1, 1)
    for limit in (None, 3, 99):
        transcript.recent(limit)[0].clear()
    assert len(transcript.messages) == 5


@given(st.lists(st.integers(1, 4), max_size=8), st.integers(1, 40))
def test_no_limit_parts_what_belongs_together(sizes: list[int], limit: int) -> None:
    transcript = conversation(*sizes)
    messages, trimmed = transcript.recent(limit)
    everything = transcript.messages

    assert messages[0] == everything[0]
    assert trimmed + len(messages) == len(everything)
    assert messages[1:] == everything[len(everything) - len(messages) + 1 :]
    latest = 1 + sizes[-1] if sizes else 0
    assert len(messages) <= max(limit, 1 + latest)
    assert len(messages) >= 1 + latest

    waiting: set[str] = set()
    for message in messages[1:]:
        if message["role"] == "assistant":
            assert not waiting
            waiting = {call["id"] for call in message["tool_calls"]}
        else:
            waiting.remove(message["tool_call_id"])
    assert not waiting

    more, _ = transcript.recent(limit + 1)
    assert len(more) >= len(messages)
    if trimmed > 0:
        begin = next(i for i, m in enumerate(everything) if m is messages[1])
        dropped = 1 + sizes[sum(m["role"] == "assistant" for m in everything[:begin]) - 1]
        assert len(messages) + dropped > limit


def test_messages_are_json() -> None:
    transcript = conversation(1, 2)
    assert json.loads(json.dumps(transcript.messages)) == transcript.messages
