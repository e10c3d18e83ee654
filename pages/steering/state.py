"""State of the Steering page: what stands in its address, and the rows on its sliders.

A slider's value comes from an address as easily as from a hand, so a number out of range must neither reach the model
nor silently become another number: the part of the set-up that holds is opened, and a sentence names the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

from analysis.errors import UserError
from analysis.fields import Choice, Flag, Real, Whole
from analysis.mfa.settings import (
    MODES,
    ROTATIONS,
    WHERE,
    GateSetting,
    RegionSetting,
    SteeringSettings,
    VectorSetting,
    gate_of,
    vectors_of,
)
from analysis.steering.room import MAX_WRITTEN
from components.kit.types import Json
from pages.address import short
from pages.state import Model, Parsed, Partly, Prompt
from pages.steering.chat_state import Talk

PATH = "/steering"
START_TEXT = "My favourite thing in the world is the"
START_CHAT = "What is your favourite thing in the world?"
TABS = ("region", "ladder", "samples", "controls", "prices", "sweep", "inside", "chat", "token", "fit", "keep")
_EXAMPLE = SteeringSettings(
    "block-10", (RegionSetting(3, 0.25, (1.0, -2.0)),), "add", "generated", (4,), "varimax",
    (VectorSetting("happy-1a2b3c", -1.5),), False, 3, GateSetting("projection", 3, "below", 0.25),
)  # fmt: skip


def _steer(data: Json) -> Partly:
    """The settings that can be used; regions that cannot are dropped one by one."""
    if not isinstance(data, dict):
        raise UserError("The set-up in the address cannot be read, so the page opened on one of its own.")
    problems: list[str] = []
    usable: dict[str, Any] = {"fit": data.get("fit") if isinstance(data.get("fit"), str) else ""}
    for name, allowed in (("mode", MODES), ("where", WHERE), ("rotation", ROTATIONS)):
        if data.get(name) in allowed:
            usable[name] = data[name]
        elif name in data:
            problems.append(f"The address gives {name} as {short(data[name])}; it was left out.")
    rows = data.get("regions")
    regions = []
    for row in rows if isinstance(rows, list) else []:
        try:
            regions.append(_region(row))
        except UserError as error:
            problems.append(f"{error.message} This region of the address was left out.")
    try:
        usable["vectors"] = vectors_of(data.get("vectors", []))
    except UserError as error:
        problems.append(f"{error.message} The steering vectors of the address were left out.")
    usable["own"] = data.get("own") is not False
    try:
        usable["gate"] = gate_of(data.get("gate"))
        usable["after"] = SteeringSettings(after=data.get("after", 0)).after
    except UserError as error:
        problems.append(f"{error.message} When steering acts was left out of the address.")
    layers = data.get("layers")
    blocks = tuple(n for n in layers if type(n) is int) if isinstance(layers, list) else ()
    try:
        settings = SteeringSettings(regions=tuple(regions), layers=blocks, **usable)
    except UserError as error:
        return Partly(None, (*problems, error.message))
    return Partly(settings.to_dict(), tuple(problems))


def _region(row: Json) -> RegionSetting:
    if not isinstance(row, dict):
        raise UserError("A region in the address is not an object.")
    factors = row.get("factors", [])
    if not isinstance(factors, list):
        raise UserError("Local factors come as a list.")
    return RegionSetting(row.get("region", -1), row.get("strength", 0.0), tuple(factors))


@dataclass(frozen=True)
class SteeringState:
    """``steer``: the set-up, as the data of its settings; None: a thematic region of the first fit."""

    model: Annotated[dict[str, Any] | None, Model()] = None
    steer: Annotated[dict[str, Any] | None, Parsed(_steer, (_EXAMPLE.to_dict(), None))] = None
    text: Annotated[str, Prompt()] = START_TEXT
    chat: Annotated[bool, Flag()] = False
    seed: Annotated[int, Whole(0, 2**31 - 1)] = 1
    temperature: Annotated[float, Real(0.0, 2.0)] = 0.7
    top_p: Annotated[float, Real(0.05, 1.0)] = 0.95
    count: Annotated[int, Whole(1, MAX_WRITTEN)] = 40
    tab: Annotated[str, Choice(TABS)] = "region"
    talk: Annotated[dict[str, Any] | None, Talk()] = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Row:
    """A region on the sliders, with the ``fit`` that it is of: a number means another region in another fit."""

    region: int
    strength: float = 0.0
    factors: tuple[float, ...] = ()
    fit: str = ""


def rows_of(data: Json) -> list[Row]:
    """The rows in the store of the sliders."""
    return [Row(r["region"], r["strength"], tuple(r.get("factors") or ()), r.get("fit", "")) for r in data or []]


def rows_on(settings: SteeringSettings | None) -> list[Row]:
    """The rows of a set-up."""
    regions = () if settings is None else settings.regions
    return [Row(r.region, r.strength, r.factors, settings.fit if settings else "") for r in regions]


def plain_rows(rows: Sequence[Row]) -> Json:
    """Rows as the store of the sliders holds them."""
    return [asdict(row) | {"factors": list(row.factors)} for row in rows]


HOW = (
    "mode", "where", "layers", "own-block", "rotation",
    "gate-after", "gate-kind", "gate-region", "gate-side", "gate-value",
)  # fmt: skip
"""The controls that say how, where, when and at which blocks the regions act."""


def how_of(steer: SteeringSettings) -> tuple[Any, ...]:
    """The values of these controls."""
    gate = steer.gate
    when = ("none", None, "above", 0.5) if gate is None else (gate.kind, gate.region, gate.side, gate.value)
    return (steer.mode, steer.where, list(steer.layers), steer.own, steer.rotation, steer.after, *when)


def settings_of(data: Json) -> SteeringSettings | None:
    """The set-up in a store, None where there is none. Raises UserError for one that cannot be used."""
    return SteeringSettings.from_dict(data) if data else None


def settings_at_start(start: Json) -> SteeringSettings | None:
    """The set-up in the store of what the page opened on."""
    return settings_of(start["steer"])
