"""Routes by which a board leaves (what would leave, files, share links, pages for print), and a bundle comes in.

``/share/<name>`` is for people who have no access to anything else: it serves a file, with a policy of its own.
"""

from __future__ import annotations

import gzip
import html
import io
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from dash import Dash
from flask import Response, abort, current_app, request, send_file

from analysis.errors import UserError
from analysis.findings.export.bundle import keep, open_bundle
from analysis.findings.export.texts import texts_of
from analysis.findings.store import findings
from components.findings.board import board_data
from components.kit.links import local
from pages.findings import shared
from pages.findings.handovers import EXITS, choices_of, file_name, file_of, gathered
from pages.findings.paper import chromium
from pages.findings.static_page import policy
from pages.frame.api import answered, body

API = "/findings/api"
EMBED = "ATTUNE_EMBED"
"""In the server's configuration: the origins of other sites that may show a shared page inside theirs."""
_FOR_PRINT = 900.0
"""Seconds for which a page that was opened for print can be loaded again."""
_prints: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
_SENTENCE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Attune</title></head>
<body style="font: 16px/1.5 system-ui, sans-serif; max-width: 40em; margin: 15vh auto; padding: 0 1em">
<h1 style="font-size: 1.3em">{title}</h1><p>{text}</p></body></html>"""


def register_exits(app: Dash) -> None:
    """Add the routes to the app's server."""
    rules: list[tuple[str, str, Callable[..., Any]]] = [
        ("GET", "/export/<board>", show_exits),
        ("POST", "/export/<board>/sizes", sizes),
        ("POST", "/export/<board>/print", for_print),
        ("POST", "/export/<board>/share", share_board),
        ("POST", "/export/<board>/withdraw", withdraw_board),
        ("POST", "/export/<board>/file/<name>", export_file),
        ("POST", "/boards/from-bundle", import_bundle),
    ]
    for method, rule, route in rules:
        app.server.add_url_rule(API + rule, f"findings_{route.__name__}", answered(route), methods=[method])
    app.server.add_url_rule("/share/<name>", "findings_shared", show_shared)
    app.server.add_url_rule("/findings/print/<name>", "findings_printed", show_print)


def show_exits(board: str) -> Any:
    """The ways out of a board, the texts that would leave, and its link."""
    handover = gathered(board)
    name = findings().board(board).board.share
    return {
        "exits": [
            {"name": way.name, "title": way.title, "words": way.words}
            for way in EXITS.values()
            if way.name != "pdf" or chromium() is not None
        ],
        "texts": [
            {"id": text.id, "kind": text.kind, "text": text.text[:2_000], "where": text.where}
            for text in texts_of(handover)
        ],
        "pdf": chromium() is not None,
        "stamp": handover.content.board.stamp,
        "link": _link(name),
        "hidden": shared.hidden_in(name) if name else 0,
    }


def sizes(board: str) -> Any:
    """Bytes of each file, as it would leave now; of the PDF none, as it takes seconds to make."""
    choices = choices_of(body())
    return {"sizes": {name: len(file_of(way, board, choices)) for name, way in EXITS.items() if name != "pdf"}}


def export_file(board: str, name: str) -> Any:
    """A file of a board."""
    choices = _choices_of_list(board)
    if name not in EXITS:
        raise UserError("There is no such way to hand a board over.")
    way = EXITS[name]
    content = file_of(way, board, choices)
    return send_file(io.BytesIO(content), way.mime, as_attachment=True, download_name=file_name(way, board, choices))


def for_print(board: str) -> Any:
    """Where the page is to be opened, to be printed from the reader's own browser."""
    page = file_of(EXITS["page"], board, _choices_of_list(board))
    name = secrets.token_urlsafe(24)
    _prints[name] = (time.monotonic(), page)
    while len(_prints) > 4:
        _prints.popitem(last=False)
    return {"address": local(f"/findings/print/{name}")}


def share_board(board: str) -> Any:
    """Make the link of a board, or what it shows anew."""
    choices = _choices_of_list(board)
    link = _link(shared.share(board, choices))
    return {"link": link, "hidden": len(choices), "stamp": findings().board(board).board.stamp}


def withdraw_board(board: str) -> Any:
    """Let the link lead nowhere."""
    body()
    shared.withdraw(board)
    return {"link": "", "stamp": findings().board(board).board.stamp}


def import_bundle() -> Any:
    """A board from a bundle, whose bytes are the body. Other types than a zip are turned away, as a form of another
    site can send them without asking."""
    if request.mimetype != "application/zip":
        abort(415)
    board = keep(findings(), open_bundle(request.get_data(cache=False)))
    return {"board": board_data(board)}


def show_shared(name: str) -> Response:
    """What a link shows: the frozen board, read-only; a sentence where it leads nowhere."""
    try:
        page = shared.shared_page(name)
    except UserError:
        said = _SENTENCE.format(title="Nothing is shared here", text=html.escape(shared.gone().message))
        return _framed(Response(said, 404, mimetype="text/html"), "default-src 'none'; style-src 'unsafe-inline'")
    return _framed(_page(page), policy())


def show_print(name: str) -> Response:
    """A page that was made for print, for a while."""
    made, page = _prints.get(name, (0.0, b""))
    if not page or time.monotonic() - made > _FOR_PRINT:
        said = _SENTENCE.format(title="This page is gone", text="Open it again from the board.")
        return Response(said, 404, mimetype="text/html")
    response = Response(page, mimetype="text/html")
    response.headers["Content-Security-Policy"] = f"{policy()}; frame-ancestors 'none'"
    response.headers["Cache-Control"] = "no-store"
    return response


def _choices_of_list(board: str) -> dict[str, str]:
    """The texts that this request hides. UserError where the board has changed since the dialog listed its texts
    (``stamp``): what is new would leave without anybody having looked at it."""
    data = body()
    choices = choices_of(data)
    if data.get("stamp") not in (None, findings().board(board).board.stamp):
        raise UserError("The board has changed since its texts were listed here. Close this, and hand it over again.")
    return choices


def _page(packed: bytes) -> Response:
    """A page that is kept gzipped, as the browser takes it."""
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return Response(gzip.decompress(packed), mimetype="text/html")
    response = Response(packed, mimetype="text/html")
    response.headers["Content-Encoding"] = "gzip"
    response.headers["Vary"] = "Accept-Encoding"
    return response


def _framed(response: Response, allowed: str) -> Response:
    """With the policy of a page for others, which only named sites may show inside theirs."""
    origins = " ".join(current_app.config.get(EMBED, ())) or "'none'"
    response.headers["Content-Security-Policy"] = f"{allowed}; frame-ancestors {origins}"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Robots-Tag"] = "noindex"
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _link(name: str) -> str:
    return local(f"/share/{name}") if name else ""
