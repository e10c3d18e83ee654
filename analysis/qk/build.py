"""The results that the Validation page opens with, and the contrasts that come fitted: about two minutes on two cores.

Made are: the toy model of the fast recipe, the identities of the method on the default model, and fits of a handful of
contrasts on it, so that the Attention page explains a logit before anything was pressed.
"""

from __future__ import annotations

import argparse
import json

import numpy as np

from analysis.engine.context import Context
from analysis.models.loader import load_model
from analysis.progress import Progress
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.kept import BUNDLED, save_kept
from analysis.qk.library import CONTRASTS, contrast_name, to_artefact
from analysis.qk.ops.features import FitContrast
from analysis.qk.ops.validation import Invariants, TrainToy

FITTED = ("induction", "previous", "lexical")
"""Kinds of contrast that come fitted, each as the page adds it: default examples, options and seed."""
SMALL = ("halves", "null_values", "null_values_centred")
"""Arrays that are kept in half precision: nine tenths of the bytes."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this build."""
    parser.add_argument("--fresh", action="store_true", help="make both anew")


def run(options: argparse.Namespace, progress: Progress) -> None:
    """Train, measure, fit, and write what is not there."""
    context = Context()
    context.on_progress = lambda facts: progress(facts["share"], facts["text"])
    if options.fresh or not BUNDLED.with_suffix(".json").exists():
        toy = TrainToy().run(context)
        context.residents.put(load_model("default"))
        table = Invariants().run(context)
        facts = context.model(Invariants().model).facts
        names = {"label": facts.label, "fingerprint": facts.fingerprint, "dtype": facts.dtype, "device": facts.device}
        save_kept(toy, table, names)
    for kind in FITTED:
        fit_bundled(context, ContrastSpec(kind), fresh=options.fresh)
    progress(1.0, "all is there; --fresh makes it anew")


def fit_bundled(context: Context, contrast: ContrastSpec, *, fresh: bool = False) -> None:
    """Fit a contrast on the default model and put it on the shelf of what comes with Attune."""
    operation = FitContrast(contrast=contrast)
    facts = context.model(operation.model).facts
    settings = (contrast, operation.rotary, operation.permutations)
    path = CONTRASTS.bundled / contrast_name(facts.fingerprint, *settings)
    if path.with_suffix(".json").exists() and not fresh:
        return
    arrays, manifest = to_artefact(operation.run(context), facts, *settings)
    for name in SMALL:
        if float(np.abs(arrays[name]).max()) < float(np.finfo(np.float16).max):
            arrays[name] = arrays[name].astype(np.float16)
    path.parent.mkdir(exist_ok=True)
    CONTRASTS.save(path, arrays, json.loads(json.dumps(manifest)))
