"""Make the study that comes with Attune: ``python -m analysis.faithfulness.build``, about half an hour on two cores.

Each part is kept as soon as it is made, so a run that was cut off goes on where it stopped. With ``--fresh`` all parts
are made anew.
"""

from __future__ import annotations

import sys

from analysis.faithfulness.library import BUNDLED, load_part, save_part, save_study
from analysis.faithfulness.parts import StudySettings, make_part, parts_of
from analysis.faithfulness.reader import ModelReader
from analysis.faithfulness.study import joined
from analysis.home import folder
from analysis.models.loader import load_model
from analysis.service.operation import hash_of

SETTINGS = StudySettings(seeds=5, problems=30)


def _say(share: float, text: str) -> None:
    sys.stderr.write(f"{share:.2f} {text}\n")


def main() -> None:
    """Make what is missing, then write the study."""
    loaded = load_model("default")
    reader = ModelReader(loaded)
    place = folder("faithfulness", "parts")
    parts = []
    for tier, seed in parts_of(SETTINGS):
        path = place / f"{hash_of([loaded.facts.fingerprint, SETTINGS.problems, SETTINGS.seed])[:12]}-{tier}-{seed}"
        part = None if "--fresh" in sys.argv else load_part(path)
        if part is None:
            part = make_part(reader, tier, seed, SETTINGS, _say)
            save_part(part, path)
        sys.stderr.write(f"tier {tier}, demonstrations {seed}: {len(part.items)} items of {part.made}, {part.failed}\n")
        parts.append(part)
    facts = loaded.facts
    manifest = {
        "fingerprint": facts.fingerprint,
        "model": facts.label,
        "parameters": facts.parameters,
        "title": "bundled: sums and sources",
        "command": "python -m analysis.faithfulness.build",
        "threads": 2,
    }
    save_study(joined(parts, SETTINGS, manifest), BUNDLED)


if __name__ == "__main__":
    main()
