"""Hold requests against OpenAI's published types: one JSON body a line in, a line of problems out.

It runs with an interpreter that has `openai`, whose TypedDicts are generated from OpenAI's specification.
They are checked strictly: nothing is converted, and a field that they don't have is a problem.
"""

import json
import pkgutil
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from openai.types import chat, shared_params
from openai.types.chat import completion_create_params
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import is_typeddict


def close_types() -> None:
    """Make every TypedDict of the request refuse conversions and unknown fields."""
    for package in (chat, shared_params):
        for module in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for value in vars(import_module(module.name)).values():
                if is_typeddict(value):
                    value.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)


def exhaust(value: Any) -> None:
    """Walk through everything: what is declared as an Iterable is only checked when it is iterated."""
    if isinstance(value, dict):
        for item in value.values():
            exhaust(item)
    elif isinstance(value, (list, tuple, Iterator)):
        for item in value:
            exhaust(item)


def main() -> None:
    """Answer until the input ends."""
    close_types()
    whole = TypeAdapter(completion_create_params.CompletionCreateParamsNonStreaming)
    streamed = TypeAdapter(completion_create_params.CompletionCreateParamsStreaming)
    for line in sys.stdin:
        body = json.loads(line)
        problems = []
        try:
            exhaust((streamed if body.get("stream") else whole).validate_python(body))
        except ValidationError as exc:
            problems = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors()]
        print(json.dumps(problems), flush=True)


if __name__ == "__main__":
    main()
