"""Identities that must hold on the loaded model, measured now, each beside a deliberately wrong variant.

A check that cannot fail proves nothing, so every invariant carries the error of a variant that breaks it: a wrong head
map, a basis that is not orthonormal, a swap with the wrong sign. The page shows both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.capabilities import TOLERANCE
from analysis.models.facts import recording_error
from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import LayerAttention, tapped, with_unrotated
from analysis.models.trace import Trace, trace_prompt
from analysis.progress import Progress, silent
from analysis.qk.answers.validation import Invariant, InvariantTable
from analysis.qk.attribution import attribute_logits
from analysis.qk.contrasts.example import Example
from analysis.qk.covariance import contrastive_covariance
from analysis.qk.heldout import HeadSamples, collect
from analysis.qk.subspace import QKSubspace, random_basis, swap_keys
from analysis.qk.swap import row_softmax


@dataclass(frozen=True)
class Claim:
    """A claim, its measured error, the tolerance, the error of a variant that breaks it, and what that variant is."""

    claim: str
    error: float
    tolerance: float
    broken: float | None
    variant: str

    @property
    def holds(self) -> bool:
        """Whether the error is within tolerance and the broken variant, if any, is not."""
        return self.error <= self.tolerance and (self.broken is None or self.broken > self.tolerance)


@torch.no_grad()
def measure_invariants(
    loaded: LoadedModel,
    ids: list[int],
    examples: Sequence[Example],
    progress: Progress = silent,
) -> InvariantTable:
    """All invariants of dossier 6.3 on a loaded model. ``ids``: a prompt; ``examples``: of a contrast."""
    layer = loaded.facts.attention_layers[len(loaded.facts.attention_layers) // 2]
    progress(0.05, "recording a prompt")
    trace, _ = trace_prompt(loaded, ids, overview=False)
    # Layers may differ in the number of their heads.
    head = min(loaded.facts.heads, trace.layers[layer].queries.shape[1]) // 2
    progress(0.3, "queries and keys of a contrast")
    samples = collect(loaded, examples, layer, head)
    progress(0.5, "the model's own attention")
    claims = [_recording(loaded, ids), _grouping(loaded, trace, layer), _parts(trace, layer, head)]
    progress(0.7, "rotary embedding")
    rotation, note = _rotation(loaded, ids)
    claims += [*rotation, *_swaps(trace, layer, head)]
    progress(0.9, "covariance identities")
    claims += [_trace_identity(samples), _gauge(samples), _projector(samples)]
    measured = (Invariant(**asdict(c), holds=c.holds, layer=layer, head=head) for c in claims)
    return InvariantTable(tuple(measured), (note,) if note else ())


def _recording(loaded: LoadedModel, ids: list[int]) -> Claim:
    tensor = torch.tensor([ids], device=loaded.device)
    error = recording_error(loaded.model, tensor)
    seen: list[Tensor] = []

    def causal_lost(record: LayerAttention, _output: Tensor) -> None:
        if not seen:
            without = torch.softmax(record.raw_logits() * record.scaling, -1)
            seen.append((without - record.weights()).abs().max())

    with tapped(causal_lost):
        loaded.forward(tensor)
    return Claim(
        "Attention recomputed from recorded queries and keys equals the model's own (all layers and heads)",
        error,
        TOLERANCE.get(loaded.facts.dtype, 4e-2),
        float(seen[0]),
        "without the causal mask",
    )


def _grouping(loaded: LoadedModel, trace: Trace, layer: int) -> Claim:
    record = trace.layers[layer]
    heads, groups = record.queries.shape[1], record.keys.shape[1]
    right = torch.stack(
        [record.queries[0, h].double() @ record.keys[0, h // record.group].double().T for h in range(heads)]
    )
    error = float((right - record.raw_logits()[0].double()).abs().max())
    wrong, variant = None, "key head h modulo the number of key heads"
    # Without grouping the modulo is the right map, so the next key head is the wrong one.
    mistaken = [h % groups if record.group > 1 else (h + 1) % groups for h in range(heads)]
    if record.group == 1:
        variant = "the key head after"
    if groups > 1:
        shifted = torch.stack(
            [record.queries[0, h].double() @ record.keys[0, mistaken[h]].double().T for h in range(heads)]
        )
        wrong = float((shifted - record.raw_logits()[0].double()).abs().max())
    return Claim(
        f"Query head h reads key head h // {record.group}: the raw logits agree",
        error,
        1e-2 if loaded.facts.dtype != "float32" else 1e-3,
        wrong,
        variant if groups > 1 else "",
    )


def _parts(trace: Trace, layer: int, head: int) -> Claim:
    record, generator = trace.layers[layer], torch.Generator().manual_seed(0)
    d = record.queries.shape[-1]
    subspaces = []
    for rank in (d // 8, d // 4):
        u, v = (torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0] for _ in range(2))
        subspaces.append(QKSubspace(u, v, torch.ones(d, dtype=torch.float64), max(1, rank)))
    query, keys = record.queries[0, head, -1].double(), record.keys[0, head // record.group].double()
    errors, broken = [], []
    for side in ("query", "key", "both"):
        parts = attribute_logits(query, keys, subspaces, side)
        errors.append(float((parts.sum(1) - keys @ query).abs().max()))
        broken.append(float((parts[:, :-1].sum(1) - keys @ query).abs().max()))
    return Claim(
        "Parts plus remainder equal the raw logit, whichever side is split",
        max(errors),
        1e-10,
        min(broken),
        "leaving the remainder out",
    )


def _rotation(loaded: LoadedModel, ids: list[int]) -> tuple[list[Claim], str]:
    """What a rotary embedding must leave alone, over all layers that have one, and a sentence on the others."""
    norms: list[Tensor] = []
    starts: list[Tensor] = []
    moved: list[Tensor] = []
    seen: set[int] = set()
    factors = {1.0}
    loose = 1e-4 if loaded.facts.dtype == "float32" else 2e-2

    def look(record: LayerAttention, _output: Tensor) -> None:
        factors.update(passes.factors)
        if record.unrotated is None:
            seen.add(record.layer)
            return
        before, after = record.unrotated[1].float(), record.keys.float()
        # Some architectures rotate a part of each vector, and only that part takes the factor.
        part = (before - after).abs().amax((0, 1, 2)) > loose
        if not bool(part.any()):
            return
        before, after = before[..., part], after[..., part]
        ratio = float((after.norm(dim=-1) / before.norm(dim=-1)).median())
        before = before * min(factors, key=lambda f: abs(f - ratio))
        norms.append((before.norm(dim=-1) - after.norm(dim=-1)).abs().max() / after.norm(dim=-1).max())
        starts.append((before[:, :, 0] - after[:, :, 0]).abs().max())
        moved.append((before[:, :, 1:] - after[:, :, 1:]).abs().max())

    try:
        with tapped(look), with_unrotated(loaded.model) as passes:
            loaded.forward(torch.tensor([ids]))
    except UserError as error:
        return [], f"Nothing is claimed of the rotary embedding. {error.message}"
    if not norms:
        return [], "No rotary embedding turns the queries and keys of this model, so nothing is claimed of one."
    still = ", ".join(map(str, sorted(seen)))
    note = f"Layers without rotary embedding, of which nothing is claimed: {still}." if still else ""
    # YaRN makes the rotated vectors longer by one factor, on purpose.
    named = sorted(factors - {1.0})
    but = f", but for the architecture's factor of {' and '.join(f'{f:.3f}' for f in named)}" if named else ""
    return [
        Claim(
            f"Rotary embedding leaves the norm of every key unchanged{but} (relative)",
            float(max(norms)),
            loose,
            None,
            "",
        ),
        Claim(
            f"Rotary embedding leaves position 0 alone{but}",
            float(max(starts)),
            loose,
            float(max(moved)),
            "the same for the other positions",
        ),
    ], note


def _swaps(trace: Trace, layer: int, head: int) -> list[Claim]:
    record = trace.layers[layer]
    query = len(trace.ids) - 1
    keys, vector = record.keys[0, head // record.group].double(), record.queries[0, head, query].double()
    raw, own = trace.row(layer, head, query)
    # The most and the least attended of the visible keys, so that leaving them in place shows.
    seen = raw.isfinite().nonzero()[:, 0]
    a, b = int(seen[own[seen].argmax()]), int(seen[own[seen].argmin()])
    d = keys.shape[1]

    def row(basis: Tensor, times: int = 1) -> Tensor:
        new_a, new_b = keys[a], keys[b]
        for _ in range(times):
            new_a, new_b = swap_keys(new_a, new_b, basis)
        changed = raw.clone()
        changed[a], changed[b] = vector @ new_a, vector @ new_b
        return row_softmax(changed, record, head)

    exchanged = own.clone()
    exchanged[a], exchanged[b] = own[b], own[a]
    half = random_basis(d, d // 2, torch.Generator().manual_seed(1))
    base = row_softmax(raw, record, head)
    return [
        Claim(
            "A swap in the full space exchanges the two attentions",
            float((row(torch.eye(d, dtype=torch.float64)) - exchanged).abs().max()),
            1e-5,
            float((row(half) - exchanged).abs().max()) or None,
            "a swap in half of the space",
        ),
        Claim(
            "A swap in the empty space changes nothing",
            float((row(torch.zeros(d, 0, dtype=torch.float64)) - base).abs().max()),
            1e-12,
            None,
            "",
        ),
        Claim("Swapping twice restores the row", float((row(half, 2) - base).abs().max()), 1e-10, None, ""),
    ]


def _stack(samples: HeadSamples) -> tuple[Tensor, Tensor, Tensor]:
    positive = torch.stack([k[p].mean(0) for k, p in zip(samples.keys, samples.positive, strict=True)])
    negative = torch.stack([k[n].mean(0) for k, n in zip(samples.keys, samples.negative, strict=True)])
    return samples.queries, positive, negative


def _trace_identity(samples: HeadSamples) -> Claim:
    q, positive, negative = _stack(samples)
    gap = float((q * positive).sum(-1).mean() - (q * negative).sum(-1).mean())
    subspace = QKSubspace.from_covariance(contrastive_covariance(q, positive, negative))
    wrong = float(subspace.singular_values.sum())
    return Claim(
        f"The trace of the covariance is the mean logit gap ({gap:.3f})",
        abs(subspace.trace - gap),
        1e-9,
        abs(wrong - gap),
        "the sum of singular values without their u.v",
    )


def _gauge(samples: HeadSamples) -> Claim:
    q, positive, negative = _stack(samples)
    d = q.shape[1]
    turn = torch.linalg.qr(torch.randn(d, d, generator=torch.Generator().manual_seed(2), dtype=torch.float64))[0]
    values = torch.linalg.svdvals(contrastive_covariance(q, positive, negative))
    turned = torch.linalg.svdvals(contrastive_covariance(q @ turn, positive @ turn, negative @ turn))
    scale = torch.linspace(0.5, 2, d, dtype=torch.float64)
    stretched = torch.linalg.svdvals(contrastive_covariance(q * scale, positive / scale, negative / scale))
    return Claim(
        "Singular values do not change when queries and keys are rotated together",
        float((values - turned).abs().max()),
        1e-9,
        float((values - stretched).abs().max()),
        "a stretch that leaves every logit alone, which is why scores are compared by logits",
    )


def _projector(samples: HeadSamples) -> Claim:
    q, positive, negative = _stack(samples)
    basis = QKSubspace.from_covariance(contrastive_covariance(q, positive, negative)).key_basis
    p = basis @ basis.mT
    error = max(float((p @ p - p).abs().max()), float((p - p.mT).abs().max()), abs(float(p.trace()) - basis.shape[1]))
    bad = 1.1 * basis @ basis.mT
    return Claim(
        "Projectors are symmetric, idempotent, and their trace is the rank",
        error,
        1e-10,
        float((bad @ bad - bad).abs().max()),
        "a basis that is 5 % too long",
    )
