"""Callback of the detection table: features beside all baselines, layer by layer, as figures and as a table."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, html, no_update

from analysis.snmf.ops.factorization import DetectionTable
from components.kit.figure_card import blank
from components.snmf.figures import METHODS, detection_dots
from pages.common import attempt, spec_of


@callback(
    Output("mlp-auc", "figure"),
    Output("mlp-auc-caption", "children"),
    Output({"settings": "mlp-auc"}, "data"),
    Output("mlp-score", "figure"),
    Output("mlp-score-caption", "children"),
    Output({"settings": "mlp-score"}, "data"),
    Output("mlp-detection-table", "children"),
    Output("mlp-detection-said", "children"),
    Output("mlp-detection-error", "children"),
    Input("mlp-tab", "active_tab"),
    Input("model", "data"),
    Input("theme", "data"),
    State("session", "data"),
)
def show_detection(tab: str, model: Any, theme: str, session: str) -> tuple[Any, ...]:
    """What was measured for this model."""
    if tab != "detection":
        return (no_update,) * 9
    result, panel = attempt(lambda: DetectionTable(spec_of(model)), session, "mlp-detection")
    if result is None:
        empty = blank(420, "not measured for this model")
        return empty, "", None, empty, "", None, None, "", panel
    rows, command = result.data["rows"], result.data["command"]
    settings = {"rows": rows, "command": command}
    auc = "Dashed: a direction that knows nothing. Grey: the nulls. Bars: 95 % intervals."
    score = f"Inflated where the mean elsewhere is near zero: read it beside the AUC. Made by: {command}"
    return (
        detection_dots(rows, "auc", theme),
        auc,
        settings,
        detection_dots(rows, "score", theme),
        score,
        settings,
        table(rows),
        result.data["sentence"],
        None,
    )


def table(rows: list[dict[str, Any]]) -> Any:
    """Layer by layer, every number with its interval, the features first and the nulls last."""
    order = list(METHODS)
    ranked = sorted(rows, key=lambda r: (r["layer"], order.index(r["method"]) if r["method"] in order else len(order)))
    body, before = [], None
    for r in ranked:
        cells = [
            html.Td("" if r["layer"] == before else r["layer"]),
            html.Td(METHODS[r["method"]][0] if r["method"] in METHODS else r["method"]),
            *[html.Td(_interval(r, name)) for name in ("auc", "score")],
        ]
        body.append(html.Tr(cells, className="mlp-own" if r["method"] == "SNMF" else ""))
        before = r["layer"]
    head = html.Tr([html.Th(t) for t in ("layer", "method", "AUC (95 % interval)", "score (95 % interval)")])
    return html.Table([html.Thead(head), html.Tbody(body)], className="attune-table")


def _interval(row: dict[str, Any], name: str) -> str:
    if row.get(name) is None:
        return "not measured"
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return f"{row[name]:.2f}" + ("" if low is None or high is None else f" ({low:.2f} to {high:.2f})")
