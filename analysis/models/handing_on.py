"""Leave blocks out of a pass: they hand on what they are given, or what one of them is told to give.

The model's own forward runs all the same (masks, rotary embeddings, kinds of layers, what stands behind the last
block), so no architecture is written again. A block is a module whose forward is replaced for the time of a context.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from analysis.models.hooks import hidden_of, with_hidden


@contextmanager
def handing_on(blocks: Sequence[nn.Module], outputs: Mapping[int, Any], start: int) -> Iterator[None]:
    """Block ``start`` returns ``outputs[start]``, those below what they are given, in the form of their own
    ``outputs``; hooks on them run as ever.

    A module's own forward may already be replaced (by what spreads a model over devices), so it is put back as found.
    """
    found: list[tuple[nn.Module, Callable[..., Any] | None]] = []
    try:
        for layer in range(start + 1):
            block = blocks[layer]
            found.append((block, block.__dict__.get("forward")))
            block.forward = _returning(outputs[layer], None if layer < start else hidden_of(outputs[start]))
        yield
    finally:
        for block, own in found:
            if own is None:
                del block.forward
            else:
                block.forward = own


def _returning(output: Any, hidden: Tensor | None) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        given = args[0] if args else kwargs["hidden_states"]
        if hidden is None:
            return with_hidden(output, given)
        # What one row gave, for as many as there are in this pass.
        more = hidden.ndim == given.ndim == 3 and len(hidden) == 1
        return with_hidden(output, hidden.expand(len(given), -1, -1).clone() if more else hidden.clone())

    return forward
