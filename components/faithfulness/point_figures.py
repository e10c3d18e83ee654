"""Every item as a point: importance against truth, and the scores of each measure by label.

What a point is (its item) travels as customdata, so that a click opens the item and one item can be ringed in every
panel. Symbols and colours are those of :mod:`components.faithfulness.style`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.faithfulness.style import LABELS, Row, ink, marker, note, ring
from components.kit.figure import Figure, figure
from components.kit.figure_card import blank
from components.kit.labels import escaped
from components.kit.style import ABOVE, titled, wrapped
from components.kit.theme import REMAINDER


def importance_truth(
    points: Sequence[Row], measure: str, importance: str, theme: str, chosen: str = "", threshold: float | None = None
) -> Figure:
    """Each item's score by one measure against its importance; colour and symbol say whether it is true.

    A measure that sees nothing but importance makes one diagonal of both colours. A point's customdata is its item;
    ``chosen`` is ringed, ``threshold`` (of the measure) dashed.
    """
    known = [p for p in points if p.get("importance") is not None and p["scores"].get(measure) is not None]
    if not known:
        return blank(400, "no item has both scores")
    data = [
        _cloud(mine, [p["importance"] for p in mine], [p["scores"][measure] for p in mine], label, theme, measure)
        | {"marker": marker(label, theme, 9), "opacity": 0.85}
        for label in LABELS
        if (mine := [p for p in known if p.get("label") is label])
    ]
    rings = [p for p in known if p["item"] == chosen]
    if rings:
        data.append(ring([p["importance"] for p in rings], [p["scores"][measure] for p in rings], theme))
    dashed = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "line": {"color": REMAINDER, "dash": "dash"}}
    return figure(
        data,
        theme,
        xaxis=titled(f"importance: {escaped(importance, 40)}") | {"zeroline": False},
        yaxis=titled(escaped(measure, 40)) | {"zeroline": False},
        shapes=[] if threshold is None else [dashed | {"y0": threshold, "y1": threshold}],
        legend=ABOVE | {"itemsizing": "constant"},
        hovermode="closest",
        uirevision="truth",
    )


def distributions(
    points: Sequence[Row],
    measures: Sequence[str],
    tier: str,
    theme: str,
    thresholds: Mapping[str, float | None] | None = None,
    chosen: str = "",
) -> Figure:
    """Every score of a tier as a point, a panel for each measure with a lane for each label, and the threshold dashed.

    Panels have scales of their own: not all scores are shares. A point's customdata is its item, so that one click can
    ring it everywhere (``chosen``).
    """
    shown = [m for m in measures if any(p["scores"].get(m) is not None for p in points)]
    if not shown:
        return blank(400, f"no scores in tier {escaped(tier, 20)}")
    across = min(len(shown), 5)
    down = -(-len(shown) // across)
    labels = [label for label in LABELS if any(p.get("label") is label for p in points)]
    width, height = (1 - 0.055 * (across - 1)) / across, (1 - 0.12 * (down - 1)) / down
    data, layout, notes, shapes = [], {}, [], []
    for i, name in enumerate(shown):
        number = str(i + 1) if i else ""
        left, top = (i % across) * (width + 0.055), 1 - (i // across) * (height + 0.12)
        for lane, label in enumerate(labels):
            mine = [p for p in points if p.get("label") is label and p["scores"].get(name) is not None]
            places = [lane + 0.62 * (_spread(k) - 0.5) for k in range(len(mine))]
            lane_of = {p["item"]: x for p, x in zip(mine, places, strict=True)}
            cloud = _cloud(mine, places, [p["scores"][name] for p in mine], label, theme, name)
            data.append(
                cloud
                | {"xaxis": f"x{number}", "yaxis": f"y{number}", "legendgroup": str(label), "showlegend": i == 0}
                | {"marker": marker(label, theme, 6), "opacity": 0.75}
            )
            data += [
                ring([lane_of[p["item"]]], [p["scores"][name]], theme) | {"xaxis": f"x{number}", "yaxis": f"y{number}"}
                for p in mine
                if p["item"] == chosen
            ]
        threshold = (thresholds or {}).get(name)
        if threshold is not None:
            shapes.append(
                {"type": "line", "xref": f"x{number} domain", "x0": 0, "x1": 1, "yref": f"y{number}"}
                | {"y0": threshold, "y1": threshold, "line": {"color": ink(theme), "dash": "dash", "width": 1.2}}
            )
        layout[f"xaxis{number}"] = {
            "domain": [round(left, 4), round(min(1.0, left + width), 4)],
            "anchor": f"y{number}",
            "range": [-0.6, len(labels) - 0.4],
            "tickvals": list(range(len(labels))),
            "ticktext": [LABELS[label] for label in labels],
            "showgrid": False,
            "zeroline": False,
        }
        layout[f"yaxis{number}"] = {
            "domain": [round(max(0.0, top - height), 4), round(top, 4)],
            "anchor": f"x{number}",
            "zeroline": False,
            "nticks": 5,
        }
        notes.append(note(escaped(name, 32), left, top, "left", "bottom", 13, None) | {"yshift": 5})
    return figure(
        data,
        theme,
        **layout,
        shapes=shapes,
        annotations=notes,
        showlegend=False,
        margin={"l": 44, "r": 8, "t": 28, "b": 32},
        hovermode="closest",
        uirevision="distributions" + tier,
    )


def _cloud(
    points: Sequence[Row], x: Sequence[float], y: Sequence[float], label: bool | None, theme: str, measure: str
) -> dict[str, Any]:
    said = [
        wrapped(str(p.get("text", "")), 56) + f"<br>{LABELS[label]}, {escaped(str(p.get('regime', '')), 20)}"
        f"<br>{escaped(measure, 40)}: {p['scores'][measure]:.3f}"
        + ("" if p.get("importance") is None else f"<br>importance: {p['importance']:.3f}")
        for p in points
    ]
    return {"type": "scatter", "mode": "markers", "name": LABELS[label], "x": list(x), "y": list(y), "text": said} | {
        "customdata": [p["item"] for p in points],
        "hovertemplate": "%{text}<extra></extra>",
    }


def _spread(k: int) -> float:
    # Multiples of the golden ratio: neighbours lie apart, and the same items always lie at the same places.
    return (0.5 + k * 0.6180339887498949) % 1.0
