"""Tool calls that a model wrote as text: told from answers, and taken only where they can be read safely."""

import ast
import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol, cast

from executionkit._json import STRICT, canonical_text, is_list, is_object
from executionkit._logs import write
from executionkit._schema import fits
from executionkit.engine.thoughts import without_thoughts
from executionkit.responses import LLMResponse, ToolCall

_log = logging.getLogger("executionkit.tools")

# Marks around a call. From the tool parsers of vLLM, SGLang and llama.cpp, and the models' chat templates.
_FRAME: Final = (
    # Hermes, Qwen, GLM, Granite, MiniMax, Seed, ...: <tool_call>, <function_call>, <tool_calls>, <tools>
    r"</?(?:[a-z]{1,20}[:_])?(?:tool_?calls?|function_?calls?|tools)>"
    # Llama: <|python_tag|>; DeepSeek: <｜tool▁calls▁begin｜>; Kimi, Granite, Phi, LFM, Cohere, InternLM
    r"|<[|｜]/?(?:[\w▁]{0,30}?(?:tool|action|python)[\w▁]{0,30}|plugin)[|｜]>"
    r"|\[(?:/|END_)?TOOL_(?:CALLS?|REQUEST)\]"  # Mistral; LM Studio, for models without tools of their own
    r"|\bfunctools(?=\[)"  # Phi
)
_ELEMENT: Final = r"<(?:function=|function name=|invoke name=)"  # Llama, Qwen's coders; MiniMax, Seed
_END_OF_TEXT: Final = (
    r"</s>|<end_of_turn>|<[|｜](?:im_end|eot_id|eom_id|end|call|endoftext|end▁of▁sentence|return)[|｜]>"
)
_OPENING: Final = re.compile(rf"^[ \t]*(?:{_FRAME}|{_ELEMENT})", re.IGNORECASE | re.MULTILINE)
_FENCE: Final = re.compile(
    r"[ \t]*```[ \t]*([\w-]*)[ \t]*\n(.*?)(?:\n[ \t]*```[ \t]*(?:\n\s*|\Z)|\Z)", re.DOTALL
)
_BETWEEN: Final = re.compile(rf"(?:[\s;,]|{_END_OF_TEXT})*", re.IGNORECASE)
_BETWEEN_MARKED: Final = re.compile(rf"(?:[\s;,]|```\w*|{_FRAME}|{_END_OF_TEXT})*", re.IGNORECASE)
_NAME: Final = re.compile(  # Mistral, Kimi, DeepSeek, GLM: the name, then the arguments
    r"(?:function\s?<[|｜]tool▁sep[|｜]>\s?)?(?:functions\.)?([\w-]{1,64})(?::\d{1,9})?\s{0,9}"
    rf"(?:(?:\[CALL_ID\]\w{{1,64}})?\[ARGS\]|{_FRAME}|```(?:json)?)?\s{{0,9}}(?=\{{|<arg_key>)",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(rf"""{_ELEMENT}["']?([\w-]{{1,64}})["']?\s*>\s*""", re.IGNORECASE)
_NAMED_END: Final = re.compile(r"\s*(?:</(?:function|invoke)>|\Z|(?=<[|｜/]))", re.IGNORECASE)
_ARGUMENT: Final = re.compile(
    r"""\s*(?:<parameter(?:=|\ name=)["']?([^<>"'\s]+)["']?[^<>]*>(.*?)</parameter>"""
    r"|<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>)",
    re.DOTALL | re.IGNORECASE,
)
_ODD_ESCAPE: Final = re.compile(r"""(?<!\\)(?:\\\\)*\\(?![\\'"abfnrtvxuUN0-7\n])""")
_PYTHONIC: Final = re.compile(r"\[?\s*[A-Za-z_]\w*\s*\(")

_NAMES: Final = frozenset({"name", "tool_name", "function_name", "tool", "function", "action"})
_ARGUMENTS: Final = frozenset({"arguments", "parameters", "args", "tool_input", "action_input", "input"})
_BESIDE: Final = frozenset({"id", "type", "index", "tool_call_id"})


ANSWER_NOW: Final = (
    "You have called the tools and have their results. Answer the question now, in words, without calling "
    "a tool."
)


class Described(Protocol):
    """A tool, as far as a call of it has to be read.

    Attributes:
        parameters: JSON Schema of the arguments.
    """

    @property
    def parameters(self) -> Mapping[str, Any]: ...

    def convert(self, arguments: Mapping[str, object], /) -> object:
        """Raise a ValueError if the arguments don't fit."""
        ...


class TextCalls:
    """The calls that the model of one run writes as text: flagged, or run.

    Args:
        tools: The tools of the run, by name.
        are_run: Whether they are run.
        answer: The name of the tool that takes the answer, if there is one. A call of it alone runs nothing,
            and is always taken.

    Attributes:
        unread: How many calls the answer consists of that were not run.
        is_over: Whether the model asked again for calls that were run. It is then asked to answer without
            tools: small models repeat a call until the rounds are gone.
    """

    def __init__(self, tools: Mapping[str, Described], *, are_run: bool, answer: str | None = None) -> None:
        self.unread = 0
        self.is_over = False
        self._tools = tools
        self._answer = answer
        self._are_run = are_run
        self._ran: set[tuple[str, str]] = set()

    def close(self) -> None:
        """Run no call any more."""
        self._are_run = False

    def taken(self, reply: LLMResponse) -> LLMResponse | None:
        """The reply, with its text calls as tool calls if they are run; None if all were run before."""
        self.unread = 0
        if reply.tool_calls:
            if self._are_run:
                self._ran |= _named(reply.tool_calls).keys()
            return reply
        calls, words = read_text_calls(reply.content, self._tools, is_cut_off=reply.was_truncated)
        if not calls:
            return reply
        named = _named(calls)
        if not reply.was_truncated and all(call.name == self._answer for call in calls):
            return replace(reply, content=words, tool_calls=tuple(named.values()))
        new = {key: call for key, call in named.items() if key not in self._ran or call.name == self._answer}
        if self._are_run and not self.is_over and not new:
            self.is_over = True
            return None
        # A colon announces an example rather than a call.
        is_doubtful = words.endswith((":", "：")) or reply.was_truncated or reply.was_filtered
        if not self._are_run or self.is_over or is_doubtful:
            self.unread = len(calls)
            write(
                _log,
                logging.WARNING,
                "react_loop: the answer is a tool call written as text (%s), and was not run; start the "
                "server with its parser for tool calls, or pass text_calls='run'",
                ", ".join(dict.fromkeys(call.name for call in calls)),
            )
            return reply
        self._ran |= new.keys()
        return replace(reply, content=words, tool_calls=tuple(new.values()))


def _named(calls: Sequence[ToolCall]) -> dict[tuple[str, str], ToolCall]:
    return {(call.name, canonical_text(call.arguments)): call for call in calls}


def read_text_calls(
    content: str, tools: Mapping[str, Described], *, is_cut_off: bool = False
) -> tuple[list[ToolCall], str]:
    """The tool calls that a text consists of, and the words before them; no call where there is doubt.

    Each call must be of a known tool, with arguments that fit its schema. Thoughts are skipped. The rest must
    be calls from beginning to end: as JSON, in fenced blocks, as a list in Python's notation, or in marks
    that models are trained to set around a call. Only before such marks there may be other words. Nothing is
    mended. Of a text that was cut off, the last call may be incomplete, and is left out.
    """
    text = without_thoughts(content).strip()
    if not tools or not text:
        return [], ""
    reader = _Reader(tools, is_cut_off=is_cut_off)
    try:
        if text.startswith(("[", "{", "```")) and (calls := reader.unmarked(text)):
            return calls, ""
        opening = _OPENING.search(text)
        if opening is None or _is_in_fence(text, opening.start()):
            return [], ""
        return reader.marked(text[opening.start() :]), text[: opening.start()].strip()
    except (_Unreadable, ValueError, RecursionError):
        return [], ""


class _Unreadable(Exception):  # noqa: N818 - not an error: the text is an answer
    """Some part of the text is no call."""


def _is_in_fence(text: str, at: int) -> bool:
    return sum(line.lstrip().startswith(("```", "~~~")) for line in text[:at].splitlines()) % 2 == 1


class _Reader:
    def __init__(self, tools: Mapping[str, Described], *, is_cut_off: bool) -> None:
        self._tools = tools
        self._is_cut_off = is_cut_off

    def unmarked(self, text: str) -> list[ToolCall]:
        """Calls as JSON or in Python's notation, perhaps in fences; [] if the text is something else."""
        try:
            if not text.startswith("```"):
                return self._plain(text)
            calls: list[ToolCall] = []
            at = 0
            while at < len(text):
                fence = _FENCE.match(text, at)
                if fence is None:
                    return []
                body = fence[2].strip()
                if _OPENING.match(body):
                    calls += self.marked(body)
                else:
                    calls += self._plain(body, is_bare_allowed=fence[1] == "tool_code")
                at = fence.end()
        except (_Unreadable, ValueError, RecursionError):
            return []
        return calls

    def _plain(self, text: str, *, is_bare_allowed: bool = False) -> list[ToolCall]:
        if _PYTHONIC.match(text) and (is_bare_allowed or text[0] == "["):
            return self._pythonic(text)
        calls: list[ToolCall] = []
        at = 0
        while at < len(text):
            value, at = self._decoded(text, at, calls)
            calls += self._of_json(value)
            at = _end(_BETWEEN, text, at)
        return calls

    def _decoded(self, text: str, at: int, before: list[ToolCall]) -> tuple[Any, int]:
        """The JSON value at a place, and its end; nothing where it was cut off after other calls."""
        try:
            return STRICT.raw_decode(text, at)
        except ValueError:
            if self._is_cut_off and before and text[at] == "{":
                return [], len(text)
            raise

    def marked(self, text: str) -> list[ToolCall]:
        """Calls with marks around them; raises if anything else is among them."""
        calls: list[ToolCall] = []
        at = _end(_BETWEEN_MARKED, text, 0)
        while at < len(text):
            if named := _NAMED.match(text, at):
                call, at = self._with_arguments(named[1], text, named.end())
                at = _end(_NAMED_END, text, at, is_needed=True)
                calls.append(call)
            elif text[at] == "[" and _PYTHONIC.match(text, at):
                inner = text[at:]
                end = inner.rindex("]") + 1
                calls += self._pythonic(inner[:end])
                at += end
            elif text[at] in "[{":
                value, at = self._decoded(text, at, calls)
                calls += self._of_json(value)
            elif name := _NAME.match(text, at):
                call, at = self._with_arguments(name[1], text, name.end())
                calls.append(call)
            else:
                raise _Unreadable
            at = _end(_BETWEEN_MARKED, text, at)
        return calls

    def _with_arguments(self, name: str, text: str, at: int) -> tuple[ToolCall, int]:
        if text[at : at + 1] == "{":
            arguments, at = STRICT.raw_decode(text, at)
            return self._call(name, arguments), at
        schema: Mapping[str, Any] = self._tool(name).parameters
        written: dict[str, Any] = {}
        while argument := _ARGUMENT.match(text, at):
            key, value = (argument[1], argument[2]) if argument[1] else (argument[3].strip(), argument[4])
            if key in written:
                raise _Unreadable
            written[key] = _typed(value, schema.get("properties", {}).get(key, True), schema)
            at = argument.end()
        return self._call(name, written), at

    def _of_json(self, value: object) -> Iterator[ToolCall]:
        if is_list(value):
            for item in value:
                yield from self._of_json(item)
        elif is_object(value) and is_list(value.get("tool_calls")) and len(value) == 1:
            yield from self._of_json(value["tool_calls"])
        elif is_object(value):
            yield self._of_object(value)
        else:
            raise _Unreadable

    def _of_object(self, value: dict[str, Any]) -> ToolCall:
        inner = value.get("function")
        identifier = value.get("id")
        if is_object(inner) and value.keys() <= {"function", *_BESIDE}:
            value = {"id": identifier, **inner}
        keys = value.keys() - _BESIDE
        names, arguments = keys & _NAMES, keys & _ARGUMENTS
        if len(names) != 1 or len(arguments) != 1 or len(keys) != 2:
            raise _Unreadable
        return self._call(value[names.pop()], value[arguments.pop()], identifier)

    def _pythonic(self, text: str) -> list[ToolCall]:
        if _ODD_ESCAPE.search(text):  # of which Python would warn
            raise _Unreadable
        try:
            tree = ast.parse(text, mode="eval").body
        except (SyntaxError, MemoryError) as exc:
            raise _Unreadable from exc
        return [self._of_python(node) for node in (tree.elts if isinstance(tree, ast.List) else [tree])]

    def _of_python(self, node: ast.expr) -> ToolCall:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
            raise _Unreadable
        arguments: dict[str, object] = {}
        for keyword in node.keywords:
            if keyword.arg is None or keyword.arg in arguments:
                raise _Unreadable
            arguments[keyword.arg] = ast.literal_eval(keyword.value)
        try:
            return self._call(node.func.id, STRICT.decode(json.dumps(arguments, allow_nan=False)))
        except TypeError as exc:  # bytes, sets and complex numbers
            raise _Unreadable from exc

    def _tool(self, name: object) -> Described:
        if not isinstance(name, str) or name not in self._tools:
            raise _Unreadable
        return self._tools[name]

    def _call(self, name: str, arguments: object, identifier: object = "") -> ToolCall:
        tool = self._tool(name)
        given = identifier if isinstance(identifier, str) else ""
        call = ToolCall(given, name, cast("dict[str, Any]", arguments))
        declared = tool.parameters.get("properties")
        # A schema that lets further names in by saying nothing of them doesn't make them arguments.
        is_strange = (
            declared is not None
            and not (_OPEN & tool.parameters.keys())
            and call.arguments.keys() - declared.keys()
        )
        if call.invalid_arguments is not None or is_strange:
            raise _Unreadable
        try:
            tool.convert(call.arguments)
        except ValueError:
            raise _Unreadable from None
        return call


_OPEN: Final = frozenset(
    {"additionalProperties", "patternProperties", "$ref", "allOf", "anyOf", "oneOf", "if"}
)
_WORDS: Final[dict[str, bool | None]] = {"True": True, "False": False, "None": None}


def _typed(text: str, schema: Any, root: Mapping[str, Any]) -> object:
    """An argument that was written without quotes: as a text if it may be one, else as the JSON it is."""
    text = text.removeprefix("\n").removesuffix("\n")
    if fits(text, schema, root):
        return text
    return _WORDS[text.strip()] if text.strip() in _WORDS else STRICT.decode(text.strip())


def _end(pattern: re.Pattern[str], text: str, at: int, *, is_needed: bool = False) -> int:
    found = pattern.match(text, at)
    if found is None and is_needed:
        raise _Unreadable
    return at if found is None else found.end()
