"""How much sooner does EM reach the likelihood that gradient descent reaches? ``python -m benchmarks.mfa_fit``.

Two baselines on the same activations, the same held-out documents and the same threads: the published settings of
arXiv 2602.02464 on raw activations, and the same descent well tuned. Each gets a limit in seconds, and how far it came
is the target for EM. Both ways need centroids, so k-means counts on both sides. EM's seconds hold the scoring of the
held-out activations in every round, those of the descent do not. Since a descent that has nearly settled can spend any
time on its last hundredth of a nat, the ratio is also given for one nat less than its best.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.activations.collect import collect, recipe_of
from analysis.activations.recipe import WINDOW
from analysis.activations.store import ActivationStore
from analysis.corpora.passages import bundled_corpus
from analysis.mfa.build import FITS
from analysis.mfa.density import Density
from analysis.mfa.estimator import MixtureOfFactorAnalyzers
from analysis.mfa.gradient import train_by_gradient
from analysis.mfa.kmeans import lloyd, seeded
from analysis.mfa.pipeline import HELD_OUT
from analysis.mfa.start import SEEDING_ROWS
from analysis.mfa.stream import Stream
from analysis.models.loader import load_model
from analysis.models.sites import Site

SITE = Site(10)
BATCH = 4096
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Descent:
    """Settings of one gradient run; ``every``: updates between evaluations."""

    name: str
    rate: float
    batch: int
    scale: bool
    every: int
    limit: float


def activations(tokens: int) -> tuple[Tensor, Tensor]:
    """Activations of the default model, to fit and held out (of other documents), both (N, 576) float32.

    The store from which the bundled fits were made is taken if it is there, else one of this block alone is collected.
    """
    loaded, passages = load_model("default"), bundled_corpus()
    shared = ActivationStore.of(recipe_of(loaded, passages, [Site(b) for b, _, _ in FITS.values()], window=WINDOW))
    store = shared
    if not (shared.rows >= tokens or shared.complete):
        store = collect(loaded, passages, [SITE], max_tokens=tokens, window=WINDOW)
    kept, held = store.split(HELD_OUT, 0, min(tokens, store.rows))
    return store.read(SITE, kept), store.read(SITE, held)


def by_em(train: Tensor, held: Tensor, regions: int, factors: int) -> Rows:
    """Seconds since the call of ``fit``, k-means included, and held-out nats per activation, for every iteration."""
    rows: Rows = []
    began = time.perf_counter()

    def note(share: float | None, text: str = "", **facts: Any) -> None:
        rows.append({"held_out": facts["iteration"]["held_out"], "seconds": time.perf_counter() - began})

    estimator = MixtureOfFactorAnalyzers(regions, factors, batch_size=BATCH)
    estimator.fit(train, validation=held, progress=note)
    _same(max(r["held_out"] for r in rows), Density(estimator.parameters_, train.mean(0)).score(held))
    return rows


def centroids(train: Tensor, regions: int) -> tuple[Tensor, float]:
    """Centroids (K, D) by the k-means that EM starts with, and the seconds it took."""
    began = time.perf_counter()
    stream = Stream.of(train, BATCH, 0)
    _, center, variance = stream.moments()
    stream = stream.standardised(center, variance**0.5)
    found = lloyd(stream, seeded(stream.sample(SEEDING_ROWS), regions, torch.Generator().manual_seed(0)))
    return found * variance**0.5 + center.to(found), time.perf_counter() - began


def by_gradient(train: Tensor, held: Tensor, start: Tensor, spent: float, factors: int, descent: Descent) -> Rows:
    """As :func:`by_em`, one row per evaluation; ``spent`` seconds of k-means are added to each."""
    run = train_by_gradient(
        train,
        start,
        factors,
        rate=descent.rate,
        epochs=10**6,  # the limit in seconds ends it
        batch_size=descent.batch,
        scale=descent.scale,
        validation=held,
        evaluate_every=descent.every,
        seconds_limit=descent.limit,
    )
    _same(max(r["held_out"] for r in run.history), Density(run.parameters, train.mean(0)).score(held))
    return [{"held_out": r["held_out"], "seconds": r["seconds"] + spent, "step": r["step"]} for r in run.history]


def compared(em: Rows, rows: Rows) -> dict[str, Any]:
    """One gradient run beside EM: likelihoods in nats per activation, seconds, ratios of seconds (gradient / EM)."""
    best = max(r["held_out"] for r in rows)
    facts: dict[str, Any] = {"updates": rows[-1]["step"], "held-out nats": best}
    for name, level in (("best", best), ("best less 1 nat", best - 1)):
        theirs, ours = _seconds_to(rows, level), _seconds_to(em, level)
        assert theirs is not None
        facts |= {f"{name}: gradient s": theirs, f"{name}: EM s": ours}
        facts[f"{name}: ratio"] = None if ours is None else theirs / ours
    top = max(r["held_out"] for r in em)
    reached = _seconds_to(rows, top)
    return facts | {"EM's best is above by, nats": top - best, "reached EM's best after s": reached}


def run(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """EM, the two descents one after the other, and EM again: the mean of its times counts, since a shared machine is
    not equally busy for minutes."""
    train, held = activations(options.tokens)
    start, spent = centroids(train, options.regions)
    first = by_em(train, held, options.regions, options.factors)
    descents = (
        Descent("gradient as published (raw, rate 1e-3, batch 128)", 1e-3, 128, False, 200, options.limit_published),
        Descent("gradient well tuned (scaled, rate 1e-2, batch 512)", 1e-2, 512, True, 50, options.limit),
    )
    runs = {d.name: by_gradient(train, held, start, spent, options.factors, d) for d in descents}
    again = by_em(train, held, options.regions, options.factors)
    em = [a | {"seconds": (a["seconds"] + b["seconds"]) / 2} for a, b in zip(first, again, strict=True)]
    found: dict[str, dict[str, Any]] = {
        f"EM, K={options.regions} R={options.factors}": {
            "activations to fit": len(train),
            "activations held out": len(held),
            "threads": torch.get_num_threads(),
            "cores": os.cpu_count(),
            "k-means alone s": spent,
            "start and first scoring s": em[0]["seconds"],
            "start: held-out nats": em[0]["held_out"],
            "M-steps": len(em) - 1,
            "whole fit s": em[-1]["seconds"],
            "whole fit s, before and after": [first[-1]["seconds"], again[-1]["seconds"]],
            "held-out nats": max(r["held_out"] for r in em),
        }
    }
    return found | {name: compared(em, rows) for name, rows in runs.items()}


def table(found: dict[str, dict[str, Any]]) -> str:
    """The results in Markdown."""
    (name, em), *descents = found.items()
    lines = [
        f"{em['activations to fit']:,} activations, {em['activations held out']:,} held out, {SITE.label}, "
        f"{em['threads']} threads on {em['cores']} cores\n",
        "| fit | held-out nats | s to reach it | EM: s to reach it | ratio | at 1 nat less | EM's best above by |",
        "|---|---|---|---|---|---|---|",
        f"| {name}, {em['M-steps']} M-steps | {em['held-out nats']:.1f} | {em['whole fit s']:.1f} | | | | |",
    ]
    for title, f in descents:
        numbers = [
            _shown(f[key], digits)
            for key, digits in (
                ("held-out nats", 1),
                ("best: gradient s", 1),
                ("best: EM s", 1),
                ("best: ratio", 1),
                ("best less 1 nat: ratio", 1),
                ("EM's best is above by, nats", 1),
            )
        ]
        lines.append(f"| {title} | {' | '.join(numbers)} |")
    lines.append(
        f"\nThe start of EM (k-means and PCA) is scored after {em['start and first scoring s']:.1f} s, "
        f"with {em['start: held-out nats']:.1f} nats."
    )
    return "\n".join(lines)


def _shown(value: float | None, digits: int) -> str:
    return "never" if value is None else f"{value:.{digits}f}"


def _seconds_to(rows: Rows, level: float) -> float | None:
    """Seconds of the first row that has the likelihood; None if none has."""
    return next((float(r["seconds"]) for r in rows if r["held_out"] >= level), None)


def _same(reported: float, scores: Tensor) -> None:
    """Both ways must report the likelihood of the same thing, measured here by one function."""
    measured = float(scores.double().mean())
    assert abs(reported - measured) < 0.1, f"reported {reported}, measured {measured}"


def main() -> dict[str, dict[str, Any]]:
    """Measure with the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--regions", type=int, default=64)
    parser.add_argument("--factors", type=int, default=8)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for the well-tuned gradient run")
    parser.add_argument("--limit-published", type=float, default=180.0, help="seconds for the published settings")
    return run(parser.parse_known_args()[0])


if __name__ == "__main__":
    results = main()
    print(table(results))
    print(json.dumps(results))
