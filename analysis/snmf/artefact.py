"""A factorization as arrays and back: of each feature which neurons it keeps, and how much.

Features keep a hundredth of the neurons, so a whole tree of features takes less room than one dense matrix. A reader
checks sizes, bounds and finiteness before the first number is used: an exchanged file becomes a sentence and not a
wrong picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from analysis.artefacts import Arrays
from analysis.shelf import Misfit

_MAX_NUMBERS = 1 << 29
_EXTRA = "extra."
_INT16 = 2**15


def encode(
    components: Sequence[Tensor], weights: Sequence[Tensor], extra: dict[str, Tensor]
) -> tuple[Arrays, dict[str, Any]]:
    """Arrays of a factorization, and what the manifest must say of them: ``width``, ``levels`` (the sizes) and
    ``extra`` (names).

    Args:
        components: one matrix (K_l, d) for each level, the smallest concepts first; zeros are not stored.
        weights: one matrix (K_{l+1}, K_l) of weights >= 0 between each level and the next.
        extra: further arrays by name, in their own dtype.

    Entries and weights become float16 (relative error 2^-11). Raises ValueError for levels that do not fit together or
    hold numbers that are not finite.
    """
    sizes, width = [len(c) for c in components], components[0].shape[1]
    fault = _fault(components, weights, sizes, width)
    if fault:
        raise ValueError(f"not a factorization that can be saved: {fault}")
    stored: dict[str, Tensor] = {}
    for level, matrix in enumerate(components):
        stored[f"index.{level}"], stored[f"value.{level}"] = _sparse(matrix.detach().cpu().float())
    for level, matrix in enumerate(weights):
        stored[f"weights.{level}"] = matrix.to(torch.float16)
    stored |= {_EXTRA + name: value for name, value in extra.items()}
    facts = {"width": width, "levels": sizes, "extra": sorted(extra)}
    return {name: tensor.detach().cpu().numpy() for name, tensor in stored.items()}, facts


def decode(arrays: Arrays, manifest: dict[str, Any]) -> tuple[list[Tensor], list[Tensor], dict[str, Tensor]]:
    """Components of each level and weights between them (float32), and further arrays, of what :func:`encode` made.

    Raises Misfit for arrays that are no factorization or not the one that the manifest describes.
    """
    _check_manifest(manifest)
    stored = {name: torch.from_numpy(value) for name, value in arrays.items()}
    sizes, width = manifest["levels"], manifest["width"]
    wanted = [f"{n}.{i}" for i in range(len(sizes)) for n in ("index", "value")]
    wanted += [f"weights.{i}" for i in range(len(sizes) - 1)] + [_EXTRA + n for n in manifest["extra"]]
    missing = [n for n in wanted if n not in stored]
    if missing:
        raise Misfit(f"the array {missing[0]} is missing")
    components = [_dense(stored[f"index.{i}"], stored[f"value.{i}"], size, width) for i, size in enumerate(sizes)]
    weights = [stored[f"weights.{i}"].float() for i in range(len(sizes) - 1)]
    fault = _fault(components, weights, sizes, width)
    if fault:
        raise Misfit(fault)
    return components, weights, {n: stored[_EXTRA + n] for n in manifest["extra"]}


def _check_manifest(manifest: dict[str, Any]) -> None:
    sizes, width, extra = manifest.get("levels"), manifest.get("width"), manifest.get("extra")
    if not isinstance(sizes, list) or not sizes or not all(type(n) is int and 0 < n < 10**6 for n in sizes):
        raise Misfit("its manifest does not say how many features and neurons it has")
    if type(width) is not int or not 0 < width < 10**7:
        raise Misfit("its manifest does not say how many features and neurons it has")
    if sum(sizes) * width > _MAX_NUMBERS:  # it is kept sparse, so a small file could claim any size
        raise Misfit(f"its manifest claims {sum(sizes):,} features of {width:,} neurons, more than are ever kept")
    if not isinstance(extra, list) or not all(isinstance(n, str) for n in extra):
        raise Misfit("its manifest does not say which further arrays it has")


def _sparse(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Which entries are kept in each row (-1 where fewer are than in the fullest row), and their values."""
    most = max(1, int((matrix != 0).sum(1).max()))
    index = matrix.abs().topk(most, 1).indices.sort(1).values
    value = matrix.gather(1, index)
    index = index.masked_fill(value == 0, -1)
    kind = torch.int16 if matrix.shape[1] <= _INT16 else torch.int32
    return index.to(kind), value.to(torch.float16)


def _dense(index: Tensor, value: Tensor, size: int, width: int) -> Tensor:
    if index.ndim != 2 or index.shape != value.shape or len(index) != size:
        raise Misfit("its features do not have the number that the manifest says")
    where = index.long()
    if bool((where < -1).any()) or bool((where >= width).any()):
        raise Misfit("it names neurons that the site does not have")
    rows = torch.zeros(size, width + 1)  # what stands at -1 goes into a column that is cut off
    rows.scatter_(1, where.masked_fill(where < 0, width), value.float())
    return rows[:, :width].contiguous()


def _fault(components: Sequence[Tensor], weights: Sequence[Tensor], sizes: list[int], width: int) -> str:
    """What keeps these levels from being a factorization, in words; empty if nothing does."""
    if not sizes or min(sizes) < 1 or len(weights) != len(sizes) - 1:
        return "its levels and the weights between them do not fit together"
    for matrix, size in zip(components, sizes, strict=True):
        if tuple(matrix.shape) != (size, width):
            return "its features do not have the width of the site"
    for level, matrix in enumerate(weights):
        if tuple(matrix.shape) != (sizes[level + 1], sizes[level]):
            return "the weights between its levels do not have the sizes of the levels"
        if bool((matrix < 0).any()):
            return "the weights between its levels are negative in places"
    if not all(bool(m.isfinite().all()) for m in (*components, *weights)):
        return "it holds numbers that are not finite"
    return ""
