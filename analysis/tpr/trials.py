"""Many edits at once: how far each method brings the model to the legal moves of the edited board, beside its controls.

Two ways to choose the scale are kept apart. "Fixed" takes the one scale that did best on other cases. "Best" takes for
each case the scale with the fewest errors, which looks at the answer; the papers report that one. Errors are false
positives and false negatives of the moves with over 1 % against the legal set; the top-N metric of the earlier papers
is given as well. The null is the unedited prediction against the edited board. Beside it stands the unedited
prediction against the board as it is: what the model gets wrong by itself, which no edit can be asked to mend.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.squares import TOKEN_OF_SQUARE
from analysis.progress import Check, Progress, no_check, silent
from analysis.tpr.activations import collect, collect_at
from analysis.tpr.answers.edit import TrialRow
from analysis.tpr.cases import EditCase, random_cases
from analysis.tpr.edits import PROBE_OF, TITLES, Weights, edit_vector
from analysis.tpr.interventions import run_edited
from analysis.tpr.room import Room

GRID = tuple(0.25 * i for i in range(1, 21))
"""Scales, in units of a tenth of the median length of the residual stream after the block."""
UNITS = ("stream", "absolute")
GRIDS = {"stream": GRID, "absolute": GRID[:10]}
"""Scales by the unit that they are in: lengths as they are have the grid of the published code."""
THRESHOLD = 0.01
_ROWS = 256
"""Candidates that go through the model at once; each holds the keys and values of the whole prefix."""


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
    mask[TOKEN_OF_SQUARE[np.asarray(squares, dtype=np.int64)]] = True
    return mask


def errors(probabilities: NDArray | Tensor, legal: NDArray[np.bool_], threshold: float = THRESHOLD) -> Errors:
    """Compare distributions (..., 61) with legal sets (..., 61) or one of them (61,), by dossier 4.2.

    The top N are the N most likely moves, N the size of the legal set; as in the earlier papers a wrong one counts
    twice, as a move too many and one too few. Padding (token 0) is no move.
    """
    p = np.array(probabilities, dtype=np.float64)
    p[..., 0] = -1.0
    legal = np.broadcast_to(legal, p.shape)
    predicted = p > threshold
    positives, negatives = (predicted & ~legal).sum(-1), (~predicted & legal).sum(-1)
    place = np.argsort(np.argsort(-p, axis=-1, kind="stable"), axis=-1, kind="stable")
    top = place < legal.sum(-1, keepdims=True)
    return Errors(positives, negatives, (positives + negatives) == 0, (top != legal).sum(-1))


def units(room: Room, unit: str = "stream") -> NDArray[np.float64]:
    """(L,): a tenth of the median length of the residual stream after each block (or at the site that the probes read),
    over thirty random games; 1 for the unit "absolute"."""
    if unit == "absolute":
        return np.ones(room.layers)
    lengths: NDArray[np.float64] | None = getattr(room, "_units", None)
    if lengths is None:
        site = room.probes.site
        after = site == "resid_post"
        boards = collect(room.loaded, 30, 70_000) if after else collect_at(room.loaded, 30, 70_000, site)
        lengths = np.array([0.1 * float(boards.layer(i).norm(dim=-1).median()) for i in range(room.layers)])
        room._units = lengths  # type: ignore[attr-defined]
    return lengths


def run_case(
    room: Room,
    case: EditCase,
    methods: Sequence[str],
    layers: Sequence[int],
    labels: str,
    seed: int,
    weights: Sequence[Weights | None] = (None,),
    unit: str = "stream",
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Distributions (1 + methods x weights x scales, 61), and the legal set of the edited board (61,).

    The first row is the unedited one; then methods, within them ``weights`` (factors of the changes; None: all 1),
    within those the scales of ``GRIDS[unit]``.
    """
    grid = GRIDS[unit]
    classes = Board.start().after(case.moves).classes(labels)
    size = units(room, unit)
    vectors = {}
    for layer in layers:
        rows = [torch.zeros(1, room.loaded.facts.hidden)]
        for i, method in enumerate(methods):
            probe = room.probes.probe(PROBE_OF[method], layer, labels)
            # A control draws its direction or its squares anew for each case, and the same squares at each block. Among
            # several weights it draws anew for each, so that it has as many tries as the method that it controls.
            generator = torch.Generator().manual_seed(seed * 1000 + i)
            if method == "random":
                generator.manual_seed(seed * 1000 + i + 7919 * (layer + 1))
            for weight in weights:
                vector = edit_vector(method, probe, case.changes, classes, generator, weight)
                rows.append(torch.outer(torch.tensor(grid) * float(size[layer]), vector.float()))
        vectors[layer] = torch.cat(rows)
    total = 1 + len(methods) * len(weights) * len(grid)
    shares = []
    for start in range(0, total, _ROWS):
        run = run_edited(
            room.loaded, case.moves, {k: v[start : start + _ROWS] for k, v in vectors.items()}, room.probes.site
        )
        shares.append(run.probabilities.numpy())
    return np.concatenate(shares), legal_mask(case.legal)


def run_trials(
    room: Room,
    cases: Sequence[EditCase],
    tuning: Sequence[EditCase],
    methods: Sequence[str],
    *,
    layers: Sequence[int],
    labels: str = "parity",
    weights: Sequence[Weights] | None = None,
    unit: str = "stream",
    progress: Progress = silent,
    check: Check = no_check,
) -> tuple[TrialRow, ...]:
    """One row per method and way to choose the scale, with mean errors, a 95 % interval, the null and ``own``.

    ``own``: mean errors of the unedited prediction against the board as it is. ``tuning``: other cases, on which the
    fixed scale of each method is chosen. ``weights``: factors of the changes among which "best" may choose as well as
    among the scales, such as `edits.weight_tuples`; the first must be all 1, and it is the only one for "fixed". None
    leaves the scale common to all squares. Two squares have 63 of them and take some seventy times as long as one
    weight, three have 841: the papers try them all, and every one more is a better look at the answer. ``unit``: of the
    scales, one of `UNITS`.

    Raises UserError(field="cases") without cases or tuning cases, (field="weights") if the first is not all 1.
    """
    if not cases or not tuning:
        raise UserError("Trials need cases, and other cases to choose the fixed scale on.", "cases")
    tuples: list[Weights | None] = [None] if weights is None else list(weights)
    if not tuples or any(w != 1 for w in tuples[0] or ()):
        raise UserError("The first of the weights must be all 1.", "weights")
    everything, first, grid = [*tuning, *cases], len(tuning), GRIDS[unit]
    shape = (len(everything), len(methods), len(tuples), len(grid))
    total, top = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    null, null_top, own = (np.zeros(len(everything)) for _ in range(3))
    for i, case in enumerate(everything):
        check()
        if i % 5 == 0:
            progress(i / len(everything), f"case {i} of {len(everything)}")
        # Only "best", which tuning has no use for, looks beyond the first weights.
        candidates = tuples if i >= first else tuples[:1]
        shares, legal = run_case(room, case, methods, layers, labels, i, candidates, unit)
        counts = errors(shares, legal)
        null[i], null_top[i] = counts.total[0], counts.top_n[0]
        own[i] = errors(shares[0], legal_mask(case.before)).total
        part = (len(methods), len(candidates), len(grid))
        total[i, :, : len(candidates)] = counts.total[1:].reshape(part)
        top[i, :, : len(candidates)] = counts.top_n[1:].reshape(part)
    rows = []
    for m, method in enumerate(methods):
        fixed = best_fixed_scale(total[:first, m, 0])
        # Scales before weights: of equally good candidates the one with the least scale, then the plainest weights.
        flat = total[first:, m].swapaxes(1, 2).reshape(len(cases), -1)
        best = flat.argmin(1)
        at_fixed = np.full(len(cases), fixed * len(tuples))
        for choice, at in (("fixed, from other cases", at_fixed), ("best for each case", best)):
            scale, weight = np.divmod(at, len(tuples))
            pick = (np.arange(first, len(everything)), np.full(len(cases), m), weight, scale)
            low, high = interval(total[pick])
            rows.append(
                TrialRow(
                    method=method,
                    title=TITLES[method],
                    choice=choice,
                    mean=float(total[pick].mean()),
                    low=low,
                    high=high,
                    null=float(null[first:].mean()),
                    null_top_n=float(null_top[first:].mean()),
                    own=float(own[first:].mean()),
                    exact=float((total[pick] == 0).mean()),
                    top_n=float(top[pick].mean()),
                    scale=float(np.array(grid)[scale].mean()),
                    cases=len(cases),
                )
            )
    return tuple(rows)


def best_fixed_scale(total: NDArray) -> int:
    """Which column of errors (cases, scales) has the least mean; the first, and so the least scale, of equals."""
    return int(np.asarray(total, dtype=np.float64).mean(0).argmin())


def interval(values: NDArray, seed: int = 0, draws: int = 2000) -> tuple[float, float]:
    """A 95 % bootstrap interval of the mean."""
    rows = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    low, high = np.quantile(np.asarray(values, dtype=np.float64)[rows].mean(1), [0.025, 0.975])
    return float(low), float(high)


def tuning_cases(squares: int, seed: int, labels: str, n: int = 60) -> list[EditCase]:
    """Cases of another seed, to choose a fixed scale on."""
    return random_cases(n, squares, seed + 1, labels=labels)
