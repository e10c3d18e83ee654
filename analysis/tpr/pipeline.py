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
from torch import Tensor, nn

from analysis.errors import UserError
from analysis.models.loaded_model import LoadedModel
from analysis.othello.games import Labels, random_games
from analysis.othello.legality import legality
from analysis.othello.squares import POSITIONS
from analysis.progress import Check, Progress, no_check, portion, silent
from analysis.tpr import scores
from analysis.tpr.activations import PROBE_SEED, Boards, collect
from analysis.tpr.answers.model import ProbeFit
from analysis.tpr.base import Probe
from analysis.tpr.library import PAGE_KINDS, PROBE_SETS, ProbeSet, fingerprint, make_probe, new_set, set_for
from analysis.tpr.room import Room

PLAY_SEED = 40_000
MAX_ILLEGAL = 0.05
"""Share of illegal first choices above which a model is not said to play, so that its board is no finding."""
MEASURED_WITH_PROBES = ("ranks", "seeds", "edits", "edits_more", "stories")
"""Entries of the manifest that hold for the probes of the set and for no others."""


def scored(probe: Probe, activations: Tensor, boards: NDArray[np.uint8]) -> dict[str, Any]:
    """Accuracy, macro F1 and accuracy by square (64) on rows (n, d) with boards (n, 64), from one prediction."""
    classes = probe.predict(activations)
    return {
        "accuracy": scores.accuracy(classes, boards),
        "macro_f1": scores.macro_f1(classes, boards),
        "by_square": [round(float(v), 5) for v in scores.square_accuracy(classes, boards)],
    }


def constant_baseline(train: Boards, test: Boards, labels: Labels = "parity") -> float:
    """Accuracy of the most common class of each (ply, square) of the training games."""
    known = train.labels(labels).reshape(-1, POSITIONS, 64)
    best = np.stack([(known == c).sum(0) for c in range(3)]).argmax(0)
    return float((test.labels(labels).reshape(-1, POSITIONS, 64) == best).mean())


def play_figures(model: nn.Module, games: int = 1000, check: Check = no_check) -> dict[str, Any]:
    """Legality and loss on fresh random games, which no training run and no probe has seen."""
    return asdict(legality(model, random_games(games, PLAY_SEED), check=check))


def fit_probes(
    loaded: LoadedModel,
    wanted: Sequence[tuple[str, int, Labels]],
    *,
    games: int = 2000,
    test_games: int = 500,
    into: ProbeSet | None = None,
    progress: Progress = silent,
    check: Check = no_check,
    random_state: int = 0,
    after: Callable[[ProbeSet], None] = lambda probes: None,
) -> ProbeSet:
    """Fit the probes named as (kind, layer, labels) and enter them, with scores, into a set; ``after`` follows each.

    Raises UserError for an unknown kind or block. ``check`` is a safe point and may raise to cancel.
    """
    probes = into if into is not None else new_set(fingerprint(loaded.model))
    layers = sorted({layer for _, layer, _ in wanted})
    fits = portion(progress, 0.25, 1.0)
    train = collect(loaded, games, PROBE_SEED, layers, progress=portion(progress, 0.0, 0.25), check=check)
    test = collect(loaded, test_games, PROBE_SEED + 1, layers, check=check)
    for row in probes.manifest["rows"]:  # what an earlier fit saw stays with its probes
        row.setdefault("games", probes.manifest.get("games"))
    probes.manifest |= {"games": games, "test_games": test_games, "constant": constant_baseline(train, test)}
    for i, (kind, layer, labels) in enumerate(wanted):
        check()
        began = time.perf_counter()
        of_probe = portion(fits, i / len(wanted), (i + 1) / len(wanted), f"{kind} at block {layer}: ")
        probe = make_probe(kind, random_state)
        probe.fit(train.layer(layer), train.labels(labels), progress=of_probe, check=check)
        seconds = time.perf_counter() - began
        figures = scored(probe, test.layer(layer), test.labels(labels))
        probes.add(
            kind,
            layer,
            labels,
            probe,
            seconds=round(seconds, 2),
            parameters=probe.parameter_count(),
            games=games,
            **figures,
        )
        after(probes)
    return probes


def fit_here(room: Room, wanted: Any, progress: Progress, check: Check) -> ProbeFit:
    """Fit the page's probes of a room's blocks ``wanted.first`` to ``wanted.last`` and keep them in the data folder.

    Raises UserError(field="source") for a model that does not play legally: its board would be no finding.
    """
    progress(0.0, "playing fresh games")
    play = play_figures(room.loaded.model, 200, check)
    if play["illegal"] > MAX_ILLEGAL:
        raise UserError(
            f"This model's first choice is illegal at {play['illegal']:.1%} of positions. A probe on a model that does "
            f"not play legally says nothing; train it until that is under {MAX_ILLEGAL:.0%}.",
            "source",
        )
    layers = range(wanted.first, min(wanted.last, room.layers - 1) + 1)
    todo: list[tuple[str, int, Labels]] = [(kind, layer, wanted.labels) for layer in layers for kind in PAGE_KINDS]
    # Tables and stories that were measured with the probes to be replaced would no longer be true beside the new ones.
    manifest = {k: v for k, v in room.probes.manifest.items() if k not in MEASURED_WITH_PROBES}
    probes = ProbeSet({**manifest, "rows": [dict(row) for row in room.probes.rows]}, dict(room.probes.arrays))
    fit_probes(
        room.loaded,
        todo,
        games=wanted.games,
        test_games=max(50, wanted.games // 5),
        into=probes,
        progress=progress,
        check=check,
        random_state=wanted.seed,
    )
    probes.manifest["play"] = play
    PROBE_SETS.save(PROBE_SETS.own() / room.fingerprint, probes.arrays, probes.manifest)
    room.probes = set_for(room.fingerprint)
    best = max((r for r in room.probes.rows if r["kind"] == "tpr"), key=lambda r: r["accuracy"])
    return ProbeFit(
        f"Fitted {len(todo)} probes on {wanted.games:,} games. The TPR probe is best after block "
        f"{best['layer']}: {best['accuracy']:.2%} of squares right on other games."
    )
