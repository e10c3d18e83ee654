"""Hiding texts of a board in everything that is made of it.

A pin that shows a hidden text loses what it could be read back from: its answers (token ids are the text in another
spelling), its picture, its address, the keys of its jobs, and what a point of its figure carries for clicks. What is
left is what a reader of the figure needs: the drawing with its labels hidden, the numbers, the control, the settings
that are no text. A pin that does not show it stays whole.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, cast

from analysis.engine.keys import hash_of
from analysis.findings.export.handover import HIDDEN, Exhibit, Handover
from analysis.findings.export.scrub import Scrub
from analysis.findings.export.texts import asked_by, texts_of
from analysis.findings.prose import REFERENCE
from analysis.findings.records import Body, Check, Item, Pin

REDACTED = "Texts are hidden, and the answers with them left out."
_DRAWN = frozenset(
    "text hovertext ticktext labels x y z name title hovertemplate texttemplate categoryarray legendgroup parents "
    "label meta values header cells".split()
)
"""Keys of a plotly figure whose strings are read by people; the strings of others are words of plotly."""
_ID = re.compile(r"(?:^|[._ ])(?:ids?|tokens?)(?:$|[._ ])", re.IGNORECASE)
"""Names of what may be the id of a token."""
_BY_CLICK = re.compile(r"%\{customdata[^}]*\}")


def redact(handover: Handover, choices: Mapping[str, str]) -> Handover:
    """The handover without some of its texts.

    ``choices``: by the id of a text (:func:`texts_of`), what stands in its place; empty for "[text 1]" and so on. An id
    that names no text of this board hides nothing.
    """
    hidden = [text for text in texts_of(handover) if text.id in choices]
    if not hidden:
        return handover
    scrub = Scrub(hidden, choices)
    pins: dict[str, Pin] = {}
    renamed: dict[str, str] = {}
    figures, exhibits, changed = dict(handover.figures), dict(handover.exhibits), set()
    for pin in handover.content.pins.values():
        held = _shown(pin, handover)
        if not scrub.concerns(held):
            pins[pin.id] = pin
            if scrub.concerns([pin.address, [text for _, text in asked_by(pin.address)]]):  # of another view there
                pins[pin.id] = replace(pin, address="")
                drawn = handover.exhibits.get(pin.id, {})
                exhibits[pin.id] = {theme: {**shown, "address": ""} for theme, shown in drawn.items()}
            continue
        changed.add(pin.id)
        tokens = scrub.tokens(held)
        pins[pin.id] = _pin(pin, scrub, tokens)
        renamed |= {name: scrub.label(name, tokens) for name in pin.numbers}
        if pin.figure in handover.figures:
            figure = _figure(handover.figures[pin.figure], scrub, tokens)
            pins[pin.id] = replace(pins[pin.id], figure=hash_of(figure))
            figures[hash_of(figure)] = figure
        drawn = handover.exhibits.get(pin.id, {})
        exhibits[pin.id] = {theme: _exhibit(e, scrub, tokens) for theme, e in drawn.items()}
    content = handover.content
    content = replace(
        content,
        board=replace(content.board, title=scrub(content.board.title)),
        items=tuple(_item(item, scrub, renamed) for item in content.items),
        pins=pins,
        checks={p: _check(c, scrub, renamed, p in changed) for p, c in content.checks.items()},
    )
    return Handover(
        content,
        {d: a for d, a in handover.answers.items() if any(d in pin.answers for pin in pins.values())},
        {d: f for d, f in figures.items() if any(d == pin.figure for pin in pins.values())},
        {d: p for d, p in handover.pictures.items() if any(d == pin.picture for pin in pins.values())},
        exhibits,
        len(hidden),
    )


def _shown(pin: Pin, handover: Handover) -> list[Any]:
    """What of a pin may show a text: all but the words of this program and of plotly."""
    control = pin.control or {}
    parts = [{name: value for name, value in part.items() if name != "kind"} for part in pin.parts]
    settings = [question.get("params") for question in pin.ref.get("questions", ())]
    drawn = [e.get("figure") for e in handover.exhibits.get(pin.id, {}).values()]
    figures = [_strings_drawn(figure) for figure in (handover.figures.get(pin.figure), *drawn)]
    answers = [handover.answers[d].data for d in pin.answers if d in handover.answers]
    names = [*pin.numbers, *pin.facts, *control.get("numbers", {})]
    rest = [pin.title, pin.caption, control.get("name", ""), control.get("text", ""), pin.facts, list(pin.models)]
    return [settings, pin.ref.get("options"), parts, figures, answers, names, rest]


def _strings_drawn(value: Any, drawn: bool = False) -> list[Any]:
    """What of a figure is read by people, in lists as it stands there."""
    if isinstance(value, dict):
        return [_strings_drawn(part, key in _DRAWN) for key, part in value.items()]
    if isinstance(value, (list, tuple)):
        if drawn and all(isinstance(v, str) for v in value):
            return list(value)
        return [_strings_drawn(part, drawn) for part in value if isinstance(part, (str, dict, list, tuple))]
    return [value] if drawn and isinstance(value, str) else []


def _pin(pin: Pin, scrub: Scrub, tokens: set[str]) -> Pin:
    ref = dict(pin.ref)
    ref["questions"] = [
        {**question, "params": _settings(_without_ids(question.get("params", {})), scrub), "key": ""}
        for question in pin.ref.get("questions", ())
    ]
    ref["options"] = _settings(_without_ids(pin.ref.get("options", {})), scrub)
    ref.pop("facts", None)
    return replace(
        pin,
        title=scrub.label(pin.title, tokens),
        ref=ref,
        address="",
        caption=scrub.label(pin.caption, tokens),
        answers=(),
        parts=tuple(_part(part, scrub, tokens) for part in pin.parts),
        control=_control(pin.control, scrub, tokens),
        numbers=_named(pin.numbers, scrub, tokens),
        facts=_named(pin.facts, scrub, tokens) | {HIDDEN: REDACTED},
        picture="",
        models=tuple(_settings(model, scrub) for model in pin.models),
    )


def _exhibit(exhibit: Exhibit, scrub: Scrub, tokens: set[str]) -> Exhibit:
    out: Exhibit = {}
    for name, value in exhibit.items():
        if name == "figure":
            out[name] = None if value is None else _figure(value, scrub, tokens)
        elif name == "parts":
            out[name] = [_part(part, scrub, tokens) for part in value]
        elif name in ("settings", "models"):
            out[name] = _settings(_without_ids(value) if name == "settings" else value, scrub)
        elif name in ("numbers", "facts"):
            out[name] = _named(value, scrub, tokens)
        elif name == "control":
            out[name] = _control(value, scrub, tokens)
        else:
            out[name] = value if name == "id" else _read(value, scrub, tokens)
    out["address"] = ""
    out["facts"] = {**out.get("facts", {}), HIDDEN: REDACTED}
    return out


def _settings(value: Any, scrub: Scrub) -> Any:
    """Settings are names and numbers; only those that hold a hidden text change."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: _settings(part, scrub) for key, part in value.items()}
    return [_settings(part, scrub) for part in value] if isinstance(value, (list, tuple)) else value


def _read(value: Any, scrub: Scrub, tokens: set[str]) -> Any:
    """Plain data whose strings are read as text."""
    if isinstance(value, str):
        return scrub.label(value, tokens)
    if isinstance(value, dict):
        return {key: _read(part, scrub, tokens) for key, part in value.items()}
    return [_read(part, scrub, tokens) for part in value] if isinstance(value, (list, tuple)) else value


def _named(value: Mapping[str, Any] | None, scrub: Scrub, tokens: set[str]) -> dict[str, Any]:
    """Numbers or facts by names that may be texts, too."""
    plain = _without_ids(value or {})
    return {scrub.label(name, tokens): _read(part, scrub, tokens) for name, part in plain.items()}


def _without_ids(value: Mapping[str, Any]) -> dict[str, Any]:
    """Named values without the ids of tokens, which are the text in another spelling."""
    return {name: part for name, part in value.items() if not (_ID.search(name) and _is_number(part))}


def _is_number(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return any(map(_is_number, value))
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _control(control: dict[str, Any] | None, scrub: Scrub, tokens: set[str]) -> dict[str, Any] | None:
    if control is None:
        return None
    return {**_read(control, scrub, tokens), "numbers": _named(control.get("numbers"), scrub, tokens)}


def _part(part: dict[str, Any], scrub: Scrub, tokens: set[str]) -> dict[str, Any]:
    kind = part.get("kind")
    if kind == "boards":  # their data are places and colours, which the drawing needs as they are
        return cast(dict[str, Any], _settings(part, scrub))
    if kind == "table":
        ids = [bool(_ID.search(str(column))) for column in part["columns"]]
        rows = [[None if i and _is_number(c) else c for c, i in zip(row, ids, strict=False)] for row in part["rows"]]
        part = part | {"rows": rows}
    if kind == "facts":
        part = part | {"rows": [row for row in part["rows"] if not (_ID.search(str(row[0])) and _is_number(row[1]))]}
    if kind == "texts":
        return part | {
            "title": scrub.label(part["title"], tokens),
            "texts": [_text(text, scrub, tokens) for text in part["texts"]],
        }
    return {name: value if name == "kind" else _read(value, scrub, tokens) for name, value in part.items()}


def _text(text: dict[str, Any], scrub: Scrub, tokens: set[str]) -> dict[str, Any]:
    made = text | {"title": scrub.label(text["title"], tokens)}
    if text.get("numbers"):
        made["numbers"] = _named(text["numbers"], scrub, tokens)
    made["prompt"], made["text"] = scrub(text.get("prompt", "")), scrub(text.get("text", ""))
    if made["text"] != text.get("text") or scrub.concerns([list(text.get("tokens", ()))]):
        made["tokens"] = []  # their shades are places in a text that is not shown
    return made


def _figure(value: Any, scrub: Scrub, tokens: set[str], drawn: bool = False) -> Any:
    if isinstance(value, str):
        if not drawn:
            return scrub(value) if " " in value else value
        return _BY_CLICK.sub("", scrub.label(value, tokens))
    if isinstance(value, dict):
        return {
            key: _figure(part, scrub, tokens, key in _DRAWN)
            for key, part in value.items()
            if key not in ("customdata", "ids")
        }
    if isinstance(value, (list, tuple)):
        return [_figure(part, scrub, tokens, drawn) for part in value]
    return value


def _item(item: Item, scrub: Scrub, renamed: Mapping[str, str]) -> Item:
    """``renamed``: numbers of pins whose names have changed, which a note is bound to by name."""

    def bound(match: re.Match[str]) -> str:
        return "{{" + renamed.get(match[1], match[1]) + (f"@{match[2]}" if match[2] else "") + "}}"

    body = {
        name: scrub(REFERENCE.sub(bound, value)) if isinstance(value, str) else value
        for name, value in item.body.items()
    }
    if body.get("address") != item.body.get("address"):
        body["address"] = ""
    return replace(item, body=cast(Body, body))


def _check(check: Check, scrub: Scrub, renamed: Mapping[str, str], changed: bool) -> Check:
    found = _without_ids(check.numbers) if changed else check.numbers
    numbers = {scrub(renamed.get(name, name)): value for name, value in found.items()}
    return replace(check, text=scrub(check.text), numbers=numbers, answers=() if changed else check.answers)
