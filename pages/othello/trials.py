"""Callbacks of the table of many edits."""

from __future__ import annotations

from dataclasses import asdict

from dash import Input, Output, State, callback, html, no_update

from analysis.engine.client import Reply
from analysis.tpr.answers.edit import TrialTable
from analysis.tpr.ops.edit import OthelloTrials
from components.kit.types import Json, Node, Outputs, Relay, Typed
from components.othello.controls import length_words
from components.othello.tables import trial_rows
from components.othello.views import trial_errors
from pages.cards import content, ref_of
from pages.common import ask_job, reply_of
from pages.othello.cards import MANY, TRIALS
from pages.othello.state import PATH, probes_of

COLUMNS = (
    "method",
    "errors",
    "95 % interval",
    "without edit",
    "exact boards",
    "errors, top-N",
    "scale",
    "as length, over the blocks",
    "scale chosen",
)


@callback(
    Output("oth-trials-question", "data"),
    Output("oth-trials-error", "children"),
    Input("oth-trials", "n_clicks"),
    State("oth-cases", "value"),
    State("oth-squares", "value"),
    State("oth-trial-seed", "value"),
    State("oth-labels", "value"),
    State("oth-blocks", "value"),
    State("oth-unit", "value"),
    State("oth-given", "data"),
    State("oth-facts", "data"),
    State("oth-source", "data"),
    State("session", "data"),
    background=True,
    progress=[Output("oth-trials-bar", "value"), Output("oth-trials-text", "children")],
    cancel=[Input("oth-trials-cancel", "n_clicks")],
    running=[
        (Output("oth-trials", "disabled"), True, False),
        (Output("oth-trials-cancel", "disabled"), False, True),
    ],
    prevent_initial_call=True,
)
def run_trials(
    set_progress: Relay, clicks: int | None, cases: Typed, squares: Typed, seed: Typed, labels: str, blocks: list[int],
    unit: str, given: str | None, figures: Json, source: str, session: str,
) -> tuple[Json, Node]:  # fmt: skip
    """Run them as a job."""
    if not clicks:
        return no_update, no_update
    reply, panel = ask_job(
        lambda: OthelloTrials(
            source,
            cases=cases,
            squares=squares,
            seed=seed,
            labels=labels,
            first=blocks[0],
            last=blocks[1],
            unit=unit,
            given=given or "",
            probes=probes_of(figures),
        ),
        set_progress,
        session,
        f"{PATH}?tab=edit",
    )
    return (no_update, panel) if reply is None else (asdict(reply.question), None)


@callback(
    output={"table": Output("oth-trials-table", "children"), "table_ref": MANY.ref, "figure": TRIALS.outputs},
    inputs={"question": Input("oth-trials-question", "data"), "theme": State("theme", "data")},
    prevent_initial_call=True,
)
def show_trials(question: Json, theme: str) -> Outputs:
    """The table, and its figure."""
    reply: Reply[TrialTable] = reply_of(question)
    figure = content(trial_errors, reply, theme=theme)
    return {"table": table(reply.answer), "table_ref": ref_of(trial_rows, reply), "figure": figure}


def table(trials: TrialTable) -> Node:
    """Method by method; every number stands with its interval or its control."""
    body = []
    for r in trials.rows:
        words = (
            r.title,
            f"{r.mean:.2f}",
            f"{r.low:.2f} to {r.high:.2f}",
            f"{r.null:.2f}",
            f"{r.exact:.0%}",
            f"{r.top_n:.2f}",
            f"{r.scale:.2f}",
            length_words(r.scale, trials.lengths or ()) or "–",
            r.choice,
        )
        body.append(html.Tr([html.Td(cell) for cell in words]))
    head = html.Tr([html.Th(title) for title in COLUMNS])
    return html.Table([html.Thead(head), html.Tbody(body)], className="attune-table")
