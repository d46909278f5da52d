r"""Ready-made readers for `consensus(key=...)`: replies vote on their answers, not on their wording.

Example:
    ```python
    from executionkit import MockProvider, answers, consensus

    # In your program: provider = Provider("http://localhost:8000/v1", "my-model")
    provider = MockProvider(
        ["42", "The answer is $42.00.", "So 6 * 7 = \\boxed{42}"]
    )
    result = await consensus(
        provider, "How much is it?", num_samples=3, key=answers.number
    )
    assert (result.answer, result.agreement_ratio) == (42, 1.0)
    ```

A reader takes a reply's text and returns its answer. If it can't be certain, it returns None, and the reply
abstains. Thoughts (`<think>...</think>`) are ignored. Readers never raise, whatever the text, and take time
in proportion to its length.

`number`, `choice(...)` and `label(...)` look in these places, in this order, and take the last answer in
each:

1. a declared answer: `\boxed{...}`, `<answer>...</answer>`, `#### ...`, "the answer is ...", "Answer: ...",
   and the same words in Chinese, Japanese, Korean and the commonest European languages;
2. the whole reply, if only one thing in it can be the answer;
3. the last line, or the first if an empty line follows it, if the line is the answer and nothing else.
"""

from executionkit.answers._choice import choice
from executionkit.answers._label import label
from executionkit.answers._number import european_number, number
from executionkit.answers._structured import StructuredReader, structured
from executionkit.answers._text import boxed, canonical_json, last_line, tagged

__all__ = [
    "StructuredReader",
    "boxed",
    "canonical_json",
    "choice",
    "european_number",
    "label",
    "last_line",
    "number",
    "structured",
    "tagged",
]
