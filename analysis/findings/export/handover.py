"""A board with everything that its exits need, in memory: what every file that leaves is made of.

An exit gets a :class:`Handover` and never the store. So redaction (:mod:`analysis.findings.export.redact`) is one
function from handover to handover, and no exit can pass it by. Drawn pins (exhibits) come from outside, as data: this
package draws nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from analysis.engine.question import Result
from analysis.errors import UserError
from analysis.findings.records import BoardContent, Body, Item, Pin
from analysis.findings.store import FindingStore

log = logging.getLogger(__name__)
THEMES = ("light", "dark")
HIDDEN = "redacted"
"""The fact of a pin whose texts are hidden."""
Exhibit = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True)
class Handover:
    """A board and what its pins hold.

    ``answers``, ``figures``, ``pictures``: by content hash; one that is missing or damaged in the store is left out.
    ``exhibits``: each pin as it is drawn, by pin and theme. ``hidden``: the number of texts that are hidden in it.
    """

    content: BoardContent
    answers: dict[str, Result] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)
    exhibits: dict[str, dict[str, Exhibit]] = field(default_factory=dict)
    hidden: int = 0

    @property
    def title(self) -> str:
        """The title of the board."""
        return self.content.board.title

    @property
    def redacted(self) -> frozenset[str]:
        """The pins whose texts are hidden, here or in the bundle that they came from: they have no answers any more."""
        return frozenset(pin.id for pin in self.content.pins.values() if HIDDEN in pin.facts)

    def pins_of(self, item: Item) -> list[Pin]:
        """The pins of a finding, in order."""
        return [self.content.pins[p] for p in item.body.get("pins", []) if p in self.content.pins]


def gather(store: FindingStore, board: str, draw: Callable[[Pin, str], Exhibit] | None = None) -> Handover:
    """Everything of a board. ``draw``: the exhibit of a pin in a theme. Raises UserError where there is no such board.

    Neither the name of a share link nor who wrote what is part of it.
    """
    content = store.board(board)
    content = replace(
        content,
        board=replace(content.board, share=""),
        items=tuple(replace(item, author="") for item in content.items),
    )
    pins = content.pins.values()
    answers = {digest: store.answer for pin in pins for digest in pin.answers}
    figures = {pin.figure: store.json for pin in pins if pin.figure}
    pictures = {pin.picture: store.picture for pin in pins if pin.picture}
    exhibits: dict[str, dict[str, Exhibit]] = {}
    if draw is not None:
        exhibits = {pin.id: {theme: draw(pin, theme) for theme in THEMES} for pin in pins}
    return Handover(content, _held(answers), _held(figures), _held(pictures), exhibits)


def _held(reads: Mapping[str, Callable[[str], T]]) -> dict[str, T]:
    held = {}
    for digest, read in reads.items():
        try:
            held[digest] = read(digest)
        except UserError as error:  # the pin keeps its figure and its numbers, which say what was seen
            log.warning("left out of a handover: %s", error.message)
    return held


def without_speaker_notes(handover: Handover) -> Handover:
    """For readers: what is written for the speaker alone is no part of it."""
    items = tuple(_unspoken(item) for item in handover.content.items)
    return replace(handover, content=replace(handover.content, items=items))


def _unspoken(item: Item) -> Item:
    body = Body(**item.body)
    body.pop("speaker", None)
    return replace(item, body=body)
