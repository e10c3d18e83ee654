"""Scripts and notebooks that name the old rooms find the same operations there."""

from __future__ import annotations

import subprocess
import sys

from analysis import service
from analysis.engine import context
from analysis.engine.operation import REGISTRY


def test_an_old_module_is_the_new_one() -> None:
    from analysis.service.context import Context
    from analysis.service.ops_prompt import TracePrompt

    assert Context is context.Context and TracePrompt is REGISTRY["TracePrompt"]
    assert {f"analysis.service.{name}" for name in (*service.ENGINE.split(), *service.OPERATIONS)} <= set(sys.modules)


def test_what_has_left_its_module_since_is_there_under_its_old_name() -> None:
    from analysis.faithfulness.ops.rows import FaithFile
    from analysis.service import ops_faith_jobs

    assert ops_faith_jobs.FaithFile is FaithFile


def test_nothing_of_the_house_needs_them() -> None:
    code = "import analysis.catalogue, app, sys; print('analysis.service' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
