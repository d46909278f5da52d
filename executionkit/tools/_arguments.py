"""How the arguments of a call become those of a function: natively where JSON suffices, else by pydantic."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from executionkit._json import is_json, plain
from executionkit.tools._by_pydantic import PydanticArguments
from executionkit.tools._docstring import Docstring, read
from executionkit.tools._native import Kind, all_converted, kind_of
from executionkit.tools._signature import Injected, Signature, bare_texts, signature_of
from executionkit.tools._unfit import UnfitArgumentsError, member


class Arguments(Protocol):
    """The arguments of a function: their schema, and their conversion.

    Attributes:
        schema: The JSON Schema of the parameters.
    """

    schema: dict[str, Any]

    def convert(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """Turn the arguments of a call into those of the function, or raise an UnfitArgumentsError."""
        ...


class Blueprint(NamedTuple):
    """What a tool takes from its function.

    Attributes:
        arguments: The arguments that the model gives.
        injected: The parameters that the loop fills in, by name.
        docstring: The function's docstring, read.
    """

    arguments: Arguments
    injected: dict[str, Injected]
    docstring: Docstring

    def schema(self, descriptions: Mapping[str, str]) -> dict[str, Any]:
        """The schema with the descriptions of the parameters; those given here go first."""
        schema: dict[str, Any] = plain(self.arguments.schema)
        for name, entry in schema["properties"].items():
            said = descriptions.get(name) or entry.get("description") or self.docstring.parameters.get(name)
            if said:
                entry["description"] = said
        return schema


def blueprint_of(function: Callable[..., object], name: str) -> Blueprint:
    """Read a function, or remember what was read; raises the errors of `signature_of`."""
    key = getattr(function, "__func__", function)
    is_bound = key is not function
    try:
        found = _KNOWN.get(key, {}).get(is_bound)
    except TypeError:  # a callable object without a hash
        return _drawn(function, name)
    if found is None:
        found = _drawn(function, name)
        try:
            _KNOWN.setdefault(key, {})[is_bound] = found
        except TypeError:  # one that can't be weakly referenced
            return found
    return found


_KNOWN: WeakKeyDictionary[Any, dict[bool, Blueprint]] = WeakKeyDictionary()
"""What was read of each function, bound or not. It refers to no function, so each one can go."""


def _drawn(function: Callable[..., object], name: str) -> Blueprint:
    signature = signature_of(function, name)
    kinds = {key: kind_of(parameter.annotation) for key, parameter in signature.parameters.items()}
    native = {key: kind for key, kind in kinds.items() if kind is not None}
    others = None if signature.others is None else kind_of(signature.others.annotation)
    is_native = len(native) == len(kinds) and (others is not None) == (signature.others is not None)
    arguments: Arguments = (
        _NativeArguments(signature, native, others) if is_native else PydanticArguments(signature, name)
    )
    for key, text in bare_texts(signature).items():
        arguments.schema["properties"][key].setdefault("description", text)
    return Blueprint(arguments, signature.injected, read(_docstring_of(function)))


class _NativeArguments:
    """The arguments of a function whose annotations JSON has itself."""

    def __init__(self, signature: Signature, kinds: dict[str, Kind], others: Kind | None) -> None:
        self._kinds = kinds
        self._others = others
        properties = {name: dict(kind.schema) for name, kind in kinds.items()}
        self._required: list[str] = []
        for name, parameter in signature.parameters.items():
            if parameter.default is parameter.empty:
                self._required.append(name)
            elif is_json(parameter.default):
                # A copy: the function may change its default.
                properties[name]["default"] = plain(parameter.default)
        self.schema: dict[str, Any] = {
            "type": "object",
            "properties": properties,
            **({"required": self._required} if self._required else {}),
            "additionalProperties": False if others is None else others.schema or True,
        }

    def convert(self, arguments: Mapping[str, object]) -> dict[str, object]:
        errors = [f"{name}: missing" for name in self._required if name not in arguments]
        known: dict[str, tuple[Kind, object, str]] = {}
        for name, value in arguments.items():
            kind = self._kinds.get(name, self._others)
            if kind is None:
                errors.append(f"{member('', name)}: there is no such parameter")
            else:
                known[name] = kind, value, member("", name)
        try:
            converted = all_converted(known).values
        except UnfitArgumentsError as exc:
            errors += exc.errors
        else:
            if not errors:
                return converted
        raise UnfitArgumentsError(*errors)


def _docstring_of(function: Any) -> str | None:
    """The docstring of a function, or of the function inside a partial or a callable object."""
    said: str | None
    while hasattr(function, "func") and hasattr(function, "keywords"):
        function = function.func
    if isinstance(function, type) or hasattr(function, "__code__") or hasattr(function, "__func__"):
        said = function.__doc__
    else:
        said = type(function).__call__.__doc__ or type(function).__doc__
    return said
