"""How long a model of one's own takes to show something on every page. ``python -m benchmarks.prepare [MODEL]``

The model is one of random weights in the shape of Gemma 3 270M (:mod:`benchmarks.shaped_model`), unless a folder is
named. It is loaded, read once for the Attention page, and each product is made at its quick level in a data folder of
its own, as Prepare makes it; on the Neurons page the channels of the neuron that it opens on are found too, since a
verdict is what one comes for. Seconds are given beside those of the processor: on a machine that others use, half the
second number is what two idle cores take. What the full measuring of the neurons would take is counted from its
descents, each as long as one that is timed in the same run. With ``--all``, *Prepare all* under a budget of 15 minutes
is measured instead of the parts.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from analysis.engine.context import Context
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.home import home
from analysis.models.loader import load_model
from analysis.models.spec import ModelSpec
from analysis.prepare.ops.prepare import PrepareModel
from analysis.prepare.products import states
from analysis.qk.ops.prompt import TracePrompt
from analysis.rotate.channels import VocabularyChannels
from analysis.rotate.ops.channels import FindChannels
from analysis.rotate.ops.neurons import NeuronFacts, vectors_of
from analysis.rotate.width import FULL
from benchmarks.narrow_null import timed
from benchmarks.shaped_model import model_folder

PROMPT = "When Mary and John went to the store, John gave a drink to"
BUDGET = 900.0


class Clock:
    """Lines of a table, printed as they come: seconds, and seconds of the processor."""

    def __init__(self) -> None:
        self.rows: dict[str, Any] = {}
        self.busy = 0.0

    def time(self, name: str, call: Callable[[], Any], more: str = "") -> Any:
        """What a call gives; its line is printed."""
        value, wall, self.busy = timed(call)
        self.rows[name] = f"{wall:.0f} s, {self.busy:.0f} s of the processor{more}"
        print(f"{name}: {self.rows[name]}", flush=True)
        return value


def measure(source: str, together: bool, pages: list[str]) -> dict[str, Any]:
    """The lines for a model; of all pages, if none is named."""
    spec, clock = ModelSpec(source), Clock()
    residents = Residents(limit=1)
    residents.put(clock.time("loading", lambda: load_model(spec)))
    context = Context(residents, ResultStore(home() / "results"))
    if together:
        clock.time("all pages", lambda: context.perform(PrepareModel(spec, budget=BUDGET)))
        return clock.rows
    clock.time("/attention", lambda: context.perform(TracePrompt(spec, PROMPT)))
    for state in states(context, spec, pages)[0]:
        if state.refusal:
            clock.rows[state.product.page] = state.refusal
            continue
        quick, page = state.levels[0], state.product.page
        clock.time(page, partial(context.perform, quick.operation), f"; predicted {quick.cost.seconds:.0f} s")
        if page == "/neurons":
            narrow = clock.busy
            start = NeuronFacts(spec).run(context).start
            verdict = FindChannels(spec, start.layer, start.vector, start.neuron)
            clock.time(f"{page}, channels of a neuron", partial(context.perform, verdict))
            one = _descent(context, spec)
            clock.rows[f"{page}, the full null"] = (
                f"{FULL.descents * one:.0f} s of the processor: {FULL.descents * one / narrow:.1f} times as much, the "
                "layer map left out"
            )
            print(clock.rows[f"{page}, the full null"], flush=True)
    return clock.rows


def _descent(context: Context, spec: ModelSpec, count: int = 16) -> float:
    """Seconds of the processor for a descent, of ``count`` done together."""
    vectors = vectors_of(context.model(spec))
    U = vectors.projection(vectors.layers[-1])
    drawn = torch.randn(count, U.shape[1], generator=torch.Generator().manual_seed(3))
    return timed(lambda: VocabularyChannels(1, starts=1).fit(drawn, U))[2] / count


def main(arguments: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """The comparison of the module's docstring."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("model", nargs="?", default="", help="a folder; empty for the random model")
    parser.add_argument("--all", action="store_true", help="Prepare all, with a budget of 15 minutes")
    parser.add_argument("--pages", nargs="*", default=[], help="paths, such as /steering; all if none is named")
    options = parser.parse_args(arguments)
    source = options.model or str(model_folder())
    with tempfile.TemporaryDirectory() as empty:
        os.environ["ATTUNE_HOME"] = str(Path(empty))
        return {"preparing a model": measure(source, options.all, options.pages)}


if __name__ == "__main__":
    main()
