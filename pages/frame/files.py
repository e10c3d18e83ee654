"""Files of artefacts between browser and data folder: up and down as they are, in pieces, never whole in memory.

A file that comes up waits in the data folder under a name of its own until the worker has opened it; one that goes down
was written there by the worker and is gone once it was fetched.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dash import Dash
from flask import Response, abort, request, send_file

from analysis.asker import WHO
from analysis.disk import FULL
from analysis.engine.operation import Operation
from analysis.errors import UserError
from analysis.home import folder
from analysis.othello.sources import OthelloSource
from analysis.portable.header import FIELD, is_setup
from analysis.portable.ops.files import DeleteArtefact, OpenArtefact, SaveArtefact, SavePack, new_place, waiting
from analysis.portable.ops.hub import OpenFromHub, PushPack
from analysis.portable.pack import MAX_PACK
from analysis.qk.contrasts.spec import ContrastSpec
from components.kit.types import Json
from pages.common import client, spec_of
from pages.frame.api import answered, body, text_of
from pages.frame.uploads import Uploads

API = "/files/api"
UPLOADS = Uploads()
CHUNK = 1 << 20


def register_files(app: Dash) -> None:
    """Add the routes to the app's server."""
    for rule, route in _ROUTES.items():
        app.server.add_url_rule(API + rule, f"files_{route.__name__}", answered(route), methods=["POST"])
    app.server.add_url_rule(f"{API}/file/<token>", "files_file", file, methods=["GET"])


def _ask(operation: Operation[Any]) -> Json:
    """What an operation answers, as JSON."""
    return asdict(operation.answer_from(client().ask(operation)))


def save() -> Json:
    """Write the artefact that a page shows, or the pack of a model, to a file: {token, name, size}."""
    data = body()
    if data.get("artefact") == "pack":
        return _ask(SavePack(spec_of(data.get("model"))))
    contrast = data.get("contrast")
    if data.get("artefact") == "contrast" and not contrast:
        raise UserError("There is no feature in the list. Define and fit one first.", FIELD)
    source = text_of(data, "othello", 500)
    model = OthelloSource(source).spec if source else spec_of(data.get("model"))
    return _ask(
        SaveArtefact(
            model,
            text_of(data, "artefact"),
            text_of(data, "name"),
            ContrastSpec.from_dict(contrast) if contrast else None,
            text_of(data, "rotary") or "post",
            text_of(data, "layout") or "attune",
        )
    )


def open_upload() -> Json:
    """Open the file that is the body of this request: what became of it, or {setup: true} for a steering set-up, which
    is not opened here."""
    if request.mimetype != "application/octet-stream":  # which no form of another site can send without asking
        abort(415)
    try:
        model = spec_of(json.loads(request.args.get("model", "null")))
    except (ValueError, RecursionError):
        abort(400)
    request.max_content_length = MAX_PACK
    with UPLOADS.one(WHO.get(), request.content_length or 0):
        path = new_place("incoming")
        try:
            _receive(path)
            if is_setup(path):
                return {"setup": True}
            return _ask(OpenArtefact(model, path.name))
        finally:
            path.unlink(missing_ok=True)


def _receive(path: Path) -> None:
    if (request.content_length or 0) > shutil.disk_usage(folder("incoming")).free:
        raise UserError(FULL, FIELD)
    with path.open("xb") as target:
        while piece := request.stream.read(CHUNK):
            target.write(piece)


def delete() -> Json:
    """Delete an artefact of a model: {sentence}."""
    data = body()
    return _ask(DeleteArtefact(spec_of(data.get("model")), text_of(data, "artefact"), text_of(data, "name")))


def push() -> Json:
    """Push the pack of a model to a repository of the hub, which whoever pressed has been shown."""
    data = body()
    model, repository = spec_of(data.get("model")), text_of(data, "repository")
    return _ask(PushPack(model, repository, data.get("public") is not True))


def fetch() -> Json:
    """Open the pack of a repository of the hub: what became of it."""
    data = body()
    return _ask(OpenFromHub(spec_of(data.get("model")), text_of(data, "repository")))


_ROUTES = {"/save": save, "/open": open_upload, "/delete": delete, "/push": push, "/fetch": fetch}


def file(token: str) -> Response:
    """A file that waits to be fetched, once."""
    try:
        path = waiting("outgoing", token)
        content = path.open("rb")
    except (UserError, FileNotFoundError):
        abort(404)
    path.unlink(missing_ok=True)  # what is open can still be read
    name = "".join(c for c in Path(request.args.get("name", "")).name if c.isprintable())[:120] or "artefact"
    response = send_file(
        content, mimetype="application/octet-stream", as_attachment=True, download_name=name, conditional=False
    )
    response.content_length = os.fstat(content.fileno()).st_size
    response.headers["Cache-Control"] = "no-store"
    return response
