"""Activations in memory or from outside, read alike: batches of one size, centred and scaled, again and again.

Which rows are held out, and which are drawn for a sample, follows from a hash of the row's number. The answer is
therefore the same on every pass, and the same for an array as for any way of cutting it into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UserError

Part = Literal["all", "kept", "held"]
# What a fit may take: (N, D) at once, or batches (M, D) from something that can be read from the start again.
Activations = np.ndarray | Tensor | Iterable[Any] | Callable[[], Iterable[Any]]


def as_points(data: Any) -> Tensor:
    """Points (N, D) as a float tensor: float64 stays, everything else becomes float32. Raises UserError."""
    try:
        points = data if isinstance(data, Tensor) else torch.from_numpy(np.require(data, requirements=["C", "W"]))
        points = points if points.dtype == torch.float64 else points.to(torch.float32)
    except (TypeError, ValueError) as error:
        raise UserError(
            "Activations must be an array of numbers, or batches of such arrays that can be read more than once.",
            "activations",
        ) from error
    if points.ndim != 2 or points.shape[1] == 0:
        raise UserError(
            f"Activations must have two axes, points and dimensions, not {points.ndim}. Flatten prompts and positions.",
            "activations",
        )
    return points.detach()


def finite(points: Tensor) -> Tensor:
    """The points themselves. Raises UserError if one of their numbers is NaN or infinite."""
    if not bool(torch.isfinite(points).all()):
        row = int((~torch.isfinite(points)).any(1).nonzero()[0])
        raise UserError(
            f"Row {row} of the activations (of its batch) is not finite. Leave such rows out, or record in bfloat16 or "
            "float32: float16 overflows at 65,504.",
            "activations",
        )
    return points


@dataclass(frozen=True)
class Stream:
    """Activations as batches of ``size`` rows (the last one shorter), as ``(x - center) / scale``.

    ``held`` is the share of rows that only ``part="held"`` gives, ``seed`` what that share and samples depend on.
    """

    source: Callable[[], Iterable[Any]]
    size: int
    center: Tensor | None = None
    scale: float = 1.0
    held: float = 0.0
    seed: int = 0
    arrays: str = "torch"

    @classmethod
    def of(cls, data: Activations, size: int, seed: int) -> Stream:
        """A stream over an array or tensor (N, D), a re-iterable of batches, or a callable that gives one."""
        if isinstance(data, (Tensor, np.ndarray)):
            as_points(data[:1])  # refused here, before anything is read
            whole = data
            return cls(lambda: _slices(whole, size), size, seed=seed, arrays=_kind(data))
        if callable(data):
            source: Callable[[], Iterable[Any]] = data
        elif isinstance(data, (str, bytes, dict)) or not hasattr(data, "__iter__"):
            raise UserError("Activations must be an array (N, D) or batches of such arrays.", "activations")
        elif iter(data) is data:
            raise UserError(
                "These batches can be read only once, and a fit reads them many times. Give a list, or a function that "
                "starts them anew.",
                "activations",
            )
        else:
            if isinstance(data, (list, tuple)) and data and np.ndim(data[0]) == 1:
                return cls.of(np.asarray(data), size, seed)  # plain rows of numbers
            batches = data
            source = lambda: batches  # noqa: E731 - the two ways give the same kind of thing
        first = next(iter(source()), None)
        if first is None:
            raise UserError("There are no activations to fit.", "activations")
        return cls(source, size, seed=seed, arrays=_kind(first))

    def standardised(self, center: Tensor, scale: float) -> Stream:
        """The same stream, shifted and scaled."""
        return replace(self, center=center, scale=scale)

    def holding(self, share: float) -> Stream:
        """The same stream with a share of its rows held out."""
        return replace(self, held=share)

    def __iter__(self) -> Iterator[Tensor]:
        """The rows that are not held out."""
        return self.batches("kept")

    def batches(self, part: Part = "all") -> Iterator[Tensor]:
        """All rows, those kept for fitting, or those held out."""
        for points, _ in self.numbered(part):
            yield points

    def numbered(self, part: Part = "all") -> Iterator[tuple[Tensor, Tensor]]:
        """As :meth:`batches`, with the numbers (M,) of the rows in the whole."""
        waiting: list[tuple[Tensor, Tensor]] = []
        for points, rows in self._chosen(part):
            waiting.append((points, rows))
            while sum(p.shape[0] for p, _ in waiting) >= self.size:
                joined = [torch.cat(t) if len(t) > 1 else t[0] for t in zip(*waiting, strict=True)]
                yield self._moved(joined[0][: self.size]), joined[1][: self.size]
                waiting = [(joined[0][self.size :], joined[1][self.size :])]
        joined = [torch.cat(t) for t in zip(*waiting, strict=True)]
        if joined and joined[0].shape[0]:
            yield self._moved(joined[0]), joined[1]

    def moments(self) -> tuple[int, Tensor, float]:
        """Number of rows, mean (D,) float64 and mean variance per dimension, in one pass that also refuses bad rows."""
        count, shift, total, square = 0, None, torch.zeros(()), 0.0
        for points in replace(self, center=None, scale=1.0, held=0.0).batches():
            finite(points)
            # Relative to a first guess, or the square of a large mean would drown the variance.
            if shift is None:
                shift = points.mean(0, dtype=torch.float64)
                total = torch.zeros_like(shift)
            exact = points.double() - shift
            total += exact.sum(0)
            square += float(exact.square().sum())
            count += exact.shape[0]
        if shift is None:
            raise UserError("There are no activations to fit.", "activations")
        offset = total / count
        variance = (square / count - float(offset @ offset)) / shift.shape[0]
        return count, shift + offset, max(variance, 0.0)

    def sample(self, most: int, part: Part = "kept") -> Tensor:
        """Up to ``most`` rows drawn without replacement, (M, D), in the order of the stream."""
        held: list[tuple[Tensor, ...]] = []
        least, count = -1.0, 0
        for points, rows in self.numbered(part):
            keys = _hash(rows, self.seed, "sample")
            entering = keys > least
            held.append((points[entering], keys[entering], rows[entering]))
            count += held[-1][0].shape[0]
            if count > 2 * most:  # rarely, since it copies all that is held
                held = [_largest(held, most)]
                least, count = float(held[0][1].min()), most
        if not count:
            raise UserError("There are no activations left to fit. Hold fewer of them out.", "validation")
        return _largest(held, most)[0]

    def _chosen(self, part: Part) -> Iterator[tuple[Tensor, Tensor]]:
        first, width = 0, None
        pieces = (as_points(batch) for batch in self.source())
        for points in chain.from_iterable(p.split(self.size) for p in pieces):
            width = points.shape[1] if width is None else width
            if points.shape[1] != width:
                raise _widths(width, points.shape[1])
            rows = torch.arange(first, first + points.shape[0], device=points.device)
            first += points.shape[0]
            if self.held and part != "all":
                out = _hash(rows, self.seed, "held") < self.held
                chosen = out if part == "held" else ~out
                points, rows = points[chosen], rows[chosen]
            yield points, rows

    def _moved(self, points: Tensor) -> Tensor:
        if self.center is not None:
            if points.shape[1] != self.center.shape[0]:
                raise _widths(self.center.shape[0], points.shape[1])
            points = points - self.center.to(points)
        return points if self.scale == 1.0 else points / self.scale


def _hash(rows: Tensor, seed: int, use: str) -> Tensor:
    """A number in [0, 1), float64, that looks random for each row number: rounds of multiply and shift on 64 bits."""
    salt = {"held": 0x2545F491, "sample": 0x5851F42D}[use]
    start = ((seed + 1) * 0x3C6EF372FE94F82A + salt) % 2**63
    mixed = (rows + 1) * 0x1E3779B97F4A7C15 + start
    for shift, factor in ((30, 0x3F58476D1CE4E5B9), (27, 0x14D049BB133111EB)):
        # Python's right shift of a negative number keeps its sign; the mask makes it a shift of plain bits.
        mixed = (mixed ^ ((mixed >> shift) & (2 ** (64 - shift) - 1))) * factor
    return ((mixed >> 11) & (2**53 - 1)).double() / 2**53


def _largest(held: list[tuple[Tensor, ...]], most: int) -> tuple[Tensor, ...]:
    """Points, keys and rows with the largest keys, in the order of the rows."""
    points, keys, rows = (torch.cat(t) for t in zip(*held, strict=True))
    keep = keys.topk(min(most, keys.shape[0])).indices.sort().values
    return points[keep], keys[keep], rows[keep]


def _slices(whole: np.ndarray | Tensor, size: int) -> Iterator[np.ndarray | Tensor]:
    return (whole[first : first + size] for first in range(0, whole.shape[0], size))


def _kind(data: Any) -> str:
    return "torch" if isinstance(data, Tensor) else "numpy"


def _widths(one: int, other: int) -> UserError:
    return UserError(
        f"Activations differ in width: {one} and {other}. They must come from one layer of one model.",
        "activations",
    )
