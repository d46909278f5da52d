"""What the code says of itself, for the tests that hold the documentation to it."""

import dataclasses
import inspect
import pkgutil
import tomllib
import typing
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from pages import ROOT

import executionkit
from executionkit import (
    Evaluation,
    ExecutionKitError,
    LLMProvider,
    MockProvider,
    PatternResult,
    PermanentError,
    answers,
    best_of_n_sync,
    consensus_sync,
    errors,
    map_reduce_sync,
    pipe_sync,
    react_loop_sync,
    refine_loop_sync,
    structured_sync,
    testing,
)
from executionkit.provider import _backends

# Not below ROOT: the tests of an sdist run against an installed wheel.
PACKAGE = Path(executionkit.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
PUBLIC: dict[str, Any] = {
    **{name: getattr(testing, name) for name in testing.__all__},
    **{name: getattr(executionkit, name) for name in executionkit.__all__},
    "answers": answers,
    "testing": testing,
}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
READERS = {name: getattr(answers, name) for name in answers.__all__ if name.islower()}
EXTRAS = set(PROJECT["optional-dependencies"]) - {"test", "types", "docs", "mutants", "dev"}
BACKENDS = set(typing.get_args(_backends.Backend))


def score(text: str, provider: LLMProvider) -> Evaluation:
    return Evaluation(0.5, "more")


async def ask(provider: LLMProvider, prompt: str) -> PatternResult[str]:
    """A step that adds nothing to an error."""
    return PatternResult((await provider.complete([{"role": "user", "content": prompt}])).content)


def fail_on(number: int) -> MockProvider:
    """Answers, and fails for good on one of the calls."""
    return MockProvider([*["text"] * (number - 1), PermanentError("refused")])


# A run of each pattern that succeeds: its metadata is what a `Metadata key` table lists.
RUNS: dict[str, Callable[[], PatternResult[Any]]] = {
    "consensus": lambda: consensus_sync(MockProvider(["text"]), "?"),
    "refine_loop": lambda: refine_loop_sync(MockProvider(["text"]), "?", evaluator=score, max_iterations=0),
    "react_loop": lambda: react_loop_sync(MockProvider(["text"]), "?", []),
    "structured": lambda: structured_sync(MockProvider(["{}"]), "?"),
    "best_of_n": lambda: best_of_n_sync(MockProvider(["text"]), "?", evaluator=score),
    "map_reduce": lambda: map_reduce_sync(MockProvider(["text"]), ["a"], map_prompt="", reduce_prompt=""),
    "pipe": lambda: pipe_sync(MockProvider(), "?"),
}

# And one that fails after some calls: what its error has in metadata, the pattern's page names.
FAILURES: dict[str, Callable[[], object]] = {
    "consensus": lambda: consensus_sync(fail_on(2), "?", max_concurrency=1),
    "refine_loop": lambda: refine_loop_sync(fail_on(3), "?", evaluator=score),
    "react_loop": lambda: react_loop_sync(fail_on(1), "?", []),
    "structured": lambda: structured_sync(fail_on(2), "?"),
    "best_of_n": lambda: best_of_n_sync(fail_on(2), "?", evaluator=score, max_concurrency=1),
    "map_reduce": lambda: map_reduce_sync(
        fail_on(2), ["a", "b"], map_prompt="", reduce_prompt="", max_concurrency=1
    ),
    "pipe": lambda: pipe_sync(fail_on(1), "?", ask),
}


def find(name: str) -> Any:
    """What a name stands for, dotted or not; None when it is nothing that users know.

    An attribute that a class only annotates is found as its name.
    """
    if name.startswith("executionkit."):
        try:
            return pkgutil.resolve_name(name)
        except (ImportError, AttributeError):
            return None
    first, *rest = name.split(".")
    ways = (_follow(start, rest) for start in CALLED.get(first, (PUBLIC.get(first),)))
    return next((found for found in ways if found is not None), None)


def _follow(found: Any, names: list[str]) -> Any:
    for name in names:
        if not isinstance(found, (type, ModuleType)):
            return found  # what the values of a property have, is not known here
        annotated = {each for base in getattr(found, "__mro__", ()) for each in inspect.get_annotations(base)}
        found = getattr(found, name, name if name in annotated else None)
    return found


def parameters(of: Any) -> dict[str, Any]:
    """The parameters of a function or class, stars included, and their defaults."""
    made = {field.name: field.default_factory for field in fields(of)}
    found: dict[str, Any] = {}
    try:
        signature = inspect.signature(of)
    except ValueError:  # an exception that has the constructor of Exception
        signature = inspect.Signature()
    for name, parameter in signature.parameters.items():
        stars = str(parameter)[: str(parameter).count("*", 0, 2)]
        factory = made.get(name, dataclasses.MISSING)
        default = parameter.default if factory is dataclasses.MISSING else factory()
        if name != "_":  # what react_loop takes only to warn of it
            found[stars + name] = default
    return found


def fields(of: Any) -> tuple["dataclasses.Field[Any]", ...]:
    return dataclasses.fields(of) if dataclasses.is_dataclass(of) else ()


def result_class(pattern: Any) -> Any:
    """The class of what a pattern returns."""
    returned = typing.get_type_hints(pattern)["return"]
    return typing.get_origin(returned) or returned


def tree_of_errors() -> dict[str, str | None]:
    """Every error of the tree and its parent, as the code has them."""
    found: dict[str, str | None] = {"ExecutionKitError": None}
    for name, value in vars(errors).items():
        if (
            isinstance(value, type)
            and issubclass(value, ExecutionKitError)
            and value is not ExecutionKitError
        ):
            found[name] = value.__bases__[0].__name__
    return found


# What the pages call objects of some classes.
CALLED: dict[str, tuple[type, ...]] = {
    "kit": (executionkit.Kit,),
    "provider": (executionkit.Provider, MockProvider),
    "endpoint": (testing.LocalEndpoint,),
    "result": tuple(result_class(PUBLIC[name]) for name in RUNS),
    "response": (executionkit.LLMResponse,),
    "reply": (executionkit.LLMResponse,),
    "events": (executionkit.ReplyStream,),
    "error": tuple(PUBLIC[name] for name in tree_of_errors()),
}
