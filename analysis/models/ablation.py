"""What a model predicts with one head or one MLP taken out, for many of them: one row of a batch each.

Up to the block that is changed every row is what the plain pass was, so those blocks are not run again: while a batch
runs they hand on what they gave then. Whether a model allows that is tried on the prompt itself, and where it does not,
whole passes are run. Between two batches the model is untouched, so that others may run and a cancelled job ends there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from analysis.errors import UserError
from analysis.models.batch import rows_together
from analysis.models.caching import agrees
from analysis.models.hooks import Hook, available_sites, hidden_of, hooked, layout, with_hidden
from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import LayerAttention, Tap, tapped
from analysis.models.sites import Site

Baseline = Literal["zero", "mean"]
"""What stands in place of an output: nothing, at every token; or its mean over the prompt's tokens, the first aside,
which keeps its own: many models use it to park attention, and its vectors are like no other's."""
MLP = -1
"""In place of a head's number: the MLP of the block."""
_TOO_SHORT = "A prompt of one token has no mean over other tokens. Take zero."
_BATCH_TOKENS = 1024
_HELD = 256 << 20


@dataclass(frozen=True)
class Ablated:
    """``head`` of block ``layer`` (:data:`MLP`: its MLP), and the logits (V,) float32 after the last token without
    it."""

    layer: int
    head: int
    logits: Tensor


@dataclass
class _Plain:
    """What a plain pass gave: hidden states behind some blocks, means of heads (H, w) and MLPs (D,), logits (V,)."""

    behind: dict[int, Any]
    heads: dict[int, Tensor]
    mlps: dict[int, Tensor]
    logits: Tensor


@torch.no_grad()
def plain_logits(loaded: LoadedModel, ids: Sequence[int]) -> Tensor:
    """Logits (V,) float32 after the last token, with nothing taken out."""
    return _last_logits(loaded, torch.tensor([list(ids)]))[0]


def parts_of(loaded: LoadedModel) -> list[tuple[int, int]]:
    """(layer, head) of every head whose attention is recorded, and (layer, MLP) where a block's MLP can be reached."""
    facts = loaded.facts
    counts = dict(zip(facts.attention_layers, facts.layer_heads, strict=True))
    mlps = set(available_sites(loaded).get("mlp_output", ()))
    parts: list[tuple[int, int]] = []
    for layer in range(facts.layers):
        parts += [(layer, head) for head in range(counts.get(layer, 0))]
        parts += [(layer, MLP)] if layer in mlps else []
    return parts


def ablations(
    loaded: LoadedModel, ids: Sequence[int], parts: Sequence[tuple[int, int]], baseline: Baseline
) -> Iterator[list[Ablated]]:
    """Yield, batch by batch and block by block, what the model predicts after the last of ``ids`` without each part.

    Raises UserError(field="baseline") for a mean over a prompt of one token.
    """
    if baseline == "mean" and len(ids) < 2:
        raise UserError(_TOO_SHORT, "baseline")
    size = 1 if rows_together(loaded) == "alone" else max(1, _BATCH_TOKENS // len(ids))
    blocks = layout(loaded).blocks
    element = 2 if loaded.facts.dtype in ("float16", "bfloat16") else 4
    step = max(1, _HELD // (len(ids) * loaded.facts.hidden * element))
    by_layer = [[head for layer, head in parts if layer == number] for number in range(len(blocks))]
    skips: bool | None = None
    for start in range(0, len(blocks), step):
        layers = range(start, min(start + step, len(blocks)))
        if not any(by_layer[layer] for layer in layers):
            continue
        plain = _plain(loaded, ids, layers)
        if skips is None:
            skips = _may_skip(loaded, ids, plain, [layer for layer in layers if layer > 0])
        for layer in layers:
            heads = by_layer[layer]
            for first in range(0, len(heads), size):
                yield _batch(loaded, ids, layer, heads[first : first + size], baseline, plain, skips)


@torch.no_grad()
def _batch(
    loaded: LoadedModel,
    ids: Sequence[int],
    layer: int,
    heads: Sequence[int],
    baseline: Baseline,
    plain: _Plain,
    skips: bool,
) -> list[Ablated]:
    hooks: dict[Site, Hook] = {}
    if MLP in heads:
        hooks[Site(layer, "mlp_output")] = _without_mlp(heads.index(MLP), baseline, plain.mlps.get(layer))
    behind = plain.behind.get(layer - 1) if skips and layer > 0 else None
    with (
        _begun(loaded, layer, behind, len(heads)),
        hooked(loaded, hooks),
        tapped(without([(layer, head) for head in heads], baseline, plain.heads)),
    ):
        logits = _last_logits(loaded, torch.tensor([list(ids)]).expand(len(heads), -1))
    return [Ablated(layer, head, row) for head, row in zip(heads, logits, strict=True)]


def without(parts: Sequence[tuple[int, int] | None], baseline: Baseline, means: Mapping[int, Tensor]) -> Tap:
    """A tap under which row n of a batch goes without the head ``parts[n]`` = (layer, head); rows of None, or of an
    MLP, are left alone.

    ``means``: what stands there for "mean", by layer: one for all tokens (H, w), or one for each but the first
    (H, T - 1, w).
    """

    def tap(record: LayerAttention, output: Tensor) -> Tensor | None:
        mine = [(row, part[1]) for row, part in enumerate(parts) if part is not None and part[0] == record.layer]
        if not mine:
            return None
        output = output.clone()
        for row, head in mine:
            if head != MLP:
                _replace(output[row, :, head], baseline, means[record.layer][head] if baseline == "mean" else None)
        return output

    return tap


def prompt_means(loaded: LoadedModel, ids: Sequence[int], layers: Sequence[int]) -> dict[int, Tensor]:
    """The means of the heads' outputs over a prompt's tokens, the first aside, (H, w) by layer: what "mean" puts in
    their place in :func:`ablations`. Raises UserError(field="baseline") for a prompt of one token."""
    if len(ids) < 2:
        raise UserError(_TOO_SHORT, "baseline")
    return _plain(loaded, ids, layers).heads


def _without_mlp(row: int, baseline: Baseline, mean: Tensor | None) -> Hook:
    def hook(x: Tensor) -> Tensor:
        x = x.clone()
        _replace(x[row], baseline, mean)
        return x

    return hook


def _replace(rows: Tensor, baseline: Baseline, mean: Tensor | None) -> None:
    """Write into rows (T, D)."""
    if baseline == "zero":
        rows.zero_()
    else:
        assert mean is not None
        rows[1:] = mean.to(rows)


@torch.no_grad()
def _plain(loaded: LoadedModel, ids: Sequence[int], layers: Sequence[int]) -> _Plain:
    """One pass; what is behind a block is kept for those that stand before one of ``layers``."""
    plain = _Plain({}, {}, {}, torch.zeros(0))
    blocks = layout(loaded).blocks
    mlps = [layer for layer in available_sites(loaded).get("mlp_output", ()) if layer in layers]

    def tap(record: LayerAttention, output: Tensor) -> None:
        if record.layer in layers:
            plain.heads[record.layer] = output[0, 1:].float().mean(0)

    def mlp(layer: int) -> Hook:
        def keep(x: Tensor) -> None:
            plain.mlps[layer] = x[0, 1:].float().mean(0)

        return keep

    def behind(layer: int) -> Any:
        def keep(_module: nn.Module, _args: Any, output: Any) -> None:
            plain.behind[layer] = output

        return keep

    handles = [blocks[n - 1].register_forward_hook(behind(n - 1)) for n in layers if n > 0]
    try:
        with tapped(tap), hooked(loaded, {Site(n, "mlp_output"): mlp(n) for n in mlps}):
            plain.logits = plain_logits(loaded, ids)
    finally:
        for handle in handles:
            handle.remove()
    return plain


@contextmanager
def _begun(loaded: LoadedModel, layer: int, behind: Any, rows: int) -> Iterator[None]:
    """Blocks before ``layer`` do not run: each hands on what the last of them gave, for every row. With None they
    run."""
    if behind is None:
        yield
        return
    hidden = hidden_of(behind)
    given = with_hidden(behind, hidden.expand(rows, *hidden.shape[1:]))
    idle = layout(loaded).blocks[:layer]
    # Whoever spreads a model over devices has put a forward of its own on the module.
    before = [vars(block).get("forward") for block in idle]
    try:
        for block in idle:
            block.forward = lambda *_args, **_kwargs: given
        yield
    finally:
        for block, own in zip(idle, before, strict=True):
            if own is None:
                vars(block).pop("forward", None)
            else:
                block.forward = own


@torch.no_grad()
def _may_skip(loaded: LoadedModel, ids: Sequence[int], plain: _Plain, layers: Sequence[int]) -> bool:
    """Whether two rows that begin at a block say what the plain pass said, with nothing taken out."""
    if not layers:
        return False
    layer = layers[len(layers) // 2]
    rows = 1 if rows_together(loaded) == "alone" else 2
    try:
        with _begun(loaded, layer, plain.behind[layer - 1], rows):
            logits = _last_logits(loaded, torch.tensor([list(ids)]).expand(rows, -1))
    except (RuntimeError, TypeError, ValueError, KeyError, IndexError, AttributeError):
        return False
    want = plain.logits.expand_as(logits).double().log_softmax(-1)
    return agrees(logits.double().log_softmax(-1), want, loaded)


def _last_logits(loaded: LoadedModel, ids: Tensor) -> Tensor:
    """Logits (B, V) float32, on the CPU, after the last token of each row."""
    loaded.check_ids(ids)
    loaded.check_length(int(ids.shape[1]))
    output: Any = loaded.model.get_output_embeddings()
    # Of the last token alone the unembedding sees rows that do not lie together, for which the product is slow.
    handle = None if output is None else output.register_forward_pre_hook(lambda _, args: (args[0].contiguous(),))
    try:
        logits = loaded.model(ids.to(loaded.device), use_cache=False, logits_to_keep=1).logits
    finally:
        if handle is not None:
            handle.remove()
    found: Tensor = logits[:, -1].float().cpu()
    return found
