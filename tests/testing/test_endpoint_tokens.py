"""The token count: deterministic, and stable under cutting."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from executionkit.testing import count_prompt_tokens, count_tokens
from executionkit.testing._tokens import first_tokens


def test_words_signs_and_spaces() -> None:
    assert count_tokens("") == 0
    assert count_tokens(" \n") == 0
    assert count_tokens("Hello, world!") == 4
    assert count_tokens("extraordinary") == 3
    assert count_tokens("né 漢字") == 2


def test_prompts() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": [{"type": "text", "text": "two words"}]},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a"}]},
    ]
    assert count_prompt_tokens(messages) == 3 + 2 + 3 + count_tokens('[{"id": "a"}]')
    assert count_prompt_tokens([], [{"a": 1}]) == count_tokens('[{"a": 1}]')


@given(st.text(), st.integers(min_value=0, max_value=20))
def test_a_cut_text_has_the_tokens_that_were_kept(text: str, limit: int) -> None:
    cut = first_tokens(text, limit)
    assert text.startswith(cut)
    assert count_tokens(cut) == min(limit, count_tokens(text))
    if count_tokens(text) <= limit:
        assert cut == text
