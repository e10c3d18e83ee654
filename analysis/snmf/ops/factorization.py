"""Operations of the MLP features page: which factorizations there are, what their features are, and making another.

What an artefact holds is read beside the compute thread and needs no model; contexts, logits and typed sentences do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from analysis.artefacts import pair_files
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result, names_of
from analysis.errors import UserError
from analysis.fields import choice, number, whole
from analysis.models.prompts import check_prompt
from analysis.models.sites import KINDS, Site
from analysis.models.spec import ModelSpec

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel
    from analysis.snmf.library import Factorization

MAX_READ = 200
MAX_TEXTS = 2_000_000
INITS = ("kmeans", "random", "svd")


@dataclass(frozen=True)
class ListFactorizations(Operation):
    """The factorizations that belong to a model, the one to open on first."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> Result:
        from analysis.snmf.library import listing

        return Result({"fits": listing(self.model)})


@dataclass(frozen=True)
class FactorizationFacts(Operation):
    """What a factorization is as a whole, and one row for each of its features."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")
    fit: str = ""

    def run(self, context: Context) -> Result:
        from analysis.snmf.library import open_factorization

        fit = open_factorization(context.memory, self.fit)
        keys = ("feature", "label", "top", "active", "theme", "purity", "auc", "words", "character")
        rows = [
            {**{key: row[key] for key in keys}, "auc_theme": (row["detection"] or {}).get("theme", "")}
            for row in fit.rows()
        ]
        search = "Words of labels, of leading tokens and of themes are searched; the number of a feature finds it too."
        return Result({**fit.facts(), "rows": rows, "search": search})


@dataclass(frozen=True)
class OfFactorization(Operation):
    """A factorization together with the model that it was made for."""

    model: ModelSpec = ModelSpec("default")
    fit: str = ""

    def opened(self, context: Context) -> tuple[LoadedModel, Factorization]:
        """Model and factorization, once they are known to belong together."""
        from analysis.snmf.library import fit_for

        loaded = context.model(self.model)
        return loaded, fit_for(context.memory, loaded, self.fit)


@dataclass(frozen=True)
class FeatureCard(OfFactorization):
    """What a feature is: contexts, neurons, tokens of both poles, themes, detection."""

    feature: int = 0

    def __post_init__(self) -> None:
        whole(self.feature, 0, 1_000_000, "feature", "The feature")

    def run(self, context: Context) -> Result:
        from analysis.snmf.card import card_of

        loaded, fit = self.opened(context)
        fit.check_feature(self.feature)
        return Result(card_of(loaded, fit, self.feature))


@dataclass(frozen=True)
class FeatureReading(OfFactorization):
    """A typed sentence as tokens x features, the features held fixed."""

    text: str = ""

    def __post_init__(self) -> None:
        try:
            check_prompt(self.text)
        except UserError as error:
            raise UserError(error.message, "text") from error

    def run(self, context: Context) -> Result:
        from analysis.models.prompts import encode_prompt, token_labels
        from analysis.snmf.reading import read_text

        loaded, fit = self.opened(context)
        try:
            ids = encode_prompt(loaded, self.text, False)
        except UserError as error:
            raise UserError(error.message, "text") from error
        if len(ids) > MAX_READ:
            raise UserError(f"This text has {len(ids):,} tokens; {MAX_READ} can be read at once. Shorten it.", "text")
        data, activations = read_text(loaded, fit, ids)
        labels = token_labels(loaded.tokenizer, ids)
        return Result({"labels": labels, "ids": ids, **data}, {"activations": activations})


@dataclass(frozen=True)
class FeatureOverlap(OfFactorization):
    """Which neurons some features share, and what the core and each one's own neurons do to the logits."""

    features: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.features, tuple) or not 2 <= len(self.features) <= 8:
            raise UserError("Choose 2 to 8 different features to compare.", "features")
        for feature in self.features:
            whole(feature, 0, 1_000_000, "features", "A feature")

    def run(self, context: Context) -> Result:
        from analysis.snmf.overlap import overlap_of

        loaded, fit = self.opened(context)
        key = ("overlap", fit.key, self.features)
        found = context.memory.get(key)
        if found is None:
            found = overlap_of(loaded, fit, self.features)
            context.memory.put(key, found, 50_000)
        return Result(*found)


@dataclass(frozen=True)
class FeatureTree(Operation):
    """How small concepts go into larger ones: a graph whose edges reach a threshold."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")
    fit: str = ""
    threshold: float = 0.15

    def __post_init__(self) -> None:
        number(self.threshold, 0, 1, "threshold", "The threshold")

    def run(self, context: Context) -> Result:
        from analysis.snmf.library import open_factorization
        from analysis.snmf.tree import tree_of

        return Result(tree_of(open_factorization(context.memory, self.fit), self.threshold))


@dataclass(frozen=True)
class DetectionTable(Operation):
    """How well features tell themes apart, layer by layer, beside all baselines: measured for the default model."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")

    def run(self, context: Context) -> Result:
        from analysis.snmf.library import detection_table

        return Result(detection_table(self.model))


@dataclass(frozen=True)
class SearchFeatures(Operation):
    """Features that push a token up, or that are active on it."""

    kind: ClassVar[Kind] = "read"
    model: ModelSpec = ModelSpec("default")
    text: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip() or len(self.text) > 200:
            raise UserError("Type a token or a word to look for.", "text")

    def run(self, context: Context) -> Result:
        from analysis.snmf.search import search_features

        return Result(search_features(context.memory, self.model, self.text))


@dataclass(frozen=True)
class FitFactorization(Operation):
    """Collect activations, factorize them, describe and score the features, keep all of it in the data folder.

    ``levels``: sizes of all levels of a tree or of those above ``features``; empty for none. ``texts``: own passages,
    one on each line; empty for the bundled corpus.
    """

    kind: ClassVar[Kind] = "job"
    model: ModelSpec = ModelSpec("default")
    layer: int = 25
    site: str = "mlp_hidden"
    features: int = 100
    kept: float = 0.01
    init: str = "kmeans"
    iterations: int = 400
    tokens: int = 9_000
    seed: int = 0
    levels: tuple[int, ...] = ()
    texts: str = ""

    def __post_init__(self) -> None:
        whole(self.layer, 0, 9_999, "layer", "The block")
        choice(self.site, KINDS, "site", "The site")
        whole(self.features, 1, 4_000, "features", "The number of features K")
        number(self.kept, 1e-4, 1, "kept", "The share of neurons kept")
        choice(self.init, INITS, "init", "The start")
        whole(self.iterations, 1, 20_000, "iterations", "The number of iterations")
        whole(self.tokens, 2, 1_000_000, "tokens", "The number of tokens")
        whole(self.seed, 0, 2**31 - 1, "seed", "The seed")
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
        from analysis.corpora.passages import Passage, bundled_corpus, distinct
        from analysis.corpora.text_source import TextSource
        from analysis.models.hooks import site_width
        from analysis.snmf.learning import Wanted
        from analysis.snmf.library import FACTORIZATIONS, save_factorization
        from analysis.snmf.pipeline import factorize

        loaded = context.model(self.model)
        if self.layer >= loaded.facts.layers:
            raise UserError(f"This model has blocks 0 to {loaded.facts.layers - 1}.", "layer")
        wanted = Wanted(
            Site(self.layer, self.site), self.tokens, self.features, self.kept, self.init, self.iterations, self.seed,
            self.levels,
        )  # fmt: skip
        site_width(loaded, wanted.site)  # a site that is not there is refused before anything is read
        own = bool(self.texts.strip())
        passages = distinct(map(Passage, self.texts.splitlines())) if own else bundled_corpus()

        fit = factorize(loaded, passages, wanted, context.progress)
        fit.manifest |= {
            "source": TextSource().to_dict(),
            "model_spec": self.model.to_dict(),
            "command": "the MLP features page",
        }
        if own:
            fit.manifest["passages"] = [p.text for p in passages]
        name = save_factorization(fit, passages)
        m = fit.manifest
        sentence = (
            f"Kept as {name}: {m['tokens']:,} tokens, {m['n_iter']} iterations in {m['fit_seconds']:g} s; "
            f"{m['explained']:.0%} of the squared length explained."
        )
        files = names_of(*pair_files(FACTORIZATIONS.own() / name))
        return Result({"fit": name, "sentence": sentence, "curve": m["curve"]}, files=files)
