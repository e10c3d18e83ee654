"""What the address of the MLP features page says, read defensively: what cannot be used is left out, and said."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pages.address import model_fields, number_of, parse_json, recall, short

PATH = "/mlp-features"
# The state that travels in the address, in the order of the inputs of the address callback.
ADDRESS = [
    "model", "fit", "feature", "with", "tab", "text", "threshold", "root", "prompt", "pole", "target",
]  # fmt: skip
TABS = ("reading", "overlap", "tree", "steer", "detection", "about", "fit")
START_TEXT = "The surgeon washed her hands, and on Monday they flew to Paris for dinner."
START_PROMPT = "I think that"
FEWEST, MOST = 2, 8
"""How many features can be compared with one another."""


@dataclass(frozen=True)
class View:
    """The page's state at opening. ``fit`` "": the first of the model; ``feature`` None: the best detected one."""

    model: dict[str, Any] | None = None
    fit: str = ""
    feature: int | None = None
    members: list[int] = field(default_factory=list)
    tab: str = "reading"
    text: str = START_TEXT
    threshold: float = 0.15
    root: str | None = None
    prompt: str = START_PROMPT
    pole: int = 1
    target: float = 0.25
    problems: list[str] = field(default_factory=list)


def read_address(query: dict[str, Any]) -> View:
    """A view from the query of an address, with a sentence for each entry that could not be used."""
    problems: list[str] = []
    fields = model_fields(query, problems)
    if isinstance(query.get("fit"), str):
        fields["fit"] = query["fit"][:100]
    for name in ("text", "prompt"):
        if isinstance(query.get(name), str) and query[name]:
            found = recall(query[name])
            if found:
                fields[name] = found
            else:
                problems.append(f"The {name} that the address names is not in this data folder; the usual one is here.")
    for name, kind, low, high in (
        ("feature", int, 0, 1_000_000),
        ("threshold", float, 0.0, 1.0),
        ("target", float, 0.001, 20.0),
    ):
        if query.get(name) is not None:
            value = number_of(query[name], kind)
            if value is None or not low <= value <= high:
                problems.append(f"The address gives {name} as {short(query[name])}; it must be {low:g} to {high:g}.")
            else:
                fields[name] = value
    if query.get("with") is not None:
        fields["members"] = _members(parse_json(query["with"]), problems)
    for name, allowed in (("tab", {t: t for t in TABS}), ("pole", {"1": 1, "-1": -1})):
        if query.get(name) is not None:
            if isinstance(query[name], str) and query[name] in allowed:
                fields[name] = allowed[query[name]]
            else:
                problems.append(f"The address gives {name} as {short(query[name])}; it was left out.")
    root = query.get("root")
    if root is not None:
        level, _, number = str(root).partition(":")
        if level.isdecimal() and number.isdecimal() and len(str(root)) < 16:
            fields["root"] = root
        else:
            problems.append(f"The address gives root as {short(root)}; a concept is named like 2:37.")
    return View(**fields, problems=problems)


def _members(data: Any, problems: list[str]) -> list[int]:
    rows = data if isinstance(data, list) else []
    good = list(dict.fromkeys(n for n in rows if type(n) is int and 0 <= n <= 1_000_000))
    if good != data or len(good) > MOST:
        problems.append(f"Not all features to compare in the address can be used: at most {MOST} different numbers.")
    return good[:MOST]
