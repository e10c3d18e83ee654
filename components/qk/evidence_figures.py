"""The figures behind a claim: spectrum beside shuffled labels, shares by direction, swaps by rank."""

from __future__ import annotations

from typing import Any

import numpy as np

from components.kit.figure import AFTER, BAND, BEFORE, Figure, figure
from components.kit.theme import CATEGORIES, REMAINDER


def spectrum(facts: dict[str, Any], theme: str, limit: int = 32) -> Figure:
    """Singular values with the band of relabelled data (5 to 95 %), and the rank in use."""
    values = facts["singular_values"][:limit]
    index = list(range(1, len(values) + 1))
    data: list[Any] = []
    if facts["null_band"] is not None:
        low, middle, high = (row[:limit] for row in facts["null_band"])
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
                "name": f"shuffled labels, 5 to 95 % ({facts['permutations']} relabellings)",
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
    rank = facts["rank"]
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
    return figure(
        data,
        theme,
        shapes=shapes,
        annotations=notes,
        xaxis={"title": {"text": "index"}},
        yaxis={"title": {"text": "singular value (raw logit)"}, "rangemode": "tozero"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


def direction_bars(facts: dict[str, Any], theme: str, limit: int = 32) -> Figure:
    """What each singular pair adds to the trace, the mean logit gap; pairs outside the rank are pale."""
    values = np.array(facts["direction_trace"][:limit])
    inside = [CATEGORIES[0] if i < facts["rank"] else "rgba(138,143,152,0.6)" for i in range(len(values))]
    share = 100 * values / facts["trace"] if facts["trace"] else values * 0
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
    return figure(
        data,
        theme,
        xaxis={"title": {"text": "singular pair"}},
        yaxis={"title": {"text": "share of the mean gap (raw logit)"}},
    )


def swaps_by_rank(table: dict[str, Any], theme: str) -> Figure:
    """Swaps: attention on the original and on the target as the rank grows, beside random subspaces."""
    rows = table["rows"]
    ranked = [r for r in rows if r["rank"]]
    x, all_x = [r["rank"] for r in ranked], [r["rank"] for r in rows]
    data: list[Any] = [
        {
            "type": "scatter",
            "x": x,
            "y": [r["random_target_max"] for r in ranked],
            "mode": "lines",
            "line": {"width": 0},
            "showlegend": False,
            "hoverinfo": "skip",
            "name": "random target, highest",
        },
        {
            "type": "scatter",
            "x": x,
            "y": [r["random_target_min"] for r in ranked],
            "mode": "lines",
            "line": {"width": 0},
            "fill": "tonexty",
            "fillcolor": BAND,
            "name": f"target, {table['random_bases']} random subspaces",
            "hoverinfo": "skip",
        },
        {
            "type": "scatter",
            "x": x,
            "y": [r["random_orig"] for r in ranked],
            "mode": "lines",
            "name": "original, random subspaces",
            "line": {"color": BEFORE, "dash": "dot", "width": 1.5},
        },
        {
            "type": "scatter",
            "x": all_x,
            "y": [r["orig"] for r in rows],
            "mode": "lines+markers",
            "name": "original key",
            "line": {"color": BEFORE, "width": 2},
        },
        {
            "type": "scatter",
            "x": all_x,
            "y": [r["target"] for r in rows],
            "mode": "lines+markers",
            "name": "target key",
            "line": {"color": AFTER, "width": 2},
        },
    ]
    rule = table["rule_rank"]
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
