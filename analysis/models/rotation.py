"""Queries and keys before the rotary embedding, of any architecture, without knowing how it rotates.

Architectures rotate whole vectors or parts of them, in one call or two, in functions of many names, before or after
norms. What they share is where the angles come from: a module that answers with cosines and sines, or with complex
numbers of one length. So each pass becomes two. The first is the model's own. In the second those modules answer with
the angle zero, and every attention function with what it gave in the first, so that each layer sees the same hidden
states; the queries and keys that then arrive are those of the first pass without their rotation, whatever the
architecture did with them besides. Nothing of this is believed: the values of both passes must agree (the hidden states
were the same) and what differs must have kept its norm (a rotation was left out and nothing else).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from analysis.errors import UserError

_ROUNDING = {torch.float32: 1e-3, torch.float64: 1e-6}
_COARSE = 4e-2
"""Relative difference that counts as rounding, in half precision."""


@dataclass(frozen=True)
class Call:
    """One call of the attention function: what came in, (B, H, T, d), and went out, (B, T, H, dv) and weights."""

    layer: int
    query: Tensor
    key: Tensor
    value: Tensor
    output: Tensor
    weights: Tensor | None


@dataclass
class TwoPasses:
    """Makes two passes of each over ``model``, the second without rotation; hooks are on the model while it is entered.

    ``repeating``: whether the second is under way. ``rotates``: whether any module gave angles in it. ``factors``:
    lengths of the rotation other than 1 (YaRN's).
    """

    model: nn.Module
    repeating: bool = False
    rotates: bool = False
    factors: set[float] = field(default_factory=set)
    _outer: nn.Module | None = None
    _calls: list[Call] = field(default_factory=list)
    _handles: list[RemovableHandle] = field(default_factory=list)

    def __enter__(self) -> TwoPasses:
        whole = getattr(self.model, "base_model", self.model)
        for module in whole.modules():
            if next(module.children(), None) is None:
                self._handles.append(module.register_forward_hook(self._still))
        for module in {self.model, whole}:  # either may be called, and not every model calls its base model whole
            self._handles.append(module.register_forward_pre_hook(self._before, with_kwargs=True))
            self._handles.append(module.register_forward_hook(self._after, always_call=True))
        return self

    def __exit__(self, *_error: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._calls.clear()
        self.repeating, self._outer = False, None

    def keep(self, call: Call) -> None:
        """Take a call of the first pass."""
        self._calls.append(call)

    def repeat(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor
    ) -> tuple[Call, tuple[Tensor, Tensor] | None]:
        """The same call of the first pass, and (queries, keys) without rotation; None where it rotated nothing.

        Raises UserError(field="rotary") where the two passes differ in more than a rotation.
        """
        call = self._calls.pop(0) if self._calls else None
        if call is None or call.layer != layer or call.value.shape != value.shape:
            raise _cannot("its layers attend in another order when nothing rotates")
        close = _ROUNDING.get(value.dtype, _COARSE)
        if not float((call.value - value).abs().max()) <= close * float(call.value.abs().max()):
            raise _cannot(f"layer {layer} rotates more than queries and keys")
        turned = [self._turned(layer, a, b, close) for a, b in ((call.query, query), (call.key, key))]
        return call, (query, key) if any(turned) else None

    def _turned(self, layer: int, after: Tensor, before: Tensor, close: float) -> bool:
        """Whether vectors (B, H, T, d) differ at all, once it is known that they differ by a rotation."""
        if after.shape != before.shape:
            raise _cannot(f"layer {layer} changes the width of its queries and keys when nothing rotates")
        after, before = after.float(), before.float()
        apart = (after - before).abs().amax((0, 1, 2)) > close * after.abs().max()
        if not bool(apart.any()):
            return False
        # A part of the vectors may be left alone, and only what is rotated takes the architecture's factor.
        long, short = (x[..., apart].norm(dim=-1) for x in (after, before))
        misses = [float((long - f * short).abs().max() / long.max()) for f in (1.0, *self.factors)]
        if not min(misses) <= 4 * close:
            raise _cannot(f"layer {layer} changes its queries and keys after it has rotated them")
        return True

    def _before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        cut_off = self.repeating and module is self._outer  # a pass before this one did not come to its end
        if self._outer is not None and not cut_off:
            return
        if kwargs.get("past_key_values") is not None:
            raise ValueError("vectors before the rotary embedding are recorded without a cache")
        self._calls.clear()
        self.factors.clear()
        self.repeating, self.rotates, self._outer = False, False, module
        try:
            module(*args, **kwargs)
        except BaseException:
            self._outer = None
            raise
        self.repeating = True

    def _after(self, module: nn.Module, _args: tuple[Any, ...], _output: Any) -> None:
        # Called twice for the outer module: by the first pass from within, when nothing is repeated yet.
        if module is self._outer and self.repeating:
            self.repeating, self._outer = False, None

    def _still(self, _module: nn.Module, _args: tuple[Any, ...], output: Any) -> Any:
        """The answer of a module that gives angles, at the angle zero; None, which changes nothing, of any other."""
        if not self.repeating:
            return None
        if isinstance(output, Tensor):
            return self._unturned(output.abs(), torch.ones_like(output)) if output.is_complex() else None
        if not isinstance(output, tuple | list) or len(output) != 2 or not all(isinstance(x, Tensor) for x in output):
            return None
        first, second = output
        if first.shape != second.shape or not first.is_floating_point() or first.ndim < 2 or not first.numel():
            return None
        lengths = (first.float() ** 2 + second.float() ** 2).sqrt()
        # The cosine comes first, but where position 0 says otherwise.
        turned_round = float(first.select(-2, 0).abs().max()) < 1e-6
        still = (torch.ones_like(first), torch.zeros_like(first))
        return self._unturned(lengths, still[::-1] if turned_round else still)

    def _unturned(self, lengths: Tensor, still: Any) -> Any:
        low, high = float(lengths.min()), float(lengths.max())
        if not 0 < low or high - low > 2e-2 * high:
            return None
        self.rotates = True
        if abs(low - 1) > 1e-2:
            self.factors.add((low + high) / 2)
        return still


def no_rotation() -> UserError:
    """The refusal of vectors before a rotary embedding that is not there."""
    return UserError(
        "No rotary embedding turns the queries and keys of this model as far as can be seen, so the vectors before it "
        "would be those after it. Take those after.",
        "rotary",
    )


def _cannot(why: str) -> UserError:
    return UserError(
        f"Queries and keys before the rotary embedding cannot be had of this model: {why}. Take those after it.",
        "rotary",
    )
