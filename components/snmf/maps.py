"""Heat maps of the MLP features page: a text and the features it uses, neurons shared, effects of their parts."""

from __future__ import annotations

import numpy as np

from analysis.answer import plain_of
from analysis.snmf.answers.factorization import FeatureTable, NeuronOverlap, TextReading
from components.kit.figure import figure
from components.kit.labels import escaped, numbered
from components.kit.style import colour_bar, numbers
from components.kit.theme import DIVERGING, SEQUENTIAL, ink_on_diverging
from components.kit.view import Drawing, NoOptions, view
from components.snmf.evidence import effect_numbers, overlap_control, overlap_numbers, reading_numbers


@view("mlp-features/reading", TextReading)
def reading_map(reading: TextReading, options: NoOptions, theme: str) -> Drawing:
    """A text as tokens across and features down; a cell's customdata is its feature.

    Each row is drawn as shares of that row's largest value, because features have sizes of their own; the number under
    the pointer is the activation itself.
    """
    labels, features = reading.labels, reading.features
    values = np.asarray(reading.activations, np.float64).reshape(len(labels), len(features)).T
    top = np.maximum(values.max(1, keepdims=True, initial=0.0), 1e-12)
    ticks = numbered(labels)
    names = [f"{f.feature} {escaped(f.label, 30)}" for f in features]
    picture = figure(
        [
            {
                "type": "heatmap",
                "z": numbers(values / top),
                "x": ticks,
                "y": names,
                "customdata": [[f.feature] * len(labels) for f in features],
                "text": [[f"{v:.3g}" for v in row] for row in values.tolist()],
                "hovertemplate": "%{x}<br>%{y}<br>activation %{text}, %{z:.0%} of the most in its row<extra></extra>",
                "colorscale": SEQUENTIAL,
                "zmin": 0,
                "zmax": 1,
                "xgap": 1,
                "ygap": 1,
                "colorbar": colour_bar("share of the row's largest") | {"tickformat": ".0%"},
            }
        ],
        theme,
        xaxis={"type": "category", "tickangle": -50, "showgrid": False, "title": {"text": "token"}},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False, "ticksuffix": " "},
        margin={"l": 220, "r": 8, "t": 8, "b": 80},
        uirevision="reading",
    )
    return Drawing(
        picture,
        f"{reading.sentence} Each row is a share of its own largest value here, so it says where, not how much.",
        {"features": plain_of(features)},
        numbers=reading_numbers(reading),
        hint="Point at a cell for the number. Click it to open its feature.",
    )


@view("mlp-features/shared", NeuronOverlap, FeatureTable)
def shared_matrix(overlap: NeuronOverlap, table: FeatureTable, options: NoOptions, theme: str) -> Drawing:
    """How many neurons each two features share, and on the diagonal how many each keeps."""
    counts = np.asarray(overlap.shared, np.int64)
    names = [f"{f.feature} {escaped(f.label, 18)}" for f in overlap.features]
    # The scale ends where two features would be the same: one neuron in common looks like one. The diagonal is the size
    # of a feature, not an overlap, so it has no colour.
    top = max(1, int(counts.max(initial=0)))
    z = np.where(np.eye(len(counts), dtype=bool), np.nan, counts.astype(np.float64))
    picture = figure(
        [
            {
                "type": "heatmap",
                "z": z,
                "x": names,
                "y": names,
                "colorscale": SEQUENTIAL,
                "zmin": 0,
                "zmax": top,
                "xgap": 2,
                "ygap": 2,
                "hovertemplate": "%{y}<br>%{x}<br>%{z} neurons shared<extra></extra>",
                "colorbar": colour_bar("neurons shared"),
            }
        ],
        theme,
        annotations=[
            {
                "x": names[j],
                "y": names[i],
                "text": str(int(counts[i, j])),
                "showarrow": False,
                "font": {"size": 13} if i == j else {"size": 13, "color": _ink(counts[i, j] / top)},
            }
            for i in range(len(counts))
            for j in range(len(counts))
        ],
        xaxis={"type": "category", "tickangle": -35, "showgrid": False},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False, "ticksuffix": " "},
        margin={"l": 160, "r": 8, "t": 8, "b": 110},
        uirevision="shared",
    )
    unit = "neurons" if table.site == "mlp_hidden" else "dimensions"
    control = overlap_control(overlap, table)
    return Drawing(
        picture,
        f"On the diagonal how many {unit} each keeps. {control.text}",
        plain_of({"features": overlap.features, "core": overlap.core, "exclusive": overlap.exclusive}),
        control=control,
        numbers=overlap_numbers(overlap),
    )


@view("mlp-features/effects", NeuronOverlap)
def part_effects(overlap: NeuronOverlap, options: NoOptions, theme: str) -> Drawing:
    """What each part of some features does to the logits of their tokens: parts down, tokens across, signed. A cell's
    customdata is its token id."""
    axes = overlap.axes
    values = np.asarray(overlap.effects, np.float64)
    top = max(1e-9, float(np.abs(values).max(initial=0.0)))
    columns = [f"{escaped(t, 14)}{chr(0x200B) * i}" for i, t in enumerate(axes.columns)]
    rows = [f"{escaped(r, 30)}{chr(0x200B) * i}" for i, r in enumerate(axes.rows)]  # features may have one label
    picture = figure(
        [
            {
                "type": "heatmap",
                "z": numbers(values),
                "x": columns,
                "y": rows,
                "customdata": [list(axes.ids)] * len(rows),
                "colorscale": DIVERGING,
                "zmin": -top,
                "zmax": top,
                "xgap": 2,
                "ygap": 2,
                "hovertemplate": "%{y}<br>%{x}<br>logit %{z:+.3f}<extra></extra>",
                "colorbar": colour_bar("change of the logit"),
            }
        ],
        theme,
        annotations=[
            {
                "x": columns[j],
                "y": rows[i],
                "text": f"{round(values[i, j], 1) + 0.0:+.1f}",
                "showarrow": False,
                "font": {"size": 11, "color": ink_on_diverging(abs(values[i, j]) / top, theme)},
            }
            for i in range(len(rows))
            for j in range(len(columns))
        ]
        if len(columns) <= 16
        else [],
        xaxis={"type": "category", "tickangle": -40, "showgrid": False},
        yaxis={"type": "category", "autorange": "reversed", "showgrid": False, "ticksuffix": " "},
        margin={"l": 200, "r": 8, "t": 8, "b": 80},
        uirevision="effects",
    )
    facts = plain_of({"features": overlap.features, "effects": axes})
    return Drawing(picture, overlap.sentence, facts, numbers=overlap_numbers(overlap) | effect_numbers(overlap))


def _ink(share: float) -> str:
    # Cividis is dark below and light above.
    return "#14181d" if share > 0.55 else "#ffffff"
