"""A board on its way out: gathered once, hidden as chosen, made into files. What was made is kept for a while, since a
dialog first shows how large each file is and then asks for one of them.
"""

from __future__ import annotations

import io
import json
import logging
import re
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from analysis import __version__
from analysis.engine.client import OperationFailed, Superseded, WorkerGone
from analysis.engine.keys import hash_of
from analysis.errors import Cancelled, UserError
from analysis.findings.export.bundle import write_bundle
from analysis.findings.export.handover import Exhibit, Handover, gather, without_speaker_notes
from analysis.findings.export.methods import bibtex, paragraph
from analysis.findings.export.notebook import notebook_of
from analysis.findings.export.redact import redact
from analysis.findings.export.tables import table_files
from analysis.findings.records import Pin
from analysis.findings.store import findings
from analysis.home import home
from analysis.mfa.ops.setup import SaveSetup
from analysis.mfa.settings import SteeringSettings
from analysis.models.spec import ModelSpec
from components.findings.again import followed
from components.findings.exhibit import exhibit
from pages.common import client
from pages.findings.checks import changes_of
from pages.findings.paper import pdf_of
from pages.findings.static_page import static_page

log = logging.getLogger(__name__)
MAX_CHOICES = 500
MAX_REPLACEMENT = 200
KEPT = 12
KEPT_BYTES = 128 << 20
"""Files that are kept in memory after they were made, and how large they may be together."""
_lock = threading.Lock()
_gathered: OrderedDict[str, Handover] = OrderedDict()
_made: OrderedDict[str, bytes] = OrderedDict()


@dataclass(frozen=True)
class Exit:
    """A way out of the house. ``words``: what it is, for the dialog; ``ending`` of the file and its ``mime`` type."""

    name: str
    title: str
    words: str
    ending: str
    mime: str
    make: Callable[[Handover], bytes]


def gathered(board: str) -> Handover:
    """A board with its exhibits in both themes, as it is now. UserError where there is none."""
    stamp = findings().board(board).board.stamp
    stale = _stale(board)
    key = hash_of([str(home()), board, stamp, stale])
    with _lock:
        if key in _gathered:
            _gathered.move_to_end(key)
            return _gathered[key]
    store = findings()
    checks = store.board(board).checks

    def draw(pin: Pin, theme: str) -> Exhibit:
        try:
            return dict(exhibit(pin, store, theme, checks.get(pin.id), stale.get(pin.id)))
        except UserError as error:  # a file of the figure is lost; all else that was pinned is there
            shown = exhibit(_without_figure(pin), store, theme, checks.get(pin.id), stale.get(pin.id))
            return {**shown, "frozen": error.message}

    made = gather(store, board, draw)
    made = replace(made, content=followed(made.content, store))  # numbers in prose, as the board says them
    with _lock:
        _gathered[key] = made
        while len(_gathered) > 2:
            _gathered.popitem(last=False)
    return made


def choices_of(data: Mapping[str, Any]) -> dict[str, str]:
    """The texts that a request hides, each with what stands in its place. UserError for what is no such list."""
    choices = data.get("choices") or {}
    if not isinstance(choices, dict) or len(choices) > MAX_CHOICES:
        raise UserError("The list of hidden texts cannot be read. Open the dialog again.")
    for name, instead in choices.items():
        if not re.fullmatch(r"[0-9a-f]{16}", str(name)) or not isinstance(instead, str):
            raise UserError("The list of hidden texts cannot be read. Open the dialog again.")
        if len(instead) > MAX_REPLACEMENT:
            raise UserError(f"What stands in the place of a text may have {MAX_REPLACEMENT} characters.", name)
    return choices


def file_of(way: Exit, board: str, choices: Mapping[str, str]) -> bytes:
    """The file of an exit, made or kept from before. UserError where it cannot be made."""
    handover = gathered(board)
    stale = {pin: drawn["light"]["stale"] for pin, drawn in handover.exhibits.items()}
    key = hash_of([str(home()), board, handover.content.board.stamp, stale, way.name, dict(choices)])
    with _lock:
        if key in _made:
            _made.move_to_end(key)
            return _made[key]
    body = way.make(redact(handover, choices))
    with _lock:
        _made[key] = body
        while len(_made) > 1 and (len(_made) > KEPT or sum(map(len, _made.values())) > KEPT_BYTES):
            _made.popitem(last=False)
    return body


def file_name(way: Exit, board: str, choices: Mapping[str, str]) -> str:
    """What the file is called: by the title of the board as it leaves, in letters that every system has."""
    title = redact(gathered(board), choices).title.casefold()
    words = "-".join(re.findall(r"[a-z0-9]+", title))[:60].strip("-")
    return f"{words or 'board'}{way.ending}"


def _stale(board: str) -> dict[str, str]:
    """By pin what has changed since it was pinned; nothing where the worker is not there to be asked."""
    if client().status().pid is None:
        return {}
    try:
        return changes_of(board)
    except (WorkerGone, OperationFailed, Cancelled, Superseded) as error:
        log.warning("it is not known what of board %s is stale: %s", board, error)
        return {}


def _without_figure(pin: Pin) -> Pin:
    return Pin.from_dict({**pin.to_dict(), "figure": ""})


def _page(handover: Handover) -> bytes:
    return static_page(without_speaker_notes(handover), __version__)


def _notebook(handover: Handover) -> bytes:
    return notebook_of(handover, __version__)


def _methods(handover: Handover) -> bytes:
    return paragraph(handover, __version__).encode()


def _references(handover: Handover) -> bytes:
    return bibtex(handover, __version__).encode()


def _tables(handover: Handover) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, body in table_files(handover).items():
            archive.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), body, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _bundle(handover: Handover) -> bytes:
    files = {
        "page.html": _page(handover),
        "notebook.ipynb": _notebook(handover),
        "methods.txt": _methods(handover),
        "methods.bib": _references(handover),
        **{f"tables/{name}": body for name, body in table_files(handover).items()},
        **{f"setups/{name}": body for name, body in _setups(handover).items()},
    }
    return write_bundle(handover, files, __version__)


def _setups(handover: Handover) -> dict[str, bytes]:
    """The steering set-ups of the pins that have one, as the Steering page saves them; only of models that are in
    memory, since a bundle is no reason to load one."""
    files = {}
    for n, pin in enumerate(handover.content.pins.values(), 1):
        if pin.id in handover.redacted:
            continue
        params = next((q["params"] for q in pin.ref.get("questions", ()) if "steer" in q.get("params", {})), None)
        if params is None:
            continue
        try:
            model = ModelSpec.from_dict(params.get("model"))
            if client().status().resident(model) is None:
                continue
            steer = SteeringSettings.from_dict(params["steer"])
            asked = SaveSetup(model, steer, json.dumps(_generation(params)))
            saved = asked.answer_from(client().ask(asked))
        except (UserError, WorkerGone, OperationFailed, Cancelled, Superseded, TypeError, KeyError) as error:
            log.warning("no set-up of pin %s in the bundle: %s", pin.id, error)
            continue
        files[f"view-{n}.attune.safetensors"] = saved.file.tobytes()
    return files


def _generation(params: Mapping[str, Any]) -> dict[str, Any]:
    """What a set-up says of the text that was written, by the names of the Steering page's fields."""
    names = {"steer-prompt": "text", "steer-chat": "chat", "count": "count", "temperature": "temperature",
             "top-p": "top_p", "seed": "seed"}  # fmt: skip
    return {field: params[name] for field, name in names.items() if name in params}


EXITS = {
    way.name: way
    for way in (
        Exit("page", "Static page", "one HTML file, interactive, without server or network", ".html",
             "text/html", _page),
        Exit("bundle", "Bundle", "a zip with all of it, that Attune opens again", ".zip",
             "application/zip", _bundle),
        Exit("notebook", "Notebook", "computes each finding again, compares the numbers", ".ipynb",
             "application/x-ipynb+json", _notebook),
        Exit("pdf", "PDF", "one finding a page, for paper or slides", ".pdf", "application/pdf",
             lambda handover: pdf_of(_page(handover))),
        Exit("tables", "Tables", "CSV and LaTeX of all tables and figures", "-tables.zip",
             "application/zip", _tables),
        Exit("methods", "Methods paragraph", "models, settings, controls, seeds, versions",
             "-methods.txt", "text/plain", _methods),
        Exit("references", "References", "the papers of the methods as BibTeX", ".bib", "text/plain", _references),
    )
}  # fmt: skip
"""All ways out, in the order of the dialog."""
