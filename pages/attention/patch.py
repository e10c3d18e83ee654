"""Is it the subspace that carries it? In the tab *Evidence*: another run's query or key is written into the opened
head, whole and inside the active feature's subspace.
"""

from __future__ import annotations

import dash_bootstrap_components as dbc
from dash import Input, Output, State, callback, dcc, html, no_update
from dash.exceptions import PreventUpdate

from analysis.errors import UserError
from analysis.qk.ops.features import feature_name
from analysis.qk.ops.patch import PatchSubspace
from components.kit.names import named, progress
from components.kit.panels import user_error
from components.kit.types import Json, Node, Outputs, Relay, Typed
from components.qk.patch_view import PatchOptions, claim, patched_by_rank, patched_shares
from pages.attention.cards import PATCH, PATCH_RANKS
from pages.attention.state import features_of, rank_of
from pages.cards import content
from pages.common import ask_job, reply_of, spec_of

_SIDES = [{"label": "the query", "value": "query"}, {"label": "the matching key", "value": "key"}]


def patch_row() -> list[Node]:
    """What stands at the head of the tab; the card comes below the evidence."""
    return [
        dcc.Store(id="patched"),
        html.Div(
            [
                html.Span("Write another run’s vector into"),
                named(
                    "What is written", dbc.RadioItems(_SIDES, "query", id="patch-side", inline=True), "attune-inline"
                ),
                html.Button(
                    "Patch it",
                    id="patch-start",
                    className="attune-button attune-primary",
                    type="button",
                    title="Whole, inside the active feature’s subspace, outside it, and in random subspaces of its "
                    "rank, on examples that the fit has not seen",
                ),
                html.Button("Cancel", id="patch-stop", className="attune-button", type="button", disabled=True),
                progress("patch-bar", "patching the subspace"),
                html.Span(id="patch-text", className="attune-note", **{"aria-live": "polite"}),
            ],
            className="attune-row",
        ),
        html.Div(id="patch-error"),
        html.Div(id="patch-claim", **{"aria-live": "polite"}),
    ]


@callback(
    Output("patched", "data"),
    Output("patch-error", "children"),
    Input("patch-start", "n_clicks"),
    State("patch-side", "value"),
    State("head", "data"),
    State("features", "data"),
    State("active", "value"),
    State("rank", "value"),
    State("manual-rank", "value"),
    State("rotary", "value"),
    State("centred", "value"),
    State("model", "data"),
    State("session", "data"),
    State("address", "data"),
    background=True,
    progress=[Output("patch-bar", "value"), Output("patch-text", "children")],
    progress_default=["0", ""],
    running=[(Output("patch-start", "disabled"), True, False), (Output("patch-stop", "disabled"), False, True)],
    cancel=[Input("patch-stop", "n_clicks")],
    interval=300,
    prevent_initial_call=True,
)
def patch(
    set_progress: Relay,
    clicks: int | None,
    side: str,
    head: Json,
    features: Json,
    active: int | None,
    rank: Typed,
    manual: bool,
    rotary: str,
    centred: bool,
    model: Json,
    session: str,
    address: str,
) -> tuple[Json, Node]:
    """Patch the opened head with the active feature, as a job."""
    if not clicks:
        raise PreventUpdate
    chosen = features_of(features)
    if not head or active is None or active >= len(chosen):
        return no_update, user_error("Read a prompt and choose a feature first.")
    reply, panel = ask_job(
        lambda: PatchSubspace(
            spec_of(model),
            chosen[active],
            rotary,
            **head,
            side=side,
            rank=rank_of(rank, manual),
            centred=bool(centred),
        ),
        set_progress,
        session,
        address,
        None,
        PatchSubspace,
    )
    return (no_update, panel) if reply is None else (reply.question.to_dict(), None)


@callback(
    output={"card": PATCH.outputs, "ranks": PATCH_RANKS.outputs, "claim": Output("patch-claim", "children")},
    inputs={
        "asked": Input("patched", "data"),
        "head": Input("head", "data"),
        "active": Input("active", "value"),
        "features": State("features", "data"),
        "theme": State("theme", "data"),
    },
    prevent_initial_call=True,
)
def show_patch(asked: Json, head: Json, active: int | None, features: Json, theme: str) -> Outputs:
    """The shares and the sentence, as long as they are of the opened head and the active feature."""
    nothing = {"card": PATCH.empty(), "ranks": PATCH_RANKS.empty(), "claim": None}
    chosen = features_of(features)
    if not asked or not head or active is None or active >= len(chosen):
        return nothing
    params = asked["params"]
    if params["contrast"] != chosen[active].to_dict() or any(params[name] != head[name] for name in head):
        return nothing
    try:
        reply = reply_of(asked)
    except UserError as error:
        return nothing | {"card": PATCH.empty(error.message)}
    options = PatchOptions(feature_name(chosen[active]))
    return {
        "card": content(patched_shares, reply, options=options, theme=theme),
        "ranks": content(patched_by_rank, reply, options=options, theme=theme),
        "claim": html.P(claim(reply.answer, options.feature), className="attune-answer"),
    }
