"""Trained lenses of others on a shelf, each kept for the weights that it was opened with."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.artefacts import Arrays, Wording
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.shelf import Misfit, Shelf

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel
    from analysis.models.trained_lens import TrainedLens

KINDS = ("tuned", "jacobian")
_MEMORY = Memory(512 << 20)


@dataclass(frozen=True)
class KeptLens:
    """A lens by name, and what is known of it."""

    name: str
    lens: TrainedLens
    manifest: dict[str, Any]


def _decode(name: str, arrays: Arrays, manifest: dict[str, Any]) -> KeptLens:
    import torch

    from analysis.models.trained_lens import TrainedLens

    width, maps = manifest["width"], {}
    for key, array in arrays.items():
        part, _, number = key.partition(".")
        if part == "bias" and f"map.{number}" in arrays:
            continue
        if part != "map" or not re.fullmatch(r"\d{1,4}", number) or array.shape != (width, width):
            raise Misfit(f"its array “{key[:40]}” is no map of a block")
        bias = arrays.get(f"bias.{number}")
        if bias is not None and bias.shape != (width,):
            raise Misfit(f"its array “bias.{number}” is not of the width that the manifest says")
        rows = [None if a is None else torch.from_numpy(np.array(a, np.float32)) for a in (array, bias)]
        assert rows[0] is not None
        maps[int(number) - 1] = (rows[0], rows[1])
    if not maps or manifest["lens"] not in KINDS:
        raise Misfit("it has no maps, or is of no known kind")
    return KeptLens(name, TrainedLens(manifest["lens"], maps, manifest["hint"]), manifest)


LENSES = Shelf(
    kind="lens",
    place="lenses",
    wording=Wording.of("trained lenses", "lens"),
    contents={
        **dict.fromkeys(("fingerprint", "model", "origin", "hint", "lens", "said"), str), "width": int,
        "model_spec": dict,
    },
    decode=_decode,
    size=lambda kept: sum(p.nbytes for pair in kept.lens.maps.values() for p in pair if p is not None),
)  # fmt: skip


def named_lens(name: str, loaded: LoadedModel) -> KeptLens:
    """The lens of that name. Raises UserError("lens") where it is not there, or was opened for other weights."""
    path = LENSES.find(name)
    if path is None:
        raise UserError(f"The trained lens “{name[:80]}” is not in this data folder. Open its file.", "lens")
    kept = LENSES.open(_MEMORY, path)
    if kept.manifest["fingerprint"] != loaded.facts.fingerprint:
        raise UserError(
            f"The lens “{name[:80]}” was opened for {kept.manifest['model']} with other weights. Open its file for "
            "this model, or choose the plain lens.",
            "lens",
        )
    return kept
