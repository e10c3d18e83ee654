"""Who may only look presses all buttons of all pages: nothing is written, begun or loaded, and it is logged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_no_callback_changes_anything_for_who_may_look(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.unit.hostile.presses"],
        cwd=ROOT, env={**os.environ, "ATTUNE_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr[-2_000:]
    seen = json.loads(run.stdout.splitlines()[-1])
    assert seen["callbacks"] > 300 and set(seen["codes"]) <= {"200", "204"}, seen
    assert seen["told"] >= 20 and seen["logged"] >= seen["told"], seen
    assert seen["files"] == [] and seen["waiting"] == [] and seen["jobs"] == 0, seen
