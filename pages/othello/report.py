"""Callbacks of the game report: the game on the page ply by ply, and random games for comparison, which are played as a
job once for a model, its probes and their labels."""

from __future__ import annotations

from dataclasses import asdict

from dash import Input, Output, State, callback, clientside_callback, ctx, no_update
from dash.exceptions import PreventUpdate

from analysis.tpr.ops.report import GameReport, UsualReport
from components.kit.card import UNCHANGED
from components.kit.types import Json, Node, Outputs, Relay, Typed
from components.othello.course import OfGame, game_course
from pages.cards import content
from pages.common import ask_for, ask_job, reply_of
from pages.othello.cards import REPORT
from pages.othello.state import PATH, Game, label_of, probes_of


def usual_of(source: str, labels: str, figures: Json) -> UsualReport:
    """What is usual for the model, the probes and the labels of the page."""
    return UsualReport(source, labels=labels, probes=probes_of(figures))


@callback(
    Output("oth-usual-ask", "data"),
    Input("oth-tab", "active_tab"),
    Input("oth-labels", "value"),
    Input("oth-facts", "data"),
    Input("oth-usual-go", "n_clicks"),
    State("oth-usual-ask", "data"),
    State("oth-source", "data"),
)
def ask_usual(tab: str, labels: str, figures: Json, _go: int | None, asked: Json, source: str) -> Json:
    """What is to be played for comparison, once the tab is open, and again where a button asks for it."""
    if tab != "report" or figures is None:
        raise PreventUpdate
    wanted = usual_of(source, labels, figures).to_params()
    return no_update if wanted == asked and ctx.triggered_id != "oth-usual-go" else wanted


@callback(
    Output("oth-usual-question", "data"),
    Output("oth-usual-error", "children"),
    Input("oth-usual-ask", "data"),
    State("session", "data"),
    background=True,
    progress=[Output("oth-usual-bar", "value"), Output("oth-usual-text", "children")],
    progress_default=["0", ""],
    cancel=[Input("oth-usual-cancel", "n_clicks")],
    running=[(Output("oth-usual-cancel", "disabled"), False, True), (Output("oth-usual-go", "disabled"), True, False)],
    interval=500,
    prevent_initial_call=True,
)
def play_usual(set_progress: Relay, wanted: Json, session: str) -> tuple[Json, Node]:
    """Random games for comparison, as a job."""
    if not wanted:
        return no_update, no_update
    reply, panel = ask_job(
        lambda: UsualReport.from_params(wanted), set_progress, session, f"{PATH}?tab=report", None, UsualReport
    )
    return (None, panel) if reply is None else (asdict(reply.question), None)


@callback(
    output={"card": REPORT.outputs, "error": Output("oth-report-error", "children")},
    inputs={
        "usual": Input("oth-usual-question", "data"),
        "data": Input("oth-game", "data"),
        "layer": Input("oth-layer", "value"),
        "labels": Input("oth-labels", "value"),
        "tab": Input("oth-tab", "active_tab"),
        "figures": Input("oth-facts", "data"),
        "theme": State("theme", "data"),
        "source": State("oth-source", "data"),
        "session": State("session", "data"),
    },
)
def show_report(
    usual: Json, data: Json, layer: Typed, labels: str, tab: str, figures: Json, theme: str, source: str, session: str
) -> Outputs:
    """The report of the game on the page."""
    if tab != "report" or figures is None or layer is None:
        raise PreventUpdate
    game = Game.from_dict(data)
    if not game.moves:
        return {"card": REPORT.empty(), "error": None}
    if not usual or usual["params"] != usual_of(source, labels, figures).to_params():
        return {
            "card": REPORT.empty("This needs random games for comparison: “Play random games” plays them once"),
            "error": None,
        }
    reply, panel = ask_for(
        lambda: GameReport(source, game.moves, 1, int(layer), labels, probes=probes_of(figures)), session, "oth-report"
    )
    if reply is None:
        return {"card": UNCHANGED, "error": panel}
    options = OfGame(game.moves, game.ply, labels, label_of(source, figures))
    return {"card": content(game_course, reply, reply_of(usual), options=options, theme=theme), "error": None}


clientside_callback(
    "(click) => dash_clientside.attune_othello.toPly(click)",
    Output("oth-hand-sink", "title", allow_duplicate=True),
    Input("oth-report", "clickData"),
    prevent_initial_call=True,
)
