"""From texts to a factorization that the page can show: collect, fit, describe, detect. One function for the page's
job, for the bundled factorizations and for a notebook.

Some passages, drawn by seed and number, are held out of the fit, and detection is scored on them, so no feature is
tested on what it was made from. Features are brought to unit length, whatever the estimator's convention is, and the
activations carry the scale.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from analysis.activations.collect import collect
from analysis.activations.store import ActivationStore
from analysis.corpora.passages import Passage
from analysis.errors import UserError
from analysis.models.loader import LoadedModel
from analysis.models.promoted import promoted
from analysis.models.prompts import token_labels
from analysis.models.sites import Site
from analysis.snmf.card import Texts
from analysis.snmf.describe import Description, Index, describe
from analysis.snmf.detection import feature_detection, rows_of
from analysis.snmf.library import Factorization, Level

WINDOW = 256
HELD_OUT = 9_000
"""Held-out activations for detection: at least so many, and at least half as many as are fitted."""
PROMOTED, SNIPPETS = 20, 3
_READ, _FIT = 0.35, 0.85


class Say(Protocol):
    """Progress, and a safe point: share in [0, 1], a text, further facts. May raise to end the work."""

    def __call__(self, share: float, text: str, **facts: Any) -> None: ...


@dataclass(frozen=True)
class Wanted:
    """What to make: site, tokens to fit, features K, share ``kept`` of the neurons (p), start, most iterations, seed.

    ``levels``: sizes of all levels, the lowest first, for a tree; empty for features alone. ``held_out``: activations
    collected besides, for detection; None takes what is usual. Nothing is held out of texts without themes.
    """

    site: Site
    tokens: int
    features: int
    kept: float = 0.01
    init: str = "kmeans"
    iterations: int = 400
    seed: int = 0
    levels: tuple[int, ...] = ()
    held_out: int | None = None

    @property
    def ranks(self) -> tuple[int, ...]:
        """Sizes of all levels: ``levels`` if they begin with at least as many features, else those above ``features``.

        Raises UserError(field="levels") unless they fall from level to level.
        """
        ranks = self.levels if self.levels and self.levels[0] >= self.features else (self.features, *self.levels)
        if any(b >= a for a, b in itertools.pairwise(ranks)) or min(ranks) < 1:
            raise UserError("Each level of the tree must have fewer concepts than the one before it.", "levels")
        return ranks

    def reserve(self, passages: Sequence[Passage]) -> int:
        """How many activations are collected for detection."""
        if not any(p.theme for p in passages):
            return 0
        return max(HELD_OUT, self.tokens // 2) if self.held_out is None else self.held_out


@dataclass(frozen=True)
class Learned:
    """What a fit gives: levels with unit features, activations (n, K) of the lowest on the fitted tokens, the share of
    their squared length that is explained, iterations, and the curve."""

    levels: list[Level]
    activations: Tensor
    explained: float
    iterations: int
    curve: dict[str, Any]


def factorize(loaded: LoadedModel, passages: Sequence[Passage], wanted: Wanted, say: Say) -> Factorization:
    """Collect activations (those kept are not made again), fit, describe. Raises UserError, or what ``say`` raises.

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
        progress=lambda share, text: say(_READ * share, text),
    )
    return factorize_store(
        loaded, passages, store, wanted, lambda share, text, **f: say(_READ + (1 - _READ) * share, text, **f)
    )


def factorize_store(
    loaded: LoadedModel, passages: Sequence[Passage], store: ActivationStore, wanted: Wanted, say: Say
) -> Factorization:
    """Fit ``wanted.tokens`` activations of a store, describe the features, and score them on passages held out."""
    _check(passages, wanted)
    tokens, documents, positions = store.index()
    chosen, fresh = divide(store, passages, wanted)
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
    learned = learn(
        x.to(loaded.device) if loaded.device.type == "cuda" else x,
        wanted,
        lambda share, text, **f: say(_FIT * share, text, **f),
    )
    seconds = time.perf_counter() - began
    say(_FIT, "describing the features")
    index = Index(tokens[chosen], documents[chosen], positions[chosen])
    fit = _described(loaded, passages, learned, index, wanted)
    say(0.9, "scoring the features on passages that were held out")
    names: list[str] = fit.manifest["themes"]
    found: list[dict[str, Any] | None] = [None] * fit.features
    random_auc: list[float] | None = None
    if names != [""] and bool(fresh.any()):
        code = [names.index(p.theme) if p.theme in names else -1 for p in passages]
        fitted, held = (
            rows_of(part, documents[rows], code)
            for part, rows in ((x, chosen), (store.read(wanted.site, fresh), fresh))
        )
        found, random_auc = feature_detection(
            fit.components, fitted, held, names, wanted.seed, lambda share: say(0.9 + 0.09 * share, "scoring features")
        )
    for row, detected in zip(fit.manifest["rows"], found, strict=True):
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
    say(1.0, "done")
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


def learn(x: Tensor, wanted: Wanted, say: Say) -> Learned:
    """Factorize activations (n, d) into one level or several."""
    from analysis.snmf.hierarchy import HierarchicalSemiNMF
    from analysis.snmf.semi_nmf import SemiNMF

    def progress(share: float, text: str, curve: dict[str, Any]) -> None:
        if curve:  # the levels above the first have none of their own
            say(share, text, curve=curve)
        else:
            say(share, text)

    ranks = wanted.ranks
    options: dict[str, Any] = {
        "sparsity": wanted.kept,
        "init": wanted.init,
        "max_iter": wanted.iterations,
        "random_state": wanted.seed,
    }
    say(0.0, "finding a start")
    if len(ranks) == 1:
        base: Any = SemiNMF(ranks[0], **options).fit(x, progress=progress)
        found, weights = [base], []
    else:
        tree: Any = HierarchicalSemiNMF(ranks=ranks, **options).fit(x, progress=progress)
        found, weights = list(tree.levels_), [w.float().cpu() for w in tree.weights_]
        base = found[0]
    components = [level.components_.float().cpu() for level in found]
    activations = base.activations_.float().cpu()
    levels, activations = unit_levels(components, weights, activations)
    curve = [float(v) for v in base.loss_curve_]
    total = sum(float(part.double().square().sum()) for part in x.split(4096))
    explained = [1 - v / total for v in curve]
    shown = sorted({*range(0, len(curve), max(1, len(curve) // 200)), len(curve) - 1, int(base.best_iter_)})
    shown = [i for i in shown if 0 <= i < len(curve)]
    return Learned(
        levels,
        activations,
        float(base.explained_),
        int(base.n_iter_),
        {
            "iteration": [i + 1 for i in shown],
            "explained": [round(explained[i], 5) for i in shown],
            "best": int(base.best_iter_) + 1,
        },
    )


def unit_levels(
    components: Sequence[Tensor], weights: Sequence[Tensor], activations: Tensor
) -> tuple[list[Level], Tensor]:
    """The same factorization with features of unit length at every level; activations (n, K) and weights take the rest.

    A feature of length s in activations G is one of length 1 in s G; the weight of a parent of length t in a child of
    length s becomes its weight times t / s: the amount of the unit parent in the unit child.
    """
    lengths = [c.norm(dim=1) for c in components]
    levels = []
    for i, matrix in enumerate(components):
        unit = matrix / lengths[i].clamp(min=1e-30)[:, None]
        scaled = None if i == 0 else weights[i - 1] * lengths[i][:, None] / lengths[i - 1].clamp(min=1e-30)
        levels.append(Level(unit, scaled))
    return levels, activations * lengths[0]


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
    loaded: LoadedModel, passages: Sequence[Passage], learned: Learned, index: Index, wanted: Wanted
) -> Factorization:
    def labels(ids: list[int]) -> list[str]:
        return token_labels(loaded.tokenizer, ids)

    texts, themes = Texts(loaded, passages), [p.theme for p in passages]
    activations, upper = learned.activations, []
    first: Description | None = None
    for level in learned.levels:
        if level.weights is not None:
            activations = activations @ level.weights.T
        found = describe(activations, index, themes, labels, wanted.seed)
        texts.load(found.arrays["place"][:, :SNIPPETS])
        for k, row in enumerate(found.rows):
            places = found.arrays["place"][k, :SNIPPETS].tolist()
            row["contexts"] = [s for s in map(texts.snippet, places) if s]
        if first is None:
            first = found
        else:
            upper.append([{n: row[n] for n in ("feature", "label", "top", "contexts", "theme")} for row in found.rows])
    assert first is not None
    half = ("value", "random_value", "deciles", "themes")
    arrays = {n: a.half() if n in half else a for n, a in first.arrays.items()}
    plus, plus_value, minus, minus_value = promoted(loaded, wanted.site, learned.levels[0].components, PROMOTED)
    arrays |= {"plus": plus, "plus_value": plus_value, "minus": minus, "minus_value": minus_value}
    for row, ids in zip(first.rows, plus.tolist(), strict=True):
        row["plus"] = labels(ids)
        row["words"] += " " + " ".join(t.replace("␣", " ").strip() for t in row["plus"][:8]).lower()
    manifest = {"rows": first.rows, "upper": upper, "themes": first.themes}
    return Factorization("", learned.levels, arrays, manifest)
