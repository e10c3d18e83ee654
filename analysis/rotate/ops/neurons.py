"""Operations on neurons: what is known of them, one weight vector, the layer map, the null, a search by token."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

import numpy as np

from analysis.answer import from_wire, to_wire
from analysis.artefacts import pair_files
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result, names_of
from analysis.errors import UserError
from analysis.fields import Choice, Whole
from analysis.models.spec import ModelSpec
from analysis.rotate.answers.neurons import (
    Band,
    ChannelMatch,
    ChannelSearch,
    KnownNull,
    LayerMap,
    LayerShare,
    Measurement,
    NeuronsKnown,
    Place,
    ReadyNeuron,
    Token,
    TokenGroup,
    VectorCard,
)
from analysis.rotate.width import FULL, NARROW, WIDTHS

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.models.loaded_model import LoadedModel
    from analysis.rotate.library import NeuronLibrary
    from analysis.rotate.vectors import NeuronVectors

A = TypeVar("A")
KINDS = ("gate", "up", "down", "in")


def vectors_of(loaded: LoadedModel) -> NeuronVectors:
    """The weight vectors of a loaded model, found once. UserError if none can be read."""
    from analysis.rotate.vectors import NeuronVectors

    if "neurons" not in loaded.extras:
        loaded.extras["neurons"] = NeuronVectors(loaded)
    return loaded.extras["neurons"]  # type: ignore[no-any-return]


@dataclass(frozen=True)
class OnNeurons(Operation[A]):
    """A model with its neurons."""

    model: ModelSpec = ModelSpec("default")

    def reads(self, context: Context) -> str:
        """The checksum of the null that the answer is held against: measured anew, it makes another answer."""
        from analysis.rotate.library import MEASUREMENTS

        return MEASUREMENTS.checksums(context.residents.fingerprint(self.model) or "")

    def opened(self, context: Context) -> tuple[NeuronVectors, NeuronLibrary | None]:
        """Weight vectors, and the measurements if there are any."""
        from analysis.rotate.library import open_library

        loaded = context.model(self.model)
        return vectors_of(loaded), open_library(context.memory, loaded.facts.fingerprint)

    def measured(self, context: Context) -> tuple[NeuronVectors, NeuronLibrary]:
        """Both, or a sentence that says what to do."""
        vectors, library = self.opened(context)
        if library is None:
            raise UserError(
                "The neurons of this model have not been measured yet, and without channels of random vectors nothing "
                "could be said of a neuron's. Press Measure.",
                "model",
            )
        return vectors, library


@dataclass(frozen=True)
class NeuronFacts(OnNeurons[NeuronsKnown]):
    """Which vectors a model has, what is known of random ones, and which neurons' channels are ready."""

    def run(self, context: Context) -> NeuronsKnown:
        vectors, library = self.opened(context)
        facts = vectors.loaded.facts
        first = Place(vectors.layers[-1], "down", 0)
        known = NeuronsKnown(
            layers=len(vectors.layers),
            layer_numbers=tuple(vectors.layers),
            neurons=vectors.neurons,
            vectors=tuple(vectors.kinds),
            hidden=facts.hidden,
            vocabulary=facts.vocabulary,
            projection=vectors.said(),
            measured=library is not None,
            why_not="" if library else "The neurons of this model have not been measured yet.",
            estimate=estimate(vectors),
            null=None,
            start=first,
            bundled=(),
            shares=(),
            caption=f"{len(vectors.layers)} blocks of {vectors.neurons:,} neurons with the vectors "
            f"{', '.join(vectors.kinds)}, read through {vectors.said()}.",
        )
        return known if library is None else _with_measurements(known, vectors.loaded, library)


def _with_measurements(known: NeuronsKnown, loaded: LoadedModel, library: NeuronLibrary) -> NeuronsKnown:
    from analysis.rotate.reading import LEVEL

    rows = tuple(_ready(row, LEVEL) for row in library.made)
    best = max(rows, key=lambda r: (r.beyond, r.own_z), default=None)
    command = library.manifest.get("command", "the Measure button of this page")
    return replace(
        known,
        null=_null(loaded, library),
        bundled=rows,
        shares=tuple(_share(row, library) for row in library.manifest.get("shares", [])),
        start=_strongest(known, library) if best is None else Place(best.layer, best.vector, best.neuron),
        caption=f"Null, layer map and {len(rows)} neurons' channels were made by: {command}.",
    )


def _strongest(known: NeuronsKnown, library: NeuronLibrary) -> Place:
    """The neuron of highest kurtosis among those of the layer map's later half that write."""
    first, kind = known.layers // 2, max(range(len(known.vectors)), key=lambda i: known.vectors[i] == "down")
    values = np.nan_to_num(library.arrays["kurtosis"][first:, kind].astype(np.float32), nan=-np.inf)
    layer, neuron = np.unravel_index(int(values.argmax()), values.shape)
    return Place(known.layer_numbers[first + int(layer)], known.vectors[kind], int(neuron))


def _null(loaded: LoadedModel, library: NeuronLibrary) -> KnownNull:
    from analysis.models.prompts import token_labels

    null = library.null("unembedding")
    counts = library.manifest["projections"]["unembedding"]
    low, middle, high = null.band("own_z")
    sentence = (
        f"{null.vectors} random vectors with {null.rounds} channels each: the best of them is favoured by its vector "
        f"by {middle:.1f} standard deviations, in one of twenty by {high:.1f} or more. Left out beforehand: "
        f"{counts['zero']:,} tokens on which random vectors land again and again, and {counts['low']:,} of outlying "
        "norm."
    )
    if library.narrow:
        sentence = f"{library.narrow_words()} {sentence}"
    groups = tuple(
        TokenGroup(tuple(map(Token, g.tokens, token_labels(loaded.tokenizer, list(g.tokens)))), g.share)
        for g in library.attractors("unembedding")
    )
    return KnownNull(null.vectors, null.rounds, sentence, (low, middle, high), groups, library.narrow or None)


def _share(row: dict[str, Any], library: NeuronLibrary) -> LayerShare:
    """A row of the table of shares, with the stricter null where there is one."""
    share = from_wire(LayerShare, row, {})
    like = library.arrays.get(f"like.{share.layer}.own_z")
    if share.vector != "down" or like is None:
        return share
    own = library.null(library.projection_of(share.layer)).own_z.numpy()
    limit = np.quantile(own[:, : like.shape[1]], 0.95, axis=0)
    return replace(share, like_layer=float((like > limit).mean()))


def _ready(row: dict[str, Any], level: float) -> ReadyNeuron:
    channels = row["channels"]
    best = max(channels, key=lambda c: c["own_z"])
    beyond = [c for c in channels if c["p"] <= level]
    words = " ".join(t for c in (beyond or [best]) for t in c["tokens"]).replace("␣", "").lower()
    return ReadyNeuron(
        layer=row["layer"],
        vector=row["vector"],
        neuron=row["neuron"],
        kurtosis=row["kurtosis"],
        own_z=best["own_z"],
        percentile=best["percentile"],
        beyond=len(beyond),
        channels=len(channels),
        nothing=not beyond,
        top=tuple(best["tokens"][:5]),
        words=f"{row['layer']} {row['vector']} {row['neuron']} {words}",
    )


def estimate(vectors: NeuronVectors) -> str:
    """What measuring costs, from the size of the model: a guess from a laptop's speed, or a large GPU's."""
    facts = vectors.loaded.facts
    shape = (facts.hidden, facts.vocabulary, len(vectors.layers) * len(vectors.kinds), vectors.neurons)
    minutes = FULL.operations(*shape) / (6e10 if facts.device == "cpu" else 2e13) / 60
    if minutes < 120:
        count = max(1, round(minutes))
        return f"Measuring takes roughly {count} minute{'s' if count > 1 else ''} here and can be cancelled."
    return f"Measuring takes roughly {minutes / 60:.0f} hours here; a GPU would do it in minutes."


@dataclass(frozen=True)
class NeuronMap(OnNeurons[LayerMap]):
    """Kurtosis of all neurons by block and kind of vector, beside the band of random vectors."""

    def run(self, context: Context) -> LayerMap:
        vectors, library = self.measured(context)
        values = library.arrays["kurtosis"].astype(np.float32)
        some = library.manifest.get("mapped")
        sample = "" if some is None else f" Of each block and kind, {some} neurons at random were measured."
        sentence = (
            "Excess kurtosis of each neuron's vector over the vocabulary. The band holds 90 % of "
            f"{library.manifest.get('band', FULL.band):,} random vectors; a block whose median and 95 % line lie in it "
            f"is not told apart from chance by this figure.{sample}"
        )
        with np.errstate(invalid="ignore"):
            return LayerMap(
                vectors=tuple(library.manifest["vectors"]),
                layers=tuple(vectors.layers),
                band=Band(*library.band("unembedding")),
                sentence=sentence,
                median=np.nanmedian(values, 2).astype(np.float32),
                upper=np.nanquantile(values, 0.95, axis=2).astype(np.float32),
                top=np.nanmax(values, 2).astype(np.float32),
            )


@dataclass(frozen=True)
class MeasureNull(OnNeurons[Measurement]):
    """Measure a model's neurons: tokens to leave out, channels of random vectors, the layer map. Kept in the data
    folder.

    ``width`` "narrow" gives a first verdict many times sooner, with numbers of its own in place of ``vectors`` and
    ``rounds``; it never takes the place of a full one.
    """

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True
    vectors: Annotated[int, Whole(40, 2_000, words="The number of random vectors")] = FULL.vectors
    rounds: Annotated[int, Whole(1, 20, words="The number of channels of each")] = FULL.rounds
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 0
    width: Annotated[str, Choice(tuple(WIDTHS), words="The width")] = FULL.name

    def describe(self) -> str:
        few = ", for a first verdict" if self.width == NARROW.name else ""
        return f"Measure the neurons of {self.model.label}{few}"

    def reads(self, context: Context) -> str:
        """Nothing: it makes the measurements, and is still the same question once they are there."""
        return ""

    def run(self, context: Context) -> Result:
        from analysis.rotate.library import MEASUREMENTS
        from analysis.rotate.measure import measure

        vectors, library = self.opened(context)
        if library is None or library.narrow or self.width == FULL.name:
            full = replace(FULL, vectors=self.vectors, rounds=self.rounds)
            width = full if self.width == FULL.name else WIDTHS[self.width]
            library = measure(
                vectors,
                width,
                seed=self.seed,
                progress=context.progress,
                check=context.check,
                spread=context.spread(vectors.loaded),
            )
            library.manifest |= {"command": "the Measure button of this page", "shares": [], "neurons": []}
            path = library.save()
        else:
            path = MEASUREMENTS.of_weights(library.manifest["fingerprint"])[0].path
        null = library.null("unembedding")
        sentence = f"Measured: {null.vectors} random vectors with {null.rounds} channels each."
        return Result(*to_wire(Measurement(sentence)), files=names_of(*pair_files(path)))


@dataclass(frozen=True)
class OfNeuron(OnNeurons[A]):
    """One weight vector."""

    layer: Annotated[int, Whole(0, 9_999, words="The block")] = 0
    vector: Annotated[str, Choice(KINDS, words="The vector")] = "down"
    neuron: Annotated[int, Whole(0, 10_000_000, words="The neuron")] = 0

    def weight(self, vectors: NeuronVectors) -> tuple[Tensor, Tensor]:
        """The vector (d,) and its projection (V, d); UserError if there is no such neuron."""
        return vectors.read(self.layer, self.vector, self.neuron), vectors.projection(self.layer)


@dataclass(frozen=True)
class NeuronVector(OfNeuron[VectorCard]):
    """A weight vector over the vocabulary: moments, tokens of both ends, histogram."""

    def run(self, context: Context) -> VectorCard:
        from analysis.rotate.reading import vector_card

        vectors, library = self.opened(context)
        w, U = self.weight(vectors)
        row, band = None, None
        if library is not None:
            place = vectors.layers.index(self.layer), list(vectors.kinds).index(self.vector)
            row, band = library.arrays["kurtosis"][place], library.band(library.projection_of(self.layer))
        return vector_card(vectors.loaded.tokenizer, w, U, row, band)


@dataclass(frozen=True)
class SearchChannels(OnNeurons[ChannelSearch]):
    """Channels made beforehand among whose tokens a typed one is."""

    text: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.text, str) or not self.text.strip() or len(self.text) > 80:
            raise UserError("Type a word or a token to look for, at most 80 characters.", "search")

    def run(self, context: Context) -> ChannelSearch:
        from analysis.models.prompts import token_labels
        from analysis.rotate.reading import LEVEL

        vectors, library = self.measured(context)
        tokenizer = vectors.loaded.tokenizer
        # The same word is a token of its own at the start of a text and after a space.
        forms = {self.text, self.text.strip(), " " + self.text.strip()}
        ids = {e[0] for f in forms if len(e := tokenizer(f, add_special_tokens=False)["input_ids"]) == 1}
        rows: list[ChannelMatch] = []
        for token in sorted(ids):
            label = token_labels(tokenizer, [token])[0]
            for row in library.search(token):
                top = next(
                    r["channels"][row["channel"] - 1]["tokens"]
                    for r in library.made
                    if all(r[k] == row[k] for k in ("layer", "vector", "neuron"))
                )
                rows.append(ChannelMatch(**row, token=label, id=token, beyond=row["p"] <= LEVEL, top=tuple(top)))
        rows.sort(key=lambda r: (not r.beyond, -r.own_z))
        count = len(library.made)
        if not ids:
            sentence = f"“{self.text.strip()}” is more than one token of this model; look for one of its pieces."
        elif not rows:
            sentence = f"No channel of the {count} neurons that were looked at holds this token."
        else:
            sentence = f"{len(rows)} channels of the {count} neurons that were looked at hold it."
        return ChannelSearch(tuple(rows), sentence)
