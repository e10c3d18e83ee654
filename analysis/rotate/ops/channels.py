"""The operation that finds vocabulary channels, and how its answers are remembered for those that build on them."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.engine.question import Kind, Result
from analysis.errors import UserError
from analysis.fields import choice, number, whole
from analysis.progress import portion
from analysis.rotate.ops.neurons import OfNeuron

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from analysis.rotate.library import NeuronLibrary
    from analysis.rotate.null import ChannelNull
    from analysis.rotate.vectors import NeuronVectors

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
class OfChannels(OfNeuron):
    """One weight vector, and how its channels are looked for.

    ``optimiser`` "lbfgs": two starts, the least loss is kept, masks only lower a weight. "adamw": the official recipe
    whole (arXiv 2604.06005): one start, of AdamW's candidates the one of largest kurtosis without token weights, masks
    as in the official code.
    """

    channels: int = 5
    kurtosis_weight: float = 0.3
    cosine_weight: float = 1.0
    mask_z: float = 4.0
    optimiser: str = "lbfgs"
    seed: int = 0
    excluded: tuple[int, ...] = ()
    fresh: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        whole(self.channels, 1, MAX_CHANNELS, "channels", "The number of channels")
        number(self.kurtosis_weight, 0.0, 100.0, "kurtosis_weight", "The weight of kurtosis")
        number(self.cosine_weight, 0.001, 100.0, "cosine_weight", "The weight of the cosine")
        number(self.mask_z, 1.0, 50.0, "mask_z", "The z-score from which tokens are masked")
        choice(self.optimiser, OPTIMISERS, "optimiser", "The optimiser")
        whole(self.seed, 0, 2**31 - 1, "seed", "The seed")
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

    def key(self, fingerprint: str) -> Any:
        """What equal questions share, fresh or not."""
        return ("channels", fingerprint, hash_of(self.settings()))


@dataclass(frozen=True)
class FindChannels(OfChannels):
    """The vocabulary channels of a weight vector, each with its place among those of random vectors."""

    kind: ClassVar[Kind] = "job"

    def describe(self) -> str:
        return f"Channels of {self.vector} {self.neuron}, block {self.layer}"

    def reads(self, context: Context) -> str:
        """The checksum of the null that the answer is held against: measured anew, it makes another answer."""
        from analysis.rotate.library import MEASUREMENTS

        return MEASUREMENTS.checksums(context.residents.fingerprint(self.model) or "")

    def run(self, context: Context) -> Result:
        from analysis.rotate.objective import kurtosis, z_scores
        from analysis.rotate.reading import channel_rows, geometry, histogram, left_out, verdict

        vectors, library = self.measured(context)
        w, U = self.weight(vectors)
        began = time.perf_counter()
        found, trace, source = channels_of(self, context, vectors, library)
        null, groups = self._null(context, library, U)
        rows = channel_rows(vectors.loaded.tokenizer, found, null, groups)
        nothing, sentence = verdict(rows, null)
        weights = library.token_weights(library.projection_of(self.layer), len(U))
        hidden, remark = left_out(vectors.loaded.tokenizer, w, U, weights)
        import torch

        z = z_scores(torch.cat([w[None], found["channels"].to(w)]) @ U.T)
        counts, edges = histogram(z)
        cosines, rebuilt = geometry(w.cpu(), found["channels"].cpu().float())
        for row, unweighted in zip(rows, kurtosis(z[1:]).tolist(), strict=True):
            row["unweighted"] = unweighted  # the figure that the paper reports
        data = {
            "channels": rows,
            "nothing": nothing,
            "verdict": sentence + remark,
            "left_out": hidden,
            "null": {k: null.band(k) for k in ("own_z", "cosine", "loss", "kurtosis")}
            | {"vectors": null.vectors, "manner": MANNERS[self.optimiser]},
            "recipe": RECIPE if self.official else "",
            "source": source,
            "seconds": time.perf_counter() - began,
            "settings": self.settings(),
        }
        arrays = {"edges": edges, "counts": counts, "cosines": cosines, "reconstruction": rebuilt, "trace": trace}
        return Result(data, arrays)

    def _null(self, context: Context, library: NeuronLibrary, U: Tensor) -> tuple[ChannelNull, Any]:
        """The kept null; or, for another search than its own, one measured by that search, smaller and remembered."""
        name = library.projection_of(self.layer)
        if self.usual:
            return library.null(name), library.attractors(name)
        from analysis.rotate.null import measure_null

        rounds = min(self.channels, 3)
        manner = self.manner()
        key = ("null", library.manifest["fingerprint"], name, rounds, hash_of(manner))
        null = context.memory.get(key)
        if null is None:
            null = measure_null(
                U,
                library.token_weights(name, len(U)).to(U),
                vectors=OFFICIAL_NULL if self.official else SMALL_NULL,
                rounds=rounds,
                progress=portion(context.progress, 0.3, 1.0, "random vectors under these settings: "),
                **manner,
            )
            context.memory.put(key, null, 8 * null.top.numel())
        return null, null.attractors()


def channels_of(
    operation: OfChannels, context: Context, vectors: NeuronVectors, library: NeuronLibrary
) -> tuple[dict[str, torch.Tensor], np.ndarray, str]:
    """Channels by the estimator's names, (C, …), the descent (S, 5), and where they come from: made beforehand,
    remembered, or found now."""
    made = library.found(operation.layer, operation.vector, operation.neuron) if operation.ready else None
    if made is not None and len(made["own_z"]) >= operation.channels:
        part = {name: value[: operation.channels] for name, value in made.items()}
        trace = library.trace(operation.layer, operation.vector, operation.neuron)
        source = f"made beforehand by {library.manifest.get('command', 'the build')}"
        return part, trace[trace[:, 0] <= operation.channels], source
    key = operation.key(library.manifest["fingerprint"])
    found = context.memory.get(key)
    if found is None:
        found = _search(operation, context, vectors, library)
        context.memory.put(key, found, sum(v.nbytes for v in found[0].values()) + found[1].nbytes)
    return (*found, "computed here")


def _search(
    operation: OfChannels, context: Context, vectors: NeuronVectors, library: NeuronLibrary
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
    lines: list[list[float]] = []

    told = portion(context.progress, 0.0, span)

    def descent(share: float | None, text: str = "", **facts: Any) -> None:
        lines.append([facts["channel"], facts["step"], *facts["figures"]])
        rows = [row[1:] for row in lines if row[0] == facts["channel"]]
        columns = dict(zip(("step", "loss", "kurtosis", "cosine"), zip(*rows, strict=True), strict=True))
        told(share, text, trace={"channel": facts["channel"], **{k: list(v) for k, v in columns.items()}})

    fitted = VocabularyChannels(
        operation.channels,
        random_state=operation.seed,
        **operation.manner(),
    ).fit(w[None], U, weights, progress=descent)
    rows = [
        [c + 1, float(step), *figures[0].tolist()]
        for c, (steps, trace) in enumerate(fitted.traces_)
        for step, figures in zip(steps, trace, strict=True)
    ]
    return {n: getattr(fitted, f"{n}_")[0].cpu() for n in CHANNEL_ARRAYS}, np.asarray(rows, np.float32)
