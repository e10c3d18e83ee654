"""What the address of the Steering page says, read defensively: what cannot be used is left out, and said.

A slider's value comes from an address as easily as from a hand, so a number out of range must neither reach the model
nor silently become another number: the part of the view that holds is opened, and a sentence names the rest.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from analysis.errors import UserError
from analysis.mfa.settings import MODES, ROTATIONS, WHERE, RegionSetting, SteeringSettings
from pages.address import model_fields, number_of, parse_json, recall

PATH = "/steering"
# The state that travels in the address, in the order of the inputs of the address callback.
ADDRESS = ["model", "steer", "text", "chat", "seed", "temperature", "top_p", "count", "tab"]
START_TEXT = "My favourite thing in the world is the"
TABS = ("region", "prices", "token", "controls", "fit", "keep")


@dataclass(frozen=True)
class View:
    """The page's state at opening. ``steer`` None: open on a thematic region of the first fit."""

    model: dict[str, Any] | None = None
    steer: dict[str, Any] | None = None
    text: str = START_TEXT
    chat: bool = False
    seed: int = 1
    temperature: float = 0.7
    top_p: float = 0.95
    count: int = 40
    tab: str = "region"
    problems: list[str] = field(default_factory=list)


def read_address(query: dict[str, Any]) -> View:
    """A view from the query of an address, with a sentence for each entry that could not be used."""
    problems: list[str] = []
    fields = model_fields(query, problems)
    if query.get("steer") is not None:
        fields["steer"] = _steer(parse_json(query["steer"]), problems)
    if isinstance(query.get("text"), str) and query["text"]:
        text = recall(query["text"])
        if text:
            fields["text"] = text
        else:
            problems.append("The prompt that the address names is not in this data folder; the usual one is here.")
    fields["chat"] = query.get("chat") == "true"
    for name, low, high, kind in (
        ("seed", 0, 2**31 - 1, int),
        ("count", 1, 400, int),
        ("temperature", 0.0, 2.0, float),
        ("top_p", 0.05, 1.0, float),
    ):
        if query.get(name) is not None:
            value = number_of(query[name], kind)
            if value is None or not low <= value <= high:
                problems.append(
                    f"The address gives {name.replace('_', '-')} as {str(query[name])[:20]!r}; "
                    f"it must be a number from {low} to {high:,}. The usual value stands in its place."
                )
            else:
                fields[name] = value
    if query.get("tab") in TABS:
        fields["tab"] = query["tab"]
    return View(**fields, problems=problems)


def _steer(data: Any, problems: list[str]) -> dict[str, Any] | None:
    """The settings that can be used; regions that cannot are dropped one by one."""
    if not isinstance(data, dict):
        problems.append("The set-up in the address cannot be read, so the page opened on one of its own.")
        return None
    kept: dict[str, Any] = {"fit": data.get("fit") if isinstance(data.get("fit"), str) else ""}
    for name, allowed in (("mode", MODES), ("where", WHERE), ("rotation", ROTATIONS)):
        if data.get(name) in allowed:
            kept[name] = data[name]
        elif name in data:
            problems.append(f"The address gives {name} as {str(data[name])[:20]!r}; it was left out.")
    rows = data.get("regions")
    regions = []
    for row in rows if isinstance(rows, list) else []:
        try:
            if not isinstance(row, dict):
                raise UserError("A region in the address is not an object.")
            factors = row.get("factors", [])
            if not isinstance(factors, list):
                raise UserError("Local factors come as a list.")
            regions.append(RegionSetting(row.get("region", -1), row.get("strength", 0.0), tuple(factors)))
        except UserError as error:
            problems.append(f"{error.message} This region of the address was left out.")
    kept["regions"] = [{"region": r.region, "strength": r.strength, "factors": list(r.factors)} for r in regions]
    if isinstance(data.get("layers"), list):
        kept["layers"] = [n for n in data["layers"] if type(n) is int]
    try:
        return SteeringSettings.from_dict(kept).to_dict()
    except UserError as error:
        problems.append(error.message)
        return None
