"""Train an OthelloGPT on an accelerator that is lent for some minutes: as many games as the time allows.

    python -m analysis.othello.timed --out FOLDER --minutes 9 [--layers 8 --width 512 --heads 8 --device cuda --compile]

The same run as `training`, in four things different. The number of games is no setting: it is told from the speed while
the rate still stands, so that the rate falls to nothing as the time ends, whatever the device is worth. Batches are
made ahead on all cores, while the device learns. The loss is not waited for at each step. And at the end weights lie
there in half precision, in parts of at most 15 MB, with the log, to be brought home.

Never run on an accelerator so far: tried on a CPU, at tiny size (tests/unit/othello/test_timed.py).
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import torch

from analysis.othello.games import random_games
from analysis.othello.model import build, othello_config, save
from analysis.othello.training import TEST_SEED, Batch, Recipe, Run, batch_of, say

PAPER = Recipe(layers=8, width=512, heads=8, games=20_000_000, batch=1024, rate=1e-3, muon_rate=2e-3, warm_up=200_000)
"""The papers' network and their number of games, which is the most that a run takes; the drawn move is the target."""
AHEAD = 4
"""Batches that are made ahead."""
WARM = 20
"""Steps before the speed is believed: the first ones compile."""
END = 0.05
"""Share of the time that is kept for testing and writing."""


def train_timed(
    recipe: Recipe,
    folder: Path,
    minutes: float,
    *,
    device: str = "cuda",
    compiled: bool = False,
    tests: int = 8,
    clock: Callable[[], float] = time.monotonic,
) -> Run:
    """Train for so many minutes, or to ``recipe.games`` if that is sooner; ``tests``: how often it is tested meanwhile.

    Leaves ``log.jsonl`` and ``master.safetensors`` (as `training` does), and ``half/`` in Hugging Face's layout.
    """
    began = clock()
    ends = began + 60 * minutes * (1 - END)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(recipe.seed)
    model = build(othello_config(layers=recipe.layers, width=recipe.width, heads=recipe.heads))
    run = Run(model, recipe, device, compiled=compiled)
    test = random_games(200, TEST_SEED)
    with (folder / "log.jsonl").open("a", buffering=1) as log, _ahead(run) as batches:
        say(log, event="start", games=0, minutes=minutes, device=device, recipe=asdict(recipe))
        losses: list[torch.Tensor] = []
        since, tested, due = clock(), 0, (ends - began) / tests
        warm: tuple[float, int] | None = None
        while run.games < run.recipe.games and clock() < ends:
            losses.append(run.learn(next(batches)))
            if run.games == WARM * recipe.batch:
                warm = (_now(device, clock), run.games)
            elif warm is not None and run.games % (WARM * recipe.batch) == 0:
                run.recipe = fitted(recipe, run, warm, _now(device, clock), ends)
            if clock() - since > due:
                speed = (run.games - tested) / (_now(device, clock) - since)
                run.tell(log, test, float(torch.stack(losses).mean()), speed)
                losses, tested, since = [], run.games, clock()
        if losses:
            speed = (run.games - tested) / (_now(device, clock) - since)
            run.tell(log, test, float(torch.stack(losses).mean()), speed)
        say(log, event="end", games=run.games, planned=run.recipe.games)
    run.keep(folder / "state.pt")
    save(run.plain().to(torch.float16), folder / "half")
    return run


def fitted(recipe: Recipe, run: Run, warm: tuple[float, int], now: float, ends: float) -> Recipe:
    """The run's recipe with as many games as the speed since ``warm`` (time, games) allows until ``ends``; unchanged
    once the rate falls, so that it falls once and steadily."""
    if run.games > (1 - run.recipe.decay) * run.recipe.games:
        return run.recipe
    speed = (run.games - warm[1]) / max(now - warm[0], 1e-9)
    games = min(recipe.games, run.games + int(speed * max(0.0, ends - now)))
    return replace(run.recipe, games=games)


@contextmanager
def _ahead(run: Run) -> Iterator[Iterator[Batch]]:
    """The batches of a run in their order, some of them made before they are asked for."""
    with ThreadPoolExecutor(1) as pool:
        first, waiting = run.games, list[Future[Batch]]()

        def batches() -> Iterator[Batch]:
            nonlocal first
            while True:
                while len(waiting) < AHEAD:
                    waiting.append(pool.submit(batch_of, run.recipe, first))
                    first += run.recipe.batch
                yield waiting.pop(0).result()

        try:
            yield batches()
        finally:
            for future in waiting:
                future.cancel()


def _now(device: str, clock: Callable[[], float]) -> float:
    """The time when the device has done what it was told so far."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return clock()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--compile", action="store_true", dest="compiled")
    for name, value in asdict(PAPER).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    given = vars(parser.parse_args())
    own = {name: given.pop(name) for name in ("minutes", "device", "compiled")}
    folder = given.pop("out")
    train_timed(Recipe(**given), folder, **own)


if __name__ == "__main__":
    main()
