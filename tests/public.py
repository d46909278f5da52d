"""The public interface as text, a line for each thing that user code is written against.

`public.txt` has it as it was last accepted. To accept a change that is meant, run this file as a program;
docs/stability.md says which changes may be meant.
"""

import argparse
import dataclasses
import importlib
import inspect
import json
import re
import sys
import tomllib
import types
import typing
from collections.abc import Iterator
from contextlib import redirect_stdout
from enum import Enum
from io import StringIO
from pathlib import Path
from typing import Any

from executionkit import MockProvider, TokenUsage

ROOT = Path(__file__).parent.parent
WRITTEN = Path(__file__).with_name("public.txt")

# The modules that users import from. A name in the `__all__` of one is public.
MODULES = (
    "executionkit",
    "executionkit._mock",
    "executionkit.answers",
    "executionkit.approval",
    "executionkit.bench",
    "executionkit.compose",
    "executionkit.cost",
    "executionkit.engine.convergence",
    "executionkit.engine.json_extraction",
    "executionkit.engine.parallel",
    "executionkit.engine.retry",
    "executionkit.errors",
    "executionkit.kit",
    "executionkit.many",
    "executionkit.many.ray",
    "executionkit.mcp",
    "executionkit.observe",
    "executionkit.otel",
    "executionkit.parts",
    "executionkit.patterns.base",
    "executionkit.patterns.consensus",
    "executionkit.patterns.react_loop",
    "executionkit.patterns.refine_loop",
    "executionkit.progress",
    "executionkit.provider",
    "executionkit.run_log",
    "executionkit.testing",
    "executionkit.types",
)

FACTS = {"__version__"}
"""Names whose values are not written down."""


def lines() -> Iterator[str]:
    """Everything public, in a fixed order."""
    public = {value: f"{module}.{name}" for module, name, value in _names() if inspect.isclass(value)}
    first: dict[int, str] = {}
    for module, name, value in _names():
        path = f"{module}.{name}"
        is_object = inspect.isclass(value) or inspect.isroutine(value)
        if is_object and (known := first.setdefault(id(value), path)) != path:
            yield f"{path} is {known}"
        elif inspect.isclass(value):
            yield from _class(path, value, {kind for kind in public if kind is not value})
        elif inspect.isroutine(value):
            yield f"{path}{_parameters(value)}"
            yield from _keys(path, value)
        else:
            fixed = name not in FACTS and type(value).__module__.startswith("executionkit")
            yield f"{path}{f' = {value!r}' if fixed else ''}"
    yield from _program()
    yield from _traces()
    yield from _formats()


def _names() -> Iterator[tuple[str, str, Any]]:
    for path in MODULES:
        module = importlib.import_module(path)
        for name in sorted(vars(module)["__all__"]):
            yield path, name, getattr(module, name)


def _class(path: str, kind: type[Any], others: set[type]) -> Iterator[str]:
    """A class with its public bases, how it is made, and its members, those of private bases included."""
    bases = [base for base in kind.__mro__[1:-1] if base in others or base.__module__ == "builtins"]
    direct = [each.__name__ for each in bases if not any(each in above.__mro__[1:] for above in bases)]
    made_by_users = not issubclass(kind, Enum) and not getattr(kind, "_is_protocol", False)
    bracketed = f" <{', '.join(direct)}>" if direct else ""
    yield f"{path}{bracketed} class{_parameters(kind) if made_by_users else ''}"
    inherited = {each for base in bases for each in base.__mro__}
    own = [
        base for base in kind.__mro__ if base not in inherited and base.__module__.startswith("executionkit")
    ]
    members: dict[str, str] = {}
    for base in reversed(own):
        members.update(dict.fromkeys(_documented(base), ""))
        for name, annotation in inspect.get_annotations(base).items():
            words = _words(annotation)
            members[name] = f": {words}" if words else ""
        for name, member in vars(base).items():
            if isinstance(member, Enum):
                members[name] = f" = {member.value!r}"
            elif inspect.isroutine(found := getattr(base, name)):
                members[name] = _parameters(found)
            else:
                members.setdefault(name, "")
    for name in sorted(name for name in members if not name.startswith("_") or name == "__call__"):
        yield f"{path}.{name}{members[name]}"
        yield from _keys(f"{path}.{name}", vars(kind).get(name))
    if "PatternResult" in (each.__name__ for each in kind.__mro__[1:]):
        for key in sorted(kind("").metadata):
            yield f'{path}: metadata["{key}"]'
    if "to_dict" in members:
        for key in _example(kind).to_dict():
            yield f'{path}: to_dict()["{key}"]'
    yield from _keys(path, kind)


def _example(kind: type[Any]) -> Any:
    """An instance with something in each field that has no default."""
    if not dataclasses.is_dataclass(kind):
        return kind(MockProvider())
    if kind is TokenUsage:
        return kind(usd=0)
    missing = dataclasses.MISSING
    needed = [each for each in dataclasses.fields(kind) if each.default is each.default_factory is missing]
    values: dict[object, Any] = {int: 1, TokenUsage: TokenUsage()}
    return kind(**{each.name: values.get(each.type, ()) for each in needed})


def _documented(kind: type) -> list[str]:
    """The attributes that the docstring of a class names."""
    found = re.search(r"^Attributes:\n((?: .*\n?|\n)+)", inspect.cleandoc(kind.__doc__ or ""), re.MULTILINE)
    return re.findall(r"^ {4}(\w+)(?: \(.+?\))?: ", found[1], re.MULTILINE) if found else []


def _keys(path: str, value: object) -> Iterator[str]:
    """The keys of errors' metadata, which the docstrings name in one way."""
    text = vars(value)["__doc__"] if inspect.isclass(value) else getattr(value, "__doc__", None)
    for key in sorted(set(re.findall(r'`(?:\.?metadata)?\["(\w+)"\]', text or ""))):
        yield f'{path}: error.metadata["{key}"]'


class _Shown(str):
    """A text that a signature shows as it is, in the place of an annotation."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _parameters(value: object) -> str:
    """The parameters and defaults, with the words that one takes. Type checkers watch other annotations."""
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type]  # any object may be tried
    except ValueError:  # what is inherited from a class written in C
        return ""
    shown = [
        each.replace(annotation=_Shown(words) if (words := _words(each.annotation)) else each.empty)
        for each in signature.parameters.values()
    ]
    return str(signature.replace(parameters=shown, return_annotation=signature.empty))


def _words(annotation: Any) -> str:
    """The words that an annotation admits: `'all' | 'decided'`; empty if it admits no words."""
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(repr(each) for each in typing.get_args(annotation))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Final, typing.ClassVar):
        return " | ".join(filter(None, map(_words, typing.get_args(annotation))))
    return ""


def _program() -> Iterator[str]:
    """The command line: commands, arguments, exit statuses; the environment variables."""
    app = importlib.import_module("executionkit._cli.app")
    parser = app._parser([])
    commands = next(each for each in parser._actions if isinstance(each, argparse._SubParsersAction))
    everything = {"executionkit": parser} | {
        f"executionkit {name}": each for name, each in commands.choices.items()
    }
    for path, each in everything.items():
        yield from _arguments(path, each)
    statuses = " ".join(parser.epilog.partition("exit status:")[2].partition("\n\n")[0].split())
    for status in re.findall(r"[^.]+", statuses):
        yield f"exit status: {status.strip()}"
    with redirect_stdout(StringIO()) as stdout:
        app.main(["status", str(Path(__file__).with_name("recorded") / "journal-1.jsonl"), "--json"])
    for key in json.loads(stdout.getvalue()):
        yield f'executionkit status --json: ["{key}"]'
    package = Path(sys.modules["executionkit"].__file__ or "").parent
    text = "".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    for variable in sorted(set(re.findall(r"\bEXECUTIONKIT_[A-Z_]+[A-Z]\b", text))):
        yield f"environment: {variable}"
    for logger in sorted({"executionkit", *re.findall(r'getLogger\("(executionkit[\w.]*)"\)', text)}):
        yield f"logger: {logger}"
    for field in sorted(set(re.findall(r"\bek_[a-z_]+\b", text))):
        yield f"field of a log record: {field}"


def _arguments(path: str, parser: argparse.ArgumentParser) -> Iterator[str]:
    yield path
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            if path != "executionkit":
                for name, each in action.choices.items():
                    yield from _arguments(f"{path} {name}", each)
            continue
        if action.dest == "help":
            continue
        names = ", ".join(action.option_strings) or str(action.metavar or action.dest).upper()
        takes = "" if action.nargs == 0 else " ..." if action.option_strings else f" {action.nargs or ''}"
        words = f" {{{','.join(map(str, action.choices))}}}" if action.choices else ""
        default = action.default
        is_default = bool(default) and default != argparse.SUPPRESS and action.nargs != 0
        yield f"{path} {names}{takes.rstrip()}{words}{f' = {default!r}' if is_default else ''}"


def _traces() -> Iterator[str]:
    """The names of spans, metrics and attributes; one that ends in a dot stands before names of figures."""
    package = Path(importlib.import_module("executionkit.otel").__file__ or "").parent
    text = "".join(path.read_text(encoding="utf-8") for path in package.glob("*.py"))
    for name in sorted(set(re.findall(r'"((?:gen_ai|error|server|operation|executionkit)\.[\w.]*)"', text))):
        yield f"trace: {name}"


def _formats() -> Iterator[str]:
    """The formats of files, the extras, and what is needed to run."""
    for name, module, constant in (
        ("journal", "executionkit.many._journal.format", "FORMAT"),
        ("folder of shards", "executionkit.many.ray", "_FORMAT"),
        ("run log", "executionkit.run_log._journal", "VERSION"),
    ):
        yield f"format of a {name}: {getattr(importlib.import_module(module), constant)}"
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    yield f"Python: {project['requires-python']}"
    ours = {"test", "types", "docs", "look", "pictures", "mutants", "release", "dev"}
    for name, needs in project["optional-dependencies"].items():
        if name not in ours:
            yield f"extra: {name} ({', '.join(needs)})"


def difference(written: list[str], now: list[str]) -> str:
    """The lines that went and came, and what is to be done about them; empty if there are none."""
    gone = [f"- {line}" for line in written if line not in now]
    come = [f"+ {line}" for line in now if line not in written]
    if not gone and not come:
        return "" if written == now else "Only the order differs: python tests/public.py"
    advice = ["", "The public interface is not the one in tests/public.txt:", *gone, *come]
    if gone:
        advice += [
            "A line with - can break programs, unless one with + only adds to it. Released spellings go on",
            "working for a minor release at least, with a DeprecationWarning: docs/stability.md says how.",
        ]
    advice += ["If it is meant: python tests/public.py, and a line in CHANGELOG.md."]
    return "\n".join(advice)


if __name__ == "__main__":
    WRITTEN.write_text("".join(f"{line}\n" for line in lines()), encoding="utf-8")
