"""The operation that finds vocabulary channels, and how its answers are remembered for those that build on them."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeVar

import numpy as np

from analysis.answer import plain_of
from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Choice, Real, Whole, whole
from analysis.progress import portion
from analysis.rotate.answers.channels import DescentPart, NeuronChannels, NullBands
from analysis.rotate.answers.neurons import Quantiles
from analysis.rotate.ops.neurons import OfNeuron

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from analysis.models.loaded_model import LoadedModel
    from analysis.rotate.attractors import Attractor
    from analysis.rotate.library import NeuronLibrary
    from analysis.rotate.null import ChannelNull
    from analysis.rotate.vectors import NeuronVectors

A = TypeVar("A")
OPTIMISERS = ("lbfgs", "adamw")
MANNERS = {"lbfgs": "L-BFGS, least loss", "adamw": "the same official recipe"}
"""How the random vectors' channels were found, in words: always as the channels that they stand beside."""
RECIPE = (
    "The official recipe: AdamW at a rate of 8e-4 from one start, of its candidates that of largest kurtosis without "
    "token weights, and masks that set a weight even where it was lower. Which tokens are weighted down beforehand is "
    "Attune's own: the authors publish a list for one model only."
)
USUAL = (0.3, 1.0, 4.0)
"""Weight of kurtosis, weight of the cosine, z-score from which tokens are masked: the settings of the kept null."""
MAX_CHANNELS, MAX_EXCLUDED = 50, 200
SMALL_NULL = 64
"""Random vectors of a null that is measured for settings of one's own."""
OFFICIAL_NULL = 20
"""Random vectors of a null that is measured by the official recipe, many times dearer: the fewest of which none being
as good means p below 0.05."""


@dataclass(frozen=True)
class OfChannels(OfNeuron[A]):
    """One weight vector, and how its channels are looked for.

    ``optimiser`` "lbfgs": two starts, the least loss is kept, masks only lower a weight. "adamw": the official recipe
    whole (arXiv 2604.06005): one start, of AdamW's candidates the one of largest kurtosis without token weights, masks
    as in the official code.
    """

    channels: Annotated[int, Whole(1, MAX_CHANNELS, words="The number of channels")] = 5
    kurtosis_weight: Annotated[float, Real(0.0, 100.0, words="The weight of kurtosis")] = 0.3
    cosine_weight: Annotated[float, Real(0.001, 100.0, words="The weight of the cosine")] = 1.0
    mask_z: Annotated[float, Real(1.0, 50.0, words="The z-score from which tokens are masked")] = 4.0
    optimiser: Annotated[str, Choice(OPTIMISERS, words="The optimiser")] = "lbfgs"
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 0
    excluded: tuple[int, ...] = ()
    fresh: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.excluded, tuple) or len(self.excluded) > MAX_EXCLUDED:
            raise UserError(f"At most {MAX_EXCLUDED} tokens can be left out.", "excluded")
        for token in self.excluded:
            whole(token, 0, 10_000_000, "excluded", "A token that is left out")
        if not isinstance(self.fresh, bool):
            raise UserError("Channels are either looked for anew or not.", "fresh")

    @property
    def official(self) -> bool:
        """Whether channels are looked for by the official recipe."""
        return self.optimiser == "adamw"

    @property
    def usual(self) -> bool:
        """Whether channels are looked for as those of the kept null were."""
        return not self.official and (self.kurtosis_weight, self.cosine_weight, self.mask_z) == USUAL

    def manner(self) -> dict[str, Any]:
        """How the estimator is to search, the number of channels and the seed apart; a null is searched alike."""
        return {
            "kurtosis_weight": self.kurtosis_weight,
            "cosine_weight": self.cosine_weight,
            "mask_z": self.mask_z,
            "optimiser": self.optimiser,
            "starts": 1 if self.official else 2,
            "compatible": self.official,
        }

    @property
    def ready(self) -> bool:
        """Whether channels made beforehand may answer."""
        plain = (self.seed, self.excluded) == (0, ())
        return self.usual and plain and not self.fresh

    def settings(self) -> dict[str, Any]:
        """What an export prints below a figure."""
        params = self.to_params()
        plain = {f.name: params[f.name] for f in fields(OfChannels) if f.name not in ("model", "fresh")}
        return plain | {name: self.manner()[name] for name in ("starts", "compatible")}

    def manner_beside(self, library: NeuronLibrary) -> dict[str, Any]:
        """:meth:`manner`, and under the usual settings with the starts of the kept null's random vectors."""
        return self.manner() | ({"starts": library.starts} if self.usual else {})

    def key(self, library: NeuronLibrary) -> Any:
        """What equal questions share, fresh or not; measured anew, a model has other tokens to leave out."""
        known = (library.manifest["fingerprint"], library.stamp)
        return ("channels", known, hash_of(self.settings() | self.manner_beside(library)))


@dataclass(frozen=True)
class FindChannels(OfChannels[NeuronChannels]):
    """The vocabulary channels of a weight vector, each with its place among those of random vectors."""

    kind: ClassVar[Kind] = "job"

    def describe(self) -> str:
        return f"Channels of {self.vector} {self.neuron}, block {self.layer}"

    def run(self, context: Context) -> NeuronChannels:
        from analysis.rotate.objective import kurtosis, z_scores
        from analysis.rotate.reading import channel_rows, geometry, histogram, left_out, verdict

        vectors, library = self.measured(context)
        w, U = self.weight(vectors)
        began = time.perf_counter()
        channels, trace, source = channels_of(self, context, vectors, library)
        null, groups = self._null(context, library, U, vectors.loaded)
        import torch

        z = z_scores(torch.cat([w[None], channels["channels"].to(w)]) @ U.T)
        rows = channel_rows(vectors.loaded.tokenizer, channels, kurtosis(z[1:]).tolist(), null, groups)
        nothing, sentence = verdict(rows, null)
        weights = library.token_weights(library.projection_of(self.layer), len(U))
        hidden, remark = left_out(vectors.loaded.tokenizer, w, U, weights)
        counts, edges = histogram(z)
        cosines, rebuilt = geometry(w.cpu(), channels["channels"].cpu().float())
        return NeuronChannels(
            channels=rows,
            nothing=nothing,
            verdict=sentence + remark + (f" {library.narrow_words()}" if self.usual and library.narrow else ""),
            null=_bands(null, MANNERS[self.optimiser]),
            recipe=RECIPE if self.official else "",
            source=source,
            seconds=time.perf_counter() - began,
            settings=self.settings() | (self.manner_beside(library) if library.narrow else {}),
            edges=edges,
            counts=counts,
            cosines=cosines,
            reconstruction=rebuilt,
            trace=trace,
            left_out=hidden,
        )

    def _null(
        self, context: Context, library: NeuronLibrary, U: Tensor, loaded: LoadedModel
    ) -> tuple[ChannelNull, list[Attractor]]:
        """The kept null; or, for another search than its own, one measured by that search, smaller and remembered."""
        name = library.projection_of(self.layer)
        if self.usual:
            return library.null(name), library.attractors(name)
        from analysis.rotate.null import measure_null
        from analysis.rotate.shards import batches_over

        rounds = min(self.channels, 3)
        manner = self.manner()
        key = ("null", library.manifest["fingerprint"], library.stamp, name, rounds, hash_of(manner))
        null = context.memory.get(key)
        if null is None:
            null = measure_null(
                U,
                library.token_weights(name, len(U)).to(U),
                vectors=OFFICIAL_NULL if self.official else SMALL_NULL,
                rounds=rounds,
                progress=portion(context.progress, 0.3, 1.0, "random vectors under these settings: "),
                batches=batches_over(context.spread(loaded), self.layer, context.check),
                **manner,
            )
            context.memory.put(key, null, 8 * null.top.numel())
        return null, null.attractors()


def _bands(null: ChannelNull, manner: str) -> NullBands:
    def band(figure: str) -> Quantiles:
        low, median, high = null.band(figure)
        return low, median, high

    return NullBands(band("own_z"), band("cosine"), band("loss"), band("kurtosis"), null.vectors, manner)


def channels_of(
    operation: OfChannels[Any], context: Context, vectors: NeuronVectors, library: NeuronLibrary
) -> tuple[dict[str, torch.Tensor], np.ndarray, str]:
    """Channels by the estimator's names, (C, …), the descent (S, 5), and where they come from: made beforehand,
    remembered, or found now."""
    ready = library.found(operation.layer, operation.vector, operation.neuron) if operation.ready else None
    if ready is not None and len(ready["own_z"]) >= operation.channels:
        part = {name: value[: operation.channels] for name, value in ready.items()}
        trace = library.trace(operation.layer, operation.vector, operation.neuron)
        source = f"made beforehand by {library.manifest.get('command', 'the build')}"
        return part, trace[trace[:, 0] <= operation.channels], source
    key = operation.key(library)
    known = context.memory.get(key)
    if known is None:
        known = _search(operation, context, vectors, library)
        context.memory.put(key, known, sum(v.nbytes for v in known[0].values()) + known[1].nbytes)
    return (*known, "computed here")


def _search(
    operation: OfChannels[Any], context: Context, vectors: NeuronVectors, library: NeuronLibrary
) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    from analysis.rotate.channels import VocabularyChannels
    from analysis.rotate.library import CHANNEL_ARRAYS

    w, U = operation.weight(vectors)
    weights = library.token_weights(library.projection_of(operation.layer), len(U)).to(U)
    for token in operation.excluded:
        if token >= len(U):
            raise UserError(f"There is no token {token:,}; this model has {len(U):,}.", "excluded")
        weights[token] = 0.0
    span = 1.0 if operation.usual else 0.3
    lines: list[tuple[Any, ...]] = []
    relay = portion(context.progress, 0.0, span)

    def descent(share: float | None, text: str = "", **facts: Any) -> None:
        lines.append((facts["channel"], facts["step"], *facts["figures"]))
        columns = zip(*(line[1:] for line in lines if line[0] == facts["channel"]), strict=True)
        relay(share, text, trace=plain_of(DescentPart(facts["channel"], *columns)))

    fitted = VocabularyChannels(
        operation.channels,
        random_state=operation.seed,
        **operation.manner_beside(library),
    ).fit(w[None], U, weights, progress=descent)
    rows = [
        [c + 1, float(step), *figures[0].tolist()]
        for c, (steps, trace) in enumerate(fitted.traces_)
        for step, figures in zip(steps, trace, strict=True)
    ]
    return {n: getattr(fitted, f"{n}_")[0].cpu() for n in CHANNEL_ARRAYS}, np.asarray(rows, np.float32)
