"""Run texts through a model and hand over the activations of chosen sites, row by row with their tokens.

What a fit must not see is dropped here, once, for all methods: padding, the first positions of each text (in many
models they hold an attention sink a hundred times as long as any other activation), and rows of outlying norm. And only
what is needed runs: the pass is cut off behind the last site.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.models.hooks import Hook, hooked, place_of
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site

# Numbers of the documents, and as many rows of token ids.
Batch = tuple[Sequence[int], Sequence[Sequence[int]]]


@dataclass(frozen=True)
class Captured:
    """Rows of one batch, on the CPU: text by text, position by position.

    ``activations``: (N, D) for each site, float16 from a float16 model, else float32. ``tokens``, ``documents`` (the
    numbers given) and ``positions`` (in the row of token ids): (N,) int32. ``dropped``: rows left out for their norm.
    """

    activations: dict[Site, Tensor]
    tokens: Tensor
    documents: Tensor
    positions: Tensor
    dropped: int = 0


class _Reached(Exception):
    """The last site has been seen; the rest of the pass is not needed."""


@torch.no_grad()
def capture(
    loaded: LoadedModel,
    batches: Iterable[Batch],
    sites: Sequence[Site],
    *,
    skip_first: int = 2,
    norm_guard: float | None = 20.0,
) -> Iterator[Captured]:
    """Yield the activations of each batch; the batches are (document numbers, rows of token ids), in any lengths.

    Rows are padded on the right, so sort texts by length to waste little. ``skip_first`` positions of each row are
    left out. A token whose activation is longer than ``norm_guard`` times the median of its batch, at any of the
    sites, is left out at all of them; None or 0 keeps all. The guard looks at one batch only, so that a run that is
    cut off and goes on gives what an uninterrupted one gives.

    Raises UserError(field="site") before anything runs if the model lacks a site.
    """
    for site in sites:
        place_of(loaded, site)
    wanted = sorted(set(sites), key=lambda s: s.order)
    if not wanted:
        raise ValueError("no site to capture")
    for documents, rows in batches:
        if len(documents) != len(rows):
            raise ValueError("as many document numbers as rows of token ids are needed")
        if any(len(row) > skip_first for row in rows):
            yield _one_batch(loaded, documents, rows, wanted, skip_first, norm_guard)


def _one_batch(
    loaded: LoadedModel,
    documents: Sequence[int],
    rows: Sequence[Sequence[int]],
    sites: list[Site],
    skip_first: int,
    norm_guard: float | None,
) -> Captured:
    lengths = torch.tensor([len(row) for row in rows])
    place = torch.arange(int(lengths.max())).expand(len(rows), -1)
    real = place < lengths[:, None]
    ids = torch.zeros(real.shape, dtype=torch.long)
    ids[real] = torch.tensor([token for row in rows for token in row])
    chosen = real & (place >= skip_first)
    found = _run(loaded, ids, real, chosen, sites)
    keep = ordinary(found, norm_guard)
    count = int(chosen.sum())
    numbers = torch.tensor(list(documents))[:, None].expand(real.shape)
    return Captured(
        {site: values.cpu()[keep] for site, values in found.items()},
        ids[chosen][keep].int(),
        numbers[chosen][keep].int(),
        place[chosen][keep].int(),
        count - int(keep.sum()),
    )


def _run(loaded: LoadedModel, ids: Tensor, real: Tensor, chosen: Tensor, sites: list[Site]) -> dict[Site, Tensor]:
    """The chosen rows at each site (N, D), from a pass that ends behind the last of them."""
    found: dict[Site, Tensor] = {}

    def keeper(site: Site) -> Hook:
        def keep(x: Tensor) -> None:
            rows = x[chosen.to(x.device)]
            found[site] = rows if rows.dtype == torch.float16 else rows.float()
            if site == sites[-1]:
                raise _Reached

        return keep

    # A mask without padding would only take the model off its fastest path.
    mask = None if bool(real.all()) else real.long()
    try:
        with hooked(loaded, {site: keeper(site) for site in sites}):
            loaded.forward(ids, mask)
    except _Reached:
        pass
    return found


def ordinary(found: dict[Site, Tensor], guard: float | None) -> Tensor:
    """Which rows (N, D) of one batch are of ordinary length at all sites, boolean (N,) on the CPU; ``guard`` in medians
    of the batch, None or 0 keeps all."""
    keep = torch.ones(len(next(iter(found.values()))), dtype=torch.bool)
    for values in found.values():
        norms = values.float().norm(dim=1).cpu()
        if guard:
            keep &= ~(norms > guard * norms.median())
    return keep
