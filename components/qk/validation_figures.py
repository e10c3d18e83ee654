"""Figures of the validation page: the toy's ranks, map, swaps and interaction matrix, beside what they ought to be."""

from __future__ import annotations

from typing import Any

import numpy as np
from dash import html

from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.theme import CATEGORIES, DIVERGING

_NAMES = {"none": "no swap", "z1": "z1", "z2": "z2", "z1+z2": "z1 and z2"}


def training_curve(curve: list[dict[str, Any]], ceiling: float | None, theme: str) -> Figure:
    """Accuracy and loss over steps, with the accuracy that cannot be exceeded."""
    steps = [p["step"] for p in curve]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "accuracy",
            "x": steps,
            "y": [p["accuracy"] for p in curve],
            "line": {"color": CATEGORIES[0], "width": 2},
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "loss (nats)",
            "x": steps,
            "y": [p["loss"] for p in curve],
            "yaxis": "y2",
            "line": {"color": CATEGORIES[1], "width": 2, "dash": "dot"},
        },
    ]
    shapes = (
        []
        if ceiling is None
        else [
            {
                "type": "line",
                "xref": "paper",
                "x0": 0,
                "x1": 1,
                "y0": ceiling,
                "y1": ceiling,
                "line": {"dash": "dash", "width": 1, "color": "#8a8f98"},
            }
        ]
    )
    return figure(
        data,
        theme,
        shapes=shapes,
        xaxis={"title": {"text": "training step"}},
        yaxis={"title": {"text": "accuracy"}, "range": [0, 1.02]},
        yaxis2={
            "title": {"text": "loss (nats)"},
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
            "rangemode": "tozero",
            "tickmode": "auto",
        },
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


def toy_spectra(latents: dict[str, Any], arrays: dict[str, np.ndarray], theme: str) -> Figure:
    """Singular values of both contrasts on a logarithmic axis; a gap should stand at the true rank."""
    data, shapes = [], []
    for i, (name, facts) in enumerate(latents.items()):
        values = arrays[f"latents.{name}.singular_values"]
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"{name}: rank {facts['rank']}, truth {facts['true_rank']}",
                "x": list(range(1, len(values) + 1)),
                "y": np.maximum(values, 1e-6),
                "line": {"color": CATEGORIES[i]},
                "marker": {"symbol": ["circle", "diamond"][i % 2], "size": 8},
            }
        )
        shapes.append(
            {
                "type": "line",
                "x0": facts["true_rank"] + 0.5,
                "x1": facts["true_rank"] + 0.5,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": CATEGORIES[i], "dash": "dash", "width": 1},
            }
        )
    return figure(
        data,
        theme,
        shapes=shapes,
        xaxis={"title": {"text": "index"}},
        yaxis={"type": "log", "title": {"text": "singular value (raw logit)"}, "exponentformat": "power"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


def toy_swaps(swaps: list[dict[str, Any]], theme: str) -> Figure:
    """Attention on the original and target key after each swap (the paper's Figure 4)."""
    ticks = [
        f"{'random' if s['kind'] == 'random' else _NAMES[s['condition']]}<br>rank {s['rank']}"
        if s["rank"]
        else "no swap"
        for s in swaps
    ]
    data = [
        {
            "type": "bar",
            "name": name,
            "x": ticks,
            "y": [s[field] for s in swaps],
            "marker": {"color": colour},
            "hovertemplate": "%{x}<br>%{y:.3f}<extra>" + name + "</extra>",
        }
        for name, field, colour in (("original key", "original", BEFORE), ("target key", "target", AFTER))
    ]
    return figure(
        data,
        theme,
        barmode="group",
        xaxis={"type": "category"},
        yaxis={"title": {"text": "mean attention"}, "range": [0, 1]},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )


def toy_interaction(matrix: np.ndarray, names: list[str], theme: str) -> Figure:
    """G = (W_Q B)^T (W_K A): which latent of the query meets which latent of the key (Figure 5)."""
    top = float(np.abs(matrix).max()) or 1.0
    data = [
        {
            "type": "heatmap",
            "z": matrix,
            "x": names,
            "y": names,
            "colorscale": DIVERGING,
            "zmin": -top,
            "zmax": top,
            "texttemplate": "%{z:.1f}",
            "xgap": 1,
            "ygap": 1,
            "colorbar": {"title": {"text": "raw logit", "side": "right"}, "thickness": 12, "outlinewidth": 0},
        }
    ]
    return figure(
        data,
        theme,
        xaxis={"title": {"text": "latent of the key"}, "showgrid": False},
        yaxis={"title": {"text": "latent of the query"}, "autorange": "reversed", "showgrid": False},
    )


def toy_map(facts: dict[str, Any], arrays: dict[str, np.ndarray], theme: str) -> Figure:
    """Queries and keys in z1's subspace, three principal axes, cube edges between codes one bit apart (Figure 3)."""
    points, codes, roles = arrays["map.points"], arrays["map.code"].astype(int), arrays["map.role"]
    palette = [*CATEGORIES, "#F0E442", "#8a8f98"]
    data: list[Any] = []
    for role, name, symbol, size in ((0, "query", "x", 3), (1, "key", "circle", 3)):
        for code in sorted(set(codes.tolist())):
            at = np.flatnonzero((codes == code) & (roles.astype(int) == role))
            if not len(at):
                continue
            label = facts["code_names"][code] if code < len(facts["code_names"]) else str(code)
            data.append(
                {
                    "type": "scatter3d",
                    "mode": "markers",
                    "name": label,
                    "legendgroup": label,
                    "showlegend": role == 1,
                    "x": points[at, 0],
                    "y": points[at, 1],
                    "z": points[at, 2],
                    "marker": {"size": size, "symbol": symbol, "color": palette[code % len(palette)], "opacity": 0.75},
                    "hovertemplate": f"{name}, code {label}<extra></extra>",
                }
            )
    means = arrays.get("map.code_means")
    for a, b in facts.get("edges") or []:
        if means is not None:
            ends = means[[int(a), int(b)]]
            data.append(
                {
                    "type": "scatter3d",
                    "mode": "lines",
                    "x": ends[:, 0],
                    "y": ends[:, 1],
                    "z": ends[:, 2],
                    "line": {"color": "#8a8f98", "width": 4},
                    "showlegend": False,
                    "hoverinfo": "skip",
                }
            )
    axes = {
        f"{n}axis": {"title": {"text": f"axis {i + 1} ({share:.0%})"}}
        for i, (n, share) in enumerate(zip("xyz", arrays["map.shares"].tolist(), strict=False))
    }
    return figure(
        data,
        theme,
        scene=axes,
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        uirevision="toy-map",
        legend={"itemsizing": "constant", "title": {"text": "code of z1"}},
    )


def invariant_table(rows: list[dict[str, Any]]) -> Any:
    """Claims with measured errors, tolerances, and the variant that breaks them."""
    head = html.Tr(
        [html.Th(t, scope="col") for t in ("claim", "measured error", "allowed", "a variant that must fail", "")]
    )
    body = [
        html.Tr(
            [
                html.Td(r["claim"]),
                html.Td(f"{r['error']:.1e}"),
                html.Td(f"{r['tolerance']:.0e}"),
                html.Td("none on this model" if r["broken"] is None else f"{r['variant']}: {r['broken']:.2g}"),
                html.Td(_outcome(r), className="attune-good" if r["holds"] else "attune-bad"),
            ]
        )
        for r in rows
    ]
    return html.Table([html.Thead(head), html.Tbody(body)], className="attune-table")


def _outcome(row: dict[str, Any]) -> str:
    """Whether an identity holds; one whose wrong variant passes as well was not put to the test."""
    if row["holds"]:
        return "holds" if row["broken"] is not None else "holds (nothing to tell it from)"
    return "not tested: the wrong variant passes too" if row["error"] <= row["tolerance"] else "FAILS"


def checks_table(rows: list[tuple[str, str, str, bool | None]]) -> Any:
    """Measured against expected: (quantity, measured, expected, verdict)."""
    words = {True: ("as expected", "attune-good"), False: ("not as expected", "attune-bad"), None: ("", "")}
    head = html.Tr([html.Th(t, scope="col") for t in ("quantity", "measured", "expected", "")])
    body = [
        html.Tr([html.Td(q), html.Td(m), html.Td(e), html.Td(words[v][0], className=words[v][1])])
        for q, m, e, v in rows
    ]
    return html.Table([html.Thead(head), html.Tbody(body)], className="attune-table")
