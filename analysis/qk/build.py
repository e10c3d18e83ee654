"""The results that the Validation page opens with, about a minute on two cores.

Made are: the toy model of the fast recipe, and the identities of the method on the default model.
"""

from __future__ import annotations

import argparse

from analysis.engine.context import Context
from analysis.models.loader import load_model
from analysis.progress import Progress
from analysis.qk.kept import BUNDLED, save_kept
from analysis.qk.ops.validation import Invariants, TrainToy


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this build."""
    parser.add_argument("--fresh", action="store_true", help="make both anew")


def run(options: argparse.Namespace, progress: Progress) -> None:
    """Train, measure, and write both, unless they are there."""
    if BUNDLED.with_suffix(".json").exists() and not options.fresh:
        progress(1.0, "they are there; --fresh makes them anew")
        return
    context = Context()
    context.on_progress = lambda facts: progress(facts["share"], facts["text"])
    toy = TrainToy().run(context)
    context.residents.put(load_model("default"))
    table = Invariants().run(context)
    facts = context.model(Invariants().model).facts
    names = {"label": facts.label, "fingerprint": facts.fingerprint, "dtype": facts.dtype, "device": facts.device}
    save_kept(toy, table, names)
