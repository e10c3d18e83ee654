"""The study of the default model's reasons, about an hour on two cores.

Each part is kept as soon as it is made, so that a run that was stopped goes on where it was; then come what measures
cost one by one, and FUR on some items.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from analysis.faithfulness.board import board
from analysis.faithfulness.costing import costs
from analysis.faithfulness.forgetting import with_fur
from analysis.faithfulness.library import BUNDLED, STUDIES, load_part, save_part, save_study
from analysis.faithfulness.parts import StudySettings, make_part, parts_of
from analysis.faithfulness.reader import ModelReader
from analysis.faithfulness.study import Study, joined, with_continued
from analysis.home import folder
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import load_model
from analysis.progress import Progress

SETTINGS = StudySettings(seeds=5, problems=30)
FUR_ITEMS = 12
"""Items of each of the tiers 1 and 2 that FUR is measured on."""
TIMED = 3
"""Items of each tier on which measures are timed one by one."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this build."""
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--fresh", action="store_true", help="make all parts anew")
    kind.add_argument("--fur", action="store_true", help="only add FUR to a study that is there and has none")
    kind.add_argument(
        "--continued", action="store_true", help="only add the published forms of two measures, another hour"
    )


def run(options: argparse.Namespace, progress: Progress) -> None:
    """Make what is missing, then write the study."""
    loaded = load_model("default")
    if options.continued:
        _write(with_continued(STUDIES.read(BUNDLED), ModelReader(loaded), progress))
        return
    if not options.fur:
        _asked(loaded, options.fresh, progress)
    _write(with_fur(STUDIES.read(BUNDLED), loaded, FUR_ITEMS, progress))


def _asked(loaded: LoadedModel, fresh: bool, progress: Progress) -> None:
    """Everything that only asks the model: items, scores, and what they cost."""
    facts = loaded.facts
    reader = ModelReader(loaded)
    place = folder("faithfulness", "parts")
    key = parts_key(facts.fingerprint)
    parts = []
    for tier, seed in parts_of(SETTINGS):
        path = place / f"{key}-{tier}-{seed}"
        part = None if fresh else load_part(path)
        if part is None:
            part = make_part(reader, tier, seed, SETTINGS, progress)
            save_part(part, path)
        progress(1.0, f"tier {tier}, demonstrations {seed}: {len(part.items)} items of {part.made}, {part.failed}")
        parts.append(part)
    manifest = {
        "fingerprint": facts.fingerprint,
        "model": facts.label,
        "parameters": facts.parameters,
        "title": "bundled: sums and sources",
        "command": "python -m analysis.build faithfulness",
    }
    study = joined(parts, SETTINGS, manifest)
    timed = [study.items[i] for tier in "12" for i in study.of(tier)[:: max(1, len(study.of(tier)) // TIMED)][:TIMED]]
    study.manifest["timing"], study.manifest["together"] = costs(loaded, timed)
    _write(study)


def parts_key(fingerprint: str) -> str:
    """Names parts by all that they depend on: the model, the settings, and the code that makes and scores them."""
    digest = hashlib.sha256(json.dumps([fingerprint, SETTINGS.problems, SETTINGS.seed]).encode())
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _write(study: Study) -> None:
    study.manifest["board"] = board(study)
    save_study(study, BUNDLED)
