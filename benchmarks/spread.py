"""How much faster do two nodes collect and fit than one? ``python -m benchmarks.spread``.

Both nodes are on this machine, with one core each, so it wants two idle cores. The baseline is the fit as one machine
makes it, in this process on one core, without any wire: what is lost by travelling counts against the nodes. The fit is
bound by its activations: the default model reads bundled texts at a late block, and few regions are fitted to them, so
few that the fit stays on one machine (:func:`analysis.mfa.pipeline.shards_of`) and "fit" compares it with itself. A
chunk of text is read by one node, and a store of five chunks takes three rounds of two: the more text, the less is lost
at the end. Stores of both ways are compared bit for bit, and fits to rounding. It says before how long it takes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from analysis.activations.collect import collect, estimate, recipe_of
from analysis.activations.recipe import WINDOW
from analysis.activations.store import ActivationStore
from analysis.cluster.hands import hands
from analysis.cluster.link import VARIABLE, link
from analysis.cluster.spread import OnNodes, spread_of
from analysis.cluster.trial import Rows, Trial, add_rows
from analysis.corpora.passages import bundled_corpus
from analysis.engine.context import Context
from analysis.engine.spread import Spread
from analysis.mfa.estimator import MixtureOfFactorAnalyzers
from analysis.mfa.pipeline import HELD_OUT, Wanted, shards_of
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import load_model
from analysis.models.sites import Site

BLOCK = 25
WARM = 4_000
STARTS, FITS, HOPED = 45.0, 6.0, 1.7
"""For the time that is said before: seconds for model, cluster and nodes, for a fit beside its reading, and the
throughput."""
Times = dict[str, float]


def fit(
    loaded: LoadedModel, folder: Path, wanted: Wanted, spread: Spread | None
) -> tuple[ActivationStore, MixtureOfFactorAnalyzers, Times]:
    """Collect and fit in a folder; the store, the fit, and the seconds of both."""
    passages, began = bundled_corpus(), time.perf_counter()
    recipe = recipe_of(loaded, passages, [wanted.site], window=WINDOW)
    store = collect(
        loaded, passages, [wanted.site], ActivationStore(folder, recipe), max_tokens=wanted.tokens, window=WINDOW,
        spread=spread,
    )  # fmt: skip
    collected = time.perf_counter()
    rows = min(store.rows, wanted.tokens)
    kept, held = (store.read(wanted.site, mask) for mask in store.split(HELD_OUT, wanted.seed, rows))
    made = MixtureOfFactorAnalyzers(wanted.regions, wanted.factors, max_iter=wanted.iterations, tol=0.0).fit(
        kept, validation=held, shards=shards_of(store, wanted, rows, (len(kept), len(held)), spread)
    )
    ended = time.perf_counter()
    return store, made, {"collect s": collected - began, "fit s": ended - collected, "whole s": ended - began}


def two_nodes() -> Any:
    """A cluster of two nodes of one core each, and a head of none for this process."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    return made


def run(options: argparse.Namespace) -> dict[str, Any]:
    """One core here, two nodes, in turn; the median ratio of the rounds counts."""
    torch.set_num_threads(1)
    loaded = load_model("default")
    reads = estimate(loaded.facts, [Site(BLOCK)], options.tokens)["seconds"]
    seconds = STARTS + options.rounds * (reads * (1 + 1 / HOPED) + 2 * FITS)
    print(f"two nodes against one core: about {seconds:.0f} s on two idle cores", file=sys.stderr, flush=True)
    wanted = Wanted(Site(BLOCK), options.tokens, options.regions, 4, iterations=options.iterations)
    found: list[tuple[Times, Times]] = []
    with tempfile.TemporaryDirectory() as place:
        os.environ["ATTUNE_HOME"] = str(Path(place) / "home")
        cluster = two_nodes()
        os.environ[VARIABLE] = cluster.address
        try:
            link()
            spread = spread_of(loaded, Context())
            assert isinstance(spread, OnNodes) and spread.hands == 2
            few = Wanted(Site(BLOCK), WARM, 8, 4, iterations=1)
            while not all(any("spec" in name for name in hand.holds) for hand in hands().of("cpu")):
                list(spread(add_rows, Trial(torch.ones(1).numpy(), 0.1), [Rows(0, 5)] * 2))
            fit(loaded, Path(place) / "warm", few, spread)
            for n in range(options.rounds):
                ones = fit(loaded, Path(place) / f"one-{n}", wanted, None)
                twos = fit(loaded, Path(place) / f"two-{n}", wanted, spread)
                _same(ones, twos)
                found.append((ones[2], twos[2]))
        finally:
            _down(cluster)
    medians = {
        f"{name}: {key}": sorted(pair[way][key] for pair in found)[len(found) // 2]
        for way, name in enumerate(("one core", "two nodes"))
        for key in found[0][0]
    }
    ratios = {key: sorted(one[key] / two[key] for one, two in found)[len(found) // 2] for key in found[0][0]}
    return {
        f"{options.tokens:,} activations, {options.regions} regions": medians
        | {f"throughput of two nodes: {key.removesuffix(' s')}": ratio for key, ratio in ratios.items()}
        | {"load before": os.getloadavg()[1]}
    }


def _down(cluster: Any) -> None:
    import ray

    ray.shutdown()
    cluster.shutdown()
    del os.environ[VARIABLE]


def _same(one: tuple[Any, Any, Times], two: tuple[Any, Any, Times]) -> None:
    """Both ways must have made the same thing."""
    hashes = [[entry["sha256"] for entry in way[0].shards.entries] for way in (one, two)]
    assert hashes[0] == hashes[1], "the stores differ"
    assert abs(one[1].score_ - two[1].score_) < 1e-3, f"the fits differ: {one[1].score_}, {two[1].score_}"


def main() -> dict[str, Any]:
    """The figures, for the table of all benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=40_000)
    parser.add_argument("--regions", type=int, default=32)
    parser.add_argument("--iterations", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=1)
    return run(parser.parse_args() if __name__ == "__main__" else parser.parse_args([]))


if __name__ == "__main__":
    print(json.dumps(main(), indent=2))
