"""Evidence in words: the facts of a feature on one head, and what a swap test says. Missing figures are said so.

The page lays the facts out by itself (:func:`evidence_card`); the view of the same answer draws them as parts, for a
pin.
"""

from __future__ import annotations

from dataclasses import dataclass

from dash import html

from analysis.qk.answers.evidence import HeadEvidence, SwapTable
from components.kit.part import Facts
from components.kit.types import Node
from components.kit.view import Drawing, view
from components.qk.controls import evidence_numbers, spectrum_control
from components.qk.terms import term


def place_name(layer: int, head: int) -> str:
    """How a head is called in a sentence."""
    return f"layer {layer}, head {head}"


def number_or(value: float | None, form: str, missing: str = "not defined here") -> str:
    """A number in a format, or the words for its absence."""
    return missing if value is None else format(value, form)


@dataclass(frozen=True)
class FeatureOptions:
    """What the feature is called."""

    feature: str


@view("attention/evidence", HeadEvidence, options=FeatureOptions)
def head_evidence(facts: HeadEvidence, options: FeatureOptions, theme: str) -> Drawing:
    """The figures behind a feature on one head, with the verdict and the remarks as the caption."""
    where = f"{options.feature}, {place_name(facts.layer, facts.head)}"
    return Drawing(
        caption=" ".join([f"{where}. {facts.verdict}", *facts.remarks]),
        parts=(Facts(where, tuple(evidence_rows(facts))),),
        facts={"rank": facts.rank, "permutations": facts.permutations},
        control=spectrum_control(facts),
        numbers=evidence_numbers(facts),
    )


def evidence_card(facts: HeadEvidence, name: str) -> Node:
    """Verdict, remarks, and the table of figures behind them."""
    rows = evidence_rows(facts)
    warn = " attune-warn" if facts.noise_share is None or facts.noise_share > 0.01 else ""
    return html.Div(
        [
            html.P([html.Strong(f"{name}, {place_name(facts.layer, facts.head)}. "), facts.verdict]),
            html.Ul([html.Li(r) for r in facts.remarks], className="attune-remarks" + warn),
            html.Table(
                [html.Tr([html.Th(term(a), scope="row"), html.Td(b)]) for a, b in rows], className="attune-facts"
            ),
        ]
    )


def evidence_rows(facts: HeadEvidence) -> list[tuple[str, str]]:
    """Name and value of each figure."""
    matching = number_or(facts.attention_positive, ".3f")
    other = number_or(facts.attention_negative, ".3f", "in another prompt")
    noise, chance, reserve = facts.noise_share, facts.chance, facts.held_back
    gap = f"{facts.trace:.2f} ± {facts.trace_error:.2f} raw, {facts.trace_nats:.2f} nats"
    cosine = (
        f"{facts.split_half_query:.2f} on the query side, {facts.split_half_key:.2f} on the key side; "
        f"whole key subspace {facts.split_half_subspace:.2f}"
    )
    name_of_gap = "Mean logit gap" if facts.rotary == "post" else "Mean gap before the rotary embedding"
    wins = "not defined here" if facts.hits is None else f"{facts.hits:.0%} of examples"
    if facts.hits is not None and chance is not None:
        wins += f" (by chance {chance:.0%})"
    return [
        ("Attention on a matching key / another", f"{matching} / {other}"),
        (f"{name_of_gap}, not centred (trace)" if facts.centred else f"{name_of_gap} (trace)", gap),
        ("Matching keys win, by however little", wins),
        ("Rank by the 99 % energy rule", str(facts.rank_by_rule)),
        ("Singular values above the null's 95 %", number_or(facts.above_null, "d", "no null")),
        ("Split-half cosine of the first pair", cosine),
        ("Sampling noise", "not defined here" if noise is None else f"{noise:.1%} of the squared norm"),
        ("Examples", f"{facts.examples:,}" + (f"; {reserve:,} lines of the file are held back" if reserve else "")),
    ]


def trial_title(in_sample: bool) -> str:
    """The heading of a swap test."""
    return (
        "Swapping keys on the examples that were fitted"
        if in_sample
        else "Swapping keys on examples that the fit has not seen"
    )


def swap_sentence(table: SwapTable, place: str, in_sample: bool) -> str:
    """What swapping keys did, at the rank of the energy rule, beside random subspaces; ``in_sample``: on the examples
    that were fitted."""
    none = table.rows[0]
    rule = next((r for r in table.rows if r.rank == table.rule_rank), none)
    text = (
        f"{place}, {table.pairs} {'fitted ' if in_sample else ''}examples: original / target attention "
        f"{none.original:.3f} / {none.target:.3f} without "
        f"a swap, {rule.original:.3f} / {rule.target:.3f} at rank {table.rule_rank} (dashed)"
    )
    if rule.random_original is None:
        return text + "."
    text += f", {rule.random_original:.3f} / {rule.random_target:.3f} in random subspaces of that rank. "
    gap, error = table.gap, table.gap_error
    which = "the gap in these fitted examples" if in_sample else "the held-out gap"
    if gap is None or error is None or abs(gap) <= 2 * error:
        about = "not measured on one example" if error is None else f"{gap:.2f} ± {error:.2f}, no different from none"
        return f"{text}The logit gap here is {about}, so nothing is said of how much of {which} the subspace keeps."
    shares = [
        f"{number_or(share, '.0%')} ({side})"
        for share, side in ((rule.share_query, "query side"), (rule.share_key, "key side"), (rule.share_both, "both"))
    ]
    over = any((share or 0) > 1.005 for share in (rule.share_query, rule.share_key, rule.share_both))
    against = " More than 100 % means that the rest of the space works against it." if over else ""
    return f"{text}At this rank the subspace keeps {', '.join(shares)} of {which}.{against}"
