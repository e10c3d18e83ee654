"""Operations that save, open, list and delete artefacts. Files that travel pass through two folders of the data folder:
what was uploaded waits in ``incoming``, what is to be fetched in ``outgoing``, each under a name that nobody chose."""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Choice
from analysis.home import folder
from analysis.models.spec import ModelSpec
from analysis.portable.answers.files import (
    Deletion,
    ModelShelf,
    OpenedArtefact,
    OpenedFiles,
    SavedFile,
)
from analysis.portable.header import ENDING, FIELD
from analysis.portable.kinds import KINDS, kind_of
from analysis.qk.contrasts.spec import ContrastSpec

if TYPE_CHECKING:
    from analysis.portable.belonging import Weights
    from analysis.portable.file import Opened
    from analysis.shelf import Entry

LAYOUTS = ("attune", "authors")
TOKEN = re.compile(r"[0-9a-f]{32}")
_WAIT = 3_600.0
"""Seconds that a file waits to be fetched, or to be opened."""


def waiting(place: str, token: str) -> Path:
    """The file that waits in a folder under a token. Raises UserError("file") for what is no token, or is gone."""
    path = folder(place) / token
    if not TOKEN.fullmatch(token) or path.is_symlink() or not path.is_file():
        raise UserError("This file is not there any more. Save or choose it again.", FIELD)
    return path


def new_place(place: str) -> Path:
    """Where a new file may wait, in a folder out of which older ones have gone."""
    for path in folder(place).iterdir():
        with contextlib.suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime > _WAIT:
                path.unlink()
    return folder(place) / secrets.token_hex(16)


@dataclass(frozen=True)
class ListShelf(Operation[ModelShelf]):
    """Everything on the shelves that belongs to a model."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> ModelShelf:
        from analysis.portable.belonging import all_entries, row_of, weights_of

        weights = weights_of(context, self.model)
        rows = tuple(row_of(kind, entry) for kind, entry in all_entries(weights))
        return ModelShelf(weights.label, rows, weights.loaded)


@dataclass(frozen=True)
class SaveArtefact(Operation[SavedFile]):
    """An artefact as one file, which then waits to be fetched. ``name``: the one that its page opens on if empty.
    ``contrast`` and ``rotary``: the fitted contrast that is meant, which may lie in the result store. ``layout``:
    Attune's own, or for a fit of regions the checkpoint of the method's authors."""

    kind: ClassVar[Kind] = "read"
    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    artefact: Annotated[str, Choice(tuple(KINDS), words="The kind of artefact")] = "fit"
    name: str = ""
    contrast: ContrastSpec | None = None
    rotary: Annotated[str, Choice(("post", "pre"), words="The vectors")] = "post"
    layout: Annotated[str, Choice(LAYOUTS, words="The layout")] = "attune"

    def run(self, context: Context) -> SavedFile:
        from analysis.portable.belonging import entry_for, weights_of
        from analysis.portable.contrasts import contrast_of
        from analysis.portable.file import write

        if self.layout == "authors":
            return self._checkpoint(entry_for(weights_of(context, self.model), self.artefact, self.name))
        target = new_place("outgoing")
        with target.open("xb") as file:
            if self.contrast is not None:
                with contrast_of(context, self.model, self.contrast, self.rotary) as entry:
                    size = write("contrast", entry, file)
            else:
                entry = entry_for(weights_of(context, self.model), self.artefact, self.name)
                size = write(self.artefact, entry, file)
        return SavedFile(target.name, f"{entry.name}{ENDING}", size)

    def _checkpoint(self, entry: Entry) -> SavedFile:
        """A fit as the authors' code reads it; what that layout has no place for (names, members, map) stays here."""
        from analysis.mfa.checkpoint import write_checkpoint
        from analysis.mfa.library import REGION_SETS

        if self.artefact != "fit":
            raise UserError(
                f"The authors' layout is one of fits of regions; this is {kind_of(self.artefact).words}.", FIELD
            )
        fit, target = REGION_SETS.read(entry.path), new_place("outgoing")
        known = ("model", "fingerprint", "layer", "site", "rows", "corpus")
        write_checkpoint(fit.parameters, target, {name: fit.manifest[name] for name in known})
        return SavedFile(target.name, f"{entry.name}.ckpt", target.stat().st_size)


@dataclass(frozen=True)
class SavePack(Operation[SavedFile]):
    """All that belongs to a model in one zip, which then waits to be fetched."""

    kind: ClassVar[Kind] = "read"
    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> SavedFile:
        target = new_place("outgoing")
        label = pack_to(context, self.model, target, presets=True)
        words = "-".join(re.findall(r"[a-z0-9]+", label.lower()))[:60] or "model"
        return SavedFile(target.name, f"{words}-attune-pack.zip", target.stat().st_size)


def pack_to(context: Context, model: ModelSpec, target: Path, presets: bool = False) -> str:
    """Write the pack of a model to a new file; the model's label. ``presets``: with one's own, which hold prompts.
    Raises UserError, and leaves no file."""
    from analysis.portable.belonging import all_entries, row_of, weights_of
    from analysis.portable.contrasts import stored_contrasts
    from analysis.portable.pack import write_pack

    weights = weights_of(context, model)
    if not weights.loaded:
        raise UserError(
            f"{weights.label} is not loaded yet, so not all that belongs to its weights is known. Load it first.", FIELD
        )
    with stored_contrasts(context, model) as stored, target.open("xb") as file:
        here = list(all_entries(weights))
        names = {entry.name for kind, entry in here if kind.name == "contrast"}
        entries = [*here, *((KINDS["contrast"], entry) for entry in stored if entry.name not in names)]
        try:
            write_pack(weights, entries, file, [row_of(kind, entry).title for kind, entry in entries], presets)
        except BaseException:
            target.unlink()
            raise
    return weights.label


@dataclass(frozen=True)
class OpenArtefact(Operation[OpenedFiles]):
    """Put what is in an uploaded file, or in an uploaded pack, on its shelf. ``file``: the token under which it waits;
    ``model``: the one in use, whether or not the file is of it."""

    kind: ClassVar[Kind] = "read"
    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    file: str = ""

    def run(self, context: Context) -> OpenedFiles:
        path = waiting("incoming", self.file)
        try:
            return open_any(context, self.model, path)
        finally:
            path.unlink(missing_ok=True)


def open_any(context: Context, model: ModelSpec, path: Path) -> OpenedFiles:
    """Open a file or a pack for whoever uses that model. Raises UserError("file")."""
    from analysis.portable.belonging import weights_of
    from analysis.portable.file import open_file
    from analysis.portable.pack import open_pack

    weights = weights_of(context, model)
    loaded = (weights.fingerprints[""], model) if weights.loaded else None
    with path.open("rb") as file:
        is_zip = file.read(4) == b"PK\x03\x04"
    if not is_zip:
        artefact = _told(weights, open_file(path, loaded=loaded))
        _renew(context, [artefact])
        return OpenedFiles(artefact.sentence, (artefact,))
    pack = open_pack(path, loaded)
    artefacts = tuple(_told(weights, opened) for opened in pack.artefacts)
    _renew(context, artefacts)
    manifest = pack.manifest
    ours = bool(set(manifest.fingerprints.values()) & set(weights.fingerprints.values()))
    new = sum(not opened.already for opened in pack.artefacts)
    there = f", {len(artefacts) - new} were here already" if new < len(artefacts) else ""
    sentence = f"Opened the pack of {manifest.label}: {new} new on the shelf{there}."
    if not ours:
        sentence += f" The model in use is {'another one' if weights.loaded else 'not loaded yet'}."
        if not manifest.loadable:
            sentence += f" Load {manifest.label} on this page from where it lies on this machine."
    return OpenedFiles(
        sentence, artefacts, pack.refused, manifest.source, manifest.revision, manifest.loadable and not ours, ours
    )


def _told(weights: Weights, opened: Opened) -> OpenedArtefact:
    """What became of an artefact, for whoever uses a model."""
    kind = kind_of(opened.kind)
    # While the model is not loaded, nobody knows; the page that lists it will.
    ours, sentence = weights.of(kind) in ("", opened.fingerprint), opened.sentence
    if not ours and kind.name != "probes":  # which name a network of their own page
        sentence += (
            f" It is not of the model in use, {weights.label}, or of other weights of it: load its model to see it."
        )
    return OpenedArtefact(opened.kind, opened.name, kind.page, sentence, ours, opened.manifest.get("contrast"))


def _renew(context: Context, artefacts: Any) -> None:
    """Let networks in memory read their probes again."""
    if any(artefact.kind == "probes" for artefact in artefacts):
        for resident in context.residents.listing()[0]:
            context.model(resident.spec).extras.pop("othello room", None)


@dataclass(frozen=True)
class DeleteArtefact(Operation[Deletion]):
    """Delete an artefact that was made or opened here."""

    kind: ClassVar[Kind] = "read"
    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    artefact: Annotated[str, Choice(tuple(KINDS), words="The kind of artefact")] = "fit"
    name: str = ""

    def run(self, context: Context) -> Deletion:
        from analysis.portable.belonging import delete, weights_of

        delete(weights_of(context, self.model), self.artefact, self.name)
        return Deletion(f"Deleted the {kind_of(self.artefact).noun} “{self.name}”.")
