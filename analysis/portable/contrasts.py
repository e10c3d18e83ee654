"""Fitted contrasts out of the result store, as artefacts: that is where those lie that were fitted here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from analysis.engine.context import Context
from analysis.engine.operation import rebuild
from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.portable.file import workplace
from analysis.portable.header import FIELD
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.features import FitContrast, feature_name
from analysis.shelf import Entry


@contextmanager
def contrast_of(context: Context, model: ModelSpec, contrast: ContrastSpec, rotary: str) -> Iterator[Entry]:
    """A fitted contrast as an artefact: the one in the result store, written to a folder for the while, or the one on
    the shelf. Raises UserError("file") if it was not fitted."""
    from analysis.qk.library import contrast_entry

    operation = FitContrast(model, contrast, rotary)
    with workplace() as place:
        entry = _written(context, operation, place)
        weights = context.residents.fingerprint(model)
        if entry is None and weights:
            entry = contrast_entry(weights, contrast, rotary, operation.permutations)
        if entry is None:
            raise UserError(f"“{feature_name(contrast)}” has not been fitted on this model yet. Press Fit.", FIELD)
        yield entry


@contextmanager
def stored_contrasts(context: Context, model: ModelSpec) -> Iterator[list[Entry]]:
    """All contrasts of a loaded model in the result store, as artefacts for the while."""
    with workplace() as place:
        known = context.residents.fingerprint(model) is not None
        yield [e for e in (_written(context, o, place) for o in _fitted(context, model)) if e] if known else []


def _fitted(context: Context, model: ModelSpec) -> list[FitContrast]:
    """The questions of the result store that were fits of this model by this version of the code."""
    operations = []
    for path in sorted(context.store.root.glob("??/[0-9a-f]*")):
        manifest = context.store.manifest(path.name) or {}
        if manifest.get("operation") != FitContrast.__name__:
            continue
        try:
            operation = rebuild(FitContrast.__name__, manifest["settings"])
        except (UserError, LookupError, TypeError):
            continue
        if isinstance(operation, FitContrast) and operation.model == model and context.key_of(operation) == path.name:
            operations.append(operation)
    return operations


def _written(context: Context, operation: FitContrast, place: Path) -> Entry | None:
    from analysis.qk.library import CONTRASTS, contrast_name, to_artefact

    key = context.key_of(operation)
    result = context.store.get(key) if key else None
    if result is None:
        return None
    facts = context.model(operation.model).facts
    settings = (operation.contrast, operation.rotary, operation.permutations)
    arrays, manifest = to_artefact(FitContrast.answer_from(result), facts, *settings)
    path = place / contrast_name(facts.fingerprint, *settings)
    CONTRASTS.save(path, arrays, json.loads(json.dumps(manifest)))
    return CONTRASTS.entry(path)
