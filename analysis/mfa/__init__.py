"""Regions of activations: a mixture of factor analyzers (arXiv 2602.02464), its fit, its reading and its steering.

The names below are public and stay. They are loaded on first use, because the web process imports the plain settings
of :mod:`analysis.mfa.settings` and must not pay for torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.lazy import public

if TYPE_CHECKING:
    from analysis.mfa.estimator import MixtureOfFactorAnalyzers
    from analysis.mfa.parameters import Parameters

__all__ = ["MixtureOfFactorAnalyzers", "Parameters"]

__getattr__ = public(__name__, {"estimator": "MixtureOfFactorAnalyzers", "parameters": "Parameters"})
