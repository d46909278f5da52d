"""Annotations that need pydantic: the schema of a function, and the conversion of its arguments."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from executionkit._json import is_json, is_list, is_object
from executionkit._pydantic import error_lines, for_pydantic
from executionkit._text import shorten
from executionkit.tools._signature import Signature
from executionkit.tools._unfit import UnfitArgumentsError


class PydanticArguments:
    """The schema of a function's parameters, and the conversion of arguments, by pydantic.

    Args:
        signature: The function's parameters.
        name: The tool's name, for errors.

    Raises:
        TypeError: An annotation is nothing that pydantic can check.
        ImportError: pydantic is not installed.
    """

    def __init__(self, signature: Signature, name: str) -> None:
        try:
            from pydantic import TypeAdapter
            from pydantic_core import ArgsKwargs
        except ImportError:
            raise ImportError(
                f"tool {name}: {_foreign(signature)} needs pydantic: pip install pydantic"
            ) from None
        self._wrap = ArgsKwargs
        try:
            stub: Any = _stub(signature)
            self._adapter: Any = TypeAdapter(stub)
            self.schema: dict[str, Any] = _untitled(self._adapter.json_schema(schema_generator=_generator()))
        except Exception as exc:  # a type's own hooks may raise anything
            raise TypeError(
                f"tool {name}: {_foreign(signature)} can't be checked ({_first_sentence(exc)}); a model "
                "can't supply such an object: bring it in by a closure, a method or functools.partial"
            ) from exc

    def convert(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """Turn the arguments of a call into objects of the annotated types, with all defaults filled in.

        Raises:
            UnfitArgumentsError: Some don't fit.
        """
        try:
            _, keywords = self._adapter.validate_python(self._wrap((), dict(arguments)))
        except RecursionError:
            raise UnfitArgumentsError("nested too deeply to be checked") from None
        except ValueError as exc:
            raise UnfitArgumentsError(*error_lines(exc)) from None
        except Exception as exc:  # a type's own validators may raise anything
            raise UnfitArgumentsError(f"they can't be checked ({type(exc).__name__})") from exc
        return cast("dict[str, object]", keywords)


def _stub(signature: Signature) -> Callable[..., object]:
    """A function with these parameters that pydantic can describe; it is never called."""

    def stub(*args: object, **kwargs: object) -> object:
        return args, kwargs

    parameters = [
        parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()
    ]
    if signature.others is not None:
        parameters.append(signature.others)
    parameters = [
        parameter.replace(annotation=for_pydantic(parameter.annotation)) for parameter in parameters
    ]
    stub.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by `inspect`
    stub.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return stub


def _generator() -> Any:
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        """Leaves a default that JSON does not have out, without a warning: Python applies it."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.ignored_warning_kinds = {*self.ignored_warning_kinds, "non-serializable-default"}

    return Generator


def _untitled(schema: Any) -> Any:
    """The schema without titles, which only repeat the names, and without defaults such as NaN."""
    if is_list(schema):
        return [_untitled(item) for item in schema]
    if not is_object(schema):
        return schema
    return {
        keyword: {name: _untitled(item) for name, item in value.items()}
        if keyword in _MAPS and is_object(value)
        else value
        if keyword in _DATA
        else _untitled(value)
        for keyword, value in schema.items()
        if keyword != "title" and (keyword != "default" or is_json(value))
    }


_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
"""Keywords whose value holds schemas by names, which may be "title" themselves."""

_DATA = frozenset({"default", "const", "enum", "examples"})


def _first_sentence(exc: Exception) -> str:
    """The beginning of pydantic's text, whose advice is for models and not for functions."""
    return shorten(str(exc).partition(".\n")[0].partition(". ")[0].partition("\n")[0], 200)


def _foreign(signature: Signature) -> str:
    """Name the first parameter whose annotation JSON does not have."""
    from executionkit.tools._native import kind_of

    others = () if signature.others is None else (signature.others,)
    for parameter in (*signature.parameters.values(), *others):
        if kind_of(parameter.annotation) is None:
            annotation = parameter.annotation
            shown = annotation.__name__ if isinstance(annotation, type) else str(annotation)
            return f"the annotation {shown} of the parameter {parameter.name!r}"
    return "its signature"
