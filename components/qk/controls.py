"""What the views of query-key subspaces are held against, and the numbers of what is chosen in them.

A control is read off the answer that the view draws: relabelled examples for spectra and traces, random subspaces of
the same rank for swaps, chance for a share that is won, and the known answer of a toy. Where the answer holds none,
there is none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from analysis.qk.answers.evidence import HeadEvidence, RankSwap, SubspaceTest
from analysis.qk.answers.features import FeatureHeads
from analysis.qk.answers.prompt import KeySwap, SwapEffect
from analysis.qk.answers.validation import InvariantTable, ToyTraining
from components.kit.view import Control

SHUFFLED, RANDOM, CHANCE, KNOWN = "shuffled labels", "random subspaces", "chance", "known answer"


def measured(numbers: Mapping[str, float | None]) -> dict[str, float]:
    """The numbers that there are: neither None nor NaN."""
    return {name: float(value) for name, value in numbers.items() if value is not None and math.isfinite(value)}


# ---- attention ----
def spectrum_control(evidence: HeadEvidence) -> Control | None:
    """Spectra of relabelled examples."""
    if evidence.null_band is None or evidence.above_null is None:
        return None
    high = evidence.null_band[2][0]
    text = (
        f"{evidence.permutations} times, the labels of the examples were shuffled: 95 % of these first singular values "
        f"lie below {high:.2f}, and the contrast's is {evidence.singular_values[0]:.2f}. {evidence.above_null} of its "
        "singular values lie above the same point of their index."
    )
    numbers = {"first singular value, 95 %": high, "relabellings": float(evidence.permutations)}
    return Control(SHUFFLED, text, measured(numbers))


def evidence_numbers(evidence: HeadEvidence) -> dict[str, float]:
    """What the evidence of a feature on one head says in single numbers."""
    return measured(
        {
            "attention on a matching key": evidence.attention_positive,
            "attention on another key": evidence.attention_negative,
            "gap in nats": evidence.trace_nats,
            "share won": evidence.hits,
            "rank": evidence.rank_by_rule,
            "singular values above the null": evidence.above_null,
            "split-half cosine": evidence.split_half_subspace,
            "examples": evidence.examples,
        }
    )


def trace_control(evidence: HeadEvidence) -> Control | None:
    """Traces of relabelled examples."""
    mean, spread = evidence.trace_null_mean, evidence.trace_null_sd
    if mean is None or spread is None:
        return None
    text = (
        f"With shuffled labels ({evidence.permutations} times) the trace is {mean:.2f} ± {spread:.2f}, and with the "
        f"true ones {evidence.trace:.2f}."
    )
    return Control(SHUFFLED, text, measured({"trace, mean": mean, "trace, standard deviation": spread}))


def rule_row(test: SubspaceTest) -> RankSwap | None:
    """The swaps at the rank of the energy rule; None without swaps."""
    rows = test.swaps.rows if test.swaps is not None else ()
    return next((row for row in rows if test.swaps is not None and row.rank == test.swaps.rule_rank), None)


def trial_control(test: SubspaceTest) -> Control | None:
    """Swaps in random subspaces of the same rank."""
    row = rule_row(test)
    if row is None or test.swaps is None or row.random_target is None or row.random_original is None:
        return None
    text = (
        f"Swapped in random subspaces of rank {row.rank} ({test.swaps.random_bases} drawn), the target key gets "
        f"{row.random_target:.3f} of the attention and the original {row.random_original:.3f}; swapped in this "
        f"subspace, {row.target:.3f} and {row.original:.3f}. {test.basis}"
    )
    numbers = {"target": row.random_target, "original": row.random_original, "target, least": row.random_target_min,
               "target, most": row.random_target_max, "flips": row.random_flip}  # fmt: skip
    return Control(RANDOM, text, measured(numbers))


def trial_numbers(test: SubspaceTest) -> dict[str, float]:
    """Attention without a swap and at the rank of the energy rule, and which share of the gap is left."""
    row = rule_row(test)
    if row is None or test.swaps is None:
        return {}
    none = test.swaps.rows[0]
    return measured(
        {
            "rank": row.rank,
            "original": row.original,
            "target": row.target,
            "flips": row.flip,
            "original without a swap": none.original,
            "target without a swap": none.target,
            "share of the gap, query side": row.share_query,
            "share of the gap, key side": row.share_key,
            "share of the gap, both": row.share_both,
            "examples": test.examples,
        }
    )


def swap_control(swap: KeySwap, first: str, second: str) -> Control:
    """Swaps of the same two keys in random subspaces."""
    text = (
        f"Swapped in {swap.draws} random subspaces of rank {swap.rank}, “{first}” keeps {swap.a[3]:.1%} of the "
        f"attention (5 to 95 %: {swap.a[2]:.1%} to {swap.a[4]:.1%}) and “{second}” {swap.b[3]:.1%} ({swap.b[2]:.1%} "
        f"to {swap.b[4]:.1%})."
    )
    keys = {"first key": swap.a, "second key": swap.b}
    points = {"5 %": 2, "median": 3, "95 %": 4}
    return Control(RANDOM, text, measured({f"{k}, {p}": v[i] for k, v in keys.items() for p, i in points.items()}))


def swap_numbers(swap: KeySwap) -> dict[str, float]:
    """Attention on the two keys before and after."""
    keys = {"first key": swap.a, "second key": swap.b}
    pairs = {f"{name} {when}": value[i] for name, value in keys.items() for i, when in enumerate(("before", "after"))}
    return measured({"rank": swap.rank, **pairs})


def prediction_control(effect: SwapEffect) -> Control:
    """The divergence after a swap in a random subspace."""
    text = (
        f"A swap in a random subspace of rank {effect.rank} moves the prediction by {effect.kl_random:.2e} nats (KL), "
        f"this one by {effect.kl:.2e}."
    )
    return Control("random subspace", text, measured({"KL": effect.kl_random}))


def heads_control(heads: FeatureHeads, score: str, at: tuple[int, int] | None) -> Control | None:
    """For a share that is won, chance; for other scores, relabelled examples at the head that is open."""
    if score == "hits" and heads.chance is not None:
        text = f"If keys came in any order, the matching ones would win in {heads.chance:.0%} of examples."
        return Control(CHANCE, text, measured({"share won": heads.chance}))
    z = math.nan if at is None or not _within(at, heads.trace_z.shape) else float(heads.trace_z[at])
    if at is None or not math.isfinite(z) or score == "hits":
        return None
    own = "" if score in ("trace", "z") else "This score has no null of its own. "
    text = (
        f"{own}The logit gap of layer {at[0]}, head {at[1]} lies {z:.1f} standard deviations above the mean of "
        f"{heads.permutations} relabellings of the examples."
    ).replace(" -", " −")
    return Control(SHUFFLED, text, measured({"standard deviations": z, "relabellings": heads.permutations}))


def _within(at: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    return all(0 <= place < size for place, size in zip(at, shape, strict=True))


# ---- validation ----
def ceiling_control(toy: ToyTraining) -> Control | None:
    """The accuracy that no model of this task can exceed."""
    if toy.ceiling is None:
        return None
    text = f"No model can exceed an accuracy of {toy.ceiling:.3f} on this task; this one reaches {toy.accuracy:.3f}."
    return Control(KNOWN, text, measured({"accuracy": toy.ceiling}))


def rank_control(toy: ToyTraining) -> Control:
    """The ranks that the data were made with, and those of weights that were never trained."""
    rows = [
        f"{name} has {latent.true_rank} dimensions, and the rule gives {latent.rank} (on untrained weights "
        f"{latent.untrained_rank})"
        for name, latent in toy.latents.items()
    ]
    true = {f"rank of {name}": latent.true_rank for name, latent in toy.latents.items()}
    untrained = {f"rank of {name}, untrained": latent.untrained_rank for name, latent in toy.latents.items()}
    return Control(KNOWN, f"{'; '.join(rows)}.", measured(true | untrained))


def toy_swap_control(toy: ToyTraining) -> Control | None:
    """Swaps in random subspaces."""
    rows = [swap for swap in toy.swaps if swap.kind == "random"]
    if not rows:
        return None
    said = [f"{swap.target:.3f} at rank {swap.rank} ({swap.bases} drawn)" for swap in rows]
    text = f"Swapped in random subspaces, the target key gets {', '.join(said)} of the attention."
    return Control(RANDOM, text, measured({f"target, rank {swap.rank}": swap.target for swap in rows}))


def interaction_control(toy: ToyTraining) -> Control | None:
    """The diagonal, where all latents have room; else nothing is known beforehand."""
    if not has_room(toy):
        return None
    share = toy.interaction.diagonal_share
    text = f"Each latent should meet itself alone: all of the squared norm on the diagonal. Measured: {share:.1%}."
    return Control(KNOWN, text, {"share on the diagonal": 1.0})


def has_room(toy: ToyTraining) -> bool:
    """Whether both latents fit into the head without superposition."""
    return toy.settings.n1 + toy.settings.n2 <= toy.settings.d_head


def invariant_control(table: InvariantTable) -> Control | None:
    """The variants that break the identities, and so must fail."""
    tried = [row for row in table.invariants if row.broken is not None]
    if not tried:
        return None
    failing = sum(row.broken is not None and row.broken > row.tolerance for row in tried)
    text = (
        f"{len(tried)} of {len(table.invariants)} identities stand beside a variant that breaks them; {failing} of "
        f"these {len(tried)} variants fail by more than the tolerance, as they must."
    )
    return Control("broken variant", text, measured({"variants": len(tried), "variants that fail": failing}))
