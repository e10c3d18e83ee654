"""Public names of a package that are loaded when they are first used, so that importing it costs no torch."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def public(package: str, homes: dict[str, str]) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package (PEP 562). ``homes``: for each module of it, its public names, space between.

    Raises ValueError for a name that a module of the package has, too: once imported, that module would answer to it.
    """
    modules = {name: module for module, names in homes.items() for name in names.split()}
    for name in homes.keys() & modules.keys():
        raise ValueError(f"{package} has a module and a public name {name!r}")

    def attribute(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return attribute
