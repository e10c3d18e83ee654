"""Probe sets: all probes of one OthelloGPT in one pair of files, with what they are and how good.

A set belongs to weights, not to a path: its name is the fingerprint of the model it was fitted on, so that probes never
read a network that they were not made for. The bundled model's set comes with Attune; sets fitted on the page lie in
the data folder.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from analysis import foreign
from analysis.answer import from_wire
from analysis.artefacts import Arrays, Wording, manifest_path
from analysis.errors import UserError
from analysis.shelf import Misfit, Shelf
from analysis.tpr.answers.model import SITE_TITLES

if TYPE_CHECKING:
    from torch import nn

    from analysis.tpr.probes import Probe

A = TypeVar("A")
_MANIFEST = {
    "model": str,
    "others": str,
    "site": str,
    "rows": [{"kind": str, "layer": int, "labels": str, "settings": dict, "accuracy": float, "macro_f1": float}],
}
PAGE_KINDS = ("linear", "tpr", "trilinear")
DEFAULT_KINDS = ("linear", "tpr", "tpr-full", "trilinear", "low-rank")
KIND_NAMES = {
    "linear": "linear",
    "tpr": "TPR, 52 × 2",
    "tpr-full": "TPR, 64 × 2",
    "trilinear": "trilinear, 8 × 8 × 2",
    "low-rank": "low rank 80, trained",
}


def make_probe(kind: str, random_state: int = 0, **settings: Any) -> Probe:
    """An unfitted probe of a kind: ``linear``, ``tpr``, ``tpr-full``, ``trilinear``, ``low-rank`` or ``tpr-rN``."""
    from analysis.tpr.probes import LinearProbe, LowRankProbe, TPRProbe, TrilinearProbe

    if kind == "linear":
        return LinearProbe(random_state=random_state, **settings)
    if kind == "trilinear":
        return TrilinearProbe(random_state=random_state, **settings)
    if kind == "low-rank":
        return LowRankProbe(rank=80, random_state=random_state, **settings)
    roles = {"tpr": 52, "tpr-full": 64}.get(kind)
    if roles is None and kind.startswith("tpr-r") and kind[5:].isdigit():
        roles = int(kind[5:])
    if roles is None:
        raise UserError(f"There is no probe of the kind {kind[:40]!r}.", "probe")
    return TPRProbe(role_dim=roles, filler_dim=2, random_state=random_state, **settings)


def title_of(row: dict[str, Any]) -> str:
    """What a row of a set is called: by its own sizes where it came from elsewhere."""
    sizes = [row["settings"].get(name) for name in ("role_dim", "row_dim", "column_dim", "filler_dim")]
    known = " × ".join(str(n) for n in sizes if n)
    if "site" in row and known:
        return f"{'TPR' if row['kind'] == 'tpr' else row['kind']}, {known}"
    return KIND_NAMES.get(row["kind"], str(row["kind"]))


def fingerprint(model: nn.Module) -> str:
    """16 hex digits that change with any weight of a model."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(value.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


@dataclass
class ProbeSet:
    """Fitted probes by (kind, layer, labels); ``rows`` of the manifest say how good each is.

    ``arrays``: the tensors of all probes as ``kind/layer/labels/name``, and gap maps as ``baseline/key/gap``.
    """

    manifest: dict[str, Any]
    arrays: Arrays = field(default_factory=dict)
    _open: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> str:
        """Fingerprint of the model."""
        return str(self.manifest["model"])

    @property
    def site(self) -> str:
        """Where in a block its probes read, one of :data:`analysis.tpr.places.SITES`."""
        return str(self.manifest.get("site", "resid_post"))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row for each probe."""
        return list(self.manifest["rows"])

    def add(self, kind: str, layer: int, labels: str, probe: Probe, **scores: Any) -> None:
        """Enter a fitted probe with its scores."""
        arrays, settings = probe.to_arrays()
        key = f"{kind}/{layer}/{labels}"
        self.arrays |= {f"{key}/{name}": value for name, value in arrays.items()}
        self.manifest["rows"] = [
            r for r in self.manifest["rows"] if (r["kind"], r["layer"], r["labels"]) != (kind, layer, labels)
        ]
        self.manifest["rows"].append({"kind": kind, "layer": layer, "labels": labels, "settings": settings, **scores})

    def find(self, kind: str, layer: int, labels: str = "parity") -> dict[str, Any] | None:
        """The row of a probe, or None."""
        wanted = (kind, layer, labels)
        return next((r for r in self.manifest["rows"] if (r["kind"], r["layer"], r["labels"]) == wanted), None)

    def probe(self, kind: str, layer: int, labels: str = "parity") -> Probe:
        """A fitted probe, ready to read. Raises UserError(field="probe") if this set has none of that kind there."""
        from analysis.tpr.probes import Probe

        key = f"{kind}/{layer}/{labels}"
        if key not in self._open:
            row = self.find(kind, layer, labels)
            if row is None:
                missing = f"{KIND_NAMES.get(kind, kind)} probe of block {layer} with {labels} labels"
                raise UserError(
                    f"{self.manifest['others']} held no {kind} probe of block {layer} with {labels} labels."
                    if "others" in self.manifest
                    else f"There is no {missing} for this model yet. Fit it under “Model and probes”.",
                    "probe",
                )
            named = {n[len(key) + 1 :]: v for n, v in self.arrays.items() if n.startswith(key + "/")}
            with foreign.reading(f"The {kind} probe of block {layer} cannot be read. Fit the probes again.", "probe"):
                self._open[key] = Probe.from_arrays(named, row["settings"])
        found: Probe = self._open[key]
        return found

    def layers(self, kind: str, labels: str = "parity") -> list[int]:
        """The blocks that have a probe of a kind."""
        return sorted(r["layer"] for r in self.manifest["rows"] if (r["kind"], r["labels"]) == (kind, labels))


def measured(kind: type[A], entry: Any) -> A | None:
    """What an entry of a manifest holds, None where it was not measured. UserError(field="probe") for one of another
    form: sets come from elsewhere, too."""
    with foreign.reading("The figures kept with these probes cannot be read. Fit the probes again.", "probe"):
        return from_wire(kind, entry, {}) if entry else None


def new_set(model: str, **facts: Any) -> ProbeSet:
    """An empty set for a model."""
    return ProbeSet({"model": model, "rows": [], **facts})


def _decode(_name: str, arrays: Arrays, manifest: dict[str, Any]) -> ProbeSet:
    probes = ProbeSet(manifest, arrays)
    if probes.site not in SITE_TITLES:
        raise Misfit("its probes read a place that no block has")
    return probes


PROBE_SETS: Shelf[ProbeSet] = Shelf(
    kind="probes",
    place="othello",
    wording=Wording(
        field="probe",
        subject="The file of probes",
        absent="There are no probes for this model yet. Fit them under “Model and probes”.",
        unreadable="The file of probes cannot be read. Fit the probes again.",
        changed="The file of probes is not the one that its manifest describes. Fit the probes again.",
        unusable="The file of probes cannot be used: {why}. Fit the probes again.",
        incomplete="The file of probes cannot be read. Fit the probes again.",
    ),
    contents=_MANIFEST,
    decode=_decode,
    size=lambda probes: sum(a.nbytes for a in probes.arrays.values()),
    weights="model",
)
BUNDLED = PROBE_SETS.bundled / "probes"


def set_for(model: str, name: str = "") -> ProbeSet:
    """The probes of a model: those fitted or opened here, the newest of several, over those that came with Attune.
    Empty if there are none. A set of this model that is damaged is said to be, whatever else is there.

    ``name``: a set of others that was opened for it. UserError(field="probes") if there is none of that name."""
    if name:
        if name not in opened_sets(model):
            raise UserError(f"There are no probes “{name}” for this model. Open their files again.", "probes")
        return PROBE_SETS.read(PROBE_SETS.own() / name)
    own = PROBE_SETS.own() / model
    entries = sorted(
        (e for e in PROBE_SETS.of_weights(model) if "others" not in e.manifest), key=lambda entry: entry.bundled
    )
    if manifest_path(own).exists() and own not in [entry.path for entry in entries]:
        return PROBE_SETS.read(own)
    return PROBE_SETS.read(entries[0].path) if entries else new_set(model)


def opened_sets(model: str) -> tuple[str, ...]:
    """Names of the sets of others that were opened for a model, the newest first."""
    return tuple(e.name for e in PROBE_SETS.of_weights(model) if "others" in e.manifest)
