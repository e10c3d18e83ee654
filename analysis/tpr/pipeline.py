"""Fit the probes of a model: which, on how many games, and what is measured of each.

All layers come from one pass of the model over games that no probe is tested on. Each probe is scored on other games:
share of squares right, macro F1 of the three classes, and the share by square. The constant baseline is the most
common class of each square at each ply, learned on the training games.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from transformers import GPT2LMHeadModel

from analysis.othello.games import Labels, random_games
from analysis.othello.legality import legality
from analysis.othello.squares import POSITIONS
from analysis.tpr import scores
from analysis.tpr.activations import PROBE_SEED, Boards, collect
from analysis.tpr.base import Probe
from analysis.tpr.library import ProbeSet, fingerprint, make_probe, new_set
from analysis.tpr.parametrization import Say

PLAY_SEED = 40_000
MAX_ILLEGAL = 0.05
"""Share of illegal first choices above which a model is not said to play, so that its board is no finding."""


def scored(probe: Probe, activations: Tensor, boards: NDArray[np.uint8]) -> dict[str, Any]:
    """Accuracy, macro F1 and accuracy by square (64) on rows (n, d) with boards (n, 64), from one prediction."""
    found = probe.predict(activations)
    return {
        "accuracy": scores.accuracy(found, boards),
        "macro_f1": scores.macro_f1(found, boards),
        "by_square": [round(float(v), 5) for v in scores.square_accuracy(found, boards)],
    }


def constant_baseline(train: Boards, test: Boards, labels: Labels = "parity") -> float:
    """Accuracy of the most common class of each (ply, square) of the training games."""
    known = train.labels(labels).reshape(-1, POSITIONS, 64)
    best = np.stack([(known == c).sum(0) for c in range(3)]).argmax(0)
    return float((test.labels(labels).reshape(-1, POSITIONS, 64) == best).mean())


def play_figures(model: GPT2LMHeadModel, games: int = 1000, check: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Legality and loss on fresh random games, which no training run and no probe has seen."""
    return asdict(legality(model, random_games(games, PLAY_SEED), check=check))


def fit_probes(
    model: GPT2LMHeadModel,
    wanted: Sequence[tuple[str, int, Labels]],
    *,
    games: int = 2000,
    test_games: int = 500,
    into: ProbeSet | None = None,
    say: Say = lambda text, share: None,
    check: Callable[[], None] = lambda: None,
    random_state: int = 0,
    after: Callable[[ProbeSet], None] = lambda probes: None,
) -> ProbeSet:
    """Fit the probes named as (kind, layer, labels) and enter them, with scores, into a set; ``after`` follows each.

    Raises UserError for an unknown kind or block. ``check`` is a safe point and may raise to cancel.
    """
    probes = into if into is not None else new_set(fingerprint(model))
    layers = sorted({layer for _, layer, _ in wanted})
    share = 0.25
    train = collect(model, games, PROBE_SEED, layers, progress=lambda t, s: say(t, share * (s or 0.0)), check=check)
    test = collect(model, test_games, PROBE_SEED + 1, layers, check=check)
    for row in probes.manifest["rows"]:  # what an earlier fit saw stays with its probes
        row.setdefault("games", probes.manifest.get("games"))
    probes.manifest |= {"games": games, "test_games": test_games, "constant": constant_baseline(train, test)}
    for i, (kind, layer, labels) in enumerate(wanted):
        check()
        began = time.perf_counter()
        done = share + (1 - share) * i / len(wanted)

        def progress(
            text: str, inner: float | None, done: float = done, what: str = f"{kind} at block {layer}"
        ) -> None:
            say(f"{what}: {text}", done + (1 - share) * (inner or 0.0) / len(wanted))

        probe = make_probe(kind, random_state)
        probe.fit(train.layer(layer), train.labels(labels), progress=progress, check=check)
        seconds = time.perf_counter() - began
        found = scored(probe, test.layer(layer), test.labels(labels))
        probes.add(
            kind,
            layer,
            labels,
            probe,
            seconds=round(seconds, 2),
            parameters=probe.parameter_count(),
            games=games,
            **found,
        )
        after(probes)
    return probes
