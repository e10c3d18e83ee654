"""Texts of the user's own that a form takes in: a file, or the name of a dataset, becomes an entry of its list."""

from __future__ import annotations

import base64
import binascii

from analysis.corpora.sources import MIN_WORDS
from analysis.mfa.ops.fit import KeepTexts
from components.kit.panels import user_error
from components.kit.types import Json, Node
from pages.common import ask_for

BUNDLED = {"label": "bundled corpus", "value": "bundled"}
MOST = 32 << 20
"""Bytes of a file that the browser sends."""


def file_of(contents: str | None, name: str | None, least: int = MIN_WORDS) -> KeepTexts | None:
    """What keeps an uploaded file; None for one that is no text. ``least``: how many words it must have."""
    try:
        raw = base64.b64decode((contents or "").partition(",")[2], validate=True)
        return KeepTexts(name=(name or "text.txt")[:120], text=raw.decode("utf-8"), least=least)
    except (binascii.Error, ValueError):
        return None


def listed(keep: KeepTexts | None, options: Json) -> tuple[Json, str | None, Node]:
    """The list of texts with those that are kept now, which of its entries that is, and a sentence on what is in it;
    for a refusal the list as it was, None, and why."""
    if keep is None:
        return options, None, user_error("That file is not UTF-8 text. Save it as UTF-8 and try again.")
    reply, panel = ask_for(lambda: keep)
    if reply is None:
        return options, None, panel
    texts = reply.answer
    rest = [option for option in options if option["value"] != texts.source]
    return [*rest, {"label": texts.label, "value": texts.source}], texts.source, texts.sentence
