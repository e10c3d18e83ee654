"""From texts to a fit that the page can show: collect, fit, survey, name. One function for the page's job, for the
bundled fits and for a notebook."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.activations.collect import collect
from analysis.activations.collect import estimate as estimate_collection
from analysis.activations.fits import place_of_row
from analysis.activations.recipe import WINDOW
from analysis.activations.rows import StoreRows
from analysis.activations.store import ActivationStore
from analysis.corpora.passages import Passage
from analysis.engine.spread import PAYS, Spread
from analysis.errors import UserError
from analysis.mfa.answers.regions import FitEstimate
from analysis.mfa.character import lifted_tokens, meanings
from analysis.mfa.density import Density
from analysis.mfa.em import Floors
from analysis.mfa.estimator import MixtureOfFactorAnalyzers
from analysis.mfa.lean import LARGE
from analysis.mfa.library import RegionSet
from analysis.mfa.mapping import map_of, nearest
from analysis.mfa.parameters import Noise, Parameters
from analysis.mfa.rotations import rotate
from analysis.mfa.spread import Shards
from analysis.mfa.survey import survey
from analysis.models.hooks import site_width
from analysis.models.loaded_model import LoadedModel
from analysis.models.promoted import promoted
from analysis.models.prompts import token_labels
from analysis.models.readout import readout
from analysis.models.sites import Site
from analysis.progress import Check, Progress, no_check, portion
from analysis.spoken import duration

HELD_OUT = 0.1
TOKENS_SHOWN, NEAR = 12, 6
MIN_ROWS_PER_REGION = 3
MEANS = 10
"""Passes of k-means, about."""


@dataclass(frozen=True)
class Wanted:
    """What to fit: site, number of activations, regions K, local factors R, noise, seed, and the most iterations."""

    site: Site
    tokens: int
    regions: int
    factors: int
    noise: Noise = "shared"
    seed: int = 0
    iterations: int = 15


def estimate_fit(loaded: LoadedModel, site: Site, tokens: int, regions: int, factors: int) -> FitEstimate:
    """Seconds, bytes of memory and disk of a fit, with a sentence. Raises UserError for a site that is not there.

    The fit's time is counted in multiplications at the rate of this machine, measured on the spot: 15 iterations whose
    two steps are a product of (tokens x D) with (D x K (R + 1)) each, and a survey that costs another.
    """
    width = site_width(loaded, site)
    if regions * (factors + 2) > tokens:
        raise UserError(f"{regions:,} regions are more than {tokens:,} activations can tell apart.", "regions")
    if factors >= width:
        raise UserError(f"An activation here has {width} numbers, so R must be below that.", "factors")
    reading = estimate_collection(loaded.facts, [site], tokens, {site: width})
    flops = 2.0 * tokens * width * regions * (factors + 1) * 2.5 * 16
    seconds = reading["seconds"] + flops / (0.5 * _matmul_rate(loaded.device)) + 20
    memory = 4 * width * (tokens + 4 * regions * (factors + 1)) + 8 * tokens * factors
    sentence = (
        f"About {duration(seconds)} on this machine, {memory / 1e6:,.0f} MB of memory and "
        f"{reading['bytes'] / 1e6:,.0f} MB of disk. The activations are kept, "
        "so a second fit of the same block starts with the fit."
    )
    return FitEstimate(seconds, memory, reading["bytes"], sentence)


def _matmul_rate(device: torch.device) -> float:
    """Floating-point operations per second of a float32 product, the best of three small ones."""
    a = torch.rand(1024, 512, device=device)
    b = torch.rand(512, 1024, device=device)
    best = 0.0
    for _ in range(3):
        began = time.perf_counter()
        float((a @ b)[0, 0])  # reading a number waits for the device
        best = max(best, 2 * 1024 * 512 * 1024 / (time.perf_counter() - began))
    return best


def fit_regions(
    loaded: LoadedModel,
    passages: Sequence[Passage],
    wanted: Wanted,
    progress: Progress,
    spread: Spread | None = None,
    check: Check = no_check,
) -> RegionSet:
    """Collect activations (those kept are not made again), fit, survey. ``spread``: what computes the sums over data,
    and calls ``check`` between. Raises UserError and what ``progress`` and ``check`` do."""
    store = collect(
        loaded,
        passages,
        [wanted.site],
        max_tokens=wanted.tokens,
        window=WINDOW,
        progress=portion(progress, 0.0, 0.5),
        check=check,
        spread=spread,
    )
    return fit_store(loaded, passages, store, wanted, portion(progress, 0.5, 1.0), spread, check)


def fit_store(
    loaded: LoadedModel,
    passages: Sequence[Passage],
    store: ActivationStore,
    wanted: Wanted,
    progress: Progress,
    spread: Spread | None = None,
    check: Check = no_check,
) -> RegionSet:
    """Fit the first ``wanted.tokens`` activations of a store and survey them. ``spread`` and ``check`` as above."""
    rows = min(store.rows, wanted.tokens)
    if wanted.regions * MIN_ROWS_PER_REGION > rows:
        raise UserError(
            f"These texts give {rows:,} activations, too few for {wanted.regions:,} regions. Take at most "
            f"{rows // MIN_ROWS_PER_REGION:,} regions, or more text.",
            "regions",
        )
    rows_to_fit, rows_apart = store.split(HELD_OUT, wanted.seed, rows)
    train, validation = store.read(wanted.site, rows_to_fit), store.read(wanted.site, rows_apart)
    began = time.perf_counter()
    progress(0.02, "finding a start")
    estimator = MixtureOfFactorAnalyzers(
        wanted.regions,
        wanted.factors,
        noise=wanted.noise,
        max_iter=wanted.iterations,
        random_state=wanted.seed,
    ).fit(
        train,
        validation=validation,
        progress=portion(progress, 0.1, 0.8),
        shards=shards_of(store, wanted, rows, (len(train), len(validation)), spread, check),
    )
    seconds = time.perf_counter() - began
    mean = estimator.center_.float() if isinstance(estimator.center_, Tensor) else torch.as_tensor(estimator.center_)
    parameters = estimator.parameters_.to(torch.float32)
    gaussian = gaussian_score(train, validation, Floors().noise * estimator.scale_**2)
    del train, validation
    fit = described(loaded, passages, store, wanted, parameters, mean.float(), rows, progress)
    fit.manifest |= {
        "held_out": Density(parameters, mean).score(store.read(wanted.site, rows_apart)).double().mean().item(),
        "gaussian": gaussian,
        "n_iter": estimator.n_iter_,
        "reseeded": estimator.reseeded_,
        "fit_seconds": round(seconds, 1),
        "history": [{k: row[k] for k in ("iteration", "train", "held_out")} for row in estimator.history_],
    }
    progress(1.0, "done")
    return fit


def shards_of(
    store: ActivationStore,
    wanted: Wanted,
    rows: int,
    counts: tuple[int, int],
    spread: Spread | None,
    check: Check = no_check,
) -> Shards | None:
    """The first ``rows`` of a store as shards, where several hands work on them; None on one machine, where they are in
    memory, and for a fit whose passes are soon made: what is made once (the start, the M-steps) takes longer then.
    ``counts``: of those to fit and those held out."""
    if spread is None or spread.hands == 1:
        return None
    if pass_seconds(wanted, rows, store.width(wanted.site)) < PAYS:
        return None
    kept, held = (
        StoreRows(str(store.path), wanted.site, rows, HELD_OUT, wanted.seed, bool(n), 0, count)
        for n, count in enumerate(counts)
    )
    return Shards(spread, kept, held, check)


def pass_seconds(wanted: Wanted, rows: int, width: int) -> float:
    """About how long one machine takes for the passes of a fit over its activations: k-means, and the densities of
    each round. Measured on one core, 16,000 activations in 32 regions: 0.4 s of 3.1 s for the whole fit."""
    products = wanted.regions * ((wanted.factors + 1) * (wanted.iterations + 1) + MEANS)
    return 2.0 * rows * width * products / _matmul_rate(torch.device("cpu"))


def gaussian_score(train: Tensor, validation: Tensor, floor: float) -> float:
    """Mean held-out log-density of one diagonal Gaussian, in nats: the least that a mixture must beat.

    ``floor``: the least variance of a dimension, in the units of the data. It must be the mixture's own: a neuron that
    never fires has a density without bound, and with two floors the lower one would win by that alone.
    """
    mean, variance = train.mean(0), train.var(0).clamp(min=floor)
    z = (validation - mean).double().square() / variance
    return float(-0.5 * (z + variance.double().mul(2 * torch.pi).log()).sum(1).mean())


def described(
    loaded: LoadedModel, passages: Sequence[Passage], store: ActivationStore, wanted: Wanted, parameters: Parameters,
    mean: Tensor, rows: int, progress: Progress,
) -> RegionSet:  # fmt: skip
    """Survey a mixture with principal loadings over the store and put into words what its regions are. ``progress`` is
    told from 0.82 on."""
    tokens, documents, positions = store.index(rows)
    arrays: dict[str, Tensor] = {"mean": mean}
    progress(0.82, "turning the local factors")
    few = parameters.loadings.numel() <= LARGE
    outcome = survey(
        parameters,
        mean,
        store.batches(wanted.site, 4096, rows=rows),
        seed=wanted.seed,
        rows=rows,
        turned=rotate(parameters, "varimax") if few else None,
        progress=portion(progress, 0.83, 0.96, "surveying the regions"),
    )
    axes = {"principal": (outcome.spread, outcome.low, outcome.high)}
    if outcome.turned is not None:
        axes["varimax"] = outcome.turned
    for rotation, (spread, low, high) in axes.items():
        arrays |= {
            f"{rotation}.spread": spread,
            f"{rotation}.low": place_of_row(documents, positions, low),
            f"{rotation}.high": place_of_row(documents, positions, high),
        }
    arrays |= {f"contexts.{n}": place_of_row(documents, positions, r) for n, r in outcome.contexts.items()}
    progress(0.97, "naming the regions")
    lifted, lift = lifted_tokens(outcome.region, tokens, parameters.components, TOKENS_SHOWN)
    labels = [token_labels(loaded.tokenizer, [i for i in row if i >= 0]) for row in lifted.tolist()]
    labels = [[label.replace("␣", " ") for label in row] for row in labels]
    regions = meanings(outcome.region, outcome.size, outcome.mass, tokens, documents, passages, labels)
    arrays |= {"lifted": lifted, "lifted_value": lift.half()}
    arrays |= vocabulary_of(loaded, wanted.site, parameters, mean)
    arrays["xy"] = map_of(parameters.means, mean, wanted.seed)
    arrays["near"] = nearest(parameters.means, NEAR)
    manifest = {
        "model": loaded.facts.label,
        "revision": loaded.facts.revision,
        "fingerprint": loaded.facts.fingerprint,
        "layers": loaded.facts.layers,
        "layer": wanted.site.layer,
        "site": wanted.site.kind,
        "seed": wanted.seed,
        "rows": rows,
        "window": store.recipe.window,
        "skip_first": store.recipe.skip_first,
        "fvu_centroid": outcome.fvu_centroid,
        "fvu_local": outcome.fvu_local,
        "norms": list(outcome.norms),
        "regions": regions,
        "readout": readout(loaded).note,
        "version": "0.1.0",
    }
    return RegionSet("", parameters, mean, arrays, manifest)


def vocabulary_of(loaded: LoadedModel, site: Site, parameters: Parameters, mean: Tensor) -> dict[str, Tensor]:
    """Tokens that the unembedding alone gives for each centroid minus the mean."""
    up, value, _, _ = promoted(loaded, site, parameters.means - mean, TOKENS_SHOWN)
    return {"promoted": up, "promoted_value": value.half()}
