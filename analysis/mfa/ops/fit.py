"""Operations of fitting: texts that a user brings, what a fit will cost, and the fit itself as a job."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, ClassVar, Generic, TypeVar, get_args

from analysis.answer import to_wire
from analysis.artefacts import pair_files
from analysis.corpora.sources import MIN_WORDS, keep_upload, read_source
from analysis.corpora.text_source import TextSource, source_of
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result, names_of
from analysis.errors import UserError
from analysis.fields import Choice, Whole, whole
from analysis.mfa.answers.regions import FitEstimate, Iteration, KeptTexts, NewFit
from analysis.mfa.settings import Noise
from analysis.models.sites import KINDS, Site
from analysis.models.spec import ModelSpec
from analysis.progress import portion


@dataclass(frozen=True)
class KeepTexts(Operation[KeptTexts]):
    """Take in a text file, or check the name of a dataset; answers with the source that stands for it. ``least``: how
    many words a file must have, those of a fit unless less is asked for."""

    kind: ClassVar[Kind] = "read"
    writes: ClassVar[bool] = True
    name: str = ""
    text: str = ""
    dataset: str = ""
    least: Annotated[int, Whole(1, 100_000, words="The fewest words")] = MIN_WORDS

    def run(self, context: Context) -> KeptTexts:
        if self.dataset:
            source = TextSource("dataset", self.dataset)
            sentence = f"The dataset {self.dataset} will be read from the hub when the fit starts."
        else:
            source = keep_upload(self.name, self.text.encode("utf-8", "surrogatepass"), self.least)
            passages = read_source(source)
            words = sum(len(p.text.split()) for p in passages)
            sentence = f"{source.label}: {len(passages):,} passages, {words:,} words."
        return KeptTexts(json.dumps(source.to_dict()), source.label, sentence)


A = TypeVar("A")
MAX_BLOCKS = 8
LOOK = 12_000
"""Activations of each block that are looked at before one is chosen."""


@dataclass(frozen=True)
class OfFit(Operation[A], Generic[A]):
    """A fit as the form describes it."""

    model: ModelSpec = ModelSpec("default")
    source: str = "bundled"
    site: Annotated[str, Choice(KINDS, words="The site")] = "residual"
    noise: Annotated[Noise, Choice(get_args(Noise), words="The noise")] = "shared"
    layer: Annotated[int, Whole(0, 9_999, words="The block")] = 10
    tokens: Annotated[int, Whole(1_000, 20_000_000, words="The number of tokens")] = 30_000
    regions: Annotated[int, Whole(1, 65_536, words="The number of regions K")] = 64
    factors: Annotated[int, Whole(0, 64, words="The number of local factors R")] = 8
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        source_of(self.source)
        if self.regions * (self.factors + 2) > self.tokens:
            raise UserError(
                f"{self.regions:,} regions with {self.factors} local factors each are more than {self.tokens:,} tokens "
                f"can tell apart. Take at most {self.tokens // (self.factors + 2):,} regions, or more tokens.",
                "regions",
            )

    @property
    def place(self) -> Site:
        """The site of the fit."""
        return Site(self.layer, self.site)


@dataclass(frozen=True)
class EstimateFit(OfFit[FitEstimate]):
    """Minutes, memory and disk of a fit, before it starts."""

    def run(self, context: Context) -> FitEstimate:
        from analysis.mfa.pipeline import estimate_fit

        return estimate_fit(context.model(self.model), self.place, self.tokens, self.regions, self.factors)


@dataclass(frozen=True)
class FitRegions(OfFit[NewFit]):
    """Collect activations, fit the mixture, describe its regions, keep the fit in the data folder.

    ``blocks``: if any, they are looked at first, and the fit is made at the one where themes show most, in place of
    ``layer``.
    """

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True
    blocks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.blocks, tuple) or len(self.blocks) > MAX_BLOCKS:
            raise UserError(f"At most {MAX_BLOCKS} blocks can be looked at.", "layer")
        for block in self.blocks:
            whole(block, 0, 9_999, "layer", "A block to look at")

    def describe(self) -> str:
        return f"Fit {self.regions} regions at block {self.layer}"

    def run(self, context: Context) -> Result:
        from analysis.mfa.library import REGION_SETS, save_fit
        from analysis.mfa.look import choose_site
        from analysis.mfa.pipeline import Wanted, fit_regions

        loaded = context.model(self.model)
        if max((self.layer, *self.blocks)) >= loaded.facts.layers:
            raise UserError(f"This model has blocks 0 to {loaded.facts.layers - 1}.", "layer")
        source, spread = source_of(self.source), context.spread(loaded)

        context.progress(0.0, "reading the texts")
        passages = read_source(source, context.check)
        place, share = self.place, 0.0
        bits: dict[str, float] = {}
        if self.blocks:
            sites, share = [Site(block, self.site) for block in self.blocks], 0.2
            place, bits = choose_site(
                loaded, passages, sites, min(LOOK, self.tokens), portion(context.progress, 0.0, share), spread
            )
        wanted = Wanted(place, self.tokens, self.regions, self.factors, self.noise, self.seed)
        fitted = fit_regions(loaded, passages, wanted, portion(context.progress, share, 1.0), spread, context.check)
        fitted.manifest |= {
            "looked_at": bits,
            "source": source.to_dict(),
            "model_spec": self.model.to_dict(),
            "command": "the Steering page",
        }
        name = save_fit(fitted, passages)
        facts = fitted.manifest
        settings = {**self.to_params(), "layer": place.layer, "fit": name, "history": facts["history"]}
        history = tuple(Iteration(**row) for row in facts["history"])
        sentence = (
            f"Kept as {name}: {facts['rows']:,} activations, iterations: {facts['n_iter']}, held-out log-likelihood "
            f"{facts['held_out']:.1f} nats per activation; a single diagonal Gaussian has {facts['gaussian']:.1f}."
        )
        files = names_of(*pair_files(REGION_SETS.own() / name))
        return Result(*to_wire(NewFit(name, history, sentence, settings)), files=files)
