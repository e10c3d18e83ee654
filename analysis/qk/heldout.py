"""A fitted subspace tried on examples: swaps by rank, share of the gap, and a map of the vectors.

Which examples these are, new ones or (of a short file) the fitted ones, is for the caller to choose and to say.

One pass per call, stopped after the layer in question, keeps queries and keys of one head only.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import LayerAttention, tapped, with_unrotated
from analysis.models.rotation import no_rotation
from analysis.progress import Progress, silent
from analysis.qk.answers.evidence import MapLegend, RankSwap, SubspaceMap, SwapTable
from analysis.qk.batching import batches
from analysis.qk.contrasts.example import Example
from analysis.qk.subspace import QKSubspace, random_basis, swap_keys
from analysis.qk.swap import row_softmax

RANKS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


class _EnoughError(Exception):
    """The layer in question has reported; the rest of the pass is not needed."""


@dataclass
class HeadSamples:
    """n examples of one head: ``queries`` (n, d), ``keys`` a list of (T_i, d), raw attention logits follow from them;
    ``positive`` and ``negative``: positions of the keys in the query's own prompt, ``key_labels`` their labels in that
    order; ``foreign``: negative keys of the other prompt, (m_i, d); ``record`` a layer record for its scaling and
    caps."""

    queries: Tensor
    keys: list[Tensor]
    visible: list[Tensor]
    positive: list[list[int]]
    negative: list[list[int]]
    labels: list[str]
    key_labels: list[tuple[str, ...]]
    foreign: list[Tensor]
    record: LayerAttention
    head: int

    def logits(self, i: int) -> Tensor:
        """Raw logits (T_i,) of example i, -inf where masked."""
        return (self.keys[i] @ self.queries[i]).masked_fill(~self.visible[i], -torch.inf)


@torch.no_grad()
def collect(
    loaded: LoadedModel,
    examples: Sequence[Example],
    layer: int,
    head: int,
    rotary: str = "post",
    progress: Progress = silent,
) -> HeadSamples:
    """Queries and keys of one head on examples; of a second prompt (lexical negatives) only its negative keys.

    ``rotary``: as of `fit_contrast`. Raises UserError(field="rotary") as it does.
    """
    queries, keys, visible, foreign, done = [], [], [], [], 0
    last: LayerAttention | None = None
    for batch in batches(examples, 0, 0, 512, loaded.tokenizer.pad_token_id or 0):
        chunk = examples[done : done + batch.examples]
        seen: list[LayerAttention] = []

        def look(record: LayerAttention, _output: Tensor, seen: list[LayerAttention] = seen) -> None:
            if record.layer == layer:
                seen.append(record)
                raise _EnoughError

        with tapped(look), with_unrotated(loaded.model) if rotary == "pre" else nullcontext() as passes:
            try:
                loaded.forward(batch.ids, batch.mask)
            except _EnoughError:
                pass
        if passes is not None and not passes.rotates:
            raise no_rotation()
        record = seen[0]
        q, k = record.unrotated if rotary == "pre" and record.unrotated is not None else (record.queries, record.keys)
        mask = record.visible(slice(head, head + 1)).expand(batch.ids.shape[0], -1, -1, -1)
        base = 0
        for example in chunk:
            prompt, position = base + example.query.prompt, example.query.position
            length = len(example.prompts[example.query.prompt])
            queries.append(q[prompt, head, position].cpu().double())
            keys.append(k[prompt, head // record.group, :length].cpu().double())
            visible.append(mask[prompt, 0, position, :length].cpu())
            others = [(base + p.prompt, p.position) for p in example.negative if p.prompt != example.query.prompt]
            rows = [k[other, head // record.group, place].cpu().double() for other, place in others]
            foreign.append(torch.stack(rows) if rows else keys[-1][:0])
            base += len(example.prompts)
        last, done = record, done + batch.examples
        progress(done / len(examples), f"{done} of {len(examples)} examples")
    if last is None:
        raise ValueError("there are no examples to collect")
    slim = LayerAttention(
        layer,
        last.queries[:1, :, :1].cpu(),
        last.keys[:1, :, :1].cpu(),
        last.values[:1, :, :1].cpu(),
        None,
        last.scaling,
        last.softcap,
        None if last.sinks is None else last.sinks.cpu(),
        None,
    )
    own = [[p.position for p in e.positive if p.prompt == e.query.prompt] for e in examples]
    other = [[p.position for p in e.negative if p.prompt == e.query.prompt] for e in examples]
    names = [
        tuple(
            name for p, name in zip((*e.positive, *e.negative), e.key_labels, strict=True) if p.prompt == e.query.prompt
        )
        for e in examples
    ]
    labels = [e.label for e in examples]
    return HeadSamples(torch.stack(queries), keys, visible, own, other, labels, names, foreign, slim, head)


def swap_table(samples: HeadSamples, subspace: QKSubspace, random_bases: int = 5, seed: int = 0) -> SwapTable:
    """Swap the positive key with a random negative one, by rank (dossier 2.4 and 6.4 b).

    Only keys that the query can see take part: a swap would let a masked one in.
    """
    rng = np.random.default_rng(seed)
    pairs = []
    for i, visible in enumerate(samples.visible):
        own, other = ([p for p in places[i] if visible[p]] for places in (samples.positive, samples.negative))
        if own and other:
            pairs.append((i, own[0], int(rng.choice(other))))
    d = int(subspace.singular_values.shape[0])
    ranks = sorted({0, d, subspace.rank, *[r for r in RANKS if r < d]}) if pairs else []
    generator = torch.Generator().manual_seed(seed)
    rows = []
    for rank in ranks:
        cut = subspace.with_rank(rank)
        row = RankSwap(rank, *_swap_means(samples, pairs, cut.key_basis))
        if rank:
            draws = [_swap_means(samples, pairs, random_basis(d, rank, generator)) for _ in range(random_bases)]
            query, key, both = gap_shares(samples, pairs, cut)
            row = replace(
                row,
                random_original=float(np.mean([x[0] for x in draws])),
                random_target=float(np.mean([x[1] for x in draws])),
                random_flip=float(np.mean([x[2] for x in draws])),
                random_target_min=min(x[1] for x in draws),
                random_target_max=max(x[1] for x in draws),
                share_query=query,
                share_key=key,
                share_both=both,
            )
        rows.append(row)
    gap, error = _gap(samples, pairs)
    return SwapTable(tuple(rows), len(pairs), subspace.rank, random_bases, gap, error)


def _gap(samples: HeadSamples, pairs: list[tuple[int, int, int]]) -> tuple[float | None, float | None]:
    """Mean raw-logit gap of the pairs and its standard error; None without pairs, and for the error of one pair."""
    if not pairs:
        return None, None
    gaps = torch.stack(
        [
            samples.queries[i] @ (samples.keys[i][own].mean(0) - samples.keys[i][other].mean(0))
            for i, own, other in _places(samples, pairs)
        ]
    )
    return float(gaps.mean()), float(gaps.std() / len(gaps) ** 0.5) if len(gaps) > 1 else None


def _swap_means(samples: HeadSamples, pairs: list[tuple[int, int, int]], basis: Tensor) -> tuple[float, float, float]:
    totals = np.zeros(3)
    for i, a, b in pairs:
        raw = samples.logits(i)
        if basis.shape[1]:
            new_a, new_b = swap_keys(samples.keys[i][a], samples.keys[i][b], basis)
            raw = raw.clone()
            raw[a], raw[b] = samples.queries[i] @ new_a, samples.queries[i] @ new_b
        row = row_softmax(raw, samples.record, samples.head)
        candidates = [*samples.positive[i], *samples.negative[i]]
        most = candidates[int(row[candidates].argmax())]
        totals += [float(row[a]), float(row[b]), float(most == b)]
    mean = totals / max(1, len(pairs))
    return float(mean[0]), float(mean[1]), float(mean[2])


def gap_shares(
    samples: HeadSamples, pairs: list[tuple[int, int, int]], subspace: QKSubspace
) -> tuple[float | None, float | None, float | None]:
    """Share of the samples' mean logit gap (positive minus mean negative) kept by projecting query, key and both; None
    where there is no gap."""
    u, v = subspace.query_basis, subspace.key_basis
    q = torch.stack([samples.queries[i] for i, _, _ in pairs])
    difference = torch.stack(
        [samples.keys[i][own].mean(0) - samples.keys[i][other].mean(0) for i, own, other in _places(samples, pairs)]
    )
    gap = float((q * difference).sum(-1).mean())
    q_in, k_in = (q @ u) @ u.mT, (difference @ v) @ v.mT
    query, key, both = (
        float(part.sum(-1).mean()) / gap if gap else None for part in (q_in * difference, q * k_in, q_in * k_in)
    )
    return query, key, both


def _places(samples: HeadSamples, pairs: list[tuple[int, int, int]]) -> list[tuple[int, list[int], list[int]]]:
    return [(i, samples.positive[i], samples.negative[i]) for i, _, _ in pairs]


def map_points(samples: HeadSamples, subspace: QKSubspace, limit: int = 400) -> SubspaceMap:
    """Queries and keys in the subspace, on three common principal axes (the paper's Figures 6 and 8); at most two
    negative keys per example."""
    u, v = subspace.query_basis, subspace.key_basis
    coordinates, labels, kinds = [], [], []
    for i in range(min(limit, len(samples.keys))):
        coordinates.append(samples.queries[i] @ u)
        labels.append(samples.labels[i])
        kinds.append("query")
        names = samples.key_labels[i]
        for position, name in zip(samples.positive[i], names, strict=False):
            coordinates.append(samples.keys[i][position] @ v)
            labels.append(name)
            kinds.append("positive")
        for n, position in enumerate(samples.negative[i][:2]):
            coordinates.append(samples.keys[i][position] @ v)
            labels.append(names[len(names) - len(samples.negative[i]) + n])
            kinds.append("negative")
    stacked = torch.stack(coordinates)
    centre = stacked.mean(0)
    stacked = stacked - centre
    _, values, axes = torch.linalg.svd(stacked, full_matrices=False)
    points = torch.zeros(len(stacked), 3, dtype=torch.float64)
    points[:, : min(3, axes.shape[0])] = stacked @ axes[:3].mT
    explained = (values**2 / (values**2).sum().clamp_min(1e-30))[:3].tolist()
    legend = MapLegend(tuple(labels), tuple(kinds), (*explained, 0.0, 0.0, 0.0)[:3])
    return SubspaceMap(legend, points.float().numpy(), centre.float().numpy(), axes[:3].mT.float().numpy())
