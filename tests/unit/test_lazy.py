"""Public names that are loaded on first use."""

from __future__ import annotations

import subprocess
import sys

import pytest

from analysis.lazy import public


def test_a_name_that_a_module_has_too_is_refused() -> None:
    with pytest.raises(ValueError, match="module and a public name 'steer'"):
        public("somewhere", {"operators": "Add", "steer": "Plan steer"})


@pytest.mark.parametrize("package", ["qk", "mfa", "steering"])
def test_every_public_name_is_what_it_says_whatever_was_imported_before(package: str) -> None:
    """In a fresh interpreter, all names in one go, in both orders: no module stands in for a function or class."""
    script = f"""
import types
import analysis.{package} as package
for names in (package.__all__, package.__all__[::-1]):
    for name in names:
        assert not isinstance(getattr(package, name), types.ModuleType), name
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
