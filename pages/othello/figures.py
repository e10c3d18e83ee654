"""Callbacks of the figures of a model, of opening another one, and of fitting its probes."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, ctx, html, no_update

from analysis.tpr.ops.reading import FitProbes, OpenOthello
from components.kit.figure_card import blank
from components.kit.panels import note
from components.othello.figures import accuracy_by_layer, edit_errors, legality_by_ply, training_curve
from pages.common import attempt, attempt_job
from pages.frame.linked import opened
from pages.othello.state import PATH


@callback(
    Output("oth-card", "children"),
    Output("oth-legality", "figure"),
    Output("oth-legality-caption", "children"),
    Output({"settings": "oth-legality"}, "data"),
    Output("oth-training", "figure"),
    Output("oth-training-caption", "children"),
    Output({"settings": "oth-training"}, "data"),
    Output("oth-accuracy", "figure"),
    Output("oth-accuracy-caption", "children"),
    Output({"settings": "oth-accuracy"}, "data"),
    Output("oth-edit-table", "figure"),
    Output("oth-edit-table-caption", "children"),
    Output({"settings": "oth-edit-table"}, "data"),
    Output("oth-probe-table", "children"),
    Output("oth-edit-squares", "children"),
    Input("oth-facts", "data"),
    Input("oth-tab", "active_tab"),
    Input("theme", "data"),
)
def show_figures(facts: Any, tab: str, theme: str) -> tuple[Any, ...]:
    """All figures that are kept beside weights and probes; what is missing says how it is made."""
    if facts is None or tab not in ("figures", "model"):
        return (no_update,) * 15
    settings = {"model": facts["facts"]["label"], "fingerprint": facts["facts"]["fingerprint"]}
    play, training, edits = facts["play"], facts["training"], facts["edits"]
    return (
        [html.H3("This model"), *[html.P(line) for line in facts["words"]]],
        legality_by_ply(play["illegal_by_ply"], play["positions_by_ply"], theme)
        if play
        else blank(340, "not measured"),
        facts["play_caption"],
        {**settings, "play": play},
        training_curve(training["games"], training["above"], training["illegal"], theme)
        if training
        else blank(340, "no training log is kept for this model"),
        facts["training_caption"],
        settings,
        accuracy_by_layer(facts["accuracy"], facts["constant"], facts["random_network"], theme)
        if facts["accuracy"]
        else blank(380, "no probes yet"),
        facts["accuracy_caption"],
        {**settings, "accuracy": facts["accuracy"]},
        edit_errors(edits["rows"], theme) if edits else blank(380, "run them under “Edit”"),
        edits["caption"] if edits else "",
        {**settings, "edits": edits},
        probe_table(facts["probes"]),
        edit_table(facts["edits_by_squares"]),
    )


def edit_table(tables: list[dict[str, Any]]) -> Any:
    """Mean errors by the number of squares edited: one fixed scale, and in brackets the best scale of each case."""
    if not tables:
        return None
    methods = {r["method"]: r["title"] for t in tables for r in t["rows"]}
    found = {(t["settings"]["squares"], r["method"], r["choice"][:5]): r["mean"] for t in tables for r in t["rows"]}
    sizes = [t["settings"]["squares"] for t in tables]
    plural = ["square" if n == 1 else "squares" for n in sizes]
    head = html.Tr(
        [html.Th("errors per case"), *[html.Th(f"{n} {word}") for n, word in zip(sizes, plural, strict=True)]]
    )

    def row(title: str, cells: list[str]) -> Any:
        return html.Tr([html.Td(title), *[html.Td(cell) for cell in cells]])

    body = [row("without an edit", [f"{t['rows'][0]['null']:.2f}" for t in tables])]
    body.append(row("without an edit, a perfect player", [f"{t['perfect']:.2f}" for t in tables]))
    own = [t["rows"][0].get("own") for t in tables]
    body.append(row("the model's own, on the board as it is", ["–" if v is None else f"{v:.2f}" for v in own]))
    for method, title in methods.items():
        pairs = [(found.get((n, method, "fixed")), found.get((n, method, "best "))) for n in sizes]
        body.append(row(title, ["–" if a is None or b is None else f"{a:.2f} (best {b:.2f})" for a, b in pairs]))
    caption = html.Caption("Edits by number of squares: at one scale fixed on other cases, and the best of each case.")
    return html.Table([caption, html.Thead(head), html.Tbody(body)], className="attune-table")


def probe_table(rows: list[dict[str, Any]]) -> Any:
    """Every probe of the model with its parameters and scores."""
    if not rows:
        return note("There are no probes for this model yet.")
    head = html.Tr(
        [html.Th(t) for t in ("probe", "block", "labels", "parameters", "squares right", "macro F1", "seconds to fit")]
    )
    body = [
        html.Tr(
            [
                html.Td(r["title"]),
                html.Td(r["layer"]),
                html.Td(r["labels"]),
                html.Td(f"{r['parameters']:,}"),
                html.Td(f"{r['accuracy']:.2%}"),
                html.Td(f"{r['macro_f1']:.4f}"),
                html.Td(f"{r['seconds']:.0f}"),
            ]
        )
        for r in rows
    ]
    return html.Table([html.Thead(head), html.Tbody(body)], className="attune-table")


@callback(
    Output("oth-source", "data"),
    Output("oth-source-text", "value"),
    Output("oth-source-said", "children"),
    Output("oth-source-error", "children"),
    Input("oth-open", "n_clicks"),
    Input("oth-bundled", "n_clicks"),
    Input("oth-source-text", "n_submit"),
    State("oth-source-text", "value"),
    State("oth-source", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def open_model(_open: Any, _bundled: Any, _enter: Any, text: str | None, before: str, session: str) -> tuple[Any, ...]:
    """Another model is taken only once it has been loaded and seen to be an OthelloGPT."""
    wanted = "bundled" if ctx.triggered_id == "oth-bundled" else (text or "").strip()
    result, panel = attempt(lambda: OpenOthello(wanted), session, "oth-open")
    if result is None:
        return no_update, no_update, None, panel
    opened(wanted)
    return (wanted if wanted != before else no_update), wanted, result.data["sentence"], None


@callback(
    Output("oth-fit-said", "children"),
    Input("oth-fit", "n_clicks"),
    State("oth-fit-games", "value"),
    State("oth-fit-seed", "value"),
    State("oth-labels", "value"),
    State("oth-source", "data"),
    State("session", "data"),
    background=True,
    progress=[Output("oth-fit-bar", "value"), Output("oth-fit-text", "children")],
    cancel=[Input("oth-fit-cancel", "n_clicks")],
    running=[(Output("oth-fit", "disabled"), True, False), (Output("oth-fit-cancel", "disabled"), False, True)],
    prevent_initial_call=True,
)
def fit(set_progress: Any, clicks: Any, games: Any, seed: Any, labels: str, source: str, session: str) -> Any:
    """Fit as a job; the boards above use the new probes as soon as they are there."""
    if not clicks:
        return no_update
    result, panel = attempt_job(
        lambda: FitProbes(source, games=games, labels=labels, seed=seed), set_progress, session, f"{PATH}?tab=model"
    )
    return panel if result is None else note(result.data["sentence"])
