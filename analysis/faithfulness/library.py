"""Studies that are kept: one comes with Attune for the default model, others are made here; all belong to weights.

Items go into the arrays' file as compressed JSON, so that what was shown and what was measured cannot come apart.
"""

from __future__ import annotations

import json
import lzma
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from analysis.artefacts import Arrays, Wording, load_pair, save_pair
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.faithfulness.answers.board import StudyName
from analysis.faithfulness.item import Item
from analysis.faithfulness.parts import Part
from analysis.faithfulness.study import Study
from analysis.shelf import Misfit, Shelf

WHAT = "faithfulness scores"
NEWEST = "newest"
_MEASURE = {"name": str, "main": str, "family": str, "level": str}
_MANIFEST = {"fingerprint": str, "model": str, "measures": [_MEASURE], "tiers": dict, "cost": dict}
"""What every study says of itself; checked before any of it is shown."""
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
MAX_ITEMS = 64 << 20
"""Bytes of a study's items as JSON: less than this is written, and no more is unpacked."""


def save_study(study: Study, path: Path) -> None:
    """Write a study to ``path`` (without ending). UserError, and nothing is written, if it is too large to be read."""
    arrays = {
        "scores": study.scores.astype(np.float32),
        "step_scores": study.step_scores.astype(np.float32),
        "items": _packed(study.items),
    }
    STUDIES.save(path, arrays, study.manifest)


def _decode(_name: str, arrays: Arrays, manifest: dict[str, Any]) -> Study:
    scores, steps = (arrays[name].astype(np.float64) for name in ("scores", "step_scores"))
    items = _unpacked(arrays["items"])
    if "measures" in manifest and scores.shape != (3, len(manifest["measures"]), len(items)):
        raise Misfit("they are of another number of measures or items than their scores")
    return Study(manifest, items, scores, steps)


STUDIES = Shelf(
    kind="study",
    place="faithfulness",
    wording=Wording.of(WHAT, "study"),
    contents=_MANIFEST,
    decode=_decode,
    size=lambda study: 4_000 * len(study.items) + study.scores.nbytes,
)
BUNDLED = STUDIES.bundled / "default"


def save_part(part: Part, path: Path) -> None:
    """Write one part of a study."""
    facts = {k: v for k, v in vars(part).items() if k not in ("items", "scores")}
    save_pair(path, {"scores": part.scores, "items": _packed(part.items)}, facts)


def load_part(path: Path) -> Part | None:
    """A part that was written, or None."""
    try:
        arrays, manifest = load_pair(path, STUDIES.wording)
    except UserError:
        return None
    facts = {f.name: manifest[f.name] for f in fields(Part) if f.name not in ("items", "scores")}
    return Part(items=_unpacked(arrays["items"]), scores=arrays["scores"], **facts)


def place(fingerprint: str, name: str) -> Path:
    """Where a study of a model lies. UserError if its name is no name."""
    if name in ("", "default"):
        return BUNDLED
    if not NAME.fullmatch(name):
        raise UserError("A study's name has small letters, digits and hyphens only.", "study")
    return STUDIES.own(fingerprint[:32]) / name


def studies(fingerprint: str) -> list[StudyName]:
    """Name, title and checksum of every study of a model, the bundled one first, then the newest."""
    rows = []
    for entry in STUDIES.of_weights(fingerprint, fingerprint[:32]):
        name = "" if entry.bundled else entry.name
        rows.append(StudyName(name, str(entry.manifest.get("title", name)), entry.checksum))
    return rows


def resolved(fingerprint: str, name: str) -> str:
    """The name of the study that is meant: "" or "default" is the bundled one where it is this model's, else the
    newest; :data:`NEWEST` is the newest that was made here. Any other name stays, also where there is no such study."""
    if name not in ("", "default", NEWEST):
        return name
    names = [row.name for row in studies(fingerprint)]
    if name == NEWEST:
        names.sort(key=lambda n: not n)  # the bundled one last
    return names[0] if names else ""


def open_study(memory: Memory, fingerprint: str, name: str) -> Study:
    """A study of a model, from memory if it was opened before; ``name`` as :func:`resolved` takes it. UserError if this
    model has none of that name."""
    name = resolved(fingerprint, name)
    path = place(fingerprint, name)
    entry = STUDIES.entry(path)
    if entry is None or entry.manifest.get("fingerprint") != fingerprint:
        raise UserError(
            "There are no scores of this model yet. Make them under Studies, or choose the default model."
            if not name
            else f"This model has no study called {name!r}. Choose another one.",
            "study",
        )
    return STUDIES.open(memory, path)


def _packed(items: tuple[Item, ...]) -> np.ndarray:
    body = json.dumps([item.to_dict() for item in items], ensure_ascii=False, allow_nan=False).encode()
    if len(body) >= MAX_ITEMS:
        raise UserError(
            f"The texts of these {len(items):,} chains take {len(body) / 2**20:,.0f} MB with all their altered "
            f"versions; a study can hold {MAX_ITEMS / 2**20:,.0f} MB. Measure them in several parts.",
            "study",
        )
    return np.frombuffer(lzma.compress(body, preset=9), np.uint8)


def _unpacked(body: np.ndarray) -> tuple[Item, ...]:
    reader = lzma.LZMADecompressor(memlimit=256 << 20)
    try:
        text = reader.decompress(body.tobytes(), max_length=MAX_ITEMS)
        if not reader.eof:
            raise UserError(f"The {WHAT} are larger than they can be. Make them again.", "study")
        return tuple(Item.from_dict(row) for row in json.loads(text))
    except (lzma.LZMAError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"The {WHAT} cannot be read: the file is damaged. Make them again.", "study") from error
