"""A steering set-up as one file that can be handed to a colleague.

It has to be one file, as a browser downloads one, to hold vectors exactly, and to be opened without trust. So it is a
safetensors file whose header carries a JSON manifest, with a checksum of each array; nothing in it is ever run. Every
field is checked again on reading, and a set-up that was made for another model is refused in words.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from analysis import foreign
from analysis.errors import UserError
from analysis.models.sites import Site
from analysis.steering.gate_files import gate_from_dict, gate_to_dict
from analysis.steering.operators import Add, Clamp, Interpolate, Intervention, ProjectOut

FORMAT = 1
MAX_BYTES = 50_000_000
MAX_INTERVENTIONS = 1_000
# Which field of each kind is the array, which the number.
_KINDS: dict[str, tuple[type[Any], str, str]] = {
    "interpolate": (Interpolate, "target", "strength"),
    "add": (Add, "vector", "strength"),
    "project_out": (ProjectOut, "directions", "strength"),
    "clamp": (Clamp, "direction", "value"),
}


@dataclass(frozen=True)
class SteeringSetup:
    """All that steered generation depends on.

    ``model``: its name as the Model page takes it; ``revision`` and ``fingerprint`` of its weights; ``hidden``: width
    of its residual stream. ``prompt`` and ``chat``: the text and whether the chat template is put around it.
    ``temperature``, ``top_p``, ``seed``, ``generate`` (tokens): of the generation. ``notes``: free text.
    """

    model: str
    fingerprint: str
    hidden: int
    interventions: tuple[Intervention, ...]
    revision: str = ""
    prompt: str = ""
    chat: bool = False
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    generate: int = 50
    notes: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "interventions", tuple(self.interventions))
        if len(self.interventions) > MAX_INTERVENTIONS:
            raise _bad(f"A set-up holds at most {MAX_INTERVENTIONS:,} interventions.")
        for name, limit in (("model", 500), ("fingerprint", 100), ("revision", 200), ("prompt", 20_000)):
            value = getattr(self, name)
            if not isinstance(value, str) or len(value) > limit:
                raise _bad(f"The field {name} of a set-up must be a text of at most {limit:,} characters.")
        if not isinstance(self.notes, str) or len(self.notes) > 20_000 or not isinstance(self.chat, bool):
            raise _bad("The notes of a set-up must be a text, and its chat template on or off.")
        for name, low, high in (("hidden", 1, 10**6), ("seed", 0, 2**63 - 1), ("generate", 0, 100_000)):
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise _bad(f"The field {name} of a set-up must be a whole number from {low} to {high}.")
        for name, top in (("temperature", 10.0), ("top_p", 1.0)):
            value = getattr(self, name)
            good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
            if not good or not 0 <= value <= top:
                raise _bad(f"The field {name} of a set-up must be a number from 0 to {top:g}.")

    def manifest(self) -> dict[str, Any]:
        """Everything but the vectors, as JSON-able data; of each array its name, shape and SHA-256."""
        plain = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "interventions"}
        rows = [_row(i, number) for number, i in enumerate(self.interventions)]
        return {"format": FORMAT, "kind": "steering set-up", **plain, "interventions": rows}


def save_setup(path: str | Path | None, setup: SteeringSetup) -> bytes:
    """The bytes of a set-up file, also written to ``path`` (at once or not at all) unless that is None."""
    arrays = {f"vectors.{n}": _vectors(i) for n, i in enumerate(setup.interventions)}
    body: bytes = save(arrays, {"attune": json.dumps(setup.manifest(), sort_keys=True, allow_nan=False)})
    if path is not None:
        part = Path(path).with_name(f".{Path(path).name}.part")
        try:
            part.write_bytes(body)
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    return body


def load_setup(source: bytes | str | Path) -> SteeringSetup:
    """Read a set-up from a file or from its bytes, every field and array checked.

    Raises:
        UserError(field="file"): it cannot be read, was changed after it was written, or holds what a set-up cannot.
    """
    body = _read(source)
    manifest = _header(body)
    try:
        # A part of a fit, and vectors of others, may travel beside the vectors (analysis.mfa.part, carried).
        arrays = {name: array for name, array in load(body).items() if not name.startswith(("fit.", "others."))}
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise _bad("The file is damaged: its arrays cannot be read. Save the set-up again.") from error
    plain = {f.name for f in fields(SteeringSetup)} - {"interventions"}
    rows = manifest.get("interventions")
    required = {"model", "fingerprint", "hidden"}
    if not isinstance(rows, list) or not required <= set(manifest) or len(rows) != len(arrays):
        raise _bad("The file is not a complete steering set-up. Save it again.")
    unknown = set(manifest) - plain - {"format", "kind", "interventions"}
    if unknown:
        raise _bad(f"A steering set-up has no field {str(min(unknown))[:40]!r}.")
    with foreign.reading("The file holds what a steering set-up cannot. Save the set-up again.", "file"):
        interventions = tuple(_intervention(row, arrays) for row in rows)
        return SteeringSetup(interventions=interventions, **{k: v for k, v in manifest.items() if k in plain})


def check_setup(setup: SteeringSetup, facts: Any) -> list[str]:
    """Whether a set-up fits a loaded model, by its facts (ModelFacts or their dictionary).

    Returns remarks for the reader, possibly none: the same model with other weights (a revision, another number type)
    is let through and said.

    Raises:
        UserError(field="file"): another model, or another width.
    """
    names = ("hidden", "fingerprint", "source", "label", "layers")
    known: dict[str, Any] = facts if isinstance(facts, dict) else {name: getattr(facts, name) for name in names}
    hidden, fingerprint, source, label, layers = (known[name] for name in names)
    if fingerprint == setup.fingerprint:
        return []
    load_it = f"Load {setup.model} on the Model page."
    if hidden != setup.hidden:
        raise _bad(
            f"This set-up was made for {setup.model}, with {setup.hidden} numbers per token; the loaded model has "
            f"{hidden}. {load_it}"
        )
    if setup.model not in (source, label):
        raise _bad(f"This set-up was made for {setup.model}; the loaded model is {label}. {load_it}")
    highest = max((i.site.layer for i in setup.interventions), default=0)
    if highest >= layers:
        raise _bad(f"This set-up steers block {highest}; the loaded model has blocks 0 to {layers - 1}. {load_it}")
    return [
        f"The set-up was made with other weights of {setup.model} (another revision or number type). Texts may differ."
    ]


def setup_for(facts: Any, interventions: Iterable[Intervention], **settings: Any) -> SteeringSetup:
    """A set-up for the model with these facts (ModelFacts); ``settings`` as of SteeringSetup.

    A model from a folder is named by its label, since a path says nothing on another machine and something about this.
    """
    from analysis.models.spec import ModelSpec

    named = facts.source if ModelSpec(facts.source).kind in ("default", "hub") else facts.label
    return SteeringSetup(named, facts.fingerprint, facts.hidden, tuple(interventions), facts.revision, **settings)


def _vectors(intervention: Intervention) -> Tensor:
    name = _KINDS[_kind(intervention)][1]
    # A copy, since the format refuses arrays that share memory, and one vector may serve at several sites.
    return getattr(intervention, name).clone().contiguous()  # type: ignore[no-any-return]


def _kind(intervention: Intervention) -> str:
    return next(kind for kind, (cls, _, _) in _KINDS.items() if isinstance(intervention, cls))


def _row(intervention: Intervention, number: int) -> dict[str, Any]:
    kind, array = _kind(intervention), _vectors(intervention)
    # Of a set-up without gates the file is what it was before there were any.
    gate = {} if intervention.gate is None else {"gate": gate_to_dict(intervention.gate)}
    return gate | {
        "kind": kind,
        "site": intervention.site.to_dict(),
        "where": intervention.where,
        "number": float(getattr(intervention, _KINDS[kind][2])),
        "array": f"vectors.{number}",
        "shape": list(array.shape),
        "sha256": _digest(array),
    }


def _digest(array: Tensor) -> str:
    return hashlib.sha256(array.numpy().astype("<f4").tobytes()).hexdigest()


def _intervention(row: Any, arrays: dict[str, Tensor]) -> Intervention:
    expected = {"kind", "site", "where", "number", "array", "shape", "sha256"}
    if not isinstance(row, dict) or set(row) - {"gate"} != expected or row["kind"] not in _KINDS:
        raise _bad("An intervention in the file is not described as this version of Attune does it.")
    array = arrays.get(row["array"]) if isinstance(row["array"], str) else None
    if array is None:
        raise _bad("A vector that the set-up names is missing from the file. Save the set-up again.")
    if str(array.dtype) != "torch.float32" or list(array.shape) != row["shape"]:
        raise _bad("A vector in the file has another shape or number type than the set-up says. Save it again.")
    if _digest(array) != row["sha256"]:
        raise _bad("A vector in the file was changed after it was written (its checksum differs). Save it again.")
    cls, vector, number = _KINDS[row["kind"]]
    try:
        made: Intervention = cls(
            site=Site.from_dict(row["site"]),
            where=row["where"],
            gate=gate_from_dict(row["gate"]) if "gate" in row else None,
            **{vector: array, number: row["number"]},
        )
    except UserError as error:
        raise _bad(f"The file holds an intervention that cannot be used. {error.message}") from error
    return made


def _read(source: bytes | str | Path) -> bytes:
    if not isinstance(source, bytes):
        try:
            if foreign.regular(Path(source), "file") > MAX_BYTES:
                raise _bad(f"The file is larger than {MAX_BYTES // 10**6} MB, so it is not a steering set-up.")
            source = Path(source).read_bytes()
        except OSError as error:
            raise _bad(f"The file cannot be read ({error.strerror or 'system error'}).") from error
    if len(source) > MAX_BYTES:
        raise _bad(f"The file is larger than {MAX_BYTES // 10**6} MB, so it is not a steering set-up.")
    return source


def _header(body: bytes) -> dict[str, Any]:
    """The manifest in the header, read before any array is."""
    size = int.from_bytes(body[:8], "little")
    try:
        if not 2 <= size <= len(body) - 8:
            raise ValueError("no header")
        text = json.loads(body[8 : 8 + size])["__metadata__"]["attune"]
        manifest = foreign.parse_json(text, "file", "The set-up")
    except UserError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise _bad("This is not a steering set-up of Attune. Choose a file that was saved on this page.") from error
    if not isinstance(manifest, dict) or manifest.get("kind") != "steering set-up":
        raise _bad("This is not a steering set-up of Attune. Choose a file that was saved on this page.")
    if manifest.get("format") != FORMAT:
        raise _bad("This set-up was written by another version of Attune, whose format is not known here.")
    return manifest


def _bad(message: str) -> UserError:
    return UserError(message, "file")
