"""Telling a model's answer from its thoughts in the same text."""

import re
from typing import Final, NamedTuple, TypeAlias

Span: TypeAlias = tuple[int, int]


class _Notation(NamedTuple):
    """How a family of models sets its thoughts apart; each part is a regular expression.

    Attributes:
        opening: The mark before a thought.
        closing: The mark after it. Without an opening mark, all text before it is thought: some servers cut
            the opening mark off with the prompt it belongs to.
        ending: Another mark after it. Without an opening mark, it is a frame around the answer.
        partner: A mark that is one only after the opening mark, and is text elsewhere.
        is_pair: Whether an opening mark without another after it is text.
    """

    opening: str = "(?!)"
    closing: str = "(?!)"
    ending: str = "(?!)"
    partner: str = "(?!)"
    is_pair: bool = False


# Names of tags, with what models put around them: <seed:think>, <antThinking>, <thought_process>.
_TAGS: Final = tuple(
    rf"(?:[a-z]{{1,20}}[:_-]|ant|inner_|self_){{0,2}}(?:{name})(?::[a-z]{{1,20}}|[_-](?:process|content"
    rf"|steps?|trace|block|text|tokens?|log|fast(?:er)?|slow))?"
    for name in (
        "think(?:ing)?",
        "thoughts?|cot",
        "reason(?:ing)?",
        "reflections?",
        "scratch_?pad|monologue",
        "思考(?:过程|過程|プロセス)?|推理(?:过程|過程)?",
    )
)
_WORDS: Final = "(?:thinking|thoughts?|reasoning)"

# From the reasoning parsers of vLLM, SGLang, llama.cpp and mlx-lm, and the chat templates of the models.
_NOTATIONS: Final = (
    # DeepSeek, Qwen, GLM and most others: <think>; Seed: <seed:think>; LongCat: <longcat_think>.
    *(
        _Notation(
            rf"(?i:<(?!end[:_-])(?:{name})(?:\s[^<>]{{0,200}})?(?<!/)>)",
            rf"(?i:</(?:{name})\s*>|<end[:_-](?:of[:_-])?(?:{name})>)",
            rf"(?i:<(?:{name})\s?/>)",
        )
        for name in _TAGS
    ),
    _Notation("◁think▷", "◁/think▷"),  # Kimi
    _Notation(r"\[(?:THINK(?:ING)?|REASONING)\]", r"\[/(?:THINK(?:ING)?|REASONING)\]"),  # Mistral
    # The same in lower case, of which the opening mark may be a heading; a fenced block; Open WebUI.
    _Notation(
        r"\[(?i:think(?:ing)?|thoughts?|reasoning)\]",
        r"\[/(?i:think(?:ing)?|thoughts?|reasoning)\]",
        is_pair=True,
    ),
    _Notation(r"(?m:^```(?:think(?:ing)?|thoughts?|reasoning)[ \t]*$)", partner=r"(?m:^```[ \t]*$)"),
    _Notation(r"<details\s[^<>]{0,200}?type=[\"']?reasoning\b[^<>]{0,200}>", partner="</details>"),
    _Notation("<unused94>(?:thought)?", "<unused95>"),  # MedGemma
    _Notation(ending=r"<\|(?:begin|end)_of_box\|>"),  # GLM's frame around an answer
    _Notation(r"<\|channel>thought", r"<channel\|>"),  # Gemma
    _Notation(r"<\|inner_prefix\|>", r"<\|inner_suffix\|>"),  # Apertus
    _Notation(  # Cohere
        r"<\|START_THINKING\|>", r"<\|END_THINKING\|>", r"<\|(?:START|END)_(?:RESPONSE|TEXT)\|>"
    ),
    _Notation(  # OpenThoughts, Sky-T1
        rf"<[|｜](?:(?:begin|start)[_▁](?:of[_▁])?)?{_WORDS}(?:[_▁](?:start|begin))?[|｜]>",
        rf"<[|｜](?:(?:end[_▁](?:of[_▁])?|/){_WORDS}|{_WORDS}[_▁]end)[|｜]>",
        r"<\|(?:begin|end)_of_solution\|>",
    ),
    _Notation(  # gpt-oss, Solar
        r"(?:<\|(?:start|begin)\|>assistant)?(?:<\|channel\|>(?:analysis|commentary)|<\|think\|>)",
        r"(?:<\|start\|>assistant)?<\|channel\|>final[^<]*+(?:<\|constrain\|>[^<]*+)?<\|message\|>"
        r"|<\|begin\|>assistant<\|content\|>",
        r"<\|(?:end|return|call|/think)\|>",
    ),
    # Only as a whole, because the marks are ordinary words: gpt-oss where the server drops special tokens;
    # Granite.
    _Notation(ending=r"\Aanalysis(?s:.*?)assistantfinal"),
    _Notation(ending=r"\A\s*+Thinking\.\.\.(?s:.*?)\n\s*+\.\.\.done thinking\."),  # Ollama's terminal
    _Notation(ending=r"\A\s*+Here(?:'s| is) my thought process:(?s:.*?)Here(?:'s| is) my response:"),
)
_ANY: Final = "|".join(
    f"(?P<{part}_{kind}>{expression})"
    for kind, notation in enumerate(_NOTATIONS)
    for part, expression in notation._asdict().items()
    if isinstance(expression, str)
)
_MARK: Final = re.compile(rf"(?=<[|｜/A-Za-z思推]|\[/?[TtRr]|◁|`|\A)(?:{_ANY})")  # the first part saves time
_SIGN: Final = re.compile(r"<[|｜/A-Za-z思推]|\[/?[TtRr]|◁|```[tr]|\A\s*+(?:analysis|Here|Thinking\.)")
"""What every text with a mark has; most texts have none, and are told apart by this much faster."""


# A mark among the words of a sentence.
_MENTIONED: Final = re.compile(r"[a-z] (?=<|\[|◁)[^\s>\]▷]*[>\]▷] [a-z]")
_MARK_AT_MOST: Final = 40


def thoughts(text: str) -> list[Span]:
    """The spans of the thoughts in a text, in order, marks included, and of marks that frame the answer.

    The text after an opening mark that is never closed is thought. So is the text before a closing mark
    without an opening one. A mark in quotes or backticks is one that the text speaks of.
    """
    if _SIGN.search(text) is None:
        return []
    spans: list[Span] = []
    opened: tuple[str, int] | None = None
    for mark in _MARK.finditer(text):
        start, end = mark.span()
        part, _, kind = (mark.lastgroup or "").partition("_")
        if start == end or _is_quoted(text, start, end):
            continue
        if part == "opening":
            opened = opened or (kind, start)
        elif opened is None:
            if part == "partner":
                continue
            if part == "closing":
                spans.clear()
                start = 0
            spans.append((start, end))
        elif opened[0] == kind:
            spans.append((opened[1], end))
            opened = None
    if opened is not None and _NOTATIONS[int(opened[0])].is_pair:
        opened = None
    if opened is not None and not _MENTIONED.search(text, max(0, opened[1] - 2), opened[1] + _MARK_AT_MOST):
        spans.append((opened[1], len(text)))
    return spans


def _is_quoted(text: str, start: int, end: int) -> bool:
    """Whether a mark stands in quotes or backticks; between two fences of code it does not."""
    around = text[max(0, start - 1) : start] + text[end : end + 1]
    return around in ('""', "''", "``") and text[max(0, start - 2) : start] + text[end : end + 2] != "````"


def without_thoughts(text: str) -> str:
    """The text without its thoughts."""
    if _SIGN.search(text) is None:
        return text
    spans = thoughts(text)
    spoken: list[str] = []
    at = 0
    for start, end in spans:
        spoken.append(text[at:start])
        at = end
    return "".join([*spoken, text[at:]])


def spoken(text: str) -> str:
    """The text without its thoughts, and without the white space beside them."""
    rest = without_thoughts(text)
    return text if rest == text else rest.strip()
