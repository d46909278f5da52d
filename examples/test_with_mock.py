"""How to test code that uses the patterns: with `pytest examples/test_with_mock.py`, or as a program.

`MockProvider` needs no network and no event loop of its own; these tests need no plugin.
"""

from executionkit import (
    ConsensusFailedError,
    LLMProvider,
    LLMResponse,
    MockProvider,
    RateLimitError,
    RetryConfig,
    Tool,
    ToolCall,
    ToolCallingProvider,
    consensus_sync,
    react_loop_sync,
)

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


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print("passed:", name)
