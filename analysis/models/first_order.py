"""By how much a logit difference would fall without each head and each MLP, to first order: one pass and one back.

The slope of the difference along what stands in an output, times the whole way to its baseline. All parts at all tokens
come from one backward pass, so it is what one looks at first; what it misses is everything that is not linear on that
way, a softmax that saturates above all, and what it says is an estimate until the part is taken out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.ablation import Baseline
from analysis.models.hooks import Hook, available_sites, hooked
from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import LayerAttention, tapped
from analysis.models.sites import Site

_Part = tuple[Tensor, Tensor]
_NUMBERS = 20
"""Numbers that a pass keeps for the way back, by token, block and dimension of the stream: what a usual block holds."""
_BYTES = 1 << 30


def estimated_falls(
    loaded: LoadedModel, ids: Sequence[int], target: int, against: int | None, baseline: Baseline
) -> tuple[Tensor, Tensor]:
    """Falls of heads (L, H) and MLPs (L,) float64, NaN where there is none, of the logit of ``target`` after ``ids``
    over that of ``against``, or over the mean of all.

    Raises UserError(field="model") for a model through which no gradient passes, UserError(field="baseline") for a mean
    over a prompt of one token, UserError(field="prompt") for one whose pass would take more memory than a gibibyte.
    """
    most = longest(loaded)
    if len(ids) > most:
        raise UserError(
            f"These {len(ids):,} tokens are too many to estimate falls at once in this model (at most {most:,}). Rank "
            "heads by what they write, take the parts out, or ask at an earlier token.",
            "prompt",
        )
    if baseline == "mean" and len(ids) < 2:
        raise UserError("A prompt of one token has no mean over other tokens. Take zero.", "baseline")
    heads: dict[int, _Part] = {}
    mlps: dict[int, _Part] = {}

    def changed(parts: dict[int, _Part], layer: int, output: Tensor) -> Tensor:
        change = torch.zeros_like(output, requires_grad=True)
        parts[layer] = output.detach(), change
        return output + change

    def head(record: LayerAttention, output: Tensor) -> Tensor:
        return changed(heads, record.layer, output)

    def mlp(layer: int) -> Hook:
        return lambda x: changed(mlps, layer, x)

    sites = {Site(layer, "mlp_output"): mlp(layer) for layer in available_sites(loaded).get("mlp_output", ())}
    tensor = torch.tensor([list(ids)])
    loaded.check_ids(tensor)
    loaded.check_length(len(ids))
    try:
        with torch.inference_mode(False), torch.enable_grad(), tapped(head), hooked(loaded, sites):
            output: Any = loaded.model(tensor.to(loaded.device), use_cache=False, logits_to_keep=1)
            logits = output.logits[0, -1].float()
            value = logits[target] - (logits.mean() if against is None else logits[against])
            changes = [change for parts in (heads, mlps) for _, change in parts.values()]
            slopes = torch.autograd.grad(value, changes)
    except (RuntimeError, NotImplementedError) as error:
        raise UserError(
            "No gradient passes through this model as it is held, so falls cannot be estimated. Take the parts out.",
            "model",
        ) from error
    found = torch.full((loaded.facts.layers, loaded.facts.heads), torch.nan, dtype=torch.float64)
    found_mlps = torch.full((loaded.facts.layers,), torch.nan, dtype=torch.float64)
    for (layer, (held, _)), slope in zip(heads.items(), slopes[: len(heads)], strict=True):
        falls = (_way(held, baseline) * slope.double()).sum((0, 1, 3)).cpu()
        found[layer, : falls.shape[0]] = falls
    for (layer, (held, _)), slope in zip(mlps.items(), slopes[len(heads) :], strict=True):
        found_mlps[layer] = (_way(held, baseline) * slope.double()).sum().cpu()
    return found, found_mlps


def longest(loaded: LoadedModel) -> int:
    """The most tokens whose pass and way back fit into a gibibyte, roughly."""
    facts = loaded.facts
    size = 2 if facts.dtype in ("float16", "bfloat16") else 4
    return _BYTES // (facts.layers * facts.hidden * _NUMBERS * size)


def _way(held: Tensor, baseline: Baseline) -> Tensor:
    """From the baseline to an output (1, T, ...), as of :data:`analysis.models.ablation.Baseline`."""
    way = held.double()
    if baseline == "mean":
        way = way - way[:, 1:].mean(1, keepdim=True)
        way[:, 0] = 0
    return way
