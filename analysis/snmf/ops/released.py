"""Operation on features that others factorized: opened from a file as a factorization of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from analysis.answer import to_wire
from analysis.artefacts import pair_files
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result, names_of
from analysis.errors import UserError
from analysis.fields import Choice, Whole
from analysis.models.sites import KINDS, Site
from analysis.models.spec import ModelSpec
from analysis.snmf.answers.factorization import NewFactorization
from analysis.snmf.ops.factorization import MAX_TEXTS, passages_of

MAX_FILE = 32 << 20


@dataclass(frozen=True)
class OpenFactorization(Operation[NewFactorization]):
    """Features from a safetensors file (base64) that holds F, neurons x features; their activations are solved for over
    texts, described and scored, and all of it is kept as a factorization. ``texts`` as for a fit."""

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    file: str = ""
    layer: Annotated[int, Whole(0, 9_999, words="The block")] = 25
    site: Annotated[str, Choice(KINDS, words="The site")] = "mlp_hidden"
    tokens: Annotated[int, Whole(2, 1_000_000, words="The number of tokens")] = 9_000
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 0
    texts: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.file, str) or not self.file:
            raise UserError("Choose a safetensors file of features.", "file")
        if len(self.file) > 4 * MAX_FILE // 3 + 8:
            raise UserError(f"A file of features has at most {MAX_FILE >> 20} MB.", "file")
        if not isinstance(self.texts, str) or len(self.texts) > MAX_TEXTS:
            raise UserError(f"Own passages can have {MAX_TEXTS:,} characters together. Take fewer.", "texts")

    def describe(self) -> str:
        return f"Open features of the {Site(self.layer, self.site).label}"

    def run(self, context: Context) -> Result:
        from analysis.corpora.text_source import TextSource
        from analysis.models.hooks import site_width
        from analysis.snmf.learning import Wanted
        from analysis.snmf.library import FACTORIZATIONS, curve_of, save_factorization
        from analysis.snmf.released import open_features, read_features

        loaded = context.model(self.model)
        if self.layer >= loaded.facts.layers:
            raise UserError(f"This model has blocks 0 to {loaded.facts.layers - 1}.", "layer")
        place = Site(self.layer, self.site)
        features, digest = read_features(self.file, site_width(loaded, place))
        passages, kept = passages_of(self.texts)
        wanted = Wanted(place, self.tokens, len(features), seed=self.seed)
        fit = open_features(loaded, features, digest, passages, wanted, context.progress)
        fit.manifest |= {
            "source": TextSource().to_dict(),
            "model_spec": self.model.to_dict(),
            "command": "a file opened on the MLP features page",
            **kept,
        }
        name = save_factorization(fit, passages)
        m = fit.manifest
        sentence = (
            f"Kept as {name}: {len(features):,} features of a file, solved for on {m['tokens']:,} tokens; "
            f"{m['explained']:.0%} of the squared length explained."
        )
        files = names_of(*pair_files(FACTORIZATIONS.own() / name))
        return Result(*to_wire(NewFactorization(name, sentence, curve_of(m["curve"]))), files=files)
