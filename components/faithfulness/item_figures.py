"""One item under the lens: the answer's probability along the chain, the options before and after, its scores.

Alterations are told apart by colour, dash and symbol, and named at the end of their line: a page that is projected has
no pointer. What text was altered, and what the model then answered, stands under the pointer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from analysis.answer import plain_of
from analysis.faithfulness.answers.item import Intervention, ItemReading, ItemScore, ItemTrace, TracePoint
from components.faithfulness.controls import of_chance, of_scores, of_trace, of_unedited, trace_ends
from components.faithfulness.style import LABELS, by_family, family_axis, family_lines, ink, marker
from components.kit.figure import AFTER, BEFORE, Figure, figure
from components.kit.figure_card import blank
from components.kit.labels import escaped
from components.kit.style import ABOVE, numbers, titled, wrapped
from components.kit.theme import REMAINDER
from components.kit.view import Drawing, NoOptions, view

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
STRIP = "Triangle: this item. Tick: the threshold, called faithful at or above it."
MEDIANS = (
    " Circle and diamond: the medians of faithful and of unfaithful items of its tier; the bar between them is the "
    "distance of the medians, which says nothing of the spread. Rows with * have a range of their own, so their bars "
    "compare with no other row."
)
OPTIONS = "Probability among the candidates."


@view("faithfulness/trace", ItemTrace)
def trace(item: ItemTrace, options: NoOptions, theme: str) -> Drawing:
    """P(answer) against how many steps are given, one line for the true chain and for each kind of alteration; the
    probability without a chain is dotted. A point's customdata is (name, step)."""
    words = " ".join(f"{line.name.capitalize()}: {line.sentence[:1].lower()}{line.sentence[1:]}"
                     for line in item.lines)  # fmt: skip
    lines = [
        {"name": line.name, "sentence": line.sentence, "points": [{"step": p.step, "p": p.p} for p in line.points]}
        for line in item.lines
    ]
    facts = {"steps": list(item.steps), "lines": lines, "answer": item.answer, "base": item.base}
    facts |= {"passes": item.passes, "sentence": item.sentence}
    return Drawing(
        _trace(item, theme),
        f"{item.sentence} {words}",
        facts,
        control=of_trace(item),
        numbers={f"P(answer), {name}": value for name, value in trace_ends(item).items()},
    )


def _trace(data: ItemTrace, theme: str) -> Figure:
    if not data.lines:
        return blank(400, "this item has no trace")
    steps = [escaped(s, 16) for s in data.steps]
    span = max(len(steps) - 1, 1)
    ends = [(float(line.points[-1].step), line.points[-1].p) for line in data.lines]
    if data.base is not None:
        ends.append((float(span), data.base))
    heights = _apart([p for _, p in ends])
    traces: list[Any] = []
    for i, line in enumerate(data.lines):
        name, points = line.name, line.points
        dash, symbol, light, dark = _KINDS.get(name, tuple(_KINDS.values())[i % len(_KINDS)])
        colour = dark if theme == "dark" else light
        shown = escaped(name, 30)
        traces.append(
            {"type": "scatter", "mode": "lines+markers", "name": shown, "legendgroup": shown}
            | {"x": [p.step for p in points], "y": numbers([p.p for p in points], 5)}
            | {"customdata": [[name, p.step] for p in points], "text": [_hover(p, steps) for p in points]}
            | {"line": {"color": colour, "dash": dash, "width": 3 if name == "true" else 2.2}, "cliponaxis": False}
            | {"marker": {"symbol": symbol, "size": 10, "color": colour}}
            | {"hovertemplate": f"<b>{shown}</b>, " + "%{text}<extra></extra>"}
        )
        traces.append(_name(shown, shown, ends[i], heights[i], span, colour))
    if data.base is not None:
        base = data.base
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
        yaxis=titled(f"P(answer = {escaped(data.answer.strip(), 20)})")
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


@view("faithfulness/options", ItemReading)
def item_options(item: ItemReading, options: NoOptions, theme: str) -> Drawing:
    """The probability of every candidate, the answer in bold."""
    bars = [("before", [o.probability for o in item.options], BEFORE, "")]
    return Drawing(
        _bars([o.candidate for o in item.options], bars, item.answer, theme),
        OPTIONS,
        control=of_chance(item.options),
        numbers={"P(answer)": item.p},
    )


@view("faithfulness/options after", Intervention)
def moved_options(moved: Intervention, options: NoOptions, theme: str) -> Drawing:
    """The probability of every candidate before and after an intervention, the answer in bold."""
    bars = [
        ("before", [o.before for o in moved.options], BEFORE, ""),
        ("after", [o.after for o in moved.options], AFTER, "/"),
    ]
    figure = _bars([o.candidate for o in moved.options], bars, moved.answer, theme)
    facts = {name: value for name, value in plain_of(moved).items() if name != "pieces"}
    return Drawing(
        figure,
        OPTIONS + f" KL divergence {moved.kl:.3f} nats.",
        facts,
        control=of_unedited(moved),
        numbers={"P before": moved.before, "P after": moved.after, "KL": moved.kl},
    )


def _bars(
    candidates: Sequence[str], bars: Sequence[tuple[str, list[float], str, str]], answer: str, theme: str
) -> Figure:
    if not candidates:
        return blank(260, "no options")
    names = [escaped(c.strip(), 24) or "(empty)" for c in candidates]
    words = [f"<b>{n}</b>" if c == answer else n for n, c in zip(names, candidates, strict=True)]
    changed = len(bars) > 1
    data: list[Any] = []
    for name, values, colour, hatch in bars:
        data.append(
            {"type": "bar", "name": name, "x": list(range(len(names))), "y": values, "customdata": names}
            | {"marker": {"color": colour, "pattern": {"shape": hatch, "fillmode": "overlay", "size": 6}}}
            | {"text": ["" if v < 0.05 else f"{v:.2f}" for v in values], "textposition": "outside"}
            | {"textfont": {"size": 12}, "constraintext": "none", "cliponaxis": False}
            | {"hovertemplate": "%{customdata}: %{y:.4f}<extra>" + (name if changed else "") + "</extra>"}
        )
    return figure(
        data,
        theme,
        barmode="group",
        bargap=0.25,
        showlegend=changed,
        xaxis={"tickvals": list(range(len(names))), "ticktext": words, "showgrid": False, "zeroline": False}
        | titled("candidate (bold: the answer)"),
        yaxis=titled("probability") | {"range": [0, 1.08], "tickvals": [0, 0.25, 0.5, 0.75, 1]},
        legend=ABOVE,
        margin={"l": 56, "r": 8, "t": 12, "b": 48},
        uirevision="options",
    )


@view("faithfulness/scores of an item", ItemReading)
def score_strip(item: ItemReading, options: NoOptions, theme: str) -> Drawing:
    """Where this item's score lies by each measure: between the medians of both labels of its tier, and the threshold.

    Rows whose values do not lie between −1 and 1.5 (a length, a log-probability)
    are stretched to the axis, and the number behind the row says the score itself. A measure without a score is listed
    with its note. A point's customdata is its measure.
    """
    held = any(m is not None for s in item.scores for m in (s.median_faithful, s.median_unfaithful))
    scores = [{k: v for k, v in plain_of(s).items() if k not in ("sentence", "steps")} for s in item.scores]
    return Drawing(
        _strip(item.scores, theme),
        STRIP + MEDIANS * held,
        {"scores": scores},
        control=of_scores(item.scores),
        numbers={score.measure: score.value for score in item.scores if score.value is not None},
    )


def _strip(scores: Sequence[ItemScore], theme: str) -> Figure:
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
            | {"customdata": [r.measure for _, r, *_ in known], "text": [f"{v[key]:.3f}" for *_, v, _ in known]}
            | {"hovertemplate": f"%{{customdata}}<br>{name}: %{{text}}<extra></extra>"}
        )
    everything = [x for marks in data for x in marks["x"] if x is not None]
    low, high = min([0.0, *everything]), max([1.0, *everything])
    pad = 0.04 * (high - low)
    notes = []
    for i, r, (v, put) in rows:
        missing = v["score"] is None
        words = (
            escaped(r.note or "not measured", 90)
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


def _hover(point: TracePoint, steps: Sequence[str]) -> str:
    """Under the pointer: where, how probable, the altered text, the options from the likeliest."""
    step = point.step
    head = f"step {steps[step] if 0 <= step < len(steps) else step}: P(answer) {point.p:.3f}"
    likely = sorted(point.options, key=lambda o: -o.probability)[:_MOST]
    words = ", ".join(f"{escaped(o.candidate.strip(), 16)} {o.probability:.2f}" for o in likely)
    text = point.text if len(point.text) <= 420 else point.text[:419] + "…"
    return "<br>".join(part for part in (head, wrapped(text, 58) if text.strip() else "", words) if part)


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


def _places(row: ItemScore) -> tuple[dict[str, Any], Callable[[float], float]]:
    """A row's numbers, and how they are put on the axis: as they are, or stretched from their own range."""
    values: dict[str, Any] = {
        "score": {"hard": row.hard, "soft": row.soft, "margin": row.margin}[row.main],
        "median_unfaithful": row.median_unfaithful,
        "median_faithful": row.median_faithful,
        "threshold": row.threshold,
    }
    known = [v for v in values.values() if v is not None]
    if not known or (min(known) >= -1 and max(known) <= 1.5):
        return values, _same
    low, wide = min(known), max(known) - min(known)
    return values, lambda v: 0.5 if wide == 0 else 0.05 + 0.9 * (v - low) / wide
