"""The logit lens: what the model would say if a place of the residual stream were the output of its last block.

No norm or unembedding is applied by name: the model's own forward runs with all its blocks handing on, the last of them
giving the vectors that are read. Where a model does more between its blocks and its logits than that, the last place
does not give its logits, and the lens is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.errors import UserError
from analysis.models.halves import entered_of, halves, middles
from analysis.models.handing_on import handing_on
from analysis.models.hooks import hidden_of, layout, with_hidden
from analysis.models.loaded_model import LoadedModel

_ROOM = 64 << 20
"""Bytes of logits at a time."""


@dataclass(frozen=True, order=True)
class Stage:
    """A place of the residual stream: behind ``block`` (-1: the embeddings), or, with ``middle``, behind its attention
    only. In the order of a pass."""

    block: int
    whole: bool = True

    @property
    def middle(self) -> bool:
        """Whether it lies within the block."""
        return not self.whole


@dataclass(frozen=True)
class Stream:
    """The residual stream of one text at ``stages``: ``vectors`` (S, T, D) in the model's dtype; ``logits`` (T, V) of
    the model itself. ``forms``: what each block returned, without its vectors."""

    stages: tuple[Stage, ...]
    vectors: Tensor
    logits: Tensor
    forms: dict[int, Any]


def stages_of(loaded: LoadedModel, within: bool = True) -> tuple[Stage, ...]:
    """The places of the lens; ``within``: those behind the attention too, where they are found."""
    blocks = range(loaded.facts.layers)
    inside = [Stage(n, False) for n in halves(loaded)] if within else []
    return tuple(sorted([Stage(-1), *(Stage(n) for n in blocks), *inside]))


@torch.no_grad()
def read_stream(
    loaded: LoadedModel,
    ids: Tensor,
    last: int,
    within: bool = True,
    during: AbstractContextManager[object] | None = None,
) -> Stream:
    """One pass over a text (1, T); of its last positions, ``last`` at most, the stream at every stage.

    ``during``: a context in which steering is installed; what is read behind a block is as steered.
    """
    stages = stages_of(loaded, within)  # what is measured of a model is measured before anything is installed
    top, forms = Stage(loaded.facts.layers - 1), dict[int, Any]()
    kept: dict[Stage, Tensor] = {}

    def keep(stage: Stage, x: Tensor) -> None:
        kept[stage] = x[0, -last:].clone()

    with during or nullcontext(), _watched(loaded, keep, forms):
        with middles(loaded, lambda n, x: keep(Stage(n, False), x)) if within else nullcontext():
            logits = loaded.forward(ids, logits=True, last=last)
    vectors = torch.stack([kept[stage].to(kept[top]) for stage in stages])
    return Stream(stages, vectors, logits[0, -last:].float().cpu(), forms)


@torch.no_grad()
def lens_logits(loaded: LoadedModel, stream: Stream, vectors: Tensor) -> Iterator[Tensor]:
    """Logits (s, P, V) float32 on the CPU of vectors (S, P, D), some stages at a time, by the model's own way from the
    output of its last block."""
    blocks = layout(loaded).blocks
    top = len(blocks) - 1
    room = max(1, _ROOM // (4 * vectors.shape[1] * stream.logits.shape[-1]))
    for part in vectors.split(room):
        ids = torch.ones(part.shape[:2], dtype=torch.long)
        outputs = stream.forms | {top: with_hidden(stream.forms[top], part)}
        with handing_on(blocks, outputs, top):
            logits = loaded.forward(ids, logits=True)
        yield logits.float().cpu()


def check_lens(loaded: LoadedModel, stream: Stream) -> float:
    """How far the lens at the last block is from the model's own logits, in nats of log-probability, at most.

    Raises UserError(field="model") where it is another thing.
    """
    own = stream.logits.double().log_softmax(-1)
    (read,) = lens_logits(loaded, stream, stream.vectors[-1:, -1:])
    error = float((read[0, -1].double().log_softmax(-1) - own[-1]).abs().max())
    if not error <= (1e-2 if loaded.model.dtype == torch.float32 else 1.0):
        raise UserError(
            "This model does more between its last block and its logits than a lens can run again, so its blocks "
            "cannot be read as tokens.",
            "model",
        )
    return error


@contextmanager
def _watched(loaded: LoadedModel, keep: Any, forms: dict[int, Any]) -> Iterator[None]:
    """Shows ``keep`` what goes into the first block and what comes out of each, after all other hooks on it."""
    blocks = layout(loaded).blocks

    def into(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        keep(Stage(-1), entered_of(args, kwargs))

    def out_of(layer: int) -> Any:
        def hook(_module: nn.Module, _args: Any, output: Any) -> None:
            hidden = hidden_of(output)
            keep(Stage(layer), hidden)
            forms[layer] = with_hidden(output, hidden.new_empty(0))

        return hook

    handles = [blocks[0].register_forward_pre_hook(into, with_kwargs=True)]
    handles += [block.register_forward_hook(out_of(n)) for n, block in enumerate(blocks)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
