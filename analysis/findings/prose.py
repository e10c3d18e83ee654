"""Numbers in prose: ``{{name}}`` stands for a number of a pin, and shows what that pin says now.

A number that is typed is wrong as soon as its figure is made anew, and nobody sees it. So prose names numbers: of the
views of its finding by name alone, of any other pin of the board as ``{{name@pin}}`` with the beginning of the pin's
id. A name alone that several views of the finding have is that of the view that was pinned first, so that neither a new
view nor another order changes what is meant. What names no number, and what was typed as a numeral, is told apart, so
that whoever draws the text can mark it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.findings.numbers import number_words
from analysis.findings.records import BoardContent, Check, Item, Pin

REFERENCE = re.compile(r"\{\{[ \t]*([^{}@\n]{1,200}?)[ \t]*(?:@[ \t]*([\w-]{4,64})[ \t]*)?\}\}")
NUMERAL = re.compile(r"(?<![\w.,])[-−+]?\d+(?:[.,]\d+)*(?:[eE][-−+]?\d+)?(?:\s?%)?(?!\w)")
"""A number as people type it; not the digits of a name such as GPT2 or z1."""
TEXTS = ("claim", "note", "counter", "speaker")
"""The texts of an item that may name numbers."""
_SHORT_ID = 8

Kind = Literal["text", "number", "unbound", "numeral"]


@dataclass(frozen=True)
class Number:
    """A number that prose can name. ``value``: what it is now: that of the newest check where this has moved, else the
    ``frozen`` one; ``pin`` and ``title``: whose it is."""

    name: str
    value: float
    frozen: float
    pin: str
    title: str

    @property
    def moved(self) -> bool:
        """Whether it is another than when the view was pinned."""
        return self.value != self.frozen

    @property
    def words(self) -> str:
        """Where it comes from, as a sentence."""
        was = f"; it was {spoken(self.frozen)} when the view was pinned" if self.moved else ""
        return f"{number_words(self.name)} of “{self.title}”{was}."


@dataclass(frozen=True)
class Piece:
    """A part of a text: plain ``text``; the value of a bound ``number``; a reference that is ``unbound``; a typed
    ``numeral``. ``words``: what is to be said of it."""

    kind: Kind
    text: str
    words: str = ""


UNBOUND = "No view here has this number. Choose one from the list."
TYPED = "This number was typed: it is bound to no result and will not follow one."


class Numbers:
    """The numbers that the texts of one item can name. ``own``: the pins of the item, in their order; ``others``: those
    of the board; ``checks``: the newest check of each pin."""

    def __init__(self, own: Sequence[Pin], others: Sequence[Pin] = (), checks: Mapping[str, Check] | None = None):
        self._own = tuple(own)
        self._all = {pin.id: pin for pin in (*own, *others)}
        self._checks = checks or {}
        self._by_age = sorted(self._own, key=lambda pin: pin.made)

    def find(self, name: str, of: str = "") -> Number | None:
        """The number of that name, of the pin whose id begins with ``of`` where one is named; None if there is none."""
        pins = [pin for key, pin in self._all.items() if key.startswith(of)] if of else self._by_age
        if of and len(pins) != 1:
            return None
        pin = next((pin for pin in pins if name in pin.numbers), None)
        return None if pin is None else self._number(pin, name)

    def listed(self) -> Iterator[tuple[str, Number]]:
        """What may be chosen: reference and number, the item's own first, and of a pin what its view names first: those
        names have no dot, while those of an answer lead into it, and those of the control say so."""
        for pin in self._all.values():
            for name in sorted(pin.numbers, key=lambda name: (name.startswith("control."), name.count("."), name)):
                if not REFERENCE.fullmatch("{{" + name + "}}"):
                    continue
                number = self._number(pin, name)
                bare = pin in self._own and self.find(name) == number
                yield "{{" + name + ("" if bare else f"@{pin.id[:_SHORT_ID]}") + "}}", number

    def _number(self, pin: Pin, name: str) -> Number:
        check, frozen = self._checks.get(pin.id), pin.numbers[name]
        now = check.numbers.get(name, frozen) if check is not None and check.state == "moved" else frozen
        return Number(name, now, frozen, pin.id, pin.title)


def numbers_of(content: BoardContent, item: Item) -> Numbers:
    """The numbers that the texts of an item of this board can name."""
    own = [content.pins[pin] for pin in item.body.get("pins", []) if pin in content.pins]
    ids = {pin.id for pin in own}
    return Numbers(own, [pin for pin in content.pins.values() if pin.id not in ids], content.checks)


def pieces(text: str, numbers: Numbers) -> Iterator[Piece]:
    """The parts of a text in their order; their texts make up what is read."""
    at = 0
    for match in REFERENCE.finditer(text):
        yield from numerals(text[at : match.start()])
        yield bound(match, numbers)
        at = match.end()
    yield from numerals(text[at:])


def bound(match: re.Match[str], numbers: Numbers) -> Piece:
    """What stands for a match of ``REFERENCE``."""
    number = numbers.find(match[1], match[2] or "")
    return (
        Piece("unbound", match[0], UNBOUND) if number is None else Piece("number", spoken(number.value), number.words)
    )


def numerals(text: str) -> Iterator[Piece]:
    """A text without references, its typed numerals told apart."""
    at = 0
    for match in NUMERAL.finditer(text):
        if match.start() > at:
            yield Piece("text", text[at : match.start()])
        yield Piece("numeral", match[0], TYPED)
        at = match.end()
    if at < len(text):
        yield Piece("text", text[at:])


def plain(text: str, numbers: Numbers) -> str:
    """The text with the values in the place of the references: for titles, notebooks and tables."""
    return "".join(piece.text for piece in pieces(text, numbers))


def renamed(text: str, ids: Mapping[str, str]) -> str:
    """The text with its references to pins led to others, for a copy of a board: ``ids`` are new ids by old ones."""

    def other(match: re.Match[str]) -> str:
        old = [key for key in ids if match[2] and key.startswith(match[2])]
        return "{{" + f"{match[1]}@{ids[old[0]][:_SHORT_ID]}" + "}}" if len(old) == 1 else match[0]

    return REFERENCE.sub(other, text)


def spoken(value: float) -> str:
    """A number for prose: three significant digits, whole numbers as they are."""
    if not math.isfinite(value):
        return "not a number" if math.isnan(value) else "−∞" if value < 0 else "∞"
    if value == int(value) and abs(value) < 1e12:
        text = f"{int(value):,}"
    elif 1e-4 <= abs(value) < 1e6:
        decimals = 2 - math.floor(math.log10(abs(float(f"{value:.3g}"))))
        text = f"{round(value, decimals):,.{max(0, decimals)}f}"
    else:
        mantissa, _, power = f"{value:.2e}".partition("e")
        text = f"{mantissa}e{int(power)}"
    return text.replace("-", "−")
