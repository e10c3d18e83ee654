"""Which prompts and texts a board carries, and what of a text is looked for when it is hidden.

A prompt is in more places than its setting: its words stand in captions, its tokens are the labels of an axis, cut to
sixteen characters, numbered, escaped. So a hidden text is looked for as a whole, by its words, by words that were cut,
and, in the pins that it made, token by token.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from analysis.findings.export.handover import Handover
from analysis.findings.records import Pin

OWN = ("title", "claim", "note", "counter", "speaker")
"""Kinds that the owner of the board wrote: hidden as a whole, and not word by word."""
NAMES = frozenset(("text", "texts", "prompt", "positive", "negative", "question", "hint", "label", "words", "pairs"))
"""Settings that are texts even where they are one word."""
COMMON = frozenset(
    "an as at be by do he if in is it me my no of on or so to up us we am go "
    "the and for are but not you all any can had her was one our out day get has him his how its may new now old see "
    "two way who did let put say she too use that with have this will your from they know want been good much some "
    "time very when come here just like long make many more only over such take than them well were what which their "
    "would there could other about into then these first also after where does each because".split()
)
"""English words that say nothing about a text. They are hidden with its tokens, but not wherever else they stand."""
LEAST = 3
"""Letters of the shortest word that is hidden wherever it stands."""
DIGITS = 4
"""Digits of the shortest whole number that is hidden wherever it stands."""
MOST = 500
_WORD = re.compile(r"[^\W_]+")
_FIELD = re.compile(r"[a-z][a-z0-9_]*")
_MARKS = re.compile(r"[\sĠ▁·␣↵⏎Ċ]+|\\n|<\|[^|]{1,30}\|>")
_REGION = re.compile(r"region \d+")  # what a region is called that nobody named
_PATH = re.compile(r"(?:/|~|\.{1,2}/|[A-Za-z]:\\).+")


@dataclass(frozen=True)
class Leaving:
    """A text that would leave with a board. ``kind``: one of OWN, "prompt" (asked for), "written" (by a model or
    elsewhere in a view), "sentence" (of an answer) or "path"; ``where``: titles of what it stands in."""

    id: str
    kind: str
    text: str
    where: tuple[str, ...]


def texts_of(handover: Handover) -> tuple[Leaving, ...]:
    """The texts that would leave, each once: those that were typed first, at most MOST."""
    places: dict[str, tuple[str, list[str]]] = {}

    def add(kind: str, text: Any, where: str) -> None:
        if isinstance(text, str) and text.strip():
            titles = places.setdefault(text, (kind, []))[1]
            if where not in titles and len(titles) < 12:
                titles.append(where)

    pins = handover.content.pins.values()
    for pin in pins:
        for kind, text in _asked(pin):
            add(kind, text, pin.title)
    for pin in pins:
        for part in pin.parts:
            if part.get("kind") == "texts":
                for one in part.get("texts", ()):
                    add("prompt", one.get("prompt"), pin.title)
                    add("written", one.get("text"), pin.title)
    add("title", handover.title, "the board")
    for item in handover.content.items:
        for kind in OWN:
            add(kind, item.body.get(kind), str(item.body.get("claim") or item.body.get("title") or item.kind)[:60])
        for kind, text in asked_by(item.body.get("address", "")):
            add(kind, text, f"a {item.kind}")
    for pin in pins:
        for source in (*(handover.answers[d].data for d in pin.answers if d in handover.answers), list(pin.parts)):
            for text in strings(source):
                if len(text) >= 12 and text.count(" ") >= 2:
                    add("sentence", text, pin.title)
    return tuple(Leaving(text_id(t), kind, t, tuple(where)) for t, (kind, where) in places.items())[:MOST]


def text_id(text: str) -> str:
    """The name of a text in a list of choices: 16 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def strings(value: Any) -> Iterator[str]:
    """All strings of plain data; keys of dicts, too, where they are no names of fields."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, part in value.items():
            if not _FIELD.fullmatch(str(key)):
                yield str(key)
            yield from strings(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from strings(part)


def lists_of_strings(value: Any) -> Iterator[list[str]]:
    """All lists of strings in plain data, and of the strings that lists of pairs begin with: the labels of tokens."""
    if isinstance(value, dict):
        for part in value.values():
            yield from lists_of_strings(part)
    elif isinstance(value, (list, tuple)):
        if value and all(isinstance(v, str) for v in value):
            yield list(value)
            return
        if value and all(isinstance(v, (list, tuple)) and v and isinstance(v[0], str) for v in value):
            yield [v[0] for v in value]
        for part in value:
            yield from lists_of_strings(part)


def bare(label: str) -> str:
    """A label of a token as it stands in its text: no marks, no position before it, no escapes, in small letters."""
    plain = html.unescape(label).rstrip("…")
    plain = re.sub(r"^\d+ (?=.)", "", plain)
    return _MARKS.sub("", plain).casefold()


def words_of(text: str) -> set[str]:
    """The words of a text that are hidden wherever they stand; of whole numbers those of DIGITS and more, which may be
    a year or a code: shorter ones say little, and stand everywhere."""
    least = {True: DIGITS, False: LEAST}
    return {w for w in _WORD.findall(text) if len(w) >= least[w.isdecimal()] and w.casefold() not in COMMON}


def variants(text: str) -> set[str]:
    """A text as it may stand inside another: escaped for JSON, HTML, plotly, an address."""
    trimmed = text.strip()
    plain = {text, trimmed} - {""}
    lines = {line for t in plain for line in (t.replace("\n", "<br>"), t.replace("\n", " "))}
    out = plain | lines
    for form in (
        lambda t: json.dumps(t)[1:-1],
        lambda t: json.dumps(t, ensure_ascii=False)[1:-1],
        html.escape,
        lambda t: html.escape(t, quote=False),
        quote,
        lambda t: quote(t, safe=""),
        quote_plus,
        repr,
    ):
        out |= {form(t) for t in plain | lines}
    return out


def _asked(pin: Pin) -> Iterator[tuple[str, str]]:
    """The texts among the settings of a pin's questions and of its view, each with its kind."""
    for question in pin.ref.get("questions", ()):
        yield from _settings(question.get("params", {}), "")
    yield from _settings(pin.ref.get("options", {}), "")
    yield from asked_by(pin.address)


def asked_by(address: str) -> Iterator[tuple[str, str]]:
    """The texts in the query of an address, each with its kind: a page's address may name more than one view asks."""
    for name, value in parse_qsl(urlsplit(address).query):
        try:
            read = json.loads(value)
        except ValueError:
            read = value
        yield from _settings(read if isinstance(read, (dict, list, str)) else value, name)


def _settings(value: Any, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _settings(part, str(key))
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _settings(part, name)
    elif isinstance(value, str):
        if _PATH.fullmatch(value) and not any(c.isspace() for c in value.strip()):
            yield "path", value
        elif name in NAMES or (any(c.isspace() for c in value.strip()) and not _REGION.fullmatch(value)):
            yield "prompt", value
