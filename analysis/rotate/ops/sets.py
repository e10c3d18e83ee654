"""Operations on sets of channels: open others' results, run over a list of neurons, compare, write the same form."""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from analysis.answer import to_wire
from analysis.artefacts import pair_files
from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.engine.question import Kind, Result, names_of
from analysis.errors import UserError
from analysis.fields import Choice, Real, Text, Whole, whole
from analysis.rotate.answers.sets import (
    ChannelSetCard,
    KnownSet,
    KnownSets,
    NumberList,
    SetKept,
    WrittenSet,
)
from analysis.rotate.ops.channels import MAX_CHANNELS, OPTIMISERS
from analysis.rotate.ops.neurons import KINDS, OnNeurons
from analysis.spoken import counted

MAX_NEURONS = 500
NAME = Text(81, words="The set of channels")


def content_of(content: str, name: str, field: str) -> bytes:
    """The bytes of a file that came in base64. Raises UserError(field)."""
    try:
        return base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UserError(f"{name[:120] or 'The file'} did not arrive whole. Choose it again.", field) from error


@dataclass(frozen=True)
class KnownChannelSets(OnNeurons[KnownSets]):
    """Which sets of channels are there for a model."""

    def reads(self, context: Context) -> str:
        from analysis.rotate.sets import CHANNEL_SETS

        return CHANNEL_SETS.checksums(context.residents.fingerprint(self.model) or "")

    def run(self, context: Context) -> KnownSets:
        from analysis.rotate.sets import CHANNEL_SETS

        entries = CHANNEL_SETS.of_weights(context.model(self.model).facts.fingerprint)
        return KnownSets(
            tuple(
                KnownSet(
                    e.name, e.manifest["label"], e.manifest["layer"], e.manifest["vector"],
                    tuple(e.manifest["neurons"]), e.manifest["others"],
                )
                for e in entries
            )
        )  # fmt: skip


@dataclass(frozen=True)
class OpenChannels(OnNeurons[SetKept]):
    """Open the results of the official code (``results.pt``, and ``metadata.json`` where there is one) for a model.

    ``files``: (name, content in base64) pairs; or ``path``, on the machine of the app: of the file, or of the folder
    that it lies in. ``layer`` and ``vector``: where neither files nor the names of their folders name them.
    """

    writes: ClassVar[bool] = True
    files: tuple[Any, ...] = ()
    path: Annotated[str, Text(1_000, words="The path")] = ""
    layer: Annotated[int, Whole(0, 9_999, words="The block")] = 0
    vector: Annotated[str, Choice(KINDS, words="The vector")] = "down"

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.files, tuple):  # JSON knows no tuples inside of lists
            object.__setattr__(self, "files", tuple(tuple(f) if isinstance(f, list) else f for f in self.files))

    def run(self, context: Context) -> Result:
        from dataclasses import replace

        from analysis.rotate.others import read_folder, read_results
        from analysis.rotate.sets import CHANNEL_SETS, fit_of, keep_set

        named = read_folder(self.path.strip()) if self.path.strip() else [_file(pair) for pair in self.files]
        tables = [(n, b) for n, b in named if not n.lower().endswith(".json")]
        notes = [b for n, b in named if n.lower().endswith(".json")]
        if len(tables) != 1 or len(notes) > 1:
            raise UserError("Choose one results.pt, and its metadata.json if there is one.", "results")
        vectors, _ = self.opened(context)
        (name, body), metadata = tables[0], (notes[0] if notes else None)
        results = read_results(name, body, metadata)
        results = replace(
            results,
            layer=self.layer if results.layer is None else results.layer,
            vector=self.vector if results.vector is None else results.vector,
        )
        layer, vector = int(results.layer or 0), str(results.vector)
        if vector == "up" and "up" not in vectors.kinds:  # "in" of a plain MLP
            results, vector = replace(results, vector="in"), "in"
        vectors.place(layer, vector)
        fits = fit_of(vectors, results, layer)
        best = max(fits, key=lambda kind: fits[kind])
        short = name.rpartition("/")[2][:80]
        label = f"{short}, block {layer}, {vector}"
        facts = vectors.loaded.facts
        kept = keep_set(
            results, facts.fingerprint, f"opened-{short.rpartition('.')[0]}-{layer}-{vector}", label=label, others=True,
            settings={}, model=vectors.loaded.spec.label,
        )  # fmt: skip
        sentence = (
            f"Opened {counted(len(results.neurons), 'neuron')} with up to "
            f"{counted(int(results.counts.max()), 'channel')}. Their first channels have a mean cosine "
            f"of {fits[vector]:.2f} with the {vector} vectors of block {layer}."
        )
        if best != vector and fits[best] > fits[vector] + 0.1:
            sentence += f" With the {best} vectors it is {fits[best]:.2f}: they seem to be of those. Open them as such."
        elif fits[vector] < 0.3:
            sentence += " Channels lie at .6 to .9 of their neurons: these seem to be of another block or model."
        path = CHANNEL_SETS.own() / kept
        return Result(*to_wire(SetKept(kept, sentence)), files=names_of(*pair_files(path)))


def _file(pair: Any) -> tuple[str, bytes]:
    if not isinstance(pair, (tuple, list)) or len(pair) != 2 or not all(isinstance(p, str) for p in pair):
        raise UserError("A file is its name and its content in base64.", "results")
    return pair[0], content_of(pair[1], pair[0], "results")


@dataclass(frozen=True)
class ReadChannels(OnNeurons[ChannelSetCard]):
    """A set of channels neuron by neuron, beside random vectors', and against another set (``against``; empty: against
    the channels made beforehand, where there are any)."""

    kind: ClassVar[Kind] = "job"
    name: Annotated[str, NAME] = ""
    against: Annotated[str, Text(81, words="The other set")] = ""

    def reads(self, context: Context) -> str:
        from analysis.rotate.sets import CHANNEL_SETS

        sets = (CHANNEL_SETS.checksum(name) for name in (self.name, self.against))
        return " ".join((super().reads(context), *sets))

    def describe(self) -> str:
        return f"Read the channels {self.name}"

    def run(self, context: Context) -> ChannelSetCard:
        from analysis.rotate.sets import find_set, set_card

        vectors, library = self.opened(context)
        fingerprint = vectors.loaded.facts.fingerprint
        against = find_set(self.against, fingerprint) if self.against else None
        return set_card(vectors, library, find_set(self.name, fingerprint), against, context.progress)


@dataclass(frozen=True)
class FindMany(OnNeurons[SetKept]):
    """Find the channels of a list of neurons of one block, and keep them as a set.

    ``optimiser`` as of :class:`FindChannels`. ``outliers``: the key of a list of tokens (:class:`KeepTokens`) that
    takes the place of the tokens which Attune leaves out; the norm rule then comes after it, as in the official code.
    """

    kind: ClassVar[Kind] = "job"
    writes: ClassVar[bool] = True
    layer: Annotated[int, Whole(0, 9_999, words="The block")] = 0
    vector: Annotated[str, Choice(KINDS, words="The vector")] = "down"
    neurons: tuple[int, ...] = (0,)
    channels: Annotated[int, Whole(1, MAX_CHANNELS, words="The number of channels")] = 5
    mask_z: Annotated[float, Real(1.0, 50.0, words="The z-score from which tokens are masked")] = 4.0
    optimiser: Annotated[str, Choice(OPTIMISERS, words="The optimiser")] = "lbfgs"
    outliers: Annotated[str, Text(16, words="The list of tokens")] = ""
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.neurons, tuple) or not 1 <= len(self.neurons) <= MAX_NEURONS:
            raise UserError(f"A run takes 1 to {MAX_NEURONS} neurons.", "neurons")
        for neuron in self.neurons:
            whole(neuron, 0, 10_000_000, "neurons", "A neuron")
        if list(self.neurons) != sorted(set(self.neurons)):
            raise UserError("A run takes different neurons, in ascending order.", "neurons")

    def describe(self) -> str:
        return f"Channels of {counted(len(self.neurons), 'neuron')} of block {self.layer}"

    def run(self, context: Context) -> Result:
        from analysis.rotate.many import find_many
        from analysis.rotate.sets import CHANNEL_SETS, keep_set

        began = time.perf_counter()
        vectors, library = self.opened(context)
        results = find_many(
            vectors, library, self.neurons, layer=self.layer, vector=self.vector, channels=self.channels,
            mask_z=self.mask_z, optimiser=self.optimiser, outliers=self.outliers, seed=self.seed,
            progress=context.progress,
        )  # fmt: skip
        facts = vectors.loaded.facts
        label = f"{counted(len(self.neurons), 'neuron')}, block {self.layer}, {self.vector}, {self.optimiser}"
        settings = {k: v for k, v in self.to_params().items() if k not in ("model", "neurons")}
        kept = keep_set(
            results, facts.fingerprint, f"run-{self.layer}-{self.vector}-{self.optimiser}", label=label, others=False,
            settings=settings, model=vectors.loaded.spec.label,
        )  # fmt: skip
        seconds = time.perf_counter() - began
        sentence = (
            f"Channels of {counted(len(self.neurons), 'neuron')}, {self.channels} of each, found in {seconds:.0f} s."
        )
        return Result(*to_wire(SetKept(kept, sentence)), files=names_of(*pair_files(CHANNEL_SETS.own() / kept)))


@dataclass(frozen=True)
class WriteChannels(OnNeurons[WrittenSet]):
    """A set as a ``results.pt`` of the official form, with what stands in its ``metadata.json``."""

    name: Annotated[str, NAME] = ""

    def run(self, context: Context) -> WrittenSet:
        from analysis.rotate.others import written_results
        from analysis.rotate.sets import find_set

        facts = context.model(self.model).facts
        one = find_set(self.name, facts.fingerprint)
        body = written_results(one.results)
        metadata = {
            "model": self.model.label, "fingerprint": facts.fingerprint, "layer": one.manifest["layer"],
            "vector": one.manifest["vector"], "neurons": len(one.results.neurons),
            "channels": int(one.results.counts.max()), "settings": one.manifest.get("settings", {}),
        }  # fmt: skip
        return WrittenSet(self.name, base64.b64encode(body).decode(), metadata)


@dataclass(frozen=True)
class ReadNeuronList(Operation[NumberList]):
    """The numbers of a list of neurons: JSON, text, or a tensor."""

    kind: ClassVar[Kind] = "read"
    name: Annotated[str, Text(200, words="The name of the file")] = ""
    content: Annotated[str, Text(24 << 20, words="The file")] = ""

    def run(self, context: Context) -> NumberList:
        from analysis.rotate.others import read_numbers

        numbers = read_numbers(self.name, content_of(self.content, self.name, "neurons"), MAX_NEURONS, "neurons")
        return NumberList(
            numbers, f"{counted(len(numbers), 'neuron')} from {self.name}, {numbers[0]:,} to {numbers[-1]:,}."
        )


@dataclass(frozen=True)
class KeepTokens(Operation[NumberList]):
    """Take in a list of tokens to leave out, for :class:`FindMany`."""

    kind: ClassVar[Kind] = "read"
    writes: ClassVar[bool] = True
    name: Annotated[str, Text(200, words="The name of the file")] = ""
    content: Annotated[str, Text(24 << 20, words="The file")] = ""

    def run(self, context: Context) -> NumberList:
        from analysis.rotate.others import keep_tokens

        key, count = keep_tokens(self.name, content_of(self.content, self.name, "outliers"))
        leave = "is left out" if count == 1 else "are left out"
        sentence = f"{counted(count, 'token')} from {self.name} {leave}, in place of those that Attune finds."
        return NumberList((), sentence, key)
