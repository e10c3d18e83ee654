"""Operations on trained lenses: open a file of one, list those of a model.

Whether a lens was trained on the weights in use no file says; so opening it measures, on texts of the bundled corpus,
how often it puts the model's own next token first, beside the plain lens.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from analysis.bridge.answers import LensFacts, LensKept, LensList
from analysis.bridge.lenses import KINDS, LENSES
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.errors import UserError
from analysis.fields import Choice
from analysis.models.spec import ModelSpec, check_no_host, model_root

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel
    from analysis.models.trained_lens import TrainedLens

MAX_UPLOAD = 64 << 20


@dataclass(frozen=True)
class OpenLens(Operation[LensKept]):
    """Take in a trained lens: a ``file`` of that ``name`` (base64), or the ``path`` of a file or folder here."""

    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    lens: Annotated[str, Choice(KINDS, words="The kind of lens")] = "tuned"
    name: str = ""
    file: str = ""
    path: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.file, str) or len(self.file) > 4 * MAX_UPLOAD // 3 + 8:
            raise UserError(f"A browser sends at most {MAX_UPLOAD >> 20} MB. Give the path of the file.", "file")
        if not isinstance(self.name, str) or len(self.name) > 300:
            raise UserError("The name of this file is too long.", "file")
        if not isinstance(self.path, str) or len(self.path) > 500:
            raise UserError("The path is longer than 500 characters.", "file")
        if not self.file and not self.path.strip():
            raise UserError("Choose a file, or type the path of one on this machine.", "file")
        check_no_host(self.path.strip(), "file")

    def run(self, context: Context) -> LensKept:
        from analysis.bridge.agreement import agreement_of
        from analysis.models.trained_lens import read_lens, read_sent

        loaded = context.model(self.model)
        shape = self.lens, loaded.facts.layers, loaded.facts.hidden
        if self.file:
            try:
                body = base64.b64decode(self.file, validate=True)
            except (binascii.Error, ValueError) as error:
                raise UserError("The file did not arrive whole. Choose it again.", "file") from error
            origin, lens = self.name, read_sent(self.name, body, *shape)
        else:
            place = _place(self.path.strip())
            origin, lens = place.name, read_lens(place, *shape)
        check_named(lens.hint, self.model)
        plain, own, sample = agreement_of(context, self.model, loaded, lens)
        said = _words(lens.kind, plain[:-1], own[:-1], sample)
        name = _kept(loaded, self.model, lens, origin, said)
        hint = f" It names the model “{lens.hint}”." if lens.hint else ""
        return LensKept(name, f"Opened {origin}.{hint} {said} Whether it was trained on these weights, no file says.")


@dataclass(frozen=True)
class ListLenses(Operation[LensList]):
    """The trained lenses that were opened for a model."""

    model: ModelSpec = ModelSpec("default")

    def reads(self, context: Context) -> str:
        return LENSES.checksums(context.model(self.model).facts.fingerprint)

    def run(self, context: Context) -> LensList:
        entries = LENSES.of_weights(context.model(self.model).facts.fingerprint)
        rows = (LensFacts(e.name, e.manifest["lens"], e.manifest["origin"], e.manifest["said"]) for e in entries)
        return LensList(tuple(rows))


def check_named(hint: str, spec: ModelSpec) -> None:
    """Refuse a lens that names (``hint``, "" for none) another model than the one in use, where that has a name of its
    own: a folder or a file is called as its owner likes. Owners and how a name is written make no difference."""
    own = {"default": spec.label, "hub": spec.source}.get(spec.kind)
    if hint and own is not None and _bare(hint) != _bare(own):
        raise UserError(
            f"This lens names the model “{hint[:80]}”, and the one in use is {spec.label}. A lens reads the weights "
            "that it was trained on. Open one of this model; if it is meant for these weights all the same, take the "
            "name out of its config.json or metadata.",
            "file",
        )


def _bare(name: str) -> str:
    return "".join(c for c in name.strip().rstrip("/").rpartition("/")[2].casefold() if c.isalnum())


def _place(path: str) -> Path:
    place, root = Path(path).expanduser(), model_root()
    if root is not None:
        place = root / place
        if not place.resolve().is_relative_to(root):
            raise UserError("This server reads files from one folder only, and this path is not in it.", "file")
    return place


def _words(kind: str, plain: np.ndarray, own: np.ndarray, sample: int) -> str:
    better = int((own > plain).sum())
    said = (
        f"Behind the embeddings and all blocks but the last, this {kind} lens puts the model's own next token first "
        f"for {own.mean():.0%} of {sample} tokens of the bundled corpus, the plain lens for {plain.mean():.0%}; it is "
        f"ahead at {better} of {len(own)} places."
    )
    return said if own.mean() > plain.mean() else said + " So it is no better than none: it may be of another model."


def _kept(loaded: LoadedModel, spec: ModelSpec, lens: TrainedLens, origin: str, said: str) -> str:
    arrays: dict[str, np.ndarray] = {}
    for block, (weight, bias) in sorted(lens.maps.items()):
        arrays[f"map.{block + 1}"] = weight.numpy()
        if bias is not None:
            arrays[f"bias.{block + 1}"] = bias.numpy()
    digest = hashlib.sha256(lens.kind.encode() + loaded.facts.fingerprint.encode())
    for key, array in arrays.items():
        digest.update(key.encode() + array.tobytes())
    stem = re.sub(r"[^a-z0-9]+", "-", Path(origin.lower()).stem).strip("-")[:40] or "lens"
    name = f"{stem}-{digest.hexdigest()[:6]}"
    manifest = {
        "fingerprint": loaded.facts.fingerprint, "model": loaded.facts.label, "model_spec": spec.to_dict(),
        "origin": origin[:200], "title": f"{origin[:80]}: {lens.kind} lens", "hint": lens.hint, "lens": lens.kind,
        "said": said, "width": loaded.facts.hidden,
    }  # fmt: skip
    LENSES.save(LENSES.own() / name, arrays, manifest)
    return name
