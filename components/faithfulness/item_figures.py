"""One item under the lens: the answer's probability along the chain, the options before and after, its scores.

Alterations are told apart by colour, dash and symbol, and named at the end of their line: a page that is projected has
no pointer. What text was altered, and what the model then answered, stands under the pointer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from components.faithfulness.style import LABELS, Row, by_family, family_axis, family_lines, ink, marker
from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.figure_card import blank
from components.kit.labels import escaped
from components.kit.style import ABOVE, numbers, titled, wrapped
from components.kit.theme import REMAINDER

_APART = 0.062
"""How far apart (in probability) names at the line's ends must stand to be read."""
_MOST = 6
"""Options named under the pointer."""
MOST_TICKS = 20
"""Steps named below the axis; of more, every second, third, ... is."""
_KINDS = {
    "true": ("solid", "circle", "#0072B2", "#56B4E9"),
    "truncated": ("dash", "square", "#B35806", "#F5A623"),
    "corrupted": ("dashdot", "x", "#D55E00", "#FF8A4C"),
    "filler": ("dot", "diamond", "#007A59", "#2BC79A"),
    "attention blocked": ("longdash", "triangle-up", "#A8467F", "#E39BC6"),
    "paraphrased": ("longdashdot", "star", "#59636E", "#AEB6BF"),
}
"""Dash, symbol, and colour on light and dark, of every kind of alteration."""


def trace(data: Row, theme: str) -> Figure:
    """P(answer) against how many steps are given, one line for the true chain and for each kind of alteration.

    ``data`` as FaithTrace gives it: ``steps`` (labels), ``lines`` (``name``, ``points`` with ``step``, ``p``, ``text``,
    ``options``), ``answer``, ``base`` (probability without a chain, dotted). A point's customdata is (name, step).
    """
    lines = [line for line in data.get("lines", ()) if any(p.get("p") is not None for p in line["points"])]
    if not lines:
        return blank(400, "this item has no trace")
    steps = [escaped(str(s), 16) for s in data["steps"]]
    span = max(len(steps) - 1, 1)
    drawn = [sorted((p for p in line["points"] if p.get("p") is not None), key=lambda p: p["step"]) for line in lines]
    ends = [(float(points[-1]["step"]), float(points[-1]["p"])) for points in drawn]
    if data.get("base") is not None:
        ends.append((float(span), float(data["base"])))
    heights = _apart([p for _, p in ends])
    traces: list[Any] = []
    for i, (line, points) in enumerate(zip(lines, drawn, strict=True)):
        name = str(line["name"])
        dash, symbol, light, dark = _KINDS.get(name, tuple(_KINDS.values())[i % len(_KINDS)])
        colour = dark if theme == "dark" else light
        shown = escaped(name, 30)
        traces.append(
            {"type": "scatter", "mode": "lines+markers", "name": shown, "legendgroup": shown}
            | {"x": [p["step"] for p in points], "y": numbers([p["p"] for p in points], 5)}
            | {"customdata": [[name, p["step"]] for p in points], "text": [_said(p, steps) for p in points]}
            | {"line": {"color": colour, "dash": dash, "width": 3 if name == "true" else 2.2}, "cliponaxis": False}
            | {"marker": {"symbol": symbol, "size": 10, "color": colour}}
            | {"hovertemplate": f"<b>{shown}</b>, " + "%{text}<extra></extra>"}
        )
        traces.append(_name(shown, shown, ends[i], heights[i], span, colour))
    if data.get("base") is not None:
        base = float(data["base"])
        traces.append(
            {"type": "scatter", "mode": "lines", "name": "no chain", "legendgroup": "no chain", "hoverinfo": "skip"}
            | {"showlegend": False}
            | {"x": [-0.06 * span, span], "y": [base, base], "line": {"color": REMAINDER, "dash": "dot", "width": 2}}
        )
        traces.append(_name(f"no chain {base:.2f}", "no chain", ends[-1], heights[-1], span, REMAINDER))
    every = -(-len(steps) // MOST_TICKS)
    ticks = {"tickvals": list(range(0, len(steps), every)), "ticktext": steps[::every], "zeroline": False}
    return figure(
        traces,
        theme,
        xaxis=titled("steps given so far") | ticks | {"range": [-0.06 * span, 1.05 * span]},
        yaxis=titled(f"P(answer = {escaped(str(data.get('answer', '')).strip(), 20)})")
        | {"range": [-0.04, 1.04], "tickvals": [0, 0.25, 0.5, 0.75, 1], "zeroline": False},
        legend=ABOVE,
        margin={"l": 56, "r": 150, "t": 12, "b": 48},
        hovermode="closest",
        uirevision="trace",
    )


def _name(text: str, group: str, end: tuple[float, float], height: float, span: float, colour: str) -> dict[str, Any]:
    """A name at the end of its line. A trace of the line's group, not an annotation: it leaves with the line."""
    return (
        {"type": "scatter", "mode": "lines+text", "name": text, "legendgroup": group, "showlegend": False}
        | {"x": [end[0], 1.04 * span], "y": [end[1], height], "text": ["", f" {text}"], "hoverinfo": "skip"}
        | {"textposition": "middle right", "textfont": {"color": colour, "size": 13}, "cliponaxis": False}
        | {"line": {"color": colour, "width": 1}}
    )


def options(data: Row | Sequence[Row], theme: str) -> Figure:
    """The probability of every candidate, before and after an intervention, the answer in bold.

    ``data`` as FaithIntervene gives it (``options`` with ``candidate``, ``before``, ``after``; ``answer``), or an
    item's (``options`` with ``candidate``, ``probability``): then there is one bar each.
    """
    rows: Sequence[Row] = data.get("options", ()) if isinstance(data, Mapping) else data
    answer = str(data.get("answer", "")) if isinstance(data, Mapping) else ""
    if not rows:
        return blank(260, "no options")
    before = [r.get("before", r.get("probability")) for r in rows]
    after = [r.get("after") for r in rows]
    names = [escaped(str(r["candidate"]).strip(), 24) or "(empty)" for r in rows]
    words = [f"<b>{n}</b>" if str(r["candidate"]) == answer else n for n, r in zip(names, rows, strict=True)]
    changed = any(v is not None for v in after)
    data_: list[Any] = []
    for name, values, colour, hatch in (("before", before, BEFORE, ""), ("after", after, AFTER, "/")):
        if all(v is None for v in values):
            continue
        data_.append(
            {"type": "bar", "name": name, "x": list(range(len(rows))), "y": values, "customdata": names}
            | {"marker": {"color": colour, "pattern": {"shape": hatch, "fillmode": "overlay", "size": 6}}}
            | {"text": ["" if v is None or v < 0.05 else f"{v:.2f}" for v in values], "textposition": "outside"}
            | {"textfont": {"size": 12}, "constraintext": "none", "cliponaxis": False}
            | {"hovertemplate": "%{customdata}: %{y:.4f}<extra>" + (name if changed else "") + "</extra>"}
        )
    return figure(
        data_,
        theme,
        barmode="group",
        bargap=0.25,
        showlegend=changed,
        xaxis={"tickvals": list(range(len(rows))), "ticktext": words, "showgrid": False, "zeroline": False}
        | titled("candidate (bold: the answer)"),
        yaxis=titled("probability") | {"range": [0, 1.08], "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        legend=ABOVE,
        margin={"l": 56, "r": 8, "t": 12, "b": 48},
        uirevision="options",
    )


def score_strip(scores: Sequence[Row], theme: str) -> Figure:
    """Where this item's score lies by each measure: between the medians of both labels of its tier, and the threshold.

    ``scores`` as FaithItem gives them. Rows whose values do not lie between −1 and 1.5 (a length, a log-probability)
    are stretched to the axis, and the number behind the row says the score itself. A measure without a score is listed
    with its note. A point's customdata is its measure.
    """
    if not scores:
        return blank(400, "this item was not measured")
    lines = by_family(scores)
    rows = [(i, r, _places(r)) for i, (_, r) in enumerate(lines) if r is not None]
    scored = [(i, r, v, put) for i, r, (v, put) in rows if v["score"] is not None]
    x: list[float | None] = []
    y: list[int | None] = []
    for i, _, v, put in scored:
        if v["median_faithful"] is not None and v["median_unfaithful"] is not None:
            x, y = [*x, put(v["median_unfaithful"]), put(v["median_faithful"]), None], [*y, i, i, None]
    data: list[Any] = []
    if x:
        data.append(
            {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": {"color": REMAINDER, "width": 3}}
            | {"showlegend": False, "hoverinfo": "skip", "name": "between the medians", "opacity": 0.7}
        )
    for key, name, look in (
        ("threshold", "threshold", {"symbol": "line-ns", "size": 18, "line": {"width": 2.5, "color": REMAINDER}}),
        ("median_unfaithful", f"median of {LABELS[False]} items", marker(False, theme, 10)),
        ("median_faithful", f"median of {LABELS[True]} items", marker(True, theme, 10)),
        ("score", "this item", {"symbol": "triangle-down", "size": 15, "color": ink(theme)}),
    ):
        known = [(i, r, v, put) for i, r, v, put in scored if v[key] is not None]
        # The item's own marker stands on its line, not over the medians, so that none of them hides another.
        lift = 0.3 if key == "score" else 0.0
        data.append(
            {"type": "scatter", "mode": "markers", "name": name, "marker": look}
            | {"x": [put(v[key]) for _, _, v, put in known], "y": [i - lift for i, *_ in known]}
            | {"customdata": [str(r["measure"]) for _, r, *_ in known], "text": [f"{v[key]:.3f}" for *_, v, _ in known]}
            | {"hovertemplate": f"%{{customdata}}<br>{name}: %{{text}}<extra></extra>"}
        )
    everything = [x for trace_ in data for x in trace_["x"] if x is not None]
    low, high = min([0.0, *everything]), max([1.0, *everything])
    pad = 0.04 * (high - low)
    notes = []
    for i, r, (v, put) in rows:
        missing = v["score"] is None
        words = (
            escaped(str(r.get("note") or "not measured"), 90)
            if missing
            else (f"{v['score']:.2f}" if put is _same else f"{v['score']:.3g} *").replace("-", "−")
        )
        where = {"xref": "paper", "x": 0.01 if missing else 1.01, "y": i, "xanchor": "left", "showarrow": False}
        notes.append(where | {"text": words, "font": {"size": 12} | ({"color": REMAINDER} if missing else {})})
    stretched = any(put is not _same for *_, put in scored)
    return figure(
        data,
        theme,
        xaxis=titled("score" + (" (* stretched to this axis)" if stretched else ""))
        | {"range": [low - pad, high + pad], "zeroline": False},
        yaxis=family_axis(lines),
        shapes=family_lines(lines),
        annotations=notes,
        legend=ABOVE | {"y": 1.01, "traceorder": "reversed"},
        margin={"l": 56, "r": 68, "t": 12, "b": 44},
        hovermode="closest",
        uirevision="strip",
    )


def _said(point: Row, steps: Sequence[str]) -> str:
    """Under the pointer: where, how probable, the altered text, the options from the likeliest."""
    step = int(point["step"])
    head = f"step {steps[step] if 0 <= step < len(steps) else step}: P(answer) {point['p']:.3f}"
    likely = sorted(point.get("options") or (), key=lambda o: -float(o["probability"]))[:_MOST]
    said = ", ".join(f"{escaped(str(o['candidate']).strip(), 16)} {float(o['probability']):.2f}" for o in likely)
    text = str(point.get("text") or "")
    text = text if len(text) <= 420 else text[:419] + "…"
    return "<br>".join(part for part in (head, wrapped(text, 58) if text.strip() else "", said) if part)


def _apart(heights: Sequence[float], gap: float = _APART) -> list[float]:
    """The heights moved as little as is needed for none to lie within ``gap`` of another; the order stays."""
    order = sorted(range(len(heights)), key=lambda i: heights[i])
    # Runs of names that touch share their middle: merge neighbours until no two runs overlap.
    runs: list[tuple[float, list[int]]] = []
    for i in order:
        middle, members = heights[i], [i]
        while runs and runs[-1][0] + gap * (len(runs[-1][1]) - 1) / 2 + gap > middle - gap * (len(members) - 1) / 2:
            other, earlier = runs.pop()
            size = len(earlier) + len(members)
            middle, members = (other * len(earlier) + middle * len(members)) / size, earlier + members
        runs.append((middle, members))
    placed = [0.0] * len(heights)
    for middle, members in runs:
        for place, i in enumerate(members):
            placed[i] = middle + gap * (place - (len(members) - 1) / 2)
    return placed


def _same(value: float) -> float:
    return value


def _places(row: Row) -> tuple[dict[str, float | None], Any]:
    """A row's numbers, and how they are put on the axis: as they are, or stretched from their own range."""
    values: dict[str, float | None] = {"score": row.get(str(row.get("main") or "soft"))}
    values |= {k: row.get(k) for k in ("median_unfaithful", "median_faithful", "threshold")}
    known = [float(v) for v in values.values() if v is not None]
    if not known or (min(known) >= -1 and max(known) <= 1.5):
        return values, _same
    low, wide = min(known), max(known) - min(known)
    return values, lambda v: 0.5 if wide == 0 else 0.05 + 0.9 * (v - low) / wide
