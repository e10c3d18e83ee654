"""What a fresh interpreter imports: the web process must never come to torch, and an operation module is a plug-in."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "transformers", "tokenizers", "scipy", "sklearn")


def in_fresh_interpreter(code: str, **environment: str) -> str:
    command, variables = [sys.executable, "-c", code], {**os.environ, **environment}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("module", ["analysis.engine.client", "analysis.catalogue", "analysis.engine.worker", "app"])
def test_importing_does_not_import_torch(module: str, tmp_path: Path) -> None:
    if module == "app" and importlib.util.find_spec("app") is None:
        pytest.skip("there is no app yet")
    code = f"import {module}, sys; print([m for m in {HEAVY!r} if m in sys.modules])"
    assert in_fresh_interpreter(code, ATTUNE_HOME=str(tmp_path)) == "[]"


@pytest.mark.parametrize(("named", "expected"), [("", "False"), ("tests.service.operations_for_tests", "True")])
def test_extra_operations_are_there_only_if_named(named: str, expected: str, tmp_path: Path) -> None:
    code = "from analysis.engine.operation import REGISTRY; import analysis.catalogue; print('SleepSteps' in REGISTRY)"
    assert in_fresh_interpreter(code, ATTUNE_EXTRA_OPERATIONS=named, ATTUNE_HOME=str(tmp_path)) == expected
