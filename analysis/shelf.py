"""One shelf for everything that a method keeps: fits, factorizations, probes, measurements, studies.

What comes with Attune lies below ``analysis/data``, what is made here in the data folder, in pairs of files
(:mod:`analysis.artefacts`). A method declares its shelf: where it is, what manifests on it say, how a pair becomes an
object, and the sentences with which one is refused. Listing, opening once, belonging to weights and the checksums that
results depend on follow from that.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from analysis import foreign
from analysis.artefacts import Arrays, Wording, load_pair, manifest_path, read_manifest, save_pair, state_of
from analysis.engine.keys import code_version
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.home import folder

DATA = Path(__file__).resolve().parent / "data"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,80}")
"""Names of artefacts: also names of files, so nothing else may come in."""
_SUMMARIES: dict[Any, tuple[str, str] | None] = {}
T = TypeVar("T")
R = TypeVar("R")


def is_name(name: Any) -> bool:
    """Whether an artefact can have that name."""
    return isinstance(name, str) and NAME.fullmatch(name) is not None


class Misfit(Exception):
    """What an artefact holds does not fit together; its text is a clause that says what."""


@dataclass(frozen=True)
class Entry:
    """One artefact as its manifest describes it. ``path``: its pair, without ending. ``order`` sorts bundled ones (the
    one to open on, then by block) or own ones (the newest first)."""

    path: Path
    bundled: bool
    manifest: dict[str, Any]
    order: tuple[int, int]

    @property
    def name(self) -> str:
        """The name under which it is opened."""
        return self.path.name

    @property
    def checksum(self) -> str:
        """SHA-256 of its arrays in hex."""
        return str(self.manifest["sha256"])


@dataclass(frozen=True)
class Shelf(Generic[T]):
    """All artefacts of one kind.

    ``kind``: a word for it, unique. ``place``: the folder's name, here and in the data folder. ``contents``: type of
    each entry of a manifest (as :func:`analysis.foreign.misfit` takes them). ``decode``: name, arrays and manifest to
    the object; a fault that it finds is a :class:`Misfit`, whatever else it raises means that something is lacking.
    ``size``: bytes of an object in memory. ``weights``: the entry of a manifest that has the model's fingerprint.
    """

    kind: str
    place: str
    wording: Wording
    contents: dict[str, Any]
    decode: Callable[[str, Arrays, dict[str, Any]], T]
    size: Callable[[T], int]
    weights: str = "fingerprint"

    @property
    def bundled(self) -> Path:
        """The folder of those that come with Attune."""
        return DATA / self.place

    def own(self, *inner: str) -> Path:
        """The folder of those made here, or one within it."""
        return folder(self.place, *inner)

    def entries(self, *inner: str) -> list[Entry]:
        """What lies on the shelf: bundled ones, then one's own of the folder ``inner``. What cannot be read is left
        out."""
        places = [*self.bundled.glob("*.json"), *self.own(*inner).glob("*.json")]
        entries = [self.entry(p.with_suffix("")) for p in places if is_name(p.stem)]
        return sorted((e for e in entries if e is not None), key=lambda e: (not e.bundled, e.order, e.name))

    def listing(self, source: str, describe: Callable[[Entry], R], fingerprint: str | None = None) -> list[R]:
        """A row for each entry made from the model of that source, or from weights of that ``fingerprint`` (the model's
        while it is loaded: one from a folder lies elsewhere on another machine); one that cannot be described is left
        out."""
        rows = []
        for entry in self.entries():
            try:
                weights = entry.manifest.get(self.weights)
                if entry.manifest["model_spec"]["source"] == source or (fingerprint and weights == fingerprint):
                    rows.append(describe(entry))
            except (UserError, LookupError, ArithmeticError, ValueError, TypeError, AttributeError):
                continue
        return rows

    def entry(self, path: Path) -> Entry | None:
        """The artefact at a path, or None if its manifest is not there or is none of this kind."""
        manifest, state = read_manifest(path), state_of(manifest_path(path))
        if manifest is None or state is None or "sha256" not in manifest or self._fault(manifest):
            return None
        if path.parent == self.bundled:
            return Entry(path, True, manifest, (int(not manifest.get("first")), manifest.get("layer", 0)))
        return Entry(path, False, manifest, (-state[0], 0))

    def of_weights(self, fingerprint: str, *inner: str) -> list[Entry]:
        """The entries that were made from those weights."""
        return [e for e in self.entries(*inner) if e.manifest.get(self.weights) == fingerprint]

    def checksums(self, fingerprint: str, *inner: str) -> str:
        """Names and checksums of those made from some weights: what changes when one of them is made, or made again."""
        places = [*self.bundled.glob("*.json"), *self.own(*inner).glob("*.json")]
        paths = sorted(p.with_suffix("") for p in places if is_name(p.stem))
        found = [(path.name, self._summary(path)) for path in paths]
        return " ".join(f"{name}:{of[0]}" for name, of in found if of is not None and of[1] == fingerprint)

    def checksum(self, name: Any, *inner: str) -> str:
        """Name and checksum of one, as :meth:`find` finds it; empty if it is not there."""
        path = self.find(name, *inner)
        summary = None if path is None else self._summary(path)
        return "" if summary is None else f"{name}:{summary[0]}"

    def _summary(self, path: Path) -> tuple[str, str] | None:
        """Checksum and weights of the artefact at a path; a manifest is read once for each state of its file, since
        what a question depends on is looked up for whole boards of them."""
        key = self.key(path)
        if key not in _SUMMARIES:
            entry = self.entry(path)
            if len(_SUMMARIES) >= 1_000:
                _SUMMARIES.clear()
            _SUMMARIES[key] = None if entry is None else (entry.checksum, str(entry.manifest.get(self.weights)))
        return _SUMMARIES[key]

    def find(self, name: Any, *inner: str) -> Path | None:
        """Where the artefact of that name lies, a bundled one before one's own; None if there is none."""
        if not is_name(name):
            return None
        paths = (self.bundled / name, self.own(*inner) / name)
        return next((p for p in paths if manifest_path(p).exists()), None)

    def open(self, memory: Memory, path: Path) -> T:
        """The artefact at a path, from memory if it was opened before and is as it was then. Raises UserError."""
        key = self.key(path)
        artefact: T | None = memory.get(key)
        if artefact is None:
            artefact = self.read(path)
            memory.put(key, artefact, self.size(artefact))
        return artefact

    def key(self, path: Path) -> tuple[str, str, tuple[int, int] | None]:
        """What an opened artefact is remembered under: another one once its manifest is written anew."""
        return self.kind, str(path), state_of(manifest_path(path))

    def read(self, path: Path) -> T:
        """The artefact at a path, read and checked. UserError: missing, damaged, changed, or not of this kind."""
        wording = self.wording
        arrays, manifest = load_pair(path, wording)
        fault = self._fault(manifest)
        if fault:
            raise wording.refusal(wording.unusable, path, why=fault)
        with foreign.reading(wording.refusal(wording.incomplete, path).message, wording.field):
            try:
                return self.decode(path.name, arrays, manifest)
            except Misfit as error:
                raise wording.refusal(wording.unusable, path, why=str(error)) from error

    def _fault(self, manifest: dict[str, Any]) -> str:
        """What keeps a manifest from being one of this kind, as a clause; an older one does not say what it is."""
        what = manifest.get("what", self.kind)
        return foreign.misfit(manifest, self.contents) if what == self.kind else f"it is a {str(what)[:40]}"

    def save(self, path: Path, arrays: Arrays, manifest: dict[str, Any]) -> None:
        """Write an artefact, and with it what it is and which code made it. Raises ValueError for numbers in the
        manifest that are not finite."""
        made = {"what": self.kind, "code": code_version(self.decode.__module__)}
        save_pair(path, arrays, {**manifest, **made})
