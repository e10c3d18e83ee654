"""Stories: positions that were searched for, told beside the game. The game of a story comes through the queue of the
game's presses; what else the page is set to, and what is told, comes from here."""

from __future__ import annotations

from uuid import uuid4

from dash import Input, Output, State, callback, clientside_callback, dcc, html, no_update

from analysis.tpr.answers.edit import Story
from analysis.tpr.ops.edit import OthelloStory
from components.kit.names import popup
from components.kit.types import Json, Node
from pages.common import ask_for

STORIES = [
    {"label": "A diagonal turns, and one block does not see it yet", "value": "line"},
    {"label": "An edit makes a new move legal", "value": "edit"},
    {"label": "After a pass, the model goes on counting moves", "value": "pass"},
]
EDIT_FORM = ("method", "scale", "choose", "unit", "blocks")
"""Controls that say how is edited."""


def story_list() -> Node:
    """The stories to choose from."""
    return html.Div(
        dcc.Dropdown(STORIES, id="oth-story", placeholder="Stories", searchable=False),
        className="attune-pick attune-story",
    )


@callback(
    Output("oth-edits", "data", allow_duplicate=True),
    Output("oth-layer", "value", allow_duplicate=True),
    Output("oth-tab", "active_tab"),
    Output("oth-labels", "value"),
    Output("oth-story-text", "children"),
    Output("oth-tale", "data"),
    {name: Output(f"oth-{name}", "value", allow_duplicate=True) for name in EDIT_FORM},
    Input("oth-story", "value"),
    State("oth-source", "data"),
    State("oth-layer", "max"),
    State("session", "data"),
    prevent_initial_call=True,
)
def tell(
    story: str | None, source: str, last: int, session: str
) -> tuple[Json, Json, Json, Json, Node, Json, dict[str, Json]]:
    """A story sets block and edits, and says what to look at and on which squares; its game comes through the queue,
    with other presses. One with an edit sets how is edited, too: else the page would show another edit than it tells
    of."""
    same, keep = (no_update,) * 4, dict.fromkeys(EDIT_FORM, no_update)
    if not story:
        return *same, "", None, keep
    reply, panel = ask_for(lambda: OthelloStory(source, story), session, "story")
    if reply is None:
        return *same, panel, None, keep
    tale = reply.answer
    # Edits are made once the game of the story is there (assets/othello.js): on another one they would be dropped.
    place = {"moves": tale.moves, "ply": tale.ply, "squares": tale.squares, "edits": tale.edits, "told": uuid4().hex}
    form = keep
    if tale.edits and tale.scale is not None:
        form = {"method": "tpr", "scale": tale.scale, "choose": "fixed", "unit": "stream", "blocks": [0, last]}
    return (), tale.layer, tale.tab, tale.labels, story_words(tale), place, form


def story_words(tale: Story) -> Node:
    """What a story tells; how it was found, on demand; and a way to where the rest of its result stands."""
    ways = []
    if tale.edits:
        lead = {"data-leads": "oth-tab", "data-tab": tale.tab}
        ways.append(
            html.Button("All that the edit changes", className="attune-button attune-offstage", type="button", **lead)
        )
    if tale.criterion:
        ways.append(popup(html.P(tale.criterion, className="attune-note"), label="How it was found"))
    return [html.Span(tale.text), *ways]


clientside_callback(
    "(tale, game) => dash_clientside.attune_othello.mark(tale, game)",
    Output("oth-hand-sink", "lang"),
    Input("oth-tale", "data"),
    Input("oth-game", "data"),
)
