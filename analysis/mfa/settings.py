"""What is steered and how, as plain data that may come from a browser: checked once, free of torch.

A set-up names a fit and any number of its regions, each with a strength and its local factors, and says how, where and
at which blocks they act. Vectors are looked up by :mod:`analysis.mfa.steering`; nothing here knows a model.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from analysis.errors import UserError
from analysis.steering.steers import Steer

Noise = Literal["shared", "component"]
MODES = ("interpolate", "add", "project_out", "clamp")
WHERE = ("not_first", "all", "prompt", "generated", "thinking", "answer")
GATES, SIDES = ("responsibility", "projection"), ("above", "below")
MAX_AFTER, MAX_GATE = 4_000, 1_000.0
ROTATIONS = ("principal", "varimax")
MAX_REGIONS, MAX_FACTORS, MAX_SPREADS = 6, 64, 20.0
MAX_VECTORS, MAX_TIMES = 6, 1_000.0


@dataclass(frozen=True)
class RegionSetting:
    """One region: ``strength`` in [0, 1], and local factors in units of their spread among the region's points."""

    region: int
    strength: float = 0.0
    factors: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.region, int) or isinstance(self.region, bool) or not 0 <= self.region < 100_000:
            raise UserError(f"A region is named by its number, not by {self.region!r}.", "region")
        _finite(self.strength, 0.0, 1.0, "The strength of a region")
        if not isinstance(self.factors, tuple) or len(self.factors) > MAX_FACTORS:
            raise UserError(f"A region has at most {MAX_FACTORS} local factors.", "factors")
        for value in self.factors:
            _finite(value, -MAX_SPREADS, MAX_SPREADS, "A local factor, in spreads,")

    @property
    def idle(self) -> bool:
        """Whether this region changes nothing."""
        return self.strength == 0 and not any(self.factors)


@dataclass(frozen=True)
class VectorSetting:
    """Steering vectors of others, by the name that they are kept under, added ``strength`` times."""

    name: str
    strength: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not 0 < len(self.name) <= 100:
            raise UserError("Steering vectors are named by a short text.", "vectors")
        _finite(self.strength, -MAX_TIMES, MAX_TIMES, "The strength of steering vectors")


@dataclass(frozen=True)
class GateSetting:
    """Steer a token only while what is read of it at the fit's block, before it is steered there, is ``side`` the
    ``value``: the "responsibility" of a ``region``, or the "projection" on its direction, which is 0 at the mean
    activation and 1 at the centroid."""

    kind: str
    region: int
    side: str = "above"
    value: float = 0.5

    def __post_init__(self) -> None:
        for name, allowed in (("kind", GATES), ("side", SIDES)):
            if getattr(self, name) not in allowed:
                raise UserError(f"The {name} of a gate must be one of {', '.join(allowed)}.", "gate")
        if not isinstance(self.region, int) or isinstance(self.region, bool) or not 0 <= self.region < 100_000:
            raise UserError(f"The region that a gate reads is named by its number, not by {self.region!r}.", "gate")
        try:
            _finite(self.value, -MAX_GATE, MAX_GATE, "The value at which a gate opens")
        except UserError as error:
            raise UserError(error.message, "gate") from error

    @property
    def words(self) -> str:
        """For a sentence: while what."""
        what = "responsibility of" if self.kind == "responsibility" else "projection on the direction of"
        return f"the {what} region {self.region} is {self.side} {self.value:g}"


@dataclass(frozen=True)
class SteeringSettings(Steer):
    """Regions of one fit and how they act.

    ``mode``: "interpolate" moves each position towards the centroids by the strengths (the paper's), "add" adds the
    centroids minus the mean activation, "project_out" removes their directions, "clamp" sets the coefficients along
    them. ``where``: "not_first" (all positions but the first), "all", "prompt" (the prompt but its first), "generated"
    (after the prompt), and of these "thinking" or "answer" only. ``layers``: further blocks at which the same vectors
    act, beside the fit's own, or, without ``own``, in its place. ``rotation`` of the local factors. ``vectors`` of
    others, always added, each behind its own blocks. ``after``: nothing acts before that many tokens were written;
    ``gate``: on which tokens it acts.
    """

    kind: ClassVar[str] = "regions"
    page: ClassVar[str] = "/steering"

    fit: str = ""
    regions: tuple[RegionSetting, ...] = ()
    mode: str = "interpolate"
    where: str = "not_first"
    layers: tuple[int, ...] = ()
    rotation: str = "principal"
    vectors: tuple[VectorSetting, ...] = ()
    own: bool = True
    after: int = 0
    gate: GateSetting | None = None

    def __post_init__(self) -> None:
        if type(self.after) is not int or not 0 <= self.after <= MAX_AFTER:
            raise UserError(
                f"Steering begins after a whole number of written tokens, from 0 to {MAX_AFTER:,}, not after "
                f"{str(self.after)[:20]!r}.",
                "after",
            )
        if self.after and self.where == "prompt":
            raise UserError("The prompt is read before any token is written. Set “from written token” to 0.", "after")
        if not isinstance(self.fit, str) or len(self.fit) > 200:
            raise UserError("A fit is named by a short text.", "fit")
        for value, allowed, what in (
            (self.mode, MODES, "way to steer"),
            (self.where, WHERE, "choice of positions"),
            (self.rotation, ROTATIONS, "rotation"),
        ):
            if value not in allowed:
                raise UserError(f"The {what} must be one of {', '.join(allowed)}, not {value!r}.", "mode")
        if len(self.regions) > MAX_REGIONS:
            raise UserError(f"At most {MAX_REGIONS} regions can steer at once. Remove one first.", "regions")
        if len({r.region for r in self.regions}) < len(self.regions):
            raise UserError("A region can be named only once. Give it one strength.", "regions")
        if len(self.layers) > 64 or not all(type(n) is int and 0 <= n < 10_000 for n in self.layers):
            raise UserError("Further blocks are whole numbers, at most 64 of them.", "layers")
        if not isinstance(self.own, bool):
            raise UserError("Whether the fit's own block is steered is either on or off.", "layers")
        if not (self.own or self.layers or self.vectors):
            raise UserError("No block is steered. Choose one under “Also at blocks”, or the fit's own.", "layers")
        if len(self.vectors) > MAX_VECTORS or len({v.name for v in self.vectors}) < len(self.vectors):
            raise UserError(f"At most {MAX_VECTORS} files of steering vectors can steer at once, each once.", "vectors")

    @property
    def idle(self) -> bool:
        """Whether nothing is changed at all."""
        return all(r.idle for r in self.regions) and not any(v.strength for v in self.vectors)

    @property
    def reads_on(self) -> bool:
        """Whether positions of the prompt are changed."""
        return self.where not in ("generated", "thinking", "answer") and not self.after

    @property
    def title(self) -> str:
        """The set-up in a few words."""
        parts = [f"region {r.region} at {r.strength:.3g}" for r in self.regions if not r.idle]
        parts += [f"{v.name} × {v.strength:.3g}" for v in self.vectors if v.strength]
        where = f", {self.when}" if self.when else ""
        return f"{', '.join(parts) or 'nothing'} ({self.fit or 'no fit'}, {self.mode.replace('_', ' ')}{where})"

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-able data; what came later than others is left out where it is not used."""
        data = asdict(self)
        for name, default in (("vectors", ()), ("own", True), ("after", 0), ("gate", None)):
            if getattr(self, name) == default:
                del data[name]
        return data

    @property
    def when(self) -> str:
        """On which tokens it acts, as a clause for a caption; "" where it is all but the first."""
        places = {
            "not_first": "", "all": "on all tokens", "prompt": "on the prompt only",
            "generated": "on written tokens only", "thinking": "on the thinking only", "answer": "on the answer only",
        }  # fmt: skip
        parts = [places[self.where], f"after {self.after} written tokens" if self.after else ""]
        parts.append(f"while {self.gate.words}" if self.gate is not None else "")
        return ", ".join(filter(None, parts))

    @classmethod
    def from_dict(cls, data: Any) -> SteeringSettings:
        """The reverse of :meth:`to_dict`, for data that nobody has checked. Raises UserError."""
        if not isinstance(data, dict):
            raise UserError("A steering set-up is an object with named fields.", "steer")
        known = {"fit", "regions", "mode", "where", "layers", "rotation", "vectors", "own", "after", "gate"}
        data = {name: value for name, value in data.items() if (name, value) != ("kind", cls.kind)}
        unknown = set(data) - known
        if unknown:
            raise UserError(f"A steering set-up has no field {str(sorted(map(str, unknown))[0])[:40]!r}.", "steer")
        values = dict(data)
        rows, layers = values.pop("regions", []), values.pop("layers", [])
        if not isinstance(rows, (list, tuple)) or not isinstance(layers, (list, tuple)):
            raise UserError("Regions and further blocks come as lists.", "steer")
        vectors, gate = vectors_of(values.pop("vectors", [])), gate_of(values.pop("gate", None))
        regions = tuple(_region(r) for r in rows)
        return cls(regions=regions, layers=tuple(layers), vectors=vectors, gate=gate, **values)


def vectors_of(rows: Any) -> tuple[VectorSetting, ...]:
    """The vectors of a set-up, for data that nobody has checked. Raises UserError."""
    if not isinstance(rows, (list, tuple)) or not all(
        isinstance(r, dict) and set(r) <= {"name", "strength"} for r in rows
    ):
        raise UserError("Steering vectors in a set-up are a list with the fields name and strength.", "vectors")
    return tuple(VectorSetting(r.get("name", ""), r.get("strength", 0.0)) for r in rows)


def gate_of(row: Any) -> GateSetting | None:
    """The gate of a set-up, for data that nobody has checked. Raises UserError."""
    if row is None:
        return None
    if (
        not isinstance(row, dict)
        or set(row) - {"kind", "region", "side", "value"}
        or not {"kind", "region"} <= set(row)
    ):
        raise UserError("A gate in a set-up has the fields kind, region, side and value.", "gate")
    return GateSetting(**row)


def _region(row: Any) -> RegionSetting:
    if not isinstance(row, dict) or set(row) - {"region", "strength", "factors"} or "region" not in row:
        raise UserError("A region in a set-up has the fields region, strength and factors.", "regions")
    factors = row.get("factors", [])
    if not isinstance(factors, (list, tuple)):
        raise UserError("Local factors come as a list.", "factors")
    return RegionSetting(row["region"], row.get("strength", 0.0), tuple(factors))


def _finite(value: Any, low: float, high: float, what: str) -> None:
    # Comparing refuses NaN and infinity as well, and unlike math.isfinite takes a whole number of any length.
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(f"{what} must be a number from {low:g} to {high:g}, not {str(value)[:20]}.", "strength")
