"""Operations of the MLP features page: which factorizations there are, what their features are, and making another.

What an artefact holds is read beside the compute thread and needs no model; contexts, logits and typed sentences do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, TypeVar

from analysis.answer import extended, to_wire
from analysis.artefacts import pair_files
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result, names_of
from analysis.errors import UserError
from analysis.fields import Choice, Real, Whole, whole
from analysis.models.prompts import PromptText
from analysis.models.sites import KINDS, Site
from analysis.models.spec import ModelSpec
from analysis.snmf.answers.factorization import (
    ConceptGraph,
    DetectionComparison,
    FactorizationList,
    FeatureFacts,
    FeatureTable,
    NeuronOverlap,
    NewFactorization,
    SearchAnswer,
    TextReading,
)

if TYPE_CHECKING:
    from analysis.corpora.passages import Passage
    from analysis.models.loaded_model import LoadedModel
    from analysis.snmf.library import Factorization

MAX_READ = 200
MAX_TEXTS = 2_000_000
INITS = ("kmeans", "random", "svd")
SEARCH = "Words of labels, of leading tokens and of themes are searched; the number of a feature finds it too."
A = TypeVar("A")
FeatureNumber = Annotated[int, Whole(0, 1_000_000, words="The feature")]
Threshold = Annotated[float, Real(0, 1, words="The threshold")]


def checksum_of(fit: str) -> str:
    """What an answer that is read from a factorization depends on."""
    from analysis.snmf.library import FACTORIZATIONS

    return FACTORIZATIONS.checksum(fit)


@dataclass(frozen=True)
class ListFactorizations(Operation[FactorizationList]):
    """The factorizations that belong to a model, the one to open on first."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> FactorizationList:
        from analysis.snmf.library import listing

        return FactorizationList(listing(self.model, context.residents.fingerprint(self.model)))


@dataclass(frozen=True)
class FactorizationFacts(Operation[FeatureTable]):
    """What a factorization is as a whole, and one row for each of its features."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")
    fit: str = ""

    def reads(self, context: Context) -> str:
        return checksum_of(self.fit)

    def run(self, context: Context) -> FeatureTable:
        from analysis.snmf.library import open_factorization

        fit = open_factorization(context.memory, self.fit)
        return extended(FeatureTable, fit.facts(), rows=fit.rows(), search=SEARCH)


@dataclass(frozen=True)
class OfFactorization(Operation[A], Generic[A]):
    """A factorization together with the model that it was made for."""

    model: ModelSpec = ModelSpec("default")
    fit: str = ""

    def reads(self, context: Context) -> str:
        return checksum_of(self.fit)

    def opened(self, context: Context) -> tuple[LoadedModel, Factorization]:
        """Model and factorization, once they are known to belong together."""
        from analysis.snmf.library import fit_for

        loaded = context.model(self.model)
        return loaded, fit_for(context.memory, loaded, self.fit)


@dataclass(frozen=True)
class FeatureCard(OfFactorization[FeatureFacts]):
    """What a feature is: contexts, neurons, tokens of both poles, themes, detection."""

    feature: FeatureNumber = 0

    def run(self, context: Context) -> FeatureFacts:
        from analysis.snmf.card import card_of

        loaded, fit = self.opened(context)
        fit.check_feature(self.feature)
        return card_of(loaded, fit, self.feature)


@dataclass(frozen=True)
class FeatureReading(OfFactorization[TextReading]):
    """A typed sentence as tokens x features, the features held fixed."""

    text: Annotated[str, PromptText()] = ""

    def run(self, context: Context) -> TextReading:
        from analysis.models.prompts import encode_prompt
        from analysis.snmf.reading import read_text

        loaded, fit = self.opened(context)
        try:
            ids = encode_prompt(loaded, self.text, False)
        except UserError as error:
            raise UserError(error.message, "text") from error
        if len(ids) > MAX_READ:
            raise UserError(f"This text has {len(ids):,} tokens; {MAX_READ} can be read at once. Shorten it.", "text")
        return read_text(loaded, fit, ids)


@dataclass(frozen=True)
class FeatureOverlap(OfFactorization[NeuronOverlap]):
    """Which neurons some features share, and what the core and each one's own neurons do to the logits."""

    features: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.features, tuple) or not 2 <= len(self.features) <= 8:
            raise UserError("Choose 2 to 8 different features to compare.", "features")
        for feature in self.features:
            whole(feature, 0, 1_000_000, "features", "A feature")

    def run(self, context: Context) -> NeuronOverlap:
        from analysis.snmf.overlap import overlap_of

        loaded, fit = self.opened(context)
        key = ("overlap", fit.key, self.features)
        overlap: NeuronOverlap | None = context.memory.get(key)
        if overlap is None:
            overlap = overlap_of(loaded, fit, self.features)
            context.memory.put(key, overlap, 50_000)
        return overlap


@dataclass(frozen=True)
class FeatureTree(Operation[ConceptGraph]):
    """How small concepts go into larger ones: a graph whose edges reach a threshold."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")
    fit: str = ""
    threshold: Threshold = 0.15

    def reads(self, context: Context) -> str:
        return checksum_of(self.fit)

    def run(self, context: Context) -> ConceptGraph:
        from analysis.snmf.library import open_factorization
        from analysis.snmf.tree import tree_of

        return tree_of(open_factorization(context.memory, self.fit), self.threshold)


@dataclass(frozen=True)
class DetectionTable(Operation[DetectionComparison]):
    """How well features tell themes apart, layer by layer, beside all baselines: measured for the default model."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")

    def reads(self, context: Context) -> str:
        """The checksum of the table that comes with Attune."""
        from analysis.snmf.library import detection_checksum

        return detection_checksum()

    def run(self, context: Context) -> DetectionComparison:
        from analysis.snmf.library import detection_table

        return detection_table(self.model)


@dataclass(frozen=True)
class SearchFeatures(Operation[SearchAnswer]):
    """Features that push a token up, or that are active on it."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")
    text: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip() or len(self.text) > 200:
            raise UserError("Type a token or a word to look for.", "text")

    def reads(self, context: Context) -> str:
        """Names and checksums of all factorizations of this model."""
        from analysis.snmf.library import FACTORIZATIONS

        return " ".join(FACTORIZATIONS.listing(self.model.source, lambda e: f"{e.name}:{e.checksum}"))

    def run(self, context: Context) -> SearchAnswer:
        from analysis.snmf.search import search_features

        return search_features(context.memory, self.model, self.text)


def passages_of(texts: str) -> tuple[list[Passage], dict[str, Any]]:
    """The passages of a form, the bundled corpus where it is empty, and what a manifest keeps of those typed in."""
    from analysis.corpora.passages import bundled_corpus, distinct
    from analysis.corpora.text_files import pasted

    if not texts.strip():
        return bundled_corpus(), {}
    own = distinct(pasted(texts))
    return own, {"passages": [[p.text, p.theme, p.kind] if p.theme or p.kind else p.text for p in own]}


@dataclass(frozen=True)
class FitFactorization(Operation[NewFactorization]):
    """Collect activations, factorize them, describe and score the features, keep all of it in the data folder.

    ``levels``: sizes of all levels of a tree or of those above ``features``; empty for none. ``texts``: own passages,
    one on each line, or rows with themes as :func:`~analysis.corpora.text_files.pasted` takes them; empty for the
    bundled corpus.
    """

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True
    model: ModelSpec = ModelSpec("default")
    layer: Annotated[int, Whole(0, 9_999, words="The block")] = 25
    site: Annotated[str, Choice(KINDS, words="The site")] = "mlp_hidden"
    features: Annotated[int, Whole(1, 4_000, words="The number of features K")] = 100
    kept: Annotated[float, Real(1e-4, 1, words="The share of neurons kept")] = 0.01
    init: Annotated[str, Choice(INITS, words="The start")] = "kmeans"
    iterations: Annotated[int, Whole(1, 20_000, words="The number of iterations")] = 400
    tokens: Annotated[int, Whole(2, 1_000_000, words="The number of tokens")] = 9_000
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 0
    levels: tuple[int, ...] = ()
    texts: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.levels, tuple) or len(self.levels) > 6:
            raise UserError(
                "A tree has at most six levels, given as numbers of concepts, such as 200, 100, 50.", "levels"
            )
        for level in self.levels:
            whole(level, 1, 4_000, "levels", "A level's number of concepts")
        if not isinstance(self.texts, str) or len(self.texts) > MAX_TEXTS:
            raise UserError(f"Own passages can have {MAX_TEXTS:,} characters together. Take fewer.", "texts")
        if self.features > self.tokens:
            raise UserError(
                f"{self.features:,} features are more than {self.tokens:,} tokens can tell apart. Take fewer features, "
                "or more tokens.",
                "features",
            )

    def describe(self) -> str:
        return f"Factorize the {Site(self.layer, self.site).label} into {self.features} features"

    def run(self, context: Context) -> Result:
        from analysis.corpora.text_source import TextSource
        from analysis.models.hooks import site_width
        from analysis.snmf.learning import Wanted
        from analysis.snmf.library import FACTORIZATIONS, curve_of, save_factorization
        from analysis.snmf.pipeline import factorize

        loaded = context.model(self.model)
        if self.layer >= loaded.facts.layers:
            raise UserError(f"This model has blocks 0 to {loaded.facts.layers - 1}.", "layer")
        wanted = Wanted(
            Site(self.layer, self.site), self.tokens, self.features, self.kept, self.init, self.iterations, self.seed,
            self.levels,
        )  # fmt: skip
        site_width(loaded, wanted.site)  # a site that is not there is refused before anything is read
        passages, kept = passages_of(self.texts)
        fit = factorize(loaded, passages, wanted, context.progress, context.spread(loaded), context.check)
        fit.manifest |= {
            "source": TextSource().to_dict(),
            "model_spec": self.model.to_dict(),
            "command": "the MLP features page",
            **kept,
        }
        name = save_factorization(fit, passages)
        m = fit.manifest
        sentence = (
            f"Kept as {name}: {m['tokens']:,} tokens, {m['n_iter']} iterations in {m['fit_seconds']:g} s; "
            f"{m['explained']:.0%} of the squared length explained."
        )
        files = names_of(*pair_files(FACTORIZATIONS.own() / name))
        return Result(*to_wire(NewFactorization(name, sentence, curve_of(m["curve"]))), files=files)
