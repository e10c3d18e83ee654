"""From a mixture that others trained to a fit that the page can show.

Such a file says neither which model nor which block it is of, and a mixture of the right width opens on any of them
without a fault, so the activations themselves are asked: one of this block must be far likelier under it than under a
single Gaussian. That tells another model and another site. It does not tell a neighbouring block, whose residual stream
is nearly the same: which block it is, only its authors can say. What the file does not hold (members, spreads,
contexts, the map) is then made by the very survey that a fit of one's own goes through.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from analysis.activations.collect import collect
from analysis.activations.fits import fit_name
from analysis.activations.recipe import WINDOW
from analysis.activations.store import ActivationStore
from analysis.corpora.passages import Passage, corpus_hash
from analysis.errors import UserError
from analysis.mfa.checkpoint import read_checkpoint
from analysis.mfa.lean import density_of
from analysis.mfa.library import RegionSet
from analysis.mfa.parameters import Parameters
from analysis.mfa.pipeline import Wanted, described, gaussian_score
from analysis.mfa.rotations import rotate
from analysis.mfa.sources import place_of
from analysis.models.hooks import site_width
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.progress import Progress, portion

PROBE = 2_000
"""Activations on which the file is tried before any more are collected."""


def open_released(
    loaded: LoadedModel, file: str, passages: Sequence[Passage], site: Site, tokens: int, seed: int, progress: Progress
) -> RegionSet:
    """The mixture of a file (path or hub id) as a fit of a site, surveyed over ``tokens`` activations of the passages.

    The manifest's ``released`` says where it is from: ``origin``, ``sha256`` of the file, and what the file says of
    itself. Raises UserError: "file" for one that cannot be read, "layer" for one that is not of this model's block.
    """
    width = site_width(loaded, site)
    progress(0.0, "finding the file")
    place = place_of(file, site.layer)
    progress(0.02, f"reading {place.path.name}")
    parameters, facts = read_checkpoint(place.path)
    if parameters.width != width:
        raise UserError(
            f"This mixture is about activations of {parameters.width:,} numbers, and those of the {site.label} of "
            f"{loaded.facts.label} have {width:,}. It belongs to another model or site.",
            "layer",
        )
    with place.path.open("rb") as raw:
        digest = hashlib.file_digest(raw, "sha256").hexdigest()
    progress(0.06, "turning the local factors")
    parameters = rotate(parameters, "principal", inplace=True)
    few = collect(loaded, passages, [site], max_tokens=PROBE, window=WINDOW, progress=portion(progress, 0.08, 0.12))
    score, gaussian = likelihoods(loaded, site, parameters, few)
    store = collect(loaded, passages, [site], max_tokens=tokens, window=WINDOW, progress=portion(progress, 0.12, 0.8))
    rows = min(store.rows, tokens)
    wanted = Wanted(site, tokens, parameters.components, parameters.factors, "shared", seed)
    mean = parameters.weights @ parameters.means
    fit = described(loaded, passages, store, wanted, parameters, mean, rows, progress)
    fit.manifest |= {
        "held_out": score,
        "gaussian": gaussian,
        "noise_model": facts["noise"],
        "corpus": corpus_hash(passages),
        "released": {"origin": place.origin, "sha256": digest, **facts},
        "command": f"others: {place.origin}, opened on the Steering page",
    }
    sizes = (parameters.components, parameters.factors, int(digest[:12], 16))
    settings = ("fingerprint", "layer", "site", "corpus", "seed", "rows")
    fit.name = fit_name(fit.manifest, settings, sizes, f"k{sizes[0]}-r{sizes[1]}")
    progress(1.0, "done")
    return fit


def likelihoods(loaded: LoadedModel, site: Site, parameters: Parameters, store: ActivationStore) -> tuple[float, float]:
    """Mean log-density in nats of the second half of the first activations, under the mixture, and under one diagonal
    Gaussian of the first half. Raises UserError("layer") if the Gaussian is as good."""
    rows = min(store.rows, PROBE)
    if rows < 64:
        raise UserError(f"These texts give {rows} activations, too few to try the mixture on. Take more text.", "texts")
    points = store.read(site, rows)
    fitted, tried = points[: rows // 2], points[rows // 2 :]
    floor = 1e-4 * float(fitted.var(0).mean())
    gaussian = gaussian_score(fitted, tried, floor)
    score = float(density_of(parameters).score(tried).double().mean())
    if not score > gaussian:
        raise UserError(
            f"Under this mixture an activation of the {site.label} of {loaded.facts.label} has a log-likelihood of "
            f"{score:,.0f} nats, under one diagonal Gaussian of half of them {gaussian:,.0f}: it was trained on "
            "another model, block or site. Nothing was kept; try another block.",
            "layer",
        )
    return score, gaussian
