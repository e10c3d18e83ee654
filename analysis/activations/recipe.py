"""What decides the numbers in a store of activations, and so its name on disk.

The number of activations is not part of it: a longer store of the same recipe begins with the shorter one, so it is
extended, not made again.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from analysis.models.sites import Site

FORMAT = 1
WINDOW = 256
"""Tokens of a piece for all fits, so that what one of them has read serves the others."""


@dataclass(frozen=True)
class Recipe:
    """``model``: its name for the screen; ``fingerprint`` and ``dtype``: what its weights are. ``sites``: where.
    ``corpus``: hash of the passages; ``seed``: of their order. ``window``: the most tokens read in one piece.
    ``skip_first``: positions of each window that are left out. ``norm_guard``: an activation longer than so many times
    the median is left out; 0 keeps all.
    """

    model: str
    fingerprint: str
    dtype: str
    sites: tuple[Site, ...]
    corpus: str
    seed: int = 0
    window: int = 128
    skip_first: int = 2
    norm_guard: float = 20.0

    @property
    def key(self) -> str:
        """Twenty hex digits; equal for recipes that give equal activations. The name of the model is no part of it."""
        facts = {k: v for k, v in self.to_dict().items() if k != "model"}
        return hashlib.sha256(json.dumps([FORMAT, facts], sort_keys=True).encode()).hexdigest()[:20]

    def to_dict(self) -> dict[str, Any]:
        """The fields as JSON-able data."""
        return {**asdict(self), "sites": [site.to_dict() for site in self.sites]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Recipe:
        """The reverse of :meth:`to_dict`. Raises ValueError, TypeError or KeyError for anything else."""
        return cls(**{**data, "sites": tuple(Site.from_dict(s) for s in data["sites"])})
