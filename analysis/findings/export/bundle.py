"""The bundle: a board with everything that it was made of, as one zip, and the board that is made of it again.

``manifest.json`` names the version of this format and the checksum of each other member. Arrays are safetensors, the
rest is JSON, PNG and text; nothing in it is code that is run when it is opened. Whoever opens a bundle gets new ids,
and the checks of another machine are left out: here they are to be made here.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import time
import uuid
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

from safetensors import SafetensorError
from safetensors.numpy import load, save

from analysis import foreign
from analysis.engine.question import Result
from analysis.errors import UserError
from analysis.findings.export.figures import check_figure, part_fault
from analysis.findings.export.handover import Handover
from analysis.findings.prose import TEXTS, renamed
from analysis.findings.records import Board, BoardContent, BoardKind, Body, Item, ItemKind, Pin
from analysis.findings.store import FindingStore
from analysis.findings.texts import check_address, check_body, check_png, check_text, check_title
from analysis.view_ref import ViewRef
from analysis.zipped import MAX_RATIO, SMALL, read_zip

FORMAT = 1
FIELD = "bundle"
NAMES = re.compile(
    r"manifest\.json|board\.json|(?:answers|figures)/[0-9a-f]{64}\.json|answers/[0-9a-f]{64}\.safetensors"
    r"|pictures/[0-9a-f]{64}\.png|setups/[\w-][\w.-]{0,120}\.safetensors|tables/[\w-][\w.-]{0,120}\.(?:csv|tex)"
    r"|(?:page\.html|notebook\.ipynb|methods\.txt|methods\.bib|README\.txt)",
    re.ASCII,
)
"""What a member of a bundle may be called."""
README = """A board of findings, made with Attune.

page.html      opens in any browser, without a server and without a network
notebook.ipynb computes the findings again, where Attune and the models are there
board.json     claims, notes and pins; answers/, figures/ and pictures/ hold what these name, by checksum
manifest.json  the SHA-256 of each file

Attune opens this zip on its Findings page.
"""
_MADE = (2020, 1, 1, 0, 0, 0)  # equal boards give equal bundles
_PIN: dict[str, Any] = {
    "id": str, "title": str, "ref": dict, "address": str, "caption": str, "theme": str, "made": float, "answers": list,
    "figure": str, "height": int, "parts": [{}], "control": (dict, None), "numbers": dict, "facts": dict,
    "picture": str, "window": dict, "models": [{}], "stamps": [{"operation": str, "model": str, "code": str,
    "files": str}], "version": str,
}  # fmt: skip


@dataclass(frozen=True)
class Bundle:
    """A bundle that was opened: the board, and ``files``, the other members that were handed over with it."""

    handover: Handover
    files: dict[str, bytes]


def write_bundle(handover: Handover, files: Mapping[str, bytes], version: str) -> bytes:
    """The zip of a board. ``files``: further members, such as "page.html"; ``version``: of Attune.

    Raises ValueError for a name that no bundle has.
    """
    content = handover.content
    board = {
        "title": content.board.title,
        "kind": content.board.kind,
        "items": [{"kind": item.kind, "body": item.body} for item in content.items],
        "pins": {name: pin.to_dict() for name, pin in content.pins.items()},
        "checks": {name: asdict(check) for name, check in content.checks.items()},
    }
    members: dict[str, bytes] = {"board.json": _json(board), "README.txt": README.encode()}
    for digest, answer in handover.answers.items():
        members[f"answers/{digest}.json"] = _json(answer.data)
        if answer.arrays:
            members[f"answers/{digest}.safetensors"] = save(answer.arrays)
    members |= {f"figures/{digest}.json": _json(figure) for digest, figure in handover.figures.items()}
    members |= {f"pictures/{digest}.png": picture for digest, picture in handover.pictures.items()}
    members |= files
    unknown = next((name for name in members if not NAMES.fullmatch(name)), None)
    if unknown is not None:
        raise ValueError(f"no bundle has a member {unknown!r}")
    sums = {name: hashlib.sha256(body).hexdigest() for name, body in members.items()}
    manifest = {"format": FORMAT, "made_by": f"Attune {version}", "hidden": handover.hidden, "sha256": sums}
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name, body in {"manifest.json": _json(manifest), **members}.items():
            info = zipfile.ZipInfo(name, _MADE)
            info.external_attr = 0o100644 << 16
            archive.writestr(info, body, _method(name, body))
    return out.getvalue()


def open_bundle(source: bytes | Path) -> Bundle:
    """Read a bundle, and check all of it. Raises UserError("bundle") with a sentence on what is wrong."""
    members = read_zip(source, NAMES, FIELD)
    _check_manifest(members)
    board = _object(members.pop("board.json"), "The file board.json")
    fault = foreign.misfit(board, {"title": str, "kind": str, "items": [{}], "pins": dict})
    if fault or not {"title", "kind", "items", "pins"} <= board.keys():
        raise UserError(f"The board of this bundle cannot be used: {fault or 'it lacks a part'}.", FIELD)
    if board["kind"] not in get_args(BoardKind):
        raise UserError("The board of this bundle is of a kind that this version of Attune does not know.", FIELD)
    pins = {str(name): _pin(name, data) for name, data in board["pins"].items()}
    content = BoardContent(
        Board("", check_title(board["title"]), board["kind"], time.time(), time.time(), 0),
        tuple(_item(n, row, pins) for n, row in enumerate(board["items"])),
        pins,
        {},
    )
    answers, figures, pictures, files = {}, {}, {}, {}
    for name, body in members.items():
        folder, _, last = name.rpartition("/")
        digest = last.partition(".")[0]
        if folder == "answers" and name.endswith(".json"):
            answers[digest] = _answer(body, members.get(f"answers/{digest}.safetensors"))
        elif folder == "figures":
            figures[digest] = check_figure(foreign.parse_json(body, FIELD, "A figure of this bundle"), FIELD)
        elif folder == "pictures":
            check_png(body)
            pictures[digest] = body
        elif folder != "answers":
            files[name] = body
    return Bundle(Handover(content, answers, figures, pictures), files)


def keep(store: FindingStore, bundle: Bundle) -> Board:
    """Make the board of a bundle again, with new ids. Raises UserError, and has then kept no board."""
    handover = bundle.handover
    answers = {digest: store.put_answer(answer) for digest, answer in handover.answers.items()}
    figures = {digest: store.put_json(figure) for digest, figure in handover.figures.items()}
    pins: dict[str, str] = {}
    board = store.new_board(handover.title, handover.content.board.kind)
    try:
        for name, pin in handover.content.pins.items():
            whole = all(digest in answers for digest in pin.answers)
            made = replace(
                pin,
                id=uuid.uuid4().hex,
                answers=tuple(answers[digest] for digest in pin.answers) if whole else (),
                figure=figures.get(pin.figure, ""),
                picture="",
            )
            pins[name] = store.put_pin(made).id
            if pin.picture in handover.pictures:
                store.set_picture(made.id, handover.pictures[pin.picture])
        for item in handover.content.items:
            store.add(board.id, item.kind, _led(item.body, pins))
    except Exception:
        store.drop_board(board.id)
        raise
    return store.board(board.id).board


def _led(body: Body, pins: Mapping[str, str]) -> Body:
    """The content of an item with its pins, and the numbers of pins in its texts, led to the new ones."""
    led = {name: renamed(text, pins) if name in TEXTS else text for name, text in body.items()}  # type: ignore[arg-type]
    if "pins" in body:
        led["pins"] = [pins[name] for name in body["pins"]]
    return cast(Body, led)


def _json(data: Any) -> bytes:
    return json.dumps(data, ensure_ascii=False, allow_nan=False, indent=1).encode()


def _method(name: str, body: bytes) -> int:
    """Pictures are packed already; what is as regular as a bomb would be refused when it is opened."""
    regular = len(body) > SMALL and len(zlib.compress(body, 1)) * MAX_RATIO < 2 * len(body)
    return zipfile.ZIP_STORED if regular or name.endswith(".png") else zipfile.ZIP_DEFLATED


def _object(body: bytes, name: str) -> dict[str, Any]:
    """``name``: what it is called in a sentence."""
    data = foreign.parse_json(body, FIELD, f"{name} of this bundle")
    if not isinstance(data, dict):
        raise UserError(f"{name} of this bundle holds no record. It was not opened.", FIELD)
    return data


def _check_manifest(members: dict[str, bytes]) -> None:
    """Takes the manifest out of the members, which are then exactly those that it names, unchanged."""
    if "manifest.json" not in members or "board.json" not in members:
        raise UserError("This zip is no bundle of Attune: it lacks its manifest or its board.", FIELD)
    manifest = _object(members.pop("manifest.json"), "The file manifest.json")
    if manifest.get("format") != FORMAT:
        told = str(manifest.get("format"))[:20]
        raise UserError(f"This bundle is of format {told}; this version of Attune reads format {FORMAT}.", FIELD)
    sums = manifest.get("sha256")
    if not isinstance(sums, dict) or sums.keys() != members.keys():
        raise UserError("The members of this bundle are not those that its manifest names.", FIELD)
    for name, body in members.items():
        if hashlib.sha256(body).hexdigest() != sums[name]:
            raise UserError(
                f"The file {name} of this bundle was changed after it was written: its checksum is another.", FIELD
            )


def _answer(body: bytes, arrays: bytes | None) -> Result:
    data = _object(body, "An answer")
    try:
        return Result(data, dict(load(arrays)) if arrays else {})
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise UserError("The arrays of an answer of this bundle are no arrays.", FIELD) from error


def _pin(name: str, data: Any) -> Pin:
    if not isinstance(data, dict):
        raise UserError("A pin of this bundle cannot be read.", FIELD)
    fault = foreign.misfit(data, _PIN)
    numbers = data.get("numbers")
    if not fault and isinstance(numbers, dict):
        fault = foreign.misfit(numbers, dict.fromkeys(numbers, float))
    if not fault and not all(isinstance(digest, str) for digest in data.get("answers", ())):
        fault = "“answers” are no checksums"
    fault = fault or next((f for part in data.get("parts", ()) if (f := part_fault(part))), "")
    control = data.get("control")
    if not fault and control is not None:
        fault = foreign.misfit(control, {"name": str, "text": str, "numbers": dict})
        fault = fault or ("" if {"name", "text"} <= control.keys() else "its control lacks a part")
    if fault:
        raise UserError(f"A pin of this bundle cannot be used: {fault}.", FIELD)
    try:
        pin = Pin.from_dict(data)
    except TypeError as error:
        raise UserError("A pin of this bundle lacks a part, or has one that no pin has.", FIELD) from error
    ViewRef.from_dict(pin.ref)
    check_address(pin.address)
    check_text(pin.title, "title of a pin", 200, FIELD)
    return pin


def _item(place: int, row: dict[str, Any], pins: Mapping[str, Pin]) -> Item:
    kind, body = row.get("kind"), row.get("body")
    if kind not in get_args(ItemKind) or not isinstance(body, dict):
        raise UserError("An item of this bundle cannot be read.", FIELD)
    kind, checked = check_body(kind, body)
    if any(pin not in pins for pin in checked.get("pins", [])):
        raise UserError("A finding of this bundle names a pin that is not in it.", FIELD)
    return Item("", "", kind, float(place), 1, checked, 0.0)
