"""What all figure cards have in common: how they are filled, and how they are drawn again.

``content`` fills a card from replies that a page already has. ``render`` draws a figure from its ViewRef alone: that is
what the other theme, an export, a link and a pin do. The one callback of all cards is registered here, for each card of
a page under its own name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import Input, Output, State, callback, no_update

from analysis.engine.client import OperationFailed, Reply, Superseded, WorkerGone
from analysis.errors import Cancelled, UserError
from analysis.view_ref import ViewRef
from components.kit.card import Card, Content
from components.kit.view import Drawing, View, view_called
from pages.common import reply_of


def content(view: View[Any], *replies: Reply[Any], options: Any = None, theme: str) -> Content:
    """What a card shows: the view of these replies, and the ref that draws it again, with its facts for an export."""
    ref = view.ref([r.question for r in replies], options)
    drawing = view.draw(*(r.answer for r in replies), view.options_from(ref.options), theme)
    facts = {"facts": drawing.facts} if drawing.facts else {}
    caption = f"{drawing.caption} {drawing.hint}".strip() if drawing.hint else drawing.caption
    return Content(figure=drawing.figure, caption=caption, ref=ref.to_dict() | facts)


def ref_of(view: View[Any], *replies: Reply[Any], options: Any = None) -> dict[str, Any]:
    """What the store of a panel holds: the ref that draws the view of these replies."""
    return view.ref([r.question for r in replies], options).to_dict()


def render(ref: ViewRef, theme: str) -> Drawing:
    """Ask what a ViewRef asks, and draw it. Raises as :meth:`analysis.engine.client.Client.ask`, and UserError for one
    that is of no view of this version or whose job's answer is not kept any more."""
    return drawn(ref, replies_of(ref), theme)


def replies_of(ref: ViewRef) -> list[Reply[Any]]:
    """The replies that a ViewRef draws, one to each of its questions. Raises as :func:`render`."""
    view = view_called(ref.view)
    if len(ref.questions) != len(view.answers):
        raise UserError(f"The view {view.name} draws {len(view.answers)} answers, not {len(ref.questions)}.")
    return [reply_of(question) for question in ref.questions]


def drawn(ref: ViewRef, replies: Sequence[Reply[Any]], theme: str) -> Drawing:
    """What a ViewRef draws of these replies."""
    view = view_called(ref.view)
    drawing: Drawing = view.draw(*(reply.answer for reply in replies), view.options_from(ref.options), theme)
    return drawing


def card_callbacks(*cards: Card) -> None:
    """Register the callback of all cards for these: in another theme, the figure is drawn again from its ref."""
    for card in cards:
        callback(
            Output(card.name, "figure", allow_duplicate=True),
            Input("theme", "data"),
            State({"settings": card.name}, "data"),
            prevent_initial_call=True,
        )(draw_again)


def draw_again(theme: str, ref: Any) -> Any:
    """The figure of a ref in a theme; as it was where that cannot be had."""
    if not ref or "view" not in ref:
        return no_update
    try:
        return render(ViewRef.from_dict(ref), theme).figure
    except (UserError, Cancelled, Superseded, WorkerGone, OperationFailed):
        return no_update  # colours of the other theme are no reason to take a figure away
