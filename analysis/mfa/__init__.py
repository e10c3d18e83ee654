"""Regions of activations: a mixture of factor analyzers (arXiv 2602.02464), its fit, its reading and its steering.

The names below are public and stay. They are loaded on first use, because the web process imports the plain settings
of :mod:`analysis.mfa.settings` and must not pay for torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from analysis.mfa.estimator import MixtureOfFactorAnalyzers
    from analysis.mfa.parameters import Parameters

_HOMES = {"MixtureOfFactorAnalyzers": "estimator", "Parameters": "parameters"}

__all__ = ["MixtureOfFactorAnalyzers", "Parameters"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"analysis.mfa.{_HOMES[name]}"), name)
