"""One pole of a feature as what steers, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from analysis.errors import UserError
from analysis.steering.steers import Steer, fields_of

LEAST, MOST = 0.001, 20.0


@dataclass(frozen=True)
class FeatureSteer(Steer):
    """The ``pole`` of a ``feature`` of a factorization (``fit``), added at every position at the strength at which the
    next token after the prompt costs ``target`` nats."""

    kind: ClassVar[str] = "feature"
    page: ClassVar[str] = "/mlp-features"
    null: ClassVar[str] = "the feature’s own loadings on neurons drawn at random"

    fit: str = ""
    feature: int = 0
    pole: int = 1
    target: float = 0.25

    def __post_init__(self) -> None:
        if not isinstance(self.fit, str) or not 0 < len(self.fit) <= 200:
            raise UserError("A factorization is named by a short text.", "steer")
        if type(self.feature) is not int or not 0 <= self.feature <= 1_000_000:
            raise UserError(f"A feature is named by its number, not by {str(self.feature)[:20]!r}.", "steer")
        if type(self.pole) is not int or self.pole not in (1, -1):
            raise UserError("The pole of a feature is 1 or -1.", "steer")
        real = isinstance(self.target, (int, float)) and not isinstance(self.target, bool)
        if not real or not LEAST <= self.target <= MOST:
            raise UserError(f"The KL of a feature must be a number of nats from {LEAST:g} to {MOST:g}.", "steer")

    @property
    def idle(self) -> bool:
        """Never: it has a KL."""
        return False

    @property
    def title(self) -> str:
        """As of :class:`Steer`."""
        pole = "" if self.pole == 1 else ", negative pole"
        return f"feature {self.feature}{pole} at a KL of {self.target:g} nats ({self.fit}, added at all tokens)"

    def to_dict(self) -> dict[str, Any]:
        """As of :class:`Steer`."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Any) -> FeatureSteer:
        """As of :class:`Steer`."""
        return cls(**fields_of(cls, data, {"fit", "feature", "pole", "target"}, "A feature"))
