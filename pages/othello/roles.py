"""Callbacks of roles and fillers: their pictures, and what of them survives another choice of coordinates."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.tpr.ops.reading import OthelloRoles
from components.kit.figure_card import blank
from components.othello.pieces import gap_heatmaps, gram_heatmap, neighbour_bars, role_scatter
from pages.common import attempt

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
    Output("oth-roles-map", "figure"),
    Output("oth-roles-map-caption", "children"),
    Output({"settings": "oth-roles-map"}, "data"),
    Output("oth-survives", "figure"),
    Output("oth-survives-caption", "children"),
    Output({"settings": "oth-survives"}, "data"),
    Output("oth-gaps", "figure"),
    Output("oth-gaps-caption", "children"),
    Output({"settings": "oth-gaps"}, "data"),
    Output("oth-gram", "figure"),
    Output("oth-gram-caption", "children"),
    Output({"settings": "oth-gram"}, "data"),
    Output("oth-neighbours", "figure"),
    Output("oth-neighbours-caption", "children"),
    Output({"settings": "oth-neighbours"}, "data"),
    Output("oth-geometry-table", "children"),
    Output("oth-roles-said", "children"),
    Output("oth-roles-error", "children"),
    Input("oth-gauge", "data"),
    Input("oth-embedding", "value"),
    Input("oth-layer", "value"),
    Input("oth-labels", "value"),
    Input("oth-probe", "value"),
    Input("oth-tab", "active_tab"),
    Input("oth-facts", "data"),
    Input("theme", "data"),
    State("oth-game", "data"),
    State("oth-source", "data"),
    State("session", "data"),
)
def show_roles(
    gauge: int, embedding: str, layer: Any, labels: str, probe: str, tab: str, facts: Any, theme: str, game: Any,
    source: str, session: str,
) -> tuple[Any, ...]:  # fmt: skip
    """Draw the shared pieces of the probe of a block in the present coordinates."""
    if tab != "roles" or facts is None or layer is None:
        return (no_update,) * 18
    moves, ply = tuple(game["moves"]), int(game["ply"])
    if not moves:
        empty = blank(440, "Play a move first.")
        card: tuple[Any, ...] = (empty, "", {})
        return *card, *card, blank(330), "", {}, *card, *card, None, "", None
    result, panel = attempt(
        lambda: OthelloRoles(
            source,
            moves,
            max(1, min(ply, len(moves), 59)),
            int(layer),
            labels,
            probe=probe,
            gauge=int(gauge),
            embedding=embedding,
        ),
        session,
        "oth-roles",
    )
    if result is None:
        return (*[no_update] * 17, panel)
    data, arrays = result.data, result.arrays
    settings = {"model": facts["facts"]["label"], "layer": layer, "labels": labels, "probe": probe, "gauge": gauge}
    points = arrays[f"{embedding}.roles"]
    points = points[:, :2] if embedding == "pca" else points  # Isomap's sheet bends in three
    words = data["embedding"][embedding]
    return (
        role_scatter(points, data["squares"][embedding], theme),
        words,
        settings | {"embedding": embedding},
        role_scatter(arrays["pca.directions"][:, :2], list(range(64)), theme),
        data["survives"],
        settings,
        gap_heatmaps([(row["title"], arrays[f"gap.{row['key']}"]) for row in data["gaps"]], theme),
        data["gap_caption"],
        settings,
        gram_heatmap(arrays["gram"], theme),
        "Cosines of the 64 role vectors in these coordinates; squares in the order A1, A2, … H8.",
        settings,
        neighbour_bars(data["neighbours"], theme),
        data["neighbour_caption"],
        settings,
        geometry_table(data["geometry"]),
        data["said"],
        None,
    )


def geometry_table(rows: list[dict[str, Any]]) -> Any:
    """Each number of the geometry in each reading, so that it shows which depend on the coordinates."""
    head = html.Tr(
        [
            html.Th(t)
            for t in ("reading", "true neighbours among the nearest", "R² of the gap map", "depends on coordinates")
        ]
    )
    body = [
        html.Tr(
            [
                html.Td(r["title"]),
                html.Td(f"{r['neighbours']:.1%}"),
                html.Td(f"{r['r2']:.3f}"),
                html.Td("yes" if r["gauge"] else "no"),
            ]
        )
        for r in rows
    ]
    return html.Table([html.Thead(head), html.Tbody(body)], className="attune-table")
