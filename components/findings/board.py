"""A board as plain data for the page's scripts: what stands on it, and what its texts read as.

Figures are not in it: each view is fetched when it comes into sight, so that a board of many findings opens at once.
Texts go out twice, as they were typed and as HTML (components/findings/prose.py), since the browser renders nothing.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from analysis.findings.numbers import number_words
from analysis.findings.prose import TEXTS, Numbers, numbers_of, spoken
from analysis.findings.records import Board, BoardContent, Check, Item, Pin
from components.findings.prose import line, rendered

MOST_NUMBERS = 400
"""Numbers that are offered in a list at once; a search narrows them down."""


def board_data(board: Board) -> dict[str, Any]:
    """A board without its items."""
    return {"id": board.id, "title": board.title, "kind": board.kind, "changed": board.changed, "stamp": board.stamp,
            "share": board.share}  # fmt: skip


def content_data(content: BoardContent) -> dict[str, Any]:
    """A board with its items in order, what is to be said of each pin, and the newest checks."""
    return {
        "board": board_data(content.board),
        "items": [item_data(item, numbers_of(content, item)) for item in content.items],
        "pins": {pin.id: pin_data(pin) for pin in content.pins.values()},
        "checks": {pin: check_data(check) for pin, check in content.checks.items()},
    }


def item_data(item: Item, numbers: Numbers) -> dict[str, Any]:
    """An item with its texts as HTML; of a claim or a title one line."""
    texts = {name: text for name in (*TEXTS, "title") if isinstance(text := item.body.get(name), str) and text}
    html = {
        name: line(text, numbers) if name in ("claim", "title") else rendered(text, numbers)
        for name, text in texts.items()
    }
    return {"id": item.id, "kind": item.kind, "version": item.version, "body": item.body, "html": html,
            "author": item.author}  # fmt: skip


def pin_data(pin: Pin) -> dict[str, Any]:
    """What a list says of a pin, and how much room its picture needs."""
    return {
        "id": pin.id,
        "title": pin.title,
        "view": str(pin.ref.get("view", "")),
        "address": pin.address,
        "height": pin.height,
        "figure": bool(pin.figure),
        "date": datetime.fromtimestamp(pin.made, UTC).isoformat(timespec="minutes"),
    }


def check_data(check: Check) -> dict[str, Any]:
    """A check as its line says it; ``again``: whether there is a new answer to be drawn beside the old one."""
    return {"state": check.state, "text": check.text, "made": check.made, "again": bool(check.answers)}


def number_list(numbers: Numbers, words: str = "") -> dict[str, Any]:
    """The numbers that an item can name, those with all of the words in their name or their view's title: at most
    ``MOST_NUMBERS``, and how many there are."""
    wanted = words.lower().split()
    found = [
        {
            "reference": reference,
            "name": number_words(number.name),
            "value": spoken(number.value),
            "title": number.title,
        }
        for reference, number in numbers.listed()
        if math.isfinite(number.value)
        and all(word in f"{number_words(number.name)} {number.title}".lower() for word in wanted)
    ]
    return {"numbers": found[:MOST_NUMBERS], "count": len(found)}
