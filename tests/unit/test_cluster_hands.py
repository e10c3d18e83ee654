"""Hands of a cluster without one: a stand-in for what Ray answers, and the code that uses it as it is."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from analysis.cluster import hands as hands_module
from analysis.cluster import link as linking
from analysis.cluster import spread as spreading
from analysis.cluster.nodes import model_there, wanted
from analysis.cluster.spread import OnNodes, spread_of
from analysis.cluster.trial import Rows, Trial, add_rows
from analysis.engine.context import Context
from analysis.engine.residents import Residents
from analysis.engine.spread import Here, here
from analysis.errors import UserError
from analysis.models.loader import load_model
from analysis.models.spec import ModelSpec
from benchmarks.architectures import saved, tiny
from tests.unit.lossy import NodeHands, StandIn

COMMON = Trial(np.array([1.0, 0.5]))
SHARDS = [Rows(n * 3, n * 3 + 3) for n in range(12)]


@pytest.fixture
def ray(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    monkeypatch.setattr(hands_module, "FRESH", -1.0)
    return StandIn(("a", {"room": "lab"}), ("b", {"room": "lab"}), ("c", {}))


def totals(parts: list[Any]) -> list[list[float]]:
    return [part.total.tolist() for part in parts]


def test_two_nodes_that_go_together_cost_their_shards_alone(ray: StandIn) -> None:
    spread = OnNodes(NodeHands(ray), "cpu", None, Context())
    held, calls = spread._held, [0]

    def check() -> None:
        calls[0] += 1
        if calls[0] == 3:  # one dies while it works, and the list of nodes tells of another in the same moment
            first, second, _ = held.of("cpu")
            ray.listed = ray.listed[2:]
            second.actor.alive = False
            assert first.actor is not None

    assert totals(list(spread(add_rows, COMMON, SHARDS, check=check))) == totals(list(here(add_rows, COMMON, SHARDS)))
    assert calls[0] > 3 and [hand.key[0] for hand in held.of("cpu")] == ["c"]


def test_a_label_of_workers_is_one_of_hands(ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert [hand.key[0] for hand in NodeHands(ray).of("cpu")] == ["a", "b", "c"]
    monkeypatch.setenv("ATTUNE_WORKER_LABEL", "room=lab")
    assert [hand.key[0] for hand in NodeHands(ray).of("cpu")] == ["a", "b"]


def test_parts_that_wait_for_an_early_one_are_bounded(ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    def most(bytes_: int) -> int:
        """The shards that are worked on while the first one is."""
        monkeypatch.setattr(spreading, "WAITING", bytes_)
        ray.first_is_slow, rounds, before = True, [0], ray.works

        def check() -> None:
            rounds[0] += 1
            if rounds[0] == 20:
                given.append(ray.works - before)
                ray.first_is_slow = False

        given: list[int] = []
        made = OnNodes(NodeHands(ray), "cpu", None, Context())(add_rows, COMMON, SHARDS, check=check)
        assert totals(list(made)) == totals(list(here(add_rows, COMMON, SHARDS)))
        return given[0]

    assert most(1 << 30) >= 10 and most(1) <= 4


def test_a_head_that_gives_no_list_keeps_nobody(ray: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hands_module, "PATIENCE", 0.05)
    held = NodeHands(ray)
    known = held.of("cpu")
    ray.head.clear()
    began = time.monotonic()
    assert [held.of("cpu") for _ in range(3)] == [known] * 3 and time.monotonic() - began < 1
    ray.listed = ray.listed[:2]
    ray.head.set()
    deadline = time.monotonic() + 5
    while len(held.of("cpu")) != 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_work_before_the_link_to_the_cluster_is_done_here(monkeypatch: pytest.MonkeyPatch) -> None:
    began, answer = threading.Event(), threading.Event()

    def slow() -> None:
        began.set()
        answer.wait(5)
        raise UserError("The cluster does not answer.", "ray")

    monkeypatch.setattr(linking, "link", slow)
    monkeypatch.setitem(linking.sys.modules, "ray", SimpleNamespace(is_initialized=lambda: False))
    start = time.monotonic()
    assert isinstance(spread_of(None, Context()), Here) and isinstance(spread_of(None, Context()), Here)
    assert time.monotonic() - start < 1 and began.wait(5)
    answer.set()
    deadline = time.monotonic() + 5
    while linking._trying.locked():
        assert time.monotonic() < deadline
    monkeypatch.setitem(linking.sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))
    assert linking.link_aside()


def test_a_node_works_with_the_askers_weights_to_the_last_one_or_not_at_all(tmp_path: Path) -> None:
    made = tiny("llama")
    made.resize_token_embeddings(1024)
    spec = ModelSpec(str(saved(made, tmp_path / "model")), device="cpu")
    theirs = Residents()
    asked = load_model(spec)
    assert model_there(theirs, wanted(asked), fresh=True).facts.fingerprint == asked.facts.fingerprint
    weight: Any = asked.model.get_input_embeddings().weight
    asked.model.save_pretrained(tmp_path / "model")
    before = theirs.get(spec)
    assert model_there(theirs, wanted(load_model(spec)), fresh=True) is before, "saved over with the same weights"
    place = weight.numel() - 1
    step = max(1, weight.numel() // 4096)
    assert step > 1 and place % step, "a weight that the fingerprint does not sample"
    with torch.no_grad():
        weight.view(-1)[place] += 1
    asked.model.save_pretrained(tmp_path / "model")
    new = load_model(spec)
    assert new.facts.fingerprint == before.facts.fingerprint
    with pytest.raises(UserError, match="weights of the model of this name are not the same"):
        model_there(theirs, wanted(new), fresh=False)
    taken = model_there(theirs, wanted(new), fresh=True)
    ids = torch.tensor([[1, 2, 3]])
    assert torch.equal(taken.forward(ids, logits=True), new.forward(ids, logits=True))
    with pytest.raises(UserError, match="are not the same there"):  # an asker that has not read them again
        model_there(theirs, wanted(replace(before, extras={})), fresh=True)
