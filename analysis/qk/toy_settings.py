"""What decides a run of the toy model: plain settings that need no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from analysis.errors import UserError

Task = Literal["binary", "gaussian"]
Schedule = Literal["constant", "cosine"]

# Inclusive limits: they keep a typed number from asking for hours of work or gigabytes of memory.
_WHOLE = {
    "n1": (1, 12),
    "n2": (1, 12),
    "d_head": (2, 128),
    "seed": (0, 2**31 - 1),
    "d_model": (4, 256),
    "context": (3, 64),
    "classes": (2, 100),
    "batch": (8, 4096),
    "max_steps": (1, 100_000),
    "check_every": (1, 10_000),
    "check_rows": (64, 65_536),
    "patience": (1, 100_000),
}
_REAL = {"noise": (0.0, 10.0), "learning_rate": (1e-6, 1.0), "weight_decay": (0.0, 1.0), "tolerance": (0.0, 10.0)}


@dataclass(frozen=True)
class ToySettings:
    """Everything that decides a toy run. The defaults are the fast recipe; :meth:`reference` is the published one.

    ``n1`` and ``n2`` are the widths of the two latents (the true ranks), ``d_head`` the head width. ``patience`` is
    the number of checks without an improvement of ``tolerance`` nats after which training stops. ``schedule`` is the
    course of the learning rate: constant, or a short linear warm-up followed by a cosine down to zero.
    Raises UserError, naming the field, when a value is out of range.
    """

    n1: int = 3
    n2: int = 5
    d_head: int = 16
    task: Task = "binary"
    seed: int = 11
    d_model: int = 32
    context: int = 16
    classes: int = 10
    noise: float = 0.01
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    schedule: Schedule = "cosine"
    batch: int = 256
    max_steps: int = 4_000
    check_every: int = 200
    check_rows: int = 10_240
    patience: int = 30
    tolerance: float = 1e-4

    def __post_init__(self) -> None:
        for name, (low, high) in _WHOLE.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
                raise UserError(f"{name} must be a whole number from {low} to {high}; it is {value!r}.", name)
        for name, (least, most) in _REAL.items():
            number = getattr(self, name)
            real = isinstance(number, int | float) and not isinstance(number, bool)
            if not real or not math.isfinite(number) or not least <= number <= most:
                raise UserError(f"{name} must be a number from {least:g} to {most:g}; it is {number!r}.", name)
        for name, allowed in (("task", get_args(Task)), ("schedule", get_args(Schedule))):
            if getattr(self, name) not in allowed:
                raise UserError(f"{name} must be {' or '.join(allowed)}; it is {getattr(self, name)!r}.", name)

    @classmethod
    def reference(cls, **changes: Any) -> ToySettings:
        """The recipe of the reference code (dossier 2.2): slow, constant learning rate, early stopping."""
        recipe = cls(learning_rate=1e-4, schedule="constant", max_steps=50_000, patience=5, tolerance=1e-4)
        unknown = set(changes) - {field.name for field in fields(cls)}
        if unknown:
            raise UserError(f"The toy model has no setting named {min(unknown)}.", min(unknown))
        return replace(recipe, **changes)
