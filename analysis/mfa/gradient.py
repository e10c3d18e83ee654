"""The authors' way to train: Adam on the likelihood, kept as a reference beside the estimator's expectation steps.

It exists to be compared with, so parametrisation, start and optimiser follow arXiv 2602.02464 and nothing is added to
help it. The one liberty is free of consequence: data and means are shifted by the mean activation, which changes no
gradient and keeps float32 from cancelling. Centring *and* scaling is a choice, since it changes what a rate means.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from analysis.errors import UserError
from analysis.mfa.parameters import Noise, Parameters
from analysis.progress import Progress, silent

EPSILON = 1e-5  # the authors' only floor: of a noise variance and of the norm that a direction is divided by
_ROWS, _EVALUATED = 8192, 512  # rows read at a time; rows evaluated at a time, N x K x R numbers each


@dataclass(frozen=True)
class GradientRun:
    """The best parameters of a run, in units of the activations, and one row of ``history`` per evaluation.

    A row has ``epoch`` (finished ones), ``step`` (updates), ``train`` (mean log-likelihood of the batches since the row
    before, nats per activation, as they were trained on; None at the start), ``held_out`` (of the validation
    activations, or None) and ``seconds`` (of training, without evaluations).
    """

    parameters: Parameters
    history: list[dict[str, Any]]


class GradientMixture(nn.Module):
    """The mixture in unconstrained tensors, named as in the authors' files (dossier 1.1).

    ``mu`` (K, D); ``dir_raw`` (K, D, R), divided by the norm of each column; ``scale_rho`` (K, R), softplus of which is
    a column's length; ``psi_rho`` (D,) or (K, D), softplus of which plus ``epsilon`` is a noise variance; ``pi_logits``
    (K,), softmax of which are the weights.
    """

    def __init__(
        self,
        mu: Tensor,
        dir_raw: Tensor,
        scale_rho: Tensor,
        psi_rho: Tensor,
        pi_logits: Tensor,
        epsilon: float = EPSILON,
    ) -> None:
        super().__init__()
        self.mu, self.dir_raw, self.scale_rho = nn.Parameter(mu), nn.Parameter(dir_raw), nn.Parameter(scale_rho)
        self.psi_rho, self.pi_logits = nn.Parameter(psi_rho), nn.Parameter(pi_logits)
        self.epsilon = epsilon

    @classmethod
    def start(cls, means: Tensor, n_factors: int, noise: Noise, generator: torch.Generator) -> GradientMixture:
        """The published start: given means (K, D), random columns of length 1, noise variances 1, equal weights."""
        count, width = means.shape
        one = softplus_inverse(torch.ones((), dtype=means.dtype, device=means.device))
        directions = torch.randn(count, width, n_factors, generator=generator, dtype=torch.float64) / width**0.5
        return cls(
            means.clone(),
            directions.to(means),
            one.expand(count, n_factors).clone(),
            one.expand(width if noise == "shared" else (count, width)).clone(),
            means.new_zeros(count),
        )

    @classmethod
    def of(cls, parameters: Parameters, epsilon: float = EPSILON) -> GradientMixture:
        """The same mixture, if its noise variances exceed ``epsilon``; lower ones are raised to a little above it.

        Zero columns get a random direction and a hundredth of the noise's spread: at zero the likelihood has a saddle
        that no gradient leaves.
        """
        p = parameters
        length = torch.linalg.vector_norm(p.loadings, dim=1)
        spare = torch.randn(p.loadings.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        some = torch.where(length[:, None] > 0, p.loadings, spare.to(p.loadings))
        length = torch.where(length > 0, length, 0.01 * p.noise.mean(-1, keepdim=True).sqrt())
        rho = softplus_inverse((p.noise - epsilon).clamp(min=epsilon / 10))
        logits = p.weights.clamp(min=torch.finfo(p.weights.dtype).tiny).log()
        return cls(
            p.means.clone(), functional.normalize(some, dim=1, eps=0), softplus_inverse(length), rho, logits, epsilon
        )

    def mixture(self) -> Parameters:
        """The constrained parameters, with their gradient."""
        norm = torch.linalg.vector_norm(self.dir_raw, dim=1, keepdim=True).clamp(min=self.epsilon)
        loadings = self.dir_raw / norm * functional.softplus(self.scale_rho)[:, None]
        noise = functional.softplus(self.psi_rho) + self.epsilon
        return Parameters(self.pi_logits.softmax(0), self.mu, loadings, noise)

    def log_joint(self, x: Tensor) -> Tensor:
        """log of weight times density (N, K) for x (N, D), in nats, by the matrix-inversion lemma (dossier 1.2).

        The product with all loadings is one matrix product and nothing of size N x K x D arises.
        """
        p = self.mixture()
        count, width, factors = p.loadings.shape
        precision = p.noise.reciprocal()  # (D,) or (K, D)
        weighted = p.loadings * precision.expand(count, width)[:, :, None]
        inner = p.loadings.mT @ weighted + torch.eye(factors).to(x)  # M_k, at least the identity: needs no jitter
        root, failed = torch.linalg.cholesky_ex(inner)
        root = torch.where(failed[:, None, None] > 0, math.nan, root)  # training that diverges ends on a NaN, softly
        flat = weighted.transpose(0, 1).reshape(width, count * factors)
        scores = (x @ flat).view(len(x), count, factors) - (p.means[:, None] @ weighted).transpose(0, 1)
        explained = torch.linalg.solve_triangular(root, scores.permute(1, 2, 0), upper=False).square().sum(1).T
        square = x.square() @ precision.t()  # (N,) or (N, K)
        distance = (square[:, None] if square.ndim == 1 else square) - 2 * x @ (p.means * precision).T
        distance = distance + (p.means.square() * precision).sum(1)
        volume = p.noise.log().expand(count, width).sum(1) + 2 * torch.diagonal(root, dim1=1, dim2=2).log().sum(1)
        density = -0.5 * (width * math.log(2 * math.pi) + volume + distance - explained)
        joint: Tensor = self.pi_logits.log_softmax(0) + density
        return joint

    def forward(self, x: Tensor) -> Tensor:
        """Log-likelihoods (N,) of x (N, D), in nats."""
        return self.log_joint(x).logsumexp(1)


def softplus_inverse(values: Tensor) -> Tensor:
    """The y with softplus(y) = values > 0, in the form that loses no digits at either end."""
    return values + torch.log(-torch.expm1(-values))


def train_by_gradient(
    activations: Tensor | np.ndarray,
    start_means: Tensor | np.ndarray,
    n_factors: int,
    *,
    rate: float = 1e-3,
    epochs: int = 10,
    batch_size: int = 128,
    noise: Noise = "shared",
    scale: bool = False,
    initial: Parameters | None = None,
    validation: Tensor | np.ndarray | None = None,
    evaluate_every: int | None = None,
    seconds_limit: float | None = None,
    target: float | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> GradientRun:
    """Minimise the mean negative log-likelihood with Adam at a constant rate (arXiv 2602.02464; dossier 1.3).

    Args:
        activations: (N, D), any floating dtype; converted batch by batch, on their device, to float64 if float64, else
            to float32.
        start_means: (K, D), units of the activations. Not used when ``initial`` is given.
        n_factors: R, at least 1 and below D.
        scale: also divide by one scalar, the root of the mean variance, so that unit noise and unit columns are a sane
            start: the well-tuned form. Parameters and log-likelihoods are given in the original units either way.
        initial: a mixture to go on from, in place of the published start; it settles K, R and the kind of noise.
        validation: (M, D) held-out activations. The parameters with the best log-likelihood on them are kept, the
            start included; without them, those of the best row by ``train``.
        evaluate_every: steps between evaluations; one per epoch if None.
        seconds_limit: training stops at the first step that ends after so many seconds of training.
        target: training stops when the held-out log-likelihood reaches it (nats per activation).
        progress: is told each row of the history as ``row``.

    Raises:
        UserError: sizes that do not fit, numbers that are not finite, a target without validation, or a run that
            diverged before its first evaluation.
    """
    data = _checked(torch.as_tensor(activations), "activations")
    held = None if validation is None else _checked(torch.as_tensor(validation), "validation", data.shape[1])
    if target is not None and held is None:
        raise UserError("A target needs held-out activations to be measured on.", "target")
    _check_settings(rate, epochs=epochs, batch_size=batch_size, evaluate_every=evaluate_every or 1)
    units = _Units.of(data, scale)
    generator = torch.Generator().manual_seed(seed)
    if initial is None:
        means = _checked(torch.as_tensor(start_means), "start_means", data.shape[1]).to(data.device)
        if not 1 <= n_factors < data.shape[1]:
            raise UserError(f"The number of local factors must be from 1 to {data.shape[1] - 1}.", "n_factors")
        model = GradientMixture.start(units.inside(means), n_factors, noise, generator)
    else:
        if initial.width != data.shape[1]:
            raise UserError(f"The start has {initial.width} dimensions, the activations {data.shape[1]}.", "initial")
        inside = initial.to(data.device).to(units.shift.dtype).scaled(1 / units.one, -units.shift / units.one)
        model = GradientMixture.of(inside, min(EPSILON, float(inside.noise.min()) / 2))
    per_epoch = math.ceil(len(data) / batch_size)
    record = _Record(model, units, held, target, progress, per_epoch * epochs)
    going = record.row(0, 0, None, 0.0)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate)
    every = evaluate_every or per_epoch
    step, seen, seconds = 0, 0, 0.0
    total = torch.zeros((), dtype=torch.float64, device=data.device)
    for rows in _batches(len(data), batch_size, epochs if going else 0, generator):
        began = time.perf_counter()
        likelihood = model(units.inside(data[rows.to(data.device)]))
        optimiser.zero_grad()
        (-likelihood.mean()).backward()
        optimiser.step()
        total += likelihood.detach().sum()
        seen, step = seen + len(rows), step + 1
        timed = seconds_limit is not None and seconds + time.perf_counter() - began >= seconds_limit
        due = step % every == 0 or step == per_epoch * epochs or timed
        train = float(total) / seen - units.nats if due else None  # waits for the device, so before the clock is read
        seconds += time.perf_counter() - began
        if due:
            going = record.row(step // per_epoch, step, train, seconds)
            seen, total = 0, torch.zeros_like(total)
            if timed or not going:
                break
    return GradientRun(record.best(), record.history)


@dataclass(frozen=True)
class _Units:
    """How activations are shifted (D,) and divided before training."""

    shift: Tensor
    one: float

    @classmethod
    def of(cls, data: Tensor, scale: bool) -> _Units:
        mean = torch.stack([part.double().sum(0) for part in data.split(_ROWS)]).sum(0) / len(data)
        squares = sum(float((part.double() - mean).square().sum()) for part in data.split(_ROWS))
        shift = mean.to(torch.float64 if data.dtype == torch.float64 else torch.float32)
        return cls(shift, (math.sqrt(squares / data.numel()) or 1.0) if scale else 1.0)

    @property
    def nats(self) -> float:
        """What a log-likelihood in these units has more than one in the units of the activations."""
        return len(self.shift) * math.log(self.one)

    def inside(self, rows: Tensor) -> Tensor:
        return (rows.to(self.shift) - self.shift) / self.one


class _Record:
    """Evaluates, remembers the best state, and knows when there is nothing left to do."""

    def __init__(
        self,
        model: GradientMixture,
        units: _Units,
        held: Tensor | None,
        target: float | None,
        progress: Progress,
        steps: int,
    ) -> None:
        self.model, self.units, self.held, self.target = model, units, held, target
        self.progress, self.steps = progress, steps
        self.history: list[dict[str, Any]] = []
        self._reached, self._state = -math.inf, {n: v.clone() for n, v in model.state_dict().items()}

    def row(self, epoch: int, step: int, train: float | None, seconds: float) -> bool:
        """Add a row to the history, and say whether to go on."""
        held_out = self._held_out()
        reached = train if self.held is None else held_out
        if reached is not None and not math.isfinite(reached):
            if self._reached == -math.inf:
                raise UserError("The training diverged at once. Use a smaller rate or scale the activations.", "rate")
            return False
        row = {"epoch": epoch, "step": step, "train": train, "held_out": held_out, "seconds": seconds}
        self.history.append(row)
        if reached is not None and reached > self._reached:
            self._reached, self._state = reached, {n: v.clone() for n, v in self.model.state_dict().items()}
        self.progress(step / self.steps, f"step {step}", row=dict(row))
        return self.target is None or held_out is None or held_out < self.target

    @torch.no_grad()
    def best(self) -> Parameters:
        self.model.load_state_dict(self._state)
        p = self.model.mixture().scaled(self.units.one, self.units.shift)
        return Parameters(p.weights.detach(), p.means.detach(), p.loadings.detach(), p.noise.detach())

    @torch.no_grad()
    def _held_out(self) -> float | None:
        if self.held is None:
            return None
        total = sum(float(self.model(self.units.inside(p)).double().sum()) for p in self.held.split(_EVALUATED))
        return total / len(self.held) - self.units.nats


def _batches(count: int, size: int, epochs: int, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(epochs):
        yield from torch.randperm(count, generator=generator).split(size)


def _checked(rows: Tensor, name: str, width: int | None = None) -> Tensor:
    """A matrix of finite floating numbers with rows, of the given width."""
    if rows.ndim != 2 or 0 in rows.shape or not rows.is_floating_point():
        raise UserError("Activations and means come as a table of floating numbers, one row for each.", name)
    if width is not None and rows.shape[1] != width:
        raise UserError(f"These have {rows.shape[1]} dimensions, the activations {width}.", name)
    if not all(bool(part.isfinite().all()) for part in rows.split(_ROWS)):
        raise UserError("Some activations or means are not finite numbers. Leave those rows out.", name)
    return rows


def _check_settings(rate: float, **counts: int) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise UserError("The rate must be a positive number.", "rate")
    for name, value in counts.items():
        if value < 1:
            raise UserError(f"The setting {name} must be at least 1.", name)
