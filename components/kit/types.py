"""Words for what goes between browser and server, so that a signature says which of them it means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Node: TypeAlias = Any
"""A Dash component, a text, a list of these, or None."""
Json: TypeAlias = Any
"""What a store of the page holds: JSON, to be rebuilt by a ``from_dict`` before it is used."""
Typed: TypeAlias = Any
"""What somebody typed or chose: anything, until an operation's fields have checked it."""
Relay: TypeAlias = Callable[[Any], None]
"""Takes the values of a background callback's progress outputs."""
Facts: TypeAlias = Mapping[str, Any]
"""What a job says of itself while it runs."""
Outputs: TypeAlias = dict[str, Any]
"""What a callback with named outputs gives, by their names."""
Query: TypeAlias = Mapping[str, Any]
"""The entries of an address, as anyone may have written them."""
