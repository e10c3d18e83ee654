"""Callbacks of the figures of a model, of opening another one, and of fitting its probes."""

from __future__ import annotations

from collections.abc import Sequence

from dash import Input, Output, State, callback, ctx, html, no_update
from dash.exceptions import PreventUpdate

from analysis.engine.client import Reply
from analysis.tpr.answers.edit import TrialTable
from analysis.tpr.answers.model import ModelFigures, ProbeRow
from analysis.tpr.ops.reading import FitProbes, OpenOthello
from components.kit.panels import note
from components.kit.types import Json, Node, Outputs, Relay, Typed
from components.othello.tables import edits_by_squares, model, probes
from components.othello.views import edit_table_errors, legality, probe_accuracy, training
from pages.cards import content, ref_of
from pages.common import ask_for, ask_job, reply_of
from pages.frame.linked import opened
from pages.othello.cards import ACCURACY, BY_SQUARES, EDITS, LEGALITY, MODEL, PROBES, TRAINING
from pages.othello.state import PATH


@callback(
    output={
        "words": Output("oth-card", "children"),
        "legality": LEGALITY.outputs,
        "training": TRAINING.outputs,
        "accuracy": ACCURACY.outputs,
        "edits": EDITS.outputs,
        "probes": Output("oth-probe-table", "children"),
        "squares": Output("oth-edit-squares", "children"),
        "refs": [MODEL.ref, BY_SQUARES.ref, PROBES.ref],
    },
    inputs={
        "question": Input("oth-facts", "data"),
        "tab": Input("oth-tab", "active_tab"),
        "theme": State("theme", "data"),
    },
)
def show_figures(question: Json, tab: str, theme: str) -> Outputs:
    """All figures that are kept beside weights and probes; what is missing says how it is made."""
    if question is None or tab not in ("figures", "model"):
        raise PreventUpdate
    reply: Reply[ModelFigures] = reply_of(question)
    return {
        "words": [html.P(line) for line in reply.answer.words],
        "legality": content(legality, reply, theme=theme),
        "training": content(training, reply, theme=theme),
        "accuracy": content(probe_accuracy, reply, theme=theme),
        "edits": content(edit_table_errors, reply, theme=theme),
        "probes": probe_table(reply.answer.probes),
        "squares": edit_table(reply.answer.edits_by_squares),
        "refs": [ref_of(model, reply), ref_of(edits_by_squares, reply), ref_of(probes, reply)],
    }


def edit_table(tables: Sequence[TrialTable]) -> Node:
    """Mean errors by the number of squares edited: one fixed scale, and in brackets the best scale of each case."""
    if not tables:
        return None
    methods = {r.method: r.title for t in tables for r in t.rows}
    means = {(t.settings.squares, r.method, r.choice[:5]): r.mean for t in tables for r in t.rows}
    sizes = [t.settings.squares for t in tables]
    plural = ["square" if n == 1 else "squares" for n in sizes]
    head = html.Tr(
        [html.Th("errors per case"), *[html.Th(f"{n} {word}") for n, word in zip(sizes, plural, strict=True)]]
    )

    def row(title: str, cells: list[str]) -> Node:
        return html.Tr([html.Td(title), *[html.Td(cell) for cell in cells]])

    body = [row("without an edit", [f"{t.rows[0].null:.2f}" for t in tables])]
    body.append(row("without an edit, a perfect player", [f"{t.perfect:.2f}" for t in tables]))
    own = [t.rows[0].own for t in tables]
    body.append(row("the model's own, on the board as it is", ["–" if v is None else f"{v:.2f}" for v in own]))
    for method, title in methods.items():
        pairs = [(means.get((n, method, "fixed")), means.get((n, method, "best "))) for n in sizes]
        body.append(row(title, ["–" if a is None or b is None else f"{a:.2f} (best {b:.2f})" for a, b in pairs]))
    caption = html.Caption("At one scale fixed on other cases, and in brackets the best of each case.")
    return html.Table([caption, html.Thead(head), html.Tbody(body)], className="attune-table")


OTHERS = ("fitted here: squares right", "cosine with those fitted here")


def beside_own(row: ProbeRow) -> tuple[str, str]:
    """Squares right of the model's own probe of that kind and block, and the mean cosine of both probes' directions."""
    if row.own is None or row.cosine is None:
        return "–", "–"
    return f"{row.own:.2%}", f"{row.cosine:.3f}"


def probe_table(rows: Sequence[ProbeRow]) -> Node:
    """Every probe of the model with its parameters and scores."""
    if not rows:
        return note("There are no probes for this model yet.")
    titles = ["probe", "block", "labels", "parameters", "squares right", "macro F1", "seconds to fit"]
    others = any(r.own is not None for r in rows)
    head = html.Tr([html.Th(t) for t in [*titles, *(OTHERS if others else ())]])
    body = [
        html.Tr(
            [
                html.Td(r.title),
                html.Td(r.layer),
                html.Td(r.labels),
                html.Td(f"{r.parameters:,}"),
                html.Td(f"{r.accuracy:.2%}"),
                html.Td(f"{r.macro_f1:.4f}"),
                html.Td(f"{r.seconds:.0f}" if r.seconds else "–"),
                *([html.Td(beside) for beside in beside_own(r)] if others else []),
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
    Output("oth-probes", "value", allow_duplicate=True),
    Input("oth-open", "n_clicks"),
    Input("oth-bundled", "n_clicks"),
    Input("oth-source-text", "n_submit"),
    State("oth-source-text", "value"),
    State("oth-source", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def open_model(
    _open: int | None, _bundled: int | None, _enter: int | None, text: str | None, before: str, session: str
) -> tuple[Json, Json, Node, Node, Json]:
    """Another model is taken only once it has been loaded and seen to be an OthelloGPT."""
    source = "bundled" if ctx.triggered_id == "oth-bundled" else (text or "").strip()
    reply, panel = ask_for(lambda: OpenOthello(source), session, "oth-open")
    if reply is None:
        return no_update, no_update, None, panel, no_update
    opened(source)
    if source == before:
        return no_update, source, reply.answer.sentence, None, no_update
    return source, source, reply.answer.sentence, None, ""  # probes of others are of one model


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
def fit(
    set_progress: Relay, clicks: int | None, games: Typed, seed: Typed, labels: str, source: str, session: str
) -> Node:
    """Fit as a job; the boards above use the new probes as soon as they are there."""
    if not clicks:
        return no_update
    reply, panel = ask_job(
        lambda: FitProbes(source, games=games, labels=labels, seed=seed), set_progress, session, f"{PATH}?tab=model"
    )
    return panel if reply is None else note(reply.answer.sentence)
