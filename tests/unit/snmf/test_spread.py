"""A factorization whose steps are made on shards of the store against the same one on the tokens in memory."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from analysis.activations.recipe import Recipe
from analysis.activations.store import ActivationStore
from analysis.errors import Cancelled
from analysis.models.capture import Captured
from analysis.models.sites import Site
from analysis.snmf.semi_nmf import SemiNMF
from analysis.snmf.spread import Shards
from tests.unit.lossy import Lossy
from tests.unit.wired import Wired

SITE = Site(1, "mlp_hidden")


class Forgetful(Wired):
    """Nodes that are new at every second call, as when they are lost."""

    calls = 0

    def __call__(self, *given: Any, **options: Any) -> Any:
        """As :class:`Wired`."""
        self.calls += 1
        if self.calls % 2 == 0:
            for node in self._nodes:
                node._memory.clear()
        return super().__call__(*given, **options)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    """400 tokens of 60 neurons, sums of six signed groups of six."""
    g = torch.Generator().manual_seed(1)
    features = torch.zeros(6, 60)
    for k in range(6):
        features[k, 6 * k : 6 * k + 6] = torch.randn(6, generator=g)
    used = torch.rand(400, 6, generator=g) * (torch.rand(400, 6, generator=g) < 0.3)
    points = used @ features + 0.01 * torch.randn(400, 60, generator=g)
    found = ActivationStore(tmp_path_factory.mktemp("spread"), Recipe("m", "f", "float32", (SITE,), "c"), shard_rows=90)
    with found.writing():
        for n, part in enumerate(points.split(20)):
            number = torch.arange(len(part), dtype=torch.int32)
            found.append(Captured({SITE: part}, number, torch.full_like(number, n), number))
            found.commit(n + 1)
    return found


@pytest.mark.parametrize("way", [Wired, Forgetful, partial(Lossy, fatal=(15,))])
def test_steps_on_shards_are_those_on_the_tokens_in_memory(store: ActivationStore, way: Any) -> None:
    chosen = torch.rand(store.rows, generator=torch.Generator().manual_seed(2)) < 0.7
    x = store.read(SITE, chosen)
    spread = way(hands=3)
    plain, other = (
        SemiNMF(6, sparsity=0.1, init="random", max_iter=6, patience=30).fit(x, shards=shards)
        for shards in (None, Shards(spread, store, SITE, chosen))
    )
    assert other.n_iter_ == plain.n_iter_ == 6 and other.best_iter_ == plain.best_iter_
    assert other.loss_curve_ == pytest.approx(plain.loss_curve_, rel=1e-4)
    scale = float(plain.components_.abs().max()), float(plain.activations_.max())
    assert torch.allclose(other.components_, plain.components_, atol=1e-4 * scale[0])  # products in float32
    assert torch.allclose(other.activations_, plain.activations_, atol=1e-4 * scale[1])
    assert other.explained_ == pytest.approx(plain.explained_, abs=1e-6) and plain.explained_ > 0.5
    assert not isinstance(spread, Lossy) or spread.lost == ["step"]
    if isinstance(spread, Forgetful):
        assert spread.calls >= 8  # those that lacked their activations were asked again


def test_a_check_that_raises_ends_the_fit(store: ActivationStore) -> None:
    def check() -> None:
        raise Cancelled

    chosen = torch.ones(store.rows, dtype=torch.bool)
    with pytest.raises(Cancelled):
        SemiNMF(4).fit(store.read(SITE), shards=Shards(Wired(hands=2), store, SITE, chosen, check))
