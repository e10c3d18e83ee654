"""Operations on mixtures in the files of the method's authors: open one as a fit, write a fit as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from analysis.answer import to_wire
from analysis.artefacts import pair_files
from analysis.corpora.sources import read_source
from analysis.corpora.text_source import source_of
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result, names_of
from analysis.errors import UserError
from analysis.fields import Choice, Whole
from analysis.mfa.answers.regions import NewFit
from analysis.models.sites import KINDS, Site
from analysis.models.spec import ModelSpec


@dataclass(frozen=True)
class OpenMixture(Operation[NewFit]):
    """Open a trained mixture of factor analyzers for a site of the model: try it on activations, survey its regions
    over texts, keep it as a fit. ``file``: a path on this machine, or ``owner/name`` or ``owner/name:file`` of the
    hub."""

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    file: str = ""
    source: str = "bundled"
    site: Annotated[str, Choice(KINDS, words="The site")] = "residual"
    layer: Annotated[int, Whole(0, 9_999, words="The block")] = 10
    tokens: Annotated[int, Whole(1_000, 20_000_000, words="The number of tokens")] = 30_000
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.file, str) or not 0 < len(self.file.strip()) <= 1_000:
            raise UserError("Give the path of a file, or the id of a repository on the hub (owner/name).", "file")
        source_of(self.source)

    def describe(self) -> str:
        return f"Open a mixture at block {self.layer}"

    def run(self, context: Context) -> Result:
        from analysis.mfa.library import REGION_SETS, save_fit
        from analysis.mfa.released import open_released

        loaded = context.model(self.model)
        if self.layer >= loaded.facts.layers:
            raise UserError(f"This model has blocks 0 to {loaded.facts.layers - 1}.", "layer")
        source = source_of(self.source)
        passages = read_source(source, context.check)
        place = Site(self.layer, self.site)
        fit = open_released(loaded, self.file, passages, place, self.tokens, self.seed, context.progress)
        fit.manifest |= {"source": source.to_dict(), "model_spec": self.model.to_dict()}
        name = save_fit(fit, passages)
        facts = fit.manifest
        members = sum(row["size"] > 0 for row in facts["regions"])
        sentence = (
            f"Kept as {name}: {facts['released']['origin']}, {len(facts['regions']):,} regions, of which {members:,} "
            f"have members among {facts['rows']:,} activations of these texts. Log-likelihood {facts['held_out']:,.1f} "
            f"nats per activation; a single diagonal Gaussian has {facts['gaussian']:,.1f}: so it is of this model and "
            f"site. Whether it is of block {self.layer} or of one beside it, this cannot tell."
        )
        probe = (facts["held_out"], facts["gaussian"])
        answer = NewFit(name, (), sentence, {**self.to_params(), "fit": name}, probe)
        return Result(*to_wire(answer), files=names_of(*pair_files(REGION_SETS.own() / name)))
