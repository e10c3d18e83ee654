"""Shards on a real Ray cluster of three nodes on this machine: the same sums, though a process is lost on
the way. Nodes that go are those of tests/unit/test_cluster_hands.py and tests/service/test_cluster.py."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from analysis.activations import collect as collecting
from analysis.activations.collect import collect, recipe_of
from analysis.activations.store import ActivationStore
from analysis.cluster.hands import Hand, hands
from analysis.cluster.link import VARIABLE, link
from analysis.cluster.spread import OnNodes, spread_of
from analysis.cluster.trial import Rows, Sums, Trial, add_rows
from analysis.corpora.passages import Passage
from analysis.engine.context import Context
from analysis.engine.spread import here
from analysis.errors import Cancelled, UserError
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import load_model
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from tests.unit.mfa.test_spread import fitted, store_in
from tests.unit.tiny_models import tiny_model

QUICK, SLOW = (Trial(np.array([1.0, 0.5]), pause) for pause in (0.0, 0.01))
SHARDS = [Rows(n * 30, n * 30 + 30) for n in range(9)]
WORDS = "the a cat dog sat ran on in red blue and then".split()
EXPECTED = [part.total for part in here(add_rows, QUICK, SHARDS)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Three nodes of one CPU each, of which this process is on the first; the last may read no model."""
    import ray
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.last = made.add_node(num_cpus=1, env_vars={"ATTUNE_MODEL_ROOT": str(tmp_path_factory.mktemp("no models"))})
    os.environ[VARIABLE] = made.address
    before = os.environ.get("ATTUNE_HOME")
    os.environ["ATTUNE_HOME"] = str(tmp_path_factory.mktemp("home"))
    link()
    try:
        yield made
    finally:
        del os.environ[VARIABLE], os.environ["ATTUNE_HOME"]
        if before is not None:
            os.environ["ATTUNE_HOME"] = before
        ray.shutdown()
        made.shutdown()


@pytest.fixture
def nodes(cluster: Any) -> OnNodes:
    """The spread over all nodes, of which some may have to begin again."""
    found = spread_of(None, Context())
    assert isinstance(found, OnNodes)
    return found


def all_up(spread: OnNodes) -> None:
    """Wait until each node has begun, and the model of the work is on each that may have it."""
    deadline = time.monotonic() + 60
    while any(not hand.holds for hand in hands().of("cpu")):
        assert time.monotonic() < deadline
        list(spread(add_rows, SLOW, SHARDS[:1]))


def up(kind: str) -> list[Hand]:
    """The hands that are known to hold a model ("spec"), or to need none ("null")."""
    return [hand for hand in hands().of("cpu") if any(kind in name for name in hand.holds)]


def kill_one(after: int, kind: str, last: Any) -> Callable[[], None]:
    """A check that, at its call of that number, ends the process of one node that holds such a thing."""
    calls = [0]

    def check() -> None:
        calls[0] += 1
        if calls[0] == after:
            hands().ray.kill(next(h for h in up(kind) if h.key[0] != last.node_id).actor)

    return check


def totals(parts: list[Sums]) -> bool:
    """Whether these are the parts of all shards, in their order."""
    return all(np.array_equal(part.total, total) for part, total in zip(parts, EXPECTED, strict=True))


def test_the_sums_are_those_of_the_loop_and_shards_go_back_to_their_node(nodes: OnNodes) -> None:
    all_up(nodes)
    shares: list[float] = []
    first = list(nodes(add_rows, SLOW, SHARDS, progress=lambda share, text="", **facts: shares.append(share or 0.0)))
    again = list(nodes(add_rows, SLOW, SHARDS))
    assert totals(first) and totals(again)
    assert nodes.hands == 3 and len({part.process for part in first} - {os.getpid()}) == 3
    assert shares == sorted(shares) and 0 < shares[0] and 0.7 < shares[-1] <= 1
    same = [a.process == b.process and b.before == a.before + 1 for a, b in zip(first, again, strict=True)]
    assert sum(same) >= 6  # at the end a free node takes what waits for another


def test_the_end_reaches_every_shard_within_a_row_and_the_nodes_go_on(nodes: OnNodes) -> None:
    began = time.monotonic()

    def check() -> None:
        if time.monotonic() - began > 0.4:
            raise Cancelled

    with pytest.raises(Cancelled):
        list(
            nodes(
                add_rows, Trial(QUICK.weights, 0.05), [Rows(n * 1000, n * 1000 + 1000) for n in range(3)], check=check
            )
        )
    assert totals(list(nodes(add_rows, QUICK, SHARDS)))
    assert time.monotonic() - began < 10  # each of the three would have taken 50 seconds


def test_what_a_shard_raises_is_raised_here(nodes: OnNodes, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(UserError, match=r"^Fewer rows\.$") as refusal:
        list(nodes(add_rows, QUICK, [*SHARDS, Rows(0, 1, refuse="Fewer rows.")]))
    assert refusal.value.field == "rows"
    with caplog.at_level(logging.ERROR), pytest.raises(RuntimeError, match="ZeroDivisionError"):
        list(nodes(add_rows, QUICK, [Rows(0, 1, fail=True)]))
    assert "this trial fails on purpose" in caplog.text and "add_rows" in caplog.text


def test_a_mixture_is_fitted_though_a_process_is_lost(cluster: Any, nodes: OnNodes, tmp_path: Path) -> None:
    store = store_in(tmp_path / "store")
    plain, spread = fitted(store, None), fitted(store, nodes, check=kill_one(20, "null", cluster.last))
    assert spread.n_iter_ == plain.n_iter_
    assert torch.allclose(spread.parameters_.loadings, plain.parameters_.loadings, rtol=1e-5, atol=1e-6)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny model in a folder, as the nodes can load it."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path_factory.mktemp("tiny") / "model"
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(["<unk>", *WORDS])}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    tiny_model("llama").save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>").save_pretrained(folder)
    return load_model(ModelSpec(str(folder)))


def test_collecting_leaves_a_node_out_and_loses_one_and_makes_the_same_store(
    nodes: OnNodes, loaded: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    monkeypatch.setattr(collecting, "CHUNK_CHARACTERS", 400)
    rng = np.random.default_rng(0)
    passages = [Passage(" ".join(rng.choice(WORDS, rng.integers(5, 60)))) for _ in range(300)]
    recipe = recipe_of(loaded, passages, [Site(1)])
    wanted = {"max_tokens": 6000, "batch_tokens": 128}
    plain = collect(loaded, passages, [Site(1)], ActivationStore(tmp_path / "plain", recipe), **wanted)
    spread = spread_of(loaded, Context())
    assert isinstance(spread, OnNodes)
    with caplog.at_level(logging.WARNING):
        while not up("spec") or "is left out" not in caplog.text:
            list(spread(add_rows, SLOW, SHARDS[:2]))
    (part,) = spread(add_rows, QUICK, SHARDS[:1])
    assert part.model == loaded.facts.fingerprint
    said: list[str] = []

    def lose(share: float | None, text: str = "", **facts: Any) -> None:
        said.append(text)
        if len(said) == 3:  # the process that computes on one node
            hands().ray.kill(up("spec")[0].actor)

    store = ActivationStore(tmp_path / "spread", recipe)
    collect(loaded, passages, [Site(1)], store, spread=spread, progress=lose, **wanted)
    sums = [[entry["sha256"] for entry in found.shards.entries] for found in (plain, store)]
    assert sums[0] == sums[1] and store.rows >= 6000
    assert "is left out" in caplog.text and "reads local models from one folder only" in caplog.text
    assert "tokens per second" in said[-2] and len(said) > 3
