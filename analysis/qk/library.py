"""Fitted contrasts that were brought here as files, with the covariances that their subspaces are cut from.

What is fitted here lies in the result store, where another version of the code finds nothing. A contrast that travels
is therefore an artefact like any other: it names its weights and its contrast, and stands in for a fit where the store
has none.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields
from typing import Any

import numpy as np

from analysis.answer import from_wire, to_wire
from analysis.artefacts import Arrays, Wording
from analysis.errors import UserError
from analysis.models.model_facts import ModelFacts
from analysis.models.spec import ModelSpec
from analysis.qk.answers.features import FittedContrast
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.fit import ContrastFit
from analysis.shelf import Entry, Misfit, Shelf

ROTARY = ("post", "pre")
_MANIFEST = {
    **dict.fromkeys(("fingerprint", "model", "rotary", "title"), str),
    **{"model_spec": dict, "contrast": dict, "permutations": int, "answer": dict},
}


def contrast_name(fingerprint: str, contrast: ContrastSpec, rotary: str, permutations: int) -> str:
    """The name of a fitted contrast: its kind, and a hash of all that it was fitted with."""
    text = json.dumps([fingerprint, contrast.to_dict(), rotary, permutations], sort_keys=True)
    return f"{contrast.kind.replace('_', '-')}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def to_artefact(
    answer: FittedContrast, facts: ModelFacts, contrast: ContrastSpec, rotary: str, permutations: int
) -> tuple[Arrays, dict[str, Any]]:
    """Arrays and manifest of a fitted contrast."""
    data, arrays = to_wire(answer)
    manifest = {
        "fingerprint": facts.fingerprint,
        "model": facts.label,
        "model_spec": ModelSpec(facts.source).to_dict(),
        "contrast": contrast.to_dict(),
        "rotary": rotary,
        "permutations": permutations,
        "title": answer.name,
        "answer": data,
    }
    return arrays, manifest


def fit_from(answer: FittedContrast) -> ContrastFit:
    """The fit in an answer."""
    parts = {f.name: getattr(answer, f.name) for f in fields(ContrastFit)}
    return ContrastFit(**{name: value for name, value in parts.items() if value is not None})


def _decode(_name: str, arrays: Arrays, manifest: dict[str, Any]) -> ContrastFit:
    try:
        ContrastSpec.from_dict(manifest["contrast"])
    except UserError as error:
        raise Misfit(f"its contrast is none ({error.message.rstrip('.')})") from error
    if manifest["rotary"] not in ROTARY:
        raise Misfit("it does not say before or after which step its vectors were taken")
    fit = fit_from(from_wire(FittedContrast, manifest["answer"], arrays))
    check_shapes(fit)
    return fit


def check_shapes(fit: ContrastFit) -> None:
    """Misfit unless all arrays of a fit are of the same layers, heads, width and relabellings."""
    if fit.halves.ndim != 5 or fit.null_trace.ndim != 3:
        raise Misfit("its covariances or its null are of another form")
    layers, heads, _, width, _ = fit.halves.shape
    relabellings = fit.null_trace.shape[2]
    vectors, grid = (layers, heads, 2, width), (layers, heads)
    expected = {
        "halves": (layers, heads, 2, width, width),
        **dict.fromkeys(("query_mean", "key_mean", "query_gap", "key_mid"), vectors),
        **dict.fromkeys(("null_values", "null_values_centred"), (layers, heads, relabellings, width)),
        "null_trace": (layers, heads, relabellings),
        **dict.fromkeys(("query_sq", "key_sq", "trace", "trace_error", "hits"), grid),
        "attention": (layers, heads, 2),
        "scaling": (layers,),
    }
    for name, shape in expected.items():
        array = getattr(fit, name)
        if array.shape != shape or not np.issubdtype(array.dtype, np.floating):
            raise Misfit(f"its array “{name}” has another shape than its layers, heads and width")
    if len(fit.layers) != layers or not all(type(n) is int and n >= 0 for n in fit.layers) or len(fit.counts) != 2:
        raise Misfit("its layers are not those of its arrays")
    if fit.still is not None and fit.still.shape != (layers,):
        raise Misfit("its array “still” has another length than its layers")


CONTRASTS = Shelf(
    kind="contrast",
    place="contrasts",
    wording=Wording(
        field="features",
        subject="This fitted contrast",
        absent="There is no file {file}. A fitted contrast is a pair: .safetensors and .json.",
        unreadable="This fitted contrast cannot be used: {why}. Fit it again.",
        changed="{file} was changed after it was written. Fit the contrast again.",
        unusable="The fitted contrast “{name}” cannot be used: {why}. Fit it again.",
        incomplete="The fitted contrast “{name}” lacks what a fit holds. Fit it again.",
    ),
    contents=_MANIFEST,
    decode=_decode,
    size=lambda fit: sum(a.nbytes for a in vars(fit).values() if isinstance(a, np.ndarray)),
)


def contrast_entry(fingerprint: str, contrast: ContrastSpec, rotary: str, permutations: int) -> Entry | None:
    """The fitted contrast on the shelf that was fitted to those weights in that way; the newest of several."""
    wanted = contrast_name(fingerprint, contrast, rotary, permutations)
    named = [e for e in CONTRASTS.entries() if e.name == wanted or e.name.startswith(f"{wanted}-")]
    return next((e for e in named if e.manifest["fingerprint"] == fingerprint), None)
