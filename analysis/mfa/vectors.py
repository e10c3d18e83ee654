"""Steering vectors of others on a shelf: beside the regions of a fit, since that is what tells what they may do.

A vector is kept by block as the file had it, in its own units; a strength multiplies it. What it has in common with the
fit that is open is said by its cosines with the regions' offsets from the mean activation.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from analysis.artefacts import Arrays, Wording
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.mfa.answers.vectors import CosineToRegion, VectorFacts
from analysis.mfa.settings import SteeringSettings
from analysis.models.sites import Site
from analysis.shelf import Entry, Misfit, Shelf
from analysis.steering import Add, Intervention
from analysis.steering.vectors import VectorFile, Vectors

if TYPE_CHECKING:
    from analysis.mfa.library import RegionSet
    from analysis.models.model_facts import ModelFacts

NEAREST = 3
_MEMORY = Memory(32 << 20)


@dataclass(frozen=True)
class KeptVectors:
    """Vectors (D,) float32 by block, under a name, and what is known of them."""

    name: str
    vectors: Vectors
    manifest: dict[str, Any]


def _decode(name: str, arrays: Arrays, manifest: dict[str, Any]) -> KeptVectors:
    rows: Vectors = {}
    for key, row in arrays.items():
        block = key.removeprefix("direction.")
        if not re.fullmatch(r"\d{1,4}", block) or row.ndim != 1 or row.dtype != np.float32:
            raise Misfit(f"its array “{key[:40]}” is no vector of a block")
        if len(row) != manifest["width"] or not np.isfinite(row).all():
            raise Misfit(f"its array “{key[:40]}” is not of the width that the manifest says, or not finite")
        rows[int(block)] = row
    if not rows:
        raise Misfit("it has no vectors")
    return KeptVectors(name, rows, manifest)


VECTORS = Shelf(
    kind="vectors",
    place="vectors",
    wording=Wording.of("steering vectors", "vectors"),
    contents={**dict.fromkeys(("fingerprint", "model", "origin", "hint"), str), "width": int, "model_spec": dict},
    decode=_decode,
    size=lambda kept: sum(v.nbytes for v in kept.vectors.values()),
)


def keep_vectors(facts: ModelFacts, spec: dict[str, Any], file: VectorFile, origin: str) -> str:
    """Keep the vectors of a file for a model; their name. Raises UserError("file") if they are not of its width or
    blocks."""
    width = len(next(iter(file.vectors.values())))
    if width != facts.hidden:
        hint = f" It names the model “{file.hint}”." if file.hint else ""
        raise UserError(
            f"These vectors have {width:,} numbers, and the residual stream of {facts.label} has {facts.hidden:,}: "
            f"they are of another model.{hint}",
            "file",
        )
    beyond = [b for b in file.vectors if b >= facts.layers]
    if beyond:
        raise UserError(
            f"A vector in it is of block {beyond[0]}; this model has blocks 0 to {facts.layers - 1}.", "file"
        )
    arrays = {f"direction.{b}": np.asarray(v, np.float32) for b, v in sorted(file.vectors.items())}
    name = vectors_name(origin, arrays, facts.fingerprint)
    title = f"{origin[:80]}: {len(arrays)} blocks" if len(arrays) > 1 else f"{origin[:80]}: block {min(file.vectors)}"
    manifest = {
        "fingerprint": facts.fingerprint, "model": facts.label, "model_spec": spec, "origin": origin, "title": title,
        "hint": file.hint, "width": width,
    }  # fmt: skip
    VECTORS.save(VECTORS.own() / name, arrays, manifest)
    return name


def vectors_name(origin: str, arrays: Arrays, fingerprint: str) -> str:
    """The name under which vectors are kept: that of their file, and a digest of them and of the model's weights."""
    rows = sorted(arrays.items(), key=lambda item: int(item[0].removeprefix("direction.")))
    digest = hashlib.sha256(b"".join(k.encode() + v.tobytes() for k, v in rows))
    digest.update(fingerprint.encode())
    stem = re.sub(r"[^a-z0-9]+", "-", origin.lower().rpartition(".")[0]).strip("-")[:40] or "vectors"
    return f"{stem}-{digest.hexdigest()[:6]}"


def named_vectors(name: str) -> KeptVectors:
    """The vectors of that name. Raises UserError("vectors")."""
    path = VECTORS.find(name)
    if path is None:
        raise UserError(
            f"The steering vectors “{str(name)[:80]}” are not in this data folder. Open their file.", "vectors"
        )
    return VECTORS.open(_MEMORY, path)


def vectors_for(fingerprint: str) -> list[Entry]:
    """The vectors of a model."""
    return VECTORS.of_weights(fingerprint)


def additions(settings: SteeringSettings, fit: RegionSet) -> list[Intervention]:
    """What the vectors of a set-up add, each behind its own blocks. Raises UserError for those of another model."""
    made: list[Intervention] = []
    for row in settings.vectors:
        if not row.strength:
            continue
        kept = named_vectors(row.name)
        if kept.manifest["fingerprint"] != fit.manifest["fingerprint"]:
            raise UserError(
                f"The vectors “{row.name}” were opened for {kept.manifest['model']}, and this fit is of "
                f"{fit.manifest['model']} with other weights.",
                "vectors",
            )
        made += [
            Add(Site(block), torch.from_numpy(np.array(vector)), row.strength, where=settings.where)
            for block, vector in kept.vectors.items()
        ]
    return made


def facts_of(entry: Entry, fit: RegionSet | None) -> VectorFacts:
    """What the page says of vectors: norms by block, and the regions of a fit that lie most in their direction, for the
    vector of the fit's block, or of the block nearest to it."""
    kept = named_vectors(entry.name)
    blocks = sorted(kept.vectors)
    norms = tuple(float(np.linalg.norm(kept.vectors[b])) for b in blocks)
    compared, near = -1, tuple[CosineToRegion, ...]()
    if fit is not None and fit.site.kind != "mlp_hidden" and fit.parameters.width == kept.manifest["width"]:
        compared = min(blocks, key=lambda b: (abs(b - fit.site.layer), b))
        near = _nearest(fit, torch.from_numpy(np.array(kept.vectors[compared])))
    m = kept.manifest
    return VectorFacts(entry.name, m["origin"], m["hint"], tuple(blocks), norms, compared, near)


def _nearest(fit: RegionSet, vector: Tensor) -> tuple[CosineToRegion, ...]:
    away = fit.parameters.means - fit.mean
    cosines = (away @ vector) / (away.norm(dim=1) * vector.norm()).clamp(min=1e-12)
    best = cosines.abs().topk(min(NEAREST, len(cosines))).indices.tolist()
    return tuple(CosineToRegion(k, fit.label(k), float(cosines[k])) for k in best)


def summed(interventions: list[Intervention]) -> Vectors:
    """One vector for each block of a set-up that only adds to the residual stream. Raises UserError("mode")."""
    total: dict[int, Tensor] = {}
    for row in interventions:
        if not isinstance(row, Add):
            raise UserError(
                "A control vector only adds, and this set-up does more than that. Set How to “add”.", "mode"
            )
        if row.site.kind != "residual":
            raise UserError("A control vector acts on the residual stream, and this fit is of another site.", "mode")
        total[row.site.layer] = total.get(row.site.layer, torch.zeros(())) + row.strength * row.vector
    if not total or not all(bool(v.any()) for v in total.values()):
        raise UserError("Nothing is added, so there is no vector to save. Move a slider first.", "steer")
    return {block: vector.float().numpy() for block, vector in total.items()}
