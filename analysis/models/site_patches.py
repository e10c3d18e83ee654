"""The activation of one site at one token made as it is in another prompt: which place carries what, at which token.

A row of a batch for each pair of tokens, and one for all pairs at once, which at the residual stream gives the other
prompt's answer from there on, if all tokens are paired. Blocks before the one that is changed are not run again, as of
:mod:`analysis.models.ablation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from analysis.models.ablation import blocks_at_once, plain_logits, rows_at_once
from analysis.models.hooks import Hook, available_sites, hooked
from analysis.models.loaded_model import LoadedModel
from analysis.models.midway import begun, last_logits, may_begin, outputs_behind
from analysis.models.pairing import Pair
from analysis.models.recording import LayerAttention, tapped
from analysis.models.sites import Site

SiteKind = Literal["residual", "attention", "mlp"]
"""The residual stream after a block; what all heads of a block hand to its output projection; what its MLP gives."""
SITE_KINDS: tuple[SiteKind, ...] = get_args(SiteKind)
ALL = -1
"""In place of a token: all pairs at once."""


@dataclass(frozen=True)
class SitePatched:
    """``at``: the token of this prompt whose activation after (or in) block ``layer`` was the other's, :data:`ALL` for
    all pairs; ``logits`` (V,) float32 after the last token."""

    layer: int
    at: int
    logits: Tensor


def site_layers(loaded: LoadedModel, kind: SiteKind) -> list[int]:
    """The blocks that have such a site."""
    if kind == "attention":
        return sorted(loaded.facts.attention_layers)
    return available_sites(loaded).get("residual" if kind == "residual" else "mlp_output", [])


def site_patches(
    loaded: LoadedModel,
    ids: Sequence[int],
    other: Sequence[int],
    pairs: Sequence[Pair],
    kind: SiteKind,
    layers: Sequence[int] | None = None,
) -> Iterator[list[SitePatched]]:
    """Yield, batch by batch and block by block, what the model predicts after the last of ``ids`` with one activation
    as it is in the run of ``other``: at the first token of each pair, the one of the second; and at all at once. In all
    blocks that have the site, or in those of ``layers``."""
    places: list[tuple[int, list[Pair]]] = [(mine, [(mine, theirs)]) for mine, theirs in pairs]
    places.append((ALL, list(pairs)))
    size, step = rows_at_once(loaded, len(ids)), blocks_at_once(loaded, len(ids) + len(other))
    there, skips = site_layers(loaded, kind) if layers is None else list(layers), None
    for start in range(0, len(there), step):
        held = there[start : start + step]
        theirs = _given(loaded, other, kind, held)
        with outputs_behind(loaded, [n - 1 for n in held if n > 0]) as behind:
            plain = plain_logits(loaded, ids)
        if skips is None:
            later = [layer for layer in held if layer > 0]
            middle = later[len(later) // 2] if later else 0
            skips = bool(later) and may_begin(loaded, ids, plain, middle, behind[middle - 1])
        for layer in held:
            given = behind[layer - 1] if skips and layer > 0 else None
            for first in range(0, len(places), size):
                yield _batch(loaded, ids, layer, kind, theirs[layer], places[first : first + size], given)


@torch.no_grad()
def _given(loaded: LoadedModel, ids: Sequence[int], kind: SiteKind, layers: Sequence[int]) -> dict[int, Tensor]:
    """The activations (T, ...) of these blocks' sites on ``ids``."""
    found: dict[int, Tensor] = {}

    def keep(layer: int, x: Tensor) -> None:
        if layer in layers:
            found[layer] = x[0].detach().clone()

    with _changing(loaded, kind, layers, keep):
        plain_logits(loaded, ids)
    return found


@contextmanager
def _changing(loaded: LoadedModel, kind: SiteKind, layers: Sequence[int], change: Any) -> Iterator[None]:
    """Call ``change(layer, x)`` on the activations (B, T, ...) of these blocks' sites; what it returns takes their
    place."""

    def tap(record: LayerAttention, output: Tensor) -> Tensor | None:
        changed: Tensor | None = change(record.layer, output)
        return changed

    def hook(layer: int) -> Hook:
        return lambda x: change(layer, x)

    if kind == "attention":
        with tapped(tap):
            yield
        return
    name = "residual" if kind == "residual" else "mlp_output"
    with hooked(loaded, {Site(layer, name): hook(layer) for layer in layers}):
        yield


@torch.no_grad()
def _batch(
    loaded: LoadedModel,
    ids: Sequence[int],
    layer: int,
    kind: SiteKind,
    theirs: Tensor,
    places: Sequence[tuple[int, list[Pair]]],
    behind: Any,
) -> list[SitePatched]:
    def change(at: int, x: Tensor) -> Tensor | None:
        if at != layer:
            return None
        x = x.clone()
        for row, (_, pairs) in enumerate(places):
            x[row, [mine for mine, _ in pairs]] = theirs[[other for _, other in pairs]].to(x)
        return x

    rows = len(places)
    with begun(loaded, layer, behind, rows), _changing(loaded, kind, [layer], change):
        logits = last_logits(loaded, torch.tensor([list(ids)]).expand(rows, -1))
    return [SitePatched(layer, at, row) for (at, _), row in zip(places, logits, strict=True)]
