"""What the measures are worth, from plain rows: the leaderboard by tier, what each calls faithful, how far they agree.

Values below 0.5 are drawn below 0.5. Tiers stand side by side rather than in colours, because colour means the label on
this page (:mod:`components.faith_style`). The figures of single items are in :mod:`components.faith_point_figures`,
those of lengths and costs in :mod:`components.faith_cost_figures`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.faith_point_figures import distributions, importance_truth
from components.faith_style import (
    LABELS,
    Row,
    by_family,
    family_axis,
    family_lines,
    free,
    ink,
    label_colour,
    note,
)
from components.figure_card import blank
from components.figures import BAND, Figure, figure
from components.labels import escaped
from components.neuron_figures import panels
from components.othello_style import ABOVE, colour_bar, hatched, titled, wrapped
from components.theme import DIVERGING, REMAINDER

PUBLISHED = "published: other models, other items"
_GAP = 0.03

__all__ = ["bias", "called_shares", "distributions", "importance_truth", "kappa_map", "leaderboard"]


def leaderboard(rows: Sequence[Row], tiers: Sequence[Row], published: bool, theme: str) -> Figure:
    """AUROC of every measure with its 95 % interval, a panel for each tier, on the band of shuffled labels.

    ``rows`` and ``tiers`` as in the board's data; a tier with ``"shown": False`` says why instead of showing values.
    With ``published``, a last panel has the paper's values as hollow markers. A point's customdata is (measure, tier).
    """
    if not rows or not tiers:
        return blank(520, "nothing scored yet")
    lines = by_family(rows)
    extra = [r for r in rows if published and any((r.get("published") or {}).values())]
    columns: list[Row | None] = [*tiers, *([None] if extra else [])]
    count, data = len(columns), []
    layout, notes = panels(count, _GAP), []
    shapes = family_lines(lines)
    seen: set[str] = set()
    for c, tier in enumerate(columns):
        axis = f"x{c + 1}" if c else "x"
        left, right = layout[f"xaxis{c + 1 if c else ''}"]["domain"]
        if tier is None:
            traces, words = _published(lines, theme), _head(PUBLISHED, "arXiv 2605.25052, 4 to 70 billion parameters")
        else:
            words = _head(str(tier["title"]), _sizes(tier))
            shown = tier.get("shown", True)
            traces = _tier(lines, str(tier["tier"]), theme) if shown else []
            if not shown:
                said = wrapped(str(tier.get("why_not") or "not shown"), 30)
                notes.append(note(said, (left + right) / 2, 0.5, "center", "middle", 14, REMAINDER))
        for trace in traces:
            trace |= {"xaxis": axis, "legendgroup": trace["name"], "showlegend": trace["name"] not in seen}
            seen |= {trace["name"]} if trace.get("mode") != "text" else set()
        data += traces
        notes.append(note(words, left, 1.0, "left", "bottom", 13, None))
        shapes.append(
            {"type": "line", "xref": axis, "yref": "paper", "x0": 0.5, "x1": 0.5, "y0": 0, "y1": 1, "layer": "below"}
            | {"line": {"color": ink(theme), "width": 1.5, "dash": "dash"}}
        )
        layout[f"xaxis{c + 1 if c else ''}"] |= titled("AUROC (0.5: chance)") | {
            "range": [-0.03, 1.34],
            "tickvals": [0, 0.25, 0.5, 0.75, 1],
            "ticktext": ["0", "", "0.5", "", "1"],
            "zeroline": False,
        }
    return figure(
        data,
        theme,
        **layout,
        yaxis=family_axis(lines),
        shapes=shapes,
        annotations=notes,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.1, "yanchor": "top"},
        margin={"l": 56, "r": 8, "t": 74, "b": 84},
        hovermode="closest",
        uirevision="leaderboard",
    )


def _tier(lines: Sequence[tuple[str, Row | None]], tier: str, theme: str) -> list[dict[str, Any]]:
    found: list[tuple[int, Row, Any]] = [
        (i, r, area_of(r, tier)) for i, (_, r) in enumerate(lines) if r is not None and area_of(r, tier)
    ]
    x: list[float | None] = []
    y: list[int | None] = []
    for i, _, a in found:
        if a.get("permuted") and None not in a["permuted"]:
            x, y = [*x, *a["permuted"], None], [*y, i, i, None]
    data: list[dict[str, Any]] = [
        {"type": "scatter", "mode": "lines", "name": "shuffled labels, 95 %", "x": x, "y": y, "hoverinfo": "skip"}
        | {"line": {"color": BAND, "width": 13}}
    ]
    blue = label_colour(True, theme)
    for name, colour, symbol, part in (
        ("measure, 95 % interval", blue, "circle", [f for f in found if not free(f[1])]),
        ("free baseline", REMAINDER, "square", [f for f in found if free(f[1])]),
    ):
        areas = [a for _, _, a in part]
        bars = {"type": "data", "symmetric": False, "thickness": 2, "width": 4} | {
            "array": [_minus(a.get("high"), a["auroc"]) for a in areas],
            "arrayminus": [_minus(a["auroc"], a.get("low")) for a in areas],
        }
        data.append(
            {"type": "scatter", "mode": "markers", "name": name, "x": [a["auroc"] for a in areas], "error_x": bars}
            | {"y": [i for i, _, _ in part], "customdata": [[r["measure"], tier] for _, r, _ in part]}
            | {"marker": {"color": colour, "symbol": symbol, "size": 9}, "text": [_said(r, a) for _, r, a in part]}
            | {"hovertemplate": "%{text}<extra></extra>"}
        )
    words = [
        f"{a['auroc']:.2f}" + (f"  {a['ties']:.0%} tie" if (a.get("ties") or 0) >= 0.005 else "") for *_, a in found
    ]
    data.append(
        {"type": "scatter", "mode": "text", "name": "value", "showlegend": False, "hoverinfo": "skip"}
        | {"x": [1.04] * len(found), "y": [i for i, _, _ in found], "text": words, "textposition": "middle right"}
        | {"textfont": {"size": 11}, "cliponaxis": False}
    )
    return [trace for trace in data if trace["x"]]


def _published(lines: Sequence[tuple[str, Row | None]], theme: str) -> list[dict[str, Any]]:
    data = []
    for level, name, symbol, shift in (
        ("chain", "published, whole chains", "circle-open", -0.14),
        ("step", "published, single steps", "triangle-up-open", 0.14),
    ):
        everything = [(i, r, (r.get("published") or {}).get(level)) for i, (_, r) in enumerate(lines) if r is not None]
        found = [(i, r, v) for i, r, v in everything if v]
        margin = {"type": "data", "array": [v[1] for *_, v in found], "thickness": 1.5, "width": 3}
        said = [f"{escaped(str(r['measure']), 40)}<br>{name}: {v[0]:.2f} ± {v[1]:.2f}" for _, r, v in found]
        data.append(
            {"type": "scatter", "mode": "markers", "name": f"{name} (other models, other items)", "error_x": margin}
            | {"x": [v[0] for *_, v in found], "y": [i + shift for i, *_ in found], "text": said}
            | {"customdata": [[r["measure"], "published"] for _, r, _ in found]}
            | {"marker": {"symbol": symbol, "size": 9, "color": ink(theme), "line": {"width": 2}}}
            | {"hovertemplate": "%{text}<br>" + PUBLISHED.removeprefix("published: ") + "<extra></extra>"}
        )
    return [trace for trace in data if trace["x"]]


def _said(row: Row, area: Row) -> str:
    low, high = area.get("low"), area.get("high")
    within = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    null = area.get("permuted") or (None, None)
    lines = [f"<b>{escaped(str(row['measure']), 40)}</b>: {area['auroc']:.3f}{within}"]
    lines.append(f"{area.get('n_faithful', '?')} faithful, {area.get('n_unfaithful', '?')} unfaithful items")
    lines.append("" if area.get("ties") is None else f"{area['ties']:.1%} of pairs tie")
    lines.append("" if None in null else f"shuffled labels: {null[0]:.2f} to {null[1]:.2f}")
    lines.append(wrapped(str(row.get("sentence", "")), 56))
    return "<br>".join(line for line in lines if line.strip())


def _minus(a: float | None, b: float | None) -> float:
    return 0.0 if a is None or b is None else max(0.0, a - b)


def _head(title: str, below: str) -> str:
    return f"<b>{wrapped(title, 36)}</b><br>" + f'<span style="font-size:11px">{escaped(below, 60)}</span>'


def _sizes(tier: Row) -> str:
    words = [(tier.get("items"), "items"), (tier.get("problems"), "problems"), (tier.get("seeds"), "seeds")]
    return ", ".join(f"{n} {name}" for n, name in words if n)


def area_of(row: Row, tier: str) -> Row | None:
    """What a row knows of its AUROC on a tier; None if it was not measured there."""
    found: Row | None = row["auroc"].get(tier)
    return found if found and found.get("auroc") is not None else None


def called_shares(points: Sequence[Row], thresholds: Mapping[str, float | None]) -> dict[str, float]:
    """The share of measured items whose score reaches the threshold, for each measure that has one: for a slider."""
    shares = {}
    for name, threshold in thresholds.items():
        known = [s for p in points if (s := p["scores"].get(name)) is not None]
        if known and threshold is not None:
            shares[name] = sum(s >= threshold for s in known) / len(known)
    return shares


def bias(rows: Sequence[Row], tier: str, thresholds: Mapping[str, float | None], theme: str) -> Figure:
    """The share of a tier's items that each measure calls faithful at its threshold, and the share that is (dashed).

    ``rows`` as on the board, with ``called``; ``thresholds`` by measure, shown behind its name. Measures without a
    share are left out. A bar's customdata is (measure, tier).
    """
    kept = [r for r in rows if (r.get("called") or {}).get(tier) is not None]
    if not kept:
        return blank(400, "no measure has a threshold here")
    lines = by_family(kept)
    found = [(i, r, float(r["called"][tier])) for i, (_, r) in enumerate(lines) if r is not None]
    said = {n: f"  ≥ {t:.2g}" for n, t in thresholds.items() if t is not None}
    data = []
    for label, hatch in ((True, ""), (False, "/")):
        shares = [s if label else 1 - s for *_, s in found]
        data.append(
            {"type": "bar", "orientation": "h", "name": f"called {LABELS[label]}", "x": shares}
            | {"y": [i for i, *_ in found], "customdata": [[r["measure"], tier] for _, r, _ in found]}
            | {"marker": {"color": label_colour(label, theme), "pattern": hatched(hatch)}, "width": 0.72}
            | {"text": [f"{s:.0%}" if label else "" for s in shares], "textposition": "none"}
            | {"hovertemplate": "%{customdata[0]}: %{x:.1%}<extra>called " + LABELS[label] + "</extra>"}
        )
    notes = [
        {"xref": "paper", "x": 1.01, "y": i, "text": f"{s:.0%}", "showarrow": False, "xanchor": "left"}
        | {"font": {"size": 12}}
        for i, _, s in found
    ]
    shapes = family_lines(lines)
    sizes = next((a for r in kept if (a := area_of(r, tier)) and a.get("n_faithful") is not None), None)
    if sizes is not None:
        true = sizes["n_faithful"] / max(sizes["n_faithful"] + sizes["n_unfaithful"], 1)
        shapes.append(
            {"type": "line", "x0": true, "x1": true, "yref": "paper", "y0": 0, "y1": 1}
            | {"line": {"color": ink(theme), "width": 2, "dash": "dash"}}
        )
        notes.append(note(f"labelled faithful: {true:.0%}", true, 1.0, "center", "bottom", 12, None) | {"xref": "x"})
    return figure(
        data,
        theme,
        barmode="stack",
        xaxis=titled("share of items called faithful") | {"range": [0, 1], "tickformat": ".0%"},
        yaxis=family_axis(lines, said),
        shapes=shapes,
        annotations=notes,
        legend=ABOVE | {"y": -0.12, "yanchor": "top"},
        margin={"l": 56, "r": 48, "t": 28, "b": 76},
        uirevision="bias",
    )


def kappa_map(kappa: Row, tier: str, theme: str) -> Figure:
    """Cohen's kappa of every pair of measures on a tier, numbers in the cells, 0 (chance) in the middle of the scale.

    ``kappa``: ``measures`` (M names) and ``tiers`` with (M, M) values, None where a pair has none.
    """
    names = [str(n) for n in kappa.get("measures", ())]
    values = (kappa.get("tiers") or {}).get(tier)
    if len(names) < 2 or not values:
        return blank(400, "no pair of measures was compared here")
    # Each pair once: below the diagonal. The cells' names are their places on the axes, because Dash drops the
    # customdata of heatmap cells from clickData (it keeps that of scatter points).
    down, across = names[1:], names[:-1]
    z = [[values[i + 1][j] if j <= i else None for j in range(len(across))] for i in range(len(down))]
    words = [["" if v is None else f"{v:.2f}".replace("-", "−") for v in row] for row in z]
    words = [["0.00" if w == "−0.00" else w for w in row] for row in words]
    trace = {
        "type": "heatmap",
        "x": list(range(len(across))),
        "y": list(range(len(down))),
        "z": z,
        "text": words,
        "texttemplate": "%{text}",
        "customdata": [[[escaped(a, 40), escaped(b, 40)] for b in across] for a in down],
        "hovertemplate": "%{customdata[0]}<br>%{customdata[1]}<br>kappa %{z:.3f}<extra></extra>",
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
    return figure(
        [trace],
        theme,
        xaxis=axis
        | {"tickvals": list(range(len(across))), "ticktext": [escaped(n, 40) for n in across], "tickangle": -35},
        yaxis=axis
        | {"tickvals": list(range(len(down))), "ticktext": [escaped(n, 40) for n in down], "ticksuffix": " "}
        | {"range": [len(down) - 0.5, -0.5]},
        margin={"l": 56, "r": 8, "t": 12, "b": 60},
        uirevision="kappa",
    )
