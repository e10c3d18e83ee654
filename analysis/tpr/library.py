"""Probe sets: all probes of one OthelloGPT in one safetensors file, with a manifest of what they are and how good.

A set belongs to weights, not to a path: its name begins with the fingerprint of the model it was fitted on, so that
probes never read a network that they were not made for. The bundled model's set comes with Attune; sets fitted on the
page lie in the data folder. Files are written under another name and renamed; they are read only if their checksum is
the one in the manifest.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load, save_file

from analysis import foreign
from analysis.artefacts import MAX_ARRAYS, MAX_MANIFEST
from analysis.errors import UserError
from analysis.home import folder

if TYPE_CHECKING:
    from torch import nn

    from analysis.tpr.probes import Probe

BUNDLED = Path(__file__).resolve().parent.parent / "data" / "othello" / "probes"
_MANIFEST = {
    "model": str,
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
    arrays: dict[str, NDArray] = field(default_factory=dict)
    _open: dict[str, Any] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> str:
        """Fingerprint of the model."""
        return str(self.manifest["model"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One row for each probe."""
        return list(self.manifest["rows"])

    def add(self, kind: str, layer: int, labels: str, probe: Probe, **scores: Any) -> None:
        """Enter a fitted probe with its scores."""
        arrays, settings = probe.to_arrays()
        key = f"{kind}/{layer}/{labels}"
        self.arrays |= {f"{key}/{name}": np.ascontiguousarray(value) for name, value in arrays.items()}
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
                raise UserError(
                    f"There is no {KIND_NAMES.get(kind, kind)} probe of block {layer} with {labels} labels for this "
                    "model yet. Fit it under “Model and probes”.",
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


def new_set(model: str, **facts: Any) -> ProbeSet:
    """An empty set for a model."""
    return ProbeSet({"format": 1, "model": model, "rows": [], **facts})


def save_set(probes: ProbeSet, path: Path) -> None:
    """Write ``<path>.safetensors`` and ``<path>.json``; whoever reads meanwhile gets the old pair or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + f".{os.getpid()}.new")
    save_file(probes.arrays, new)
    digest = hashlib.sha256(new.read_bytes()).hexdigest()
    target = path.with_name(f"{path.name}-{digest[:12]}.safetensors")
    os.replace(new, target)
    manifest = {**probes.manifest, "sha256": digest, "file": target.name}
    text = path.with_name(path.name + f".{os.getpid()}.json.new")
    text.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    os.replace(text, path.with_name(path.name + ".json"))
    for old in path.parent.glob(f"{path.name}-*.safetensors"):
        if old != target:
            old.unlink(missing_ok=True)


def load_set(path: Path) -> ProbeSet:
    """Read a set back. Raises UserError(field="probe"): missing, damaged, or not such a set."""
    record = path.with_name(path.name + ".json")
    if not record.exists():
        raise UserError("There are no probes for this model yet. Fit them under “Model and probes”.", "probe")
    with foreign.reading("The file of probes cannot be read. Fit the probes again.", "probe"):
        manifest = foreign.read_json(record, MAX_MANIFEST, "probe")
        target = path.with_name(Path(str(manifest["file"])).name)
        if not target.exists():
            raise UserError("There are no probes for this model yet. Fit them under “Model and probes”.", "probe")
        body = foreign.read_bytes(target, MAX_ARRAYS, "probe")
        if hashlib.sha256(body).hexdigest() != manifest["sha256"]:
            raise UserError(
                "The file of probes is not the one that its manifest describes. Fit the probes again.", "probe"
            )
        manifest = foreign.Record(manifest, "The file of probes", "probe")
        fault = foreign.misfit(manifest, _MANIFEST)
        if fault:
            raise UserError(f"The file of probes cannot be used: {fault}. Fit the probes again.", "probe")
        return ProbeSet(manifest, load(body))


def place_of(model: str) -> Path:
    """Where the set of a model lies: with Attune for the bundled model, else in the data folder."""
    bundled = BUNDLED.with_name(BUNDLED.name + ".json")
    if bundled.exists() and json.loads(bundled.read_text("utf-8")).get("model") == model:
        return BUNDLED
    return folder("othello") / model


def set_for(model: str) -> ProbeSet:
    """The probes of a model: those fitted here over those that came with Attune. Empty if there are none."""
    own = folder("othello") / model
    if own.with_name(own.name + ".json").exists():
        return load_set(own)
    place = place_of(model)
    if not place.with_name(place.name + ".json").exists():
        return new_set(model)
    return load_set(place)
