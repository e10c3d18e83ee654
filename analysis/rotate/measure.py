"""Measure a model's neurons once: which tokens to leave out, what random vectors give, kurtosis of every neuron.

The three belong together, since a number of one means nothing without the others, and none of them needs data. It takes
minutes for a small model, so each part gives way between batches and can be cancelled there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from analysis.engine.spread import Here, Spread
from analysis.progress import Check, Progress, no_check, portion, silent
from analysis.rotate.channels import VocabularyChannels
from analysis.rotate.library import NeuronLibrary
from analysis.rotate.moments import projected_moments
from analysis.rotate.null import ChannelNull, measure_null
from analysis.rotate.outliers import token_weights
from analysis.rotate.shards import Block, Nothing, batches_over, moments_of_block
from analysis.rotate.vectors import NeuronVectors
from analysis.rotate.width import FULL, Width


def measure(
    vectors: NeuronVectors,
    width: Width = FULL,
    *,
    seed: int = 0,
    progress: Progress = silent,
    check: Check = no_check,
    spread: Spread | None = None,
) -> NeuronLibrary:
    """Token weights and null for each projection that the model uses, and the layer map; shares of time are guesses.
    ``spread`` computes the shards; None: this process."""
    spread = spread or Here(vectors.loaded)
    facts = vectors.loaded.facts
    embedding_layers = [layer for layer in vectors.layers if vectors.uses_embedding(layer)]
    names = (["embedding"] if embedding_layers else []) + ["unembedding"]
    arrays: dict[str, np.ndarray] = {}
    projections: dict[str, Any] = {}
    for number, name in enumerate(names):
        layer = embedding_layers[0] if name == "embedding" else vectors.layers[-1]
        U = vectors.projection(layer)
        told = portion(progress, 0.9 * number / len(names), 0.9 * (number + 1) / len(names))
        weights = token_weights(
            U,
            special_tokens(vectors),
            vectors=width.drawn,
            rounds=width.drawn_rounds,
            passes=width.passes,
            starts=width.starts,
            seed=seed,
            progress=portion(told, 0.0, 0.4),
            batches=batches_over(spread, layer, check),
        )
        drawing = portion(told, 0.4, 1.0, "random vectors: ")
        null = measure_null(
            U,
            weights.weights,
            vectors=width.vectors,
            rounds=width.rounds,
            starts=width.starts,
            seed=seed,
            progress=drawing,
            batches=batches_over(spread, layer, check),
        )
        drawn = torch.randn(width.band, U.shape[1], generator=torch.Generator().manual_seed(seed + 15_485_863))
        kurtosis, _ = projected_moments(drawn, U)
        arrays[f"{name}.zero"] = (weights.weights == 0).nonzero()[:, 0].int().cpu().numpy()
        arrays[f"{name}.low"] = ((weights.weights > 0) & (weights.weights < 1)).nonzero()[:, 0].int().cpu().numpy()
        arrays[f"{name}.band"] = np.quantile(kurtosis.numpy().astype(np.float64), [0.05, 0.5, 0.95])
        arrays |= {f"{name}.null.{k}": v.numpy() for k, v in null.arrays().items()}
        zero, low = weights.counts
        projections[name] = {"zero": zero, "low": low, "passes": weights.passes}
    arrays |= layer_map(vectors, portion(progress, 0.9, 1.0), width.neurons, seed, check, spread)
    return NeuronLibrary(
        {
            "fingerprint": facts.fingerprint,
            "model": facts.label,
            "layers": vectors.layers,
            "vectors": list(vectors.kinds),
            "embedding_layers": embedding_layers,
            "projections": projections,
            "width": width.name,
            "random_vectors": width.vectors,
            "rounds": width.rounds,
            "starts": width.starts,
            "band": width.band,
            "mapped": width.neurons,
            "seed": seed,
        },
        arrays,
    )


def special_tokens(vectors: NeuronVectors) -> list[int]:
    """Ids of the tokenizer's special tokens that the projection has rows for."""
    size = len(vectors.projection(vectors.layers[-1]))
    return sorted({int(i) for i in vectors.loaded.tokenizer.all_special_ids if 0 <= int(i) < size})


def layer_map(
    vectors: NeuronVectors,
    progress: Progress,
    sample: int | None = None,
    seed: int = 0,
    check: Check = no_check,
    spread: Spread | None = None,
) -> dict[str, np.ndarray]:
    """``kurtosis`` and ``skewness`` (L, K, N) float16 of every neuron, or of a random ``sample`` of each block and
    kind; NaN where nothing was measured or a block has fewer neurons."""
    shape = (len(vectors.layers), len(vectors.kinds), vectors.neurons)
    kurtosis, skewness = np.full(shape, np.nan, np.float16), np.full(shape, np.nan, np.float16)
    generator = np.random.default_rng(seed)

    def drawn(layer: int, kind: str) -> np.ndarray:
        rows = np.arange(len(vectors.vectors(layer, kind)))
        if sample is not None and sample < len(rows):
            rows = np.sort(generator.choice(rows, sample, replace=False))
        return rows

    blocks = [Block(layer, {kind: drawn(layer, kind) for kind in vectors.kinds}) for layer in vectors.layers]
    spread = spread or Here(vectors.loaded)
    parts = spread(moments_of_block, Nothing(), blocks, progress=progress, check=check)
    for i, (block, part) in enumerate(zip(blocks, parts, strict=True)):
        for j, (kind, rows) in enumerate(block.rows.items()):
            kurtosis[i, j, rows] = part.kurtosis[kind].clip(-6e4, 6e4)
            skewness[i, j, rows] = part.skewness[kind]
    return {"kurtosis": kurtosis, "skewness": skewness}


def share_row(
    null: ChannelNull, found: VocabularyChannels, layer: int, vector: str, seed: int = 0, draws: int = 2_000
) -> dict[str, Any]:
    """The share of channels beyond the 95th percentile of the null among some neurons, with a bootstrap interval over
    neurons, and the share of neurons that have something in them."""
    beyond = (null.percentile(found.own_z_.cpu()) > 95).double().mean(1).numpy()
    something = (null.p_value(found.own_z_.cpu()) <= 0.05).any(1).double().mean().item()
    drawn = np.random.default_rng(seed).integers(0, len(beyond), (draws, len(beyond)))
    low, high = np.quantile(beyond[drawn].mean(1), [0.025, 0.975])
    return {
        "layer": layer,
        "vector": vector,
        "neurons": len(beyond),
        "channels": int(found.own_z_.numel()),
        "beyond": float(beyond.mean()),
        "low": float(low),
        "high": float(high),
        "something": something,
        "null": 0.05,
    }
