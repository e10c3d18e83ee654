"""A figure card that knows what it shows.

The store ``{"settings": name}`` of a card holds the ViewRef of its figure: what a link or a pin copies, what draws the
figure again in the other theme, and, with the facts of the drawing beside it, what export prints. A page's callbacks
fill a card through :attr:`Card.outputs` with what :func:`pages.cards.content` gives, so the figure on screen and the
ref beside it cannot part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypedDict

from dash import Output, no_update

from components.kit.figure_card import blank, figure_card, section

CARDS: dict[str, Card] = {}
PANELS: dict[str, Panel] = {}


class Content(TypedDict):
    """What a card shows: figure, caption and ViewRef, as the values of :attr:`Card.outputs`."""

    figure: Any
    caption: Any
    ref: Any


UNCHANGED = Content(figure=no_update, caption=no_update, ref=no_update)
"""A card that stays as it is."""


@dataclass(frozen=True)
class Card:
    """A card by the id of its graph. Making one registers it; ``height`` is that of its graph in pixels. ``start``:
    what leads to a figure, in its place until there is one; a few words, for they stand on one line."""

    name: str
    title: str
    height: int = 360
    caption: str = ""
    start: str = ""

    def __post_init__(self) -> None:
        if self.name in CARDS or self.name in PANELS:
            raise ValueError(f"there are two cards called {self.name}")
        CARDS[self.name] = self

    def layout(self, controls: Any = None, title_id: str | None = None) -> Any:
        """The card as it stands on the page."""
        return figure_card(self.name, self.title, self.caption, self.height, controls, title_id, self.start)

    @property
    def outputs(self) -> dict[str, Output]:
        """What a callback writes that fills this card."""
        return self._outputs(False)

    @property
    def more_outputs(self) -> dict[str, Output]:
        """The same for a second callback that fills this card."""
        return self._outputs(True)

    def _outputs(self, again: bool) -> dict[str, Output]:
        places = {"figure": (self.name, "figure"), "caption": (f"{self.name}-caption", "children")}
        out = {part: Output(*place, allow_duplicate=again) for part, place in places.items()}
        return out | {"ref": Output({"settings": self.name}, "data", allow_duplicate=again)}

    def empty(self, text: str = "", caption: str = "") -> Content:
        """No figure: a sentence in its place, or what leads to one."""
        return Content(figure=blank(self.height, text or self.start), caption=caption, ref=None)


@dataclass(frozen=True)
class Panel:
    """A card without a graph: a table, texts, boards, which the page lays out itself. Like a card it has a store that
    holds the ViewRef of what it shows (:func:`pages.cards.ref_of`), so that it can be pinned. Making one registers it;
    names are shared with cards."""

    name: str
    title: str

    def __post_init__(self) -> None:
        if self.name in CARDS or self.name in PANELS:
            raise ValueError(f"there are two cards called {self.name}")
        PANELS[self.name] = self

    def layout(self, *children: Any, controls: Any = None, title_id: str | None = None, **attributes: Any) -> Any:
        """The panel as it stands on the page. ``attributes`` are those of its section."""
        return section(self.name, self.title, children, controls, title_id, **attributes)

    @property
    def ref(self) -> Output:
        """What a callback writes that fills the store; None where nothing is shown."""
        return Output({"settings": self.name}, "data")

    @property
    def more_ref(self) -> Output:
        """The same for a second callback."""
        return Output({"settings": self.name}, "data", allow_duplicate=True)
