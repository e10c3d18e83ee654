"""From texts to a factorization that the page can show: collect, fit, describe, detect. One function for the page's
job, for the bundled factorizations and for a notebook.

Some passages, drawn by seed and number, are held out of the fit, and detection is scored on them, so no feature is
tested on what it was made from.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from analysis.activations.collect import collect
from analysis.activations.recipe import WINDOW
from analysis.activations.store import ActivationStore
from analysis.corpora.passages import Passage
from analysis.engine.spread import Spread
from analysis.errors import UserError
from analysis.models.loaded_model import LoadedModel
from analysis.models.promoted import promoted
from analysis.models.prompts import token_labels
from analysis.models.readout import readout
from analysis.progress import Check, Progress, no_check, portion
from analysis.snmf.card import Texts
from analysis.snmf.describe import Description, Index, describe
from analysis.snmf.detection import feature_detection, rows_of
from analysis.snmf.learning import Learned, Wanted, learn
from analysis.snmf.library import Factorization
from analysis.snmf.reading import codes
from analysis.snmf.spread import Shards

PROMOTED, SNIPPETS = 20, 3
_READ, _FIT = 0.35, 0.85


def factorize(
    loaded: LoadedModel,
    passages: Sequence[Passage],
    wanted: Wanted,
    progress: Progress,
    spread: Spread | None = None,
    check: Check = no_check,
) -> Factorization:
    """Collect activations (those kept are not made again), fit, describe. ``spread``: what reads the texts and makes
    the steps of the fit, and calls ``check`` between. Raises UserError and what ``progress`` and ``check`` do.

    UserError: a model without the site, one passage only, too few tokens for so many features, activations that are no
    numbers, levels that do not fall.
    """
    _check(passages, wanted)
    store = collect(
        loaded,
        passages,
        [wanted.site],
        max_tokens=wanted.tokens + wanted.reserve(passages),
        window=WINDOW,
        progress=portion(progress, 0.0, _READ),
        check=check,
        spread=spread,
    )
    return factorize_store(loaded, passages, store, wanted, portion(progress, _READ, 1.0), spread, check)


def factorize_store(
    loaded: LoadedModel,
    passages: Sequence[Passage],
    store: ActivationStore,
    wanted: Wanted,
    progress: Progress,
    spread: Spread | None = None,
    check: Check = no_check,
) -> Factorization:
    """Fit ``wanted.tokens`` activations of a store, describe the features, and score them on passages held out."""
    _check(passages, wanted)
    documents = store.index()[1]
    chosen, _ = divide(store, passages, wanted)
    n = int(chosen.sum())
    if wanted.ranks[0] > n:
        raise UserError(
            f"These texts give {n:,} tokens, too few for {wanted.ranks[0]:,} features. Take at most {n // 2:,} "
            "features, or more text.",
            "features",
        )
    if len(documents[chosen].unique()) < 2:
        raise UserError(
            "All of these tokens come from one passage, and what one passage has in common is no feature. Use more "
            "text: one passage on each line.",
            "texts",
        )
    x = store.read(wanted.site, chosen)
    began = time.perf_counter()
    # One GPU is faster at the steps than the cores of several nodes.
    several = spread is not None and spread.hands > 1 and len(wanted.ranks) == 1 and loaded.device.type != "cuda"
    learned = learn(
        x.to(loaded.device) if loaded.device.type == "cuda" else x,
        wanted,
        portion(progress, 0.0, _FIT),
        Shards(spread, store, wanted.site, chosen, check) if spread is not None and several else None,
    )
    seconds = time.perf_counter() - began
    return finished(loaded, passages, store, wanted, learned, seconds, progress)


def finished(
    loaded: LoadedModel, passages: Sequence[Passage], store: ActivationStore, wanted: Wanted, learned: Learned,
    seconds: float, progress: Progress,
) -> Factorization:  # fmt: skip
    """Describe what was learned from the fitted activations of a store, and score it on those held out."""
    tokens, documents, positions = store.index()
    chosen, fresh = divide(store, passages, wanted)
    n = int(chosen.sum())
    progress(_FIT, "describing the features")
    index = Index(tokens[chosen], documents[chosen], positions[chosen])
    x = store.read(wanted.site, chosen)
    fit = _described(loaded, passages, learned, x, index, wanted)
    progress(0.9, "scoring the features on passages that were held out")
    names: list[str] = fit.manifest["themes"]
    detections: list[dict[str, Any] | None] = [None] * fit.features
    random_auc: list[float] | None = None
    if names != [""] and bool(fresh.any()):
        code = [names.index(p.theme) if p.theme in names else -1 for p in passages]
        fitted, held = (
            rows_of(activations, documents[rows], code)
            for activations, rows in ((x, chosen), (store.read(wanted.site, fresh), fresh))
        )
        detections, random_auc = feature_detection(
            fit.components, fitted, held, names, wanted.seed, portion(progress, 0.9, 0.99, "scoring features")
        )
    for row, detected in zip(fit.manifest["rows"], detections, strict=True):
        row |= {"auc": detected and detected["auc"], "detection": detected}
    fit.manifest |= {
        "model": loaded.facts.label,
        "revision": loaded.facts.revision,
        "fingerprint": loaded.facts.fingerprint,
        "layer": wanted.site.layer,
        "site": wanted.site.kind,
        "tokens": n,
        "random_auc": random_auc,
        "held_out": int(fresh.sum()),
        "kept": wanted.kept,
        "init": wanted.init,
        "iterations": wanted.iterations,
        "n_iter": learned.iterations,
        "seed": wanted.seed,
        "window": store.recipe.window,
        "skip_first": store.recipe.skip_first,
        "explained": learned.explained,
        "curve": learned.curve,
        "fit_seconds": round(seconds, 1),
        "version": "0.1.0",
    }
    progress(1.0, "done")
    return fit


def divide(store: ActivationStore, passages: Sequence[Passage], wanted: Wanted) -> tuple[Tensor, Tensor]:
    """Which rows of a store are fitted and which are held out, two boolean masks; no passage is in both.

    Passages are drawn and not taken in order, since the rows of a store are in part sorted by the passages' lengths.
    """
    reserve = wanted.reserve(passages)
    if not reserve:
        chosen = torch.zeros(store.rows, dtype=torch.bool)
        chosen[: wanted.tokens] = True
        return chosen, torch.zeros_like(chosen)
    # A little less than the share that was asked for, so that a chance draw leaves enough to fit; a third at most of
    # texts that end before all that was asked for.
    share = 0.95 * reserve / (wanted.tokens + reserve) if store.rows >= wanted.tokens + reserve else 1 / 3
    chosen, fresh = store.split(share, wanted.seed)
    return chosen & (chosen.cumsum(0) <= wanted.tokens), fresh


def _check(passages: Sequence[Passage], wanted: Wanted) -> None:
    if not passages:
        raise UserError("There is no text to factorize. Choose the bundled corpus, or type passages.", "texts")
    if len(passages) < 2:
        raise UserError(
            "One passage is not enough: features are what passages have in common. Type one passage on each line.",
            "texts",
        )
    if wanted.ranks[0] > wanted.tokens:
        raise UserError(
            f"{wanted.ranks[0]:,} features are more than {wanted.tokens:,} tokens can tell apart. Take fewer features, "
            "or more tokens.",
            "features",
        )


def _described(
    loaded: LoadedModel, passages: Sequence[Passage], learned: Learned, x: Tensor, index: Index, wanted: Wanted
) -> Factorization:
    """Rows and arrays of the features of all levels, from the activations x (n, d) that were fitted."""

    def labels(ids: list[int]) -> list[str]:
        return token_labels(loaded.tokenizer, ids)

    texts, themes = Texts(loaded, passages), [p.theme for p in passages]
    activations, upper = learned.activations, []
    first: Description | None = None
    for level in learned.levels:
        if level.weights is not None:
            # The product of the weights gives concepts of dense features all the same tokens; solved for on its own,
            # each concept of a level has to hold against the others.
            activations = codes(level.components, x)
        description = describe(activations, index, themes, labels, wanted.seed)
        texts.load(description.arrays["place"][:, :SNIPPETS])
        for k, row in enumerate(description.rows):
            places = description.arrays["place"][k, :SNIPPETS].tolist()
            row["contexts"] = [s for s in map(texts.snippet, places) if s]
        if first is None:
            first = description
        else:
            names = ("feature", "label", "top", "contexts", "theme", "active")
            upper.append([{name: row[name] for name in names} for row in description.rows])
    assert first is not None
    half = ("value", "random_value", "deciles", "themes")
    arrays = {n: a.half() if n in half else a for n, a in first.arrays.items()}
    plus, plus_value, minus, minus_value = promoted(loaded, wanted.site, learned.levels[0].components, PROMOTED)
    arrays |= {"plus": plus, "plus_value": plus_value, "minus": minus, "minus_value": minus_value}
    for row, ids in zip(first.rows, plus.tolist(), strict=True):
        row["plus"] = labels(ids)
        row["words"] += " " + " ".join(t.replace("␣", " ").strip() for t in row["plus"][:8]).lower()
    manifest = {"rows": first.rows, "upper": upper, "themes": first.themes, "readout": readout(loaded).note}
    return Factorization("", learned.levels, arrays, manifest)
