"""The probes of the bundled Othello model, their baselines, and each figure that the page shows of it.

Each step is kept as soon as it is done and is skipped the next time, so that the command may be stopped at any point.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from analysis.answer import plain_of
from analysis.artefacts import manifest_path
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.models.loader import adopt
from analysis.othello.games import Labels
from analysis.othello.model import build
from analysis.othello.sources import OthelloSource, load_network
from analysis.progress import Progress
from analysis.tpr import baselines
from analysis.tpr.activations import PROBE_SEED, collect
from analysis.tpr.editing import trial_table
from analysis.tpr.geometry import gap_r2, neighbour_shares
from analysis.tpr.library import (
    BUNDLED,
    DEFAULT_KINDS,
    PAGE_KINDS,
    PROBE_SETS,
    ProbeSet,
    fingerprint,
    make_probe,
    new_set,
)
from analysis.tpr.pipeline import fit_probes, play_figures, scored
from analysis.tpr.probes import LowRankProbe
from analysis.tpr.room import Room
from analysis.tpr.stories import STORIES, story_of
from analysis.tpr.truncate import truncated_svd

ROLE_DIMS = (16, 32, 48, 56)
RANKS = (20, 40, 60, 80, 100, 104, 120, 128)
TRAINED_RANKS = (40, 80, 120)
SEEDS = 5


class _Build:
    """The bundled set, step by step."""

    def __init__(self, games: int, test_games: int, fresh: bool, progress: Progress) -> None:
        self.loaded = load_network(OthelloSource())
        self.name = fingerprint(self.loaded.model)
        self.games, self.test_games, self.progress = games, test_games, progress
        self.probes = new_set(self.name)
        if not fresh and manifest_path(BUNDLED).exists():
            bundled = PROBE_SETS.read(BUNDLED)
            if bundled.model == self.name:
                self.probes = bundled

    def say(self, text: str) -> None:
        self.progress(None, text)

    def keep(self, _probes: ProbeSet | None = None) -> None:
        PROBE_SETS.save(BUNDLED, self.probes.arrays, self.probes.manifest)

    def step(self, name: str, make: Callable[[], Any]) -> None:
        """A figure of the manifest, made once."""
        if name in self.probes.manifest:
            return
        self.say(name)
        self.probes.manifest[name] = make()
        self.keep()

    def fit(self, wanted: list[tuple[str, int, Labels]]) -> None:
        todo = [w for w in wanted if self.probes.find(*w) is None]
        if not todo:
            return

        def after(probes: ProbeSet) -> None:
            row = probes.rows[-1]
            self.say(f"{row['kind']} {row['layer']} {row['labels']}: {row['accuracy']:.4f} in {row['seconds']:.0f} s")
            self.keep()

        fit_probes(self.loaded, todo, games=self.games, test_games=self.test_games, into=self.probes, after=after)

    def run(self) -> None:
        layers = range(self.loaded.facts.layers)
        self.step("play", lambda: play_figures(self.loaded.model))
        self.fit([(kind, layer, "parity") for layer in layers for kind in DEFAULT_KINDS])
        self.fit([(kind, layer, "mover") for layer in layers for kind in PAGE_KINDS])
        linear = [r for r in self.probes.rows if r["kind"] == "linear" and r["labels"] == "parity"]
        top = int(max(linear, key=lambda r: r["accuracy"])["layer"])
        self.fit([(f"tpr-r{r}", top, "parity") for r in ROLE_DIMS])
        self.step("ranks", lambda: {"layer": top, "rows": self._ranks(top)})
        self.step("seeds", lambda: self._seeds(top))
        self.step("random_network", lambda: self._random_network(top))
        self.step("edits", lambda: self._edits(1))
        self.step("edits_more", lambda: [self._edits(k) for k in (2, 3, 4)])
        self.step("stories", self._stories)
        if "baselines" not in self.probes.manifest:
            self.say("baselines")
            rows, arrays = baselines.measure(self.loaded.facts.hidden, self.games // 2, self.progress)
            self.probes.arrays |= arrays
            self.probes.manifest["baselines"] = rows
            self.keep()

    def _data(self, top: int) -> tuple[Any, Any]:
        train = collect(self.loaded, self.games, PROBE_SEED, [top])
        test = collect(self.loaded, self.test_games, PROBE_SEED + 1, [top])
        return train, test

    def _ranks(self, top: int) -> list[dict[str, Any]]:
        """Truncated SVD of the linear probe, and low-rank probes trained as such."""
        train, test = self._data(top)
        h, boards = test.layer(top), test.labels()
        directions = torch.as_tensor(self.probes.probe("linear", top).directions())
        rows: list[dict[str, Any]] = []
        for rank in [k for k in RANKS if k <= directions.shape[-1]]:
            cut = truncated_svd(directions, rank)
            rows.append(
                {"kind": "svd", "rank": rank, "parameters": rank * (h.shape[1] + 192), **_plain(scored(cut, h, boards))}
            )
        for rank in TRAINED_RANKS:
            probe = LowRankProbe(rank=rank).fit(train.layer(top), train.labels())
            rows.append(
                {
                    "kind": "low-rank",
                    "rank": rank,
                    "parameters": probe.parameter_count(),
                    **_plain(scored(probe, h, boards)),
                }
            )
            self.say(f"rank {rank}: {rows[-1]['accuracy']:.4f}")
        return rows

    def _seeds(self, top: int) -> dict[str, Any]:
        """The main row, fitted from five starts: accuracy, and the geometry of its roles, which may differ."""
        train, test = self._data(top)
        figures: dict[str, Any] = {"layer": top, "accuracy": [], "gap_r2": [], "neighbours": []}
        for seed in range(SEEDS):
            probe: Any = make_probe("tpr", seed).fit(train.layer(top), train.labels())
            roles = np.asarray(probe.roles_, dtype=np.float64)
            figures["accuracy"].append(scored(probe, test.layer(top), test.labels())["accuracy"])
            figures["gap_r2"].append(float(gap_r2(roles)))
            figures["neighbours"].append(float(neighbour_shares(roles)["neighbour"]))
            self.say(f"seed {seed}: {figures['accuracy'][-1]:.4f}")
        return figures

    def _edits(self, squares: int) -> Any:
        """The table of 200 edits of so many squares."""
        room = Room(OthelloSource(), self.loaded, self.name, self.probes)
        layers = list(range(room.layers))
        table = trial_table(room, cases=200, squares=squares, seed=44, labels="parity", layers=layers)
        for r in table.rows:
            self.say(f"{squares}: {r.method}, {r.choice}: {r.mean:.2f} (null {r.null:.2f})")
        return plain_of(table)

    def _stories(self) -> dict[str, Any]:
        """The three positions that the page tells about; a story without a position stays out."""
        room = Room(OthelloSource(), self.loaded, self.name, self.probes)
        stories: dict[str, Any] = {}
        for name in STORIES:
            try:
                stories[name] = plain_of(story_of(room, name, Memory()))
            except UserError as error:
                self.say(error.message)
        return stories

    def _random_network(self, top: int) -> dict[str, Any]:
        """The same probes on a network of the same shape that was never trained."""
        torch.manual_seed(0)
        model = adopt(build(self.loaded.model.config), self.loaded.tokenizer, self.loaded.spec)
        games = self.games // 2
        fitted = fit_probes(
            model, [("linear", top, "parity"), ("tpr", top, "parity")], games=games, test_games=self.test_games
        )
        return {"layer": top, "games": games, **{r["kind"]: r["accuracy"] for r in fitted.rows}}


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k != "by_square"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this build."""
    parser.add_argument("--games", type=_count, default=2000, help="games that probes are fitted on (%(default)s)")
    parser.add_argument("--test-games", type=_count, default=500, help="games that they are scored on (%(default)s)")
    parser.add_argument("--fresh", action="store_true", help="make everything anew")


def run(options: argparse.Namespace, progress: Progress) -> None:
    """Make the steps that are missing."""
    _Build(options.games, options.test_games, options.fresh, progress).run()


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 10:
        raise argparse.ArgumentTypeError(f"a whole number of games from 10 on is needed, not {text!r}.")
    return int(text)
