"""Test code that uses the patterns. Run `pytest examples/unit_testing.py`, or run this file.

`MockProvider` answers from a script, without a network. `LocalEndpoint` is a server on this
machine that fails on demand. The tests don't wait and don't need a plugin.
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
    """Return True if all samples say spam, False if all say ham, and None if they disagree."""
    prompt = f"Spam or ham? Reply with one word.\n\n{text}"
    try:
        result = consensus_sync(
            provider, prompt, num_samples=3, strategy="unanimous", retry=retry
        )
    except ConsensusFailedError:
        return None
    return result.value == "spam"


async def stock(item: str) -> str:
    return {"tea": "12 boxes"}.get(item, "none")


def answer(provider: ToolCallingProvider, question: str) -> str:
    schema = {
        "type": "object",
        "properties": {"item": {"type": "string"}},
        "required": ["item"],
    }
    return react_loop_sync(
        provider, question, [Tool("stock", "What is in stock.", schema, stock)]
    ).value


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

    provider = MockProvider(
        [RateLimitError("slow down", retry_after=30.0), "ham", "ham", "ham"]
    )
    assert is_spam(provider, "Hello", retry=RetryConfig(sleep=wait)) is False
    assert len(waits) == 1
    assert waits[0] >= 30.0


def test_the_model_reads_the_result_of_the_tool() -> None:
    asks = LLMResponse("", [ToolCall("call_1", "stock", {"item": "tea"})])
    provider = MockProvider([asks, "There are 12 boxes."], strict=True)
    assert answer(provider, "How much tea is there?") == "There are 12 boxes."
    assert provider.last_call is not None
    assert provider.last_call.messages[-1]["content"] == "12 boxes"


def test_a_failing_server_gets_a_retry() -> None:
    with LocalEndpoint(
        [Fault.status(503), Fault.cut_body(), "spam", "spam", "spam"]
    ) as endpoint:
        provider = Provider(endpoint.base_url, "any-model")
        assert is_spam(provider, "You won!", retry=RetryConfig(base_delay=0.0)) is True
        assert endpoint.ledger.calls == 5


def test_a_wrong_key_is_not_retried_and_the_error_has_the_cost() -> None:
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
