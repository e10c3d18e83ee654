"""The study of themes: texts under pushes of one price, kept as they are written, and the table of their shares."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from analysis.mfa import theme_shares
from analysis.mfa.theme_shares import ARMS, PROMPTS, TARGET, Study, Theme, region_of, tables
from analysis.models.sites import Site
from tests.service.test_steering_operations import tiny

WORDS = ("ship", "boat")


def test_texts_are_kept_as_they_are_written_and_go_on_where_they_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(theme_shares, "COUNT", 3)
    loaded, path = tiny(), tmp_path / "kept.jsonl"
    means = 40 * torch.randn(5, loaded.facts.hidden, generator=torch.Generator().manual_seed(0))
    fit: Any = SimpleNamespace(
        site=Site(1), mean=means.mean(0), usable=list(range(5)), parameters=SimpleNamespace(means=means)
    )
    theme = Theme("sea", WORDS, 2, means[0])
    study = Study(loaded, fit, path)
    for seed in (0, 1):
        study.write(theme, seed)
    study.write(None, 0)
    rows = study.kept
    assert {arm: len(row["texts"]) for arm, row in rows["sea", 0]["arms"].items()} == dict.fromkeys(
        ARMS[1:], len(PROMPTS)
    )
    of = rows["sea", 0]["arms"]["region"]
    assert all(abs(kl - TARGET) <= 0.02 * TARGET for kl, met in zip(of["kl"], of["met"], strict=True) if met)
    assert rows["sea", 1]["arms"]["region"]["strength"] == of["strength"]
    again, length = Study(loaded, fit, path), path.stat().st_size
    again.write(theme, 1)
    assert again.kept == rows and path.stat().st_size == length


def row(*texts: str) -> dict[str, Any]:
    return {"texts": list(texts), "kl": [0.25] * 2, "met": [True, False], "repetition": [0.5] * len(texts)}


def test_the_table_counts_texts_by_theme_and_over_all() -> None:
    kept = {
        ("", 0): {"arms": {"unsteered": row("a boat", "b")}},
        ("sea", 0): {
            "arms": {ARMS[1]: row("ships", "a ship"), ARMS[2]: row("c", "shipping"), ARMS[3]: row("boat", "")}
        },
    }
    found = tables([Theme("sea", WORDS, 2, torch.zeros(3))], kept, 1)
    assert [(r["arm"], r["with"], r["texts"]) for r in found["rows"]] == list(
        zip(ARMS, (1, 2, 0, 1), (2,) * 4, strict=True)
    )
    assert found["arms"]["region"]["share"] == [1.0, 1.0, 1.0] and found["arms"]["region"]["unmet"] == 1
    assert found["arms"]["region"]["minus random region"][0] == 1.0 and found["rows"][1]["repetition"] == 0.5


def test_a_theme_has_the_region_that_is_most_surely_of_it() -> None:
    rows = [
        {"region": n, "theme": theme, "size": size, "texts": 9, "purity_low": purity}
        for n, (theme, size, purity) in enumerate([("a", 100, 0.2), ("a", 100, 0.4), ("a", 9, 0.9), ("b", 10, 0.9)])
    ]
    fit: Any = SimpleNamespace(manifest={"regions": rows})
    assert region_of(fit, "a") == 1 and region_of(fit, "b") is None
