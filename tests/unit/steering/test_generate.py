"""Steered generation, and the cache of a prompt against whole passes."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.generation import choose
from analysis.models.generation import generate_stream as plain_stream
from analysis.models.hooks import layout
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.steering import Add, Applied, Clamp, Interpolate, PromptCache, generate_stream, steer
from tests.unit.steering.test_sites import hook_count, loaded_other, own_tiny
from tests.unit.test_fit import loaded_tiny
from tests.unit.tiny_models import ARCHITECTURES

IDS = [5, 9, 12, 30, 7, 9, 44, 61]
A, B = torch.randn(2, 48, generator=torch.Generator().manual_seed(6))


def full_logits(loaded: LoadedModel, ids: list[int], interventions: Any, prompt: int) -> Tensor:
    """The oracle: one whole pass without any cache."""
    with steer(loaded, interventions, prompt_tokens=prompt):
        return loaded.forward(torch.tensor([ids]), logits=True)[0, -1]


@pytest.mark.parametrize("where", ["all", "not_first", "generated"])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_steered_tokens_equal_those_of_whole_passes(name: str, where: str) -> None:
    loaded = own_tiny(name)
    interventions = [Interpolate(Site(1), 3 * A, 0.7, where=where), Add(Site(2), 4 * B, where=where)]
    ids = list(IDS)
    for token, logits in generate_stream(loaded, IDS, 5, interventions=interventions):
        expected = full_logits(loaded, ids, interventions, len(IDS))
        assert torch.allclose(logits, expected, atol=1e-3) and token == int(expected.argmax())
        ids.append(token)
    assert len(ids) == 13 and ids[8:] != list(plain_stream(loaded, IDS, 5))


def test_strength_zero_gives_the_same_tokens_and_the_same_bits() -> None:
    loaded = own_tiny("llama")
    plain = list(generate_stream(loaded, IDS, 8, temperature=1.5, seed=4))
    idle = [Interpolate(Site(1), A, 0.0), Add(Site(2), B, 0.0)]
    same = list(generate_stream(loaded, IDS, 8, temperature=1.5, seed=4, interventions=idle))
    assert [s.token for s in same] == [s.token for s in plain] == list(plain_stream(loaded, IDS, 8, 1.5, 4))
    assert all(torch.equal(a.logits, b.logits) for a, b in zip(plain, same, strict=True))


def test_between_tokens_and_afterwards_the_model_is_untouched() -> None:
    loaded = own_tiny("llama")
    layout(loaded)
    rows, hooks = torch.tensor([IDS]), hook_count(loaded)
    before = loaded.forward(rows, logits=True)
    counts: list[Applied] = []
    stream = generate_stream(loaded, IDS, 4, interventions=[Add(Site(1), 9 * A)], applied=counts.append)
    for n, _ in enumerate(stream):
        assert hook_count(loaded) == hooks and torch.equal(loaded.forward(rows, logits=True), before)
        # Passes of others in between are neither steered nor counted.
        assert counts[0].tokens == {Site(1): 7 + n} and counts[0].passes == n + 1
    abandoned = generate_stream(loaded, IDS, 4, interventions=[Add(Site(1), A)])
    next(abandoned)
    del abandoned
    assert hook_count(loaded) == hooks


def test_generation_stops_when_told_and_at_the_end_of_positions() -> None:
    loaded = own_tiny("gpt2")
    made: list[int] = []
    for step in generate_stream(loaded, IDS, 50, stop=lambda: len(made) >= 3):
        made.append(step.token)
    assert len(made) == 3
    assert list(generate_stream(loaded, IDS, 5, stop=lambda: True)) == []
    assert len(list(generate_stream(loaded, (IDS * 20)[:126], 10))) == 2
    for bad in ({"temperature": -1}, {"top_p": 0}, {"temperature": float("nan")}):
        with pytest.raises(UserError):
            generate_stream(loaded, IDS, 1, **bad)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="blocks 0 to 3"):
        generate_stream(loaded, IDS, 1, interventions=[Add(Site(5), A)])


def test_draws_follow_seed_temperature_and_nucleus() -> None:
    logits = torch.tensor([0.5, 0.25, 0.15, 0.1]).log()
    draws = [choose(logits, 1.0, 0.7, torch.Generator().manual_seed(n)) for n in range(400)]
    # The first two tokens are the smallest set with 70 %, and keep their ratio of 2 to 1.
    assert set(draws) == {0, 1} and 0.58 < draws.count(0) / 400 < 0.75
    assert {choose(logits, 1.0, 0.01, torch.Generator().manual_seed(n)) for n in range(20)} == {0}
    assert choose(logits, 0.0, 1.0, torch.Generator()) == 0
    whole = [choose(logits, 1.0, 1.0, torch.Generator().manual_seed(n)) for n in range(400)]
    assert set(whole) == {0, 1, 2, 3}
    for n, share in enumerate((0.05, 0.5, 0.95, 0.9999, 0.999999)):  # few are sorted, and the draw is that over all
        many = (torch.randn(3_000, generator=torch.Generator().manual_seed(n)) * 3).round(decimals=n % 2 + 1)
        values, order = torch.softmax(many, -1).sort(descending=True, stable=True)
        kept = values.masked_fill(values.cumsum(-1) - values >= share, 0.0)
        one, other = torch.Generator().manual_seed(n), torch.Generator().manual_seed(n)
        for _ in range(10):
            assert choose(many, 1.0, share, one) == int(order[torch.multinomial(kept, 1, generator=other)])
    loaded = own_tiny("llama")
    runs = [[s.token for s in generate_stream(loaded, IDS, 9, temperature=2.0, top_p=0.9, seed=n)] for n in (1, 1, 2)]
    assert runs[0] == runs[1] != runs[2]


# The cache of a prompt


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_the_cache_of_a_prompt_equals_a_whole_steered_pass(name: str) -> None:
    loaded = loaded_tiny(name)
    cache = PromptCache(loaded, IDS)
    rows = torch.tensor([IDS])
    assert torch.allclose(cache.base_logits, loaded.forward(rows, logits=True)[0, -1], atol=1e-5)
    settings: list[list[Any]] = [[Interpolate(Site(layer), 3 * A, 0.6)] for layer in range(4)]
    settings += [[Add(Site(1, "mlp_output"), 5 * A), Add(Site(3), B)], [Clamp(Site(0, "mlp_output"), A, 4.0)]]
    seen = []
    for interventions in settings:
        logits = cache.next_logits(interventions)
        assert torch.allclose(logits, full_logits(loaded, IDS, interventions, len(IDS)), atol=1e-5, rtol=1e-5)
        seen.append(logits)
    assert all((a - b).abs().max() > 1e-2 for a, b in pairwise(seen))
    assert all(cache._sound.values()) and set(cache._sound) == {0, 1, 2, 3}
    assert torch.allclose(cache.next_distribution(settings[0]), seen[0].softmax(-1))
    assert torch.equal(cache.next_logits([]), cache.base_logits)
    assert torch.equal(cache.next_logits([Add(Site(1), A, where="generated")]), cache.base_logits)


def test_only_blocks_above_the_lowest_site_compute() -> None:
    loaded = loaded_tiny("llama")
    cache = PromptCache(loaded, IDS, layers=[1])
    blocks: Any = layout(loaded).blocks
    ran: list[int] = []
    handles = [b.mlp.register_forward_hook(lambda *_, n=n: ran.append(n)) for n, b in enumerate(blocks)]
    for layer, expected in ((1, [2, 3]), (2, [2, 3]), (3, [2, 3]), (0, [0, 1, 2, 3])):
        cache.next_logits([Add(Site(layer), A)])
        ran.clear()
        cache.next_logits([Add(Site(layer), 2 * A)])
        assert ran == expected
    for handle in handles:
        handle.remove()
    assert cache.nbytes == 8 * 48 * 4 and cache.tokens == 8


def test_the_cache_leaves_the_model_as_it_was_also_where_forward_was_replaced() -> None:
    loaded = own_tiny("llama")
    blocks: Any = layout(loaded).blocks
    own, called = blocks[0].forward, []

    def spread(*args: Any, **kwargs: Any) -> Any:  # as code that spreads a model over devices does
        called.append(1)
        return own(*args, **kwargs)

    blocks[0].forward = spread
    hooks, before = hook_count(loaded), loaded.forward(torch.tensor([IDS]), logits=True)
    cache = PromptCache(loaded, IDS)
    cache.next_logits([Add(Site(2), A)])
    with pytest.raises(RuntimeError):
        with _broken(blocks[3]):
            cache.next_logits([Add(Site(1), A)])
    assert blocks[0].forward is spread and all("forward" not in vars(b) for b in blocks[1:])
    assert hook_count(loaded) == hooks and torch.equal(loaded.forward(torch.tensor([IDS]), logits=True), before)


class _broken:
    """A module that fails in its pass."""

    def __init__(self, module: Any) -> None:
        self.module = module

    def __enter__(self) -> None:
        def fail(*_: Any) -> None:
            raise RuntimeError("in the pass")

        self.handle = self.module.register_forward_pre_hook(fail)

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


def test_a_model_that_carries_more_between_blocks_gets_whole_passes() -> None:
    loaded = own_tiny("llama")
    blocks: Any = layout(loaded).blocks
    passed: dict[str, Any] = {}

    def keep(module: Any, args: Any, output: Tensor) -> None:
        passed["from the MLP of block 0"] = output

    handles = [blocks[0].mlp.register_forward_hook(keep)]
    handles.append(blocks[3].register_forward_hook(lambda m, a, out: out + passed.pop("from the MLP of block 0", 0)))
    cache = PromptCache(loaded, IDS)
    interventions = [Add(Site(1), 3 * A)]
    logits = cache.next_logits(interventions)
    assert torch.allclose(logits, full_logits(loaded, IDS, interventions, 8), atol=1e-5) and cache._sound == {1: False}
    for handle in handles:
        handle.remove()


def test_blocks_that_return_more_than_hidden_states_are_cached_too() -> None:
    loaded = loaded_other("bloom", n_layer=4, n_head=6)
    cache = PromptCache(loaded, IDS)
    for layer in (1, 3):
        interventions = [Interpolate(Site(layer), 3 * A, 0.5)]
        expected = full_logits(loaded, IDS, interventions, 8)
        assert torch.allclose(cache.next_logits(interventions), expected, atol=1e-5)
    assert all(cache._sound.values())
