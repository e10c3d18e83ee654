"""A conversation as the browser keeps it: a tree of turns, of which one path is shown. Checked when it comes from an
address or a file, since neither is trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from analysis.errors import UserError
from analysis.fields import number, whole
from analysis.mfa.turns import TurnSetting
from analysis.steering.room import MAX_WRITTEN
from components.kit.types import Json
from pages.address import LONG_TEXT, parse_json, recall, remember
from pages.state import Entry

KIND, FORMAT = "attune conversation", 1
MAX_NODES = 300
_SYSTEM = 5_000
_IDS = re.compile(r"[0-9]{1,8}( [0-9]{1,8})*")
_HOW = {"count": (1, MAX_WRITTEN), "seed": (0, 2**31 - 1)}
_REAL = {"temperature": (0.0, 2.0), "top_p": (0.05, 1.0)}


def conversation_of(data: Json) -> Json:
    """The conversation in data that nobody has checked: ``nodes`` (id, parent, user, reply, ids, steer, and of a
    written reply the unsteered one with its ids, how it was written, its price and the instruction it was written
    under), the ``leaf`` of the path that is shown, ``other`` beside it, and the ``system`` instruction. Ids come as a
    string with blanks between them, as the browser keeps them, or as a list. Raises UserError.
    """
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list):
        raise UserError("This is not a conversation of Attune.")
    if len(data["nodes"]) > MAX_NODES:
        raise UserError(f"A conversation has at most {MAX_NODES} turns, branches included.")
    nodes: list[Json] = []
    for row in data["nodes"]:
        node = _node(row)
        known = {n["id"] for n in nodes}
        if node["id"] in known or (node["parent"] is not None and node["parent"] not in known):
            raise UserError("The turns of this conversation do not follow each other.")
        nodes.append(node)
    known = {n["id"] for n in nodes}
    leaf, other = (data.get(name) if data.get(name) in known else None for name in ("leaf", "other"))
    return {"nodes": nodes, "leaf": leaf, "other": other, "system": _system(data.get("system", ""))}


def _system(text: Json) -> str:
    if not isinstance(text, str) or len(text) > _SYSTEM:
        raise UserError(f"The instruction of a conversation is a text of at most {_SYSTEM:,} characters.")
    return text


def _ids(value: Json) -> Json:
    """A string of ids as the list that it stands for; anything else as it is."""
    if not isinstance(value, str) or not value:
        return value or []
    if len(value) > 9 * MAX_WRITTEN or not _IDS.fullmatch(value):
        raise UserError("The tokens of a reply come as ids with blanks between them.")
    return [int(i) for i in value.split(" ")]


def _spelled(ids: Sequence[int]) -> str:
    return " ".join(map(str, ids))


def _node(row: Json) -> Json:
    if not isinstance(row, dict):
        raise UserError("A turn of a conversation is an object with named fields.")
    given = {name: row[name] for name in ("user", "reply", "steer") if name in row}
    turn = TurnSetting.from_dict({**given, "ids": _ids(row.get("ids"))})
    base = TurnSetting.from_dict({"user": "", "reply": row.get("base") or "", "ids": _ids(row.get("base_ids"))})
    index, parent = row.get("id"), row.get("parent")
    whole(index, 0, 10**6, "id", "A turn's number")
    if parent is not None:
        whole(parent, 0, 10**6, "parent", "A turn's number")
    node = {"id": index, "parent": parent, **turn.to_dict(), "base": base.reply}
    node |= {"ids": _spelled(turn.ids), "base_ids": _spelled(base.ids)}
    if row.get("system") is not None:
        node["system"] = _system(row["system"])
    how = row.get("how")
    if isinstance(how, dict):
        for name, (low, high) in _HOW.items():
            whole(how.get(name), low, high, name, f"The {name} of a turn")
        for name, ends in _REAL.items():
            number(how.get(name), *ends, name, f"The {name} of a turn")
        node["how"] = {name: how[name] for name in (*_HOW, *_REAL)}
    if row.get("kl") is not None:
        number(row["kl"], 0.0, 1e6, "kl", "The KL of a turn")
        node["kl"] = row["kl"]
    return node


@dataclass(frozen=True)
class Talk(Entry):
    """A conversation in an address: a long one is kept as files of the data folder, named by their hashes, one for each
    turn and one that lists them. So a change adds a turn and a list, however long the conversation is."""

    def load(self, text: str) -> Any:
        known = recall(text)
        if not known:
            raise UserError("The conversation that the address names is not in this data folder.")
        try:
            return conversation_of(_whole(parse_json(known)))
        except UserError as error:
            raise UserError(f"The conversation of the address was left out. {error.message}") from error

    def dump(self, value: Any) -> Any:
        return kept(value)

    def examples(self) -> tuple[Any, ...]:
        turn = {"id": 0, "parent": None, **TurnSetting("Hello <b>", "Hi.").to_dict(), "ids": "3 4"}
        how = {"count": 4, "seed": 1, "temperature": 0.5, "top_p": 1.0}
        node = turn | {"base": "Ho.", "base_ids": "5", "how": how, "system": ""}
        long = turn | {"id": 1, "parent": 0, "base": "", "base_ids": "", "reply": "word " * LONG_TEXT}
        more = {"leaf": 1, "other": 0, "system": "Be brief."}
        return ({"nodes": [node, turn | {"id": 1, "parent": 0, "base": "", "base_ids": ""}], **more},
                {"nodes": [node, long], **more}, None)  # fmt: skip


def kept(data: Json) -> str:
    """What stands for a conversation in an address; "" for an empty one."""
    if not data or not data.get("nodes"):
        return ""
    text = _json(data)
    if len(text) <= LONG_TEXT:
        return text
    rows = [remember(_json(node), 0) for node in data["nodes"]]
    return remember(_json({**data, "nodes": rows}), 0) if all(rows) else ""  # who may only look leaves no files


def _json(data: Json) -> str:
    return json.dumps(data, separators=(",", ":"))


def _whole(data: Json) -> Json:
    """A conversation whose turns may be names of files. Raises UserError for a file that is gone."""
    if not isinstance(data, dict) or not isinstance(data.get("nodes"), list):
        return data
    nodes = []
    for row in data["nodes"][: MAX_NODES + 1]:
        text = recall(row) if isinstance(row, str) else ""
        if isinstance(row, str) and not text:
            raise UserError("A turn of it is not in this data folder.")
        nodes.append(parse_json(text) if text else row)
    return {**data, "nodes": nodes}
