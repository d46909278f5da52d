"""What counts as a refusal of system messages or of several choices, in the words of real servers."""

from typing import Any

import pytest

from executionkit import LLMError, PermanentError, ProviderError, RateLimitError
from executionkit._refusals import Memory, fewer_choices, refuses_system


def refusal(words: str, status: int | None = 400, **facts: Any) -> LLMError:
    prefix = "127.0.0.1:8089 answered 400 Bad Request: " if status == 400 else ""
    return PermanentError(prefix + words, status_code=status, **facts)


@pytest.mark.parametrize(
    "words",
    [
        "System role not supported",  # Gemma's chat template, on vLLM, SGLang, TGI
        "Jinja Exception: System role not supported at row 1, column 60",  # llama.cpp
        "Conversation roles must alternate user/assistant/user/assistant/...",  # Mistral's first templates
        "System message must be at the beginning.",  # Qwen 3.5's, where a provider adds one of its own
        "Only user and assistant roles are supported!",
        "Unsupported value: 'messages[0].role' does not support 'system' with this model.",  # OpenAI
        "Developer instruction is not enabled for models/gemma-3-27b-it",  # Gemini
        "Model o1-mini does not support custom system messages",  # GitHub's models
        "This model doesn't support system messages. Try again without system messages.",  # Bedrock
        "System messages are not allowed",
        'messages: Unexpected role "system". The Messages API accepts a top-level `system` parameter.',
        "message role not supported yet: system",
        "body.messages.0.role: Input should be 'user' or 'assistant'",
        "Message 0 has invalid role. Must be 'user' or 'assistant'",  # nanochat
        "the role of the first message must be user",
        "A conversation must start with a user message.",
        "'system' is not one of ['user', 'assistant'] - 'messages.0.role'",
    ],
)
def test_system_messages_are_refused(words: str) -> None:
    assert refuses_system(refusal(words))
    assert refuses_system(refusal(words, None))  # another provider's error


@pytest.mark.parametrize(
    "exc",
    [
        refusal("no such model"),
        refusal("The server had an internal error; the system is not available"),
        refusal("internal error: the system message queue is not available", 500),
        refusal("Your request was rejected by our safety system. It must not be sent again."),
        refusal("Invalid 'messages[0].content': string too long"),
        refusal("Invalid role: admin. Must be one of: ('system', 'user', 'assistant')"),
        refusal("Message 0 has invalid role. Must be 'user', 'assistant', or 'system'"),
        refusal("Invalid role 'tool': must be one of 'system', 'user', 'assistant'"),
        refusal("'response_format' of type 'json_schema' is not supported with this model"),
        refusal("The system prompt is too long: it exceeds the context", code="context_length_exceeded"),
        RateLimitError("System role not supported", status_code=429),
        PermanentError("System role not supported", status_code=401),
        ProviderError("System role not supported", status_code=503),
    ],
)
def test_other_errors_say_nothing_of_system_messages(exc: LLMError) -> None:
    assert not refuses_system(exc)


@pytest.mark.parametrize(
    ("words", "asked", "instead"),
    [
        ("Field 'n': Value must be between 1 <= value <= 4, but got 5", 5, 4),  # llama.cpp
        ("n_cmpl cannot be greater than the number of slots, please increase -np", 5, 2),  # older builds
        ("'n' : number must be at most 1", 5, 1),  # Groq
        ("n must be 1 when using greedy sampling, got 5.", 5, 1),  # vLLM
        ("If temperature is 0, n must be 1.", 5, 1),
        ("Invalid n value (currently only n = 1 is supported)", 8, 1),  # DeepSeek
        (
            "litellm.UnsupportedParamsError: x does not support parameters: ['n'], for model=llama-3.1-8b",
            8,
            1,
        ),
        (
            "Unsupported value: 'n' does not support 5 with this model. Only the default (1) is supported.",
            5,
            1,
        ),
        ("Invalid 'n': integer above maximum value. Expected a value <= 128, but got 200 instead.", 200, 128),
        ("200 is greater than the maximum of 128 - 'n'", 200, 128),
        ("Only one candidate can be specified in the current model", 5, 1),  # Gemini
        ("Only one completion choice is allowed", 5, 1),  # llama.cpp
        ("The specified candidateCount 9 is out of range; must be within 1..8", 9, 8),
        ("The deployment doesn't support n > 1", 5, 1),
        ("Unrecognized request argument supplied: 'n' is unknown", 5, 1),
        ("Model m with provider p does not support the n parameter for multiple choices.", 5, 1),
        ("n should be less than the number of workers", 2, 1),
        ("LiteLLM.Exception: Unsupported parameters passed: n.", 5, 1),
        ("param `n` is not supported on OCI", 5, 1),
        ("unknown field: parameter 'num_generations' is not a valid field", 5, 1),  # Cohere
        ("Model m supports at most 4 choices per request (n <= 4).", 8, 4),
        ("{'loc': ('body', 'n'), 'msg': 'Input should be less than or equal to 2', 'input': 5}", 5, 2),
        ("Value error, n should be 1", 5, 1),
        ("n: must be at most 2", 5, 2),
        ("不支持参数 n 大于 1", 5, 1),
    ],
)
def test_the_number_of_choices_is_refused(words: str, asked: int, instead: int) -> None:
    assert fewer_choices(refusal(words), asked) == instead
    assert fewer_choices(refusal(words, None), asked) == instead


@pytest.mark.parametrize(
    ("body", "instead"),
    [
        ('{"error": {"message": "Value is not valid", "param": "n"}}', 4),
        ('{"detail": [{"loc": ["body", "n"], "msg": "Value is not valid"}]}', 4),
        ('{"error": {"message": "Value is not valid", "param": "model"}}', None),
    ],
)
def test_a_body_may_name_the_field(body: str, instead: int | None) -> None:
    assert fewer_choices(refusal("Value is not valid", 422, body=body), 8) == instead


@pytest.mark.parametrize(
    "exc",
    [
        refusal("no such model"),
        refusal("max_tokens must be at most 4096"),
        refusal("top_n must be at least 1; temperature must not be 3"),
        refusal("Invalid value: n-grams are not supported"),
        refusal("'n' tokens exceed the context", code="context_length_exceeded"),
        PermanentError("n must be 1", status_code=403),
        RateLimitError("n must be 1", status_code=429),
        ProviderError("n must be 1", status_code=503),
    ],
)
def test_other_errors_say_nothing_of_choices(exc: LLMError) -> None:
    assert fewer_choices(exc, 5) is None


def test_a_memory_is_bounded_and_the_latest_value_counts() -> None:
    class Backend:
        """Can be hashed, and referred to weakly."""

    memory: Memory[int] = Memory(2)
    backend = Backend()
    for key, value in (("a", 1), ("b", 2), ("b", 3), ("c", 4)):
        memory.learn(backend, key, value)
    assert [memory.recall(backend, key) for key in "abc"] == [None, 3, 4]
