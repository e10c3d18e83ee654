"""Fit a contrast on every head of a model in one stream of forward passes, and reduce it to what is kept.

The result is plain arrays (:class:`ContrastFit`), so that it can be stored, and looked at for any head, rank or
centring without the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import comb, nan
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.engine.spread import Spread
from analysis.models.loaded_model import LoadedModel
from analysis.progress import Check, Progress, no_check, silent
from analysis.qk.accumulate import LayerSums
from analysis.qk.batching import batches
from analysis.qk.contrasts.example import Example
from analysis.qk.runs import Task, add_run, check_layers, merge, run_batch, runs_of

# Accumulators of the null may take this much; larger models get fewer relabellings, and the page says how many.
NULL_BYTES = {"cpu": 1 << 30, "cuda": 4 << 30}


@dataclass
class ContrastFit:
    """What is kept of a fit: L layers (those with softmax attention, in order), H heads, width d, P relabellings.

    ``halves`` (L, H, 2, d, d) float32: covariance of even and odd examples, each an average over its own half.
    ``query_mean`` (L, H, 2, d), ``key_mean`` (L, H, 2, d): means of q and of k+ - k- by half. ``query_gap`` and
    ``key_mid`` (L, H, 2, d): means of q+ - q- and of (k+ + k-) / 2 by half; the first is zero where one query serves
    both conditions, and centring needs them where it does not.
    ``null_values`` (L, H, P, d): singular values of relabelled covariances; ``null_values_centred`` likewise after
    centring; ``null_trace`` (L, H, P). ``query_sq``, ``key_sq`` (L, H): mean squared norms of q and of k+ - k-.
    ``trace``, ``trace_error`` (L, H): mean raw-logit gap and its standard error over examples.
    ``attention`` (L, H, 2): mean attention on positive and on negative keys of the query's own prompt; ``hits`` (L, H):
    share of queries whose positive keys all get more than every negative one; NaN where no query has such keys.
    ``counts``: examples in each half. ``scaling`` (L,): of raw logits. ``candidates``: mean number of positive and of
    negative keys in the query's own prompt, and ``chance``: the share of hits if the order of these keys were left to
    chance; NaN where no example has both. ``still`` (L,) booleans: layers of a fit before the rotary embedding whose
    vectors nothing rotates, so that it is the fit after it there; None where nobody looked.
    """

    layers: list[int]
    halves: np.ndarray
    query_mean: np.ndarray
    key_mean: np.ndarray
    query_gap: np.ndarray
    key_mid: np.ndarray
    null_values: np.ndarray
    null_values_centred: np.ndarray
    null_trace: np.ndarray
    query_sq: np.ndarray
    key_sq: np.ndarray
    trace: np.ndarray
    trace_error: np.ndarray
    attention: np.ndarray
    hits: np.ndarray
    counts: tuple[int, int]
    scaling: np.ndarray
    candidates: tuple[float, float] = (nan, nan)
    chance: float = nan
    still: np.ndarray | None = None

    @property
    def examples(self) -> int:
        """Examples in both halves."""
        return sum(self.counts)

    def delta(self, layer: int, head: int, centred: bool = False, half: int | None = None) -> Tensor:
        """Contrastive covariance (d, d) of one head, float64; of one half of the examples if ``half`` is given.

        Centred: of queries and keys less their means over both conditions. With one query for both that is
        ``E[(q - mean q)((k+ - k-) - mean)^T]``, with two it is ``cov(q+, k+) - cov(q-, k-)``.
        """
        i = self.layers.index(layer)
        share = self._share(half)
        delta = np.einsum("c,cij->ij", share, self.halves[i, head].astype(np.float64))
        if centred:
            q, k = self.means(layer, head, half)
            gap, mid = (share @ a[i, head].astype(np.float64) for a in (self.query_gap, self.key_mid))
            delta = delta - np.outer(q, k) - np.outer(gap, mid)
        return torch.from_numpy(delta)

    def means(self, layer: int, head: int, half: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Means (d,) of q and of k+ - k-, float64; of one half of the examples if ``half`` is given."""
        i, share = self.layers.index(layer), self._share(half)
        return share @ self.query_mean[i, head].astype(np.float64), share @ self.key_mean[i, head].astype(np.float64)

    def _share(self, half: int | None) -> np.ndarray:
        return np.array(self.counts, float) / max(1, self.examples) if half is None else np.eye(2)[half]


@torch.no_grad()
def fit_contrast(
    loaded: LoadedModel,
    examples: Sequence[Example],
    permutations: int = 20,
    seed: int = 0,
    rotary: str = "post",
    max_tokens: int = 512,
    progress: Progress = silent,
    check: Check = no_check,
    spread: Spread | None = None,
) -> ContrastFit:
    """Stream the examples through the model once and reduce (arXiv 2602.04752; dossier 1.2, clean form by default).

    Args:
        permutations: relabellings for the null, fewer where their accumulators would exceed :data:`NULL_BYTES`.
        rotary: "post" for the vectors whose product is the raw logit, "pre" for those before the rotary embedding.
        max_tokens: tokens of one padded batch; ``progress`` is told between batches, with no tap open.
        spread: what runs the batches, where it has several hands; ``check`` is called while it does.

    Raises:
        UserError(field="rotary"): vectors before the rotary embedding of a model that has none, or that cannot be had.
        UserError(field="model"): heads that differ in number or width between layers.
        RuntimeError: a layer with softmax attention did not report.
    """
    permutations = affordable_permutations(loaded, permutations, loaded.device.type)
    sums: dict[int, LayerSums] = {}
    turned: set[int] = set()
    packed = batches(examples, permutations, seed, max_tokens, loaded.tokenizer.pad_token_id or 0)
    if spread is not None and spread.hands > 1:
        runs = runs_of(packed, spread.hands)

        def told(share: float | None, text: str = "", **facts: Any) -> None:
            progress(None if share is None else 0.95 * share, f"about {int((share or 0.0) * len(examples)):,} examples")

        for part in spread(add_run, Task(permutations + 2, rotary), runs, progress=told, check=check):
            turned |= merge(part, sums, loaded.device, permutations + 2)
    else:
        done = 0
        for batch in packed:
            turned |= run_batch(loaded, batch, sums, permutations + 2, rotary)
            if not done:
                check_layers(sums, turned, rotary)
            done += batch.examples
            progress(done / len(examples) * 0.95, f"{done:,} of {len(examples):,} examples")
    missing = set(loaded.facts.attention_layers) - set(sums)
    if missing:
        raise RuntimeError(f"layers {sorted(missing)} did not report")
    fit = reduce_sums(sums, (len(examples) + 1) // 2, len(examples) // 2, progress)
    still = np.array([rotary == "pre" and n not in turned for n in fit.layers])
    return replace(fit, **_candidates(examples), still=still)


def _candidates(examples: Sequence[Example]) -> dict[str, Any]:
    """Mean numbers of keys in the queries' own prompts, and how often all positive ones would come first by chance."""
    own = [[sum(k.prompt == e.query.prompt for k in keys) for keys in (e.positive, e.negative)] for e in examples]
    both = [(a, b) for a, b in own if a and b]
    if not both:
        return {}
    chance = sum(1 / comb(a + b, a) for a, b in both) / len(both)
    means = tuple(sum(counts) / len(both) for counts in zip(*both, strict=True))
    return {"candidates": means, "chance": chance}


def affordable_permutations(loaded: LoadedModel, wanted: int, device: str) -> int:
    """As many relabellings as fit into the memory set aside for them."""
    facts = loaded.facts
    each = len(facts.attention_layers) * facts.heads * facts.head_width**2 * 8
    return max(0, min(wanted, NULL_BYTES.get(device, 1 << 30) // max(1, each)))


def reduce_sums(sums: dict[int, LayerSums], even: int, odd: int, progress: Progress = silent) -> ContrastFit:
    """Averages, null spectra and scores from the sums; frees the accumulators as it goes."""
    layers = sorted(sums)
    n = even + odd
    parts: dict[str, list[np.ndarray]] = {}

    def keep(name: str, tensor: Tensor) -> None:
        parts.setdefault(name, []).append(tensor.detach().to("cpu", torch.float32).numpy())

    counts = torch.tensor([even, max(1, odd)], dtype=torch.float64)
    for index, layer in enumerate(layers):
        s = sums.pop(layer)
        s.flush()
        covariance = s.covariance
        by = counts.to(covariance.device)
        keep("halves", covariance[:, :2] / by[:, None, None])
        key_sum, key_mid = (t.repeat_interleave(s.group, 0) for t in (s.key_sum, s.key_mid))
        keep("query_mean", s.query_sum / s.rows.clamp_min(1)[:, None])
        keep("key_mean", key_sum[:, :2] / by[:, None])
        keep("query_gap", s.query_gap[:, :2] / by[:, None])
        keep("key_mid", key_mid / by[:, None])
        null = covariance[:, 2:] / n
        keep("null_trace", torch.diagonal(null, dim1=-2, dim2=-1).sum(-1))
        keep("null_values", _spectra(null))
        centre = torch.einsum("hi,hpj->hpij", s.query_sum.sum(1) / s.rows.sum(), key_sum[:, 2:] / n)
        centre += torch.einsum("hpi,hj->hpij", s.query_gap[:, 2:] / n, key_mid.sum(1) / n)
        keep("null_values_centred", _spectra(null - centre))
        keep("query_sq", s.query_sq / s.rows.sum())
        keep("key_sq", s.key_sq.repeat_interleave(s.group, 0) / n)
        keep("trace", s.gap_sum / n)
        keep("trace_error", ((s.gap_sq / n - (s.gap_sum / n) ** 2).clamp_min(0) / max(1, n - 1)).sqrt())
        # 0 / 0, NaN, where the query's own prompt has no such keys.
        keep("attention", s.attention / torch.tensor([s.scored, s.compared]).to(s.attention))
        keep("hits", s.hits / torch.tensor(s.compared).to(s.hits))
        keep("scaling", torch.tensor(s.scaling))
        progress(0.95 + 0.05 * (index + 1) / len(layers), "singular values of the null")
    arrays: dict[str, Any] = {name: np.stack(values) for name, values in parts.items()}
    return ContrastFit(layers=layers, counts=(even, odd), **arrays)


def _spectra(matrices: Tensor) -> Tensor:
    """Singular values (..., d), decreasing, through the Gram matrix: exact enough for a null band, and batched."""
    if matrices.shape[1] == 0:
        return matrices.new_zeros(*matrices.shape[:-1])
    squares: Tensor = torch.linalg.eigvalsh(matrices.mT @ matrices)
    return squares.clamp_min(0).sqrt().flip(-1)
