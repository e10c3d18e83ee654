"""What every part of a model adds to its residual stream at the last token of a prompt, and how the stream is read.

The stream before the final norm is a sum: the embedding, what each head writes through its slice of the output
projection, and each MLP's output. With the lengths that the norms divided by held as they were, the way from there to a
logit is linear, so a logit splits exactly. Architectures put norms and factors in many places between a projection and
the stream, so none is looked up by name: on the pass itself the vectors are followed, and what each block added must
come out. A model for which it does not is refused in words, since the parts would be of something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from analysis.errors import UserError
from analysis.models.eight_bit import plain
from analysis.models.hooks import hidden_of, layout, place_of
from analysis.models.loaded_model import LoadedModel
from analysis.models.readout import readout
from analysis.models.recording import LayerAttention, tapped
from analysis.models.sites import Site

# How far what was followed may be from what the model computed, as a share: rounding of the dtype of its weights.
_ROUNDING = {torch.float64: 1e-6, torch.float32: 1e-4}
_COARSE = 5e-2
_LONG = 1e4


@dataclass(frozen=True)
class FixedNorm:
    """A norm with the length that it divided by held fixed: ``scale * (x - mean, if centred) * gain + bias``."""

    gain: Tensor
    bias: Tensor
    scale: float
    centred: bool

    def __call__(self, x: Tensor) -> Tensor:
        """What it makes of vectors (..., D)."""
        return self.linear(x) + self.bias

    def linear(self, x: Tensor) -> Tensor:
        """The same without its bias."""
        x = x - x.mean(-1, keepdim=True) if self.centred else x
        return x * self.gain * self.scale

    def pull(self, direction: Tensor) -> Tensor:
        """The direction (..., D) before it on which a vector measures what ``direction`` measures behind it."""
        back = direction * self.gain * self.scale
        return back - back.mean(-1, keepdim=True) if self.centred else back


@dataclass(frozen=True)
class FixedMap:
    """A linear map between stream and unembedding: ``weight`` (out, in), ``bias`` (out,)."""

    weight: Tensor
    bias: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """What it makes of vectors (..., in)."""
        return x @ self.weight.T + self.bias

    def pull(self, direction: Tensor) -> Tensor:
        """As :meth:`FixedNorm.pull`."""
        return direction @ self.weight


@dataclass(frozen=True)
class BlockParts:
    """What one block added at the last token.

    ``heads`` (H, w): what each head hands to the output ``projection``; then a norm, if one stands there, and a
    ``factor``. ``mlp`` (D,): what the MLP added, all told.
    """

    projection: nn.Module
    heads: Tensor
    norm: FixedNorm | None
    factor: float
    mlp: Tensor

    def weight(self) -> Tensor:
        """The projection as (H, w, D): what a head writes is its vector times its slice."""
        return _matrix(self.projection)[0].T.reshape(*self.heads.shape, -1).to(self.heads)

    def writing(self) -> Tensor:
        """The same with norm and factor: what a unit of each head adds to the stream, (H, w, D)."""
        weight = self.weight()
        return (weight if self.norm is None else self.norm.linear(weight)) * self.factor

    def constant(self) -> Tensor:
        """What the block adds whatever its heads and its MLP do, (D,): biases behind the heads."""
        bias = _matrix(self.projection)[1].to(self.heads)
        return (bias if self.norm is None else self.norm(bias)) * self.factor


@dataclass(frozen=True)
class Stream:
    """The residual stream at the last of ``ids``, taken apart.

    ``embedding`` (D,): what enters the first block, positions included. ``blocks``: one per block. ``steps``: from the
    stream to the unembedding. ``raw`` (V,): logits as the unembedding gives them, and ``logits`` as the model does,
    which may scale or bound them. All on the CPU, float64 of a model in float64, else float32.
    """

    ids: tuple[int, ...]
    embedding: Tensor
    blocks: tuple[BlockParts, ...]
    steps: tuple[FixedNorm | FixedMap, ...]
    unembedding: nn.Module
    raw: Tensor
    logits: Tensor

    def measures(self, targets: Tensor, against: int | None) -> tuple[Tensor, Tensor]:
        """Directions (R, D) on the stream, and constants (R,), whose sum with them is a logit difference: of the tokens
        ``targets`` (R,) over the token ``against``, or over the mean of all tokens where that is None."""
        table: Any = self.unembedding
        weight, like = table.weight, self.embedding
        rows = weight[targets.to(weight.device)].to(like)
        other = _mean_row(weight) if against is None else weight[against]
        direction = rows - other.to(like)
        constant = torch.zeros(len(targets), dtype=like.dtype)
        bias = getattr(table, "bias", None)
        if bias is not None:
            base = bias.double().mean() if against is None else bias[against]
            constant = (bias[targets.to(bias.device)].to(like) - base.to(like)).to(like)
        at_zero = torch.zeros_like(like)
        for step in self.steps:
            at_zero = step(at_zero)
        constant = constant + direction @ at_zero
        for step in reversed(self.steps):
            direction = step.pull(direction)
        return direction, constant

    def difference(self, target: int, against: int | None) -> float:
        """The logit difference itself, as the unembedding gives it."""
        other = self.raw.double().mean() if against is None else self.raw[against].double()
        return float(self.raw[target].double() - other)


@dataclass
class _Seen:
    """Rows of the last token, as modules of one block saw them."""

    given: Tensor | None = None
    gave: Tensor | None = None
    mlp: Tensor | None = None
    heads: Tensor | None = None
    leaves: list[tuple[nn.Module, Tensor, Tensor]] = field(default_factory=list)


class _Rows:
    """Copies of rows, one behind the other in pieces of memory that are there before the pass. Each alone would stand
    between the large tensors of a long prompt, and keep the allocator from using their room again: at 2,048 tokens of
    the default model 800 MB."""

    _PIECE = 1 << 20

    def __init__(self) -> None:
        self._piece, self._used = torch.empty(self._PIECE), 0

    def last(self, x: Tensor) -> Tensor:
        """A copy of the last token's row, of tokens in one axis or in two, as :func:`_kept`."""
        row = x.detach().reshape(-1, x.shape[-1])[-1] if x.ndim > 1 else x.detach()
        if row.dtype == torch.float64:
            return _kept(row)
        if self._used + row.numel() > len(self._piece):
            self._piece, self._used = torch.empty(max(self._PIECE, row.numel())), 0
        place = self._piece[self._used : self._used + row.numel()]
        self._used += row.numel()
        return place.copy_(row)


@torch.no_grad()
def take_apart(loaded: LoadedModel, ids: Iterable[int]) -> Stream:
    """One pass over the tokens ``ids``, and the stream at the last of them taken apart.

    Raises:
        UserError(field="model"): what the model adds to its stream cannot be followed to its heads and MLPs.
    """
    ids, way = tuple(ids), readout(loaded)
    output: Any = loaded.model.get_output_embeddings()
    if not way.readable or output is None or (way.note and not way.steps):
        raise _refused(way.note or "it has no unembedding.")
    seen, steps, ends = _record(loaded, ids, [module for module, _ in way.steps], output)
    fixed: list[FixedNorm | FixedMap] = []
    for module, norm in way.steps:
        found = _fixed_norm(module, *steps[module]) if norm else FixedMap(*_matrix(module))
        if found is None:
            raise _refused("its final norm is more than a length, a gain and a bias.")
        fixed.append(found)
    blocks = tuple(_block(layer, part) for layer, part in enumerate(seen))
    assert seen[0].given is not None
    return Stream(ids, seen[0].given, blocks, tuple(fixed), output, ends[0], ends[1])


def _record(
    loaded: LoadedModel, ids: tuple[int, ...], steps: list[nn.Module], output: nn.Module
) -> tuple[list[_Seen], dict[nn.Module, tuple[Tensor, Tensor]], list[Tensor]]:
    """What passed: by block, by module between stream and logits, and the logits of unembedding and model (V,)."""
    blocks = layout(loaded).blocks
    seen = [_Seen() for _ in blocks]
    between: dict[nn.Module, tuple[Tensor, Tensor]] = {}
    handles: list[Any] = []
    rows = _Rows()

    def heads(record: LayerAttention, out: Tensor) -> None:
        seen[record.layer].heads = rows.last(out[0, -1].flatten()).view(out.shape[2:])

    def before(at: _Seen) -> Any:
        def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            at.given = rows.last(args[0] if args else kwargs["hidden_states"])

        return hook

    def after(at: _Seen) -> Any:
        def hook(_module: nn.Module, _args: Any, out: Any) -> None:
            at.gave = rows.last(hidden_of(out))

        return hook

    def leaf(at: _Seen) -> Any:
        def hook(module: nn.Module, args: tuple[Any, ...], out: Any) -> None:
            if args and isinstance(args[0], Tensor) and isinstance(out, Tensor) and args[0].is_floating_point():
                at.leaves.append((module, rows.last(args[0]), rows.last(out)))

        return hook

    def mlp(at: _Seen) -> Any:
        def hook(_module: nn.Module, _args: Any, out: Any) -> None:
            at.mlp = rows.last(hidden_of(out))

        return hook

    def pass_by(module: nn.Module, args: tuple[Any, ...], out: Tensor) -> None:
        between[module] = (rows.last(args[0]), rows.last(out))

    try:
        for layer, (block, at) in enumerate(zip(blocks, seen, strict=True)):
            handles.append(block.register_forward_pre_hook(before(at), with_kwargs=True))
            handles.append(block.register_forward_hook(after(at)))
            handles.append(place_of(loaded, Site(layer, "mlp_output")).module.register_forward_hook(mlp(at)))
            leaves = [m for m in block.modules() if next(m.children(), None) is None]
            handles += [m.register_forward_hook(leaf(at)) for m in leaves]
        handles += [m.register_forward_hook(pass_by) for m in (*steps, output)]
        tensor = torch.tensor([ids])
        loaded.check_ids(tensor)
        loaded.check_length(len(ids))
        with tapped(heads):
            logits = loaded.model(tensor.to(loaded.device), use_cache=False, logits_to_keep=1).logits
    except UserError as error:
        raise _refused(str(error)) if error.field == "site" else error from error
    finally:
        for handle in handles:
            handle.remove()
    missing = [m for m in (*steps, output) if m not in between]
    if missing:
        raise _refused("the pass does not go through its unembedding.")
    return seen, between, [between[output][1], rows.last(logits[0, -1])]


def _block(layer: int, seen: _Seen) -> BlockParts:
    """The parts of one block, once they are known to make up what it added."""
    if seen.given is None or seen.gave is None or seen.mlp is None:
        raise _refused(f"block {layer} was not seen to run.")
    if seen.heads is None:
        raise _refused(f"block {layer} has no softmax attention that can be recorded.")
    joined = seen.heads.flatten()
    width = seen.given.shape[0]
    found = next(
        ((m, y) for m, x, y in seen.leaves if y.shape == (width,) and torch.equal(x, joined) and _is_matrix(m)), None
    )
    if found is None:
        raise _refused(f"in block {layer} something stands between the heads and their output projection.")
    projection, written = found
    added = seen.gave - seen.given
    best: tuple[float, FixedNorm | None, float, Tensor] | None = None
    for (norm, mine), (_, other) in product(_ways(written, seen), _ways(seen.mlp, seen)):
        factors = _factors(mine, other, added, 2e-2 if _rounding(projection) > 1e-3 else 1e-3)
        rest = float((added - factors[0] * mine - factors[1] * other).norm())
        if best is None or rest < best[0]:
            best = rest, norm, factors[0], factors[1] * other
    assert best is not None
    # The sum itself was rounded, so its own size counts too.
    size = float(added.norm()) + _rounding(projection) * float(seen.gave.norm())
    if best[0] > 10 * _rounding(projection) * size:
        raise _refused(f"what block {layer} adds to its stream is not the sum of its attention and its MLP.")
    return BlockParts(projection, seen.heads, best[1], best[2], best[3])


def _ways(vector: Tensor, seen: _Seen) -> list[tuple[FixedNorm | None, Tensor]]:
    """A vector as it is, and behind each norm of the block that was handed it."""
    ways: list[tuple[FixedNorm | None, Tensor]] = [(None, vector)]
    for module, x, y in seen.leaves:
        if x.shape == y.shape == vector.shape and torch.equal(x, vector) and not torch.equal(x, y):
            norm = _fixed_norm(module, x, y)
            ways += [] if norm is None else [(norm, y)]
    return ways


def _factors(mine: Tensor, other: Tensor, added: Tensor, near: float) -> tuple[float, float]:
    """By how much a block multiplies attention and MLP before it adds them; 1 where it is as ``near`` to that."""
    found = torch.linalg.lstsq(torch.stack([mine, other], 1).double(), added.double()[:, None]).solution[:, 0]
    values = [1.0 if abs(float(f) - 1) < near else float(f) for f in found]
    return values[0], values[1]


def _fixed_norm(module: nn.Module, x: Tensor, y: Tensor) -> FixedNorm | None:
    """A norm as what it did to ``x`` (D,), which became ``y``; None where it did something else.

    Gain and bias are measured on a vector that is long enough for its small constant not to count.
    """
    like = next(module.parameters(), x)
    sign = torch.ones(x.shape[0], device=like.device, dtype=like.dtype)
    sign[1::2] = -1
    half = like.element_size() < 4
    plus, minus = (module((1.0 if half else _LONG) * s[None])[0].to(y).cpu() for s in (sign, -sign))
    gain, bias = (plus - minus) / 2 * sign.to(y).cpu(), (plus + minus) / 2
    if float(bias.abs().max()) <= 1e-6 * float(gain.abs().max()):
        bias = torch.zeros_like(bias)
    for centred in (False, True):
        shape = (x - x.mean() if centred else x) * gain
        scale = float((y - bias).double() @ shape.double() / (shape.double() @ shape.double()).clamp_min(1e-300))
        if float((scale * shape + bias - y).norm()) <= _rounding(module, x) * float(y.norm()):
            return FixedNorm(gain, bias, scale, centred)
    return None


def _is_matrix(module: nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, Tensor) and weight.ndim == 2 and not isinstance(module, nn.Embedding)


def _matrix(module: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight (out, in) and bias (out,) of a linear module, on the CPU, in float32 or float64, whichever way it lies."""
    held: Any = module
    weight = _kept(plain(held.weight))
    if not isinstance(module, nn.Linear) and type(module).__name__ == "Conv1D":
        weight = weight.T
    bias = getattr(module, "bias", None)
    return weight, torch.zeros(weight.shape[0]).to(weight) if bias is None else _kept(bias)


def _mean_row(weight: Tensor) -> Tensor:
    """The mean (D,) of the rows of an unembedding, some rows at a time."""
    total = torch.zeros(weight.shape[1], dtype=torch.float64, device=weight.device)
    for rows in weight.split(8192):
        total += rows.sum(0, dtype=torch.float64)
    return total / weight.shape[0]


def _kept(x: Tensor) -> Tensor:
    """On the CPU, in float64 if it is, else in float32."""
    return x.detach().to("cpu", torch.float64 if x.dtype == torch.float64 else torch.float32, copy=True)


def _rounding(module: nn.Module, x: Tensor | None = None) -> float:
    like = next(module.parameters(), x)
    assert like is not None
    # Norms may compute in float32 whatever the dtype of the model.
    return max(_ROUNDING.get(like.dtype, _COARSE), 1e-6)


def _refused(why: str) -> UserError:
    return UserError(
        f"The logits of this model cannot be split into what its heads and MLPs write: {why} Take a head's attention "
        "or its ablation instead.",
        "model",
    )
