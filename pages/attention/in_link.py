"""What of the page's question is too long to stand in its address as it is: the other prompts, pairs of tokens and
drawn cells. A file of the data folder stands for it, or the page says that its link goes without.
"""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, dcc, html

from components.kit.types import Json, Node
from pages.address import remember
from pages.attention.state import NO_PAIR, AttentionState, cells_text
from pages.state import write


def stores(state: AttentionState) -> list[Node]:
    """What stands in the address, from the first moment on, so that a reload while a model loads loses nothing."""
    entries = write(state)
    names = {"other": "other", "pairs": "pairs", "drawn": "drawn", "source": "from"}
    return [dcc.Store(id=f"address-{store}", data=entries.get(entry, "")) for store, entry in names.items()]


def without() -> Node:
    """The line that says what a link goes without."""
    return html.Div(id="link-without", className="attune-note", **{"aria-live": "polite"})


@callback(
    Output("address-other", "data"),
    Output("address-pairs", "data"),
    Output("address-drawn", "data"),
    Output("address-source", "data"),
    Output("link-without", "children"),
    Input("site-other", "value"),
    Input("site-pairs", "data"),
    Input("drawn-cells", "data"),
    Input("drawn-named", "value"),
    Input("out-other", "value"),
    Input("address-text", "data"),
    State("reading", "data"),
    prevent_initial_call=True,
)
def hold(
    other: str | None,
    pairs: Json,
    cells: Json,
    named: str | None,
    source: str | None,
    text: str,
    question: Json,
) -> tuple[Any, ...]:
    """What stands in the address for each of them, and what does not stand there. Who may only look leaves no files."""
    held = (
        remember(other or ""),
        NO_PAIR if pairs == [] else cells_text(pairs),
        named or cells_text(cells),
        remember(source or ""),
    )
    there = (bool(other), pairs is not None, bool(named or cells), bool(source))
    words = ("the other prompt", "the pairs of tokens", "the drawn pattern", "the prompt that parts are taken from")
    left = [name for name, stands, entry in zip(words, there, held, strict=True) if stands and not entry]
    if question and not text:
        left.insert(0, "the prompt")
    said = f"The link of this page goes without {', '.join(left)}: too long for an address." if left else ""
    return *held, said
