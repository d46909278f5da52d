"""Who may import whom: the arrows of docs/architecture.md, read off the source."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

# Found without being imported: the arrows must be readable even when following them fails.
_SPEC = importlib.util.find_spec("executionkit")
assert _SPEC is not None
assert _SPEC.origin is not None
PACKAGE = Path(_SPEC.origin).parent

GROUND = {
    *("_text", "_json", "_prompt", "_callables", "_codes", "_shown", "_display", "_warning", "_threads"),
    *("_corrections", "_suppositions"),
    *("_dollars", "_logs", "_secrets", "_redaction"),
}
VALUES = GROUND | {
    *("_schema", "responses", "_messages", "_opening"),
    *("streaming", "events", "protocols", "tools", "approval", "types", "errors", "prices", "_genai_prices"),
}
CORE = VALUES | {"_checks", "_keywords", "cost", "engine"}
JUDGES = {"_judge", "evaluators"}
STRUCTURE = {"_output", "_refusals", "_schema_modes"}
APPLICATION = (
    CORE
    | JUDGES
    | STRUCTURE
    | {"field_vote", "panel", "patterns", "compose", "_turn_stream", "conversation", "kit", "sync", "_mock"}
)

# What each part may import, besides itself. A part is a top-level module or package of executionkit; a
# dotted name is that module alone.
MAY_IMPORT: dict[str, set[str]] = {
    "_text": set(),
    "_callables": set(),
    "_codes": set(),
    "_corrections": set(),
    "_suppositions": set(),
    "_lazy": set(),
    "_logs": set(),
    "_version": set(),
    "_carried": set(),
    "_dollars": set(),
    "_json": {"_text", "_carried"},
    "_shown": {"_text", "_prompt"},
    "_display": {"_text", "_dollars", "types"},
    "_prompt": {"_text", "_json"},
    "_secrets": set(),
    "_redaction": {"_text", "_secrets"},
    "_schema": {"_text", "_json", "_logs"},
    "responses": GROUND,
    "_messages": GROUND | {"responses"},
    "_opening": GROUND | {"responses"},
    "streaming": GROUND | {"responses"},
    "protocols": {"responses", "streaming"},
    "prices": {"_dollars", "responses"},
    "_genai_prices": {"_dollars", "prices", "responses"},
    "events": GROUND | {"responses", "streaming", "types"},
    "_warning": set(),
    "_threads": {"_logs"},
    "approval": GROUND | {"responses", "tools"},
    "_pydantic": {"_text"},
    "tools": GROUND | {"_schema", "_pydantic", "protocols", "responses"},
    "types": GROUND | {"_schema", "protocols", "responses", "tools"},
    "errors": {"types", "responses", "_codes"},
    "_checks": VALUES,
    "_keywords": VALUES | {"_checks"},
    "cost": VALUES,
    "observe": VALUES,
    "engine": VALUES | {"_checks", "cost", "observe"},
    "_output": VALUES | {"_pydantic"},
    "_refusals": CORE,
    "_schema_modes": VALUES | {"_output", "_refusals"},
    "_judge": CORE | {"_refusals", "_schema_modes"},
    "evaluators": CORE | JUDGES,
    "panel": CORE,
    "parts": GROUND | {"_checks"},
    "provider": VALUES | {"_checks", "_version"},
    "answers": CORE | {"_output"},
    "field_vote": GROUND,
    "patterns": CORE | JUDGES | STRUCTURE | {"observe"},
    "compose": CORE | {"patterns._narrator"},
    "_blocking": {"_text", "errors"},
    "_turn_stream": CORE | {"patterns"},
    "conversation": CORE | {"_output", "_blocking", "_turn_stream", "patterns"},
    "kit": CORE | {"patterns", "compose", "conversation", "many"},
    "sync": CORE | {"_blocking", "patterns", "compose"},
    "mcp": CORE | {"parts"},
    "many": CORE | {"_blocking", "_version", "patterns._turn", "progress", "provider._offline"},
    "progress": VALUES | {"_checks", "_dollars"},
    "run_log": VALUES | {"observe", "_version"},
    "_screen": set(),
    "_show": {"_text", "_dollars", "_screen", "_version", "run_log"},
    "otel": CORE | {"observe", "_version"},
    "bench": CORE | {"_blocking", "answers", "evaluators", "many", "patterns"},
    "_mock": VALUES,
    "testing": VALUES | {"_mock", "_checks"},
    "_demo": APPLICATION | {"provider", "testing", "many", "_screen", "__init__"},
    "__init__": APPLICATION | {"provider", "_lazy", "_version"},
    "_cli": {
        *("__init__", "_text", "_json", "_keywords", "_checks", "_version", "errors", "engine"),
        *("answers", "many", "bench", "_demo", "_show"),
    },
    "__main__": {"_cli"},
}

# Outside the standard library, these alone, and only inside a function: importing us must not import them.
OPTIONAL = {
    "provider": {"httpx", "httpx2"},
    "_display": {"rich"},
    "_output": {"pydantic"},
    "_pydantic": {"typing_extensions"},
    "tools": {"pydantic", "pydantic_core"},
    "mcp": {"mcp", "mcp_types", "pydantic"},
    "progress": {"rich"},
    "otel": {"opentelemetry"},
    "patterns": {"typing_extensions"},
}


class Import(NamedTuple):
    """`module` imports `target`, at module level (`eager`) or when some function runs."""

    module: str
    target: str
    eager: bool

    @property
    def part(self) -> str:
        return part_of(self.module)


def part_of(module: str) -> str:
    return [*module.split("."), "__init__"][1]


def module_name(path: Path) -> str:
    names = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" and len(names) > 2 else names)


def imports_of(path: Path) -> Iterator[Import]:
    module = module_name(path)

    def visit(node: ast.AST, *, eager: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):  # no import is within one
                continue
            if isinstance(child, ast.Import):
                yield from (Import(module, alias.name, eager) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{module}: relative imports hide the arrows, write them out"
                for alias in child.names:
                    yield Import(module, _target(child.module or "", alias.name), eager)
            else:
                inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                inside = inside or (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING")
                yield from visit(child, eager=eager and not inside)

    yield from visit(TREES[path], eager=True)


def _target(module: str, name: str) -> str:
    """`from package import name` imports the submodule where there is one, else the package."""
    return f"{module}.{name}" if f"{module}.{name}" in NAMES else module


SOURCES = sorted(PACKAGE.rglob("*.py"))
NAMES = {module_name(path).removesuffix(".__init__") for path in SOURCES}
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
IMPORTS = [found for path in SOURCES for found in imports_of(path)]
OURS = [found for found in IMPORTS if found.target.split(".")[0] == "executionkit"]
THEIRS = [found for found in IMPORTS if found.target.split(".")[0] != "executionkit"]


def test_every_part_has_its_place_in_the_table() -> None:
    assert {part_of(module_name(path)) for path in SOURCES} == MAY_IMPORT.keys()


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_a_part_imports_only_what_it_may(part: str) -> None:
    allowed = MAY_IMPORT[part] | {part}
    wrong = [
        f"{i.module} -> {i.target}"
        for i in OURS
        if i.part == part and not {part_of(i.target), i.target.removeprefix("executionkit.")} & allowed
    ]
    assert not wrong


def test_the_http_back_ends_know_nothing_of_chat() -> None:
    here = "executionkit.provider._http."
    allowed = {"executionkit._text", "executionkit._secrets"}
    wrong = [
        f"{i.module} -> {i.target}"
        for i in OURS
        if i.module.startswith(here) and not i.target.startswith(here) and i.target not in allowed
    ]
    assert not wrong


def test_no_pattern_imports_another() -> None:
    wrong = [
        f"{i.module} -> {i.target}"
        for i in OURS
        if i.part == "patterns"
        and part_of(i.target) == "patterns"
        # A module with an underscore serves patterns and is none.
        and not i.module.rpartition(".")[2].startswith("_")
        and not i.target.rpartition(".")[2].startswith("_")
    ]
    assert not wrong


def test_only_the_provider_imports_anything_outside_the_standard_library_and_only_when_used() -> None:
    wrong = [
        f"{i.module} -> {i.target}"
        for i in THEIRS
        if (root := i.target.split(".")[0]) not in sys.stdlib_module_names
        and (i.eager or root not in OPTIONAL.get(i.part, set()))
    ]
    assert not wrong


ROOMS_OF_MANY = {
    "_journal": set(),
    "_limits": set(),
    "_batch": {"_journal", "_job", "_results"},
    "_cluster": {"_journal", "_limits", "_job", "_results", "_rows", "_step"},
}


@pytest.mark.parametrize("room", ROOMS_OF_MANY)
def test_the_rooms_of_many_import_downwards(room: str) -> None:
    """A journal and the limits of an account can be used without a job, so they know of none."""
    allowed = ROOMS_OF_MANY[room] | {room}
    wrong = [
        f"{i.module} -> {i.target}"
        for i in OURS
        if i.module.startswith(f"executionkit.many.{room}.")
        and part_of(i.target) == "many"
        and [*i.target.split("."), ""][2] not in allowed
    ]
    assert not wrong


def test_no_private_name_crosses_a_module() -> None:
    wrong = [
        f"{module_name(path)}: from {node.module} import {alias.name}"
        for path in SOURCES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__") and not _is_module(node, alias.name)
    ]
    assert not wrong


def _is_module(node: ast.ImportFrom, name: str) -> bool:
    return _target(node.module or "", name) != node.module


def test_the_modules_import_each_other_in_no_circle() -> None:
    graph: dict[str, set[str]] = {module_name(path): set() for path in SOURCES}
    for found in OURS:
        if found.eager:
            graph[found.module].add(
                found.target if found.target != "executionkit" else "executionkit.__init__"
            )
    done: set[str] = set()

    def walk(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for target in sorted(graph.get(module, ())):
                walk(target, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        walk(module, ())


def test_every_module_says_what_it_is() -> None:
    silent = [module_name(path) for path in SOURCES if not ast.get_docstring(TREES[path])]
    assert not silent


def test_one_function_writes_to_the_log_and_is_safe_from_handlers_that_raise() -> None:
    levels = {"debug", "info", "warning", "error", "exception", "critical", "log"}
    wrong = [
        f"{module_name(path)}: {ast.unparse(node.func)}"
        for path in SOURCES
        for node in ast.walk(TREES[path])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in levels
        if "log" in ast.unparse(node.func.value).lower() and path.stem != "_logs"
    ]
    assert not wrong
