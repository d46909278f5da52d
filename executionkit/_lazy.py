"""Importing the public names of a package when they are first used."""

import re
import sys
from importlib import import_module
from types import ModuleType
from typing import Any

# Not `ast`: that takes ten times as long, and would be most of what `import executionkit` costs.
_IMPORT = re.compile(r"^    from ([\w.]+) import (?:\(([^()]*)\)|(.+))$", re.MULTILINE)


def install(package: str) -> bool:
    """Give a package `__getattr__`, `__dir__` and `__all__` for the names that its own source imports.

    The imports are written once, in a block that runs only when this returns False:

        if TYPE_CHECKING or not install(__name__):
            from package.module import Name as Name

    Type checkers read them as ordinary imports. At run time each one runs when its name is first used.

    Args:
        package: The package's `__name__`.

    Returns:
        Whether the names were found; False where the package comes without its source.
    """
    module = sys.modules[package]
    homes = _homes(module)

    def find(name: str) -> object:
        if (home := homes.get(name)) is not None:
            value: object = getattr(import_module(home), name)
        else:
            value = _submodule(package, name, homes)
        setattr(module, name, value)
        return value

    if homes:
        vars(module).update(__getattr__=find, __dir__=lambda: list(homes), __all__=list(homes))
    return bool(homes)


def _homes(package: ModuleType) -> dict[str, str]:
    """The module of each name that the package's source imports; empty where there is no source."""
    loader: Any = getattr(package.__spec__, "loader", None)  # Any: few kinds of loaders have `get_data`
    try:
        source: str = loader.get_data(package.__file__).decode().replace("\r\n", "\n")
    except (AttributeError, OSError, UnicodeDecodeError):  # frozen, deleted, or byte code
        return {}
    return {
        name.split()[0]: home
        for home, several, one in _IMPORT.findall(source)
        for name in (several or one).split(",")
        if name.strip()
    }


def _submodule(package: str, name: str, homes: dict[str, str]) -> object:
    """The module `package.name`, with whatever in it is public imported."""
    module = f"{package}.{name}"
    inside = {home for home in homes.values() if f"{home}.".startswith(f"{module}.")}
    if not inside:
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    for home in sorted(inside):
        import_module(home)
    return import_module(module)
