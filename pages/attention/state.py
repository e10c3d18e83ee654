"""What the address of the Attention page says, read defensively: anything odd falls back to the default.

The names are those that the page writes back (see ADDRESS), so that a copied link reopens the view. A prompt too long
for an address is kept as a file in the data folder and named by its hash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from analysis.errors import UserError, empty_number, is_empty
from analysis.models.spec import ModelSpec
from analysis.qk.contrasts import PRESET_PROMPTS
from analysis.qk.contrasts.spec import ContrastSpec
from pages.address import parse_json, recall

PATH = "/attention"
# The state that travels in the address, in the order of the inputs of the address callback.
ADDRESS = [
    "model",
    "text",
    "chat",
    "generate",
    "head",
    "query",
    "key",
    "features",
    "active",
    "manual",
    "rank",
    "side",
    "reference",
    "tab",
    "score",
]
TABS = ("why", "swap", "evidence", "map", "overlap")


@dataclass(frozen=True)
class View:
    """The page's state at opening."""

    model: dict[str, Any] | None = None
    text: str = PRESET_PROMPTS[0]["text"]
    chat: bool = False
    generate: int = 0
    head: dict[str, int] | None = None
    query: int | None = None
    key: int | None = None
    features: list[dict[str, Any]] = field(default_factory=lambda: [ContrastSpec("induction").to_dict()])
    active: int = 0
    manual: bool = False
    rank: int = 8
    side: str = "query"
    reference: str = "others"
    tab: str = "why"
    score: str = "induction"


def read_address(query: dict[str, Any]) -> View:
    """A view from the query of an address; unknown or broken entries are left at their defaults."""
    fields: dict[str, Any] = {}
    model = parse_json(query.get("model"))
    if isinstance(model, dict):
        try:
            fields["model"] = ModelSpec.from_dict(model).to_dict()
        except UserError:
            pass
    if isinstance(query.get("text"), str) and query["text"]:
        fields["text"] = recall(query["text"])
    for name in ("chat", "manual"):
        fields[name] = query.get(name) == "true"
    for name, high in (("generate", 200), ("query", 10**6), ("key", 10**6), ("active", 5), ("rank", 4096)):
        value = _whole(query.get(name))
        if value is not None and 0 <= value <= high:
            fields[name] = value
    head = parse_json(query.get("head"))
    if isinstance(head, dict) and all(isinstance(head.get(k), int) and head[k] >= 0 for k in ("layer", "head")):
        fields["head"] = {"layer": head["layer"], "head": head["head"]}
    features = parse_json(recall(query["features"])) if isinstance(query.get("features"), str) else None
    if isinstance(features, list):
        fields["features"] = [f for f in map(_feature, features[:6]) if f]
    for name, allowed in (
        ("side", ("query", "key", "both")),
        ("reference", ("others", "token", "none")),
        ("tab", TABS),
    ):
        if query.get(name) in allowed:
            fields[name] = query[name]
    if isinstance(query.get("score"), str) and len(query["score"]) < 40:
        fields["score"] = query["score"]
    return View(**fields)


def rank_of(rank: Any, manual: bool) -> int:
    """The rank that is set by hand, or -1 for the energy rule's. Raises UserError for an emptied one."""
    if not manual:
        return -1
    if is_empty(rank):
        raise empty_number("The rank", "a whole number from 1, or let the energy rule choose it", "rank")
    return int(rank)


def features_of(data: Any) -> tuple[ContrastSpec, ...]:
    """The contrasts in the page's store."""
    return tuple(ContrastSpec.from_dict(f) for f in data or [])


def _feature(data: Any) -> dict[str, Any] | None:
    try:
        return ContrastSpec.from_dict(data).to_dict()
    except UserError:
        return None


def _whole(text: Any) -> int | None:
    return int(text) if isinstance(text, str) and re.fullmatch(r"-?\d{1,7}", text) else None
