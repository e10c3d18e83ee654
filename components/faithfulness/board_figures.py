"""What the measures are worth, from plain rows: the leaderboard by tier, and what each measure calls faithful.

Values below 0.5 are drawn below 0.5. Tiers stand side by side rather than in colours, because colour means the label on
this page (:mod:`components.faithfulness.style`). The figures that have a point for each item are in
:mod:`components.faithfulness.point_figures`, those that compare measures in
:mod:`components.faithfulness.cost_figures`; the board's figures can all be had from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.faithfulness.cost_figures import kappa_map
from components.faithfulness.point_figures import distributions, importance_truth
from components.faithfulness.style import (
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
from components.kit.beside import panels
from components.kit.figure import BAND, Figure, figure
from components.kit.figure_card import blank
from components.kit.labels import escaped
from components.kit.style import ABOVE, hatched, titled, wrapped
from components.kit.theme import REMAINDER, template

PUBLISHED = "published: other models, other items"
ONE = "one label only"
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
    count, wide, data = len(columns), 112 // max(len(columns), 3), []
    layout, notes = panels(count, _GAP), []
    shapes = family_lines(lines)
    seen: set[str] = set()
    for c, tier in enumerate(columns):
        axis = f"x{c + 1}" if c else "x"
        left, right = layout[f"xaxis{c + 1 if c else ''}"]["domain"]
        if tier is None:
            words = _head(PUBLISHED, "arXiv 2605.25052; 4B to 70B", wide)
            traces = _published(lines, theme)
        else:
            words = _head(str(tier["title"]), _sizes(tier), wide)
            shown = tier.get("shown", True)
            traces = _tier(lines, str(tier["tier"]), theme) if shown else []
            if not shown:
                said = wrapped(str(tier.get("why_not") or "not shown"), 30)
                plain = {"bgcolor": template(theme)["layout"]["hoverlabel"]["bgcolor"], "borderpad": 6}
                notes.append(note(said, (left + right) / 2, 0.5, "center", "middle", 14, None) | plain)
        for trace in traces:
            first = trace["mode"] != "text" and trace["name"] not in seen
            trace |= {"xaxis": axis, "legendgroup": trace["name"], "showlegend": first}
            seen.add(trace["name"])
        data += traces
        notes.append(note(words, left, 1.0, "left", "bottom", 13, None))
        shapes.append(
            {"type": "line", "xref": axis, "yref": "paper", "x0": 0.5, "x1": 0.5, "y0": 0, "y1": 1, "layer": "below"}
            | {"line": {"color": ink(theme), "width": 1.5}}
        )
        layout[f"xaxis{c + 1 if c else ''}"] |= titled("AUROC · ties" if tier is not None else "AUROC") | {
            "range": [-0.03, 1.34],
            "tickvals": [0, 0.25, 0.5, 0.75, 1],
            "ticktext": ["0", "", "0.5", "", "1"],
            "zeroline": False,
        }
    deepest = max(str(n["text"]).count("<br>") for n in notes if n["y"] == 1.0)
    return figure(
        data,
        theme,
        **layout,
        yaxis=family_axis(lines),
        shapes=shapes,
        annotations=notes,
        legend={"orientation": "h", "x": 0, "xanchor": "left", "y": -0.1, "yanchor": "top"},
        margin={"l": 56, "r": 8, "t": 24 + 18 * deepest, "b": 84},
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
    # Ties stand beside the value: an area made of them is no ranking.
    words = [
        (i, f"{a['auroc']:.2f}" + (f" · {a['ties']:.0%}" if (a.get("ties") or 0) >= 0.005 else "")) for i, _, a in found
    ]
    words += [
        (i, ONE if r["auroc"].get(tier) else "not run")
        for i, (_, r) in enumerate(lines)
        if r is not None and not area_of(r, tier)
    ]
    data.append(
        {"type": "scatter", "mode": "text", "name": "value", "showlegend": False, "hoverinfo": "skip"}
        | {
            "x": [1.3 if w == ONE else 1.04 for _, w in words],
            "y": [i for i, _ in words],
            "text": [w for _, w in words],
        }
        # The longest words end where the panel does: to their left nothing is drawn.
        | {"textposition": ["middle left" if w == ONE else "middle right" for _, w in words]}
        | {"textfont": {"size": 12}, "cliponaxis": False}
    )
    return [trace for trace in data if trace["x"]]


def _published(lines: Sequence[tuple[str, Row | None]], theme: str) -> list[dict[str, Any]]:
    data = []
    for level, name, symbol, shift in (
        ("chain", "published, whole chains", "circle-open", -0.17),
        ("step", "published, single steps", "triangle-up-open", 0.17),
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


def _head(title: str, below: str, width: int) -> str:
    return f"<b>{wrapped(title, width)}</b><br>" + f'<span style="font-size:11px">{escaped(below, 60)}</span>'


def _sizes(tier: Row) -> str:
    words = [(tier.get("items"), "items"), (tier.get("problems"), "problems"), (tier.get("seeds"), "seeds")]
    return ", ".join(f"{n} {name if n != 1 else name.removesuffix('s')}" for n, name in words if n)


def area_of(row: Row, tier: str) -> Row | None:
    """What a row knows of its AUROC on a tier; None if it was not measured there."""
    found: Row | None = row["auroc"].get(tier)
    return found if found and found.get("auroc") is not None else None


def _count(row: Row, tier: str) -> int:
    """On how many items of a tier a measure was run: as counted, else the labelled ones; 0 where that is not known."""
    if tier in (row.get("counted") or {}):
        return int(row["counted"][tier])
    cell = row["auroc"].get(tier) or {}
    return int(cell.get("n_faithful") or 0) + int(cell.get("n_unfaithful") or 0)


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

    ``rows`` as on the board, with ``called`` and perhaps ``counted`` (items by tier); ``thresholds`` by measure, shown
    behind its name. Measures without a share are left out. A bar's customdata is (measure, tier, of how many items).
    """
    kept = [r for r in rows if (r.get("called") or {}).get(tier) is not None]
    if not kept:
        return blank(400, "no measure has a threshold here")
    lines = by_family(kept)
    found = [(i, r, float(r["called"][tier])) for i, (_, r) in enumerate(lines) if r is not None]
    counts = {str(r["measure"]): _count(r, tier) for r in kept}
    most = max(counts.values())
    # A measure that was run on a few items says so: its share is no share of all.
    said = {n: f"  ≥ {t:.2g}" for n, t in thresholds.items() if t is not None}
    said |= {n: f"{said.get(n, '')} (n = {c})" for n, c in counts.items() if 0 < c < most}
    of = {n: f" of {c} items" if c else "" for n, c in counts.items()}
    data = []
    for label, hatch in ((True, ""), (False, "/")):
        shares = [s if label else 1 - s for *_, s in found]
        data.append(
            {"type": "bar", "orientation": "h", "name": f"called {LABELS[label]}", "x": shares}
            | {"y": [i for i, *_ in found], "customdata": [[r["measure"], tier, of[r["measure"]]] for _, r, _ in found]}
            | {"marker": {"color": label_colour(label, theme), "pattern": hatched(hatch)}, "width": 0.72}
            | {"text": [f"{s:.0%}" if label else "" for s in shares], "textposition": "none"}
            | {"hovertemplate": "%{customdata[0]}: %{x:.1%}%{customdata[2]}<extra>called " + LABELS[label] + "</extra>"}
        )
    notes = [
        {"xref": "paper", "x": 1.01, "y": i, "text": f"{s:.0%}", "showarrow": False, "xanchor": "left"}
        | {"font": {"size": 12, "color": label_colour(True, theme)}}
        for i, _, s in found
    ]
    notes.append(note("faithful", 1.01, 1.0, "left", "bottom", 12, label_colour(True, theme)))
    shapes = family_lines(lines)
    areas = [a for r in kept if (a := area_of(r, tier)) and a.get("n_faithful") is not None]
    sizes = max(areas, key=lambda a: int(a["n_faithful"] + a["n_unfaithful"]), default=None)
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
        legend=ABOVE | {"y": -0.12, "yanchor": "top", "traceorder": "normal"},
        margin={"l": 56, "r": 60, "t": 28, "b": 76},
        uirevision="bias",
    )
