"""The settings of the estimator, checked when a fit begins: a constructor of scikit-learn's kind takes them unread."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from analysis.errors import UserError

_CHOICES: dict[str, Sequence[str]] = {
    "noise": ("shared", "component"),
    "start": ("kmeans", "points"),
    "rotation": ("principal", "varimax", "none"),
}
_WHOLE = {"n_components": 1, "n_factors": 0, "max_iter": 0, "batch_size": 1, "n_init": 1}
_NAMES = {
    "n_components": "The number of regions",
    "n_factors": "The number of local factors",
    "max_iter": "The number of iterations",
    "batch_size": "The batch size",
    "n_init": "The number of starts",
}


def check_settings(settings: Any) -> None:
    """Raise UserError, naming the field, for the first setting of a ``MixtureOfFactorAnalyzers`` that cannot be."""
    for name, least in _WHOLE.items():
        value = getattr(settings, name)
        if not _whole(value) or value < least:
            raise UserError(f"{_NAMES[name]} ({name}) must be a whole number from {least}, not {value!r}.", name)
    for name, allowed in _CHOICES.items():
        value = getattr(settings, name)
        if value not in allowed:
            raise UserError(f"The setting {name} must be one of {', '.join(allowed)}, not {value!r}.", name)
    if settings.top is not None and (not _whole(settings.top) or settings.top < 1):
        raise UserError(f"The setting top must be a whole number from 1, or None for all, not {settings.top!r}.", "top")
    if not _number(settings.tol) or settings.tol < 0:
        raise UserError(f"The tolerance (tol) must be a number of nats from 0, not {settings.tol!r}.", "tol")
    if not _number(settings.validation) or not 0 <= settings.validation < 1:
        raise UserError(
            f"The share held out (validation) must be from 0 to below 1, not {settings.validation!r}.", "validation"
        )
    if settings.random_state is not None and (not _whole(settings.random_state) or settings.random_state < 0):
        raise UserError(
            f"The seed (random_state) must be a whole number from 0 or None, not {settings.random_state!r}.",
            "random_state",
        )


def check_width(factors: int, width: int) -> None:
    """Raise UserError unless there are fewer local factors than dimensions."""
    if factors >= width:
        raise UserError(
            f"A region needs fewer local factors than the activations have dimensions: {factors} factors, {width} "
            "dimensions. Ask for fewer factors.",
            "n_factors",
        )


def _whole(value: Any) -> bool:
    return not isinstance(value, bool) and hasattr(value, "__index__")


def _number(value: Any) -> bool:
    return not isinstance(value, (bool, str)) and hasattr(value, "__float__") and math.isfinite(value)
