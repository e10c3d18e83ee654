"""Training small: the loss falls, an interrupted run ends where an uninterrupted one does, and it leaves a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from analysis.othello import training
from analysis.othello.checkpoints import load_folder
from analysis.othello.games import random_games
from analysis.othello.training import Recipe, rate_at, read_log, train

SMALL = Recipe(layers=1, width=32, heads=2, games=640, batch=32, warm_up=64)


class Interrupted(Exception):
    pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    train(SMALL, folder, test_every=320)
    return folder


def _masters(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "master.safetensors")


def _interrupted(recipe: Recipe, folder: Path, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that dies in its next step, with everything kept after each of the steps before."""
    step, done = training.Run.step, [0]

    def dying(run: training.Run) -> float:
        if done[0] == after:
            raise Interrupted
        done[0] += 1
        return step(run)

    with monkeypatch.context() as patch:
        patch.setattr(training.Run, "step", dying)
        with pytest.raises(Interrupted):
            train(recipe, folder, keep_every=-1.0)


def test_loss_falls(whole: Path) -> None:
    tests = [line for line in read_log(whole) if "loss" in line]
    assert [line["games"] for line in tests] == [320, 640]
    assert tests[1]["loss"] < tests[0]["loss"] < 4.11 and tests[1]["train"] < tests[0]["train"]
    assert tests[1]["loss"] < 4.0 and abs(tests[1]["above"] - (tests[1]["loss"] - 2.010)) < 0.02
    assert 0 < tests[1]["illegal"] < 1


def test_log_tells_the_recipe_and_the_end(whole: Path) -> None:
    lines = list(read_log(whole))
    assert lines[0]["event"] == "start" and Recipe(**lines[0]["recipe"]) == SMALL
    assert lines[-1]["event"] == "end" and lines[-1]["games"] == 640


def test_what_is_left_is_a_model(whole: Path) -> None:
    model = load_folder(whole)
    assert (model.config.n_layer, model.config.n_embd, model.config.n_head) == (1, 32, 2)
    masters = _masters(whole)
    assert all(torch.equal(p, masters[name]) for name, p in model.named_parameters())


@pytest.mark.parametrize("target", ["move", "legal"])
def test_interrupted_run_goes_on_bit_for_bit(
    target: str, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = replace(SMALL, target=target)
    if target == "legal":
        whole = tmp_path / "whole"
        train(recipe, whole)
    broken = tmp_path / "broken"
    _interrupted(recipe, broken, 7, monkeypatch)
    assert not (broken / "config.json").exists()
    _interrupted(recipe, broken, 4, monkeypatch)
    train(recipe, broken)
    assert [line["games"] for line in read_log(broken) if line.get("event") == "start"] == [0, 7 * 32, 11 * 32]
    a, b = _masters(whole), _masters(broken)
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


def test_finished_run_is_left_as_it_is(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    folder.mkdir()
    for file in whole.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    train(SMALL, folder)
    assert all(torch.equal(v, _masters(folder)[k]) for k, v in _masters(whole).items())


def test_every_game_is_met_once_and_none_of_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, int]] = []

    def noted(n: int, seed: int, *, first: int = 0, threads: int | None = None) -> object:
        asked.append((seed, first, n))
        return random_games(n, seed, first=first, threads=threads)

    monkeypatch.setattr(training, "random_games", noted)
    train(replace(SMALL, games=96), tmp_path)
    assert [(first, n) for seed, first, n in asked if seed == SMALL.seed] == [(0, 32), (32, 32), (64, 32)]
    assert {seed for seed, _, _ in asked} == {SMALL.seed, training.TEST_SEED} and SMALL.seed != training.TEST_SEED


def test_rate_goes_up_stays_and_comes_down() -> None:
    recipe = Recipe(games=1000, warm_up=100, decay=0.4)
    assert [rate_at(recipe, g) for g in (0, 50, 100, 600)] == [0, 0.5, 1, 1]
    assert rate_at(recipe, 800) == pytest.approx(0.5) and rate_at(recipe, 1000) == 0 == rate_at(recipe, 1200)


def test_exact_target_is_another_run_of_the_same_games(whole: Path, tmp_path: Path) -> None:
    """Its gradient has the same mean and less noise, so that on so few games the two stay close."""
    train(replace(SMALL, target="legal"), tmp_path)
    ends = [[line for line in read_log(f) if "loss" in line][-1]["loss"] for f in (whole, tmp_path)]
    assert ends[0] != ends[1] and abs(ends[0] - ends[1]) < 0.05
