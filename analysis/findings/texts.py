"""What people write on boards, and what browsers send as pictures: refused in words before it is kept.

Texts stay as they were typed. Refused are only those that could not be kept or sent on (NUL, half of a character pair),
those that are too long, and addresses that lead out of Attune: a pin or a step opens a page of this house.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import Any, cast, get_args

from analysis.errors import UserError
from analysis.findings.records import BoardKind, Body, ItemKind

MAX_TITLE = 200
MAX_CLAIM = 500
MAX_NOTE = 200_000
MAX_ADDRESS = 16_000
MAX_ITEMS = 2_000
MAX_PINS = 24
MAX_PICTURE = 4 << 20
_LIMITS = {
    "title": ("title", MAX_TITLE),
    "claim": ("claim", MAX_CLAIM),
    "note": ("note", MAX_NOTE),
    "counter": ("counter-example", MAX_NOTE),
    "speaker": ("speaker note", MAX_NOTE),
    "address": ("address", MAX_ADDRESS),
    "card": ("card's name", MAX_TITLE),
}
_PNG = b"\x89PNG\r\n\x1a\n"


def check_text(text: Any, what: str, limit: int, field: str) -> str:
    """A text that can be kept. ``limit``: characters. UserError(field) otherwise."""
    if not isinstance(text, str):
        raise UserError(f"The {what} is no text.", field)
    if "\0" in text:
        raise UserError(f"The {what} has a NUL character in it. Take it out.", field)
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise UserError(f"The {what} has half of a character in it, which cannot be kept. Take it out.", field)
    if len(text) > limit:
        raise UserError(f"The {what} is {len(text):,} characters long; it may have {limit:,}. Shorten it.", field)
    return text


def check_title(title: Any) -> str:
    """The title of a board, without blanks around it. UserError(field="title") for an empty one."""
    text = check_text(title, "title", MAX_TITLE, "title").strip()
    if not text:
        raise UserError("A board needs a title. Type one.", "title")
    return text


def check_board_kind(kind: Any) -> BoardKind:
    """UserError for no kind of board."""
    if kind not in get_args(BoardKind):
        raise UserError("There is no such kind of board.")
    return cast(BoardKind, kind)


def check_body(kind: Any, body: Any) -> tuple[ItemKind, Body]:
    """Kind and content of an item. UserError with the field's name for what cannot be kept."""
    if kind not in get_args(ItemKind):
        raise UserError("There is no such kind of item.")
    if not isinstance(body, dict):
        raise UserError("The content of an item cannot be read.")
    unknown = body.keys() - _LIMITS.keys() - {"pins"}
    if unknown:
        raise UserError(f"An item has no field {str(sorted(map(str, unknown))[0])[:40]!r}.")
    for name, (what, limit) in _LIMITS.items():
        if name in body:
            check_text(body[name], what, limit, name)
    if body.get("address"):
        check_address(body["address"])
    pins = body.get("pins", [])
    if not isinstance(pins, list) or not all(isinstance(pin, str) and len(pin) <= 64 for pin in pins):
        raise UserError("The pins of a finding cannot be read.", "pins")
    if len(pins) > MAX_PINS:
        raise UserError(f"A finding holds at most {MAX_PINS} pins. Make a second one.", "pins")
    return cast(ItemKind, kind), cast(Body, body)


def check_address(address: Any) -> str:
    """Path and query of a page of Attune; empty is none. UserError(field="address") for one that leads elsewhere."""
    text = check_text(address, "address", MAX_ADDRESS, "address")
    inside = text.startswith("/") and not text.startswith("//")
    if text and (not inside or "\\" in text or any(ord(c) < 33 or ord(c) == 127 for c in text)):
        raise UserError("An address of a finding begins with / and leads to a page of Attune.", "address")
    return text


def json_bytes(data: Any) -> bytes:
    """Plain data as JSON, names in their own order: some views draw in it. ValueError for numbers that are not finite,
    UserError for half of a character, which no file keeps."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise UserError("There is half of a character in a text of this view, which cannot be kept.") from error


def check_png(body: Any) -> None:
    """A whole PNG and nothing after it. UserError(field="picture") otherwise."""
    if not isinstance(body, bytes) or not body.startswith(_PNG):
        raise UserError("This picture is no PNG.", "picture")
    if len(body) > MAX_PICTURE:
        raise UserError(f"This picture is {len(body) / 1e6:.1f} MB large; at most {MAX_PICTURE / 1e6:.1f} MB are kept.")
    at = len(_PNG)
    names: list[bytes] = []
    while at + 12 <= len(body) and names[-1:] != [b"IEND"]:
        length, name = struct.unpack(">I4s", body[at : at + 8])
        end = at + 12 + length
        if end > len(body) or zlib.crc32(body[at + 4 : end - 4]) != struct.unpack(">I", body[end - 4 : end])[0]:
            break
        names.append(name)
        at = end
    if at != len(body) or names[:1] != [b"IHDR"] or names[-1:] != [b"IEND"]:
        raise UserError("This picture is damaged or cut off.", "picture")
