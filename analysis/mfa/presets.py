"""Presets of the Steering page: a few that come with Attune, and one's own, small files in the data folder. Each is a
set-up and how text was generated with it."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from typing import Any

from analysis.errors import UserError
from analysis.home import folder
from analysis.mfa.settings import RegionSetting, SteeringSettings

MAX_PRESETS = 200
_SHOWN = (
    ("Dessert", 215, 0.6, "My favourite thing in the world is the", False),
    ("Goddess", 486, 0.6, "My favourite thing in the world is the", False),
    ("A story with spells", 424, 0.7, "Tell me a short story.", True),
)
"""Name, region of the bundled fit of block 10, strength when added, prompt, chat template."""


@dataclass(frozen=True)
class Preset:
    """A set-up under a name. ``generation``: what stood in the controls of generation, by their names; ``own``: kept by
    the user, not one that comes with Attune."""

    key: str
    name: str
    steer: SteeringSettings
    generation: dict[str, Any]
    summary: str
    own: bool


def keep_preset(name: str, settings: SteeringSettings, generation: dict[str, Any]) -> str:
    """Keep a set-up under a name, replacing one of the same name; its key. Raises UserError."""
    name = " ".join(name.split())
    if not name or len(name) > 60:
        raise UserError("Give the preset a name of at most 60 characters.", "preset")
    key = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    place = folder("presets")
    if len(list(place.glob("*.json"))) >= MAX_PRESETS and not (place / f"{key}.json").exists():
        raise UserError(f"There are {MAX_PRESETS} presets already. Delete one first.", "preset")
    body = json.dumps({"name": name, "steer": settings.to_dict(), "generation": generation})
    part = place / f".{key}.part"
    part.write_text(body, encoding="utf-8")
    os.replace(part, place / f"{key}.json")
    return key


def delete_preset(key: str) -> None:
    """Remove a preset; nothing happens if it is gone."""
    if len(key) == 24 and key.isalnum():
        (folder("presets") / f"{key}.json").unlink(missing_ok=True)


def presets() -> list[Preset]:
    """The bundled presets, then one's own by name; damaged files are left out."""
    bundled = []
    for name, region, strength, prompt, chat in _SHOWN:
        settings = SteeringSettings("block-10", (RegionSetting(region, strength),), "add")
        generation = {
            "steer-prompt": prompt,
            "steer-chat": chat,
            "count": 40,
            "temperature": 0.7,
            "top-p": 0.95,
            "seed": 1,
        }
        summary = f"block-10: region {region} added at {strength:g}"
        bundled.append(Preset(f"bundled-{region}", name, settings, generation, summary, own=False))
    own = []
    for path in folder("presets").glob("*.json"):
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            settings = SteeringSettings.from_dict(data["steer"])
            regions = ", ".join(f"{r.region} at {r.strength:g}" for r in settings.regions)
            summary = f"{settings.fit}: {regions}"
            own.append(Preset(path.stem, str(data["name"]), settings, dict(data["generation"]), summary, own=True))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            continue
    return bundled + sorted(own, key=lambda p: p.name.lower())
