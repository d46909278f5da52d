"""How to test code that uses the patterns: with `pytest examples/unit_testing.py`, or as a program.

`MockProvider` answers from a script without any network; `LocalEndpoint` is a server on this machine that
goes wrong as it is told to. No test waits, and none needs a plugin.
"""

import pytest

from executionkit import (
    ConsensusFailedError,
    LLMProvider,
    LLMResponse,
    MockProvider,
    PermanentError,
    Provider,
    RateLimitError,
    RetryConfig,
    TokenUsage,
    Tool,
    ToolCall,
    ToolCallingProvider,
    consensus_sync,
    react_loop_sync,
)
from executionkit.testing import Fault, LocalEndpoint

# The code under test.


def is_spam(provider: LLMProvider, text: str, retry: RetryConfig | None = None) -> bool | None:
    """Whether all samples say spam or all say ham; None when they disagree."""
    prompt = f"Spam or ham? Reply with one word.\n\n{text}"
    try:
        result = consensus_sync(provider, prompt, num_samples=3, strategy="unanimous", retry=retry)
    except ConsensusFailedError:
        return None
    return result.value == "spam"


async def stock(item: str) -> str:
    return {"tea": "12 boxes"}.get(item, "none")


def answer(provider: ToolCallingProvider, question: str) -> str:
    schema = {"type": "object", "properties": {"item": {"type": "string"}}, "required": ["item"]}
    return react_loop_sync(provider, question, [Tool("stock", "What is in stock.", schema, stock)]).value


# The tests.


def test_agreement_decides() -> None:
    provider = MockProvider(["spam"])
    assert is_spam(provider, "You won!") is True
    assert provider.call_count == 3
    assert provider.calls[0].messages[0]["content"].endswith("You won!")


def test_disagreement_is_no_answer() -> None:
    assert is_spam(MockProvider(["spam", "ham", "spam"]), "Dear winner,") is None


def test_a_rate_limit_is_waited_out() -> None:
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    provider = MockProvider([RateLimitError("slow down", retry_after=30.0), "ham", "ham", "ham"])
    assert is_spam(provider, "Hello", retry=RetryConfig(sleep=wait)) is False
    assert len(waits) == 1
    assert waits[0] >= 30.0


def test_the_model_is_told_what_the_tool_said() -> None:
    asks = LLMResponse("", [ToolCall("call_1", "stock", {"item": "tea"})])
    provider = MockProvider([asks, "There are 12 boxes."], strict=True)
    assert answer(provider, "How much tea is there?") == "There are 12 boxes."
    assert provider.last_call is not None
    assert provider.last_call.messages[-1]["content"] == "12 boxes"


def test_a_server_in_trouble_is_asked_again() -> None:
    with LocalEndpoint([Fault.status(503), Fault.cut_body(), "spam", "spam", "spam"]) as endpoint:
        provider = Provider(endpoint.base_url, "any-model")
        assert is_spam(provider, "You won!", retry=RetryConfig(base_delay=0.0)) is True
        assert endpoint.ledger.calls == 5


def test_a_wrong_key_is_not_tried_again_and_the_error_says_what_was_spent() -> None:
    with LocalEndpoint(["ham"], api_key="right") as endpoint:
        provider = Provider(endpoint.base_url, "any-model", api_key="wrong")
        with pytest.raises(PermanentError) as caught:
            is_spam(provider, "Hello")
        assert caught.value.status_code == 401
        assert caught.value.cost == TokenUsage(llm_calls=endpoint.ledger.calls)


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print("passed:", name)
