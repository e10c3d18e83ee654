"""Passes that begin at a block: the blocks before it do not run again, but hand on what they gave in a plain pass.

Whatever changes one block leaves what stands before it as it was, for every row of a batch. Whether a model allows that
its first blocks are left out is tried on the prompt itself; where it does not, whole passes are run, and the answer is
the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from analysis.models.batch import rows_together
from analysis.models.caching import agrees
from analysis.models.hooks import hidden_of, layout, with_hidden
from analysis.models.loaded_model import LoadedModel


@contextmanager
def begun(loaded: LoadedModel, layer: int, behind: Any, rows: int) -> Iterator[None]:
    """Blocks before ``layer`` do not run: each hands on what the last of them gave (``behind``), for every row. With
    None they run."""
    if behind is None:
        yield
        return
    hidden = hidden_of(behind)
    given = with_hidden(behind, hidden.expand(rows, *hidden.shape[1:]))
    idle = layout(loaded).blocks[:layer]
    # Whoever spreads a model over devices has put a forward of its own on the module.
    before = [vars(block).get("forward") for block in idle]
    try:
        for block in idle:
            block.forward = lambda *_args, **_kwargs: given
        yield
    finally:
        for block, own in zip(idle, before, strict=True):
            if own is None:
                vars(block).pop("forward", None)
            else:
                block.forward = own


@contextmanager
def outputs_behind(loaded: LoadedModel, layers: Sequence[int]) -> Iterator[dict[int, Any]]:
    """What the blocks ``layers`` give in the passes of this context, as they give it, by block: the last pass's."""
    outputs: dict[int, Any] = {}

    def keeper(layer: int) -> Any:
        def keep(_module: nn.Module, _args: Any, output: Any) -> None:
            outputs[layer] = output

        return keep

    blocks = layout(loaded).blocks
    handles = [blocks[layer].register_forward_hook(keeper(layer)) for layer in layers]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()


@torch.no_grad()
def may_begin(loaded: LoadedModel, ids: Sequence[int], logits: Tensor, layer: int, behind: Any) -> bool:
    """Whether two rows that begin at block ``layer`` say what the plain pass said: ``logits`` (V,), and ``behind`` what
    it gave before that block."""
    rows = 1 if rows_together(loaded) == "alone" else 2
    try:
        with begun(loaded, layer, behind, rows):
            again = last_logits(loaded, torch.tensor([list(ids)]).expand(rows, -1))
    except (RuntimeError, TypeError, ValueError, KeyError, IndexError, AttributeError):
        return False
    want = logits.expand_as(again).double().log_softmax(-1)
    return agrees(again.double().log_softmax(-1), want, loaded)


def last_logits(loaded: LoadedModel, ids: Tensor) -> Tensor:
    """Logits (B, V) float32, on the CPU, after the last token of each row."""
    loaded.check_ids(ids)
    loaded.check_length(int(ids.shape[1]))
    output: Any = loaded.model.get_output_embeddings()
    # Of the last token alone the unembedding sees rows that do not lie together, for which the product is slow.
    handle = None if output is None else output.register_forward_pre_hook(lambda _, args: (args[0].contiguous(),))
    try:
        logits = loaded.model(ids.to(loaded.device), use_cache=False, logits_to_keep=1).logits
    finally:
        if handle is not None:
            handle.remove()
    found: Tensor = logits[:, -1].float().cpu()
    return found
