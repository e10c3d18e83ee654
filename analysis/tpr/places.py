"""Where in a block of OthelloGPT a probe reads and an edit is made.

The probes that are fitted here read the residual stream after a block. Those of others may read it between attention
and MLP, or what either of them adds. Every OthelloGPT here is the one network of the house, so these places are found
by their modules: a layer norm sees the stream before it, attention and MLP give what they add. The tensor that passes
there is read, and changed in place where a change is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import Tensor

from analysis.models.hooks import hooked
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.tpr.answers.model import SITE_TITLES

SITES = tuple(SITE_TITLES)
_MODULES = {"resid_mid": "ln_2", "resid_pre": "ln_1", "attn_out": "attn", "mlp_out": "mlp"}
Hook = Callable[[Tensor], Tensor | None]


@contextmanager
def hooked_at(loaded: LoadedModel, site: str, hooks: Mapping[int, Hook]) -> Iterator[None]:
    """Call ``hooks[layer]`` with the activations (B, T, d) of a site of ``SITES`` while passes run; what a hook
    returns, if not None, takes their place."""
    if site == "resid_post":
        with hooked(loaded, {Site(layer): hook for layer, hook in hooks.items()}):
            yield
        return
    model: Any = loaded.model
    handles = []
    try:
        for layer, hook in hooks.items():
            module = getattr(model.transformer.h[layer], _MODULES[site])
            if site.startswith("resid"):
                handles.append(module.register_forward_pre_hook(partial(_before, hook)))
            else:
                handles.append(module.register_forward_hook(partial(_after, hook)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _before(hook: Hook, _module: Any, args: tuple[Any, ...]) -> None:
    _put(hook, args[0])


def _after(hook: Hook, _module: Any, _args: tuple[Any, ...], output: Any) -> None:
    _put(hook, output[0] if isinstance(output, tuple) else output)


def _put(hook: Hook, value: Tensor) -> None:
    # A copy is shown, since later blocks may change the tensor itself.
    changed = hook(value.clone())
    if changed is not None:
        value.copy_(changed)
