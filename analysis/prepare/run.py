"""One run of Prepare: the parts of a plan, each performed as an operation of its own.

The run is one job, so that one line in the tray, one cancel and one connection stand for all of it; its parts are kept
by the context like jobs that a page asked for. What is on the shelves is looked at anew before each part, so that a
second run makes only what is missing, however the first one ended.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from analysis.activations.collect import collect_each
from analysis.activations.recipe import WINDOW
from analysis.corpora.passages import bundled_corpus
from analysis.engine.context import Context
from analysis.engine.question import Result
from analysis.engine.scheduler import bug
from analysis.engine.spread import Spread
from analysis.engine.store import size_of
from analysis.errors import Cancelled, UserError
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.prepare.answers import NOT_MADE, Part, Prepared
from analysis.prepare.describe import stand
from analysis.prepare.plan import Plan, Step, Want, plan
from analysis.prepare.products import State, states
from analysis.product import Level
from analysis.progress import portion
from analysis.spoken import duration, listed

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel


class Run:
    """A run for some pages of a model (all, if none is named) within ``budget`` seconds. ``files``: names below the
    data folder of what its parts wrote. ``clock``: seconds that pass."""

    def __init__(
        self,
        context: Context,
        spec: ModelSpec,
        pages: Sequence[str],
        budget: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.context, self.spec, self.pages, self.budget, self.clock = context, spec, pages, budget, clock
        self.files: list[str] = []
        self.parts: list[Part] = []
        self._tried: dict[str, int] = {}
        self._failed: set[str] = set()
        self._has_read = False
        self._began = clock()

    def make(self) -> Prepared:
        """Make the parts. Raises Cancelled; a part that cannot be made is told and left."""
        self.context.progress(0.0, "looking at what is there")
        found = self._states()
        made = plan(self._wants(found), self.budget)
        first = [step for step in made.steps if step.level == 0]
        while made.steps:
            self._part(found, made)
            found = self._states()
            wants = self._wants(found)
            # The quick levels were promised for this budget; of better ones only those for which there is time still.
            first = [step for step in first if not wants[step.want].present and wants[step.want].seconds]
            made = plan(wants, self.budget - (self.clock() - self._began))
            if first:
                later = [step for step in made.steps if step.level > 0]
                made = Plan((*first, *later), made.ends, made.left_out)
        # A better level may have taken the place of the files of the one before.
        self.files = [name for name in dict.fromkeys(self.files) if size_of(name) is not None]
        answer = Prepared(tuple(self.parts), _sentence(self.parts, found, made))
        self.context.progress(1.0, answer.sentence)  # the list of jobs keeps it, for whoever looks later
        return answer

    def _states(self) -> tuple[State, ...]:
        return states(self.context, self.spec, self.pages)[0]

    def _wants(self, found: Sequence[State]) -> list[Want]:
        """What the plan may still choose: a level that was made here is there, whatever the shelf says of it."""
        wants = []
        for state in found:
            want, name = state.want, state.product.name
            seconds = () if name in self._failed else want.seconds
            wants.append(Want(name, seconds, max(want.present, self._tried.get(name, 0))))
        return wants

    def _part(self, found: Sequence[State], made: Plan) -> None:
        """Make the first step of a plan and say what became of it."""
        step = made.steps[0]
        state = found[step.want]
        level, began = state.levels[step.level], self.clock()
        facts = {"place": len(self.parts) + 1, "places": len(self.parts) + len(made.steps), "page": state.product.page}
        told = _Told(self, state.product.name, step, sum(s.seconds for s in made.steps[1:]), facts)
        ended, text = "made", level.quality
        try:
            told(0.0)
            if level.reads and not self._has_read:
                self._read([found[s.want].levels[s.level].reads for s in made.steps if s.level == 0], told)
            self._perform(level, told)
        except Cancelled:
            raise
        except UserError as error:
            ended, text = "failed", error.message
        except Exception as error:
            ended, text = "failed", bug(error, f"Prepare, {type(level.operation).__name__}")["text"]
        if ended == "failed":
            self._failed.add(state.product.name)
        self._tried[state.product.name] = step.level + 1
        name = state.product.name
        self.parts.append(Part(state.product.page, name, level.name, ended, text, round(self.clock() - began, 1)))
        told(1.0, part=asdict(self.parts[-1]), wrote=True)

    def _read(self, reads: Sequence[Mapping[Site, int]], told: _Told) -> None:
        """One pass over the bundled texts for all quick levels to come; their own readings then go on from there."""
        self._has_read = True
        wants: dict[Site, int] = {}
        for site, tokens in (item for read in reads for item in read.items()):
            wants[site] = max(tokens, wants.get(site, 0))
        if wants:
            loaded, context = self.context.model(self.spec), PartContext(self.context, told)
            reading = portion(context.progress, 0.0, 0.1, "the texts, once for all parts: ")
            spread = context.spread(loaded)
            collect_each(
                loaded, bundled_corpus(), wants, window=WINDOW, progress=reading, check=context.check, spread=spread
            )

    def _perform(self, level: Level, told: _Told) -> None:
        result: Result = PartContext(self.context, told).perform(level.operation)
        self.files += result.files


class _Told:
    """Progress of one part, as progress of the run: which part it is and what time is left, by the predicted seconds of
    the steps to come and by how far this one is."""

    def __init__(self, run: Run, name: str, step: Step, after: float, facts: dict[str, Any]) -> None:
        self.run, self.name, self.step, self.after, self.facts = run, name, step, after, facts
        self.began = run.clock()

    def __call__(self, share: float | None, text: str = "", **more: Any) -> None:
        spent = self.run.clock() - self.began
        here = max(0.0, self.step.seconds - spent)
        if share is not None and share > 0.1 and spent > 2:  # what was seen says more than what was predicted
            here = spent * (1 - share) / share
        left = here + self.after
        passed = self.run.clock() - self.run._began
        place, places = self.facts["place"], self.facts["places"]
        sentence = f"part {place} of {places}: {self.name}, about {duration(left)} left"
        whole = min(0.999, passed / max(passed + left, 1e-9))
        self.run.context.progress(whole, sentence, **self.facts, seconds=round(left, 1), step=text, **more)


class PartContext(Context):
    """The context of one part: models, store and memory of the run, progress told as the run's."""

    def __init__(self, outer: Context, told: Callable[..., None]) -> None:
        super().__init__(outer.residents, outer.store, outer.memory)
        self._outer, self._told = outer, told
        self.on_progress = self._relay

    def _relay(self, value: dict[str, Any]) -> None:
        if "line" not in value:
            self._told(value.get("share"), str(value.get("text", "")))

    def spread(self, model: LoadedModel | None = None, seconds: float = math.inf) -> Spread:
        """That of the run."""
        return self._outer.spread(model, seconds)

    def check(self) -> None:
        """A safe point of the run."""
        self._outer.check()


def _sentence(parts: Sequence[Part], found: Sequence[State], made: Plan) -> str:
    """What a run came to."""
    good = [f"{part.name} ({part.level})" for part in parts if part.state == "made"]
    refused = [stand(state) for state in found if state.refusal]
    sentences = [f"Made: {listed(good)}." if good else "Nothing was made."]
    if not parts and not made.left_out and not refused:
        sentences = ["Nothing is left to make."]
    sentences += [f"{NOT_MADE} {part.name}. {part.text}" for part in parts if part.state == "failed"]
    sentences += refused
    sentences += [
        f"Left out: {found[n].product.name}, which takes about {duration(found[n].levels[0].cost.seconds)}."
        for n in made.left_out
    ]
    return " ".join(sentences)
