"""What pages put into their addresses: texts too long for one are kept as files, and nothing read is trusted."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any
from urllib.parse import parse_qsl, quote_plus, urlencode, urlsplit

from analysis import foreign
from analysis.artefacts import write_whole
from analysis.asker import LOOKING
from analysis.errors import UserError
from analysis.home import folder
from analysis.models.prompts import LONG_CHARACTERS, check_prompt
from analysis.models.spec import ModelSpec

LONG_TEXT, LONG_QUOTED = 1500, 4500
"""Characters of a text in an address: as it is, and as the address quotes it, where a letter may take nine. With three
such texts and all else a page's address stays below what a pin keeps (analysis/findings/texts.py)."""
MAX_JSON = 30_000_000
_HASH = re.compile(r"@[0-9a-f]{64}")


def remember(text: str, longest: int = LONG_TEXT) -> str:
    """What stands for a text in an address: itself up to ``longest`` characters and LONG_QUOTED quoted ones, else
    ``@hash`` of a file with it."""
    if len(text) <= longest and len(quote_plus(text, errors="replace")) <= LONG_QUOTED and not text.startswith("@"):
        return text
    if LOOKING.get():
        return ""  # who may only look leaves no files; the address goes without the text
    body = text.encode("utf-8", "replace")  # as bytes, so that line ends stay as they are
    name = hashlib.sha256(body).hexdigest()
    if not recall("@" + name):
        write_whole(folder("texts") / name, body)
    return "@" + name


def recall(text: str) -> str:
    """The prompt behind what :func:`remember` gave; empty if its file is not in this data folder, or holds another."""
    if not _HASH.fullmatch(text):
        return text
    try:
        body = foreign.read_bytes(folder("texts") / text[1:], MAX_JSON, "text")
    except UserError:
        return ""
    return body.decode("utf-8", "replace") if hashlib.sha256(body).hexdigest() == text[1:] else ""


def parse_json(text: Any) -> Any:
    """The value of a JSON text from an address; None if it is none, or holds what no data does (see foreign). Each page
    refuses numbers that it cannot use by itself, so that the rest of the address is kept."""
    if not isinstance(text, str) or len(text) >= MAX_JSON:
        return None
    try:
        return foreign.parse_json(text, "address", "it", any_number=True)
    except UserError:
        return None


def short(value: Any) -> str:
    """What stood in an address, quoted and cut, for a sentence that refuses it."""
    return repr(str(value)[:20])


def link_to(address: str, model: ModelSpec, text: str, chat: bool, generate: int) -> str:
    """The address of a prompt that is only being read: the given one with that prompt in it, and no token chosen."""
    try:
        check_prompt(text, LONG_CHARACTERS)
    except UserError:
        return "/attention"
    query = dict(parse_qsl(urlsplit(address).query))
    for name in ("query", "key", "chat"):
        query.pop(name, None)
    query |= {"model": json.dumps(model.to_dict()), "text": remember(text), "generate": str(generate)}
    return "/attention?" + urlencode(query | ({"chat": "true"} if chat else {}))
