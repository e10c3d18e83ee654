"""Many edits at once: how far each method brings the model to the legal moves of the edited board, beside its controls.

Two ways to choose the scale are kept apart. "Fixed" takes the one scale that did best on other cases. "Best" takes for
each case the scale with the fewest errors, which looks at the answer; the papers report that one. Errors are false
positives and false negatives of the moves with over 1 % against the legal set; the top-N metric of the earlier papers
is given as well. The null is the unedited prediction against the edited board.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.othello.board import Board
from analysis.othello.squares import TOKEN_OF_SQUARE
from analysis.tpr.cases import EditCase, random_cases
from analysis.tpr.edits import PROBE_OF, TITLES, edit_vector
from analysis.tpr.interventions import run_edited
from analysis.tpr.room import Room

GRID = tuple(0.25 * i for i in range(1, 21))
"""Scales, in units of a tenth of the median length of the residual stream after the block."""
THRESHOLD = 0.01


@dataclass(frozen=True)
class Errors:
    """Per row: false positives and negatives at the threshold, whether the set is exact, errors of the top N."""

    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]
    exact: NDArray[np.bool_]
    top_n: NDArray[np.int64]

    @property
    def total(self) -> NDArray[np.int64]:
        """Errors at the threshold."""
        return self.positives + self.negatives


def legal_mask(squares: Sequence[int]) -> NDArray[np.bool_]:
    """(61,) booleans by token."""
    mask = np.zeros(61, np.bool_)
    mask[TOKEN_OF_SQUARE[list(squares)]] = True
    return mask


def errors(probabilities: NDArray | Tensor, legal: NDArray[np.bool_], threshold: float = THRESHOLD) -> Errors:
    """Compare distributions (S, 61) with one legal set (61,), by dossier 4.2."""
    p = np.asarray(probabilities)
    said = p > threshold
    positives, negatives = (said & ~legal).sum(-1), (~said & legal).sum(-1)
    n = int(legal.sum())
    top = np.zeros_like(said)
    np.put_along_axis(top, np.argsort(-p, axis=-1, kind="stable")[:, :n], True, axis=-1)
    return Errors(positives, negatives, (positives + negatives) == 0, (top != legal).sum(-1))


def units(room: Room) -> NDArray[np.float64]:
    """(L,): a tenth of the median length of the residual stream after each block, over thirty random games."""
    found: NDArray[np.float64] | None = getattr(room, "_units", None)
    if found is None:
        from analysis.tpr.activations import collect

        boards = collect(room.model, 30, 70_000)
        found = np.array([0.1 * float(boards.layer(i).norm(dim=-1).median()) for i in range(room.layers)])
        room._units = found  # type: ignore[attr-defined]
    return found


def run_case(
    room: Room, case: EditCase, methods: Sequence[str], layers: Sequence[int], labels: str, seed: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Distributions (1 + methods x scales, 61), the unedited one first, and the legal set of the edited board (61,)."""
    classes = Board.start().after(case.moves).classes(labels)
    size = units(room)
    vectors = {}
    for layer in layers:
        rows = [torch.zeros(1, room.model.config.n_embd)]
        for i, method in enumerate(methods):
            # A control draws its direction or its squares anew for each case, and the same squares at each block.
            generator = torch.Generator().manual_seed(seed * 1000 + i)
            if method == "random":
                generator.manual_seed(seed * 1000 + i + 7919 * (layer + 1))
            probe = room.probes.probe(PROBE_OF[method], layer, labels)
            vector = edit_vector(method, probe, case.changes, classes, generator)
            rows.append(torch.outer(torch.tensor(GRID) * float(size[layer]), vector.float()))
        vectors[layer] = torch.cat(rows)
    ran = run_edited(room.model, case.moves, vectors)
    return ran.probabilities.numpy(), legal_mask(case.legal)


def run_trials(
    room: Room,
    cases: Sequence[EditCase],
    tuning: Sequence[EditCase],
    methods: Sequence[str],
    *,
    layers: Sequence[int],
    labels: str = "parity",
    progress: Callable[[str, float | None], None] = lambda text, share: None,
    check: Callable[[], None] = lambda: None,
) -> list[dict[str, Any]]:
    """One row per method and way to choose the scale, with mean errors, a 95 % interval and the null.

    ``tuning``: other cases, on which the fixed scale of each method is chosen.
    """
    everything = [*tuning, *cases]
    shape = (len(everything), len(methods), len(GRID))
    total, top, exact = np.zeros(shape), np.zeros(shape), np.zeros(shape, np.bool_)
    null, null_top = np.zeros(len(everything)), np.zeros(len(everything))
    for i, case in enumerate(everything):
        check()
        if i % 5 == 0:
            progress(f"case {i} of {len(everything)}", i / len(everything))
        shares, legal = run_case(room, case, methods, layers, labels, i)
        found = errors(shares, legal)
        null[i], null_top[i] = found.total[0], found.top_n[0]
        total[i], top[i], exact[i] = (a[1:].reshape(shape[1:]) for a in (found.total, found.top_n, found.exact))
    first = len(tuning)
    rows = []
    for m, method in enumerate(methods):
        fixed = int(total[:first, m].mean(0).argmin())
        best = total[first:, m].argmin(1)
        for choice, at in (("fixed, from other cases", np.full(len(cases), fixed)), ("best for each case", best)):
            pick = (np.arange(first, len(everything)), np.full(len(cases), m), at)
            low, high = interval(total[pick])
            rows.append(
                {
                    "method": method,
                    "title": TITLES[method],
                    "choice": choice,
                    "mean": float(total[pick].mean()),
                    "low": low,
                    "high": high,
                    "null": float(null[first:].mean()),
                    "null_top_n": float(null_top[first:].mean()),
                    "exact": float(exact[pick].mean()),
                    "top_n": float(top[pick].mean()),
                    "scale": float(np.array(GRID)[at].mean()),
                    "cases": len(cases),
                }
            )
    return rows


def interval(values: NDArray, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """A 95 % bootstrap interval of the mean."""
    rows = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    low, high = np.quantile(np.asarray(values, dtype=np.float64)[rows].mean(1), [0.025, 0.975])
    return float(low), float(high)


def tuning_cases(squares: int, seed: int, labels: str, n: int = 60) -> list[EditCase]:
    """Cases of another seed, to choose a fixed scale on."""
    return random_cases(n, squares, seed + 1, labels=labels)
