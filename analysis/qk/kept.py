"""What the Validation page opens with: a trained toy, and the identities as measured on the default model.

Both come with Attune (``python -m analysis.build qk``), since a page that asks whether the method is right should not
answer with empty boxes. The toy is of no model; the identities belong to the weights on which they were measured, and
both say where they were made.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from analysis.answer import from_wire, to_wire
from analysis.artefacts import Wording, load_pair, save_pair
from analysis.errors import UserError
from analysis.qk.answers.validation import InvariantTable, ToyTraining
from analysis.shelf import DATA

BUNDLED = DATA / "validation" / "default"
COMMAND = "python -m analysis.build qk"
_WORDING = Wording.of("kept results of the Validation page", "model")


def save_kept(toy: ToyTraining, table: InvariantTable, model: dict[str, str], path: Path = BUNDLED) -> None:
    """Write both. ``model``: label, fingerprint, dtype and device of the model that was measured."""
    data, arrays = to_wire(toy)
    table_data, _ = to_wire(table)
    manifest = {"toy": data, "invariants": table_data, "model": model, "command": COMMAND}
    save_pair(path, arrays, manifest)


def kept_toy(path: Path = BUNDLED) -> ToyTraining:
    """The toy that comes with Attune, and in its ``source`` where it was made. UserError where it cannot be read."""
    arrays, manifest = load_pair(path, _WORDING)
    toy = from_wire(ToyTraining, dict(manifest["toy"]), arrays)
    return replace(toy, source=f"It comes with Attune: made by {manifest['command']}, not in this session.")


def kept_invariants(source: str, fingerprint: str | None, label: str, path: Path = BUNDLED) -> InvariantTable:
    """The identities of a model that come with Attune; the last note says where they were measured.

    ``fingerprint``: that of the model's weights, None while it is not loaded; then its ``source`` has to be that of the
    default model. ``label``: the model's name in the sentence. UserError where none come for these weights.
    """
    _, manifest = load_pair(path, _WORDING)
    model: dict[str, Any] = manifest["model"]
    same = source == "default" if fingerprint is None else fingerprint == model["fingerprint"]
    if not same:
        raise UserError(f"The identities have not been measured on {label} yet.", "model")
    table = from_wire(InvariantTable, dict(manifest["invariants"]), {})
    said = (
        f"These figures come with Attune: measured on {model['label']} in {model['dtype']} on {model['device']} by "
        f"{manifest['command']}, not in this session."
    )
    return noted(table, said)


def noted(table: InvariantTable, sentence: str) -> InvariantTable:
    """A table with one more note."""
    return replace(table, notes=(*table.notes, sentence))
