"""A board as one HTML file that opens without server or network, in years: scripts, style and data are in it.

It draws what Attune itself draws, by the same scripts (kit, board, prose, exhibit), with plotly once, from the
installed package. Data are a block of JSON that no parser takes for markup, and the page's own policy lets these
scripts run, by their hashes, and nothing be loaded. Both themes are in it: the dark one as what differs from the light
one.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import plotly

from analysis.findings.export.handover import THEMES, Handover
from analysis.findings.export.methods import bibtex, paragraph
from analysis.findings.prose import numbers_of
from analysis.findings.records import Item
from components.findings.prose import line, rendered
from components.kit.theme import TEMPLATES

ASSETS = Path(__file__).resolve().parents[2] / "assets"
OWN = Path(__file__).resolve().parent / "static"
STYLES = (ASSETS / "board.css", ASSETS / "exhibit.css", OWN / "page.css")
SCRIPTS = (
    ASSETS / "theme.js",
    Path(plotly.__file__).resolve().parent / "package_data" / "plotly.min.js",
    ASSETS / "kit.js",
    *(ASSETS / "frame" / f"{name}.js" for name in ("board", "prose", "exhibit")),
    OWN / "page.js",
)
_SHOWN = ("title", "claim", "note", "counter")
"""Texts of an item that readers get; a speaker note is for the speaker."""


def static_page(handover: Handover, program: str) -> bytes:
    """The page of a board, which holds an exhibit of each pin in each theme. ``program``: the version of Attune."""
    data = json.dumps(page_data(handover, program), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    scripts, allowed = _scripts()
    title = html.escape(handover.title)
    return f"""<!doctype html>
<html lang="en" data-bs-theme="light">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{allowed}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="generator" content="Attune {html.escape(program)}">
<title>{title}</title>
<style>{_styles()}</style>
</head>
<body>
<noscript><p>The figures of this page are drawn by its own scripts, which are switched off here.</p></noscript>
<div id="page"></div>
<script type="application/json" id="attune-data">{_inert(data)}</script>
{scripts}
</body>
</html>
""".encode()


def page_data(handover: Handover, program: str) -> dict[str, Any]:
    """What the page shows, as plain data."""
    content = handover.content
    return {
        "title": handover.title,
        "program": program,
        "made": datetime.now(UTC).date().isoformat(),
        "hidden": handover.hidden,
        "items": [_item(item, handover) for item in content.items if item.kind != "step"],
        "exhibits": {pin: _exhibit(pin, handover) for pin in content.pins if pin in handover.exhibits},
        "templates": TEMPLATES,
        "methods": paragraph(handover, program),
        "bibtex": bibtex(handover, program),
    }


def delta(one: Any, other: Any) -> list[list[Any]]:
    """What makes ``other`` of ``one``: paths with their new values, and paths alone of what goes."""
    changes: list[list[Any]] = []

    def walk(a: Any, b: Any, path: list[Any]) -> None:
        if isinstance(a, dict) and isinstance(b, dict):
            for key in a.keys() - b.keys():
                changes.append([[*path, key]])
            for key, part in b.items():
                if key in a:
                    walk(a[key], part, [*path, key])
                else:
                    changes.append([[*path, key], part])
        elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            if a != b:
                for n, (x, y) in enumerate(zip(a, b, strict=True)):
                    walk(x, y, [*path, n])
        elif a != b:
            changes.append([path, b])

    walk(one, other, [])
    return changes


def policy() -> str:
    """What the page lets run and be loaded, for the header of whoever serves it."""
    return _scripts()[1]


def base_size() -> int:
    """Bytes of a page without data."""
    return len(_scripts()[0].encode()) + len(_styles().encode()) + 1_000


def _item(item: Item, handover: Handover) -> dict[str, Any]:
    numbers, pins = numbers_of(handover.content, item), handover.pins_of(item)
    texts: dict[str, Any] = {name: item.body.get(name, "") for name in _SHOWN}
    return {
        "id": f"item-{item.id}",
        "kind": item.kind,
        "pins": [pin.id for pin in pins],
        "claim": html.escape(", ".join(dict.fromkeys(pin.title for pin in pins))),  # where none was written
        **{name: line(text, numbers) for name, text in texts.items() if text and name in ("title", "claim")},
        **{name: rendered(text, numbers) for name, text in texts.items() if text and name in ("note", "counter")},
    }


def _exhibit(pin: str, handover: Handover) -> dict[str, Any]:
    """The light exhibit with the checksums of what was frozen, and what differs in the dark one."""
    light, dark = (handover.exhibits[pin][theme] for theme in THEMES)
    kept = handover.content.pins[pin]
    sums = {f"SHA-256 of answer {n}": digest for n, digest in enumerate(kept.answers, 1)}
    if kept.figure:
        sums["SHA-256 of the figure"] = kept.figure
    plain = json.loads(json.dumps({**light, "address": "", "facts": {**light["facts"], **sums}}))
    other = json.loads(json.dumps({**dark, "address": "", "facts": {**dark["facts"], **sums}}))
    return {"light": plain, "dark": delta(plain, other)}


def _inert(text: str) -> str:
    """JSON that no parser of HTML sees markup in."""
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


@cache
def _scripts() -> tuple[str, str]:
    """The scripts as elements, and the policy that lets exactly these run."""
    bodies = [_script(path.read_text(encoding="utf-8")) for path in SCRIPTS]
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(b.encode()).digest()).decode()}'" for b in bodies)
    allowed = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return "\n".join(f"<script>{body}</script>" for body in bodies), allowed


def _script(text: str) -> str:
    """A script as the content of an element, which nothing in it ends; line ends as parsers leave them."""
    return re.sub(r"<(?=/script|!--|script)", r"\\x3c", text.replace("\r\n", "\n"), flags=re.IGNORECASE)


@cache
def _styles() -> str:
    return "\n".join(path.read_text(encoding="utf-8") for path in STYLES).replace("</", "<\\/")
