"""Figures of the validation page: the toy's ranks, map, swaps and interaction matrix, beside what they ought to be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.answer import plain_of
from analysis.qk.answers.validation import ToyPoint, ToyTraining
from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.theme import CATEGORIES, DIVERGING
from components.kit.view import Drawing, NoOptions, view
from components.qk.controls import ceiling_control, interaction_control, rank_control, toy_swap_control

_NAMES = {"none": "no swap", "z1": "z1", "z2": "z2", "z1+z2": "z1 and z2"}


@view("validation/training", ToyTraining)
def toy_training(toy: ToyTraining, options: NoOptions, theme: str) -> Drawing:
    """The course of the training."""
    return Drawing(
        training_curve(toy.curve, toy.ceiling, theme),
        facts=_facts(toy),
        control=ceiling_control(toy),
        numbers={"accuracy": toy.accuracy, "loss": toy.curve[-1].loss, "steps": toy.steps},
    )


def _facts(toy: ToyTraining) -> dict[str, Any]:
    return {**plain_of(toy.settings), "steps": toy.steps}


def training_curve(curve: Sequence[ToyPoint], ceiling: float | None, theme: str) -> Figure:
    """Accuracy and loss over steps, with the accuracy that cannot be exceeded."""
    steps = [p.step for p in curve]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "accuracy",
            "x": steps,
            "y": [p.accuracy for p in curve],
            "line": {"color": CATEGORIES[0], "width": 2},
        },
        {
            "type": "scatter",
            "mode": "lines",
            "name": "loss (nats)",
            "x": steps,
            "y": [p.loss for p in curve],
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


@view("validation/spectra", ToyTraining)
def toy_spectra(toy: ToyTraining, options: NoOptions, theme: str) -> Drawing:
    """Singular values of both contrasts on a logarithmic axis; a gap should stand at the true rank."""
    data, shapes = [], []
    for i, (name, latent) in enumerate(toy.latents.items()):
        values = latent.singular_values
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"{name}: rank {latent.rank}, truth {latent.true_rank}",
                "x": list(range(1, len(values) + 1)),
                "y": np.maximum(values, 1e-6),
                "line": {"color": CATEGORIES[i]},
                "marker": {"symbol": ["circle", "diamond"][i % 2], "size": 8},
            }
        )
        shapes.append(
            {
                "type": "line",
                "x0": latent.true_rank + 0.5,
                "x1": latent.true_rank + 0.5,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": CATEGORIES[i], "dash": "dash", "width": 1},
            }
        )
    untrained = " and ".join(f"{latent.untrained_rank} for {name}" for name, latent in toy.latents.items())
    picture = figure(
        data,
        theme,
        shapes=shapes,
        xaxis={"title": {"text": "index"}},
        yaxis={"type": "log", "title": {"text": "singular value (raw logit)"}, "exponentformat": "power"},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )
    return Drawing(
        picture,
        f"Dashed: the true ranks. {toy.samples:,} contrast triples. A rank alone proves little: untrained weights give "
        f"{untrained} as well.",
        _facts(toy),
        control=rank_control(toy),
        numbers={f"rank of {name}": latent.rank for name, latent in toy.latents.items()},
    )


@view("validation/swaps", ToyTraining)
def toy_swaps(toy: ToyTraining, options: NoOptions, theme: str) -> Drawing:
    """Attention on the original and target key after each swap (the paper's Figure 4)."""
    ticks = [
        f"{'random' if s.kind == 'random' else _NAMES[s.condition]}<br>rank {s.rank}" if s.rank else "no swap"
        for s in toy.swaps
    ]
    data = [
        {
            "type": "bar",
            "name": name,
            "x": ticks,
            "y": values,
            "marker": {"color": colour},
            "hovertemplate": "%{x}<br>%{y:.3f}<extra>" + name + "</extra>",
        }
        for name, values, colour in (
            ("original key", [s.original for s in toy.swaps], BEFORE),
            ("target key", [s.target for s in toy.swaps], AFTER),
        )
    ]
    picture = figure(
        data,
        theme,
        barmode="group",
        xaxis={"type": "category"},
        yaxis={"title": {"text": "mean attention"}, "range": [0, 1]},
        legend={"orientation": "h", "y": 1.02, "x": 0, "yanchor": "bottom"},
    )
    return Drawing(
        picture,
        f"{toy.swap_rows:,} sequences; the target shares neither code with the query. Random subspaces of rank as "
        "large as half the head move much attention too, which is why they stand beside.",
        _facts(toy),
        control=toy_swap_control(toy),
        numbers={
            f"{key}, {_NAMES[swap.condition]}": value
            for swap in toy.swaps
            if swap.kind != "random"
            for key, value in (("original", swap.original), ("target", swap.target))
        },
    )


@view("validation/interaction", ToyTraining)
def toy_interaction(toy: ToyTraining, options: NoOptions, theme: str) -> Drawing:
    """G = (W_Q B)^T (W_K A): which latent of the query meets which latent of the key (Figure 5)."""
    matrix, names = toy.interaction.matrix, list(toy.interaction.names)
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
    picture = figure(
        data,
        theme,
        xaxis={"title": {"text": "latent of the key"}, "showgrid": False},
        yaxis={"title": {"text": "latent of the query"}, "autorange": "reversed", "showgrid": False},
    )
    share = toy.interaction.diagonal_share
    return Drawing(
        picture,
        f"{share:.1%} of the squared norm lies on the diagonal.",
        _facts(toy),
        control=interaction_control(toy),
        numbers={"share on the diagonal": share},
    )


@view("validation/map", ToyTraining)
def toy_map(toy: ToyTraining, options: NoOptions, theme: str) -> Drawing:
    """Queries and keys in z1's subspace, three principal axes, cube edges between codes one bit apart (Figure 3)."""
    points, codes, roles, names = toy.map.points, toy.map.code.astype(int), toy.map.role, toy.map.code_names
    palette = [*CATEGORIES, "#F0E442", "#8a8f98"]
    data: list[Any] = []
    for role, name, symbol, size in ((0, "query", "x", 3), (1, "key", "circle", 3)):
        for code in sorted(set(codes.tolist())):
            at = np.flatnonzero((codes == code) & (roles.astype(int) == role))
            if not len(at):
                continue
            label = names[code] if code < len(names) else str(code)
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
    for edge in toy.map.edges:
        ends = toy.map.code_means[list(edge)]
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
        for i, (n, share) in enumerate(zip("xyz", toy.map.shares.tolist(), strict=False))
    }
    picture = figure(
        data,
        theme,
        scene=axes | {"camera": {"eye": {"x": 1.5, "y": 1.5, "z": 1.05}}},  # far enough for the titles of the axes
        margin={"l": 0, "r": 0, "t": 0, "b": 0},
        uirevision="toy-map",
        legend={"itemsizing": "constant", "title": {"text": "code of z1"}},
    )
    return Drawing(
        picture,
        "Keys are circles, queries crosses, coloured by code; lines join the mean keys of codes that differ in one "
        "bit.",
        _facts(toy),
        control=rank_control(toy),
        numbers={"rank of z1": toy.latents["z1"].rank},
    )
