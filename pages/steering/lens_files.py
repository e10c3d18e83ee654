"""Trained lenses on the tab *Inside*: files of others are opened here, and the list to choose from is kept up."""

from __future__ import annotations

import base64
import binascii

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, ctx, dcc, html, no_update

from analysis.bridge.lens_files import MAX_UPLOAD, ListLenses, OpenLens
from components.kit.names import named
from components.kit.panels import note, user_error
from components.kit.types import Json, Node
from pages.common import ask_for, spec_of

PLAIN = {"label": "the plain logit lens", "value": "plain"}
FORMS = [
    {"label": "tuned: h + W h + b (params.pt)", "value": "tuned"},
    {"label": "Jacobian: J h, a matrix for each block", "value": "jacobian"},
]


def opening() -> Node:
    """What opens a file, folded away."""
    return html.Details(
        [
            html.Summary("Open a trained lens"),
            html.P(
                "It reads the stream behind whole blocks only, not behind their attention, as the plain lens does too. "
                "A file of another number of blocks, another width or another model's name is refused; whether it was "
                "trained on these weights no file says, so its agreement with the model stands beside the plain one's.",
                className="attune-note",
            ),
            named("The kind of lens", dbc.RadioItems(FORMS, "tuned", id="lens-form"), ""),
            html.Div(
                [
                    dcc.Upload(
                        html.Button("Choose a file", className="attune-button", type="button"),
                        id="lens-file",
                        max_size=MAX_UPLOAD,
                    ),
                    dbc.Input(id="lens-path", placeholder="or a path on the server", size="sm"),
                    html.Button("Open", id="lens-open", className="attune-button", type="button"),
                ],
                className="attune-row",
            ),
            html.Div(id="lens-open-said", **{"aria-live": "polite"}),
        ],
        className="attune-more",
    )


@callback(
    Output("lens-opened", "data"),
    Output("lens-open-said", "children"),
    Input("lens-file", "contents"),
    Input("lens-open", "n_clicks"),
    State("lens-file", "filename"),
    State("lens-path", "value"),
    State("lens-form", "value"),
    State("model", "data"),
    State("session", "data"),
    running=[(Output("lens-open", "disabled"), True, False)],
    prevent_initial_call=True,
)
def open_lens(
    contents: str | None, _clicks: int | None, name: str | None, path: str | None, form: str, model: Json, session: str
) -> tuple[Json, Node]:
    """Keep the lens of a file; a refusal stands where it was chosen."""
    body = ""
    if ctx.triggered_id == "lens-file":
        try:
            body = base64.b64encode(base64.b64decode((contents or "").partition(",")[2], validate=True)).decode()
        except (binascii.Error, ValueError):
            return no_update, user_error("That file could not be read. Choose it again.")
    what = {"name": name or "", "file": body} if body else {"path": path or ""}
    reply, panel = ask_for(lambda: OpenLens(spec_of(model), form, **what), session, "lens-open")
    return (no_update, panel) if reply is None else (reply.answer.name, note(reply.answer.sentence))


@callback(
    Output("lens-which", "options"),
    Output("lens-which", "value"),
    Input("lens-opened", "data"),
    Input("steer-tab", "active_tab"),
    Input("model", "data"),
    State("lens-which", "value"),
    prevent_initial_call=True,
)
def list_lenses(opened: str | None, tab: str, model: Json, chosen: str) -> tuple[Json, Json]:
    """The plain lens and those that were opened for the model; one just opened is chosen."""
    if tab != "inside":
        return no_update, no_update
    reply, _ = ask_for(lambda: ListLenses(spec_of(model)))
    rows = [] if reply is None else reply.answer.lenses
    options = [PLAIN, *({"label": f"{row.origin} ({row.kind})", "value": row.name, "title": row.said} for row in rows)]
    names = {option["value"] for option in options}
    wanted = opened if ctx.triggered_id == "lens-opened" and opened else chosen
    return options, wanted if wanted in names else PLAIN["value"]
