"""Every public signature and its defaults, as `signatures.txt` beside this file has them.

User code is written against them. To accept a change that is meant, run this file as a program.
"""

import inspect
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import get_type_hints

import pytest

import executionkit
from executionkit import answers, bench, many, mcp, otel, progress, react_loop, run_log, structured, testing
from executionkit.engine import parallel, retry
from executionkit.many import ray
from executionkit.patterns.react_loop import LoopOptions
from executionkit.patterns.structured import StructuredOptions

WRITTEN = Path(__file__).with_name("signatures.txt")

MODULES = {
    "": executionkit,
    "answers.": answers,
    "many.": many,
    "many.ray.": ray,
    "bench.": bench,
    "mcp.": mcp,
    "otel.": otel,
    "progress.": progress,
    "run_log.": run_log,
    "testing.": testing,
}
FURTHER = {
    "engine.parallel.gather_strict": parallel.gather_strict,
    "engine.parallel.gather_resilient": parallel.gather_resilient,
    "engine.retry.with_retry": retry.with_retry,
}


def signatures() -> Iterator[str]:
    named = {
        f"{prefix}{name}": getattr(module, name)
        for prefix, module in MODULES.items()
        for name in sorted(vars(module)["__all__"])
    }
    for name, value in {**named, **FURTHER}.items():
        if inspect.isclass(value):
            made_by_users = not issubclass(value, Enum) and not getattr(value, "_is_protocol", False)
            yield f"class {name}{parameters(value) if made_by_users else ''}"
            for own in sorted(vars(value)):
                if not own.startswith("_") and inspect.isroutine(member := getattr(value, own)):
                    yield f"    {own}{parameters(member)}"
        elif inspect.isroutine(value):
            yield f"{name}{parameters(value)}"


def parameters(value: object) -> str:
    """The parameters and defaults, without annotations, which the type checkers watch."""
    try:
        signature = inspect.signature(value)  # type: ignore[arg-type]  # any object may be tried
    except ValueError:  # what is inherited from a class written in C
        return ""
    bare = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=inspect.Signature.empty))


def test_the_public_signatures_are_those_written_down() -> None:
    assert list(signatures()) == WRITTEN.read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize(
    ("function", "options", "others"),
    [
        (structured, StructuredOptions, {"validator"}),
        (react_loop, LoopOptions, {"output", "_"}),
    ],
)
def test_the_options_of_overloads_are_the_keywords_of_the_function(
    function: Callable[..., object], options: type, others: set[str]
) -> None:
    parameters = inspect.signature(function).parameters.values()
    keywords = {
        parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_OR_KEYWORD
    }
    assert keywords - others == set(get_type_hints(options))


if __name__ == "__main__":
    WRITTEN.write_text("".join(f"{line}\n" for line in signatures()), encoding="utf-8")
