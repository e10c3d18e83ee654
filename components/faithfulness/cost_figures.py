"""How measures compare beside their AUROC: agreement, length of the chain, passes and seconds, rates of unlearning.

Symbols and colours are those of :mod:`components.faithfulness.style`; costs are on logarithmic axes, because they lie
between nothing and many minutes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from components.faithfulness.style import Row, by_family, family_axis, family_lines, free, ink, label_colour, note
from components.kit.beside import panels
from components.kit.figure import Figure, figure
from components.kit.figure_card import blank
from components.kit.labels import escaped
from components.kit.style import ABOVE, colour_bar, dashed_line, titled
from components.kit.theme import CATEGORIES, DIVERGING, REMAINDER

_GAP = 0.04


def cost(rows: Sequence[Row], theme: str) -> Figure:
    """Passes and seconds per item of every measure, each on a logarithmic axis; what costs nothing says so.

    ``rows`` as on the board: ``measure``, ``family``, ``passes``, ``seconds``. A point's customdata is its measure.
    """
    lines = by_family([r for r in rows if r.get("passes") is not None or r.get("seconds") is not None])
    if not lines:
        return blank(400, "no costs were recorded")
    data, notes, layout = [], [], panels(2, _GAP)
    for column, (key, title, form) in enumerate(
        (("passes", "passes per item", ".3~g"), ("seconds", "seconds per item", ".2~g"))
    ):
        axis = f"x{column + 1}" if column else "x"
        found = [(i, r, float(r[key])) for i, (_, r) in enumerate(lines) if r is not None and r.get(key) is not None]
        costly = [f for f in found if f[2] > 0]
        data.append(
            {"type": "scatter", "mode": "markers+text", "x": [v for *_, v in costly], "y": [i for i, *_ in costly]}
            | {
                "name": title,
                "showlegend": False,
                "xaxis": axis,
                "customdata": [str(r["measure"]) for _, r, _ in costly],
            }
            | {"text": [_short(v) for *_, v in costly], "textposition": "middle right", "textfont": {"size": 11.5}}
            | {
                "marker": {
                    "size": 10,
                    "color": [REMAINDER if free(r) else label_colour(True, theme) for _, r, _ in costly],
                    "symbol": ["square" if free(r) else "circle" for _, r, _ in costly],
                },
                "cliponaxis": False,
                "hovertemplate": "%{customdata}: %{x:" + form + "} " + title.split(" per")[0] + "<extra></extra>",
            }
        )
        low, high = _decades([v for *_, v in costly])
        left = layout[f"xaxis{column + 1 if column else ''}"]["domain"][0]
        notes += [
            note("none", left + 0.006, i, "left", "middle", 11, REMAINDER) | {"yref": "y"}
            for i, _, v in found
            if not v > 0
        ]
        wide = {"type": "log", "range": [low, high + 0.25], "dtick": 1, "zeroline": False}
        layout[f"xaxis{column + 1 if column else ''}"] |= titled(f"{title}, logarithmic") | wide
    return figure(
        data,
        theme,
        **layout,
        yaxis=family_axis(lines),
        shapes=family_lines(lines),
        annotations=notes,
        margin={"l": 56, "r": 28, "t": 12, "b": 48},
        hovermode="closest",
        uirevision="cost",
    )


def kappa_map(kappa: Row, tier: str, theme: str) -> Figure:
    """Cohen's kappa of every pair of measures on a tier, numbers in the cells, 0 (chance) in the middle of the scale.

    ``kappa``: ``measures`` (M names) and ``tiers`` with (M, M) values, None where a pair has none; perhaps ``counts``
    by tier, (M, M), of the items that both were run on: the measures that were run on fewer than others say so.
    """
    names = [str(n) for n in kappa.get("measures", ())]
    values = (kappa.get("tiers") or {}).get(tier)
    if len(names) < 2 or not values:
        return blank(400, "no pair of measures was compared here")
    # Each pair once: below the diagonal. The cells' names are their places on the axes, because Dash drops the
    # customdata of heatmap cells from clickData (it keeps that of scatter points).
    down, across = names[1:], names[:-1]
    z = [[values[i + 1][j] if j <= i else None for j in range(len(across))] for i in range(len(down))]
    words = [["" if v is None else _kappa(v) for v in row] for row in z]
    counts = (kappa.get("counts") or {}).get(tier)
    most = max((row[i] for i, row in enumerate(counts or ())), default=0)
    labels = [
        escaped(n, 40) + (f" (n = {counts[i][i]})" if counts and counts[i][i] < most else "")
        for i, n in enumerate(names)
    ]
    on = [[f"<br>on {counts[i + 1][j]} items" if counts else "" for j in range(len(across))] for i in range(len(down))]
    trace = {
        "type": "heatmap",
        "x": list(range(len(across))),
        "y": list(range(len(down))),
        "z": z,
        "text": words,
        "texttemplate": "%{text}",
        "textfont": {"size": 12},
        "customdata": [
            [[escaped(a, 40), escaped(b, 40), n] for b, n in zip(across, row, strict=True)]
            for a, row in zip(down, on, strict=True)
        ],
        "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}<br>kappa %{z:.3f}%{customdata[2]}<extra></extra>",
        "hoverongaps": False,
        "colorscale": DIVERGING,
        "zmin": -1,
        "zmid": 0,
        "zmax": 1,
        "xgap": 1,
        "ygap": 1,
        "colorbar": colour_bar("Cohen's kappa"),
    }
    axis = {"showgrid": False, "zeroline": False, "tickmode": "array", "ticklen": 0}
    empty = any(v is None for i, row in enumerate(z) for v in row[: i + 1])
    said = "0: as often alike as by chance" + ("<br>empty: both call every chain alike, or share none" if empty else "")
    return figure(
        [trace],
        theme,
        xaxis=axis | {"tickvals": list(range(len(across))), "ticktext": labels[:-1], "tickangle": -35},
        yaxis=axis
        | {"tickvals": list(range(len(down))), "ticktext": labels[1:], "ticksuffix": " "}
        | {"range": [len(down) - 0.5, -0.5]},
        annotations=[note(said, 0.98, 0.98, "right", "top", 13, None)],
        margin={"l": 56, "r": 8, "t": 12, "b": 60},
        uirevision="kappa",
    )


def _kappa(value: float) -> str:
    """Two digits without the nought before the point: cells are narrow."""
    digits = f"{abs(value):.2f}"
    sign = "−" if value < 0 and float(digits) else ""
    return sign + (digits if digits.startswith("1") else digits[1:])


def lengths(rows: Sequence[Row], theme: str, tier: str = "") -> Figure:
    """AUROC of every measure by the number of steps, numbers in the cells, a panel for each tier.

    ``rows``: ``tier``, ``steps`` (a number or "4 to 7"), ``measure``, ``auroc`` (None leaves the cell empty), ``n``.
    ``tier`` keeps one tier alone.
    """
    kept = [r for r in rows if not tier or str(r["tier"]) == tier]
    tiers = list(dict.fromkeys(str(r["tier"]) for r in kept))
    names = list(dict.fromkeys(str(r["measure"]) for r in kept))
    if not any(r.get("auroc") is not None for r in kept):
        return blank(400, "no chains of different lengths")
    bins = {t: sorted({str(r["steps"]) for r in kept if str(r["tier"]) == t}, key=_first) for t in tiers}
    layout, data, notes = {}, [], []
    total, start = sum(len(b) for b in bins.values()), 0.0
    for i, t in enumerate(tiers):
        number = str(i + 1) if i else ""
        mine = {(str(r["measure"]), str(r["steps"])): r for r in kept if str(r["tier"]) == t}
        cells = [[mine.get((name, b), {}) for b in bins[t]] for name in names]
        z = [[c.get("auroc") for c in row] for row in cells]
        sizes = [max((int(c.get("n") or 0) for row in cells for c in [row[j]]), default=0) for j in range(len(bins[t]))]
        data.append(
            {"type": "heatmap", "x": list(range(len(bins[t]))), "y": list(range(len(names))), "z": z, "xgap": 2}
            | {"ygap": 2, "colorscale": DIVERGING, "zmin": 0, "zmid": 0.5, "zmax": 1, "xaxis": f"x{number}"}
            | {
                "text": [[_cell(c, n) for c, n in zip(row, sizes, strict=True)] for row in cells],
                "texttemplate": "%{text}",
            }
            | {
                "customdata": [
                    [f"{escaped(n, 40)}, {b} steps, {c.get('n', 0)} items" for b, c in zip(bins[t], row, strict=True)]
                    for n, row in zip(names, cells, strict=True)
                ]
            }
            | {"hovertemplate": "%{customdata}<br>AUROC %{z:.3f}<extra></extra>", "hoverongaps": False}
            | {"showscale": i == 0, "colorbar": colour_bar("AUROC")}
        )
        width = (1 - _GAP * (len(tiers) - 1)) * len(bins[t]) / total
        layout[f"xaxis{number}"] = titled("steps of the chain") | {
            "domain": [round(start, 4), round(min(1.0, start + width), 4)],
            "tickvals": list(range(len(bins[t]))),
            "ticktext": [f"{b}<br>n = {n}" for b, n in zip(bins[t], sizes, strict=True)],
            "showgrid": False,
            "zeroline": False,
        }
        notes.append(note(f"<b>tier {escaped(t, 20)}</b>", start, 1.0, "left", "bottom", 13, None))
        start += width + _GAP
    ticks = {"tickvals": list(range(len(names))), "ticktext": [escaped(n, 40) for n in names], "ticksuffix": " "}
    return figure(
        data,
        theme,
        **layout,
        yaxis=ticks | {"range": [len(names) - 0.5, -0.5], "showgrid": False, "zeroline": False},
        annotations=notes,
        margin={"l": 56, "r": 8, "t": 28, "b": 60},
        uirevision="lengths",
    )


def _cell(cell: Row, most: int) -> str:
    """An AUROC, and on how few items it rests where that is fewer than the column's."""
    if cell.get("auroc") is None:
        return ""
    few = int(cell.get("n") or 0)
    return f"{cell['auroc']:.2f}" + (f" (n = {few})" if few < most else "")


def sweep(fur: Row | None, theme: str) -> Figure:
    """Unlearning at each learning rate: efficacy, specificity with its floor (dashed), and answers that change.

    ``fur`` as on the board: ``sweep`` (rows ``rate``, ``efficacy``, ``specificity``, ``flips``), the ``rate`` that was
    chosen, and the ``floor`` that chose it.
    """
    if not fur or not fur.get("sweep"):
        return blank(320, "unlearning was not run")
    rows = sorted(fur["sweep"], key=lambda r: float(r["rate"]))
    data: list[Any] = []
    for key, name, colour, dash, symbol in (
        ("efficacy", "efficacy: the step is forgotten", CATEGORIES[2], "solid", "circle"),
        ("specificity", "specificity: other answers stay", CATEGORIES[3], "dash", "diamond"),
        ("flips", "answers that change", REMAINDER, "dot", "square"),
    ):
        values = [r.get(key) for r in rows]
        if all(v is None for v in values):
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": name,
                "x": [float(r["rate"]) for r in rows],
                "y": values,
            }
            | {"line": {"color": colour, "dash": dash, "width": 2}, "marker": {"symbol": symbol, "size": 9}}
            | {"hovertemplate": "rate %{x:.3~g}<br>%{y:.3f}<extra>" + name + "</extra>"}
        )
    shapes, notes, chosen = [], [], ""
    if fur.get("floor") is not None:
        shape, words = dashed_line("y", float(fur["floor"]), f"floor of specificity: {fur['floor']:.2f}")
        shapes, notes = [shape], [words | {"x": 1, "xref": "paper"}]
    if fur.get("rate") is not None:
        at = float(fur["rate"])
        shapes.append(
            {"type": "line", "x0": at, "x1": at, "yref": "paper", "y0": 0, "y1": 1}
            | {"line": {"color": ink(theme), "width": 1.5, "dash": "dot"}}
        )
        chosen = f" (dotted: {_rate(at)}, chosen)"
    return figure(
        data,
        theme,
        xaxis=titled("learning rate, logarithmic" + chosen)
        | {"type": "log", "tickvals": [float(r["rate"]) for r in rows], "minor": {"showgrid": False}}
        | {"ticktext": [_rate(float(r["rate"])) for r in rows]},
        yaxis=titled("share") | {"range": [-0.04, 1.06]},
        shapes=shapes,
        annotations=notes,
        legend=ABOVE,
        uirevision="sweep",
    )


def _rate(value: float) -> str:
    return f"{value:.3g}".replace("e-0", "e−")


def _decades(values: Sequence[float]) -> tuple[float, float]:
    """Ends of a logarithmic axis (powers of ten) around the values, with room for them to be dots."""
    if not values:
        return 0.0, 1.0
    return math.log10(min(values)) - 0.35, math.log10(max(values)) + 0.15


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 99.5 else f"{value:.2g}"


def _first(bin_: str) -> float:
    return float(bin_.split(" ")[0])
