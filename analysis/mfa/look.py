"""A quick look at several blocks: at which of them do the regions of the activations carry themes?

A fit of the middle block is a guess. In the default model the themes are at a third of the depth and hardly any at two
thirds (docs/steering.md), in other models elsewhere; a few thousand activations of several blocks, from one pass of the
model, and k-means in few dimensions tell them apart well enough to choose one.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from analysis.activations.collect import collect_each
from analysis.activations.recipe import WINDOW
from analysis.activations.store import ActivationStore
from analysis.corpora.passages import Passage
from analysis.engine.spread import Spread
from analysis.mfa.character import ONE_TOKEN, SMALL, SOME_TEXTS, meanings
from analysis.mfa.kmeans import nearest, seeded
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.progress import Progress

CLUSTERS = 48


def theme_evidence(store: ActivationStore, site: Site, passages: Sequence[Passage], rows: int, seed: int = 0) -> float:
    """Bits by which the cluster of an activation tells its theme, on average over the first rows of a store: log2 of
    the lift of the cluster's leading theme at the low end of its interval. Clusters of one token, of few texts or of
    few members tell nothing."""
    rows = min(rows, store.rows)
    x = store.read(site, rows)
    x = x - x.mean(0)
    count = min(CLUSTERS, max(1, rows // SMALL))
    region, _ = nearest(x, seeded(x, count, torch.Generator().manual_seed(seed), restarts=1))
    size = region.bincount(minlength=count)
    tokens, documents, _ = store.index(rows)
    bits = 0.0
    for row in meanings(region, size, size.double(), tokens, documents, passages, [[]] * count):
        if row["size"] >= SMALL and row["texts"] >= SOME_TEXTS and row["top_share"] < ONE_TOKEN:
            bits += row["size"] * max(0.0, float(torch.tensor(row["lift_low"]).clamp(min=1).log2()))
    return bits / rows


def choose_site(
    loaded: LoadedModel,
    passages: Sequence[Passage],
    sites: Sequence[Site],
    rows: int,
    progress: Progress,
    spread: Spread | None = None,
) -> tuple[Site, dict[str, float]]:
    """The site whose clusters tell most of themes, the first of equals, and the bits of each by its block; ``rows``:
    by so many activations of each. ``spread``: what reads the texts. Raises what collecting does."""
    wants = dict.fromkeys(sites, rows)
    stores = collect_each(loaded, passages, wants, window=WINDOW, progress=progress, spread=spread)
    bits = {site: theme_evidence(stores[site], site, passages, rows) for site in sites}
    return max(sites, key=lambda site: bits[site]), {str(site.layer): round(bits[site], 3) for site in sites}
