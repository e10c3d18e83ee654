"""Make the study that comes with Attune: ``python -m analysis.faithfulness.build``, about an hour on two cores.

Each part is kept as soon as it is made, so a run that was cut off goes on where it stopped; then come what measures
cost one by one, and FUR on some items. With ``--fresh`` all parts are made anew; with ``--fur`` only FUR is added to a
study that is there and has none, with ``--continued`` only the published forms of two measures, another hour.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from analysis.faithfulness.board import board
from analysis.faithfulness.costing import costs
from analysis.faithfulness.forgetting import with_fur
from analysis.faithfulness.library import BUNDLED, load_part, load_study, save_part, save_study
from analysis.faithfulness.parts import StudySettings, make_part, parts_of
from analysis.faithfulness.reader import ModelReader
from analysis.faithfulness.study import Study, joined, with_continued
from analysis.home import folder
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import load_model

SETTINGS = StudySettings(seeds=5, problems=30)
FUR_ITEMS = 12
"""Items of each of the tiers 1 and 2 that FUR is measured on."""
TIMED = 3
"""Items of each tier on which measures are timed one by one."""


def _say(share: float, text: str) -> None:
    sys.stderr.write(f"{share:.2f} {text}\n")


def main() -> None:
    """Make what is missing, then write the study."""
    loaded = load_model("default")
    if "--continued" in sys.argv:
        _write(with_continued(load_study(BUNDLED), ModelReader(loaded), _say))
        return
    if "--fur" not in sys.argv:
        _asked(loaded)
    _write(with_fur(load_study(BUNDLED), loaded, FUR_ITEMS, _say))


def _asked(loaded: LoadedModel) -> None:
    """Everything that only asks the model: items, scores, and what they cost."""
    facts = loaded.facts
    reader = ModelReader(loaded)
    place = folder("faithfulness", "parts")
    key = parts_key(facts.fingerprint)
    parts = []
    for tier, seed in parts_of(SETTINGS):
        path = place / f"{key}-{tier}-{seed}"
        part = None if "--fresh" in sys.argv else load_part(path)
        if part is None:
            part = make_part(reader, tier, seed, SETTINGS, _say)
            save_part(part, path)
        _say(1.0, f"tier {tier}, demonstrations {seed}: {len(part.items)} items of {part.made}, {part.failed}")
        parts.append(part)
    manifest = {
        "fingerprint": facts.fingerprint,
        "model": facts.label,
        "parameters": facts.parameters,
        "title": "bundled: sums and sources",
        "command": "python -m analysis.faithfulness.build",
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


if __name__ == "__main__":
    main()
