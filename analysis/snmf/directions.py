"""Directions to steer with: a feature's own, and what it must be compared with, all of unit length at one site.

A feature is one answer to "which push makes the model talk like this?". The baselines are cheaper answers: one neuron
instead of a group, the difference of two means, which knows the labels, and two nulls, as many neurons drawn at random
and the feature's own weights on other neurons. All have length one, so that they differ in where they point and in
nothing else; how far to go is found for each by the divergence that it causes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.models.capture import capture
from analysis.models.frames import text_ids
from analysis.progress import Check, no_check
from analysis.snmf.baselines import random_sparse, shuffled_neurons
from analysis.steering.controls import difference_of_means

if TYPE_CHECKING:
    from analysis.models.capture import Batch
    from analysis.models.loaded_model import LoadedModel
    from analysis.snmf.library import Factorization

BASELINES = ("DiffMean", "single neuron", "random sparse", "shuffled neurons")
ARMS = ("feature", *BASELINES)
"""All directions, in the order in which they are shown."""
OWN_PASSAGES, POOL_PASSAGES, PIECE = 16, 1, 96
"""For a difference of means: passages of the theme, passages of each other theme, tokens of each that are read."""
_BATCH = 16


@dataclass(frozen=True)
class Direction:
    """``vector`` (d,) float32 of length one at the site of the fit, and in ``note`` a sentence on what it is."""

    name: str
    vector: Tensor
    note: str


def direction_of(
    name: str,
    memory: Memory,
    loaded: LoadedModel,
    fit: Factorization,
    feature: int,
    seed: int = 0,
    check: Check = no_check,
) -> Direction:
    """The direction of that name (one of ``ARMS``) for a feature of the lowest level.

    ``memory`` (get/put) keeps means of activations; ``check`` may raise to end the work, and is called between passes.
    Raises UserError: no such name or feature, a feature without weights, texts without themes.
    """
    fit.check_feature(feature)
    if name == "feature":
        return Direction(name, feature_direction(fit.components[feature]), f"feature {feature}: {fit.label(feature)}")
    if name == "single neuron":
        vector, neuron = single_neuron(fit.components[feature])
        what = "neuron" if fit.site.kind == "mlp_hidden" else "dimension"
        return Direction(name, vector, f"{what} {neuron} alone, the feature's heaviest, with its sign")
    if name == "random sparse":
        vector = random_like(fit.components[feature], _seed(feature, seed))
        return Direction(name, vector, "as many neurons drawn at random, with random weights")
    if name == "shuffled neurons":
        vector = shuffled_like(fit.components[feature], _seed(feature, seed))
        return Direction(name, vector, "the feature's own weights, on neurons drawn at random")
    if name == "DiffMean":
        theme = theme_of(fit, feature)
        vector = theme_difference(memory, loaded, fit, theme, check)
        return Direction(name, vector, f"mean of passages about {theme} minus mean of others (it knows the labels)")
    raise UserError(f"A direction is one of {', '.join(ARMS)}, not {str(name)[:30]!r}.", "baseline")


def feature_direction(component: Tensor) -> Tensor:
    """z / |z| of a feature z (d,), float32 (arXiv 2506.10920, steering). UserError if z is zero or not finite."""
    row = component.double()
    length = float(row.norm())
    if not 0 < length < float("inf"):
        raise UserError("This feature keeps no neurons, so there is nothing to steer with. Choose another.", "feature")
    return (row / length).float()


def single_neuron(component: Tensor) -> tuple[Tensor, int]:
    """The axis (d,) of the entry of z (d,) that is largest in size, with that entry's sign, and its number."""
    unit = feature_direction(component)
    neuron = int(unit.abs().argmax())
    axis = torch.zeros_like(unit)
    axis[neuron] = unit[neuron].sign()
    return axis, neuron


def random_like(component: Tensor, seed: int) -> Tensor:
    """A unit direction (d,) with as many nonzero entries as z (d,), drawn evenly, normal weights."""
    return random_sparse(feature_direction(component)[None], 1, seed)[0]


def shuffled_like(component: Tensor, seed: int) -> Tensor:
    """The unit direction of z (d,) with its entries in a drawn order: same weights, other neurons."""
    return shuffled_neurons(feature_direction(component)[None], seed)[0]


def theme_of(fit: Factorization, feature: int) -> str:
    """The theme on which most of a feature's activation lies, compared with the corpus where that is known.

    Raises UserError(field="baseline") if the texts of the factorization have no themes.
    """
    names: list[str] = list(fit.manifest.get("themes", ()))
    if not any(names):
        raise UserError(
            "The texts of this factorization have no themes, so there is no difference of means to compare with.",
            "baseline",
        )
    named = str(fit.manifest["rows"][feature].get("theme") or "")
    if named:
        return named
    shares = fit.arrays["themes"][feature].float().clone()
    shares[[i for i, name in enumerate(names) if not name]] = -1.0
    return names[int(shares.argmax())]


def theme_difference(
    memory: Memory, loaded: LoadedModel, fit: Factorization, theme: str, check: Check = no_check
) -> Tensor:
    """Unit direction (d,) at the fit's site: mean activation of tokens of a theme's passages minus that of the others'.

    Of the others, a few passages of every theme are read, and all themes count alike. They are the same ones for every
    theme of a fit, so a further theme costs one pass over its own passages. Sums are kept in ``memory``. Raises
    UserError: a theme with no passages or all of them, texts that are gone.
    """
    about: dict[str, list[int]] = {}
    for number, passage in enumerate(fit.passages):
        about.setdefault(passage.theme, []).append(number)
    if theme not in about or len(about) < 2:
        raise UserError("A difference of means needs passages of the theme and passages of others.", "baseline")
    order = {name: _drawn(name, numbers) for name, numbers in about.items()}
    wanted = {("own", theme): order[theme][:OWN_PASSAGES]}
    wanted |= {("pool", name): order[name][:POOL_PASSAGES] for name in sorted(order) if name != theme}
    means = _means(memory, loaded, fit, wanted, check)
    inside, rest = means.pop(("own", theme), None), list(means.values())
    if inside is None or not rest:
        raise UserError(
            "The passages are too short for a difference of means: every token of them is skipped.", "texts"
        )
    return feature_direction(difference_of_means(inside[None], torch.stack(rest)))


def _means(
    memory: Memory,
    loaded: LoadedModel,
    fit: Factorization,
    groups: dict[tuple[str, str], list[int]],
    check: Check,
) -> dict[tuple[str, str], Tensor]:
    """Mean activation (d,) float64 over the tokens of each group of passages that has any, remembered."""
    keys = {which: ("mean activation", fit.key, loaded.facts.fingerprint, which) for which in groups}
    known = {which: memory.get(key) for which, key in keys.items()}
    fresh = {which: groups[which] for which, sums in known.items() if sums is None}
    # All in one go, since a pass costs hardly more for sixteen passages than for one.
    numbers = [n for group in fresh.values() for n in group]
    sums = {n: (torch.zeros(fit.components.shape[1], dtype=torch.float64), 0) for n in numbers}
    for part in capture(loaded, _batches(loaded, fit, numbers), [fit.site], skip_first=fit.skip_first):
        check()
        for n in part.documents.unique().tolist():
            rows = part.activations[fit.site][part.documents == n].double()
            sums[n] = (sums[n][0] + rows.sum(0), sums[n][1] + len(rows))
    for which, group in fresh.items():
        total = torch.stack([sums[n][0] for n in group]).sum(0)
        known[which] = (total, sum(sums[n][1] for n in group))
        memory.put(keys[which], known[which], total.nbytes)
    return {which: part[0] / part[1] for which, part in known.items() if part is not None and part[1]}


def _batches(loaded: LoadedModel, fit: Factorization, numbers: Sequence[int]) -> Iterator[Batch]:
    most = min(PIECE, loaded.facts.max_positions or PIECE)
    rows = {n: text_ids(loaded.tokenizer, fit.passages[n].text)[:most] for n in numbers}
    order = sorted(numbers, key=lambda n: len(rows[n]))
    for first in range(0, len(order), _BATCH):
        part = order[first : first + _BATCH]
        yield part, [rows[n] for n in part]


def _drawn(theme: str, numbers: Sequence[int]) -> list[int]:
    order = np.random.default_rng(zlib.crc32(theme.encode())).permutation(len(numbers))
    return [numbers[i] for i in order]


def _seed(feature: int, seed: int) -> int:
    # Else all features of one size would be compared with one and the same random direction.
    return 100_003 * seed + feature
