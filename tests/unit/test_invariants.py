"""The invariants hold on every architecture, and each of them fails where what it claims is broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch

from analysis.answer import plain_of
from analysis.models import recording
from analysis.qk import invariants
from analysis.qk.answers.validation import Invariant
from analysis.qk.contrasts.example import Example
from analysis.qk.invariants import Claim, measure_invariants
from tests.unit.test_fit import UNLIKE_HEADS, loaded_of, loaded_tiny, random_examples
from tests.unit.tiny_models import ARCHITECTURES, tiny_model

IDS = torch.randint(3, 96, (24,), generator=torch.Generator().manual_seed(4)).tolist()


def examples() -> list[Example]:
    return random_examples(n=24, seed=11)


def measured(name: str) -> dict[str, Invariant]:
    return {i.claim: i for i in measure_invariants(loaded_tiny(name), IDS, examples()).invariants}


def only(found: dict[str, Invariant], words: str) -> Invariant:
    (one,) = [i for claim, i in found.items() if words in claim]
    return one


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_all_invariants_hold_and_all_variants_break(name: str) -> None:
    found = measured(name)
    rotates = name != "gpt2"
    assert len(found) == 9 + 2 * rotates
    for claim, one in found.items():
        assert one.holds, one
        assert one.error <= one.tolerance
        assert one.broken is None or one.broken > one.tolerance
        assert (one.broken is None) == (one.variant == ""), claim
        assert one.layer == 2 and one.head == 3
    json.dumps(plain_of(list(found.values())), allow_nan=False)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("phi", {"partial_rotary_factor": 0.5}, ""),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}}, ""),
        ("smollm3", {"no_rope_layers": [1, 0, 1, 0]}, "without rotary embedding, of which nothing is claimed: 1, 3."),
        ("gpt2", {}, "nothing is claimed of one"),
        ("hunyuan_v1_dense", {"head_dim": 8}, "cannot be had"),
    ],
)
def test_what_is_claimed_of_a_rotation_and_what_is_not(name: str, settings: Any, said: str) -> None:
    loaded = loaded_of(tiny_model(name, **settings))
    if name.startswith("hunyuan"):  # which norms its keys after it has rotated them
        with torch.no_grad():
            for layer in loaded.model.base_model.layers:
                layer.self_attn.key_layernorm.weight.copy_(torch.linspace(0.2, 3, 8))
    rows, note = invariants._rotation(loaded, IDS)
    assert said in note and (said != "" or not note)
    assert len(rows) == (0 if name in ("gpt2", "hunyuan_v1_dense") else 2) and all(r.holds for r in rows)
    if "rope_parameters" in settings:
        assert all("factor of 1.139" in r.claim for r in rows)


def test_what_is_not_measured_is_handed_on() -> None:
    (note,) = measure_invariants(loaded_tiny("gpt2"), IDS, examples()).notes
    assert note.startswith("No rotary embedding")
    assert measure_invariants(loaded_tiny("llama"), IDS, examples()).notes == ()


def test_the_invariants_hold_where_heads_differ_between_layers() -> None:
    found = measure_invariants(loaded_of(tiny_model("gemma4_text", **UNLIKE_HEADS)), IDS, examples()).invariants
    assert len(found) == 11 and all(one.holds for one in found)


def test_what_holds_by_accident_does_not_count() -> None:
    assert Claim("c", 0.0, 1.0, 2.0, "v").holds and Claim("c", 0.0, 1.0, None, "").holds
    assert not Claim("c", 0.0, 1.0, 0.5, "v").holds
    assert not Claim("c", 2.0, 1.0, 3.0, "v").holds
    assert not Claim("c", float("nan"), 1.0, 3.0, "v").holds


@contextmanager
def damaged(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, other: Any) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, other)
        yield


def test_a_lost_scaling_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    with damaged(monkeypatch, recording, "scaled_logits", lambda raw, scaling, softcap: raw * scaling * 1.05):
        assert not only(measured("llama"), "equals the model's own").holds


def test_a_wrong_swap_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(a: torch.Tensor, b: torch.Tensor, basis: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        move = ((b - a) @ basis) @ basis.mT
        return a - move, b + move

    with damaged(monkeypatch, invariants, "swap_keys", wrong):
        found = measured("llama")
        assert not only(found, "full space").holds and not only(found, "twice").holds
        assert only(found, "empty space").holds


def test_a_wrong_covariance_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    true = invariants.contrastive_covariance

    def uneven(q: torch.Tensor, up: torch.Tensor, down: torch.Tensor) -> torch.Tensor:
        return true(q, up, down) * torch.linspace(1, 2, q.shape[1], dtype=torch.float64)

    with damaged(monkeypatch, invariants, "contrastive_covariance", uneven):
        found = measured("llama")
        assert not only(found, "mean logit gap").holds and not only(found, "rotated together").holds


def test_lost_parts_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    true = invariants.attribute_logits
    with damaged(monkeypatch, invariants, "attribute_logits", lambda *a: true(*a)[:, 1:]):
        assert not only(measured("llama"), "Parts plus remainder").holds


def test_a_wrong_head_map_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(
        self: recording.LayerAttention, heads: slice = slice(None), rows: slice = slice(None), keys: slice = slice(None)
    ) -> torch.Tensor:
        index = torch.arange(self.queries.shape[1])[heads] % self.keys.shape[1]
        return self.queries[:, heads, rows].float() @ self.keys[:, :, keys][:, index].float().mT

    with damaged(monkeypatch, recording.LayerAttention, "raw_logits", shifted):
        assert not only(measured("llama"), "reads key head").holds


def test_a_rotation_at_the_start_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = loaded_tiny("llama")
    rotary: Any = loaded.model.base_model.rotary_emb
    true = rotary.forward
    with damaged(monkeypatch, rotary, "forward", lambda x, position_ids: true(x, position_ids + 1)):
        assert not only(measured("llama"), "position 0 alone").holds
    assert only(measured("llama"), "position 0 alone").holds


def test_progress_is_told_and_can_stop_the_measurement() -> None:
    shares: list[float | None] = []
    measure_invariants(loaded_tiny("llama"), IDS, examples(), lambda share, _: shares.append(share))
    numbers = [s for s in shares if s is not None]
    assert numbers == sorted(numbers) and len(numbers) == 5


def test_the_head_in_question_exists_whatever_the_layers() -> None:
    loaded = loaded_tiny("llama")
    one = replace(loaded, facts=replace(loaded.facts, heads=1))
    assert {i.head for i in measure_invariants(one, IDS, examples()).invariants} == {0}
