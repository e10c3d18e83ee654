"""Callbacks of the table of many edits."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, html, no_update

from analysis.tpr.ops.edit import OthelloTrials
from components.othello.figures import edit_errors
from pages.common import attempt_job
from pages.othello.state import PATH

COLUMNS = (
    ("method", "method"),
    ("mean", "errors"),
    ("interval", "95 % interval"),
    ("null", "without edit"),
    ("exact", "exact boards"),
    ("top_n", "errors, top-N"),
    ("scale", "scale"),
    ("choice", "scale chosen"),
)


@callback(
    Output("oth-trials-table", "children"),
    Output("oth-trials-figure", "figure"),
    Output("oth-trials-figure-caption", "children"),
    Output({"settings": "oth-trials-figure"}, "data"),
    Output("oth-trials-error", "children"),
    Input("oth-trials", "n_clicks"),
    State("oth-cases", "value"),
    State("oth-squares", "value"),
    State("oth-trial-seed", "value"),
    State("oth-labels", "value"),
    State("oth-blocks", "value"),
    State("oth-source", "data"),
    State("theme", "data"),
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
    set_progress: Any, clicks: Any, cases: Any, squares: Any, seed: Any, labels: str, blocks: Any, source: str,
    theme: str, session: str,
) -> tuple[Any, ...]:  # fmt: skip
    """Run them as a job."""
    if not clicks:
        return (no_update,) * 5
    result, panel = attempt_job(
        lambda: OthelloTrials(
            source, cases=cases, squares=squares, seed=seed, labels=labels, first=blocks[0], last=blocks[1]
        ),
        set_progress,
        session,
        f"{PATH}?tab=edit",
    )
    if result is None:
        return (*[no_update] * 4, panel)
    data = result.data
    return (
        table(data["rows"]),
        edit_errors(data["rows"], theme),
        data["caption"],
        {"settings": data["settings"]},
        None,
    )


def table(rows: list[dict[str, Any]]) -> Any:
    """Method by method; every number said with its interval or its control."""
    body = []
    for r in rows:
        words = {
            "method": r["title"],
            "mean": f"{r['mean']:.2f}",
            "interval": f"{r['low']:.2f} to {r['high']:.2f}",
            "null": f"{r['null']:.2f}",
            "exact": f"{r['exact']:.0%}",
            "top_n": f"{r['top_n']:.2f}",
            "scale": f"{r['scale']:.2f}",
            "choice": r["choice"],
        }
        body.append(html.Tr([html.Td(words[key]) for key, _ in COLUMNS]))
    head = html.Tr([html.Th(title) for _, title in COLUMNS])
    return html.Table([html.Thead(head), html.Tbody(body)], className="attune-table")
