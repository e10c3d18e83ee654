"""Sets of channels: those of many neurons of one block and kind of vector, on a shelf of their own.

What the official code publishes is such a set, and what a run over a list of neurons finds is one too, so both are kept
alike and can be held against each other. What a reader needs is computed from the vectors when a set is read: nothing
that a file says of itself is shown as measured.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis import spoken
from analysis.artefacts import Arrays, Wording
from analysis.errors import UserError
from analysis.models.prompts import token_labels
from analysis.progress import Progress, silent
from analysis.rotate.answers.sets import ChannelSetCard, SetRow
from analysis.rotate.channels import TOP
from analysis.rotate.library import NeuronLibrary
from analysis.rotate.objective import kurtosis, skewness, z_scores
from analysis.rotate.others import OtherResults
from analysis.rotate.reading import LEVEL
from analysis.rotate.vectors import NeuronVectors
from analysis.shelf import Misfit, Shelf

WHAT = "channels of a list of neurons"
ARRAYS = ("counts", "channels", "kurtosis", "step", "masked")
BEFOREHAND = "those made beforehand"


@dataclass(frozen=True)
class ChannelSet:
    """``manifest``: ``fingerprint``, ``layer``, ``vector``, ``label``, ``others`` (whether from a file), ``settings``;
    ``results``: the channels."""

    manifest: dict[str, Any]
    results: OtherResults


def _decode(_name: str, arrays: Arrays, manifest: dict[str, Any]) -> ChannelSet:
    counts, channels, kurt, step, masked = (arrays[name] for name in ARRAYS)
    neurons = tuple(manifest["neurons"])
    if channels.ndim != 3:
        raise Misfit("its channels are no vectors of neurons")
    shape: tuple[int, ...] = (len(neurons), channels.shape[1])
    if channels.shape[:2] != shape or any(a.shape != shape for a in (kurt, step, masked)) or counts.shape != shape[:1]:
        raise Misfit("its arrays do not fit together")
    if not len(neurons) or any(type(n) is not int or n < 0 for n in neurons) or len(set(neurons)) < len(neurons):
        raise Misfit("its neurons are no different numbers")
    if counts.min() < 1 or counts.max() > shape[1] or not np.isfinite(channels).all():
        raise Misfit("its channels are no numbers, or not as many as it says")
    layer, vector = manifest["layer"], manifest["vector"]
    return ChannelSet(manifest, OtherResults(neurons, counts, channels, kurt, step, masked, layer, vector))


CHANNEL_SETS: Shelf[ChannelSet] = Shelf(
    kind="channels",
    place="channels",
    wording=Wording.of(WHAT, "name"),
    contents={"fingerprint": str, "layer": int, "vector": str, "neurons": list, "label": str, "others": bool},
    decode=_decode,
    size=lambda one: one.results.channels.nbytes,
)


def keep_set(results: OtherResults, fingerprint: str, stem: str, **facts: Any) -> str:
    """Write a set to the data folder under a free name; the name."""
    plain = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")[:50] or "channels"
    names = (plain, *(f"{plain}-{n}" for n in range(2, 100_000)))
    name = next(n for n in names if CHANNEL_SETS.find(n) is None)
    manifest = {
        "fingerprint": fingerprint,
        "layer": results.layer,
        "vector": results.vector,
        "neurons": list(results.neurons),
        **facts,
    }
    CHANNEL_SETS.save(CHANNEL_SETS.own() / name, {n: getattr(results, n) for n in ARRAYS}, manifest)
    return name


def find_set(name: str, fingerprint: str) -> ChannelSet:
    """A set of a model by name. Raises UserError(field="name") if it is not there or of another model."""
    path = CHANNEL_SETS.find(name)
    if path is None:
        raise UserError("This set of channels is not there any more. Open it again.", "name")
    one = CHANNEL_SETS.read(path)
    if one.manifest["fingerprint"] != fingerprint:
        raise UserError("This set of channels is of another model. Load that model first.", "name")
    return one


def fit_of(vectors: NeuronVectors, results: OtherResults, layer: int) -> dict[str, float]:
    """Mean cosine of the first channels with the neurons' vectors of each kind in a block: theirs stands out.

    Raises UserError(field="results") for another width, or neurons that the block does not have.
    """
    width = vectors.loaded.facts.hidden
    if results.channels.shape[2] != width:
        raise UserError(
            f"These channels have width {results.channels.shape[2]:,}; the vectors of {vectors.loaded.spec.label} have "
            f"width {width:,}. They are of another model.",
            "results",
        )
    first = torch.nn.functional.normalize(torch.from_numpy(results.channels[:, 0]), dim=1)
    fits = {}
    for kind in vectors.kinds:
        count = vectors.place(layer, kind).count
        if results.neurons[-1] >= count:
            said = f"They name neuron {results.neurons[-1]:,}, and block {layer} has {count:,}."
            raise UserError(f"{said} They are of another block or model.", "results")
        rows = torch.stack([vectors.read(layer, kind, n) for n in results.neurons]).cpu()
        fits[kind] = float((torch.nn.functional.normalize(rows, dim=1) * first).sum(1).mean())
    return fits


@dataclass(frozen=True)
class _Read:
    """Channels (C, d) of one neuron as read here: kurtosis (C,), tokens (C, 20), own z (C,)."""

    channels: Tensor
    kurtosis: Tensor
    tokens: Tensor
    own_z: Tensor


def _read(w: Tensor, channels: Tensor, U: Tensor, weights: Tensor) -> _Read:
    projected = channels @ U.T
    z = z_scores(projected)
    pole = torch.where(skewness(weights * projected) < 0, -1.0, 1.0).to(z)[:, None]
    top = (pole * z * weights).topk(min(TOP, len(U)), dim=1).indices
    own = z_scores(w[None] @ U.T).expand(len(channels), -1).gather(1, top) * pole
    return _Read(channels.cpu(), kurtosis(projected).cpu(), top.cpu(), own.mean(1).cpu())


def set_card(
    vectors: NeuronVectors,
    library: NeuronLibrary | None,
    one: ChannelSet,
    against: ChannelSet | None,
    progress: Progress = silent,
) -> ChannelSetCard:
    """Neuron by neuron: what its channels hold beside random vectors', and how they stand to those of another set (of
    ``library``'s channels made beforehand, if ``against`` is None and there are any)."""
    results, layer, vector = one.results, one.manifest["layer"], one.manifest["vector"]
    U = vectors.projection(layer)
    projection = None if library is None else library.projection_of(layer)
    weights = torch.ones(len(U)) if library is None else library.token_weights(str(projection), len(U))
    weights = weights.to(U)
    null = None if library is None else library.null(str(projection))
    counted = int(results.counts.max()) if null is None else min(null.rounds, int(results.counts.max()))
    rows, errors = [], []
    for i, neuron in enumerate(results.neurons):
        progress(i / len(results.neurons), f"neuron {i + 1} of {len(results.neurons)}")
        w = vectors.read(layer, vector, neuron)
        channels = torch.from_numpy(np.array(results.channels[i, : results.counts[i]])).to(U)
        read = _read(w, channels, U, weights)
        stated = torch.from_numpy(np.array(results.kurtosis[i, : results.counts[i]]))
        pairs = zip(stated.abs().tolist(), read.kurtosis.abs().tolist(), strict=True)
        errors += [abs(a - b) / max(1.0, b) for a, b in pairs if a]
        own = read.own_z[:counted]
        best = int(own.argmax())
        p = None if null is None else null.p_value(own[None])[0]
        other = _other(library, against, layer, vector, neuron)
        nearest = None if other is None else _nearest(read, w, other.to(U), U, weights)
        rows.append(
            SetRow(
                neuron=neuron,
                channels=len(channels),
                cosine=float(torch.cosine_similarity(w[None], channels).mean()),
                kurtosis=float(read.kurtosis.mean()),
                own_z=float(own[best]),
                p=None if p is None else float(p[best]),
                beyond=None if p is None else int((p <= LEVEL).sum()),
                tokens=tuple(token_labels(vectors.loaded.tokenizer, read.tokens[best, :6].tolist())),
                nearest=None if nearest is None else nearest[0],
                shared=None if nearest is None else nearest[1],
            )
        )
    label = "" if all(r.nearest is None for r in rows) else BEFOREHAND
    label = str(against.manifest["label"]) if against is not None else label
    error = max(errors) if errors else None
    return ChannelSetCard(
        label=str(one.manifest["label"]),
        layer=layer,
        vector=vector,
        rows=tuple(rows),
        counted=counted,
        against=label,
        kurtosis_error=error,
        sentence=_sentence(one, rows, counted, None if null is None else null.vectors, label, error),
    )


def _other(
    library: NeuronLibrary | None, against: ChannelSet | None, layer: int, vector: str, neuron: int
) -> Tensor | None:
    """The channels (C, d) of the same neuron in what a set is compared with."""
    if against is not None:
        same = (against.manifest["layer"], against.manifest["vector"]) == (layer, vector)
        if not same or neuron not in against.results.neurons:
            return None
        row = against.results.neurons.index(neuron)
        return torch.from_numpy(np.array(against.results.channels[row, : against.results.counts[row]]))
    ready = None if library is None else library.found(layer, vector, neuron)
    return None if ready is None else ready["channels"]


def _nearest(read: _Read, w: Tensor, others: Tensor, U: Tensor, weights: Tensor) -> tuple[float, float]:
    """Mean over the channels of the largest cosine with another one, and of how many of 20 tokens both have."""
    other = _read(w, others, U, weights)
    ours, theirs = (torch.nn.functional.normalize(c, dim=1) for c in (read.channels, other.channels))
    best = (ours @ theirs.T).max(1)
    places = zip(read.tokens.tolist(), best.indices.tolist(), strict=True)
    shared = [len(set(tokens) & set(other.tokens[j].tolist())) for tokens, j in places]
    return float(best.values.mean()), float(np.mean(shared))


def _sentence(
    one: ChannelSet, rows: list[SetRow], counted: int, vectors: int | None, against: str, error: float | None
) -> str:
    neurons = spoken.counted(len(rows), "neuron")
    text = f"{one.manifest['label']}: {neurons} of block {one.manifest['layer']}, {one.manifest['vector']}. "
    if vectors is None:
        text += "Without channels of random vectors (Measure) nothing can be said of what they hold."
    else:
        some = sum(1 for r in rows if r.beyond)
        first = "the first channel" if counted == 1 else f"at least one of the first {counted} channels"
        text += (
            f"In {some} of {len(rows)} {first} is beyond those of {vectors} random vectors, of which "
            "one in twenty would be; these were found by Attune's default search."
        )
    near = [r.nearest for r in rows if r.nearest is not None]
    if near:
        mean = float(np.mean(near))
        of = spoken.counted(len(near), "neuron")
        text += f" Beside {against}: mean cosine of each channel with the nearest {mean:.2f} ({of})."
    if error is not None and one.manifest["others"]:
        text += f" The kurtosis that the file states agrees within {error:.1%} with the one computed here."
        if error > 0.05:
            text += " That is far: it may be of another projection, block or model."
    return text
