"""Pins beside each other: the old answer and the new one, or several settings of one view."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flask import request

from analysis.errors import UserError
from analysis.findings.store import findings
from components.findings.again import recomputed
from components.findings.compare import difference, shared_axes
from components.findings.exhibit import Exhibit, exhibit

MOST = 24
LONGEST = 60
"""Characters of a setting that tells views apart."""


def show_again(pin: str) -> Any:
    """A pin as it looks with the answers of its newest check."""
    check = findings().check(pin)
    if check is None:
        raise UserError("This view was not computed again.")
    return recomputed(findings().pin(pin), check, findings(), _theme())


def show_group() -> Any:
    """Pins (``pins``: their ids with commas between, at most ``MOST``) in shared axes; of two of them also the
    difference, the later one minus the earlier one, or why there is none."""
    theme = _theme()
    names = request.args.get("pins", "")[:2_000].split(",")
    if len(names) > MOST:
        raise UserError(f"At most {MOST} views share their axes.")
    exhibits = [_exhibit(name, theme) for name in names]
    figures = [each["figure"] for each in exhibits if each["figure"] is not None]
    if len(figures) < len(exhibits) or len({each["settings"].get("view") for each in exhibits}) > 1:
        raise UserError("Only figures of one view share their axes.")
    minus, why = _difference(*sorted(exhibits, key=lambda each: each["date"])) if len(exhibits) == 2 else (None, "")
    for each, figure in zip(exhibits, shared_axes(figures), strict=True):
        each["figure"] = figure
    apart = distinctions([each["settings"] for each in exhibits])
    return {"exhibits": exhibits, "difference": minus, "why": why, "apart": apart}


def distinctions(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """What tells views apart whose titles are the same: of each, the settings that are not equal in all of them."""
    flat = [dict(_leaves("", each)) for each in settings]
    names = [n for n in dict.fromkeys(n for each in flat for n in each) if len({each.get(n, "") for each in flat}) > 1]
    ends = [name.rpartition(" ")[2] for name in names]
    words = {name: end if ends.count(end) == 1 else name for name, end in zip(names, ends, strict=True)}
    return [" · ".join(f"{words[n].replace('_', ' ')} {each[n]}" for n in names if each.get(n)) for each in flat]


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Each setting with its path, and its value as a short text."""
    rows: list[tuple[Any, Any]] = []
    if isinstance(value, Mapping):
        rows = list(value.items())
    elif isinstance(value, list) and any(isinstance(part, (Mapping, list)) for part in value):
        rows = list(enumerate(value, 1))
    else:
        text = " ".join(map(_text, value)) if isinstance(value, list) else _text(value)
        yield name, text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
    for inner, part in rows:
        yield from _leaves(f"{name} {inner}".strip(), part)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _difference(old: Exhibit, new: Exhibit) -> tuple[Any, str]:
    try:
        if old["figure"] is None or new["figure"] is None:
            raise UserError("There is no difference of views without a figure.")
        figure = difference(old["figure"], new["figure"])
    except UserError as error:
        return None, error.message
    pair = (new, old)
    names = [
        f"{each['title']} ({f'{which}; ' if which else ''}pinned {each['date'][:16].replace('T', ' ')} UTC)"
        for each, which in zip(pair, distinctions([each["settings"] for each in pair]), strict=True)
    ]
    caption = " minus ".join(names) + "."
    return {**new, "title": "Difference", "figure": figure, "caption": caption, "parts": [], "control": None}, ""


def _theme() -> str:
    return "dark" if request.args.get("theme") == "dark" else "light"


def _exhibit(pin: str, theme: str) -> Exhibit:
    store = findings()
    return exhibit(store.pin(pin), store, theme, store.check(pin))
