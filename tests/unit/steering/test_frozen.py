"""Held patterns, values and MLPs against a slow implementation that shares nothing with it: loops over heads and
queries stand in for the architectures' eager attention, blocks and MLPs are reached by their names."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.models.sites import Site
from analysis.steering import Add, frozen
from analysis.steering.frozen import HeldPass
from analysis.steering.generate import PromptCache
from analysis.steering.parts import PARTS, SETS, shares_of
from analysis.steering.plan import Plan
from tests.unit.test_fit import loaded_of
from tests.unit.tiny_models import tiny_model

KINDS = (
    "llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "phi3", "olmo2", "gpt_oss",
)  # fmt: skip
"""Grouped keys, sliding windows, per-head norms, soft caps, parallel blocks, partial rotation, norms behind, sinks."""
IDS = list(range(3, 11))
LAYER = 1
VECTOR = 4 * torch.randn(48, generator=torch.Generator().manual_seed(1))


class Slow:
    """A tiny model in which every head is worked out query by query; ``patterns``, ``values`` and ``mlps`` of the last
    free pass, and which of them above LAYER are held (``held``), of which heads (``heads``, None for all)."""

    def __init__(self, name: str, model: nn.Module) -> None:
        self.model = model
        self.held: frozenset[str] = frozenset()
        self.heads: list[tuple[int, int]] | None = None
        self.keep = True
        self.patterns: dict[tuple[int, int], Tensor] = {}
        self.values: dict[tuple[int, int], Tensor] = {}
        self.mlps: dict[int, Any] = {}
        base: Any = model.base_model
        self.blocks = base.h if name == "gpt2" else base.layers
        attention = next(m for m in model.modules() if type(m).__name__.endswith("Attention"))
        self.module = sys.modules[type(attention).__module__]
        for n, block in enumerate(self.blocks):
            block.mlp.register_forward_hook(lambda m, a, o, n=n: self.mlp(n, o))

    def attend(self, module: Any, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, **said: Any) -> Any:
        layer, heads, length = module.layer_idx, query.shape[1], query.shape[2]
        out = torch.zeros(1, length, heads, value.shape[-1])
        scaling = said.get("scaling") or query.shape[-1] ** -0.5
        for h in range(heads):
            shared = h * key.shape[1] // heads
            rows = []
            for t in range(length):
                logits = (key[0, shared] * query[0, h, t]).sum(-1) * scaling
                if said.get("softcap"):
                    logits = said["softcap"] * torch.tanh(logits / said["softcap"])
                future = torch.arange(length) > t
                hidden = future if mask is None else mask[0, min(h, mask.shape[1] - 1), t] < -1
                logits = logits.masked_fill(hidden, -torch.inf)
                powers = (logits - logits.max()).exp()
                whole = powers.sum()
                if hasattr(module, "sinks"):
                    whole = whole + (module.sinks[h] - logits.max()).exp()
                rows.append(powers / whole)
            pattern, carried = torch.stack(rows), value[0, shared]
            held = layer > LAYER and (self.heads is None or (layer, h) in self.heads)
            if self.keep:
                self.patterns[layer, h], self.values[layer, h] = pattern, carried.clone()
            if held and "patterns" in self.held:
                pattern = self.patterns[layer, h]
            if held and "values" in self.held:
                carried = self.values[layer, h]
            out[0, :, h] = pattern @ carried
        return out, None

    def mlp(self, layer: int, output: Any) -> Any:
        if self.keep:
            self.mlps[layer] = output
        return self.mlps[layer] if layer > LAYER and "MLPs" in self.held else None

    @torch.no_grad()
    def logits(self, vector: Tensor | None) -> Tensor:
        def push(_m: Any, _a: Any, output: Any) -> Any:
            hidden = output[0] if isinstance(output, tuple) else output
            hidden = torch.cat([hidden[:, :1], hidden[:, 1:] + vector], 1)
            return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

        # Only here: where Attune asks the architecture for soft caps and sinks, it must get its own.
        with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.module, "eager_attention_forward", self.attend)
            if vector is not None:
                stack.callback(self.blocks[LAYER].register_forward_hook(push).remove)
            found: Tensor = self.model(torch.tensor([IDS]), use_cache=False).logits[0, -1]
            return found


@pytest.mark.parametrize("name", KINDS)
def test_what_is_held_is_as_it_was_and_the_rest_is_free(name: str) -> None:
    slow = Slow(name, tiny_model(name, "eager"))
    loaded = loaded_of(tiny_model(name))
    cache, steer = PromptCache(loaded, IDS, [LAYER]), [Add(Site(LAYER), VECTOR)]
    held = HeldPass(loaded, IDS, LAYER)
    assert held.patternless == held.mlpless == ()
    base = slow.logits(None)
    slow.keep = False
    assert torch.allclose(cache.base_logits, base, atol=2e-4)
    steered = cache.next_logits(steer)
    some = [(2, 1), (3, 0), (3, 5)]
    moved = float((steered - cache.base_logits).abs().max())
    for heads in (None, some):
        every = held.next_logits(cache, steer, heads or ())
        assert torch.equal(every[-1], steered)
        for fast, free in zip(every, SETS, strict=True) if heads is None else list(zip(every, SETS, strict=True))[:3]:
            slow.held, slow.heads = frozenset(PARTS) - free, heads
            error = float((fast - slow.logits(VECTOR)).abs().max())
            assert error < 1e-3 * moved, (heads, free, error, moved)
    assert torch.equal(cache.next_logits(steer), steered) and torch.equal(cache.next_logits([]), cache.base_logits)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_neox", "gpt_oss"])
@torch.no_grad()
def test_holding_a_pass_in_itself_changes_nothing_and_all_held_is_the_unsteered_answer(name: str) -> None:
    loaded = loaded_of(tiny_model(name))
    plan = Plan(loaded, [Add(Site(LAYER), VECTOR)])
    ids = torch.tensor([IDS])
    with plan.installed():
        steered = loaded.forward(ids, logits=True)
        held = HeldPass(loaded, IDS, LAYER)
    for parts in SETS:
        with held.holding([parts]), plan.installed():
            again = loaded.forward(ids, logits=True)
        assert torch.equal(again, steered), parts
    # Steering that spares the last token reaches it through what is held alone.
    spared = Plan(loaded, [Add(Site(LAYER), VECTOR, where="prompt")], prompt_tokens=len(IDS) - 1)
    unsteered, plain = HeldPass(loaded, IDS, LAYER), loaded.forward(ids, logits=True)
    with spared.installed():
        reached = loaded.forward(ids, logits=True)[0, -1]
    with unsteered.holding([frozenset(PARTS)]), spared.installed():
        alone = loaded.forward(ids, logits=True)[0, -1]
    assert torch.equal(alone, plain[0, -1]) and not torch.allclose(reached, alone, atol=1e-2)


def test_shares_are_the_mean_over_all_orders_and_sum_to_the_whole() -> None:
    effects = np.random.default_rng(0).normal(size=(3, len(SETS)))
    shares = shares_of(effects)
    assert np.allclose(shares.sum(-1), effects[:, -1])
    places = {some: n for n, some in enumerate(SETS)}
    orders = list(permutations(PARTS))
    for p, part in enumerate(PARTS):
        before = [frozenset(order[: order.index(part)]) for order in orders]
        gains = [effects[:, places[some | {part}]] - effects[:, places[some]] for some in before]
        assert np.allclose(shares[:, p], np.mean(gains, 0))
    assert np.allclose(shares[:, 3], effects[:, 0])


def test_a_long_text_has_a_pass_for_each_set_of_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = loaded_of(tiny_model("llama"))
    cache, held = PromptCache(loaded, IDS, [LAYER]), HeldPass(loaded, IDS, LAYER)
    steer = [Add(Site(LAYER), VECTOR)]
    together = held.next_logits(cache, steer)
    monkeypatch.setattr(frozen, "_ROOM", 0)
    assert torch.allclose(held.next_logits(cache, steer), together, atol=1e-4)
