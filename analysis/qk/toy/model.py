"""One attention head and the loop that trains it on payload retrieval.

The head is four matrices in a plain tuple and not a module: the report needs the matrices themselves, and a trained
toy must travel as arrays together with its embedding. The loop contracts the query into token space before it meets
the context and pools the context before it meets W_V, which gives the same numbers as the textbook order at a
fraction of the work; that is what lets a page train it while someone waits. What ``progress`` raises passes
through, so that cancelling needs no flag here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from analysis.errors import UserError
from analysis.progress import Progress, silent
from analysis.qk.toy.data import ToyBatch, ToyEmbedding, draw_embedding, generator_for, sample_batch
from analysis.qk.toy_settings import ToySettings

_WARM_UP = 100  # Steps of linear rise, so that AdamW has seen some gradients before it takes full steps.
_DRAWN_AT_ONCE = 16  # Batches per draw: fewer, larger calls to the generators.
_FIGURES = ("loss", "accuracy", "steps")


class ToyHead(NamedTuple):
    """The weights, without bias: ``query``, ``key``, ``value`` (d_head, d_model) and ``output`` (classes, d_head)."""

    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor

    def queries(self, tokens: Tensor) -> Tensor:
        """W_Q x: (..., d_model) -> (..., d_head)."""
        return tokens @ self.query.T

    def keys(self, tokens: Tensor) -> Tensor:
        """W_K x: (..., d_model) -> (..., d_head)."""
        return tokens @ self.key.T

    def attention(self, context: Tensor, query: Tensor) -> Tensor:
        """Attention weights (n, C) of queries (n, d_model) over contexts (n, C, d_model)."""
        asked = self.queries(query) @ self.key / math.sqrt(self.query.shape[0])
        return torch.softmax((context @ asked.unsqueeze(-1)).squeeze(-1), dim=-1)

    def predict(self, context: Tensor, query: Tensor) -> Tensor:
        """Class logits (n, classes)."""
        pooled = (self.attention(context, query).unsqueeze(-2) @ context).squeeze(-2)
        return pooled @ self.value.T @ self.output.T


@dataclass(frozen=True)
class TrainedToy:
    """A trained head with the embedding it was trained on. ``loss`` (nats) and ``accuracy`` are those of the validation
    rows at the best check, whose weights are kept; ``steps`` is how many training steps were made."""

    settings: ToySettings
    embedding: ToyEmbedding
    head: ToyHead
    loss: float
    accuracy: float
    steps: int

    def arrays(self) -> dict[str, Tensor]:
        """All tensors by name, to be stored: A, B and e(y) belong to the model as much as its weights."""
        named = {f"embedding.{name}": tensor for name, tensor in self.embedding._asdict().items()}
        return named | {f"head.{name}": tensor for name, tensor in self.head._asdict().items()}

    def figures(self) -> dict[str, float]:
        """Loss, accuracy and steps, to be stored beside :meth:`arrays`."""
        return {name: getattr(self, name) for name in _FIGURES}

    @classmethod
    def from_arrays(
        cls, settings: ToySettings, arrays: Mapping[str, Tensor], figures: Mapping[str, float]
    ) -> TrainedToy:
        """The reverse of :meth:`arrays` and :meth:`figures`. Raises UserError if one is missing or misshapen."""
        wide, narrow, classes = settings.d_model, settings.d_head, settings.classes
        shapes = {
            "embedding.a1": (wide, settings.n1),
            "embedding.a2": (wide, settings.n2),
            "embedding.b1": (wide, settings.n1),
            "embedding.b2": (wide, settings.n2),
            "embedding.payload": (classes, wide),
            "head.query": (narrow, wide),
            "head.key": (narrow, wide),
            "head.value": (narrow, wide),
            "head.output": (classes, narrow),
        }
        for name, shape in shapes.items():
            if name not in arrays or tuple(arrays[name].shape) != shape:
                raise UserError(f"The stored toy model lacks {name} with shape {shape}. Train it again.", "toy")
        if any(name not in figures for name in _FIGURES):
            raise UserError("The stored toy model lacks its loss, accuracy or steps. Train it again.", "toy")
        embedding = ToyEmbedding(*(arrays[f"embedding.{name}"] for name in ToyEmbedding._fields))
        head = ToyHead(*(arrays[f"head.{name}"] for name in ToyHead._fields))
        return cls(settings, embedding, head, float(figures["loss"]), float(figures["accuracy"]), int(figures["steps"]))


def initial_head(settings: ToySettings) -> ToyHead:
    """Untrained weights of a seed, float32, uniform within 1/sqrt(number of inputs) as linear layers usually start."""
    generator = generator_for(settings.seed, "weights")

    def uniform(rows: int, columns: int) -> Tensor:
        return (torch.rand(rows, columns, generator=generator) * 2 - 1) / math.sqrt(columns)

    wide, narrow = settings.d_model, settings.d_head
    return ToyHead(
        uniform(narrow, wide), uniform(narrow, wide), uniform(narrow, wide), uniform(settings.classes, narrow)
    )


def accuracy_ceiling(settings: ToySettings) -> float | None:
    """The best accuracy that the binary task allows (dossier 2.3); None for the Gaussian task, which has no such bound.

    When d other tokens carry both latents of the asked one, the answer is a coin toss among d + 1 payloads, of which a
    wrong one still agrees by chance once in ``classes``; d is binomial over the other tokens.
    """
    if settings.task == "gaussian":
        return None
    others, chance = settings.context - 1, 2.0 ** -(settings.n1 + settings.n2)
    lost = 0.0
    for twins in range(1, others + 1):
        share = math.comb(others, twins) * chance**twins * (1 - chance) ** (others - twins)
        lost += share * (1 - 1 / settings.classes) * twins / (twins + 1)
    return 1 - lost


def train_toy(settings: ToySettings, progress: Progress = silent) -> TrainedToy:
    """Train one head with AdamW and cross-entropy (dossier 2.2). A seed gives the same weights again on one machine.

    At each check ``progress`` is told the ``step``, and ``loss`` and ``accuracy`` on the validation rows. The weights
    of the check with the lowest loss are kept.
    """
    embedding = draw_embedding(settings, generator_for(settings.seed, "embedding"))
    checks = sample_batch(settings, embedding, settings.check_rows, generator_for(settings.seed, "validation"))
    head = ToyHead(*(weight.requires_grad_() for weight in initial_head(settings)))
    optimiser = torch.optim.AdamW(list(head), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    best, best_loss, best_accuracy, idle, step = head, math.inf, 0.0, 0, 0
    with torch.enable_grad():
        for step, batch in enumerate(_batches(settings, embedding), start=1):
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * _rate(settings, step)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(functional.cross_entropy(head.predict(batch.context, batch.query), batch.label))
            optimiser.step()
            if step % settings.check_every and step != settings.max_steps:
                continue
            loss, accuracy = evaluate(head, checks)
            idle = 0 if loss < best_loss - settings.tolerance else idle + 1
            if loss < best_loss:
                best, best_loss, best_accuracy = _copy(head), loss, accuracy
            text = f"step {step:,}: accuracy {accuracy:.3f}"
            progress(step / settings.max_steps, text, step=step, loss=loss, accuracy=accuracy)
            if idle >= settings.patience:
                break
    return TrainedToy(settings, embedding, _copy(best), best_loss, best_accuracy, step)


@torch.no_grad()
def evaluate(head: ToyHead, batch: ToyBatch) -> tuple[float, float]:
    """Mean cross-entropy in nats, and the share of rows answered right."""
    logits = head.predict(batch.context, batch.query)
    hits = (logits.argmax(-1) == batch.label).float().mean()
    return float(functional.cross_entropy(logits, batch.label)), float(hits)


def _batches(settings: ToySettings, embedding: ToyEmbedding) -> Iterator[ToyBatch]:
    generator = generator_for(settings.seed, "training")
    left = settings.max_steps
    while left > 0:
        drawn = sample_batch(settings, embedding, settings.batch * min(_DRAWN_AT_ONCE, left), generator)
        for parts in zip(*(torch.split(tensor, settings.batch) for tensor in drawn), strict=True):
            yield ToyBatch(*parts)
        left -= _DRAWN_AT_ONCE


def _rate(settings: ToySettings, step: int) -> float:
    if settings.schedule == "constant":
        return 1.0
    warm_up = min(_WARM_UP, settings.max_steps // 2)
    if step <= warm_up:
        return step / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / (settings.max_steps - warm_up + 1)))


def _copy(head: ToyHead) -> ToyHead:
    return ToyHead(*(weight.detach().clone() for weight in head))
