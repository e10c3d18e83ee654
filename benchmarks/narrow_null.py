"""Does the narrow null of neurons say what the full one says, and for how much? ``python -m benchmarks.narrow_null``

On the default model, whose full measurements are bundled: the narrow ones are measured anew, and the neurons whose
channels are bundled (those of highest kurtosis of the last blocks) and a random sample from all over the model are
searched and judged under both. A verdict is that of a neuron, "something in it" or "nothing in it"; that of each
channel is given beside it. With ``--full`` the full measuring is run and timed too; otherwise its cost is that of its
descents, each as long as one of a few that are timed in the same run.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from analysis.engine.memory import Memory
from analysis.models.loader import load_model
from analysis.rotate.channels import VocabularyChannels
from analysis.rotate.library import NeuronLibrary, open_library
from analysis.rotate.measure import measure
from analysis.rotate.reading import LEVEL
from analysis.rotate.vectors import NeuronVectors
from analysis.rotate.width import FULL, NARROW

CHANNELS = 5
SAMPLED = (0, 6, 12, 18, 24, 29)
T = TypeVar("T")


def timed(call: Callable[[], T]) -> tuple[T, float, float]:
    """What a call gives, its seconds, and its seconds of processor time."""
    began, busy = time.perf_counter(), time.process_time()
    value = call()
    return value, time.perf_counter() - began, time.process_time() - busy


def judged(library: NeuronLibrary, layer: int, own_z: Tensor) -> Tensor:
    """Which channels are beyond the null, (N, C)."""
    return library.null(library.projection_of(layer)).p_value(own_z) <= LEVEL


def search(vectors: NeuronVectors, library: NeuronLibrary, layer: int, rows: Tensor) -> Tensor:
    """Own z (N, C) of the channels of weight vectors (N, d), from as many starts as the random vectors."""
    U = vectors.projection(layer)
    weights = library.token_weights(library.projection_of(layer), len(U))
    own_z: Tensor = VocabularyChannels(CHANNELS, starts=library.starts).fit(rows, U, weights).own_z_
    return own_z.cpu()


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Times of both measurings, and how often their verdicts agree."""
    vectors = NeuronVectors(load_model("default"))
    full = open_library(Memory(), vectors.loaded.facts.fingerprint)
    if full is None:
        raise SystemExit("The full measurements of the default model are not there: python -m analysis.build rotate")
    narrow, wall, busy = timed(lambda: measure(vectors, NARROW, seed=options.seed))
    verdicts: dict[str, list[Tensor]] = {"strong": [], "random": []}
    for layer in sorted({int(row["layer"]) for row in full.made}):
        made = [row for row in full.made if row["layer"] == layer]
        rows = torch.stack([vectors.read(layer, row["vector"], row["neuron"]) for row in made])
        before = torch.tensor([[channel["p"] <= LEVEL for channel in row["channels"]] for row in made])
        now = judged(narrow, layer, search(vectors, narrow, layer, rows))
        verdicts["strong"].append(torch.stack([before, now], -1))
    for layer in SAMPLED:
        kind = vectors.kinds[layer // 6 % len(vectors.kinds)]
        found = vectors.vectors(layer, kind)
        rows = found[torch.randperm(len(found), generator=torch.Generator().manual_seed(layer))[: options.sample]]
        before = judged(full, layer, search(vectors, full, layer, rows))
        now = judged(narrow, layer, search(vectors, narrow, layer, rows))
        verdicts["random"].append(torch.stack([before, now], -1))
    groups = {name: torch.cat(parts) for name, parts in verdicts.items()}
    groups["all"] = torch.cat(list(groups.values()))
    facts: dict[str, Any] = {"narrow, seconds": wall, "narrow, processor seconds": busy}
    if options.full:
        _, full_wall, full_busy = timed(lambda: measure(vectors, FULL))
    else:
        U, trial = vectors.projection(vectors.layers[-1]), torch.randn(32, vectors.loaded.facts.hidden)
        weights = full.token_weights("unembedding", len(U))
        _, one, one_busy = timed(lambda: VocabularyChannels(1).fit(trial, U, weights))
        full_wall, full_busy = (s * FULL.descents / (32 * FULL.starts) for s in (one, one_busy))
    facts |= {"full, seconds": full_wall, "full, processor seconds": full_busy, "times sooner": full_busy / busy}
    for name, pair in groups.items():
        neurons = pair.any(1)
        facts |= {
            f"{name}: neurons": len(neurons),
            f"{name}: neurons with something by the full null": int(neurons[:, 0].sum()),
            f"{name}: by the narrow one": int(neurons[:, 1].sum()),
            f"{name}: verdicts of neurons that agree": float((neurons[:, 0] == neurons[:, 1]).double().mean()),
            f"{name}: verdicts of channels that agree": float((pair[..., 0] == pair[..., 1]).double().mean()),
        }
    return facts


def main(arguments: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """The comparison of the module's docstring."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--sample", type=int, default=12, help="random neurons of each of six blocks")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--full", action="store_true", help="run the full measuring too")
    return {"narrow null": compare(parser.parse_args(arguments))}


if __name__ == "__main__":
    for name, value in main()["narrow null"].items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}", flush=True)
