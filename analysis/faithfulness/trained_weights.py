"""The weights that FUR trains: the last projections of the MLPs, put back bit for bit whatever happens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from analysis.errors import UserError
from analysis.models.hooks import layout
from analysis.models.loaded_model import LoadedModel


def projections(loaded: LoadedModel) -> list[nn.Parameter]:
    """The weights of the last projections of all MLPs, in the order of the blocks; no biases.

    Raises UserError(field="model") if the model has none that can be told apart (experts that share the work have
    none), or if their weights are no floating-point numbers.
    """
    sites = sorted((s for s in layout(loaded).places if s.kind == "mlp_hidden"), key=lambda s: s.layer)
    found = [layout(loaded).places[site].module.weight for site in sites]
    if not found:
        raise UserError(
            "No MLP of this model has one last projection, so a step cannot be unlearned from it. Leave FUR out, or "
            "load another model.",
            "model",
        )
    weights = [w for w in dict.fromkeys(found) if isinstance(w, nn.Parameter) and w.is_floating_point()]
    if len(weights) != len(found):
        raise UserError(
            "The MLP weights of this model are quantised and cannot be trained. Load it in float32.", "model"
        )
    return weights


def weights_hash(tensors: nn.Module | Sequence[Tensor]) -> str:
    """SHA-256 of all bytes of some tensors, or of a model's parameters and buffers."""
    named = tensors.state_dict(keep_vars=True).values() if isinstance(tensors, nn.Module) else tensors
    digest = hashlib.sha256()
    for tensor in named:
        values: np.ndarray = tensor.detach().reshape(-1).contiguous().cpu().view(torch.uint8).numpy()
        digest.update(values.data)
    return digest.hexdigest()


class TrainedWeights:
    """The weights that are changed, as they were and as they are trained."""

    def __init__(self, weights: Sequence[nn.Parameter], parameters: Sequence[nn.Parameter]) -> None:
        self.weights = list(weights)
        self._flags = [(p, p.requires_grad, p.grad) for p in parameters]
        self._old = [w.detach().clone() for w in self.weights]
        self.before = self.hash()
        # Updates of half-precision weights would be rounded away one by one; they are summed up in float32.
        self.masters: list[Tensor] = []

    def hash(self) -> str:
        return weights_hash(self.weights)

    def begin(self) -> None:
        for p, _, _ in self._flags:
            p.grad = None
            p.requires_grad_(False)
        whole = (torch.float32, torch.float64)
        self.masters = [w if w.dtype in whole else w.detach().float() for w in self.weights]
        self._train()

    def _train(self) -> None:
        for weight, master in zip(self.weights, self.masters, strict=True):
            weight.requires_grad_(True)
            master.requires_grad_(True)

    def collect(self) -> None:
        for weight, master in zip(self.weights, self.masters, strict=True):
            if master is not weight:
                master.grad = None if weight.grad is None else weight.grad.float()
                weight.grad = None

    @torch.no_grad()
    def publish(self) -> None:
        for weight, master in zip(self.weights, self.masters, strict=True):
            if master is not weight:
                weight.copy_(master)

    def rest(self) -> None:
        """Training is over: no gradients are kept or wanted."""
        for weight in self.weights:
            weight.grad = None
            weight.requires_grad_(False)
        self.masters = []

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The old weights in the model, and the trained ones again afterwards, unless something was raised."""
        trained = [w.detach().clone() for w in self.weights]
        self.restore()
        yield
        for p, _, _ in self._flags:
            p.grad = None
            p.requires_grad_(False)
        with torch.no_grad():
            for weight, values in zip(self.weights, trained, strict=True):
                weight.copy_(values)
        self._train()

    def restore(self) -> None:
        with torch.no_grad():
            for weight, values in zip(self.weights, self._old, strict=True):
                weight.copy_(values)
        for p, flag, grad in self._flags:
            p.requires_grad_(flag)
            p.grad = grad
