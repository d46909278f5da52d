"""The options that commands share: the endpoint, ceilings, the prompt, and keywords of a pattern as text."""

import argparse
import inspect
import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, NoReturn, Protocol, Union, get_args, get_origin

from executionkit._cli.terminal import has_stdout, is_terminal, note
from executionkit._text import shorten

if TYPE_CHECKING:
    from executionkit import ExecutionKitError, Provider, RetryConfig, TokenUsage

STDIN: Final = "-"


class Arguments(Protocol):
    """Where an argument is added: a parser, or a group of one."""

    def add_argument(self, *names: str, **settings: Any) -> object:
        """Add it."""
        ...


class UsageError(Exception):
    """The arguments can't be used. No call was made."""


class InputError(UsageError):
    """A file can't be used. The help of the command has nothing to say about it."""


class _Help(argparse.RawDescriptionHelpFormatter):
    """Has room for the names of commands, which argparse measures without their indent."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        for command in self._iter_indented_subactions(action):
            width = len(self._format_action_invocation(command)) + self._current_indent
            self._action_max_length = max(self._action_max_length, width)


class Parser(ArgumentParser):
    """A parser whose errors are one line."""

    def __init__(
        self,
        *,
        prog: str | None = None,
        usage: str | None = None,
        description: str | None = None,
        epilog: str | None = None,
    ) -> None:
        super().__init__(
            prog,
            usage,
            description,
            epilog,
            formatter_class=_Help,
            allow_abbrev=False,
        )
        # Suppressed, so that a command's own default does not undo what stands before its name.
        self.add_argument(
            "--debug", action="store_true", default=argparse.SUPPRESS, help="show the traceback of an error"
        )

    def error(self, message: str) -> NoReturn:
        self.refuse(f"{message} (see {self.prog} --help)")

    def refuse(self, message: str) -> NoReturn:
        """Say why the command can't be run, and end the program."""
        note(f"{self.prog}: error: {message}")
        raise SystemExit(2)

    def unrecognized(self, arguments: list[str]) -> NoReturn:
        """Refuse arguments that the command does not have."""
        from executionkit._keywords import nearest

        given = arguments[0].partition("=")[0]
        near = nearest(given, self._option_string_actions) if given.startswith("--") else None
        hint = f"; did you mean {near}?" if near else ""
        self.error(f"unrecognized arguments: {' '.join(arguments)}{hint}")


def require_stdout() -> None:
    """See that there is a stdout, before an answer is paid for that has no other place to go."""
    if not has_stdout():
        raise UsageError("standard output is closed")


def count(text: str) -> int:
    """A whole number of at least 1; `60000`, `60_000` and `6e4` are the same."""
    number = amount(text)
    if number != int(number) or number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(number)


def amount(text: str) -> float:
    """A number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return number


def add_endpoint(parser: ArgumentParser) -> None:
    """Add the options that say whom to ask."""
    group = parser.add_argument_group(
        "endpoint", "The API key is read from EXECUTIONKIT_API_KEY, and from nowhere else."
    )
    group.add_argument("--base-url", metavar="URL", help="default: EXECUTIONKIT_BASE_URL")
    group.add_argument("--model", help="default: EXECUTIONKIT_MODEL")
    group.add_argument(
        "--timeout", type=amount, default=120.0, metavar="SECONDS", help="for one request; default: 120"
    )
    group.add_argument(
        "--prices",
        metavar="IN,OUT",
        help="dollars for a million tokens of prompts and of replies, such as 0.15,0.60; "
        "or genai, for the prices of the package genai-prices",
    )
    group.add_argument(
        "--retries", type=int, metavar="N", help="how often a failed call is repeated; default: 3"
    )


def add_ceilings(parser: ArgumentParser, whole: str) -> None:
    """Add the options that limit what is spent."""
    group = parser.add_argument_group("ceilings", f"The most that {whole} may spend, retries included.")
    group.add_argument("--max-calls", type=count, metavar="N")
    group.add_argument("--max-input-tokens", type=count, metavar="N")
    group.add_argument("--max-output-tokens", type=count, metavar="N")
    group.add_argument("--max-usd", metavar="DOLLARS", help="needs --prices")


def add_settings(parser: "Arguments") -> None:
    """Add `--set`."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a keyword of the pattern, such as num_samples=5; may be given several times",
    )


def ceiling_of(options: Namespace) -> "TokenUsage | None":
    """The ceilings that were given; None without any."""
    from executionkit import TokenUsage

    if options.max_usd is not None and options.prices is None:
        raise UsageError("--max-usd needs --prices: without prices no call has a cost in dollars")
    given = (options.max_input_tokens, options.max_output_tokens, options.max_calls)
    if options.max_usd is None and not any(given):
        return None
    try:
        ceiling = TokenUsage(*(number or 0 for number in given), usd=options.max_usd)
    except (ValueError, TypeError) as error:
        raise UsageError(f"--max-usd: {error}") from error
    if ceiling.usd is not None and ceiling.usd <= 0:
        raise UsageError(f"--max-usd must be above 0, got {options.max_usd}")
    return ceiling


def provider_of(options: Namespace) -> "Provider":
    """The provider that options and environment describe."""
    from executionkit import Provider

    base_url = options.base_url or os.environ.get("EXECUTIONKIT_BASE_URL")
    model = options.model or os.environ.get("EXECUTIONKIT_MODEL")
    for value, option, variable in (
        (base_url, "--base-url", "EXECUTIONKIT_BASE_URL"),
        (model, "--model", "EXECUTIONKIT_MODEL"),
    ):
        if not value:
            raise UsageError(f"no {option[2:].replace('-', ' ')}: give {option}, or set {variable}")
    key = os.environ.get("EXECUTIONKIT_API_KEY", "")
    try:
        return Provider(
            base_url or "", model or "", key, timeout=options.timeout, prices=prices_of(options.prices)
        )
    except (ValueError, ImportError) as error:
        raise UsageError(str(error)) from error


def key_hint(error: "ExecutionKitError") -> str | None:
    """What to do about a key that was refused; None for other errors."""
    if getattr(error, "status_code", None) != 401:
        return None
    is_set = bool(os.environ.get("EXECUTIONKIT_API_KEY"))
    return "the key is read from EXECUTIONKIT_API_KEY" + ("" if is_set else ", which is not set")


def prices_of(text: str | None) -> Any:
    """The price book that `--prices` names."""
    from executionkit import Rates

    if text is None or text == "genai":
        return text
    try:
        into, out = text.split(",")
        return Rates(into.strip(), out.strip())
    except (ValueError, TypeError) as error:
        raise UsageError(f"--prices must be two numbers such as 0.15,0.60, or genai, got {text!r}") from error


def retry_of(options: Namespace) -> "RetryConfig | None":
    """How calls are retried; None for the default."""
    from executionkit import RetryConfig

    if options.retries is None:
        return None
    if options.retries < 0:
        raise UsageError(f"--retries must be at least 0, got {options.retries}")
    return RetryConfig(max_retries=options.retries)


def prompt_of(options: Namespace) -> str:
    """The prompt: the argument, or standard input for `-` and where there is no argument."""
    given: str | None = options.prompt
    if given is None and is_terminal(sys.stdin):
        raise UsageError("no prompt: give it as an argument, or - to read it from standard input")
    text = _stdin() if given is None or given == STDIN else given
    if not text.strip():
        raise UsageError("the prompt is empty")
    return text


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not UTF-8: {error}") from error


def schema_of(text: str) -> dict[str, Any]:
    """The JSON Schema of a file, or of a text that begins with a brace."""
    name = "--schema"
    if not text.lstrip().startswith("{"):
        name, text = text, text_of(text)
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name} is no JSON: {error}") from error
    if not isinstance(schema, dict):
        raise InputError(f"{name} is no JSON Schema: it must be an object")
    return schema


def check_readable(name: str) -> None:
    """See that a file can be read."""
    try:
        with open(name, "rb"):
            pass
    except OSError as error:
        raise InputError(f"{name} can't be read: {error.strerror or error}") from error


def text_of(name: str) -> str:
    """The text of a file."""
    try:
        return Path(name).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{name} can't be read: {getattr(error, 'strerror', None) or error}") from error


READERS: Final = (
    "number, european_number, boxed, last_line, canonical_json, label:A,B,..., choice, choice:LETTERS, "
    "tagged, tagged:NAME"
)


def key_of(text: str) -> Callable[[str], Any]:
    """The reader that a text names: one of `executionkit.answers`, its arguments after a colon."""
    from executionkit import answers

    name, colon, rest = text.partition(":")
    arguments = [part.strip() for part in rest.split(",")] if colon else []
    if name in ("number", "european_number", "boxed", "last_line", "canonical_json") and not colon:
        reader: Callable[[str], Any] = getattr(answers, name)
        return reader
    try:
        if name == "label" and arguments:
            return answers.label(*arguments)
        if name == "choice" and len(arguments) <= 1:
            return answers.choice(*arguments)
        if name == "tagged" and len(arguments) <= 1:
            return answers.tagged(arguments[0]) if arguments else answers.tagged()
    except (ValueError, TypeError) as error:
        raise UsageError(f"--key {text!r}: {error}") from error
    raise UsageError(f"--key must be one of {READERS}, got {text!r}")


_ELSEWHERE: Final = {
    "key": "use --key",
    "max_cost": "use --max-calls, --max-output-tokens, --max-input-tokens or --max-usd",
    "retry": "use --retries",
    "output": "use --schema",
    "provider": "use --base-url and --model",
    "prompt": "use --prompt, or the first argument",
    "system": "use --system",
}


def settings_of(pattern: Callable[..., object], given: list[str]) -> dict[str, Any]:
    """The keywords that `--set` gives, each of the type that the pattern's signature has for it."""
    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set must be NAME=VALUE, got {text!r}")
        found[name] = typed(pattern, name, value, f"--set {name}")
    return found


def typed(pattern: Callable[..., object], name: str, text: str, option: str) -> Any:
    """A text as the value of a pattern's keyword, which an option gives."""
    from executionkit._keywords import nearest

    known = inspect.signature(pattern, eval_str=True).parameters
    if name in _ELSEWHERE:
        raise UsageError(f"{option}: {_ELSEWHERE[name]}")
    if name not in known:
        near = nearest(name, known)
        there = f"did you mean {near!r}?" if near else f"it has {', '.join(_settable(known))}"
        raise UsageError(f"--set: {pattern.__name__} has no keyword {name!r}; {there}")
    kinds = list(_members(known[name].annotation))
    for kind in kinds:
        value = _read(kind, text)
        if value is not _UNREAD:
            return value
    if not any(_is_readable(kind) for kind in kinds):
        raise UsageError(f"{option}: it can't be given as a text; write a step and use --step")
    raise UsageError(f"{option} must be {_described(kinds)}, got {shorten(text, 60)!r}")


def _settable(known: Mapping[str, inspect.Parameter]) -> list[str]:
    return [
        name
        for name, parameter in known.items()
        if name not in _ELSEWHERE and any(map(_is_readable, _members(parameter.annotation)))
    ]


_UNREAD: Final = object()


def _members(annotation: Any) -> list[Any]:
    """The types of a union, the narrower first; a literal counts as one."""
    if get_origin(annotation) in (Union, UnionType):
        order = [member for part in get_args(annotation) for member in _members(part)]
        return sorted(order, key=lambda kind: kind is str)
    return [annotation]


def _is_readable(kind: Any) -> bool:
    origin = get_origin(kind) or kind
    return origin is Literal or origin in (int, float, str, bool) or _is_json(origin)


def _is_json(origin: Any) -> bool:
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _described(kinds: list[Any]) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "a text", NoneType: "none"}
    words: list[str] = []
    for kind in kinds:
        if get_origin(kind) is Literal:
            words += [str(choice) for choice in get_args(kind)]
        elif _is_json(get_origin(kind) or kind):
            words.append("a JSON object")
        elif kind in names:
            words.append(names[kind])
    return " or ".join(dict.fromkeys(words))


def _read(kind: Any, text: str) -> Any:
    origin = get_origin(kind) or kind
    if origin is Literal:
        return next((choice for choice in get_args(kind) if str(choice) == text), _UNREAD)
    if origin is NoneType:
        return None if text.lower() == "none" else _UNREAD
    if origin is bool:
        return {"true": True, "false": False}.get(text.lower(), _UNREAD)
    if origin is str:
        return text
    try:
        if origin is int:
            return int(text)
        if origin is float:
            return float(text)
        if _is_json(origin):
            value = json.loads(text)
            return value if isinstance(value, dict) else _UNREAD
    except (ValueError, RecursionError):
        pass
    return _UNREAD
