"""How much a fitted subspace is worth: its spectrum beside a permutation null, and what that means in words.

The 99 % rule alone cannot tell signal from noise (it finds a dozen directions in shuffled labels), so every rank comes
with the trace, the null of both, the noise share and the split-half cosine, and with sentences that draw the
conclusion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from analysis.qk.answers.evidence import HeadEvidence
from analysis.qk.answers.features import SubspaceOverlap
from analysis.qk.contrasts.spec import MAX_EXAMPLES
from analysis.qk.covariance import noise_share
from analysis.qk.fit import ContrastFit
from analysis.qk.subspace import QKSubspace, principal_cosines, rank_by_energy

NOISE_LIMIT = 0.01
FEW_RELABELLINGS = 8
"""With fewer, the spread of the null is itself so uncertain that a distance in its deviations says nothing."""
LOOKS = 0.1
"""A head that gives its matching keys less of its attention, all together, is not moved by what tells them apart."""
MARKED = 2.0
"""Where a matching key gets so many times the attention of another, the attention follows the feature."""


def subspace_of(
    fit: ContrastFit, layer: int, head: int, rank: int | None = None, centred: bool = False, energy: float = 0.99
) -> QKSubspace:
    """The feature's subspace on one head; by the energy rule unless a rank is given."""
    subspace = QKSubspace.from_covariance(fit.delta(layer, head, centred), energy)
    return subspace if rank is None else subspace.with_rank(min(rank, subspace.singular_values.shape[0]))


def head_evidence(
    fit: ContrastFit,
    layer: int,
    head: int,
    rank: int | None = None,
    centred: bool = False,
    energy: float = 0.99,
    rotary: str = "post",
) -> HeadEvidence:
    """Everything the evidence panel shows of one head (dossier 7.2 item 4). ``rotary`` says which vectors were fitted,
    for the words."""
    i = fit.layers.index(layer)
    by_rule = subspace_of(fit, layer, head, None, centred, energy)
    chosen = by_rule if rank is None else by_rule.with_rank(min(rank, by_rule.singular_values.shape[0]))
    values = by_rule.singular_values.numpy()
    null = _null(fit, i, head, centred)
    band = np.quantile(null, [0.05, 0.5, 0.95], axis=0) if len(null) else None
    null_ranks = np.array([rank_by_energy(torch.from_numpy(spectrum), energy) for spectrum in null], float)
    trace, error = float(fit.trace[i, head]), float(fit.trace_error[i, head])
    null_trace = fit.null_trace[i, head]
    halves = [QKSubspace.from_covariance(fit.delta(layer, head, centred, half), energy) for half in (0, 1)]
    r = max(1, chosen.rank)
    facts = HeadEvidence(
        layer=layer,
        head=head,
        centred=centred,
        examples=fit.examples,
        rank=chosen.rank,
        rank_by_rule=by_rule.rank,
        energy=energy,
        singular_values=tuple(values.round(5).tolist()),
        null_band=None if band is None else tuple(band.round(5).tolist()),
        permutations=len(null),
        above_null=None if band is None else int(_above(values, null).sum()),
        null_rank_mean=float(null_ranks.mean()) if len(null) else None,
        null_rank_sd=float(null_ranks.std(ddof=1)) if len(null) > 1 else None,
        first_is_shared=_first_is_shared(fit, i, head, layer),
        trace=trace,
        trace_error=error,
        trace_nats=trace * float(fit.scaling[i]),
        trace_null_mean=float(null_trace.mean()) if len(null) else None,
        trace_null_sd=float(null_trace.std(ddof=1)) if len(null) > 1 else None,
        direction_trace=tuple(by_rule.direction_trace.numpy().round(5).tolist()),
        trace_in_rank=float(chosen.direction_trace[: chosen.rank].sum()),
        noise_share=_noise(fit, i, layer, head, centred),
        split_half_query=float((halves[0].left[:, 0] @ halves[1].left[:, 0]).abs()),
        split_half_key=float((halves[0].right[:, 0] @ halves[1].right[:, 0]).abs()),
        split_half_subspace=float(
            principal_cosines(halves[0].with_rank(r).key_basis, halves[1].with_rank(r).key_basis).mean()
        ),
        attention_positive=_number(fit.attention[i, head, 0]),
        attention_negative=_number(fit.attention[i, head, 1]),
        hits=_number(fit.hits[i, head]),
        chance=_number(fit.chance),
        candidates=fit.candidates if np.isfinite(fit.candidates).all() else None,
        rotary=rotary,
    )
    first, remarks = verdict(facts)
    return replace(facts, verdict=first, remarks=tuple(remarks))


def matching_attention(fit: ContrastFit) -> np.ndarray:
    """Mean attention (L, H) that all matching keys of a query get together, exact where each has as many."""
    many = fit.candidates[0] if np.isfinite(fit.candidates[0]) else 1.0
    attention: np.ndarray = fit.attention[..., 0] * many
    return attention


def _null(fit: ContrastFit, i: int, head: int, centred: bool) -> np.ndarray:
    """Singular values (P, d) of the relabelled covariances, float64."""
    return np.asarray((fit.null_values_centred if centred else fit.null_values)[i, head], np.float64)


def _above(values: np.ndarray, null: np.ndarray) -> np.ndarray:
    """Which singular values (d,) exceed the null's 95 % point of the same index."""
    # Below this lies the rounding of float32 storage: with fewer examples than dimensions the null ends in zeros.
    floor = 1e-5 * max(float(values[0]), float(null.max()))
    above: np.ndarray = values > np.maximum(np.quantile(null, 0.95, axis=0), floor)
    return above


def _first_is_shared(fit: ContrastFit, i: int, head: int, layer: int) -> bool | None:
    if not _null(fit, i, head, False).size:
        return None
    raw, centred = (
        bool(_above(torch.linalg.svdvals(fit.delta(layer, head, c)).numpy(), _null(fit, i, head, c))[0])
        for c in (False, True)
    )
    return centred and not raw


def _noise(fit: ContrastFit, i: int, layer: int, head: int, centred: bool) -> float | None:
    query_sq, key_sq = float(fit.query_sq[i, head]), float(fit.key_sq[i, head])
    if centred:
        query, key = fit.means(layer, head)
        query_sq, key_sq = query_sq - float(query @ query), key_sq - float(key @ key)
    delta_sq = float((fit.delta(layer, head, centred) ** 2).sum())
    return _number(noise_share(query_sq, key_sq, delta_sq, fit.examples))


def _number(value: float) -> float | None:
    """A finite number, or None, which JSON can hold."""
    return float(value) if np.isfinite(value) else None


def verdict(facts: HeadEvidence) -> tuple[str, list[str]]:
    """One sentence for whether the head carries the feature, and the warnings that belong to it.

    A gap in the logits alone carries nothing: softmax can give the matching key next to no attention all the same,
    where other tokens have larger logits still. So the verdict asks for both.
    """
    mean, sd = facts.trace_null_mean, facts.trace_null_sd
    first, side = _gap_sentence(facts)
    real = side != 0
    if facts.permutations < FEW_RELABELLINGS:
        mean = sd = None
    remarks = []
    if not real:
        remarks.append(
            f"The energy rule still reports rank {facts.rank_by_rule}: it measures how spread out the estimate is, "
            "not whether there is a signal. Read nothing into that rank."
        )
    if sd is not None:
        remarks.append(
            f"With shuffled labels the mean gap is {mean:.1f} ± {sd:.1f}, and the energy rule still reports rank "
            f"{facts.null_rank_mean:.1f} ± {facts.null_rank_sd:.1f}: the rank alone is no evidence."
        )
    if facts.above_null is not None and facts.rank_by_rule > facts.above_null and real:
        remarks.append(
            f"{facts.above_null} of {len(facts.singular_values)} singular values rise above the null's 95 % "
            f"point at the same index; the energy rule counts {facts.rank_by_rule}."
        )
    if facts.first_is_shared and not facts.centred:
        remarks.append("The first direction is shared with the null: it holds the mean key. Centring removes it.")
    if facts.noise_share is None:
        remarks.append("The covariance of this head is zero, so there is no direction to speak of.")
    elif facts.noise_share > NOISE_LIMIT:
        wanted = int(np.ceil(facts.examples * facts.noise_share / NOISE_LIMIT / 100) * 100)
        beyond = ", more than can be asked for" if wanted > MAX_EXAMPLES else ""
        remarks.append(
            f"Sampling noise is {facts.noise_share:.1%} of the squared norm, above the 1 % that the energy rule "
            f"needs; about {wanted:,} examples would reach it{beyond}."
        )
    return first, remarks


def _gap_sentence(facts: HeadEvidence) -> tuple[str, int]:
    """The verdict, and on which side of nothing the gap is: 1 or -1 if it is more than four standard deviations of its
    null (without one: four standard errors) away, else 0."""
    trace, error = facts.trace, facts.trace_error
    mean, sd, count = facts.trace_null_mean, facts.trace_null_sd, facts.permutations
    gap = "The mean logit gap" if facts.rotary == "post" else "The mean gap before the rotary embedding"
    if count < FEW_RELABELLINGS or mean is None or sd is None:
        why = "no null was computed" if not count else f"{count} relabellings are too few for a null"
        side = int(np.sign(trace)) if abs(trace) > 4 * error else 0
        return f"{gap} is {trace:.1f} ± {error:.1f}; {why}. {_attention(facts, side)}", side
    if sd <= 1e-9 * max(abs(trace), abs(mean), 1e-30):
        if abs(trace - mean) <= 1e-6 * max(abs(trace), 1e-30):
            return f"{gap} is {trace:.1f}, and relabelling does not change it: keys do not differ here.", 0
        return f"{gap} is {trace:.1f}; all relabellings gave {mean:.1f}, so there is no null to compare it with.", 0
    z = (trace - mean) / sd
    far = f"{abs(z):.0f}" if abs(z) >= 10 else f"{abs(z):.1f}"
    side = int(np.sign(z)) if abs(z) > 4 else 0
    compared = f"{gap} is {trace:.1f} (relabelled {mean:.1f} ± {sd:.1f}), {far} null standard deviations away"
    return f"{compared}: {_attention(facts, side)}", side


def _attention(facts: HeadEvidence, side: int) -> str:
    """What the head's attention makes of a gap on one side of nothing: the second half of the verdict."""
    positive, negative = facts.attention_positive, facts.attention_negative
    if side == 0:
        return "no sign that this head carries the feature."
    if positive is None:
        return "the keys differ in this head's logits; its attention to them cannot be measured here."
    many, others = facts.candidates or (1.0, 1.0)
    what = "the matching key" if many <= 1 else "a matching key"
    than = "" if negative is None else f", {negative:.1%} to another"
    gives = f"it gives {what} {positive:.1%} of its attention{than}"
    if side < 0:
        if negative is not None and negative * others >= LOOKS and negative >= MARKED * positive:
            return f"this head turns away from the feature: {gives}."
        return f"the logits of matching keys are the lower ones, but the attention hardly follows: {gives}."
    if positive * many < LOOKS:
        return f"the keys differ in this head's logits, but {gives}, so the difference hardly steers it."
    if negative is None or positive >= MARKED * negative:
        return f"this head carries the feature: {gives}."
    if positive > negative:
        return f"the keys differ in this head's logits, and its attention follows a little: {gives}."
    return f"the keys differ in this head's logits, but not in its attention: {gives}."


def overlap(bases: list[QKSubspace], names: Sequence[str]) -> SubspaceOverlap:
    """Mean principal cosine of every pair of features on each side, and U^T V between them (dossier 7.2, 6)."""
    count = len(bases)
    query, key, meet = (np.zeros((count, count)) for _ in range(3))
    for a in range(count):
        for b in range(count):
            small = max(1, min(bases[a].rank, bases[b].rank))
            query[a, b] = float(principal_cosines(bases[a].query_basis, bases[b].query_basis).sum()) / small
            key[a, b] = float(principal_cosines(bases[a].key_basis, bases[b].key_basis).sum()) / small
            meet[a, b] = float(torch.linalg.norm(bases[a].query_basis.mT @ bases[b].key_basis)) / small**0.5
    return SubspaceOverlap(tuple(query.tolist()), tuple(key.tolist()), tuple(meet.tolist()), tuple(names))
