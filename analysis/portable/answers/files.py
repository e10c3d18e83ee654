"""Answers about files of artefacts and about the shelf of a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ShelfRow:
    """One artefact of a model: ``words`` for its kind, ``title`` for what it is of, ``command`` for what made it, its
    ``size`` in bytes, when it was ``made`` (seconds since 1970, 0 for a ``bundled`` one), and the ``page`` that uses
    it."""

    kind: str
    name: str
    words: str
    title: str
    command: str
    size: int
    made: float
    bundled: bool
    page: str


@dataclass(frozen=True)
class ModelShelf:
    """All artefacts of a model, by kind, and its ``label``. ``complete``: whether the model is loaded, without which
    only those are known that name where it comes from."""

    label: str
    rows: tuple[ShelfRow, ...]
    complete: bool


@dataclass(frozen=True)
class SavedFile:
    """A file that waits to be fetched: ``token`` names it, ``name`` is what it is to be called, ``size`` in bytes."""

    token: str
    name: str
    size: int


@dataclass(frozen=True)
class OpenedArtefact:
    """An artefact that is on the shelf now: its ``kind``, its ``name`` there, the ``page`` that uses it, and a
    ``sentence`` on what became of it. ``ours``: it is of the model in use, as far as is known.
    ``contrast``: of a fitted one, as
    plain data."""

    kind: str
    name: str
    page: str
    sentence: str
    ours: bool
    contrast: dict[str, Any] | None = None


@dataclass(frozen=True)
class OpenedFiles:
    """What was in a file or a pack. ``problems``: a sentence for each part that could not be opened. ``model``: of a
    pack, what to load for it (a model id, or a name only where it lay in a folder: then ``loadable`` is false);
    ``ours``: the pack is of the model in use."""

    sentence: str
    artefacts: tuple[OpenedArtefact, ...]
    problems: tuple[str, ...] = ()
    model: str = ""
    revision: str = ""
    loadable: bool = False
    ours: bool = True


@dataclass(frozen=True)
class Deletion:
    """A ``sentence`` on what was deleted."""

    sentence: str


@dataclass(frozen=True)
class PushedPack:
    """A pack on a hub: ``repository``, the ``address`` of its page, the ``commit``, and a ``sentence``."""

    repository: str
    address: str
    commit: str
    sentence: str
