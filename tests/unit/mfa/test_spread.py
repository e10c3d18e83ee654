"""A fit whose passes are made on shards of the store against the same fit on the rows in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from analysis.activations.recipe import Recipe
from analysis.activations.rows import StoreRows
from analysis.activations.store import ActivationStore
from analysis.engine.memory import Memory
from analysis.engine.spread import PAYS, Spread
from analysis.errors import Cancelled
from analysis.mfa import pipeline
from analysis.mfa.em import Worst, expect
from analysis.mfa.estimator import MixtureOfFactorAnalyzers
from analysis.mfa.pipeline import Wanted
from analysis.mfa.spread import Shards
from analysis.models.capture import Captured
from analysis.models.sites import Site
from analysis.progress import Check, no_check
from tests.unit.lossy import Lossy
from tests.unit.wired import Wired

SITE = Site(1)
HELD, SEED, ROWS = 0.2, 3, 1_900


def store_in(folder: Path) -> ActivationStore:
    """2,000 activations of 12 dimensions around eight places, in several shards on disk."""
    g = torch.Generator().manual_seed(0)
    centre, axis = 4 * torch.randn(8, 12, generator=g), torch.randn(8, 12, generator=g)
    which = torch.randint(8, (2_000,), generator=g)
    points = (
        centre[which] + axis[which] * torch.randn(2_000, 1, generator=g) + 0.3 * torch.randn(2_000, 12, generator=g)
    )
    found = ActivationStore(folder, Recipe("m", "f", "float32", (SITE,), "c"), shard_rows=300)
    with found.writing():
        for n, part in enumerate(points.split(25)):
            number = torch.arange(len(part), dtype=torch.int32)
            found.append(Captured({SITE: part}, number, torch.full_like(number, n), number))
            found.commit(n + 1)
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    """A store on disk."""
    return store_in(tmp_path_factory.mktemp("spread"))


CALLS: set[str] = set()


class Counted(Wired):
    """Notes what is computed elsewhere."""

    def __init__(self, hands: int) -> None:
        super().__init__(hands=hands)

    def __call__(self, function: Any, *rest: Any, **options: Any) -> Any:
        """As :class:`Wired`."""
        CALLS.add(function.__name__)
        return super().__call__(function, *rest, **options)


def rows_of(store: ActivationStore, held: bool) -> StoreRows:
    """The rows to fit, or those held out."""
    count = int(store.split(HELD, SEED, ROWS)[held].sum())
    return StoreRows(str(store.path), SITE, ROWS, HELD, SEED, held, 0, count)


def fitted(
    store: ActivationStore, spread: Spread | None, noise: str = "shared", check: Check = no_check
) -> MixtureOfFactorAnalyzers:
    """A fit of more regions than there are, so that some are moved."""
    masks = store.split(HELD, SEED, ROWS)
    kept, held = (store.read(SITE, mask) for mask in masks)
    shards = None if spread is None else Shards(spread, rows_of(store, False), rows_of(store, True), check)
    made = MixtureOfFactorAnalyzers(12, 2, noise=noise, batch_size=128, max_iter=8, tol=0.0)  # type: ignore[arg-type]
    return made.fit(kept, validation=held, shards=shards)


@pytest.mark.parametrize("noise", ["shared", "component"])
def test_a_fit_on_shards_is_that_on_the_rows_in_memory(store: ActivationStore, noise: str) -> None:
    nodes = Lossy(fatal=(5, 22, 30))
    plain, one, three, lost = (fitted(store, spread, noise) for spread in (None, Counted(1), Counted(3), nodes))
    assert len(nodes.lost) == 3 and set(nodes.lost) <= CALLS
    for other in (one, three, lost):
        assert other.n_iter_ == plain.n_iter_ and other.reseeded_ == plain.reseeded_
        assert other.score_ == pytest.approx(plain.score_, abs=1e-6)
        for name in ("weights", "means", "loadings", "noise"):
            ours, theirs = getattr(other.parameters_, name), getattr(plain.parameters_, name)
            assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6)  # sums of float64 in another order
    assert CALLS == {"nearest_means", "e_step", "held_score"}


def test_the_worst_points_of_all_shards_are_those_of_all_rows(store: ActivationStore) -> None:
    points, plain = store.read(SITE, store.split(HELD, SEED, ROWS)[0]), fitted(store, None)
    parameters, found = plain.parameters_, []
    shards = Shards(Wired(hands=3), rows_of(store, False), rows_of(store, True))
    passes, _ = shards.passes(torch.zeros(12, dtype=torch.float64), 1.0, 128)
    for batches in (points.split(128), passes):
        worst = Worst(20)
        sums = expect(parameters, batches, worst=worst)
        found.append((sums, *worst.kept()))
    assert torch.equal(found[0][1], found[1][1]) and torch.equal(found[0][3], found[1][3])  # type: ignore[arg-type]
    assert len(points) == found[0][0].rows == found[1][0].rows
    assert torch.allclose(found[0][0].cross, found[1][0].cross, rtol=1e-12)


def test_a_check_that_raises_ends_the_fit(store: ActivationStore) -> None:
    def check() -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        fitted(store, Wired(hands=2), check=check)


def test_shards_are_all_rows_once_and_begin_with_whole_batches(store: ActivationStore) -> None:
    mask, whole = store.split(HELD, SEED, ROWS)[0], rows_of(store, False)
    memory = Memory()
    for hands in (1, 3, 50):
        parts = whole.shards(128, hands)
        assert len(parts) <= 2 * hands and all(part.first % 128 == 0 for part in parts)
        assert torch.equal(torch.cat([part.points(memory) for part in parts]), store.read(SITE, mask))
    assert parts[0].points(memory) is parts[0].points(memory)


def test_passes_that_are_soon_made_stay_on_one_machine(store: ActivationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, nodes = Wanted(SITE, ROWS, 12, 2), Wired(hands=2)
    monkeypatch.setattr(pipeline, "_matmul_rate", lambda device: 1e9)
    seconds = pipeline.pass_seconds(wanted, ROWS, 12)
    assert seconds == pytest.approx(2e-9 * ROWS * 12 * 12 * (3 * 16 + 10)) and seconds < PAYS
    assert pipeline.shards_of(store, wanted, ROWS, (1_500, 400), nodes) is None
    monkeypatch.setattr(pipeline, "_matmul_rate", lambda device: 1e9 * seconds / (1.1 * PAYS))
    found = pipeline.shards_of(store, wanted, ROWS, (1_500, 400), nodes)
    assert found is not None and (found.kept.stop, found.held.stop, found.held.held) == (1_500, 400, True)
    assert pipeline.shards_of(store, wanted, ROWS, (1_500, 400), Wired(hands=1)) is None
