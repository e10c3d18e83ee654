"""A conversation as the browser keeps it: a tree of turns, of which one path is shown. Checked when it comes from an
address or a file, since neither is trusted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from analysis.errors import UserError
from analysis.fields import number, whole
from analysis.mfa.turns import TurnSetting
from analysis.steering.room import MAX_WRITTEN
from components.kit.types import Json
from pages.address import parse_json, recall, remember
from pages.state import Entry

KIND, FORMAT = "attune conversation", 1
MAX_NODES = 300
_HOW = {"count": (1, MAX_WRITTEN), "seed": (0, 2**31 - 1)}
_REAL = {"temperature": (0.0, 2.0), "top_p": (0.05, 1.0)}


def conversation_of(data: Json) -> Json:
    """The conversation in data that nobody has checked: ``nodes`` (id, parent, user, reply, ids, steer, and of a
    written reply the unsteered one with its ids, how it was written and its price), the ``leaf`` of the path that is
    shown, ``other`` beside it, and the ``system`` instruction. Raises UserError.
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
    system = data.get("system", "")
    if not isinstance(system, str) or len(system) > 5_000:
        raise UserError("The instruction of a conversation is a text of at most 5,000 characters.")
    return {"nodes": nodes, "leaf": leaf, "other": other, "system": system}


def _node(row: Json) -> Json:
    if not isinstance(row, dict):
        raise UserError("A turn of a conversation is an object with named fields.")
    turn = TurnSetting.from_dict({name: row[name] for name in ("user", "reply", "ids", "steer") if name in row})
    base = TurnSetting.from_dict({"user": "", "reply": row.get("base") or "", "ids": row.get("base_ids") or []})
    index, parent = row.get("id"), row.get("parent")
    whole(index, 0, 10**6, "id", "A turn's number")
    if parent is not None:
        whole(parent, 0, 10**6, "parent", "A turn's number")
    node = {"id": index, "parent": parent, **turn.to_dict(), "base": base.reply, "base_ids": list(base.ids)}
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
    """A conversation in an address: a long one is kept as a file of the data folder, named by its hash."""

    def load(self, text: str) -> Any:
        known = recall(text)
        if not known:
            raise UserError("The conversation that the address names is not in this data folder.")
        try:
            return conversation_of(parse_json(known))
        except UserError as error:
            raise UserError(f"The conversation of the address was left out. {error.message}") from error

    def dump(self, value: Any) -> Any:
        return kept(value)

    def examples(self) -> tuple[Any, ...]:
        turn = {"id": 0, "parent": None, **TurnSetting("Hello <b>", "Hi.", (3, 4)).to_dict()}
        node = turn | {"base": "Ho.", "base_ids": [5], "how": {"count": 4, "seed": 1, "temperature": 0.5, "top_p": 1.0}}
        return ({"nodes": [node, turn | {"id": 1, "parent": 0, "base": "", "base_ids": []}], "leaf": 1, "other": 0,
                 "system": "Be brief."}, None)  # fmt: skip


def kept(data: Json) -> str:
    """What stands for a conversation in an address; "" for an empty one."""
    return remember(json.dumps(data, separators=(",", ":"))) if data and data.get("nodes") else ""
