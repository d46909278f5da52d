"""What real servers were seen to do, imitated; `scripts/interop` drives the servers themselves."""

import json
from typing import Any

import pytest

from executionkit import (
    Kit,
    LLMResponse,
    PermanentError,
    Provider,
    ProviderError,
    RateLimitError,
    RetryConfig,
    Tool,
    ToolCall,
    react_loop,
    structured,
)
from executionkit.testing import Answer, ChatRequest, Fault, LocalEndpoint

PROMPT = [{"role": "user", "content": "hello"}]
AT_ONCE = RetryConfig(base_delay=0)


def frames(*choices: dict[str, Any], usage: dict[str, int] | None = None) -> Fault:
    """A stream of these choices that ends in good order."""
    chunks = [{"id": "c", "choices": [{"index": 0, **choice}], "usage": usage} for choice in choices]
    lines = [*map(json.dumps, chunks), "[DONE]"]
    return Fault.status(
        200,
        headers={"Content-Type": "text/event-stream"},
        body="".join(f"data: {line}\n\n" for line in lines),
    )


async def test_litellm_renames_the_retry_after_of_the_server_behind_it() -> None:
    headers = {"llm_provider-retry-after": "7", "x-litellm-call-id": "call-1"}
    with LocalEndpoint([Fault.status(429, headers=headers)]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            with pytest.raises(RateLimitError) as failure:
                await provider.complete(PROMPT)
    assert failure.value.retry_after == 7.0
    assert failure.value.request_id == "call-1"


async def test_the_proxys_own_retry_after_comes_first() -> None:
    headers = {"llm_provider-retry-after": "7", "retry-after": "2"}
    with LocalEndpoint([Fault.status(429, headers=headers)]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            with pytest.raises(RateLimitError) as failure:
                await provider.complete(PROMPT)
    assert failure.value.retry_after == 2.0


def refused(field: str, message: str) -> Fault:
    """What llama-cpp-python answers to a request that its own check refuses."""
    fault = {"type": "literal_error", "loc": ("body", *field.split(".")), "msg": message, "input": None}
    text = f'2 validation errors:\n  {fault}\n  {fault}\n\n  File "app.py", line 376'
    error = {"message": text, "type": "internal_server_error", "param": None, "code": None}
    return Fault.status(500, body={"error": error})


async def test_llama_cpp_python_refuses_requests_with_500() -> None:
    with LocalEndpoint([refused("temperature", "Input should be less than 2")]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            with pytest.raises(PermanentError, match="2 validation errors") as failure:
                await Kit(provider).consensus("hello", retry=AT_ONCE, num_samples=1)
        assert endpoint.ledger.calls == 1
    assert failure.value.status_code == 500


async def test_a_500_that_is_the_servers_own_is_repeated() -> None:
    body = {"error": {"message": "1 validation error for ModelResponse\nchoices\n  Field required"}}
    with LocalEndpoint([Fault.status(500, body=body), "hello"]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            result = await Kit(provider).consensus("hello", retry=AT_ONCE, num_samples=1)
    assert result.cost.llm_calls == 2


async def test_a_schema_mode_refused_with_500_costs_one_call() -> None:
    def model(request: ChatRequest) -> Answer:
        if request.field("response_format")["type"] == "json_schema":
            return refused("response_format.type", "Input should be 'text' or 'json_object'")
        return '{"sky": "clear"}'

    schema = {"type": "object", "properties": {"sky": {"type": "string"}}, "required": ["sky"]}
    with LocalEndpoint(model) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            result = await structured(provider, "The sky?", schema, retry=AT_ONCE)
    assert result.value == {"sky": "clear"}
    assert (result.schema_mode, result.cost.llm_calls) == ("json_object_schema", 2)


@pytest.mark.parametrize(
    ("taken", "refusal", "statuses"),
    [
        ("json_object", "This response_format type is unavailable now", (400, 400, 200, 200)),  # DeepSeek
        ("json_schema", "response_format.type: Input should be 'json_schema'", (200, 200)),  # Anthropic
    ],
)
async def test_a_schema_mode_that_a_service_refuses_is_asked_for_once(
    taken: str, refusal: str, statuses: tuple[int, ...]
) -> None:
    def model(request: ChatRequest) -> Answer:
        asked = request.field("response_format")
        if asked["type"] == taken and "schema" not in asked:
            return '{"sky": "clear"}'
        return Fault.status(400, body={"error": {"message": refusal}})

    schema = {"type": "object", "properties": {"sky": {"type": "string"}}, "required": ["sky"]}
    with LocalEndpoint(model) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            for _ in range(2):
                assert (await structured(provider, "The sky?", schema)).value == {"sky": "clear"}
        assert endpoint.ledger.statuses == statuses


def weather_model(request: ChatRequest) -> Answer:
    if any(message.get("content", "") is None for message in request.messages):
        return refused("messages.1.content", "Input should be a valid string")
    if request.messages[-1]["role"] == "tool":
        return "It is mild."
    return LLMResponse("", [ToolCall("c1", "weather", {})])


async def test_null_content_can_be_replaced() -> None:
    tool = Tool("weather", "The weather.", {"type": "object", "properties": {}}, lambda: "19 °C")
    with LocalEndpoint(weather_model) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            with pytest.raises(PermanentError, match="valid string"):
                await react_loop(provider, "The weather?", [tool], retry=AT_ONCE)
        async with Provider(endpoint.base_url, "m", null_content="") as provider:
            result = await react_loop(provider, "The weather?", [tool], retry=AT_ONCE)
    assert result.value == "It is mild."


async def test_null_content_stands_in_for_null_only() -> None:
    seen: list[list[dict[str, Any]]] = []

    def model(request: ChatRequest) -> Answer:
        seen.append(request.messages)
        return "ok"

    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages: list[dict[str, Any]] = [
        *PROMPT,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "4"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": ""},
    ]
    with LocalEndpoint(model) as endpoint:
        async with Provider(endpoint.base_url, "m", null_content="-") as provider:
            await provider.complete(messages)
    assert [message.get("content", "missing") for message in seen[0]] == ["hello", "-", "4", "missing", ""]
    assert messages[1]["content"] is None


def test_null_content_must_be_text() -> None:
    with pytest.raises(ValueError, match="null_content"):
        Provider("http://127.0.0.1:1/v1", "m", null_content=0)  # type: ignore[arg-type]  # what is refused


async def test_system_messages_can_be_sent_within_user_messages() -> None:
    seen: list[list[dict[str, Any]]] = []

    def model(request: ChatRequest) -> Answer:
        seen.append(request.messages)
        return "ok"

    messages = [{"role": "system", "content": "Be brief."}, *PROMPT]
    with LocalEndpoint(model) as endpoint:
        async with Provider(endpoint.base_url, "m", system_messages=False) as provider:
            await provider.complete(messages)
            await read(provider, messages)
        async with Provider(endpoint.base_url, "m") as provider:
            await provider.complete(messages)
    folded = [{"role": "user", "content": "Be brief.\n\nhello"}]
    assert seen == [folded, folded, messages]
    with pytest.raises(ValueError, match="system_messages"):
        Provider("http://127.0.0.1:1/v1", "m", system_messages=None)  # type: ignore[arg-type]  # what is refused


@pytest.mark.parametrize("status", [400, 500])  # 500: llama-cpp-python
async def test_a_refused_system_message_is_permanent_and_names_the_setting(status: int) -> None:
    refusal = Fault.status(status, body={"error": {"message": "System role not supported"}})
    with LocalEndpoint([refusal]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            with pytest.raises(PermanentError, match="set system_messages=False"):
                await provider.complete(PROMPT)


async def read(provider: Provider, messages: list[dict[str, Any]] = PROMPT) -> LLMResponse:
    stream = provider.stream(messages)
    async with stream as events:
        async for _ in events:
            pass
    return stream.response


ROLE, TEXT = {"delta": {"role": "assistant"}}, {"delta": {"content": "Hel"}}


@pytest.mark.parametrize("choices", [(ROLE,), (ROLE, TEXT)])
async def test_llama_cpp_python_ends_a_stream_when_another_request_comes(choices: Any) -> None:
    with LocalEndpoint([frames(*choices)]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            with pytest.raises(ProviderError, match="no finish_reason") as failure:
                await read(provider)
    assert failure.value.metadata.get("partial_text", "") == ("Hel" if TEXT in choices else "")


async def test_a_stream_that_was_ended_before_it_began_is_repeated() -> None:
    with LocalEndpoint([frames(ROLE), "hello"]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            stream = Kit(provider).stream("hello", retry=AT_ONCE)
            async with stream as events:
                async for _ in events:
                    pass
    assert stream.response.content == "hello"


async def test_a_server_that_gives_no_reason_is_believed_when_it_reports_the_usage() -> None:
    with LocalEndpoint([frames(ROLE, TEXT, usage={"prompt_tokens": 3, "completion_tokens": 1})]) as endpoint:
        async with Provider(endpoint.base_url, "m") as provider:
            response = await read(provider)
    assert (response.content, response.finish_reason, response.output_tokens) == ("Hel", "stop", 1)
