"""How soon does the fast solver reach what the published steps reach? ``python -m benchmarks.snmf_fit``

Both factorize the same activations (hidden layer of block 25 of the default model, 7,000 tokens x 1,536, K = 100, one
neuron in a hundred kept) from the same random start, the published one, and from k-means. The baseline is the
dossier's five steps in plain code (``solver="plain"``), 400 iterations; its clock stops where its best objective came.
The fast solver's clock stops at the first iteration that is at least as good. Both clocks include the start.

``--large`` times 100,000 tokens as well; ``--cuda`` puts everything on the GPU.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any

import torch
from torch import Tensor

from analysis.activations.collect import passage_order, tokens_of
from analysis.corpora.passages import bundled_corpus
from analysis.models.capture import capture
from analysis.models.loader import load_model
from analysis.models.sites import Site
from analysis.snmf.semi_nmf import SemiNMF

SITE = Site(25, "mlp_hidden")
TOKENS, LARGE, FEATURES = 7_000, 100_000, 100


def activations(count: int) -> Tensor:
    """That many activations (n, 1536) float32 of the bundled corpus, in its seeded order."""
    loaded, passages = load_model("default"), bundled_corpus()
    order = passage_order(len(passages), 0)
    rows = [ids[:128] for ids in tokens_of(loaded, [passages[i] for i in order])]
    found: list[Tensor] = []
    held = 0
    for first in range(0, len(rows), 16):
        batch = sorted(rows[first : first + 16], key=len)
        for captured in capture(loaded, [(range(len(batch)), batch)], [SITE]):
            found.append(captured.activations[SITE].float())
            held += len(found[-1])
        if held >= count:
            break
    return torch.cat(found)[:count].clone()


def fitted(X: Tensor, solver: str, init: str, iterations: int) -> tuple[SemiNMF, list[float]]:
    """A fit and the seconds at which each of its iterations ended."""
    ends: list[float] = []
    began = time.perf_counter()

    def check() -> None:
        if X.is_cuda:
            torch.cuda.synchronize()
        ends.append(time.perf_counter() - began)

    model = SemiNMF(FEATURES, init=init, solver=solver, max_iter=iterations, patience=iterations).fit(X, check=check)
    return model, [*ends[1:], time.perf_counter() - began]


def compare(X: Tensor, init: str, iterations: int) -> dict[str, Any]:
    """Seconds of both to the plain solver's best objective, and their ratio."""
    total = float(X.double().square().sum())
    plain, plain_ends = fitted(X, "plain", init, iterations)
    fast, fast_ends = fitted(X, "fast", init, max(60, iterations // 4))
    goal = min(plain.loss_curve_)
    at = next((i for i, loss in enumerate(fast.loss_curve_) if loss <= goal), None)
    seconds = plain_ends[plain.best_iter_]
    return {
        "plain, explained": plain.explained_,
        "plain, seconds to its best": seconds,
        "plain, iterations to its best": plain.best_iter_ + 1,
        "fast, seconds to the same": float("nan") if at is None else fast_ends[at],
        "fast, iterations to the same": 0 if at is None else at + 1,
        "plain / fast": float("nan") if at is None else seconds / fast_ends[at],
        "fast, explained in the end": 1 - min(fast.loss_curve_) / total,
        "seconds an iteration, plain": plain_ends[-1] / len(plain_ends),
        "seconds an iteration, fast": fast_ends[-1] / len(fast_ends),
    }


def main(arguments: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """The figures by name; printed when this is run by itself."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--large", action="store_true", help="100,000 tokens as well")
    parser.add_argument("--cuda", action="store_true", help="on the GPU")
    parser.add_argument("--iterations", type=int, default=400, help="of the plain solver")
    options = parser.parse_args(arguments or [])
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    device = "cuda" if options.cuda else "cpu"
    X = activations(LARGE if options.large else TOKENS).to(device)
    SemiNMF(5, max_iter=3).fit(X[:200])  # compiled once, outside the clocks
    found = {
        f"semi-NMF of {TOKENS:,} x {X.shape[1]:,}, K = {FEATURES}, {init} start": compare(
            X[:TOKENS], init, options.iterations
        )
        for init in ("random", "kmeans")
    }
    if options.large:
        model, ends = fitted(X, "fast", "kmeans", 60)
        found[f"semi-NMF of {len(X):,} x {X.shape[1]:,}, K = {FEATURES}"] = {
            "seconds, 60 iterations and the start": ends[-1],
            "seconds of the start": ends[0],
            "explained": model.explained_,
            "explained after 30 iterations": 1 - min(model.loss_curve_[:30]) / float(X.double().square().sum()),
        }
    return found


if __name__ == "__main__":
    import sys

    for name, facts in main(sys.argv[1:]).items():
        print(name)
        for what, value in facts.items():
            print(f"  {what}: {value:.4g}" if isinstance(value, float) else f"  {what}: {value}")
