"""The channels of the default model's neurons and their null, about 25 minutes on two cores.

Each part is written as soon as it is made, and what is there is left alone, so that the command may be stopped at any
point.

Made are: token weights, null and layer map; the share of channels beyond the null in a random sample of neurons of
every third block; and the channels of the neurons of the last six blocks that have the highest kurtosis.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch

from analysis.engine.memory import Memory
from analysis.models.loader import load_model
from analysis.models.prompts import token_labels
from analysis.progress import Progress
from analysis.rotate.channels import VocabularyChannels
from analysis.rotate.library import BUNDLED, CHANNEL_ARRAYS, NeuronLibrary, open_library
from analysis.rotate.measure import measure, share_row
from analysis.rotate.null import measure_null
from analysis.rotate.vectors import NeuronVectors

LATE = range(24, 30)
CHOSEN = {"down": 12, "gate": 3, "up": 3}
"""Neurons of each late block whose channels are made, by vector: those of highest kurtosis."""
SAMPLED_LAYERS = (0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 29)
SAMPLE = 24
LIKE_LAYERS = (24, 27, 29)
CHANNELS = 5


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this build."""
    parser.add_argument("--fresh", action="store_true", help="make everything anew")


def run(options: argparse.Namespace, progress: Progress) -> None:
    """Make the parts that are missing."""
    loaded = load_model("default")
    vectors = NeuronVectors(loaded)
    library = None if options.fresh else open_library(Memory(), loaded.facts.fingerprint)
    if library is None:
        library = measure(vectors, progress=progress)
        library.manifest |= {"command": "python -m analysis.build rotate", "shares": [], "neurons": []}
        library.save(BUNDLED)
    if not library.made:
        _made(library, vectors, progress)
    for kind in reversed(vectors.kinds):
        for layer in SAMPLED_LAYERS:
            _sample(library, vectors, layer, kind, progress)
        for layer in LIKE_LAYERS if kind == "down" else ():
            _like_layer(library, vectors, layer, progress)


def _weights(library: NeuronLibrary, vectors: NeuronVectors, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    U = vectors.projection(layer)
    return U, library.token_weights(library.projection_of(layer), len(U))


def _sample(library: NeuronLibrary, vectors: NeuronVectors, layer: int, kind: str, progress: Progress) -> None:
    """The row of a random sample of neurons of one block."""
    rows = library.manifest["shares"]
    if any((r["layer"], r["vector"]) == (layer, kind) for r in rows):
        return
    U, weights = _weights(library, vectors, layer)
    found = vectors.vectors(layer, kind)
    chosen = torch.randperm(len(found), generator=torch.Generator().manual_seed(layer))[:SAMPLE]
    channels = VocabularyChannels(CHANNELS).fit(found[chosen], U, weights)
    rows.append(share_row(library.null(library.projection_of(layer)), channels, layer, kind))
    rows.sort(key=lambda r: (r["layer"], r["vector"]))
    library.save(BUNDLED)
    progress(None, str(rows[-1]))


def _like_layer(library: NeuronLibrary, vectors: NeuronVectors, layer: int, progress: Progress) -> None:
    """The stricter null: random mixtures of a late block's own down vectors."""
    name = f"like.{layer}.own_z"
    if name in library.arrays:
        return
    U, weights = _weights(library, vectors, layer)
    null = measure_null(U, weights, vectors=96, rounds=3, seed=layer, like=vectors.vectors(layer, "down"))
    library.arrays[name] = null.own_z.numpy()
    library.save(BUNDLED)
    progress(None, f"layer-like null {layer}: {null.band('own_z')}")


def _made(library: NeuronLibrary, vectors: NeuronVectors, progress: Progress) -> None:
    """Channels of the neurons of highest kurtosis."""
    rows: list[dict[str, Any]] = []
    parts: list[VocabularyChannels] = []
    for layer in LATE:
        for kind, count in CHOSEN.items():
            place = library.manifest["layers"].index(layer), library.manifest["vectors"].index(kind)
            kurtosis = np.nan_to_num(library.arrays["kurtosis"][place].astype(np.float32), nan=-9.0)
            chosen = np.argsort(-kurtosis, kind="stable")[:count].tolist()
            U, weights = _weights(library, vectors, layer)
            found = VocabularyChannels(CHANNELS).fit(vectors.vectors(layer, kind)[chosen], U, weights)
            null = library.null(library.projection_of(layer))
            percentile, p = null.percentile(found.own_z_), null.p_value(found.own_z_)
            for i, neuron in enumerate(chosen):
                rows.append(
                    {
                        "layer": layer,
                        "vector": kind,
                        "neuron": neuron,
                        "kurtosis": round(float(kurtosis[neuron]), 3),
                        "channels": [
                            {
                                "percentile": round(float(percentile[i, c]), 1),
                                "p": round(float(p[i, c]), 4),
                                "own_z": round(float(found.own_z_[i, c]), 3),
                                "cosine": round(float(found.cosine_[i, c]), 4),
                                "tokens": token_labels(vectors.loaded.tokenizer, found.top_[i, c, :8].tolist()),
                            }
                            for c in range(CHANNELS)
                        ],
                    }
                )
            parts.append(found)
            progress(len(rows) / (len(LATE) * sum(CHOSEN.values())), f"channels of block {layer}, {kind}")
    library.arrays["made.trace"] = np.concatenate([_traces(p) for p in parts])
    for name in CHANNEL_ARRAYS:
        whole = torch.cat([getattr(p, f"{name}_") for p in parts]).cpu()
        kept = whole.to(torch.int32 if not whole.is_floating_point() else torch.float16)
        library.arrays[f"made.{name}"] = kept.numpy()
    library.manifest["neurons"] = rows
    library.save(BUNDLED)


def _traces(found: VocabularyChannels, longest: int = 160) -> np.ndarray:
    """Loss, kurtosis and cosine along the kept starts, (N, C, longest, 3) float16, NaN after the end."""
    whole = np.full((len(found.own_z_), len(found.traces_), longest, 3), np.nan, np.float16)
    for c, (_, trace) in enumerate(found.traces_):
        part = trace[:longest].transpose(0, 1)
        whole[:, c, : part.shape[1]] = part.numpy()
    return whole
