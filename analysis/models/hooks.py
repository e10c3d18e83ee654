"""Reach the activations of any decoder: read them, or put others in their place, while a forward pass runs.

Architectures name and nest their blocks and MLPs differently. Which module a site belongs to is therefore not looked up
by name but found on a short probe pass: the blocks are the modules that run, as many as the model has layers, on the
residual stream; the MLP of a block is the part that is called with hidden states alone and attends to nothing; its
last projection is the one whose output is the MLP's output. What cannot be confirmed this way is not offered as a site.
Nothing of the model is rewritten: a hook is there for the time of a context only.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from analysis.errors import UserError
from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import tapped
from analysis.models.sites import KINDS, Site
from analysis.progress import Check, no_check

_CHECKS = 8
"""About how often a pass is checked: a step of a batch takes a tenth of a second, a piece of long texts a second."""
# Sees an activation (B, T, D); what it returns, if not None, takes the activation's place.
Hook = Callable[[Tensor], Tensor | None]


@dataclass(frozen=True)
class Place:
    """A module whose input (``before``) or output is a site's activation of ``width`` numbers per token.

    ``flat``: the module sees tokens as one axis, (B * T, D).
    """

    module: nn.Module
    before: bool
    width: int
    flat: bool


@dataclass(frozen=True)
class Layout:
    """The blocks of a model in order, and the places of all its sites."""

    blocks: tuple[nn.Module, ...]
    places: dict[Site, Place]


@dataclass
class Call:
    """What one module was called with and gave, on the probe; ``parents``: the modules that were running."""

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    parents: tuple[nn.Module, ...]
    output: Any = None
    attends: bool = False
    inside: list[Call] = field(default_factory=list)


_layouts: weakref.WeakKeyDictionary[nn.Module, Layout] = weakref.WeakKeyDictionary()


def layout(loaded: LoadedModel) -> Layout:
    """Blocks and places of a model; measured on the first call and remembered as long as the model lives.

    Raises UserError(field="model") if the decoder blocks cannot be found.
    """
    model: nn.Module = loaded.model
    if model not in _layouts:
        _layouts[model] = _measure(loaded)
    return _layouts[model]


def available_sites(loaded: LoadedModel) -> dict[str, list[int]]:
    """For each kind of site the blocks that have it, ascending; kinds that no block has are left out."""
    places = layout(loaded).places
    found = {kind: sorted(s.layer for s in places if s.kind == kind) for kind in reversed(KINDS)}
    return {kind: layers for kind, layers in found.items() if layers}


def site_width(loaded: LoadedModel, site: Site) -> int:
    """How many numbers per token the activation at a site has. Raises UserError as :func:`place_of`."""
    return place_of(loaded, site).width


def place_of(loaded: LoadedModel, site: Site) -> Place:
    """Where a site is in this model. Raises UserError(field="layer" or "site") if the model does not have it."""
    found = layout(loaded)
    if site in found.places:
        return found.places[site]
    if site.layer >= len(found.blocks):
        raise UserError(f"This model has blocks 0 to {len(found.blocks) - 1}, and no block {site.layer}.", "layer")
    raise UserError(
        f"The {site.label} cannot be reached in this model: its structure is not one of a plain MLP. Choose the "
        "residual stream.",
        "site",
    )


@contextmanager
def hooked(loaded: LoadedModel, hooks: Mapping[Site, Hook | Sequence[Hook]]) -> Iterator[None]:
    """Run functions on activations in every forward pass inside the context; the last state is restored at its end.

    Each function gets the activation (B, T, D) of its site in the model's dtype, and may return another of the same
    shape and dtype, with which the pass goes on. Several at one site run in the order given, each on the result of the
    one before; contexts nest, the inner after the outer.

    Raises UserError(field="site") for a site that the model does not have; then nothing is installed.
    """
    found = [(place_of(loaded, site), site, functions) for site, functions in hooks.items()]
    blocks, handles = layout(loaded).blocks, []
    try:
        for place, site, functions in found:
            sizes: list[int] = []
            if place.flat:
                handles.append(blocks[site.layer].register_forward_pre_hook(_batch_size(sizes), with_kwargs=True))
            for function in [functions] if callable(functions) else functions:
                if place.before:
                    handles.append(place.module.register_forward_pre_hook(_before(function, sizes)))
                else:
                    handles.append(place.module.register_forward_hook(_after(function, sizes)))
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def checked(loaded: LoadedModel, check: Check) -> Iterator[None]:
    """Call a function a few times in every forward pass inside the context; what it raises ends the pass."""
    if check is no_check:
        yield
        return
    blocks = layout(loaded).blocks
    every = max(1, len(blocks) // _CHECKS)
    handles = [block.register_forward_pre_hook(lambda *_: check()) for block in blocks[::every]]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def hidden_of(output: Any) -> Tensor:
    """The hidden states in what a block returns: itself, or the first of several things."""
    found: Tensor = output[0] if isinstance(output, (tuple, list)) else output
    return found


def with_hidden(output: Any, hidden: Tensor) -> Any:
    """What a block returned, with other hidden states in it."""
    return type(output)((hidden, *output[1:])) if isinstance(output, (tuple, list)) else hidden


def _before(function: Hook, sizes: list[int]) -> Callable[..., Any]:
    def hook(_module: nn.Module, args: tuple[Any, ...]) -> Any:
        changed = _apply(function, args[0], sizes)
        return None if changed is None else (changed, *args[1:])

    return hook


def _after(function: Hook, sizes: list[int]) -> Callable[..., Any]:
    def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
        changed = _apply(function, hidden_of(output), sizes)
        return None if changed is None else with_hidden(output, changed)

    return hook


def _apply(function: Hook, x: Tensor, sizes: list[int]) -> Tensor | None:
    shaped = x.view(sizes[0], -1, x.shape[-1]) if sizes and x.ndim == 2 else x
    changed = function(shaped)
    return None if changed is None else changed.reshape(x.shape)


def _batch_size(sizes: list[int]) -> Callable[..., None]:
    def hook(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        sizes[:] = [_hidden_argument(args, kwargs).shape[0]]

    return hook


def _hidden_argument(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    found: Tensor = args[0] if args else kwargs["hidden_states"]
    return found


# How the places are found


def _measure(loaded: LoadedModel) -> Layout:
    base: nn.Module = loaded.model.base_model
    lists = [m for m in base.modules() if isinstance(m, nn.ModuleList) and len(m) == loaded.facts.layers]
    calls = probe_blocks(loaded, [block for blocks in lists for block in blocks])
    for blocks in lists:
        runs = [calls.get(block) for block in blocks]
        if all(run is not None and _is_stream(run.output, loaded.facts.hidden) for run in runs):
            places: dict[Site, Place] = {}
            for layer, run in enumerate(runs):
                assert run is not None
                places[Site(layer)] = Place(run.module, False, loaded.facts.hidden, False)
                places |= _mlp_places(layer, run, loaded.facts.hidden)
            return Layout(tuple(blocks), places)
    raise UserError(
        f"The {loaded.facts.layers} blocks of this model ({loaded.facts.architecture}) could not be found, so its "
        "activations cannot be read or changed. Load a decoder-only language model.",
        "model",
    )


_BATCH, _TOKENS = 2, 3


@torch.no_grad()
def probe_blocks(loaded: LoadedModel, blocks: list[nn.Module]) -> dict[nn.Module, Call]:
    """One pass over six tokens; what was called inside each of the blocks, in order, and what passed through."""
    running: list[Call] = []
    seen: dict[nn.Module, Call] = {}

    def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        parents = tuple(c.module for c in running)
        running.append(Call(module, args, kwargs, parents))

    def leave(module: nn.Module, _args: Any, output: Any) -> None:
        call = running.pop()
        call.output = output
        if running:
            running[-1].attends |= call.attends
            running[-1].inside += [*call.inside, call]
        else:
            seen[module] = call

    def attended(_record: Any, _output: Tensor) -> None:
        if running:
            running[-1].attends = True

    inside = {m for block in blocks for m in block.modules()}
    handles = [m.register_forward_pre_hook(enter, with_kwargs=True) for m in inside]
    handles += [m.register_forward_hook(leave) for m in inside]
    ids = torch.arange(3, 3 + _BATCH * _TOKENS).view(_BATCH, _TOKENS) % loaded.facts.vocabulary
    try:
        with tapped(attended):
            loaded.forward(ids)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _is_stream(output: Any, width: int) -> bool:
    first = output[0] if isinstance(output, (tuple, list)) and output else output
    return isinstance(first, Tensor) and tuple(first.shape) == (_BATCH, _TOKENS, width)


def _mlp_places(layer: int, block: Call, hidden: int) -> dict[Site, Place]:
    """Places of the MLP in a block; empty where none can be told apart, hidden layer left out where it is no one's.

    Experts that share the work have no single last projection: none of their outputs is the MLP's.
    """
    parts = [c for c in block.inside if c.parents == (block.module,)]
    mlps = [c for c in parts if _is_mlp(c)]
    if mlps:
        mlp = mlps[-1]
        found = next((c for c in reversed(mlp.inside) if _is_projection(c) and _makes(c, mlp)), None)
        if found is None and (len(mlp.args) > 1 or not _is_stream(mlp.output, hidden)):
            return {}
    else:
        # The block may do without a module for its MLP and hold the projections itself.
        flat = [c for c in parts if _is_projection(c)]
        found = flat[-1] if len(flat) > 1 else None
        if found is None or found.output.shape[-1] != hidden:
            return {}
        mlp = found
    if found is None:
        return {Site(layer, "mlp_output"): Place(mlp.module, False, hidden, False)}
    width, flat_tokens = found.args[0].shape[-1], found.args[0].ndim == 2
    return {
        Site(layer, "mlp_hidden"): Place(found.module, True, width, flat_tokens),
        Site(layer, "mlp_output"): Place(found.module, False, hidden, flat_tokens),
    }


def _is_mlp(call: Call) -> bool:
    """Called with tensors by position only, attends to nothing, and holds weights of its own beyond a norm's."""
    alone = bool(call.args) and not call.kwargs and all(isinstance(a, Tensor) for a in call.args)
    weights = sum(p.ndim >= 2 for p in call.module.parameters())
    return alone and not call.attends and weights >= 2 and any(True for _ in call.module.children())


def _is_projection(call: Call) -> bool:
    """A leaf that multiplies all tokens of the probe by a matrix, whatever its class is called."""
    if next(call.module.children(), None) is not None or not call.args or not isinstance(call.args[0], Tensor):
        return False
    weight = getattr(call.module, "weight", None)
    rows = call.args[0].shape[:-1].numel()
    matrix = isinstance(weight, Tensor) and weight.ndim == 2 and not isinstance(call.module, nn.Embedding)
    return matrix and rows == _BATCH * _TOKENS and isinstance(call.output, Tensor)


def _makes(projection: Call, mlp: Call) -> bool:
    """Whether the MLP's output is this projection's, perhaps plus a residual that the MLP was handed."""
    whole = hidden_of(mlp.output)
    if projection.output.numel() != whole.numel():
        return False
    own = projection.output.reshape(whole.shape)
    others = [a for a in mlp.args[1:] if a.shape == whole.shape]
    return any(torch.allclose(own + rest, whole, atol=1e-5, rtol=1e-3) for rest in [torch.zeros_like(own), *others])
