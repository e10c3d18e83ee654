"""Training by the clock: as many games as the time allows, no rate left as it ends, and weights to bring home."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import torch

from analysis.othello import model as network
from analysis.othello.bundle import bundle
from analysis.othello.checkpoints import load_folder
from analysis.othello.timed import WARM, fitted, train_timed
from analysis.othello.training import Recipe, rate_at, read_log

SMALL = Recipe(layers=1, width=32, heads=2, games=100_000, batch=8, warm_up=64)


def test_a_run_ends_with_its_time_and_leaves_weights_in_half_precision(tmp_path: Path) -> None:
    ticks = iter(range(10**6))
    run = train_timed(SMALL, tmp_path, 4.0, device="cpu", tests=2, clock=lambda: float(next(ticks)))
    lines = list(read_log(tmp_path))
    assert lines[0]["recipe"]["games"] == 100_000 and lines[-1]["event"] == "end"
    planned = lines[-1]["planned"]
    assert WARM * SMALL.batch < run.games <= planned < 1000, "as many as the clock allows"
    assert rate_at(run.recipe, run.games) < 0.1
    tests = [line for line in lines if "loss" in line]
    assert tests[-1]["games"] == run.games and tests[-1]["train"] < 4.11
    half = load_folder(tmp_path / "half")
    assert all(torch.equal(p, run.master[n].half().float()) for n, p in half.named_parameters())
    at = bundle(tmp_path, tmp_path / "data" / "model")  # what is brought home is bundled like any run
    assert all(torch.equal(p, q) for p, q in zip(load_folder(at).parameters(), half.parameters(), strict=True))


def test_the_plan_follows_the_speed_until_the_rate_falls() -> None:
    run = SimpleNamespace(games=1000, recipe=replace(SMALL, games=10_000))
    assert fitted(SMALL, run, (0.0, 0), 10.0, 60.0).games == 1000 + 100 * 50  # type: ignore[arg-type]
    assert fitted(SMALL, run, (0.0, 0), 10.0, 10_000_000.0).games == SMALL.games, "never more than was asked for"  # type: ignore[arg-type]
    run.games = 7000  # the rate falls from 6,000 on
    assert fitted(SMALL, run, (0.0, 0), 10.0, 60.0) is run.recipe  # type: ignore[arg-type]


def test_large_weights_lie_in_parts_and_open_as_one(tmp_path: Path) -> None:
    model = network.build(network.othello_config(layers=2, width=512, heads=8))
    network.save(model, tmp_path)
    parts = sorted(tmp_path.glob("*.safetensors"))
    assert len(parts) > 1 and all(part.stat().st_size < 16e6 for part in parts)
    assert all(torch.equal(p, q) for p, q in zip(load_folder(tmp_path).parameters(), model.parameters(), strict=True))
