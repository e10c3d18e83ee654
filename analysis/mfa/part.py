"""The part of a fit that a set-up uses: its regions alone, so that a set-up opens where the fit is not.

Centroids, loadings, spreads and the mean are those of the whole fit, number for number, so the set-up steers as it did.
What depends on the other regions (shares of responsibility, neighbours) is of these regions alone, and the part says
so. It travels in the set-up's own file, beside the vectors, and becomes an ordinary small fit on the shelf.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from analysis import foreign
from analysis.artefacts import Arrays, without_folder
from analysis.errors import UserError
from analysis.mfa.artefact import encode
from analysis.mfa.library import REGION_SETS, RegionSet
from analysis.mfa.parameters import Parameters
from analysis.mfa.settings import SteeringSettings
from analysis.shelf import is_name

PREFIX = "fit."
_METADATA = "attune_fit"
_WHOLE = (
    "This set-up acts while a region is responsible, among all of its regions, of the fit {fit}, which is not here. "
    "Open the fit first, or save the set-up without the gate."
)
_DAMAGED = "The regions that came with this set-up cannot be read. Save the set-up again."


def part_of(fit: RegionSet, regions: Sequence[int]) -> RegionSet:
    """A fit of some regions of another, in their order, under a name of its own."""
    count, p, rows = len(regions), fit.parameters, torch.tensor(list(regions))
    noise = p.noise if p.noise.ndim == 1 else p.noise[rows]
    weights = p.weights[rows] / p.weights[rows].sum()
    arrays = {n: a[rows] if n != "mean" and len(a) == p.components else a for n, a in fit.arrays.items()}
    others = [[k for k in range(count) if k != region] for region in range(count)]
    arrays["near"] = torch.tensor(others, dtype=torch.int32).reshape(count, count - 1)
    manifest = {k: v for k, v in fit.manifest.items() if k not in ("sha256", "file", "passages", "first")}
    manifest["regions"] = [
        {**fit.manifest["regions"][region], "region": place, "label": fit.label(region)}
        for place, region in enumerate(regions)
    ]
    digest = hashlib.sha256(json.dumps([fit.name, fit.manifest.get("sha256"), list(regions)]).encode()).hexdigest()
    manifest["part_of"] = {"fit": fit.name, "regions": list(regions), "of": p.components}
    name = f"{fit.name[:60]}-part-{digest[:6]}"
    return RegionSet(name, Parameters(weights, p.means[rows], p.loadings[rows], noise), fit.mean, arrays, manifest)


def with_part(body: bytes, part: RegionSet) -> bytes:
    """The file of a set-up with a part of its fit beside the vectors."""
    arrays, facts = encode(part.parameters, part.arrays)
    tensors = {n: torch.from_numpy(np.array(a, order="C")) for n, a in arrays.items()}
    manifest = {"name": part.name, **without_folder(part.manifest), **facts, "sha256": digest_of(arrays)}
    metadata = metadata_of(body) | {_METADATA: json.dumps(manifest, ensure_ascii=False, allow_nan=False)}
    whole: bytes = save(load(body) | {PREFIX + n: t for n, t in tensors.items()}, metadata)
    return whole


@dataclass(frozen=True)
class Brought:
    """A part of a fit as it came with a set-up: its ``name``, which ``regions`` of the whole it has, and its pair."""

    name: str
    regions: tuple[int, ...]
    arrays: Arrays
    manifest: dict[str, Any]


def part_in(body: bytes) -> Brought | None:
    """The part of a fit in the file of a set-up, None if none came with it. Raises UserError("file") for one that was
    changed."""
    text = metadata_of(body).get(_METADATA)
    if text is None:
        return None
    manifest = foreign.parse_json(text, "file", "The fit in this set-up")
    arrays = {n[len(PREFIX) :]: t.numpy() for n, t in load(body).items() if n.startswith(PREFIX)}
    with foreign.reading(_DAMAGED, "file"):
        name, regions = manifest.pop("name"), tuple(int(n) for n in manifest["part_of"]["regions"])
        sound = all(np.isfinite(a).all() for a in arrays.values() if a.dtype.kind == "f")
        if not sound or manifest.pop("sha256") != digest_of(arrays) or not _names_part(name):
            raise UserError(_DAMAGED, "file")
    return Brought(name, regions, arrays, manifest)


def keep_part(part: Brought, steer: SteeringSettings, fingerprint: str) -> SteeringSettings | None:
    """Put the part of a fit that came with a set-up on the shelf, unless it is there; the set-up on its regions. None
    for one of other weights. Raises UserError("file") for one that cannot be used, or whose gate asks how far a region
    is responsible among all of the fit: of a part nobody can say."""
    if part.manifest.get("fingerprint") != fingerprint:
        return None
    places = {region: place for place, region in enumerate(part.regions)}
    if any(region not in places for region in regions_of(steer)):
        raise UserError(_DAMAGED, "file")
    gate = steer.gate
    if gate is not None and gate.kind == "responsibility":
        raise UserError(_WHOLE.format(fit=part.manifest["part_of"].get("fit", "its fit")), "file")
    if REGION_SETS.find(part.name) is None:
        _check(part.name, part.arrays, part.manifest)
        REGION_SETS.save(REGION_SETS.own() / part.name, part.arrays, part.manifest)
    return replace(
        steer,
        fit=part.name,
        regions=tuple(replace(r, region=places[r.region]) for r in steer.regions),
        gate=None if gate is None else replace(gate, region=places[gate.region]),
    )


def regions_of(steer: SteeringSettings) -> list[int]:
    """The regions of its fit that a set-up needs, each once: those that it steers with, and that on whose direction its
    gate looks."""
    gate = steer.gate
    read = [gate.region] if gate is not None and gate.kind == "projection" else []
    return list(dict.fromkeys([*(row.region for row in steer.regions), *read]))


def _names_part(name: Any) -> bool:
    return is_name(name) and "-part-" in name


def _check(name: str, arrays: dict[str, np.ndarray], manifest: dict[str, Any]) -> None:
    """Let the shelf's own decoder read it, before it lies on the shelf."""
    place = Path(tempfile.mkdtemp(prefix=".part-", dir=REGION_SETS.own()))
    try:
        REGION_SETS.save(place / name, arrays, manifest)
        REGION_SETS.read(place / name)
    except UserError as error:
        raise UserError(f"{_DAMAGED} {error.message}", "file") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)


def metadata_of(body: bytes) -> dict[str, str]:
    """The texts in the header of a set-up's file, which was read as one before."""
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    metadata: dict[str, str] = header.get("__metadata__", {})
    return metadata


def digest_of(arrays: dict[str, np.ndarray]) -> str:
    """SHA-256 of arrays with their names, types and shapes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()
