"""Two figures of one view beside each other: the same axes, and the difference where one can be taken.

Two pictures of different scale look alike where they are not, so the axes of both get the range that holds the data of
both, and so do their colours. A difference is taken value by value, new minus old, and only where each value of one
has its own in the other: the same traces in kind, at the same places.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from analysis.errors import UserError
from components.kit.figure import Figure
from components.kit.theme import DIVERGING

Trace = dict[str, Any]
Span = tuple[float, float]
_LINES = ("scatter", "scattergl")
_PAD = 0.05


def shared_axes(figures: Sequence[Figure]) -> list[Figure]:
    """Copies of figures of one view whose numeric axes and colours have the same range; an axis that one of them lacks,
    or has as words or on another scale, stays as it is."""
    copies = [copy.deepcopy(figure) for figure in figures]
    for name in sorted(set.intersection(*map(_axes, copies))):
        axes = [figure["layout"].get(name) or {} for figure in copies]
        extents = [extent for figure in copies if (extent := _extent(figure, name)) is not None]
        if len(extents) < len(copies) or len({axis.get("type") == "log" for axis in axes}) > 1:
            continue
        low, high = min(low for low, _ in extents), max(high for _, high in extents)
        for figure, axis in zip(copies, axes, strict=True):
            span = [high, low] if _reversed(axis) else [low, high]
            figure["layout"][name] = axis | {"range": span, "autorange": False}
    _share_colours(copies)
    return copies


def difference(old: Figure, new: Figure) -> Figure:
    """The new figure minus the old one. UserError, with the reason, where none can be taken."""
    if not new["data"] or [t.get("type") for t in old["data"]] != [t.get("type") for t in new["data"]]:
        raise UserError("There is no difference: the two do not have the same lines, bars or grids.")
    out = copy.deepcopy(new)
    out["data"] = [_minus(a, b) for a, b in zip(_in_order(old["data"], new["data"]), new["data"], strict=True)]
    out["layout"].pop("coloraxis", None)
    out["layout"].pop("shapes", None)
    out["layout"].pop("annotations", None)
    for trace in new["data"]:
        across = _value_axis(trace)
        if across:
            name = _axis_name(trace, across)
            axis = out["layout"].setdefault(name, {})
            axis.pop("range", None)
            axis |= {"autorange": True, "zeroline": True, "type": "linear"}
            axis["title"] = {"text": _new_minus_old((new["layout"].get(name) or {}).get("title"))}
    return out


def values(data: Any) -> np.ndarray:
    """The values of a trace's attribute: a list, or plotly's packed array."""
    if isinstance(data, dict) and "bdata" in data:
        flat = np.frombuffer(base64.b64decode(data["bdata"]), dtype=np.dtype(data["dtype"]))
        shape = data.get("shape")
        return flat.reshape([int(n) for n in str(shape).split(",")]) if shape else flat
    return np.asarray(data)


def numeric(data: Any) -> np.ndarray | None:
    """The values as numbers, NaN for none; None where some are words."""
    found = values(data)
    if found.dtype.kind in "fiu":
        return found.astype(float)
    try:
        return np.asarray([[np.nan if v is None else v for v in row] if isinstance(row, list) else
                           (np.nan if row is None else row) for row in found.tolist()], dtype=float)  # fmt: skip
    except (TypeError, ValueError):
        return None


def _in_order(old: Sequence[Trace], new: Sequence[Trace]) -> Sequence[Trace]:
    """The old traces in the order of the new ones, where the names say which belong together. UserError where some
    names are in both at other places: their difference would be one of unlike things."""
    before, after = ([trace.get("name") for trace in traces] for traces in (old, new))
    if len(set(before)) == len(before) and set(before) == set(after):
        return [old[before.index(name)] for name in after]
    if any(name is not None and name in before and name != was for name, was in zip(after, before, strict=True)):
        raise UserError("There is no difference: the two do not have the same lines, bars or grids.")
    return old


def _minus(old: Trace, new: Trace) -> Trace:
    kind = new.get("type", "scatter")
    across = "z" if kind == "heatmap" else _value_axis(new)
    if across is None or across != ("z" if kind == "heatmap" else _value_axis(old)):
        raise UserError(f"There is no difference of two figures of the kind “{kind}”.")
    places = ("x", "y") if kind == "heatmap" else ("y" if across == "x" else "x",)
    for place in places:
        if (place in old) != (place in new) or not _equal(old.get(place), new.get(place)):
            raise UserError("There is no difference: the two are not at the same places.")
    before, after = numeric(old.get(across, [])), numeric(new.get(across, []))
    if before is None or after is None or before.shape != after.shape or not after.size:
        raise UserError("There is no difference: the two do not have the same number of values.")
    change = after - before
    dropped = ("text", "texttemplate", "hovertemplate", "hovertext", "customdata", "error_x", "error_y", "base")
    out = {key: value for key, value in new.items() if key not in dropped}
    out[across] = [[_plain(v) for v in row] for row in change] if change.ndim == 2 else [_plain(v) for v in change]
    if kind == "heatmap":
        most = float(np.nanmax(np.abs(change), initial=0)) or 1.0
        bar = dict(new.get("colorbar") or {}) | {"title": {"text": "new − old", "side": "right"}}
        out |= {"zmin": -most, "zmax": most, "colorscale": DIVERGING, "colorbar": bar, "showscale": True}
        for name in ("coloraxis", "zauto", "zmid"):
            out.pop(name, None)
    return out


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _equal(a: Any, b: Any) -> bool:
    return bool(a is b or values(a).tolist() == values(b).tolist())


def _value_axis(trace: Trace) -> str | None:
    """The axis along which a trace has its values, for the kinds that have one."""
    kind = trace.get("type", "scatter")
    if kind == "bar":
        return "x" if trace.get("orientation") == "h" else "y"
    return "y" if kind in _LINES else None


def _new_minus_old(title: Any) -> str:
    text = title.get("text", "") if isinstance(title, dict) else title or ""
    return f"{text}, new − old" if text else "new − old"


def _reversed(axis: dict[str, Any]) -> bool:
    low, high = axis.get("range") or (0, 1)
    return axis.get("autorange") == "reversed" or low > high


def _axes(figure: Figure) -> set[str]:
    return {_axis_name(trace, letter) for trace in figure["data"] for letter in "xy" if _has_axes(trace)}


def _has_axes(trace: Trace) -> bool:
    return trace.get("type", "scatter") in (*_LINES, "bar", "heatmap")


def _axis_name(trace: Trace, letter: str) -> str:
    return f"{letter}axis{str(trace.get(f'{letter}axis', letter))[1:]}"


def _extent(figure: Figure, name: str) -> Span | None:
    """The range that an axis of a figure needs; None where it is one of words, or of what has no plain extent."""
    axis = figure["layout"].get(name) or {}
    if axis.get("type") in ("category", "multicategory", "date"):
        return None
    given = axis.get("range")
    if isinstance(given, list) and len(given) == 2 and all(isinstance(v, (int, float)) for v in given):
        return min(given), max(given)
    letter = name[0]
    traces = [trace for trace in figure["data"] if _axis_name(trace, letter) == name]
    if not traces or not all(map(_has_axes, traces)):
        return None
    found = [_trace_extent(figure, trace, letter) for trace in traces]
    if any(part is None for part in found):
        return None
    low, high = min(part[0] for part in found if part), max(part[1] for part in found if part)
    if axis.get("type") == "log":
        if high <= 0:
            return None
        low, high = float(np.log10(low)) if low > 0 else float(np.log10(high)) - 3, float(np.log10(high))
    if all(trace.get("type") == "heatmap" for trace in traces):
        return low, high
    pad = _PAD * ((high - low) or 1.0)
    bars = all(trace.get("type") == "bar" and _value_axis(trace) == letter for trace in traces)
    return (low if bars and low == 0 else low - pad), (high if bars and high == 0 else high + pad)


def _trace_extent(figure: Figure, trace: Trace, letter: str) -> Span | None:
    data = trace.get(letter)
    if data is None:
        size = values(trace.get("z" if trace.get("type") == "heatmap" else "xy".replace(letter, ""), [])).shape
        length = 0 if not size else size[1] if letter == "x" and len(size) == 2 else size[0]
        data = list(range(length))
    found = numeric(data)
    if found is None or not np.isfinite(found).any():
        return None
    low, high = float(np.nanmin(found)), float(np.nanmax(found))
    if trace.get("type") == "heatmap":
        step = (high - low) / (found.size - 1) if found.size > 1 else 1.0
        return low - step / 2, high + step / 2
    if trace.get("type") != "bar":
        spread = (trace.get(f"error_{letter}") or {}).get("array")
        more = 0.0 if spread is None else float(np.nanmax(numeric(spread), initial=0))  # type: ignore[arg-type]
        return low - more, high + more
    if _value_axis(trace) != letter:
        width = 1.0 if found.size < 2 else float(np.min(np.diff(np.unique(found)), initial=np.inf))
        width = width if np.isfinite(width) else 1.0
        return low - width / 2, high + width / 2
    if figure["layout"].get("barmode") in ("stack", "relative"):
        return _stacked(figure, trace, letter)
    base = numeric([trace.get("base") or 0] if not isinstance(trace.get("base"), (list, dict)) else trace["base"])
    foot = np.zeros(1) if base is None else base
    return float(min(np.nanmin(foot), np.nanmin(found + foot))), float(max(np.nanmax(foot), np.nanmax(found + foot)))


def _stacked(figure: Figure, trace: Trace, letter: str) -> Span:
    place = "y" if letter == "x" else "x"
    sums: dict[Any, list[float]] = {}
    for other in figure["data"]:
        if other.get("type") != "bar" or _axis_name(other, letter) != _axis_name(trace, letter):
            continue
        heights = numeric(other.get(letter, []))
        for at, height in zip(
            values(other.get(place, [])).tolist(), heights if heights is not None else [], strict=False
        ):
            pair = sums.setdefault(at, [0.0, 0.0])
            pair[int(height > 0)] += float(np.nan_to_num(height))
    return min(low for low, _ in sums.values()), max(high for _, high in sums.values())


def _share_colours(figures: Sequence[Figure]) -> None:
    grids = [[trace for trace in figure["data"] if trace.get("type") == "heatmap"] for figure in figures]
    for row in zip(*grids, strict=False):
        span = None if any("coloraxis" in trace for trace in row) else _union(map(_colours, row))
        if span is not None:
            for trace in row:
                trace |= {"zmin": span[0], "zmax": span[1], "zauto": False}
    if all(figure["layout"].get("coloraxis") for figure in figures):
        span = _union(map(_of_coloraxis, figures))
        if span is not None:
            for figure in figures:
                figure["layout"]["coloraxis"] |= {"cmin": span[0], "cmax": span[1], "cauto": False}


def _union(spans: Iterable[Span | None]) -> Span | None:
    known = list(spans)
    return None if not known or None in known else (min(s[0] for s in known if s), max(s[1] for s in known if s))


def _colours(trace: Trace) -> Span | None:
    if trace.get("zmin") is not None and trace.get("zmax") is not None:
        return float(trace["zmin"]), float(trace["zmax"])
    found = numeric(trace.get("z", []))
    return None if found is None or not np.isfinite(found).any() else (float(np.nanmin(found)), float(np.nanmax(found)))


def _of_coloraxis(figure: Figure) -> Span | None:
    axis = figure["layout"]["coloraxis"]
    if axis.get("cmin") is not None and axis.get("cmax") is not None:
        return float(axis["cmin"]), float(axis["cmax"])
    found = [_colours(t) for t in figure["data"] if t.get("type") == "heatmap" and "coloraxis" in t]
    known = [part for part in found if part is not None]
    return None if not known else (min(p[0] for p in known), max(p[1] for p in known))
