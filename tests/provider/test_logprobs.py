"""The log-probabilities of tokens: read from what servers send, whole and streamed; nonsense is none."""

import json
import math
import pickle
from typing import Any

import pytest
from loopback import MakeProvider, Server, completion, http, stream

from executionkit import LLMResponse, MockProvider, Provider, TokenLogprob
from executionkit.provider._logprobs import logprobs_in
from executionkit.testing import LocalEndpoint

USER = [{"role": "user", "content": "hello"}]

HA = TokenLogprob("ha", -0.5, (TokenLogprob("ha", -0.5), TokenLogprob("ho", -1.25)))
SENT = {
    "token": "ha",
    "logprob": -0.5,
    "bytes": [104, 97],
    "top_logprobs": [{"token": "ha", "logprob": -0.5}, {"token": "ho", "logprob": -1.25}],
}

NONSENSE: list[object] = [
    *(None, "", "x", 3, True, [], {}, [[]], {"content": {}}, {"content": "x"}, {"tokens": 3}),
    {"content": [None, 1, {}, {"token": "a"}, {"logprob": 1}, {"token": 3, "logprob": -1}]},
    {"content": [{"token": "a", "logprob": value} for value in (None, "-1", True, math.nan)]},
    {"content": [{"token": "a", "logprob": value} for value in (math.inf, -math.inf, 10**400)]},
    {"tokens": ["a"], "token_logprobs": "x", "top_logprobs": 3},
]


@pytest.mark.parametrize(
    ("sent", "found"),
    [
        ({"content": [SENT, SENT], "refusal": None}, (HA, HA)),
        ({"content": None, "refusal": [SENT]}, (HA,)),
        ([SENT], (HA,)),
        (
            {"tokens": ["a", "b"], "token_logprobs": [None, -1], "top_logprobs": [None, {"b": -1, "c": -2}]},
            (TokenLogprob("b", -1.0, (TokenLogprob("b", -1.0), TokenLogprob("c", -2.0))),),
        ),
        ({"tokens": ["a"], "token_logprobs": [-1], "text_offset": [0]}, (TokenLogprob("a", -1.0),)),
        ({"content": [{"token": "\ud800", "logprob": 0}]}, (TokenLogprob("\ufffd", 0.0),)),
        *((nonsense, ()) for nonsense in NONSENSE),
    ],
)
def test_they_are_read_in_every_form_and_nonsense_is_none(
    sent: object, found: tuple[TokenLogprob, ...]
) -> None:
    assert logprobs_in(sent) == found


async def test_whole_and_streamed_they_are_the_same(server: Server, make: MakeProvider) -> None:
    whole = completion("haha")
    whole["choices"][0]["logprobs"] = {"content": [SENT, SENT]}

    def piece(text: str, logprobs: Any, finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": {"content": text}, "logprobs": logprobs, "finish_reason": finish}
        return {"choices": [choice]}

    # Two pieces that are the same are no repetition of the list so far.
    pieces = [piece("ha", {"content": [SENT]}), piece("ha", {"content": [SENT]}), piece("", None, "stop")]
    for script in (http(json.dumps(whole)), stream(*pieces)):
        server.script = script
        async with make() as provider:
            reply = await provider.complete(USER, logprobs=True)
            assert reply.logprobs == (HA, HA)
            assert pickle.loads(pickle.dumps(reply)) == reply
    server.script = stream(*pieces)
    async with make() as provider, provider.stream(USER) as events:
        async for _ in events:
            pass
    assert events.response.logprobs == (HA, HA)
    assert events.response.raw["choices"][0]["logprobs"] == {"content": [SENT, SENT]}


async def test_each_of_several_choices_has_its_own(server: Server, make_one: MakeProvider) -> None:
    whole = completion("ha")
    choices: list[dict[str, Any]] = [
        {"index": index, "message": {"role": "assistant", "content": "ha"}, "finish_reason": "stop"}
        for index in range(3)
    ]
    choices[1]["logprobs"] = {"content": [SENT]}
    whole["choices"] = choices
    server.script = http(json.dumps(whole))
    async with make_one() as provider:
        first = await provider.complete(USER, n=3)
    assert [each.logprobs for each in (first, *first.alternatives)] == [(), (HA,), ()]


HO = TokenLogprob("ho", -2.0)


@pytest.mark.parametrize(("max_tokens", "expected"), [(None, (HA, HO, HO)), (1, (HA,))])
async def test_the_endpoint_and_the_mock_send_them(
    max_tokens: int | None, expected: tuple[TokenLogprob, ...]
) -> None:
    scripted = LLMResponse("ha ho", logprobs=(HA, HO, HO))
    with LocalEndpoint([scripted]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            whole = await provider.complete(USER, max_tokens=max_tokens)
            async with provider.stream(USER, max_tokens=max_tokens) as events:
                async for _ in events:
                    pass
    assert whole.logprobs == events.response.logprobs == expected
    assert (await MockProvider([scripted]).complete(USER)).logprobs == (HA, HO, HO)


def test_without_any_a_reply_has_none() -> None:
    made: Any = LLMResponse
    assert made("x").logprobs == made("x", logprobs=None).logprobs == ()
    assert made("x", logprobs=[HA]).logprobs == (HA,)
