"""Passes with one part changed on nodes of a cluster against those of one machine: the same, though one is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.engine.context import Context
from analysis.engine.residents import Residents
from analysis.engine.scheduler import TaskContext
from analysis.engine.spread import PAYS, Here
from analysis.engine.store import ResultStore
from analysis.errors import Cancelled, UserError
from analysis.models import pass_cost
from analysis.models.spec import ModelSpec
from analysis.qk.falls import runs_of
from analysis.qk.ops.parts import AblateParts, PartsCost, PatchParts, PathParts
from analysis.qk.ops.sites import PatchSites
from tests.unit.lossy import Lossy
from tests.unit.test_token_heads import TEXT, reader

OTHER = TEXT.replace("lamp", "rope")
ASKED = {
    "zero": AblateParts(text=TEXT, query=9, baseline="zero"),
    "other texts": AblateParts(text=TEXT, query=9, baseline="resampled"),
    "patch": PatchParts(text=TEXT, other=OTHER, what="key", at=3),
    "path": PathParts(text=TEXT, layer=3, head=1, baseline="other", other=OTHER),
    "sites": PatchSites(text=TEXT, other=TEXT.replace("lamp", "lantern"), site="mlp"),
}


class OnNodesContext(Context):
    """A context whose work is spread; ``told``: how far it is, in words."""

    def __init__(self, residents: Residents, store: ResultStore, spread: Any) -> None:
        super().__init__(residents, store)
        self.to, self.told = spread, list[tuple[float, str]]()
        self.on_progress = lambda value: self.told.append((value["share"], value["text"]))
        self.seconds = 0.0

    def spread(self, model: Any = None, seconds: float = 0.0) -> Any:
        """The one that was given."""
        self.seconds = seconds
        return self.to


@pytest.fixture
def context(tmp_path: Path) -> OnNodesContext:
    residents = Residents(limit=1)
    residents.put(reader())
    return OnNodesContext(residents, ResultStore(tmp_path), Here(reader()))


@pytest.mark.parametrize("name", ASKED)
def test_falls_on_nodes_are_those_of_one_machine_though_one_is_lost(context: OnNodesContext, name: str) -> None:
    alone = ASKED[name].run(context)
    said, context.told, context.to = context.told, [], Lossy(reader(), hands=2)
    nodes = ASKED[name].run(context)
    assert context.to.lost == ["falls_of_sites" if name == "sites" else "falls_of_parts"] and context.to.ray.works >= 4
    for array in (key for key, value in vars(alone).items() if isinstance(value, np.ndarray)):
        np.testing.assert_allclose(getattr(nodes, array), getattr(alone, array), rtol=0, atol=1e-6, err_msg=array)
    assert alone.total == nodes.total
    shares = [share for share, text in context.told if " of " in text]
    assert shares == sorted(shares)
    assert said[-1][1].split(",")[0].endswith("places" if name == "sites" else "heads and MLPs")
    assert context.seconds > 0


def test_a_cancelled_job_ends_on_nodes_too(context: OnNodesContext) -> None:
    context.to, calls = Lossy(reader(), hands=2, fatal=()), [0]

    def check() -> None:
        calls[0] += 1
        if calls[0] == 3:
            raise Cancelled

    context.check = check  # type: ignore[method-assign]
    with pytest.raises(Cancelled):
        ASKED["zero"].run(context)
    with pytest.raises(UserError, match="as many"):
        context.check = lambda: None  # type: ignore[method-assign]
        PatchParts(text=TEXT, other=OTHER + " more").run(context)


def test_what_is_too_long_for_one_machine_is_begun_where_nodes_share_it(
    context: OnNodesContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(context.model(ModelSpec()).extras, "seconds of a batch", 0.01)
    alone = PartsCost(text=TEXT, query=9).run(context)
    monkeypatch.setattr(pass_cost, "MOST_SECONDS", 0.6 * alone.seconds)
    with pytest.raises(UserError, match="are begun"):
        AblateParts(text=TEXT, query=9).run(context)
    context.to = Lossy(reader(), hands=2, fatal=())
    shared = PartsCost(text=TEXT, query=9).run(context)
    assert shared.seconds == pytest.approx(alone.seconds / 2) and not shared.refused
    assert AblateParts(text=TEXT, query=9).run(context).heads.shape == (4, 6)


def test_runs_have_whole_blocks_and_about_the_same_work() -> None:
    parts = [(layer, head) for layer in range(30) for head in range(-1, 9)]
    assert runs_of(parts, lambda part: part[0], 30, 1) == [tuple(parts)]
    runs = runs_of(parts, lambda part: part[0], 30, 2)
    assert len(runs) == 4 and [part for run in runs for part in run] == parts
    assert sum(len({layer for layer, _ in run}) for run in runs) == 30
    cost = [sum(30 - layer for layer, _ in run) for run in runs]
    assert max(cost) < 1.3 * min(cost)
    assert [len(run) for run in runs_of([0, 1], int, 2, 4)] == [1, 1]


def test_what_is_soon_done_is_done_here() -> None:
    given: list[Any] = []

    class Scheduler:
        residents, store, memory = Residents(), None, None

        def spread(self, model: Any, context: Any) -> str:
            given.append(model)
            return "nodes"

    context: Any = TaskContext(Scheduler(), None)  # type: ignore[arg-type]
    assert isinstance(context.spread("model", PAYS - 1), Here) and not given
    assert context.spread("model", PAYS + 1) == context.spread("model") == "nodes"
