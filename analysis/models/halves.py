"""The residual stream in the middle of a block: what went in plus what the attention added, before the MLP's share.

Blocks add the two one after the other or side by side, with a norm behind each or none, some times a factor. What
stands in the middle is therefore found on a short pass: the outputs u of a part that attends (or of one behind it) and
v of another such that the block adds a u + b v. Where nothing fits, the block is not offered, and only what comes out
of it can be read.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.models.hooks import Call, hidden_of, layout, probe_blocks
from analysis.models.loaded_model import LoadedModel

_CLOSE = 1e-4
"""Share of the length of what a block adds that may be left over; looser in half precision."""


@dataclass(frozen=True)
class Half:
    """The part of a block whose output, ``factor`` times, is what its attention adds to the stream."""

    module: nn.Module
    factor: float


_halves: weakref.WeakKeyDictionary[nn.Module, dict[int, Half]] = weakref.WeakKeyDictionary()


def halves(loaded: LoadedModel) -> dict[int, Half]:
    """By block, where its middle is read; blocks in which that was not found are left out. Measured once."""
    model: nn.Module = loaded.model
    if model not in _halves:
        calls = probe_blocks(loaded, list(layout(loaded).blocks))
        found = ((n, _half(calls[block])) for n, block in enumerate(layout(loaded).blocks) if block in calls)
        _halves[model] = {n: half for n, half in found if half is not None}
    return _halves[model]


@contextmanager
def middles(
    loaded: LoadedModel, see: Callable[[int, Tensor], None], layers: Sequence[int] | None = None
) -> Iterator[None]:
    """In every pass inside the context ``see`` is shown each block's number and its middle (B, T, D)."""
    handles = []
    for layer, half in halves(loaded).items():
        if layers is None or layer in layers:
            entered: list[Tensor] = []
            block = layout(loaded).blocks[layer]
            handles.append(block.register_forward_pre_hook(_entering(entered), with_kwargs=True))
            handles.append(half.module.register_forward_hook(_leaving(layer, half, entered, see)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def entered_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The hidden states that a block is called with."""
    given: Tensor = args[0] if args else kwargs["hidden_states"]
    return given


def _entering(entered: list[Tensor]) -> Callable[..., None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        entered[:] = [entered_of(args, kwargs)]

    return hook


def _leaving(layer: int, half: Half, entered: list[Tensor], see: Callable[[int, Tensor], None]) -> Callable[..., None]:
    def hook(_module: nn.Module, _args: Any, output: Any) -> None:
        see(layer, entered[0] + half.factor * hidden_of(output).reshape(entered[0].shape))

    return hook


def _half(block: Call) -> Half | None:
    before = entered_of(block.args, block.kwargs)
    after = hidden_of(block.output)
    parts = [c for c in block.inside if c.parents == (block.module,) and _like(c.output, after)]
    attending = [n for n, c in enumerate(parts) if c.attends]
    if not attending or not _like(before, after):
        return None
    added = (after - before).flatten().double()
    close = _CLOSE if after.dtype in (torch.float32, torch.float64) else 2e-2
    # The nearest part behind the attention first: a norm there is what is added, not the attention's own output.
    others = [n for n, c in enumerate(parts) if not c.attends]
    for u in (attending[-1], *(n for n in others if n > attending[-1])):
        for v in reversed(others):
            if v == u:
                continue
            pair = torch.stack([hidden_of(parts[n].output).flatten().double() for n in (u, v)], 1)
            factors = torch.linalg.lstsq(pair, added[:, None]).solution[:, 0]
            rest = float((added - pair @ factors).norm())
            a, b = factors.tolist()
            if rest <= close * float(added.norm()) and a > 1e-3 and b > 1e-3:
                return Half(parts[u].module, 1.0 if abs(a - 1) < 10 * close else a)
    return None


def _like(output: Any, other: Tensor) -> bool:
    first = output[0] if isinstance(output, tuple | list) and output else output
    # A part may see tokens as one axis.
    return isinstance(first, Tensor) and first.shape[-1:] == other.shape[-1:] and first.numel() == other.numel()
