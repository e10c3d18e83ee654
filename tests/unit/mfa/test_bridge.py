"""The study of the bridge: cells are kept as they come, and its shares are of means, themes and prompts drawn anew."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from analysis.mfa import bridge
from analysis.mfa.bridge import ARMS, TARGET, Bridge, tables
from analysis.models.sites import Site
from analysis.steering.parts import PARTS, SETS
from tests.service.test_steering_operations import tiny


def test_cells_are_kept_as_they_come_and_go_on_where_they_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "PROMPTS", ("the lamp is kept in", "the key is"))
    loaded, path = tiny(), tmp_path / "kept.jsonl"
    means = 40 * torch.randn(5, loaded.facts.hidden, generator=torch.Generator().manual_seed(0))
    fit: Any = SimpleNamespace(
        site=Site(1), mean=means.mean(0), usable=list(range(5)), parameters=SimpleNamespace(means=means)
    )
    study = Bridge(loaded, fit, path)
    study.measure("tools", 2, ("lamp", "box"), 1)
    arms = study.kept["tools", 1]["arms"]
    assert set(arms) == set(ARMS) and all(len(of["words"]) == len(SETS) for of in arms.values())
    assert all(abs(of["kl"] - TARGET) <= 0.02 * TARGET for of in arms.values() if of["met"])
    assert len({of["words"][-1] for of in arms.values()}) == len(ARMS)
    whole = path.read_text("utf-8")
    path.write_text(whole + whole[:20], "utf-8")  # stopped in the middle of a line
    again = Bridge(loaded, fit, path)
    again.measure("tools", 2, ("lamp", "box"), 1)
    assert again.kept == study.kept and path.read_text("utf-8") == whole


def effect(patterns: float, values: float, mlps: float, direct: float) -> list[float]:
    of = dict(zip(PARTS, (patterns, values, mlps), strict=True))
    return [direct + sum(of[part] for part in some) for some in SETS]


def test_shares_are_of_the_mean_effect_and_sum_to_one() -> None:
    cells = [effect(0.1, 0.4, 0.4, 0.1), effect(0.3, 1.2, 1.2, 0.3)]
    other = [effect(0.5, 0.5, 0.0, 0.0)] * 2

    def arm(values: list[float]) -> dict[str, Any]:
        return {"words": values, "raised": values, "met": True, "kl": 0.25, "strength": 1.0}

    kept = {
        (theme, n): {"arms": {ARMS[0]: arm(cells[n]), ARMS[1]: arm(other[n]), ARMS[2]: arm(other[n])}}
        for theme in ("a", "b")
        for n in range(2)
    }
    found = tables(["a", "b"], kept, 2)
    own = next(row for row in found["arms"] if row["arm"] == ARMS[0] and row["on"] == "words")
    assert own["effect"][0] == 2.0 and own["effect"][1] == 1.0 and own["effect"][2] == 3.0
    assert [share[0] for share in own["shares"]] == pytest.approx([0.1, 0.4, 0.4, 0.1])
    assert own["stays with it held"][0] == pytest.approx([0.9, 0.9, 0.9])
    minus = found["region minus random region, on what each raises"]
    assert [row[0] for row in minus] == pytest.approx([-0.4, -0.1, 0.4, 0.1])
    assert found["themes"][0]["effect"] == 2.0 and np.isclose(sum(found["themes"][1]["shares"]), 1)
