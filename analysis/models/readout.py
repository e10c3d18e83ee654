"""What stands between the residual stream and the logits of a model, as far as a vector goes through it unchanged.

Architectures put their final norm in many places: beside the blocks, one module deeper, before or after a map into the
narrower space of the embeddings, or nowhere. It is therefore not looked up by name: on a short pass the way is followed
back from what enters the unembedding, from module to module, as long as each is a norm or a linear map by what it does.
Where it is anything else a vector has no direct reading, and the sentence says so.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from analysis.models.hooks import layout
from analysis.models.loaded_model import LoadedModel

_TOKENS = 4
_ROUNDING = {torch.float32: 1e-3, torch.float64: 1e-6}
_COARSE = 2e-2


@dataclass(frozen=True)
class Readout:
    """The way of a vector of the residual stream to the logits: modules in their order, then the unembedding.

    ``steps``: (module, whether it is a norm; else it is linear). ``note``: what is assumed or left out, a sentence, or
    empty. ``readable``: whether vectors reach the unembedding at all.
    """

    steps: tuple[tuple[nn.Module, bool], ...]
    unembedding: Tensor
    hidden: int
    note: str
    readable: bool

    def gain(self) -> Tensor:
        """Gain (hidden,) float32, on the CPU, of the norms that stand in the stream's own width; ones without any."""
        found = torch.ones(self.hidden)
        for module, norm in self.steps:
            if not norm:
                break
            found = found * gain_of(module, self.hidden).float().cpu()
        return found

    def logits(self, stream: Tensor) -> Tensor:
        """Logits (M, V) float32, on the CPU, of vectors (M, hidden): gains and linear parts only, no bias, no length.

        Not divided by the length of the residual stream, so only comparable among themselves. Raises ValueError for a
        readout that is not readable.
        """
        if not self.readable:
            raise ValueError("vectors of this model do not reach its unembedding")
        table = self.unembedding
        x = stream.to(table.device, table.dtype)
        for module, norm in self.steps:
            if norm:
                x = (x.float() * gain_of(module, x.shape[1]).float().to(x.device)).to(table.dtype)
            else:
                x = x.to(next(module.parameters()))
                x = module(x) - module(torch.zeros_like(x))
        return (x.to(table) @ table.T).float().cpu()


_readouts: weakref.WeakKeyDictionary[nn.Module, Readout] = weakref.WeakKeyDictionary()


@torch.no_grad()
def readout(loaded: LoadedModel) -> Readout:
    """The readout of a model, found on a pass of a few tokens and remembered as long as the model lives."""
    model: nn.Module = loaded.model
    if model not in _readouts:
        _readouts[model] = _measure(loaded)
    return _readouts[model]


@torch.no_grad()
def gain_of(norm: nn.Module, width: int) -> Tensor:
    """Gain (width,) of a norm, measured and not read, since some norms store gain minus one.

    For x with entries +-1 and mean 0 a norm gives +-gain plus a bias, which the difference to -x removes.
    """
    plus, minus, sign = _signs(norm, width)
    gain: Tensor = (plus - minus) / 2 * sign
    return gain


def _signs(norm: nn.Module, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """What a norm makes of +-1 in turn and of its opposite, (width,) each, and these signs."""
    weight = next(norm.parameters(), None)
    like = weight if weight is not None else torch.zeros(1)
    sign = torch.ones(width, device=like.device, dtype=like.dtype)
    sign[1::2] = -1
    return norm(sign[None])[0], norm(-sign[None])[0], sign


def _measure(loaded: LoadedModel) -> Readout:
    output: Any = loaded.model.get_output_embeddings() or loaded.model.get_input_embeddings()
    table: Tensor = output.weight
    hidden, width = loaded.facts.hidden, int(table.shape[1])
    calls, stream = _calls(loaded, output)
    ending = next((c for c in reversed(calls) if c[0] is output), None)
    steps: list[tuple[nn.Module, bool]] = []
    reached = clear = ending is not None
    if ending is not None:
        reached, clear = _back(ending[1], calls, stream, output, steps)
    if not clear:
        why = "What stands between the last block and the unembedding of this model is more than norms and linear maps"
        if width != hidden:
            return Readout((), table, hidden, f"{why}, so vectors cannot be read as tokens without running it.", False)
        return Readout((), table, hidden, f"{why}; tokens are ranked by the unembedding alone, without a norm.", True)
    note = ""
    if not any(norm for _, norm in steps):
        note = "No norm stands before the unembedding of this model; tokens are ranked without a gain."
    if not reached:
        first = "that norm" if steps and steps[0][1] else "its unembedding"
        note = f"{note} What this model does between its last block and {first} is left out.".strip()
    readable = _widths(steps, hidden, width)
    if not readable:
        note = (
            f"The unembedding of this model reads {width:,} dimensions, its residual stream has {hidden:,}, and no "
            "linear map between them was found, so vectors cannot be read as tokens without running it."
        )
    return Readout(tuple(steps), table, hidden, note, readable)


def _widths(steps: list[tuple[nn.Module, bool]], hidden: int, width: int) -> bool:
    for module, norm in steps:
        if not norm:
            try:
                hidden = int(module(torch.zeros(1, hidden).to(next(module.parameters())))[0].shape[0])
            except RuntimeError:
                return False
    return hidden == width


_Step = tuple[nn.Module, Tensor, Tensor]


def _calls(loaded: LoadedModel, unembedding: nn.Module) -> tuple[list[_Step], Tensor | None]:
    """(module, input, output) of what runs outside the blocks, in order, and what the last block gives."""
    blocks = layout(loaded).blocks
    inside = {m for block in blocks for m in block.modules()}
    around = {m for m in loaded.model.modules() if any(b in set(m.modules()) for b in blocks[:1])}
    found: list[_Step] = []
    last: list[Tensor] = []

    def look(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        given = next((a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)), None)
        if given is not None and isinstance(output, Tensor) and given.is_floating_point():
            found.append((module, given.detach(), output.detach()))

    def end(_module: nn.Module, _args: tuple[Any, ...], output: Any) -> None:
        first = output[0] if isinstance(output, tuple | list) else output
        last[:] = [first.detach()]

    outside = [m for m in loaded.model.modules() if m not in inside and (m not in around or m is unembedding)]
    handles = [m.register_forward_hook(look, with_kwargs=True) for m in outside]
    handles.append(blocks[-1].register_forward_hook(end))
    try:
        loaded.forward(torch.arange(3, 3 + _TOKENS).view(1, _TOKENS) % loaded.facts.vocabulary, logits=True)
    finally:
        for handle in handles:
            handle.remove()
    return found, last[0] if last else None


def _back(
    entered: Tensor, calls: list[_Step], stream: Tensor | None, end: nn.Module, steps: list[tuple[nn.Module, bool]]
) -> tuple[bool, bool]:
    """Follow the way back, putting its modules in front of ``steps``: whether it reached the stream, and was clear."""
    current, pool = entered, [c for c in calls if c[0] is not end]
    for _ in range(8):
        if stream is not None and _same(stream, current):
            return True, True
        # The innermost module of several that give the same comes first in the order of their ends.
        made = [c for c in pool if _same(c[2], current) and not _same(c[1], c[2])]
        leaves = [c for c in made if next(c[0].children(), None) is None]
        if not made:
            return False, True
        module, given, gave = (leaves or made)[-1]
        if _linear(module, given):
            steps.insert(0, (module, False))
        elif given.shape == gave.shape and _norm(module, given, gave):
            steps.insert(0, (module, True))
        else:
            return False, False
        current = given
    return False, False


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors agree at the last places, up to one positive factor (some models scale between modules)."""
    if a.ndim != b.ndim or a.ndim < 2 or a.shape[-1] != b.shape[-1]:
        return False
    places = min(a.shape[-2], b.shape[-2])
    a, b = a[..., -places:, :], b[..., -places:, :]
    if a.shape != b.shape:
        return False
    close = _ROUNDING.get(a.dtype, _COARSE)
    x, y = (t.cpu().double().flatten() for t in (a, b))  # modules may lie on several devices
    factor = float(x @ y / (y @ y).clamp_min(1e-30))
    return factor > 0 and float((x - factor * y).norm()) <= close * float(x.norm())


def _linear(module: nn.Module, x: Tensor) -> bool:
    base = module(torch.zeros_like(x))
    one, other = module(x) - base, module(-3 * x) - base
    return bool(one.norm() > 0) and float((other + 3 * one).norm()) <= 0.05 * float(other.norm())


def _norm(module: nn.Module, x: Tensor, y: Tensor) -> bool:
    """Whether each token's output is its input, perhaps less its mean, times one length, the gain, plus the bias."""
    plus, minus, sign = _signs(module, x.shape[-1])
    gain, bias = (plus - minus) / 2 * sign, (plus + minus) / 2
    shifted = (y - bias).cpu().double().flatten(0, -2)
    for mean in (0.0, x.mean(-1, keepdim=True)):
        scaled = ((x - mean) * gain).cpu().double().flatten(0, -2)
        if bool((nn.functional.cosine_similarity(scaled, shifted, dim=-1) > 0.999).all()):
            return True
    return False
