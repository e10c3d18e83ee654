"""The themes of the bundled corpus: a hierarchy of broad themes, their kinds, and the words of each kind.

The list is data, not code, and knows no model: the corpus is written from it, and whether a region of activations is
about a theme, or steering reaches one, is measured with its words.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("themes.toml")


@dataclass(frozen=True)
class Kind:
    """One kind of a theme, such as baking of cooking, with its eight words."""

    theme: str
    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Theme:
    """A broad theme: ``key`` in files, ``name`` for the screen, and its kinds."""

    key: str
    name: str
    kinds: tuple[Kind, ...]

    @property
    def words(self) -> tuple[str, ...]:
        """The words of all kinds, each once, in order."""
        return tuple(dict.fromkeys(word for kind in self.kinds for word in kind.words))


@cache
def themes() -> tuple[Theme, ...]:
    """All themes, in the order of the file."""
    data = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(
        Theme(key, entry["name"], tuple(Kind(key, name, tuple(w.split())) for name, w in entry["kinds"].items()))
        for key, entry in data.items()
    )
