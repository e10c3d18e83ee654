"""Public names that are loaded on first use."""

from __future__ import annotations

import subprocess
import sys

import pytest

from analysis.lazy import public


def test_a_name_that_a_module_has_too_is_refused() -> None:
    with pytest.raises(ValueError, match="module and a public name 'steer'"):
        public("somewhere", {"operators": "Add", "steer": "Plan steer"})


def test_every_public_name_is_what_it_says_whatever_was_imported_before() -> None:
    """In a fresh interpreter, all names in one go, in both orders: no module stands in for a function or class."""
    script = """
import types
import analysis.mfa, analysis.qk, analysis.steering
packages = (analysis.qk, analysis.mfa, analysis.steering)
for package in (*packages, *packages[::-1]):
    for name in package.__all__ if package is packages[0] else package.__all__[::-1]:
        assert not isinstance(getattr(package, name), types.ModuleType), name
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
