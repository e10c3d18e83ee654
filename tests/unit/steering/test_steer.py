"""Interventions: their arithmetic, which tokens they reach, and that they leave no trace."""

from __future__ import annotations

import hashlib
from itertools import permutations
from typing import Any

import pytest
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.hooks import hooked, layout
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.steering import Add, Clamp, Interpolate, ProjectOut, steer
from analysis.steering.operators import fuse, is_idle
from tests.unit.steering.test_sites import hook_count, own_tiny
from tests.unit.test_fit import loaded_tiny
from tests.unit.tiny_models import ARCHITECTURES

HERE = Site(1)
D = 48


def vectors(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


X, A, B, C = vectors(2, 7, D), vectors(D, seed=1), vectors(D, seed=2), vectors(D, seed=3)
IDS = torch.randint(3, 96, (2, 9), generator=torch.Generator().manual_seed(4))


def do(*interventions: Any) -> Tensor:
    kernel = fuse(interventions)
    assert kernel is not None
    return kernel(X)


def after(loaded: LoadedModel, ids: Tensor, site: Site = HERE, **arguments: Any) -> Tensor:
    """The activation at a site, as the rest of the model gets it."""
    seen: list[Tensor] = []
    with hooked(loaded, {site: lambda x: seen.append(x.clone())}):  # type: ignore[dict-item, func-returns-value]
        loaded.model(ids, **arguments)
    return seen[0]


# Arithmetic


def test_each_operator_does_what_it_says() -> None:
    assert torch.allclose(do(Interpolate(HERE, A, 0.3)), X + 0.3 * (A - X), atol=1e-5)
    assert torch.allclose(do(Interpolate(HERE, A, 1.0)), A.expand_as(X))
    assert torch.allclose(do(Add(HERE, A, -2.5)), X - 2.5 * A, atol=1e-5)
    basis = torch.linalg.qr(torch.stack([A, B]).T).Q
    projected = X - X @ basis @ basis.T
    assert torch.allclose(do(ProjectOut(HERE, torch.stack([A, 3 * B]))), projected, atol=1e-4)
    assert torch.allclose(do(ProjectOut(HERE, A, 0.5)), X - 0.5 * (X @ A)[..., None] * A / (A @ A), atol=1e-4)
    clamped, unit = do(Clamp(HERE, 5 * A, 2.5)), A / A.norm()
    assert torch.allclose(clamped @ unit, torch.tensor(2.5), atol=1e-4)
    assert torch.allclose(clamped - (clamped @ unit)[..., None] * unit, X - (X @ unit)[..., None] * unit, atol=1e-4)


def test_several_at_one_site_act_at_once_in_any_order() -> None:
    every = [Interpolate(HERE, A, 0.3), Interpolate(HERE, B, 0.4), Add(HERE, C, 2.0), Add(HERE, A, -1.0)]
    expected = X + 0.3 * (A - X) + 0.4 * (B - X) + 2 * C - A
    every_more = [*every[:2], ProjectOut(HERE, B), ProjectOut(HERE, C), Clamp(HERE, A, 1.0), Clamp(HERE, A + B, 3.0)]
    for order in permutations(every):
        assert torch.allclose(do(*order), expected, atol=1e-4)
    first = do(*every_more)
    for order in list(permutations(every_more))[::60]:
        assert torch.allclose(do(*order), first, atol=1e-4)


def test_strengths_beyond_one_are_scaled_to_a_weighted_mean() -> None:
    out = do(Interpolate(HERE, A, 1.0), Interpolate(HERE, B, 0.6), Add(HERE, C))
    assert torch.allclose(out, ((A + 0.6 * B) / 1.6 + C).expand_as(X), atol=1e-4)


def test_overlapping_projections_and_clamps_are_solved_jointly() -> None:
    tilted = A + 0.1 * B
    out = do(ProjectOut(HERE, A), ProjectOut(HERE, tilted))
    assert (out @ A).abs().max() < 1e-3 and (out @ B).abs().max() < 1e-3
    twice = do(ProjectOut(HERE, A, 0.4), ProjectOut(HERE, 2 * A, 0.4))
    assert torch.allclose(twice, do(ProjectOut(HERE, A, 0.4)), atol=1e-4)
    clamped = do(Clamp(HERE, A, 1.0), Clamp(HERE, tilted, -2.0))
    assert torch.allclose(clamped @ (A / A.norm()), torch.tensor(1.0), atol=1e-3)
    assert torch.allclose(clamped @ (tilted / tilted.norm()), torch.tensor(-2.0), atol=1e-3)
    contradiction = do(Clamp(HERE, A, 1.0), Clamp(HERE, A, 2.0))
    assert torch.allclose(contradiction @ (A / A.norm()), torch.tensor(1.5), atol=1e-3)


def test_what_does_nothing_is_left_out() -> None:
    idle = [Interpolate(HERE, A, 0.0), Add(HERE, A, 0), Add(HERE, 0 * A), ProjectOut(HERE, A, 0)]
    assert all(is_idle(i) for i in idle) and fuse(idle) is None and not is_idle(Clamp(HERE, A, 0.0))


def test_bad_interventions_are_refused_with_a_sentence() -> None:
    holed = A.clone()
    holed[3] = torch.nan
    bad: list[Any] = [
        lambda: Interpolate(HERE, A, 1.1),
        lambda: Interpolate(HERE, A, float("nan")),
        lambda: Interpolate(HERE, holed, 0.5),
        lambda: Interpolate(HERE, vectors(2, D), 0.5),
        lambda: Interpolate(HERE, "vector", 0.5),  # type: ignore[arg-type]
        lambda: Interpolate(HERE, A, 0.5, where="last"),
        lambda: Interpolate(3, A, 0.5),  # type: ignore[arg-type]
        lambda: Add(HERE, A, 1e5),
        lambda: Add(HERE, torch.zeros(0)),
        lambda: ProjectOut(HERE, torch.stack([A, 0 * A])),
        lambda: Clamp(HERE, A, float("inf")),
        lambda: Clamp(HERE, 0 * A, 1.0),
    ]
    for make in bad:
        with pytest.raises(UserError) as error:
            make()
        assert error.value.message.endswith(".") and error.value.field in ("steer", "strength")
    mine = A.clone()
    kept = Add(HERE, mine)
    mine += 1
    assert torch.equal(kept.vector, A)
    assert Add(HERE, A.double().numpy()).vector.dtype == torch.float32


# In a model


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_the_model_goes_on_from_the_steered_activation(name: str) -> None:
    loaded = loaded_tiny(name)
    plain = after(loaded, IDS)
    interventions = [Interpolate(HERE, A, 0.6), Add(HERE, B, 2.0, where="all")]
    with steer(loaded, interventions) as applied:
        steered = after(loaded, IDS)
    expected = plain + 0.6 * (A - plain) + 2 * B
    expected[:, 0] = plain[:, 0] + 2 * B
    assert torch.allclose(steered, expected, atol=1e-4)
    assert applied.passes == 1 and applied.tokens == {HERE: 18}


@pytest.mark.parametrize("kind", ["mlp_hidden", "mlp_output"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "gpt_neox"])
def test_other_sites_are_steered_as_well(name: str, kind: str) -> None:
    loaded, site = loaded_tiny(name), Site(2, kind)
    plain = after(loaded, IDS, site)
    direction = vectors(plain.shape[-1], seed=5)
    with steer(loaded, [Clamp(site, direction, 7.0, where="all")]):
        seen = after(loaded, IDS, site)
    assert torch.allclose(seen @ (direction / direction.norm()), torch.tensor(7.0), atol=1e-3)
    assert (plain @ (direction / direction.norm()) - 7.0).abs().min() > 1e-2


@pytest.mark.parametrize("where", ["all", "not_first", "generated"])
def test_positions_are_known_with_a_cache(where: str) -> None:
    loaded = loaded_tiny("llama")
    intervention = Add(HERE, A, 3.0, where=where)
    states, cache = [], None
    with steer(loaded, [intervention], prompt_tokens=4) as applied:
        for feed in (IDS[:, :4], IDS[:, 4:5], IDS[:, 5:9]):
            seen: list[Tensor] = []
            with hooked(loaded, {HERE: lambda x, seen=seen: seen.append(x.clone())}):  # type: ignore[misc]
                cache = loaded.model(feed, past_key_values=cache, use_cache=True).past_key_values
            states += seen
    changed = (torch.cat(states, 1) - after(loaded, IDS)).abs().amax((0, 2)) > 1e-2
    first = {"all": 0, "not_first": 1, "generated": 4}[where]
    # Blocks up to the steered one do not see what was changed at it.
    assert changed.tolist() == [n >= first for n in range(9)]
    assert applied.tokens[HERE] == 2 * (9 - first) and applied.passes == 3


@pytest.mark.parametrize("given", ["attention_mask", "mask"])
def test_rows_padded_on_the_left_are_steered_at_their_own_positions(given: str) -> None:
    loaded = loaded_tiny("llama")
    mask = torch.ones_like(IDS)
    mask[0, :3] = 0
    interventions = [Add(HERE, A, 3.0), Add(HERE, B, 3.0, where="generated")]
    arguments = {"attention_mask": mask, "use_cache": False}
    own = {"mask": mask} if given == "mask" else {}
    plain = after(loaded, IDS, **arguments)
    if given == "mask":
        arguments = {"use_cache": False}
        plain = after(loaded, IDS, **arguments)
    with steer(loaded, interventions, prompt_tokens=[4, 7], **own) as applied:  # type: ignore[arg-type]
        moved = after(loaded, IDS, **arguments) - plain
    expected = torch.zeros_like(moved)
    expected[0, 4:] += 3 * A
    expected[1, 1:] += 3 * A
    expected[0, 7:] += 3 * B
    expected[1, 7:] += 3 * B
    assert torch.allclose(moved, expected, atol=1e-4) and applied.tokens[HERE] == 5 + 8


def test_each_row_may_have_its_own_prompt_length() -> None:
    loaded = loaded_tiny("gpt2")
    plain = after(loaded, IDS)
    with steer(loaded, [Add(HERE, A, where="generated")], prompt_tokens=[3, 6]):
        moved = (after(loaded, IDS) - plain).abs().amax(2) > 1e-3
    assert moved.tolist() == [[n >= 3 for n in range(9)], [n >= 6 for n in range(9)]]


def test_generation_by_other_code_is_steered() -> None:
    loaded = loaded_tiny("llama")
    mask = torch.ones_like(IDS)
    mask[1, :2] = 0
    settings: dict[str, Any] = {"attention_mask": mask, "max_new_tokens": 4, "do_sample": False, "eos_token_id": None}
    with steer(loaded, [Add(HERE, 20 * A)]) as applied:
        steered = loaded.model.generate(IDS, **settings)  # type: ignore[operator]
    # The last token is chosen and not read; one first token and two of padding are left alone.
    assert applied.tokens[HERE] == (9 + 3 - 1) + (7 + 3 - 1) and applied.passes == 4
    assert not torch.equal(steered, loaded.model.generate(IDS, **settings))  # type: ignore[operator]


def digest(loaded: LoadedModel) -> str:
    made = hashlib.sha256()
    for name, tensor in loaded.model.state_dict().items():
        made.update(name.encode() + tensor.numpy().tobytes())
    return made.hexdigest()


def test_all_is_as_before_bit_for_bit_after_an_exception_too() -> None:
    loaded = loaded_tiny("gemma2")
    layout(loaded)
    before, weights, hooks = loaded.forward(IDS, logits=True), digest(loaded), hook_count(loaded)
    with pytest.raises(RuntimeError, match="stopped"), steer(loaded, [Interpolate(HERE, A, 0.9), Add(Site(3), B)]):
        assert not torch.allclose(loaded.forward(IDS, logits=True), before)
        raise RuntimeError("stopped")
    assert hook_count(loaded) == hooks and digest(loaded) == weights
    assert torch.equal(loaded.forward(IDS, logits=True), before)

    def fail(_x: Tensor) -> Tensor:
        raise RuntimeError("in the pass")

    with pytest.raises(RuntimeError, match="in the pass"), steer(loaded, [Add(HERE, A)]), hooked(loaded, {HERE: fail}):
        loaded.forward(IDS)
    assert hook_count(loaded) == hooks and torch.equal(loaded.forward(IDS, logits=True), before)


def test_strength_zero_changes_not_a_bit() -> None:
    loaded = loaded_tiny("llama")
    before, count = loaded.forward(IDS, logits=True), hook_count(loaded)
    with steer(loaded, [Interpolate(HERE, A, 0.0), ProjectOut(HERE, B, 0.0)]) as applied:
        assert hook_count(loaded) == count and torch.equal(loaded.forward(IDS, logits=True), before)
    assert applied.tokens == {}


def test_contexts_nest_and_the_inner_comes_second() -> None:
    loaded = loaded_tiny("llama")
    plain = after(loaded, IDS)
    with steer(loaded, [Add(HERE, A, where="all")]):
        with steer(loaded, [Interpolate(HERE, B, 0.5, where="all")]):
            both = after(loaded, IDS)
        outer = after(loaded, IDS)
    assert torch.allclose(both, 0.5 * (plain + A) + 0.5 * B, atol=1e-4)
    assert torch.allclose(outer, plain + A, atol=1e-5) and torch.equal(after(loaded, IDS), plain)


def test_half_precision_stays_half_precision() -> None:
    loaded = own_tiny("llama")
    loaded.model.bfloat16()
    plain = after(loaded, IDS)
    with steer(loaded, [Interpolate(HERE, A, 0.5), ProjectOut(HERE, B), Clamp(HERE, C, 1.0)]):
        seen = after(loaded, IDS)
        assert bool(loaded.forward(IDS, logits=True).isfinite().all())
    assert seen.dtype == torch.bfloat16 and torch.equal(seen[:, 0], plain[:, 0])
    assert not torch.equal(seen[:, 1:], plain[:, 1:])


def test_what_does_not_fit_the_model_is_refused_before_anything_runs() -> None:
    loaded = loaded_tiny("llama")
    count = hook_count(loaded)
    for intervention, words in (
        (Add(Site(7), A), "blocks 0 to 3"),
        (Add(HERE, A[:40]), "40 numbers; the residual stream after block 1 of this model has 48"),
        (ProjectOut(Site(1, "mlp_hidden"), A), "has 64"),
        (Add(HERE, A, where="generated"), "number of tokens in the prompt"),
    ):
        with pytest.raises(UserError, match=words), steer(loaded, [intervention]):
            raise AssertionError("steered")
    assert hook_count(loaded) == count
