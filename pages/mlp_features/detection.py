"""Callback of the detection table: features beside all baselines, layer by layer, as figures and as a table."""

from __future__ import annotations

from collections.abc import Sequence

from dash import Input, Output, State, callback, html, no_update

from analysis.snmf.answers.factorization import MethodScore
from analysis.snmf.ops.factorization import DetectionTable
from components.kit.card import UNCHANGED
from components.kit.types import Json, Node, Outputs
from components.snmf.figures import METHODS, detection_areas, detection_scores
from components.snmf.parts import detection_rows, ranked
from pages.cards import content, ref_of
from pages.common import ask_for, spec_of
from pages.mlp_features.cards import AUC, DETECTION, SCORE


@callback(
    output={
        "auc": AUC.outputs,
        "score": SCORE.outputs,
        "table": Output("mlp-detection-table", "children"),
        "rows": DETECTION.ref,
        "sentence": Output("mlp-detection-said", "children"),
        "problem": Output("mlp-detection-error", "children"),
    },
    inputs={
        "tab": Input("mlp-tab", "active_tab"),
        "model": Input("model", "data"),
        "theme": State("theme", "data"),
        "session": State("session", "data"),
    },
)
def show_detection(tab: str, model: Json, theme: str, session: str) -> Outputs:
    """What was measured for this model."""
    if tab != "detection":
        rest = dict.fromkeys(("table", "rows", "sentence", "problem"), no_update)
        return {"auc": UNCHANGED, "score": UNCHANGED, **rest}
    reply, panel = ask_for(lambda: DetectionTable(spec_of(model)), session, "mlp-detection")
    if reply is None:
        empty = AUC.empty("not measured for this model")
        return {"auc": empty, "score": empty, "table": None, "rows": None, "sentence": "", "problem": panel}
    return {
        "auc": content(detection_areas, reply, theme=theme),
        "score": content(detection_scores, reply, theme=theme),
        "table": table(reply.answer.rows),
        "rows": ref_of(detection_rows, reply),
        "sentence": reply.answer.sentence,
        "problem": None,
    }


def table(rows: Sequence[MethodScore]) -> Node:
    """Layer by layer, every number with its interval, the features first and the nulls last."""
    body, before = [], None
    for r in ranked(rows):
        cells = [
            html.Td("" if r.layer == before else r.layer),
            html.Td(METHODS[r.method][0] if r.method in METHODS else r.method),
            html.Td(_interval(r.auc, r.auc_low, r.auc_high)),
            html.Td(_interval(r.score, r.score_low, r.score_high)),
        ]
        body.append(html.Tr(cells, className="mlp-own" if r.method == "SNMF" else ""))
        before = r.layer
    head = html.Tr([html.Th(t) for t in ("layer", "method", "AUC (95 % interval)", "score (95 % interval)")])
    return html.Table([html.Thead(head), html.Tbody(body)], className="attune-table")


def _interval(value: float | None, low: float | None, high: float | None) -> str:
    if value is None:
        return "not measured"
    return f"{value:.2f}" + ("" if low is None or high is None else f" ({low:.2f} to {high:.2f})")
