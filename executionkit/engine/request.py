"""The arguments of a call that matter to a budget, and how large its prompt is."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from executionkit import _text
from executionkit._prompt import PART_TOKENS, measured
from executionkit.streaming import BYTES_PER_TOKEN

_DEFAULT_MAX_TOKENS: Final = 4096
"""What a provider is taken to send that does not say."""
MOST_TOKENS_PER_BYTE: Final = 1.0
"""The upper bound for a tokenizer that works on bytes."""


class Request(NamedTuple):
    """The arguments of a call that matter to a budget."""

    messages: Sequence[Mapping[str, Any]]
    tools: Sequence[Mapping[str, Any]] | None
    max_tokens: int | None
    default_max_tokens: int
    choices: int
    is_stream: bool


def default_max_tokens(provider: object) -> int:
    """The `max_tokens` that a provider sends with a call that has none."""
    default = getattr(provider, "default_max_tokens", None)
    return default if isinstance(default, int) and default > 0 else _DEFAULT_MAX_TOKENS


def choices_of(n: object) -> int:
    """How many choices a call asks for, by its keyword `n`."""
    return n if isinstance(n, int) and n > 1 else 1


class Prompt(NamedTuple):
    """The size of a prompt.

    Attributes:
        tokens: The tokens to set aside for it under a ceiling on input tokens; 0 where there is none.
        size: The bytes of its texts.
        parts: The number of its other parts.
        most: The most tokens that it is expected to come to.
        likely: The tokens that it likely comes to; less than `most` before the first reply.
    """

    tokens: int = 0
    size: int = 0
    parts: int = 0
    most: int = 0
    likely: int = 0


NO_PROMPT: Final = Prompt()


def size_of(request: Request) -> tuple[int, int]:
    """The bytes of a prompt's texts and tools, and the number of its other parts."""
    size, parts = measured(request.messages)
    return size + (_text.size_of(repr(request.tools)) if request.tools else 0), parts


def likely_tokens(size: int, parts: int) -> int:
    """The tokens that a prompt of so many bytes and other parts likely comes to."""
    return size // BYTES_PER_TOKEN + parts * PART_TOKENS
