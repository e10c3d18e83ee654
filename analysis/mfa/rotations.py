"""Rotations of the local factors: turn a basis that the likelihood leaves open into one that can be named.

W_k and W_k Q give the same covariance for every orthogonal Q, so single columns mean nothing until a rule picks Q. All
rules here are orthogonal, which keeps the factors independent with unit variance: an oblique rotation would need a
covariance of its own beside the parameters. Everything runs over many components at once, in blocks that bound memory.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Literal, get_args

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.mfa.parameters import Parameters

Rotation = Literal["none", "principal", "varimax"]
_SWEEPS, _TOLERANCE = 100, 1e-6
_BLOCK = 1 << 23  # loadings rotated at a time; varimax holds about five float64 copies of them
_NOTHING = 1e-14  # share of a whole below which a column, or the gain of a turn, is rounding


def rotate(parameters: Parameters, kind: Rotation, *, inplace: bool = False) -> Parameters:
    """The same mixture with the loadings of every component rotated orthogonally; float64 inside, dtype kept.

    ``inplace``: write over the loadings that are given, for a mixture of which a second copy would be a burden.

    "principal": onto the eigenvectors of W_k^T W_k, so that columns are orthogonal and the first carries most energy.
    "varimax": Kaiser-normalised varimax by rotations in planes, at most 100 sweeps, until no angle exceeds 1e-6; the
    better of two starts, the principal columns and a fixed random turn of them; columns in descending energy.
    In both, the entry of largest absolute value in each column is positive (of equal ones, the first). Components with
    fewer directions than columns get zero columns at the end, and they stay zero. "none": the parameters as they are.

    Raises:
        UserError: the kind is none of these.
    """
    if kind not in get_args(Rotation):
        raise UserError(f"The rotation must be one of {', '.join(get_args(Rotation))}, not {kind!r}.", "rotation")
    if kind == "none" or parameters.factors == 0:
        return parameters
    turn = _principal if kind == "principal" else _varimax
    return _blockwise(parameters, lambda loadings, _first: _signed(turn(loadings)), inplace)


def random_rotation(parameters: Parameters, seed: int) -> Parameters:
    """The same mixture with every component's loadings turned by its own Haar-distributed orthogonal matrix.

    The null against which a rotation is judged: same spans and likelihood, no preferred columns. The matrices depend on
    ``seed``, the number of components and of factors alone.
    """
    if parameters.factors == 0:
        return parameters
    turns = _haar(parameters.components, parameters.factors, seed)

    def turn(loadings: Tensor, first: int) -> Tensor:
        return loadings @ turns[first : first + len(loadings)].to(loadings.device)

    return _blockwise(parameters, turn)


def _blockwise(parameters: Parameters, turn: Callable[[Tensor, int], Tensor], inplace: bool = False) -> Parameters:
    loadings = parameters.loadings
    where = loadings.device if loadings.device.type in ("cpu", "cuda") else torch.device("cpu")  # float64 is there
    step = max(1, _BLOCK // max(1, parameters.width * parameters.factors))
    out = loadings if inplace else torch.empty_like(loadings)
    for first in range(0, parameters.components, step):
        block = loadings[first : first + step].to(where, torch.float64)
        out[first : first + step] = turn(block, first).to(out)
    return parameters.with_loadings(out)


def _principal(loadings: Tensor) -> Tensor:
    """Columns (k, D, R) along the principal axes, in descending energy, exactly zero past the rank."""
    _, axes = torch.linalg.eigh(loadings.mT @ loadings)
    return _without_rounding(loadings @ axes.flip(-1))


def _varimax(loadings: Tensor) -> Tensor:
    start = _signed(_principal(loadings))  # signs fixed, so that the result does not depend on the basis given
    height = torch.linalg.vector_norm(start, dim=-1, keepdim=True)
    rows = start / torch.where(height > 0, height, 1)  # Kaiser: every dimension counts alike
    active = start.square().sum(-2) > 0
    # A second start, for the sake of a better maximum: a random turn of the columns that are not zero.
    both = active[:, :, None] & active[:, None, :]
    mixed = torch.where(both, _haar(1, rows.shape[-1], 0).to(rows), torch.diag_embed((~active).to(rows)))
    other = _ascend(rows @ torch.linalg.qr(mixed)[0])
    best = _ascend(rows)
    better = _simplicity(other) > _simplicity(best) * (1 + _TOLERANCE)
    rotated: Tensor = torch.where(better[:, None, None], other, best) * height
    order = rotated.square().sum(-2).argsort(dim=-1, descending=True, stable=True)
    return rotated.gather(-1, order[:, None, :].expand_as(rotated))


def _ascend(rows: Tensor) -> Tensor:
    """``rows`` (k, D, R) turned until the varimax criterion stands still; zero columns stay zero.

    Two columns at a time, by the angle that is best for the pair. The usual step by singular vectors of the gradient
    moves all columns at once, but it overshoots: two blocks of equal size are turned back and forth for ever.
    """
    columns = rows.permute(2, 0, 1).contiguous()  # (R, k, D)
    count, width = columns.shape[0], columns.shape[2]
    left = torch.arange(len(rows), device=rows.device)
    for _ in range(_SWEEPS):
        now, moved = columns[:, left], rows.new_zeros(len(left))
        for i, j in combinations(range(count), 2):
            x, y = now[i], now[j]
            u, v = x * x - y * y, 2 * x * y
            a, b = u.sum(-1), v.sum(-1)
            sine = 2 * ((u * v).sum(-1) - a * b / width)
            cosine = (u * u - v * v).sum(-1) - (a * a - b * b) / width
            gains = torch.hypot(sine, cosine) > _NOTHING * width  # never with a zero column, so those stay zero
            angle = torch.where(gains, torch.atan2(sine, cosine) / 4, 0.0)
            c, s = angle.cos()[:, None], angle.sin()[:, None]
            now[i], now[j] = c * x + s * y, c * y - s * x
            moved = torch.maximum(moved, angle.abs())
        columns[:, left] = now
        left = left[moved > _TOLERANCE]
        if not len(left):
            break
    return columns.permute(1, 2, 0)


def _simplicity(rows: Tensor) -> Tensor:
    """The varimax criterion (k,): variance of the squared entries within a column, summed over columns."""
    squares = rows.square()
    return torch.sum(squares.square().mean(-2) - squares.mean(-2).square(), -1)


def _without_rounding(loadings: Tensor) -> Tensor:
    energy = loadings.square().sum(-2, keepdim=True)
    return torch.where(energy > _NOTHING * energy.sum(-1, keepdim=True), loadings, 0.0)


def _signed(loadings: Tensor) -> Tensor:
    largest = loadings.gather(-2, loadings.abs().argmax(-2, keepdim=True))
    return loadings * torch.where(largest < 0, -1.0, 1.0)


def _haar(count: int, size: int, seed: int) -> Tensor:
    """Orthogonal matrices (count, size, size), float64, uniform over the group: QR with the signs of R taken out."""
    generator = torch.Generator().manual_seed(seed)
    q, r = torch.linalg.qr(torch.randn(count, size, size, generator=generator, dtype=torch.float64))
    signs = torch.where(torch.diagonal(r, dim1=-2, dim2=-1) < 0, -1.0, 1.0)
    turns: Tensor = q * signs[:, None, :]
    return turns
