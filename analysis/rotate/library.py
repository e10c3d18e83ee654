"""What is known of a model's neurons beyond one question: token weights, null, layer map, channels made beforehand.

All of it belongs to weights, so it is found by the model's fingerprint: for the default model it comes with Attune, for
others it is measured once and kept in the data folder. Nothing here needs a loaded model to be read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.answer import from_wire
from analysis.artefacts import Arrays, Wording
from analysis.engine.memory import Memory
from analysis.rotate.answers.neurons import LayerShare
from analysis.rotate.attractors import Attractor
from analysis.rotate.null import ChannelNull
from analysis.rotate.width import FULL
from analysis.shelf import Misfit, Shelf

WHAT = "measurements of this model's neurons"
CHANNEL_ARRAYS = (
    "channels", "loss", "cosine", "kurtosis", "skewness", "pole", "masked", "evaluations", "top", "top_z",
    "top_own_z", "own_z",
)  # fmt: skip
"""What is kept of found channels, under the names that the estimator gives them."""


_CHANNEL = {"own_z": float, "percentile": float, "p": float, "tokens": list}
_NEURON = {"layer": int, "vector": str, "neuron": int, "kurtosis": float, "channels": [_CHANNEL]}
_MANIFEST = {
    **{"fingerprint": str, "model": str, "layers": list, "vectors": list, "embedding_layers": list},
    **{"projections": dict, "shares": list, "neurons": [_NEURON]},
}


@dataclass
class NeuronLibrary:
    """Measurements of one model.

    ``manifest``: ``fingerprint``, ``model``, ``layers``, ``vectors`` (kinds), ``projections`` (name -> facts of the
    token weights), ``width`` and the numbers of that :class:`~analysis.rotate.width.Width`, ``command``, ``shares``
    (rows), ``neurons`` (rows of the channels made beforehand).
    ``arrays``: ``<projection>.zero`` and ``.low`` token ids, ``<projection>.null.*``, ``<projection>.band`` kurtosis
    of random vectors, ``kurtosis`` and ``skewness`` (L, K, N) with NaN where there is no neuron, ``made.*`` channels.
    """

    manifest: dict[str, Any]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def narrow(self) -> bool:
        """Whether they serve for a first verdict only."""
        return str(self.manifest.get("width", FULL.name)) != FULL.name

    def narrow_words(self) -> str:
        """How narrow they are, in words."""
        null = self.null("unembedding")
        return (
            f"A narrow null, for a first verdict: {null.vectors} random vectors, so nothing can be told beyond their "
            f"{100 * (1 - 1 / (1 + null.vectors)):.1f}th percentile. The full one has {FULL.vectors}, for "
            "them and the neuron alike the best of two starts where this one has one, and it knows more of the tokens "
            "on which random vectors land."
        )

    @property
    def starts(self) -> int:
        """How many starts a vector has that is held against the null: as many as its random vectors had."""
        return int(self.manifest.get("starts", FULL.starts))

    @property
    def stamp(self) -> str:
        """What tells measurements of one model apart; empty for those that were never saved."""
        return str(self.manifest.get("sha256", ""))

    def projection_of(self, layer: int) -> str:
        """Which projection a block is read through: "unembedding" or "embedding"."""
        return "embedding" if layer in self.manifest["embedding_layers"] else "unembedding"

    def token_weights(self, projection: str, vocabulary: int) -> Tensor:
        """Weights before the first round, (V,)."""
        from analysis.rotate.outliers import LONG

        weights = torch.ones(vocabulary)
        weights[self._tensor(f"{projection}.low").long()] = LONG
        weights[self._tensor(f"{projection}.zero").long()] = 0.0
        return weights

    def null(self, projection: str) -> ChannelNull:
        """Channels of random vectors under a projection."""
        if projection not in self._nulls:
            start = f"{projection}.null."
            named = {n[len(start) :]: self._tensor(n) for n in self.arrays if n.startswith(start)}
            self._nulls[projection] = ChannelNull.of_arrays(named)
        return self._nulls[projection]

    def attractors(self, projection: str) -> list[Attractor]:
        """Groups of tokens on which random vectors land."""
        if projection not in self._groups:
            self._groups[projection] = self.null(projection).attractors()
        return self._groups[projection]

    def band(self, projection: str) -> list[float]:
        """Kurtosis of random vectors themselves: 5 %, 50 % and 95 %."""
        return [float(v) for v in self.arrays[f"{projection}.band"]]

    @property
    def made(self) -> list[dict[str, Any]]:
        """Rows of neurons whose channels were made beforehand: layer, vector, neuron."""
        return list(self.manifest.get("neurons", []))

    def found(self, layer: int, vector: str, neuron: int) -> dict[str, Tensor] | None:
        """Channels of a neuron made beforehand with the usual settings, by the estimator's names, or None."""
        row = self._places.get((layer, vector, neuron))
        if row is None:
            return None
        return {name: self._tensor(f"made.{name}")[row] for name in CHANNEL_ARRAYS}

    def trace(self, layer: int, vector: str, neuron: int) -> np.ndarray:
        """The descent of those channels: (S, 5) channel from 1, step, loss, kurtosis, cosine."""
        row = self._places.get((layer, vector, neuron))
        if row is None or "made.trace" not in self.arrays:
            return np.zeros((0, 5), np.float32)
        whole = self.arrays["made.trace"][row].astype(np.float32)  # (C, S, 3), NaN after the end
        places = np.argwhere(np.isfinite(whole[..., 0]))
        return np.column_stack([places[:, 0] + 1, places[:, 1], whole[places[:, 0], places[:, 1]]]).astype(np.float32)

    def search(self, token: int) -> list[dict[str, Any]]:
        """Channels made beforehand with this token among their 20, the highest percentile first."""
        if "made.top" not in self.arrays:
            return []
        top, z = self.arrays["made.top"], self.arrays["made.top_z"].astype(np.float32)
        rows = []
        for n, c, place in np.argwhere(top == token):
            row = self.made[n]
            channel = row["channels"][c]
            rows.append(
                {
                    **{k: row[k] for k in ("layer", "vector", "neuron")},
                    "channel": int(c) + 1,
                    "z": float(z[n, c, place]),
                    **{k: channel[k] for k in ("percentile", "p", "own_z", "cosine")},
                }
            )
        return sorted(rows, key=lambda r: (-r["percentile"], -r["own_z"]))

    @cached_property
    def _places(self) -> dict[tuple[int, str, int], int]:
        return {(r["layer"], r["vector"], r["neuron"]): i for i, r in enumerate(self.made)}

    @cached_property
    def _nulls(self) -> dict[str, ChannelNull]:
        return {}

    @cached_property
    def _groups(self) -> dict[str, list[Attractor]]:
        return {}

    def _tensor(self, name: str) -> Tensor:
        value = torch.from_numpy(np.array(self.arrays[name]))
        return value.float() if value.is_floating_point() else value

    def save(self, path: Path | None = None) -> Path:
        """Write to the data folder, or to ``path``; where the pair lies."""
        path = path or MEASUREMENTS.own() / self.manifest["fingerprint"][:32]
        MEASUREMENTS.save(path, self.arrays, self.manifest)
        return path


def _decode(_name: str, arrays: Arrays, manifest: dict[str, Any]) -> NeuronLibrary:
    """The measurements, once everything that a page reads of them is there."""
    library = NeuronLibrary(manifest, arrays)
    shape = arrays["kurtosis"].shape
    if len(shape) != 3 or shape != arrays["skewness"].shape:
        raise Misfit("their arrays do not fit together")
    for name in manifest["projections"]:
        _ = (library.null(name), library.band(name), arrays[f"{name}.low"], arrays[f"{name}.zero"])
    for row in manifest.get("shares", []):
        from_wire(LayerShare, row, {})
    if any(len(a) != len(library.made) for name, a in arrays.items() if name.startswith("made.")):
        raise Misfit("their channels are of other neurons")
    return library


MEASUREMENTS = Shelf(
    kind="neurons",
    place="neurons",
    wording=Wording.of(WHAT, "model"),
    contents=_MANIFEST,
    decode=_decode,
    size=lambda library: 2 * sum(a.nbytes for a in library.arrays.values()),
)
BUNDLED = MEASUREMENTS.bundled / "default"


def open_library(memory: Memory, fingerprint: str) -> NeuronLibrary | None:
    """The measurements of a model, from memory if they were opened before; None if there are none.

    Raises UserError if they are damaged.
    """
    entries = MEASUREMENTS.of_weights(fingerprint)
    return MEASUREMENTS.open(memory, entries[0].path) if entries else None
