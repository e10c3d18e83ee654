"""One edit looked at closely, and the table of many, as the page asks for them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.squares import PLAYABLE
from analysis.progress import Check, Progress, no_check, silent
from analysis.tpr.answers.edit import PositionEdit, RepairRow, TrialSettings, TrialTable
from analysis.tpr.answers.model import SITE_TITLES
from analysis.tpr.cases import EditCase, edited_legal, edited_side, null_of_perfect, random_cases
from analysis.tpr.edits import METHODS, PROBE_OF, RTOL, cross_talk, edit_vector
from analysis.tpr.interventions import run_edited
from analysis.tpr.room import GameRead, Room
from analysis.tpr.trials import GRIDS, THRESHOLD, errors, legal_mask, run_trials, tuning_cases, units


def usable_layers(room: Room, method: str, layers: Sequence[int] | None, labels: str) -> list[int]:
    """The blocks named (all) that have the probe that a method needs. UserError(field="probe") if none has."""
    kind = PROBE_OF[method]
    have = room.probes.layers(kind, labels)
    usable = [n for n in (range(room.layers) if layers is None else layers) if n in have]
    if not usable:
        raise UserError(
            f"No chosen block has the {kind} probe with {labels} labels that this edit needs. Fit it under “Model and "
            "probes”.",
            "probe",
        )
    return usable


def edit_position(
    room: Room,
    game: GameRead,
    row: int,
    edits: Sequence[tuple[int, int]],
    *,
    method: str = "tpr",
    scale: float = 1.0,
    best: bool = False,
    layers: Sequence[int] | None = None,
    labels: str = "parity",
    seed: int = 0,
    unit: str = "stream",
) -> PositionEdit:
    """Edit the position after ply ``row`` (from 0); ``edits`` are (square, target class).

    The vector of a block has the length ``scale`` x `units` (times the square root of the squares for the linear
    method, which adds unit vectors). With ``best`` the scale of ``GRIDS[unit]`` with the fewest errors is taken.
    """
    moves = game.moves[: row + 1]
    board = Board.start().after(moves)
    classes = board.classes(labels)
    changes = [(s, classes[s], t) for s, t in edits]
    blocks = usable_layers(room, method, layers, labels)
    size = units(room, unit)
    scales = list(GRIDS[unit]) if best else [scale]
    vectors = {}
    for layer in blocks:
        generator = torch.Generator().manual_seed(seed + (7919 * (layer + 1) if method == "random" else 0))
        probe = room.probes.probe(PROBE_OF[method], layer, labels)
        direction = edit_vector(method, probe, changes, classes, generator).float()
        lengths = torch.tensor([0.0, *scales]) * float(size[layer])
        vectors[layer] = torch.outer(lengths, direction)
    run = run_edited(room.loaded, moves, vectors, room.probes.site)
    shares = run.probabilities.numpy()
    legal_after = edited_legal(board, tuple(edits), labels)
    mask = legal_mask(legal_after)
    counts = errors(shares, mask)
    at = 1 + int(np.argmin(counts.total[1:]))
    repair, beliefs, clean = _repair(room, run.residual[[0, at]], changes, labels)
    after = shares[at]
    return PositionEdit(
        scale=scales[at - 1],
        unit=tuple(float(v) for v in size),
        layers=tuple(blocks),
        legal_before=tuple(board.legal),
        legal_after=tuple(legal_after),
        side_before=board.side,
        side_after=edited_side(board, tuple(edits), labels),
        null=int(counts.total[0]),
        errors_after=int(counts.total[at]),
        false_positives=tuple(s for s, t in _squares() if after[t] > THRESHOLD and s not in legal_after),
        false_negatives=tuple(s for s, t in _squares() if after[t] <= THRESHOLD and s in legal_after),
        repair=repair,
        before=_by_square(shares[0]),
        after=_by_square(after),
        beliefs=beliefs,
        clean=clean,
        crosstalk=_cross_talk(room, changes, blocks, size, scales[at - 1], labels, method),
    )


def _squares() -> list[tuple[int, int]]:
    return [(s, i + 1) for i, s in enumerate(PLAYABLE)]


def _by_square(shares: NDArray) -> NDArray[np.float32]:
    board = np.zeros(64, np.float32)
    board[list(PLAYABLE)] = shares[1:]
    return board


def _repair(
    room: Room, residual: torch.Tensor, changes: Sequence[tuple[int, int, int]], labels: str
) -> tuple[tuple[RepairRow, ...], NDArray, NDArray]:
    """What the TPR probe (the linear one where there is none) reads after each block, edited and not."""
    rows, edited, plain = [], [], []
    squares = [s for s, _, _ in changes]
    others = [s for s in range(64) if s not in squares]
    for layer in range(room.layers):
        kind = next((k for k in ("tpr", "linear") if room.probes.find(k, layer, labels)), None)
        if kind is None:
            edited.append(np.zeros((64, 3), np.float32))
            plain.append(np.zeros((64, 3), np.float32))
            continue
        both = room.probes.probe(kind, layer, labels).probabilities(residual[:, layer]).numpy().astype(np.float32)
        plain.append(both[0])
        edited.append(both[1])
        was, now = both[0].argmax(-1), both[1].argmax(-1)
        target = int(sum(now[s] == t for s, _, t in changes))
        same = int((was[others] == now[others]).sum())
        rows.append(RepairRow(layer, target, len(changes), same, len(others)))
    return tuple(rows), np.stack(edited), np.stack(plain)


def _cross_talk(
    room: Room,
    changes: Sequence[tuple[int, int, int]],
    layers: Sequence[int],
    size: NDArray,
    scale: float,
    labels: str,
    method: str,
) -> NDArray[np.float32]:
    """Predicted change of target minus source on every square, at the last edited block that has a TPR probe."""
    kind = "trilinear" if method == "trilinear" else "tpr"
    have = [n for n in layers if room.probes.find(kind, n, labels)]
    if not have:
        return np.zeros(64, np.float32)
    layer = have[-1]
    change = cross_talk(room.probes.probe(kind, layer, labels), changes, scale * float(size[layer]), rtol=RTOL[kind])
    _, source, target = changes[0]
    return (change[:, target] - change[:, source]).float().numpy()


def fixed_scale(room: Room, method: str) -> float:
    """The fixed scale of a method in the kept table of one-square edits; 0.75 (the bundled model's) without one."""
    edits = room.probes.manifest.get("edits") or {"rows": []}
    rows = [r for r in edits["rows"] if r["method"] == method and r["choice"].startswith("fixed")]
    return float(rows[0]["scale"]) if rows else 0.75


def trial_table(
    room: Room,
    *,
    cases: int,
    squares: int,
    seed: int,
    labels: str,
    layers: Sequence[int],
    unit: str = "stream",
    given: Sequence[EditCase] | None = None,
    progress: Progress = silent,
    check: Check = no_check,
) -> TrialTable:
    """Rows of `run_trials` for all methods whose probes are there, with a caption that says what was drawn.

    ``given``: cases from a file, in place of ``cases`` random ones; the fixed scale is chosen on random ones even then.
    """
    methods = [m for m in METHODS if all(room.probes.find(PROBE_OF[m], n, labels) for n in layers)]
    if not methods or not layers:
        raise UserError("The chosen blocks have no probes. Fit them under “Model and probes”.", "probe")
    drawn = random_cases(cases, squares, seed, labels=labels) if given is None else list(given)
    rows = run_trials(
        room, drawn, tuning_cases(squares, seed, labels), methods, layers=layers, labels=labels, unit=unit,
        progress=progress, check=check,
    )  # fmt: skip
    perfect = null_of_perfect(drawn)
    plural = "s" if squares > 1 else ""
    which = f"{len(drawn):,} cases of {squares} square{plural}, seed {seed}"
    if given is not None:
        which = f"{len(drawn):,} cases from a file, the fixed scale from random ones (seed {seed})"
    site = room.probes.site
    where = "after blocks" if site == "resid_post" else f"at the {SITE_TITLES[site]}, blocks"
    scales = (
        "Scales are in tenths of the stream's median length."
        if unit == "stream"
        else f"Scales are lengths as they are, {GRIDS[unit][0]:g} to {GRIDS[unit][-1]:g} as in the published code."
    )
    return TrialTable(
        rows=rows,
        perfect=perfect,
        caption=f"{which}, edited {where} {layers[0]} to {layers[-1]}. "
        f"Without an edit: {rows[0].null:.2f} errors (a perfect player that ignores the edit: "
        f"{perfect:.2f}); against the board as it is the model makes {rows[0].own:.2f}, which no edit can mend. "
        f"Bars: 95 % bootstrap intervals. {scales}",
        settings=TrialSettings(len(drawn), squares, seed, labels, tuple(layers)),
        lengths=tuple(round(float(units(room, unit)[n]), 4) for n in layers),
    )
