"""A sweep: where one region acts, over blocks and prices, or over two of its local factors at one price.

Strengths at different blocks are not comparable, so each cell is brought to its KL first, and only then is the effect
read: the mean gain in log-odds of some words at the next token. Any push of a size raises words a little, so random
pushes of the same KL are measured at every cell. Three levels, each a job of its own with an answer of its own, refine
the grid; the coarser ones stay when a finer one is cancelled, and cells that were measured are not measured again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

import numpy as np

from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.engine.operation import Operation
from analysis.engine.question import Kind
from analysis.engine.spread import Bench
from analysis.errors import UserError
from analysis.fields import Choice, Real, Text, Whole
from analysis.mfa.answers.sweep import Sweep
from analysis.mfa.ops.samples import subject_of
from analysis.mfa.ops.steer import Seed, UnderSteering
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.progress import Check
from analysis.steering.shares import words_in

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.mfa.library import RegionSet
    from analysis.models.loaded_model import LoadedModel
    from analysis.steering import Intervention, PromptCache

Over = Literal["blocks", "factors"]
Subject = tuple["RegionSet", "PromptCache", "Tensor"]
"""The fit, the prompt that was read, and ids (W,) of the words whose gain is read."""
Made = Callable[[float], list["Intervention"]]
Cell = tuple[float, float, float, float]
"""Strength, gain, mean and largest gain of the null; NaN where the KL is not reached."""
LEVELS, STEPS = 3, (6, 3, 1)
"""How far apart the blocks of each level are, counted from the fit's own."""
KLS = ((0.05, 0.25, 1.0), (0.05, 0.1, 0.25, 0.5, 1.0), (0.05, 0.1, 0.25, 0.5, 1.0))
FACTORS = (3, 5, 9)
"""Values of a factor at each level, from -END to END spreads."""
END = 3.0
DRAWS, FAR = 3, 4.0
"""Random pushes of the null, and up to how many times the centroid's distance they are taken."""
NAN = float("nan")


@dataclass(frozen=True)
class SteerSweep(UnderSteering[Sweep]):
    """The gain of some words at the next token under one region of the set-up alone, over blocks and KLs ("blocks": its
    direction, added at one block at a time), or over two local factors at the KL ``target`` ("factors": at the fit's
    block, the strength of the region making up the KL). ``words``: at commas; empty: those of the region's theme."""

    kind: ClassVar[Kind] = "job"
    region: int = 0
    over: Annotated[Over, Choice(get_args(Over), words="What is swept")] = "blocks"
    first: Annotated[int, Whole(0, 63, words="The first factor")] = 0
    second: Annotated[int, Whole(0, 63, words="The second factor")] = 1
    target: Annotated[float, Real(0.001, 20.0, words="The KL")] = 0.25
    words: Annotated[str, Text(200, words="The words")] = ""
    level: Annotated[int, Whole(0, LEVELS - 1, words="The level")] = 0
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if all(r.region != self.region for r in self.steer.regions):
            raise UserError("This region is not on the sliders. Add it first.", "region")
        if self.over == "factors" and self.first == self.second:
            raise UserError("Choose two different factors.", "second")
        if self.over == "factors" and self.steer.mode not in ("add", "interpolate"):
            raise UserError("Local factors are swept with a centroid that is added or interpolated to.", "mode")
        if self.steer.where in ("generated", "thinking", "answer") or self.steer.after:
            raise UserError(
                "A sweep reads the next token after the prompt, so positions of it must be steered.", "mode"
            )

    def built_on(self) -> tuple[Operation[Any], ...]:
        return tuple(replace(self, level=n) for n in range(self.level))

    def describe(self) -> str:
        return f"Sweep over {self.over}, region {self.region}, level {self.level + 1} of {LEVELS}"

    def run(self, context: Context) -> Sweep:
        from analysis.models.prompts import token_labels

        loaded, fit, _ = self.prepared(context)
        fit.check_region(self.region)
        if self.over == "factors" and max(self.first, self.second) >= fit.parameters.factors:
            raise UserError(f"This fit has {fit.parameters.factors} local factors in a region, from 0 on.", "first")
        if self.over == "blocks" and fit.site.kind != "residual":
            raise UserError("The direction of a fit of an MLP has no meaning at another block. Sweep factors.", "over")
        ids, named = self._targets(loaded, fit)
        rows, columns = self.grid(loaded.facts.layers, fit.site.layer)
        cells: dict[tuple[int, int], Cell] = {}
        order = [(r, c) for r in range(len(rows)) for c in range(len(columns))]
        # A finer level, or another try, begins with what was measured.
        mine = {**self.to_params(), "level": 0, "model": context.residents.identity(self.model)}
        name = hash_of(["sweep", mine, self.reads(context)])
        keys = {(r, c): f"{name} {rows[r]:g} {columns[c]:g}" for r, c in order}
        known = {place: context.memory.get(key) for place, key in keys.items()}
        lacking = [Place(rows[r], columns[c]) for r, c in order if known[r, c] is None]
        asked = Asked(self.to_params())
        measured = context.spread(loaded)(cell_of_sweep, asked, lacking, check=context.check)

        def answer() -> Sweep:
            table = np.full((4, len(rows), len(columns)), np.nan, np.float32)
            for place, cell in cells.items():
                table[:, place[0], place[1]] = cell
            return Sweep(
                self.over, self.region, fit.label(self.region), fit.site.layer, self.level, self._mode, self.target,
                (self.first, self.second), rows, columns, table[0], table[1], table[2], table[3],
                tuple(token_labels(loaded.tokenizer, ids.tolist())),
                named, DRAWS,
            )  # fmt: skip

        for n, (r, c) in enumerate(order):
            cell = known[r, c]
            if cell is None:
                cell = tuple(float(v) for v in next(measured).figures)
                context.memory.put(keys[r, c], cell, 200)
            cells[r, c] = cell
            done = answer()
            context.progress((n + 1) / len(order), f"level {self.level + 1} of {LEVELS}", sweep=plain(done))
        return answer()

    @property
    def _mode(self) -> str:
        return "add" if self.over == "blocks" else self.steer.mode

    def grid(self, layers: int, own: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """The rows and columns of this level; those of a coarser one are among them."""
        if self.over == "blocks":
            step = STEPS[self.level]
            return tuple(float(b) for b in range(layers) if (b - own) % step == 0), KLS[self.level]
        values = tuple(float(v) for v in np.linspace(-END, END, FACTORS[self.level]))
        return values, values

    def _targets(self, loaded: LoadedModel, fit: RegionSet) -> tuple[Tensor, str]:
        """Ids (W,) of the words whose gain is read, and what they are called."""
        from analysis.mfa.evaluate import word_ids

        alone = SteeringSettings(self.steer.fit, (RegionSetting(self.region, 1.0),), "add", self.steer.where)
        subject = subject_of(loaded, fit, alone)
        typed = words_in(self.words)
        ids = word_ids(loaded.tokenizer, typed or subject.words)
        if not len(ids):
            raise UserError("None of these words is a single token of this model. Type others.", "words")
        return ids, "typed" if typed else subject.name

    def subject(self, context: Context) -> Subject:
        """What every cell is measured on: made once for all of them."""
        from analysis.steering import PromptCache

        loaded, fit, prompt = self.prepared(context)
        # Not by the fingerprint alone: a model that was read again may have the same one.
        identity = context.residents.identity(self.model)
        key = ("sweep", hash_of([identity, self.to_params(), self.reads(context)]))
        subject: Subject | None = context.memory.get(key)
        if subject is None or subject[0] is not fit:
            cache = PromptCache(loaded, prompt.ids)
            subject = fit, cache, self._targets(loaded, fit)[0]
            context.memory.put(key, subject, cache.nbytes + 4 * cache.base_logits.numel())
        return subject

    def cell(self, subject: Subject, row: float, column: float, check: Check) -> Cell:
        """One cell: what the region gains at its KL, and what random pushes do at the same."""
        from analysis.mfa.evaluate import gain_at_kl

        fit, cache, ids = subject

        def gain(made: Made, target: float, high: float) -> tuple[float, float]:
            def logits(strength: float) -> Tensor:
                check()
                return cache.next_logits(made(strength))

            found = gain_at_kl(cache.base_logits, logits, ids, target, high)
            return (found.strength, found.gain) if found.met else (NAN, NAN)

        target = column if self.over == "blocks" else self.target
        strength, own = gain(self._push(fit, row, column, None), target, 1.0)
        if np.isnan(strength):
            return NAN, NAN, NAN, NAN
        far = FAR if self._mode == "add" else 1.0
        draws = [gain(self._push(fit, row, column, draw), target, far)[1] for draw in range(DRAWS)]
        reached = [value for value in draws if not np.isnan(value)]
        if not reached:
            return strength, own, NAN, NAN
        return strength, own, float(np.mean(reached)), max(reached)

    def _push(self, fit: RegionSet, row: float, column: float, draw: int | None) -> Made:
        """The push of a cell by its strength; with a ``draw``, that of the null: for blocks a random region at the
        length of this one, for factors the same centroid with two random directions of the factors' lengths."""
        import torch

        from analysis.mfa.steering import build
        from analysis.models.sites import Site
        from analysis.steering import Add

        centroid, where = fit.parameters.means[self.region], self.steer.where
        away = centroid - fit.mean
        drawn = torch.Generator().manual_seed(1_000 * self.seed + (draw or 0))
        if self.over == "blocks":
            site, vector = Site(int(row)), away
            if draw is not None:
                others = [k for k in fit.usable if k != self.region]
                if not others:
                    raise UserError("This fit has no other region for a null.", "region")
                other = others[int(torch.randint(len(others), (1,), generator=drawn))]
                vector = fit.parameters.means[other] - fit.mean
                vector = vector / vector.norm().clamp(min=1e-12) * away.norm()
            return lambda strength: [Add(site, vector, strength, where=where)]
        part = fit.part([self.region], self.steer.rotation).loadings[0][:, [self.first, self.second]]
        part = part * fit.spread(self.steer.rotation)[self.region, [self.first, self.second]]
        if draw is not None:
            turned = torch.randn(part.shape, generator=drawn)
            part = turned / turned.norm(dim=0) * part.norm(dim=0)
        offset = part @ torch.tensor([row, column])
        own = replace(self.steer, layers=(), own=True, vectors=())
        return lambda strength: build(own, fit, [centroid], [offset], [strength])


@dataclass(frozen=True)
class Asked:
    """The settings of a sweep, as they travel."""

    params: dict[str, Any]


@dataclass(frozen=True)
class Place:
    """A cell's place: block and KL, or the values of two factors."""

    row: float
    column: float


@dataclass(frozen=True)
class Figures:
    """A :data:`Cell`, (4,) float64."""

    figures: np.ndarray


def cell_of_sweep(bench: Bench, asked: Asked, place: Place) -> Figures:
    """One cell, as a shard of a sweep."""
    # The model as it is held there: by its own specification it might be loaded a second time.
    sweep = replace(SteerSweep.from_params(asked.params), model=bench.loaded.spec)
    return Figures(np.array(sweep.cell(sweep.subject(bench.surroundings), place.row, place.column, bench.check)))


def plain(sweep: Sweep) -> dict[str, Any]:
    """What a picture of a growing sweep needs, as JSON-able data; None in cells that are not there."""
    arrays = {
        name: [[None if np.isnan(v) else round(float(v), 4) for v in row] for row in getattr(sweep, name)]
        for name in ("strength", "gain", "null", "null_high")
    }
    rest = {f: getattr(sweep, f) for f in Sweep.__dataclass_fields__ if f not in arrays}
    return {**rest, **arrays}


def sweep_from(data: dict[str, Any]) -> Sweep:
    """The reverse of :func:`plain`."""
    arrays = {
        name: np.array([[np.nan if v is None else v for v in row] for row in data[name]], np.float32)
        for name in ("strength", "gain", "null", "null_high")
    }
    lists = {name: tuple(data[name]) for name in ("axes", "rows", "columns", "tokens")}
    return Sweep(**{**data, **arrays, **lists})
