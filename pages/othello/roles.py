"""Callbacks of roles and fillers: their pictures, and what of them survives another choice of coordinates."""

from __future__ import annotations

from collections.abc import Sequence

from dash import Input, Output, State, callback, clientside_callback, html, no_update
from dash.exceptions import PreventUpdate

from analysis.othello.squares import POSITIONS
from analysis.tpr.answers.reading import GeometryRow
from analysis.tpr.ops.reading import OthelloRoles
from components.kit.card import UNCHANGED
from components.kit.types import Json, Node, Outputs, Typed
from components.othello.tables import geometry
from components.othello.views import (
    Embedding,
    OfModel,
    direction_map,
    gap_maps,
    nearest_roles,
    role_cosines,
    role_map,
)
from pages.cards import content, ref_of
from pages.common import ask_for
from pages.othello.cards import GAPS, GEOMETRY, GRAM, NEIGHBOURS, ROLES, SURVIVES
from pages.othello.state import Game, label_of, probes_of

# Another change of basis with each press; 0 is the basis of the fit. Counted in the browser, where no press is lost.
clientside_callback(
    "(remix, unmix, now) => dash_clientside.attune_othello.gauge(remix, unmix, now)",
    Output("oth-gauge", "data"),
    Input("oth-remix", "n_clicks"),
    Input("oth-unmix", "n_clicks"),
    State("oth-gauge", "data"),
    prevent_initial_call=True,
)


@callback(
    output={
        "roles": ROLES.outputs,
        "survives": SURVIVES.outputs,
        "gaps": GAPS.outputs,
        "gram": GRAM.outputs,
        "neighbours": NEIGHBOURS.outputs,
        "table": Output("oth-geometry-table", "children"),
        "table_ref": GEOMETRY.ref,
        "words": Output("oth-roles-said", "children"),
        "error": Output("oth-roles-error", "children"),
    },
    inputs={
        "gauge": Input("oth-gauge", "data"),
        "embedding": Input("oth-embedding", "value"),
        "layer": Input("oth-layer", "value"),
        "labels": Input("oth-labels", "value"),
        "probe": Input("oth-probe", "value"),
        "tab": Input("oth-tab", "active_tab"),
        "figures": Input("oth-facts", "data"),
        "theme": State("theme", "data"),
        "data": State("oth-game", "data"),
        "source": State("oth-source", "data"),
        "session": State("session", "data"),
    },
)
def show_roles(
    gauge: int, embedding: str, layer: Typed, labels: str, probe: str, tab: str, figures: Json, theme: str, data: Json,
    source: str, session: str,
) -> Outputs:  # fmt: skip
    """Draw the shared pieces of the probe of a block in the present coordinates."""
    if tab != "roles" or figures is None or layer is None:
        raise PreventUpdate
    game = Game.from_dict(data)
    if not game.moves:
        why = "Play a move first."
        return {
            "roles": ROLES.empty(why), "survives": SURVIVES.empty(why), "gaps": GAPS.empty(), "gram": GRAM.empty(why),
            "neighbours": NEIGHBOURS.empty(why), "table": None, "table_ref": None, "words": "", "error": None,
        }  # fmt: skip
    ply = max(1, min(game.ply, len(game.moves), POSITIONS))
    reply, panel = ask_for(
        lambda: OthelloRoles(
            source,
            game.moves,
            ply,
            int(layer),
            labels,
            probe=probe,
            gauge=int(gauge),
            embedding=embedding,
            probes=probes_of(figures),
        ),
        session,
        "oth-roles",
    )
    if reply is None:
        return {
            "roles": UNCHANGED, "survives": UNCHANGED, "gaps": UNCHANGED, "gram": UNCHANGED, "neighbours": UNCHANGED,
            "table": no_update, "table_ref": no_update, "words": no_update, "error": panel,
        }  # fmt: skip
    model = label_of(source, figures)
    of_model = OfModel(model)
    return {
        "roles": content(role_map, reply, options=Embedding(embedding, model), theme=theme),
        "survives": content(direction_map, reply, options=of_model, theme=theme),
        "gaps": content(gap_maps, reply, options=of_model, theme=theme),
        "gram": content(role_cosines, reply, options=of_model, theme=theme),
        "neighbours": content(nearest_roles, reply, options=of_model, theme=theme),
        "table": geometry_table(reply.answer.geometry),
        "table_ref": ref_of(geometry, reply, options=of_model),
        "words": reply.answer.words,
        "error": None,
    }


def geometry_table(rows: Sequence[GeometryRow]) -> Node:
    """Each number of the geometry in each reading, so that it shows which depend on the coordinates."""
    titles = ("reading", "true neighbours among the nearest", "R² of the gap map", "depends on coordinates")
    body = [
        html.Tr(
            [
                html.Td(r.title),
                html.Td(f"{r.neighbours:.1%}"),
                html.Td(f"{r.r2:.3f}"),
                html.Td("yes" if r.gauge else "no"),
            ]
        )
        for r in rows
    ]
    return html.Table([html.Thead(html.Tr([html.Th(t) for t in titles])), html.Tbody(body)], className="attune-table")
