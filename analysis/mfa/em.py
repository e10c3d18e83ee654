"""Expectation-maximisation for a mixture of factor analyzers, from sums that a stream of batches can fill.

All that the M-step needs of the data are weighted moments of the points and of their posterior factors, per component.
They are added up batch by batch, so that memory does not grow with the number of points, and they have a scale
(per point), so that stochastic EM is a running mean of them. Since nearly every activation belongs to one component,
the sums take only each point's most responsible ones: a pass then costs little more than its likelihood.

E- and M-step are those of "The EM Algorithm for Mixtures of Factor Analyzers" (1996), with [W_k mu_k] solved together
and factors standardised anew. Points are expected centred and of unit mean variance: floors are relative to that, and
single precision then loses nothing in the products of a batch. Sums over batches are in float64.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from analysis.mfa.density import Density, Leading
from analysis.mfa.parameters import Parameters

NEGLIGIBLE = 1e-7  # responsibilities below it cannot move a sum of float32 products


@dataclass(frozen=True)
class Floors:
    """What keeps parameters off the edge: ``noise`` variance at least this share of the mean variance of the data
    (which is 1), ``count`` points added to every component for its weight, ``ridge`` on the factors' second moments
    relative to their mean diagonal."""

    noise: float = 1e-4
    count: float = 0.1
    ridge: float = 1e-6


@dataclass
class Statistics:
    """Sums over points n with responsibility r, z' = (z, 1) the posterior factors with a one: float64, in place.

    ``count`` (K,): of r. ``cross`` (K, D, R + 1): of r x z'^T. ``second`` (K, R + 1, R + 1): of r E[z' z'^T].
    ``square``: of x^2, (D,) over all points with shared noise, of r x^2, (K, D), otherwise. ``rows``: number of points.
    ``score``: of log p(x) under the parameters that gave r, in nats.
    """

    count: Tensor
    cross: Tensor
    second: Tensor
    square: Tensor
    rows: float = 0.0
    score: float = 0.0

    @classmethod
    def like(cls, parameters: Parameters) -> Statistics:
        """Empty sums for these parameters."""
        k, d, r = parameters.loadings.shape
        count, cross, second = (
            parameters.means.new_zeros(s, dtype=torch.float64) for s in ((k,), (k, d, r + 1), (k, r + 1, r + 1))
        )
        return cls(count, cross, second, torch.zeros_like(parameters.noise, dtype=torch.float64))

    @classmethod
    def expected(cls, parameters: Parameters) -> Statistics:
        """The sums per point that a mixture would find, on average, in points of its own."""
        weights, both = parameters.weights.double(), _both(parameters)
        noise = parameters.noise.double()
        found = cls.like(parameters)
        found.rows, found.count = 1.0, weights.clone()
        found.cross = weights[:, None, None] * both
        found.second = weights[:, None, None] * torch.eye(both.shape[2]).to(both)
        spread = weights[:, None] * (both.square().sum(2) + noise)
        found.square = spread if noise.ndim == 2 else spread.sum(0)
        return found

    def per_point(self) -> Statistics:
        """The same divided by the number of points, so that ``rows`` is 1."""
        return self._scaled(1 / max(self.rows, 1.0))

    def plus(self, other: Statistics) -> Statistics:
        """The sums over the points of both."""
        return Statistics(
            self.count + other.count,
            self.cross + other.cross,
            self.second + other.second,
            self.square + other.square,
            self.rows + other.rows,
            self.score + other.score,
        )

    def towards(self, other: Statistics, step: float) -> Statistics:
        """(1 - step) times these plus ``step`` times the other: the running mean of stochastic EM."""
        mine, its = self._scaled(1 - step), other._scaled(step)
        for name in ("count", "cross", "second", "square"):
            getattr(mine, name).add_(getattr(its, name))
        mine.rows += its.rows
        mine.score += its.score
        return mine

    def implant(self, component: int, before: Parameters, after: Parameters, count: float) -> None:
        """Exchange the sums of a component, which had the parameters ``before``, for ``count`` points of ``after``."""
        mine, its = _both(before)[component], _both(after)[component]
        spread = its.square().sum(1) + _noise(after, component)
        had = float(self.count[component])
        if self.square.ndim == 2:
            self.square[component] = count * spread
        else:  # a sum over all points: out with what the component explained of it and with the noise of its points
            explained = (mine * (2 * self.cross[component] - mine @ self.second[component])).sum(1)
            self.square += count * spread - explained - had * _noise(before, component)
        self.rows += count - had
        self.count[component] = count
        self.cross[component] = count * its
        self.second[component] = count * torch.eye(its.shape[1]).to(its)

    def _scaled(self, by: float) -> Statistics:
        return Statistics(
            self.count * by, self.cross * by, self.second * by, self.square * by, self.rows * by, self.score * by
        )


class Elsewhere(Protocol):
    """Batches of points that are not here: sums over them are made where they are."""

    def expect(self, parameters: Parameters, top: int | None, worst: Worst | None) -> Statistics:
        """As :func:`expect`."""
        ...

    def score(self, parameters: Parameters) -> tuple[float, int]:
        """The sum of log-densities, and over how many points."""
        ...


class Worst:
    """The points that the mixture explains worst, each with the component that claims it; at most ``room`` of them."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.points: Tensor | None = None
        self._score: Tensor | None = None
        self._owner: Tensor | None = None

    def add(self, points: Tensor, leading: Leading) -> None:
        """Take the worst of a batch."""
        score, owner = leading.score, leading.component.gather(1, leading.responsibility.argmax(1, keepdim=True))[:, 0]
        _, rows = score.topk(min(self.room, score.shape[0]), largest=False)
        self.take(points[rows], score[rows], owner[rows])

    def take(self, points: Tensor, score: Tensor, owner: Tensor) -> None:
        """Take the worst of some that others have chosen."""
        found = [points, score, owner]
        if self.points is not None:
            assert self._score is not None and self._owner is not None
            found = [torch.cat(pair) for pair in zip([self.points, self._score, self._owner], found, strict=True)]
        keep = found[1].topk(min(self.room, found[1].shape[0]), largest=False).indices
        self.points, self._score, self._owner = (t[keep] for t in found)

    def kept(self) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The points (M, D), their scores and owners (M,)."""
        return self.points, self._score, self._owner

    def reseed(self, parameters: Parameters, empty: list[int], generator: torch.Generator) -> Parameters:
        """The parameters with ``empty`` components moved to points drawn from these.

        Drawn rather than taken in order, lest a few outliers be tried again and again. A moved component takes the
        loadings of the component that claimed the point: zero loadings would stay zero under EM. The weight of that
        component is shared among the two.
        """
        if self.points is None or not empty:
            return parameters
        assert self._owner is not None
        drawn = torch.randperm(self.points.shape[0], generator=generator)[: len(empty)].tolist()
        weights, means, loadings = (t.clone() for t in (parameters.weights, parameters.means, parameters.loadings))
        noise = parameters.noise.clone()
        for component, row in zip(empty, drawn, strict=False):
            owner = int(self._owner[row])
            means[component] = self.points[row].to(means)
            loadings[component] = loadings[owner]
            if noise.ndim == 2:
                noise[component] = noise[owner]
            both = weights[owner] + (weights[component] if component != owner else 0)
            weights[owner] = weights[component] = both / 2
        return Parameters(weights / weights.sum(), means, loadings, noise)


def expect(
    parameters: Parameters,
    batches: Iterable[Tensor] | Elsewhere,
    *,
    top: int | None = 2,
    worst: Worst | None = None,
) -> Statistics:
    """The E-step: sums of the batches (M, D) under these parameters, from the ``top`` components of each point.

    ``top`` None takes all components, which is EM to the letter. ``worst`` collects the worst explained points.
    """
    if not isinstance(batches, Iterable):
        return batches.expect(parameters, top, worst)
    density = Density(parameters, torch.zeros_like(parameters.means[0]))
    found = Statistics.like(parameters)
    for points in batches:
        leading = density.leading(points, top)
        if worst is not None:
            worst.add(points, leading)
        # On a GPU the launches of a product per component would cost more than the products of zeros.
        grouped = top is not None and points.device.type != "cuda"
        (_add_grouped if grouped else _add_dense)(found, points, leading)
        found.score += float(leading.score.sum(dtype=torch.float64))
        found.rows += points.shape[0]
        if found.square.ndim == 1:
            found.square += points.square().sum(0, dtype=torch.float64)
    _to_factors(found, density.factor)
    return found


def maximise(sums: Statistics, before: Parameters, floors: Floors | None = None, *, least: float = 0.0) -> Parameters:
    """The M-step: the parameters that the sums ask for, in the dtype of ``before``.

    Components with a count of ``least`` points or fewer keep their place and shape, of ``before``; only their weight
    follows.
    """
    floors = floors or Floors()
    factors = before.factors
    second = sums.second.clone()
    diagonal = second.diagonal(dim1=1, dim2=2)  # a view: the ridge is added through it
    if factors:
        diagonal[:, :factors] += floors.ridge * diagonal[:, :factors].mean(1, keepdim=True)
    alive = sums.count > max(least, torch.finfo(torch.float64).tiny)
    second[~alive] = torch.eye(factors + 1).to(second)
    both = torch.cholesky_solve(sums.cross.mT, torch.linalg.cholesky(second)).mT  # (K, D, R + 1)
    both = torch.where(alive[:, None, None], both, _both(before))
    # The whole quadratic form, so that the noise is right for a ridge and for components that stayed as they were.
    explained = (both * (2 * sums.cross - both @ sums.second)).sum(2)  # (K, D)
    if sums.square.ndim == 1:
        noise = (sums.square - explained.sum(0)) / sums.rows
    else:
        noise = (sums.square - explained) / sums.count.clamp_min(torch.finfo(torch.float64).tiny)[:, None]
        noise = torch.where(alive[:, None], noise, before.noise.to(noise))
    both = torch.where(alive[:, None, None], _standardised(both, sums), both)
    weights = sums.count + floors.count
    found = Parameters(weights / weights.sum(), both[..., factors], both[..., :factors], noise.clamp_min(floors.noise))
    return found.to(before.means.dtype)


def _standardised(both: Tensor, sums: Statistics) -> Tensor:
    """[W_k mu_k] for factors of mean 0 and variance 1, where those of the sums have mean m_k and covariance S_k.

    mu_k + W_k m_k and W_k S_k^1/2 give the points the same density. It is the step of parameter-expanded EM
    ("Parameter expansion to accelerate EM: the PX-EM algorithm", 1998): still never downhill, and without it a centroid
    creeps along its own loadings for dozens of rounds.
    """
    factors = both.shape[2] - 1
    second = sums.second / sums.count.clamp_min(torch.finfo(torch.float64).tiny)[:, None, None]
    mean = second[:, :factors, factors]
    spread = second[:, :factors, :factors] - mean[:, :, None] * mean[:, None]
    root, wrong = torch.linalg.cholesky_ex(spread)
    root[wrong > 0] = torch.eye(factors).to(root)  # components without points
    loadings = both[..., :factors]
    return torch.cat([loadings @ root, both[..., factors:] + loadings @ mean[..., None]], 2)


def _both(parameters: Parameters) -> Tensor:
    """[W_k mu_k], (K, D, R + 1) float64."""
    return torch.cat([parameters.loadings, parameters.means[..., None]], 2).double()


def _noise(parameters: Parameters, component: int) -> Tensor:
    return (parameters.noise if parameters.noise.ndim == 1 else parameters.noise[component]).double()


def _add_grouped(found: Statistics, points: Tensor, leading: Leading) -> None:
    """Products over each component's own points, which sorting has made neighbours."""
    components, width, columns = found.cross.shape
    owner, weight = leading.component.flatten(), leading.responsibility.flatten()
    kept = (weight > NEGLIGIBLE).nonzero()[:, 0]
    kept = kept[owner[kept].argsort(stable=True)]
    rows, owner, weight = kept.div(leading.component.shape[1], rounding_mode="floor"), owner[kept], weight[kept]
    sizes = owner.bincount(minlength=components).tolist()
    right = points.new_ones(kept.shape[0], columns)
    right[:, :-1] = leading.local.flatten(0, 1)[kept]
    left = points.new_empty(kept.shape[0], width + columns)
    left[:, :width] = points[rows]
    left[:, width:] = right
    right *= weight[:, None]
    sums = points.new_zeros(components, width + columns, columns)
    first = 0
    for k, size in enumerate(sizes):
        if size:
            torch.mm(left[first : first + size].T, right[first : first + size], out=sums[k])
        first += size
    found.cross += sums[:, :width]
    found.second += sums[:, width:]
    found.count += sums[:, -1, -1]
    if found.square.ndim == 2:
        squares = left[:, :width].square().mul_(weight[:, None])
        found.square += points.new_zeros(components, width).index_add_(0, owner, squares)


def _add_dense(found: Statistics, points: Tensor, leading: Leading) -> None:
    """One product with the factors of all components, zero where a component was left out."""
    components, width, columns = found.cross.shape
    right = points.new_zeros(points.shape[0], components, columns)
    where = leading.component[..., None].expand(-1, -1, columns)
    local = torch.cat([leading.local, torch.ones_like(leading.responsibility)[..., None]], 2)
    right.scatter_(1, where, local)
    weighted = right.new_zeros(right.shape).scatter_(1, where, local * leading.responsibility[..., None])
    found.cross += (points.T @ weighted.flatten(1)).view(width, components, columns).transpose(0, 1)
    found.second += torch.bmm(right.permute(1, 2, 0), weighted.transpose(0, 1))
    found.count += weighted[..., -1].sum(0, dtype=torch.float64)
    if found.square.ndim == 2:
        found.square += weighted[..., -1].T @ points.square()


def _to_factors(found: Statistics, factor: Tensor) -> None:
    """From rows y to factors z = L^-T y, once for all points; and the factors' covariance M^-1 for each of them."""
    factors = factor.shape[1]
    if not factors:
        return
    found.cross[..., :factors] = torch.linalg.solve_triangular(
        factor, found.cross[..., :factors], upper=False, left=False
    )
    right = torch.linalg.solve_triangular(factor, found.second[..., :factors], upper=False, left=False)
    found.second[..., :factors] = right
    found.second[:, :factors] = torch.linalg.solve_triangular(factor.mT, found.second[:, :factors], upper=True)
    inverse = torch.cholesky_inverse(factor)
    found.second[:, :factors, :factors] += found.count[:, None, None] * inverse
    found.second += found.second.mT.clone()
    found.second /= 2
