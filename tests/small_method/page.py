"""The page of the small method."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from dash import Input, Output, State, callback, html

from analysis.fields import Choice, Text, Whole
from components.kit.card import UNCHANGED, Card
from components.kit.field import choice_field, number_field, text_field
from components.kit.types import Json, Node, Typed
from pages import state as codec
from pages.cards import card_callbacks, content
from pages.common import ask_for, spec_of
from pages.manifest import PageManifest
from pages.state import Model
from tests.small_method.ops import MeasureNorms
from tests.small_method.views import NormOptions, norm_bars

PATH = "/norms"
BARS = Card("norms-bars", "Norms of embeddings")
card_callbacks(BARS)


@dataclass(frozen=True)
class NormState:
    """The page's state at opening."""

    model: Annotated[dict[str, Any] | None, Model()] = None
    text: Annotated[str, Text(2_000, words="The text")] = MeasureNorms.text
    most: Annotated[int, Whole(1, 100, words="The number of tokens")] = MeasureNorms.most
    order: Annotated[str, Choice(("text", "norm"), words="The order")] = "text"
    problems: tuple[str, ...] = ()


def layout(**query: str) -> Node:
    """The page as its address describes it."""
    state = codec.read(NormState, query)
    return html.Div(
        [
            html.H1("How long are the embeddings of these tokens?", className="attune-title"),
            html.Div([html.P(problem) for problem in state.problems], id="norms-problems"),
            text_field(MeasureNorms, "text", "norms-text", "text", state.text),
            number_field(MeasureNorms, "most", "norms-most", "tokens", state.most),
            choice_field(NormOptions, "order", "norms-order", {"text": "as in the text", "norm": "longest first"}),
            html.Button("Measure", id="norms-go", type="button"),
            html.Div(id="norms-error"),
            BARS.layout(),
        ],
        className="attune-page",
    )


@callback(
    output={"bars": BARS.outputs, "error": Output("norms-error", "children")},
    inputs={"clicks": Input("norms-go", "n_clicks")},
    state={
        "text": State("norms-text", "value"),
        "most": State("norms-most", "value"),
        "order": State("norms-order", "value"),
        "model": State("model", "data"),
        "theme": State("theme", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def show_norms(
    clicks: int, text: Typed, most: Typed, order: str, model: Json, theme: str, session: str
) -> dict[str, Any]:
    """Measure, and draw."""
    reply, panel = ask_for(lambda: MeasureNorms(spec_of(model), text, most), session, link=PATH)
    if reply is None:
        return {"bars": UNCHANGED, "error": panel}
    return {"bars": content(norm_bars, reply, options=NormOptions(order), theme=theme), "error": None}


MANIFEST = PageManifest("Norms", PATH, order=95, layout=layout, state=NormState)
