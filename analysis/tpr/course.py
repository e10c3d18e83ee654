"""A whole game ply by ply: probability on illegal moves and squares read wrongly, and the same of random games, so that
it can be said when the model has lost the board and not merely met a hard position."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.games import Labels, board_labels
from analysis.othello.legality import legal_tokens
from analysis.othello.squares import POSITIONS, TOKEN_OF_SQUARE
from analysis.progress import Check, Progress, no_check, silent
from analysis.tpr.activations import read, whole_games
from analysis.tpr.answers.report import GameCourse, UsualCourse, lost_runs
from analysis.tpr.room import GameRead, Room

POINTS = (0.05, 0.5, 0.95)
_BATCH = 25


def course_of(room: Room, game: GameRead, layer: int, kind: str, labels: str) -> GameCourse:
    """The course of a game that was read. Raises UserError(field="probe") for a missing probe."""
    board, classes, legal = Board.start(), [], []
    for move in game.moves:
        board = board.play(move)
        classes.append(board.classes(labels))
        legal.append(board.legal)
    allowed = np.zeros((len(legal), 61), np.bool_)
    for ply, squares in enumerate(legal):
        allowed[ply, TOKEN_OF_SQUARE[list(squares)]] = True
    illegal, first = _play(game.logits.numpy(), allowed)
    wrong = (_read(room, kind, layer, labels, game.residual[layer]) != np.array(classes)).sum(-1)
    return GameCourse(kind, layer, illegal, first, wrong.astype(np.float32))


def usual_course(
    room: Room, kind: str, labels: Labels, games: int, seed: int, progress: Progress = silent, check: Check = no_check
) -> UsualCourse:
    """The course of random games of sixty moves, at every block that has the probe. UserError(field="probe"): none."""
    blocks = [n for n in range(room.layers) if room.probes.find(kind, n, labels)]
    if not blocks:
        raise UserError(
            f"No block has the {kind} probe with {labels} labels. Fit it under “Model and probes”.", "probe"
        )
    drawn = whole_games(games, seed)
    truth = board_labels(drawn, labels, POSITIONS)
    allowed = legal_tokens(drawn.legal[:, :POSITIONS])
    illegal = np.zeros((games, POSITIONS), np.float32)
    wrong = np.full((room.layers, games, POSITIONS), np.nan, np.float32)
    for start in range(0, games, _BATCH):
        check()
        part = slice(start, start + _BATCH)
        ids = torch.from_numpy(drawn.tokens[part, :POSITIONS].astype(np.int64))
        streams, logits = read(room.loaded, ids, room.probes.site)
        illegal[part] = _play(logits.float().cpu().numpy(), allowed[part])[0]
        for layer in blocks:
            read_out = _read(room, kind, layer, labels, streams[layer].flatten(0, 1).float().cpu())
            wrong[layer, part] = (read_out.reshape(len(ids), POSITIONS, 64) != truth[part]).sum(-1)
        progress(min(1.0, (start + _BATCH) / games), f"{min(games, start + _BATCH)} of {games} random games")
    points = np.full((room.layers, 3, POSITIONS), np.nan, np.float32)
    lost = np.full(room.layers, np.nan, np.float32)
    for layer in blocks:
        points[layer] = np.quantile(wrong[layer], POINTS, axis=0)
        lost[layer] = np.mean([bool(lost_runs(game, points[layer, 2])) for game in wrong[layer]])
    return UsualCourse(games, kind, np.quantile(illegal, POINTS, axis=0).astype(np.float32), points, lost)


def _play(logits: NDArray, allowed: NDArray[np.bool_]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Probability on illegal moves, and whether the most likely one is illegal, (...,) each, from logits (..., 61) and
    the legal moves by token; NaN where there is none."""
    # As in the papers, padding (token 0) takes no part in the softmax.
    shares = torch.from_numpy(logits[..., 1:]).double().softmax(-1).numpy()
    legal = allowed[..., 1:]
    best = np.take_along_axis(legal, shares.argmax(-1)[..., None], -1)[..., 0]
    over = ~legal.any(-1)
    illegal = np.where(over, np.nan, 1 - (shares * legal).sum(-1)).astype(np.float32)
    return illegal.clip(0), np.where(over, np.nan, ~best).astype(np.float32)


def _read(room: Room, kind: str, layer: int, labels: str, residual: torch.Tensor) -> NDArray:
    """The classes (N, 64) that a probe reads in vectors (N, d)."""
    return np.asarray(room.probes.probe(kind, layer, labels).predict(residual))
