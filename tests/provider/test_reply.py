"""From bytes to a response: nothing that came through is lost, nothing that isn't a reply gets through."""

import gzip
import json
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import completion

from executionkit._secrets import Secret
from executionkit.errors import LLMError, PermanentError, ProviderError, RateLimitError
from executionkit.provider._codings import Unpacker, unpacked
from executionkit.provider._failures import Reporter
from executionkit.provider._http.transport import Reply
from executionkit.provider._reply import interpret
from executionkit.responses import LLMResponse

KEY = "sk-very-secret-key-0123456789"
REPORT = Reporter("llm.example", "m", (Secret(KEY),))

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
NAMES = """
    choices message content text tool_calls function name arguments id usage prompt_tokens finish_reason
    error code type detail delta function_call reasoning refusal
"""
names = st.sampled_from(NAMES.split())
any_json = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(names | st.text(max_size=3), inner, max_size=5)
    ),
)


def read(payload: Any, status: int = 200, **headers: str) -> LLMResponse | LLMError:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return interpret(Reply(status, {k.replace("_", "-"): v for k, v in headers.items()}, body), 10**6, REPORT)


def response(payload: Any) -> LLMResponse:
    outcome = read(payload)
    assert isinstance(outcome, LLMResponse)
    return outcome


def error(payload: Any, status: int = 200, **headers: str) -> LLMError:
    outcome = read(payload, status, **headers)
    assert isinstance(outcome, LLMError)
    return outcome


def message(**fields: Any) -> LLMResponse:
    return response({"choices": [{"message": fields}]})


def call(**function: Any) -> Any:
    (found,) = message(tool_calls=[{"id": "c1", "function": {"name": "f", **function}}]).tool_calls
    return found


# Whatever comes


@given(st.binary(), st.integers(0, 999), st.sampled_from(["", "gzip", "br"]))
def test_any_bytes_make_a_response_or_an_error(body: bytes, status: int, encoding: str) -> None:
    outcome = interpret(Reply(status, {"content-encoding": encoding}, body), 10**6, REPORT)
    assert isinstance(outcome, (LLMResponse, LLMError))


@given(
    st.lists(st.binary(max_size=40), min_size=1, max_size=3),
    st.sampled_from([b"", b"\0\0", b"\x1f", b"\x1f\0\x1f\x8b", b"padding"]),
    st.integers(1, 30),
)
def test_gzip_is_undone_the_same_whole_and_in_pieces(parts: list[bytes], padding: bytes, size: int) -> None:
    packed = b"".join(map(gzip.compress, parts)) + padding
    unpacker = Unpacker({"content-encoding": "gzip"}, 10**6)
    pieces = [packed[at : at + size] for at in range(0, len(packed), size)]
    assert b"".join(map(unpacker.feed, pieces)) + unpacker.finish() == b"".join(parts)
    whole = Unpacker({"content-encoding": "gzip"}, 10**6)
    assert whole.feed(packed) == b"".join(parts)


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


def plain(body: bytes) -> bytes:
    return body


@pytest.mark.parametrize(
    ("named", "pack"),
    [
        ("GZIP", gzip.compress),
        ("gzip;q=1.0", gzip.compress),
        ("identity, gzip", gzip.compress),
        ("gzip, gzip", lambda body: gzip.compress(gzip.compress(body))),
        ("deflate, gzip", lambda body: gzip.compress(zlib.compress(body))),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        # The name is wrong, or missing.
        ("gzip", plain),
        ("deflate", plain),
        ("gzip, gzip", gzip.compress),
        ("gzip", zlib.compress),
        ("foo", gzip.compress),
        ("", gzip.compress),
    ],
)
@pytest.mark.parametrize(
    "body",
    [b'{"a": 1}', b'data: {"a": 1}\n\n', b"\xef\xbb\xbf [1]", b": hi\n\n" + b"data: x\n\n" * 999, b"{}"],
)
def test_the_body_counts_before_the_name_of_its_coding(
    named: str, pack: Callable[[bytes], bytes], body: bytes
) -> None:
    packed, headers = pack(body), {"content-encoding": named}
    assert unpacked(packed, headers, 10**6) == body
    unpacker = Unpacker(headers, 10**6)
    parts = [unpacker.feed(packed[at : at + 1]) for at in range(len(packed))]
    assert b"".join(parts) + unpacker.finish() == body


def test_a_compressed_body_that_is_cut_off_is_an_error() -> None:
    packed = gzip.compress(json.dumps(completion()).encode())
    outcome = interpret(Reply(200, {"content-encoding": "gzip"}, packed[:-3]), 10**6, REPORT)
    assert isinstance(outcome, ProviderError)
    assert "the compressed body is cut off" in str(outcome)


@settings(max_examples=50)
@given(any_json)
def test_any_json_makes_a_response_or_an_error(payload: Any) -> None:
    outcome = read(payload)
    assert isinstance(outcome, (LLMResponse, LLMError))
    if isinstance(outcome, LLMResponse):
        outcome.content.encode()
        assert outcome.total_tokens >= 0


@settings(max_examples=50)
@given(st.dictionaries(names, any_json))
def test_whatever_is_in_a_message_is_a_response(fields: dict[str, Any]) -> None:
    found = message(**fields)
    assert found.finish_reason in ("stop", "tool_calls")
    for wanted in found.tool_calls:
        assert isinstance(wanted.arguments, dict)
        assert isinstance(wanted.name, str)
        assert isinstance(wanted.id, str)


@settings(max_examples=50)
@given(any_json, st.integers(300, 599))
def test_any_error_body_makes_an_error_without_the_key(payload: Any, status: int) -> None:
    found = error({"error": payload, "detail": KEY}, status)
    assert found.status_code == status
    assert KEY not in str(found)


# A reply


def test_everything_a_reply_can_say() -> None:
    payload = completion("hello", reasoning_content="hm", refusal="no")
    found = response(payload)
    assert found == LLMResponse("hello", (), "stop", payload["usage"], payload, reasoning="hm", refusal="no")
    assert message(content=None, reasoning="thought").reasoning == "thought"


def test_content_in_its_forms() -> None:
    assert message(content=None).content == ""
    assert message().content == ""
    assert (
        message(
            content=[{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]
        ).content
        == "ab"
    )
    assert response({"choices": [{"text": "old style"}]}).content == "old style"


def test_further_choices_are_alternatives_without_a_usage_of_their_own() -> None:
    choices = [
        {"message": {"content": "a"}},
        {"message": {"content": "b"}, "finish_reason": "length"},
        {"finish_reason": "content_filter"},
    ]
    found = response({"choices": choices, "usage": {"completion_tokens": 7}})
    assert (found.content, found.output_tokens) == ("a", 7)
    assert [(each.content, each.finish_reason) for each in found.alternatives] == [
        ("b", "length"),
        ("", "content_filter"),
    ]
    assert [each.reported_output_tokens for each in found.alternatives] == [None, None]
    assert response({"choices": choices[:1]}).alternatives == ()


def test_what_is_no_choice_does_not_spoil_those_beside_it() -> None:
    choices = [{"error": {"message": "overloaded"}}, None, {"message": {"content": "b"}}, {}]
    found = response({"choices": choices})
    assert (found.content, found.alternatives) == ("b", ())


def test_a_reply_withheld_by_a_filter_has_no_message() -> None:
    found = response({"choices": [{"finish_reason": "content_filter", "index": 0}]})
    assert found.was_filtered
    assert found.content == ""


def test_finish_reason_where_none_is_given() -> None:
    assert message(content="x").finish_reason == "stop"
    assert message(tool_calls=[{"function": {"name": "f"}}]).finish_reason == "tool_calls"
    odd = response({"choices": [{"message": {}, "finish_reason": 3}]})
    assert odd.finish_reason == "stop"


@pytest.mark.parametrize(
    "usage", [None, [], "x", 3, {"prompt_tokens": None}, {"prompt_tokens": -1}, {"x": {}}]
)
def test_usage_of_any_shape(usage: Any) -> None:
    assert response({**completion(), "usage": usage}).total_tokens == 0


# Tool calls


@pytest.mark.parametrize(
    ("raw", "arguments"),
    [("", {}), (" \n", {}), (None, {}), ("{}", {}), ('{"x": 1}', {"x": 1}), ({"x": 1}, {"x": 1})],
)
def test_arguments_that_are_an_object(raw: Any, arguments: dict[str, Any]) -> None:
    found = call(arguments=raw)
    assert (found.arguments, found.invalid_arguments) == (arguments, None)


@pytest.mark.parametrize(
    "raw",
    [
        '{"x":1,}',
        "[1]",
        "1",
        '"[1]"',
        '"{x: 1}"',
        "{'x': 1}",
        '{"x": NaN}',
        '{"x": 1} x',
        "[" * 100_000,
        "1" * 5000,
    ],
)
def test_arguments_that_are_none_keep_their_text(raw: str) -> None:
    found = call(arguments=raw)
    assert (found.arguments, found.invalid_arguments) == ({}, raw)


@pytest.mark.parametrize("raw", [[1], 3, True])
def test_arguments_that_are_not_even_text(raw: Any) -> None:
    found = call(arguments=raw)
    assert (found.arguments, found.invalid_arguments) == ({}, json.dumps(raw))


def test_tool_calls_with_parts_missing() -> None:
    found = message(tool_calls=[{}, 3, {"id": None, "function": None}, {"id": "c", "function": {"name": 5}}])
    assert [(c.id, c.name, c.arguments) for c in found.tool_calls] == [
        ("", "", {}),
        ("", "", {}),
        ("c", "", {}),
    ]
    assert message(tool_calls=None).tool_calls == ()
    assert message(tool_calls={"id": "c"}).tool_calls == ()


def test_the_form_before_tool_calls() -> None:
    (found,) = message(function_call={"name": "f", "arguments": '{"x": 1}'}).tool_calls
    assert (found.id, found.name, found.arguments) == ("", "f", {"x": 1})


# A failure with status 200


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (429, RateLimitError),
        ("429", RateLimitError),
        ("rate_limit_exceeded", RateLimitError),
        ("too_many_requests", RateLimitError),
        ("insufficient_quota", PermanentError),
        ("invalid_request_error", PermanentError),
        ("context_length_exceeded", PermanentError),
        (401, PermanentError),
        (502, ProviderError),
        ("server_error", ProviderError),
        (None, ProviderError),
        (True, ProviderError),
    ],
)
def test_an_error_within_a_200(code: Any, kind: type[LLMError]) -> None:
    for payload in (
        {"error": {"message": "why", "code": code}},
        {"choices": [{"error": {"message": "why", "code": code}}]},
    ):
        found = error(payload)
        assert type(found) is kind
        assert found.status_code == 200
        assert "llm.example answered 200 with an error: why" in str(found)


def test_an_error_beside_an_answer() -> None:
    assert response({**completion("fine"), "error": None}).content == "fine"
    assert response({**completion("fine"), "error": {"message": "late"}}).content == "fine"
    finished = {"message": {"content": "fine"}, "finish_reason": "stop", "error": {"code": 502}}
    assert response({"choices": [finished]}).content == "fine"
    nothing = {"choices": [{"message": {"content": ""}, "finish_reason": "error", "error": {"code": 502}}]}
    assert type(error(nothing)) is ProviderError
    assert "partial_text" not in error(nothing).metadata


@pytest.mark.parametrize("finish", ["error", "MALFORMED_FUNCTION_CALL", "engine_timeout", "abort"])
@pytest.mark.parametrize("why", [{}, {"error": {"message": "it broke", "code": 502}}])
@pytest.mark.parametrize("place", ["body", "choice"])
def test_a_generation_that_failed_after_some_text_is_no_answer(
    finish: str, why: dict[str, Any], place: str
) -> None:
    choice = {"index": 0, "finish_reason": finish, **(why if place == "choice" else {})}
    beside = why if place == "body" else {}
    whole = {"choices": [{**choice, "message": {"content": "so far"}}], **beside}
    chunks = [{"choices": [{"index": 0, "delta": {"content": "so far"}}]}, {"choices": [choice], **beside}]
    events = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks)
    for found in (error(whole), error(events + b"data: [DONE]\n\n")):
        assert type(found) is ProviderError
        assert found.metadata == {"partial_text": "so far"}
        assert ("it broke" if why else f"finish_reason {finish!r}") in str(found)


def test_what_is_no_reply_is_shown_in_part_and_without_the_key() -> None:
    found = error({"hello": KEY, "rest": "x " * 100_000})
    assert type(found) is ProviderError
    assert "not a chat completion (no message in it)" in str(found)
    assert '{"hello": "[REDACTED]"' in str(found)
    assert len(str(found)) < 1000
    assert "(empty)" in str(error(b" "))


def test_a_senseless_count_costs_no_answer() -> None:
    body = json.dumps(completion("paid for")).replace(
        '"completion_tokens": 2', f'"completion_tokens": {"9" * 5000}'
    )
    assert response(body.encode()).content == "paid for"


def test_a_key_in_another_encoding_is_no_less_secret() -> None:
    shown = str(interpret(Reply(500, {}, f"your key {KEY} is wrong".encode("utf-16-le")), 10**6, REPORT))
    assert "[REDACTED]" in shown
    assert "very" not in shown
