"""Steering vectors of others that a set-up uses, carried in its file, so that it opens where they are not.

They travel beside the set-up's own vectors as they lie on the shelf, with checksums, and are put on the shelf of the
machine that opens the file if it has none of that name: a name holds the digest of its vectors and weights, so equal
names are equal vectors.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from analysis import foreign
from analysis.artefacts import Arrays, without_folder
from analysis.errors import UserError
from analysis.mfa.part import digest_of, metadata_of
from analysis.mfa.settings import MAX_VECTORS, SteeringSettings
from analysis.mfa.vectors import VECTORS, named_vectors, vectors_name
from analysis.models.spec import ModelSpec
from analysis.shelf import is_name

PREFIX = "others."
_METADATA = "attune_vectors"
_DAMAGED = "The steering vectors that came with this set-up cannot be read. Save the set-up again."
_KEPT = ("fingerprint", "model", "model_spec", "origin", "title", "hint", "width")


@dataclass(frozen=True)
class Carried:
    """Vectors as they came with a set-up: the ``name`` that it calls them by, and their pair."""

    name: str
    arrays: Arrays
    manifest: dict[str, Any]


def with_vectors(body: bytes, steer: SteeringSettings) -> bytes:
    """The file of a set-up with the vectors of others that it uses beside its own. Raises UserError("vectors") for
    those that are not here."""
    if not steer.vectors:
        return body
    rows: list[dict[str, Any]] = []
    tensors: dict[str, torch.Tensor] = {}
    for number, setting in enumerate(steer.vectors):
        kept = named_vectors(setting.name)
        arrays = {f"direction.{block}": np.array(v, np.float32) for block, v in sorted(kept.vectors.items())}
        manifest = without_folder({k: kept.manifest[k] for k in _KEPT if k in kept.manifest})
        rows.append({"name": kept.name, "sha256": digest_of(arrays), "manifest": manifest})
        tensors |= {f"{PREFIX}{number}.{key}": torch.from_numpy(array) for key, array in arrays.items()}
    metadata = metadata_of(body) | {_METADATA: json.dumps(rows, ensure_ascii=False, allow_nan=False)}
    whole: bytes = save(load(body) | tensors, metadata)
    return whole


def vectors_in(body: bytes) -> tuple[Carried, ...]:
    """The vectors of others in the file of a set-up. Raises UserError("file") for those that were changed."""
    text = metadata_of(body).get(_METADATA)
    if text is None:
        return ()
    rows, tensors = foreign.parse_json(text, "file", "The list of vectors in this set-up"), load(body)
    found = []
    with foreign.reading(_DAMAGED, "file"):
        if not isinstance(rows, list) or len(rows) > MAX_VECTORS:
            raise UserError(_DAMAGED, "file")
        for number, row in enumerate(rows):
            start = f"{PREFIX}{number}."
            arrays = {n[len(start) :]: t.numpy() for n, t in tensors.items() if n.startswith(start)}
            name, manifest = row["name"], dict(row["manifest"])
            if not arrays or not is_name(name) or row["sha256"] != digest_of(arrays):
                raise UserError(_DAMAGED, "file")
            if name.rpartition("-")[2] != vectors_name("", arrays, str(manifest["fingerprint"])).rpartition("-")[2]:
                raise UserError(_DAMAGED, "file")  # a name that promises other vectors
            found.append(Carried(name, arrays, {k: manifest[k] for k in _KEPT if k in manifest}))
    return tuple(found)


def keep_carried(carried: tuple[Carried, ...], spec: ModelSpec, fingerprint: str) -> list[str]:
    """Put the vectors that came with a set-up on the shelf, unless they are there; the names of those that were put
    there. Those of other weights stay where they are. Raises UserError("file") for those that cannot be used."""
    names = []
    for one in carried:
        if one.manifest.get("fingerprint") != fingerprint or VECTORS.find(one.name) is not None:
            continue
        manifest = {**one.manifest, "model_spec": spec.to_dict()}
        with foreign.reading(_DAMAGED, "file"):
            if foreign.misfit(manifest, VECTORS.contents) or set(VECTORS.contents) - set(manifest):
                raise UserError(_DAMAGED, "file")
            VECTORS.decode(one.name, one.arrays, manifest)
        VECTORS.save(VECTORS.own() / one.name, one.arrays, manifest)
        names.append(one.name)
    return names
