"""The figures behind a claim: spectrum beside shuffled labels, shares by direction, swaps by rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.qk.answers.evidence import HeadEvidence, SubspaceTest, SwapTable
from components.kit.figure import AFTER, BAND, BEFORE, Figure, figure
from components.kit.figure_card import blank
from components.kit.theme import CATEGORIES, REMAINDER
from components.kit.view import Drawing, NoOptions, view
from components.qk.controls import measured, spectrum_control, trace_control, trial_control, trial_numbers
from components.qk.evidence_card import place_name, swap_sentence

MOST_PAIRS = 32
"""Singular pairs that are drawn."""
SWAP_HEIGHT = 460
"""Pixels of the card of swaps by rank, which an empty figure keeps."""


@view("attention/spectrum", HeadEvidence)
def spectrum(evidence: HeadEvidence, options: NoOptions, theme: str) -> Drawing:
    """Singular values with the band of relabelled data (5 to 95 %), and the rank in use."""
    values = evidence.singular_values[:MOST_PAIRS]
    index = list(range(1, len(values) + 1))
    data: list[Any] = []
    if evidence.null_band is not None:
        low, middle, high = (row[:MOST_PAIRS] for row in evidence.null_band)
        data += [
            {
                "type": "scatter",
                "x": index,
                "y": high,
                "mode": "lines",
                "line": {"width": 0},
                "showlegend": False,
                "hoverinfo": "skip",
                "name": "null 95 %",
            },
            {
                "type": "scatter",
                "x": index,
                "y": low,
                "mode": "lines",
                "line": {"width": 0},
                "fill": "tonexty",
                "fillcolor": BAND,
                "name": f"shuffled labels, 5 to 95 % ({evidence.permutations} relabellings)",
                "hoverinfo": "skip",
            },
            {
                "type": "scatter",
                "x": index,
                "y": middle,
                "mode": "lines",
                "name": "shuffled labels, median",
                "line": {"color": REMAINDER, "dash": "dot", "width": 1.5},
            },
        ]
    data.append(
        {
            "type": "scatter",
            "x": index,
            "y": values,
            "mode": "lines+markers",
            "name": "this contrast",
            "line": {"color": CATEGORIES[0], "width": 2},
            "marker": {"size": 6},
            "hovertemplate": "singular value %{x}: %{y:.2f}<extra></extra>",
        }
    )
    rank = evidence.rank
    shapes = [
        {
            "type": "line",
            "x0": rank + 0.5,
            "x1": rank + 0.5,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": "#D55E00", "dash": "dash", "width": 1.5},
        }
    ]
    notes = [
        {
            "text": f"rank {rank}",
            "x": rank + 0.5,
            "yref": "paper",
            "y": 1,
            "showarrow": False,
            "xanchor": "left",
            "font": {"color": "#D55E00"},
        }
    ]
    picture = figure(
        data,
        theme,
        shapes=shapes,
        annotations=notes,
        xaxis={"title": {"text": "index"}},
        yaxis={"title": {"text": "singular value (raw logit)"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )
    vectors = "after" if evidence.rotary == "post" else "before"
    moments = "centred" if evidence.centred else "not centred (second moments, as in the paper)"
    return Drawing(
        picture,
        f"Vectors {vectors} the rotary embedding, {moments}, {evidence.examples:,} examples. Dashed line: the rank in "
        "use.",
        {"rank": evidence.rank, "permutations": evidence.permutations},
        control=spectrum_control(evidence),
        numbers=measured(
            {
                "first singular value": evidence.singular_values[0],
                "rank": evidence.rank,
                "singular values above the null": evidence.above_null,
                "examples": evidence.examples,
            }
        ),
    )


@view("attention/directions", HeadEvidence)
def direction_bars(evidence: HeadEvidence, options: NoOptions, theme: str) -> Drawing:
    """What each singular pair adds to the trace, the mean logit gap; pairs outside the rank are pale."""
    values = np.array(evidence.direction_trace[:MOST_PAIRS])
    inside = [CATEGORIES[0] if i < evidence.rank else "rgba(138,143,152,0.6)" for i in range(len(values))]
    share = 100 * values / evidence.trace if evidence.trace else values * 0
    data = [
        {
            "type": "bar",
            "x": list(range(1, len(values) + 1)),
            "y": values,
            "marker": {"color": inside},
            "customdata": share,
            "name": "s u·v",
            "hovertemplate": "pair %{x}: %{y:.2f} of the raw logit gap (%{customdata:.1f} %)<extra></extra>",
        }
    ]
    picture = figure(
        data,
        theme,
        xaxis={"title": {"text": "singular pair"}},
        yaxis={"title": {"text": "share of the mean gap (raw logit)"}},
    )
    return Drawing(
        picture,
        f"Pair i adds s u·v to the mean logit gap of {evidence.trace:.2f}; blue pairs are inside the rank and hold "
        f"{evidence.trace_in_rank:.2f} of it.",
        {"rank": evidence.rank, "permutations": evidence.permutations},
        control=trace_control(evidence),
        numbers=measured(
            {"trace": evidence.trace, "trace in the rank": evidence.trace_in_rank, "trace in nats": evidence.trace_nats}
        ),
    )


@dataclass(frozen=True)
class TrialOptions:
    """Which head was tested, with vectors after ("post") or before ("pre") the rotary embedding."""

    layer: int
    head: int
    rotary: str = "post"


@view("attention/swaps by rank", SubspaceTest, options=TrialOptions)
def swap_test(test: SubspaceTest, options: TrialOptions, theme: str) -> Drawing:
    """What swapping keys did, rank by rank, or why there is nothing to swap."""
    if test.swaps is not None and test.swaps.rows:
        where = place_name(options.layer, options.head)
        facts = {"examples": test.examples, "tested_on": test.basis}
        return Drawing(
            swaps_by_rank(test.swaps, theme),
            swap_sentence(test.swaps, where, test.in_sample),
            facts,
            control=trial_control(test),
            numbers=trial_numbers(test),
        )
    if options.rotary == "pre":
        text = "Before the rotary embedding there is no logit to swap."
    elif test.swaps is None:
        text = "The other keys of this contrast lie in another prompt, so there is nothing to swap within one."
    else:
        text = "No query of these examples sees both a matching key and another one, so there is nothing to swap."
    return Drawing(blank(SWAP_HEIGHT, text), text)


def swaps_by_rank(table: SwapTable, theme: str) -> Figure:
    """Swaps: attention on the original and on the target as the rank grows, beside random subspaces."""
    rows = table.rows
    ranked = [r for r in rows if r.rank]
    x, all_x = [r.rank for r in ranked], [r.rank for r in rows]
    data: list[Any] = [
        {
            "type": "scatter",
            "x": x,
            "y": [r.random_target_max for r in ranked],
            "mode": "lines",
            "line": {"width": 0},
            "showlegend": False,
            "hoverinfo": "skip",
            "name": "random target, highest",
        },
        {
            "type": "scatter",
            "x": x,
            "y": [r.random_target_min for r in ranked],
            "mode": "lines",
            "line": {"width": 0},
            "fill": "tonexty",
            "fillcolor": BAND,
            "name": f"target, {table.random_bases} random subspaces",
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "x": x,
            "y": [r.random_original for r in ranked],
            "mode": "lines",
            "name": "original, random subspaces",
            "line": {"color": BEFORE, "dash": "dot", "width": 1.5},
        },
        {
            "type": "scatter",
            "x": all_x,
            "y": [r.original for r in rows],
            "mode": "lines+markers",
            "name": "original key",
            "line": {"color": BEFORE, "width": 2},
        },
        {
            "type": "scatter",
            "x": all_x,
            "y": [r.target for r in rows],
            "mode": "lines+markers",
            "name": "target key",
            "line": {"color": AFTER, "width": 2},
        },
    ]
    rule = table.rule_rank
    shapes = [
        {
            "type": "line",
            "x0": rule,
            "x1": rule,
            "yref": "paper",
            "y0": 0,
            "y1": 1,
            "line": {"color": "#D55E00", "dash": "dash", "width": 1.5},
        }
    ]
    return figure(
        data,
        theme,
        shapes=shapes,
        xaxis={"title": {"text": "rank of the swapped subspace"}, "rangemode": "tozero"},
        yaxis={"title": {"text": "mean attention"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )
