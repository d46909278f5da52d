"""The Berkeley Function-Calling Leaderboard: its functions as tools, and the calls it takes for right."""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from corpora.archives import fetched, texts
from corpora.findings import Findings
from executionkit import Tool
from executionkit._schema import find_errors

_TYPES: Final = {
    **dict.fromkeys(("dict", "hashmap", "hashtable", "object"), "object"),
    **dict.fromkeys(("list", "tuple", "array", "arraylist", "queue", "stack", "set"), "array"),
    **dict.fromkeys(("float", "double", "number"), "number"),
    **dict.fromkeys(("int", "integer", "long", "short", "byte", "bigint"), "integer"),
    **dict.fromkeys(("bool", "boolean"), "boolean"),
    **dict.fromkeys(("str", "string", "char"), "string"),
}
"""The data's types, of Python, Java and JavaScript. Any other ("any") is a value of any type."""

_WRONG: Final = {
    "a text stands for a variable of the program": frozenset(
        {
            *(f"simple_java_{number}" for number in (26, 35, 38, 45, 58, 69, 72, 82, 87, 88)),
            *(f"simple_javascript_{number}" for number in (5, 9, 11, 15, 19, 32, 37, 39)),
            "parallel_multiple_21",
        }
    ),
    "the value is none of those in `enum`": frozenset(
        {
            *("live_multiple_87-38-4", "live_multiple_750-169-5", "live_multiple_756-169-11"),
            *("live_multiple_835-178-10", "live_multiple_871-182-8", "live_multiple_947-197-0"),
            *("live_multiple_152-58-6", "live_simple_71-35-0", "live_parallel_multiple_2-2-0"),
        }
    ),
    "the value has another type than the schema says": frozenset(
        {
            *("live_multiple_552-153-1", "live_multiple_595-158-1", "live_multiple_596-158-2"),
            *("live_multiple_731-167-2", "live_multiple_733-167-4", "live_multiple_735-167-6"),
            *("live_multiple_1038-265-0", "parallel_multiple_94"),
            *("multi_turn_base_173", "multi_turn_long_context_173"),
            *("multi_turn_miss_func_173", "multi_turn_miss_param_173"),
        }
    ),
    "a required argument is missing, and another is there": frozenset({"live_multiple_964-207-0"}),
}
"""Calls that contradict their own schemas."""


def run(cache: Path) -> Findings:
    """Make a tool of every function, and check every right call: all fit but those that are listed."""
    archive = fetched("bfcl-eval==2026.3.23", "wheel", cache)
    findings = Findings(archive.name)
    files = dict(texts(archive, "bfcl_eval/data/"))
    shared: dict[str, Tool] = {}
    for name, text in files.items():
        if name.startswith("multi_turn_func_doc/"):
            for function in _rows(text):
                tool = _tool(function, name, findings)
                if tool is not None:
                    shared[function["name"]] = tool
    for name, text in files.items():
        if not name.startswith("BFCL_v4_") or "format_sensitivity" in name:
            continue
        right = {row["id"]: row["ground_truth"] for row in _rows(files.get(f"possible_answer/{name}", ""))}
        for row in _rows(text):
            functions = {function["name"]: function for function in row.get("function", ())}
            tools = {key: _tool(function, row["id"], findings) for key, function in functions.items()}
            for called, arguments in _calls(right.get(row["id"], ()), shared):
                chosen = tools.get(called) or shared.get(called)
                if chosen is None:
                    findings.failures.append(f"{row['id']}: a call of {called}, of which no tool was made")
                else:
                    _check(row["id"], chosen, arguments, findings)
    return findings


def _rows(text: str) -> Iterator[dict[str, Any]]:
    # Not by splitlines(): the texts have separators of Unicode in them.
    return (json.loads(line) for line in text.split("\n") if line.strip())


def _execute(**arguments: object) -> object:
    return arguments


def _tool(function: Mapping[str, Any], place: str, findings: Findings) -> Tool | None:
    findings.count["functions"] += 1
    name = re.sub(r"[^a-zA-Z0-9_-]", "_", function["name"])[-64:]
    try:
        return Tool(name, function.get("description", ""), _schema(function["parameters"]), _execute)
    except ValueError as exc:
        findings.failures.append(f"{place}: {function['name']}: {exc}")
        return None


def _schema(given: Any) -> Any:
    """A schema of the data as JSON Schema: only the names of types are others."""
    if not isinstance(given, dict):
        return given
    schema = {
        key: _schema(item) if key in ("items", "additionalProperties") else item
        for key, item in given.items()
    }
    if isinstance(given.get("type"), str):
        schema["type"] = _TYPES.get(given["type"].lower())
        if schema["type"] is None:
            del schema["type"]
    if isinstance(given.get("properties"), dict):
        schema["properties"] = {name: _schema(rule) for name, rule in given["properties"].items()}
    return schema


def _calls(right: Any, shared: Mapping[str, Tool]) -> Iterator[tuple[str, dict[str, list[Any]]]]:
    """The right calls of one task: the function's name, and by argument the values that are right."""
    for turn in right:
        if isinstance(turn, dict):
            yield from turn.items()
        for line in turn if isinstance(turn, list) else ():
            call = ast.parse(line, mode="eval").body
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in shared:
                names = list(shared[call.func.id].parameters.get("properties", ()))
                values = dict(zip(names, call.args, strict=False))
                values |= {argument.arg or "**": argument.value for argument in call.keywords}
                yield call.func.id, {name: [ast.literal_eval(value)] for name, value in values.items()}


def _check(place: str, tool: Tool, right: Mapping[str, list[Any]], findings: Findings) -> None:
    findings.count["calls"] += 1
    rules = tool.parameters.get("properties", {})
    required = tool.parameters.get("required", ())
    arguments: dict[str, Any] = {}
    for name, several in right.items():
        values = several or [several]  # without any values it is the value itself
        # An empty text among the values means that the argument may be left out.
        if "" in values and name not in required:
            continue
        fitting = [value for value in map(_first, values) if not find_errors(value, rules.get(name, True))]
        arguments[name] = (fitting or [_first(value) for value in values])[0]
    errors = find_errors(arguments, tool.parameters)
    if not errors:
        return
    reason = next((reason for reason, places in _WRONG.items() if place in places), None)
    if reason is None:
        findings.failures.append(f"{place}: {tool.name}: {'; '.join(errors)}")
    else:
        findings.listed[f"calls: {reason}"] += 1


def _first(value: Any) -> Any:
    """One right value: inside objects, too, there is a list of the right values for each property."""
    if isinstance(value, list):
        return [_first(item) for item in value]
    if not isinstance(value, dict):
        return value
    given = {name: values if isinstance(values, list) else [values] for name, values in value.items()}
    return {
        name: _first(next(filter(_is_given, values)))
        for name, values in given.items()
        if any(map(_is_given, values))
    }


def _is_given(value: object) -> bool:
    return value != ""
