"""How much a fitted subspace is worth: its spectrum beside a permutation null, and what that means in words.

The 99 % rule alone cannot tell signal from noise (it finds a dozen directions in shuffled labels), so every rank comes
with the trace, the null of both, the noise share and the split-half cosine, and with sentences that draw the
conclusion.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from analysis.qk.covariance import noise_share
from analysis.qk.fit import ContrastFit
from analysis.qk.subspace import QKSubspace, principal_cosines, rank_by_energy

NOISE_LIMIT = 0.01


def subspace_of(
    fit: ContrastFit, layer: int, head: int, rank: int | None = None, centred: bool = False, energy: float = 0.99
) -> QKSubspace:
    """The feature's subspace on one head; by the energy rule unless a rank is given."""
    subspace = QKSubspace.from_covariance(fit.delta(layer, head, centred), energy)
    return subspace if rank is None else subspace.with_rank(min(rank, subspace.singular_values.shape[0]))


def head_evidence(
    fit: ContrastFit, layer: int, head: int, rank: int | None = None, centred: bool = False, energy: float = 0.99
) -> dict[str, Any]:
    """Everything the evidence panel shows of one head (dossier 7.2 item 4); JSON-able.

    Singular values and null quantiles are in units of the raw logit; ``trace_nats`` is the mean logit gap as the
    softmax sees it (before any soft-cap). ``above_null`` counts the singular values above the null's 95 % point of the
    same index; ``null_rank_mean`` and ``null_rank_sd`` are the ranks that the energy rule gives to relabelled spectra.
    ``first_is_shared`` says that the first raw singular value lies within the null and the first centred one does not.
    Quantities that need a null are None without one, ``noise_share`` where the covariance is zero, and ``hits`` and the
    attentions where the query's own prompt has no such keys.
    """
    i = fit.layers.index(layer)
    whole = subspace_of(fit, layer, head, None, centred, energy)
    chosen = whole if rank is None else whole.with_rank(min(rank, whole.singular_values.shape[0]))
    values = whole.singular_values.numpy()
    null = _null(fit, i, head, centred)
    band = np.quantile(null, [0.05, 0.5, 0.95], axis=0) if len(null) else None
    null_ranks = np.array([rank_by_energy(torch.from_numpy(spectrum), energy) for spectrum in null], float)
    trace, error = float(fit.trace[i, head]), float(fit.trace_error[i, head])
    null_trace = fit.null_trace[i, head]
    halves = [QKSubspace.from_covariance(fit.delta(layer, head, centred, half), energy) for half in (0, 1)]
    r = max(1, chosen.rank)
    facts: dict[str, Any] = {
        "layer": layer,
        "head": head,
        "centred": centred,
        "examples": fit.examples,
        "rank": chosen.rank,
        "rank_by_rule": whole.rank,
        "energy": energy,
        "singular_values": values.round(5).tolist(),
        "null_band": None if band is None else band.round(5).tolist(),
        "permutations": len(null),
        "above_null": None if band is None else int(_above(values, null).sum()),
        "null_rank_mean": float(null_ranks.mean()) if len(null) else None,
        "null_rank_sd": float(null_ranks.std(ddof=1)) if len(null) > 1 else None,
        "first_is_shared": _first_is_shared(fit, i, head, layer),
        "trace": trace,
        "trace_error": error,
        "trace_nats": trace * float(fit.scaling[i]),
        "trace_null_mean": float(null_trace.mean()) if len(null) else None,
        "trace_null_sd": float(null_trace.std(ddof=1)) if len(null) > 1 else None,
        "direction_trace": whole.direction_trace.numpy().round(5).tolist(),
        "trace_in_rank": float(chosen.direction_trace[: chosen.rank].sum()),
        "noise_share": _noise(fit, i, layer, head, centred),
        "split_half_query": float((halves[0].left[:, 0] @ halves[1].left[:, 0]).abs()),
        "split_half_key": float((halves[0].right[:, 0] @ halves[1].right[:, 0]).abs()),
        "split_half_subspace": float(
            principal_cosines(halves[0].with_rank(r).key_basis, halves[1].with_rank(r).key_basis).mean()
        ),
        "attention_positive": _number(fit.attention[i, head, 0]),
        "attention_negative": _number(fit.attention[i, head, 1]),
        "hits": _number(fit.hits[i, head]),
    }
    facts["verdict"], facts["remarks"] = verdict(facts)
    return facts


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


def verdict(facts: dict[str, Any]) -> tuple[str, list[str]]:
    """One sentence for whether the head carries the feature, and the warnings that belong to it."""
    mean, sd = facts["trace_null_mean"], facts["trace_null_sd"]
    first, real = _gap_sentence(facts["trace"], facts["trace_error"], mean, sd)
    remarks = []
    if not real:
        remarks.append(
            f"The energy rule still reports rank {facts['rank_by_rule']}: it measures how spread out the estimate is, "
            "not whether there is a signal. Read nothing into that rank."
        )
    if sd is not None:
        remarks.append(
            f"With shuffled labels the mean gap is {mean:.1f} ± {sd:.1f}, and the energy rule still reports rank "
            f"{facts['null_rank_mean']:.1f} ± {facts['null_rank_sd']:.1f}: the rank alone is no evidence."
        )
    if facts["above_null"] is not None and facts["rank_by_rule"] > facts["above_null"] and real:
        remarks.append(
            f"{facts['above_null']} of {len(facts['singular_values'])} singular values rise above the null's 95 % "
            f"point at the same index; the energy rule counts {facts['rank_by_rule']}."
        )
    if facts["first_is_shared"] and not facts["centred"]:
        remarks.append("The first direction is shared with the null: it holds the mean key. Centring removes it.")
    if facts["noise_share"] is None:
        remarks.append("The covariance of this head is zero, so there is no direction to speak of.")
    elif facts["noise_share"] > NOISE_LIMIT:
        wanted = int(np.ceil(facts["examples"] * facts["noise_share"] / NOISE_LIMIT / 100) * 100)
        remarks.append(
            f"Sampling noise is {facts['noise_share']:.0%} of the squared norm, above the 1 % that the energy rule "
            f"needs; about {wanted:,} examples would reach it."
        )
    return first, remarks


def _gap_sentence(trace: float, error: float, mean: float | None, sd: float | None) -> tuple[str, bool]:
    """The verdict, and whether the gap is real: more than four standard deviations of its null, or errors, from it."""
    if mean is None or sd is None:
        return f"The mean logit gap is {trace:.1f} ± {error:.1f}; no null was computed.", abs(trace) > 4 * error
    if sd == 0:
        return f"The mean logit gap is {trace:.1f}, and relabelling does not change it: keys do not differ here.", False
    z = (trace - mean) / sd
    conclusion = "no sign that this head carries the feature."
    if abs(z) > 4:
        conclusion = "this head carries the feature." if z > 0 else "this head turns away from the feature."
    gap = f"The mean logit gap is {trace:.1f} (relabelled {mean:.1f} ± {sd:.1f})"
    return f"{gap}, {abs(z):.0f} null standard deviations away: {conclusion}", abs(z) > 4


def overlap(bases: list[QKSubspace]) -> dict[str, Any]:
    """Mean principal cosine of every pair of features on each side, and U^T V between them (dossier 7.2, 6).

    ``query`` and ``key`` (F, F): mean cosine of the principal angles over the smaller rank. ``interaction`` (F, F):
    Frobenius norm of ``U_a^T V_b`` over the square root of the smaller rank: how strongly queries of feature a meet
    keys of feature b.
    """
    count = len(bases)
    query, key, meet = (np.zeros((count, count)) for _ in range(3))
    for a in range(count):
        for b in range(count):
            small = max(1, min(bases[a].rank, bases[b].rank))
            query[a, b] = float(principal_cosines(bases[a].query_basis, bases[b].query_basis).sum()) / small
            key[a, b] = float(principal_cosines(bases[a].key_basis, bases[b].key_basis).sum()) / small
            meet[a, b] = float(torch.linalg.norm(bases[a].query_basis.mT @ bases[b].key_basis)) / small**0.5
    return {"query": query.tolist(), "key": key.tolist(), "interaction": meet.tolist()}
