"""Presets of the Steering page: a few that come with Attune, and one's own, small files in the data folder. Each is a
set-up and how text was generated with it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from analysis import foreign
from analysis.asker import refuse_change
from analysis.errors import UserError
from analysis.home import folder
from analysis.mfa.settings import RegionSetting, SteeringSettings

MAX_PRESETS = 200
MAX_GENERATION = 40_000
"""Characters of the controls of one that comes in a file, its prompt among them."""
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
    refuse_change()
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


def presets_of(fit: str) -> list[dict[str, Any]]:
    """One's own presets of a fit, as they travel with it."""
    return [
        {"name": p.name, "steer": p.steer.to_dict(), "generation": p.generation}
        for p in presets()
        if p.own and p.steer.fit == fit
    ]


def put_presets(fit: str, rows: Sequence[Any]) -> int:
    """Keep presets that came with a fit, which is called ``fit`` here; how many are new. One's own stay: another one of
    the same name gets a number. Raises UserError("file") for what is no preset."""
    taken = {p.name: (p.steer, p.generation) for p in presets() if p.own}
    count = 0
    for row in rows[:MAX_PRESETS]:
        with foreign.reading("A preset in this file cannot be read.", "file"):
            name, generation = str(row["name"]), {str(k): v for k, v in dict(row["generation"]).items()}
            settings = replace(SteeringSettings.from_dict(row["steer"]), fit=fit)
            if len(json.dumps(generation)) > MAX_GENERATION:
                raise UserError("A preset in this file is larger than any can be.", "file")
        numbered = (name, *(f"{name[:52]} ({n})" for n in range(2, MAX_PRESETS)))
        free = next((n for n in numbered if taken.get(n, (settings, generation)) == (settings, generation)), None)
        if free is None or free in taken:
            continue
        keep_preset(free, settings, generation)
        taken[free] = settings, generation
        count += 1
    return count


def delete_preset(key: str) -> None:
    """Remove a preset; nothing happens if it is gone. Raises UserError for one who may only look."""
    refuse_change()
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
