"""The measure of play, on players whose figures are known beforehand."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.othello.board import Board
from analysis.othello.games import Games, random_games
from analysis.othello.legality import exact_targets, legal_tokens, legality
from analysis.othello.squares import PLAYABLE, SQUARE_OF_TOKEN


class Player(nn.Module):
    """A model that replays the moves it is given on the board of the web process; ``say`` gives its 61 logits."""

    def __init__(self, say: Callable[[Board], Tensor]) -> None:
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(1))
        self.say = say

    def forward(self, ids: Tensor, **_: Any) -> SimpleNamespace:
        logits = torch.zeros(*ids.shape, 61)
        for row, game in enumerate(ids.tolist()):
            board = Board.start()
            for t, token in enumerate(game):
                if token == 0:
                    break
                board = board.play(int(SQUARE_OF_TOKEN[token]))
                logits[row, t] = self.say(board)
        return SimpleNamespace(logits=logits)


def _tokens(board: Board) -> list[int]:
    return [PLAYABLE.index(s) + 1 for s in board.legal]


def _legal_only(board: Board) -> Tensor:
    logits = torch.full((61,), -math.inf)
    logits[_tokens(board)] = 0.0
    return logits if board.legal else torch.zeros(61)


@pytest.fixture(scope="module")
def games() -> Games:
    """Whole games, short ones and games with passes."""
    many = random_games(3000, 5)
    short = np.nonzero(many.length < 60)[0][:6]
    passes = np.nonzero((many.white_moved[:, 1:] == many.white_moved[:, :-1]).sum(1) > 2)[0][:6]
    assert len(short) == 6 == len(passes)
    return many.take(np.concatenate([np.arange(12), short, passes]))


@pytest.fixture(scope="module")
def choices(games: Games) -> np.ndarray:
    """The number of legal moves at every position that is followed by a move, found with the other engine."""
    found = []
    for row in range(len(games.tokens)):
        board = Board.start()
        for token in games.tokens[row, : games.length[row]]:
            board = board.play(int(SQUARE_OF_TOKEN[token]))
            if board.legal and len(board.moves) <= 59:
                found.append(len(board.legal))
    return np.array(found)


def test_the_best_player_has_no_loss_above_the_floor(games: Games, choices: np.ndarray) -> None:
    found = legality(Player(_legal_only), games, batch=7)
    assert found.illegal == 0 and abs(found.mass) < 1e-7 and not any(found.illegal_by_ply)
    assert abs(found.loss - found.floor) < 1e-6
    assert found.positions == len(choices) == sum(found.positions_by_ply)
    assert abs(found.floor - np.log(choices).mean()) < 1e-6
    assert found.games == len(games.tokens) and len(found.illegal_by_ply) == 59 == len(found.positions_by_ply)
    assert found.positions_by_ply[0] == len(games.tokens) and found.positions_by_ply[58] == int(
        (games.length == 60).sum()
    )


def test_a_player_who_knows_nothing(games: Games, choices: np.ndarray) -> None:
    found = legality(Player(lambda board: torch.zeros(61)), games)
    assert abs(found.loss - math.log(61)) < 1e-6
    assert abs(found.mass - (1 - choices.mean() / 61)) < 1e-6
    assert found.illegal == 1  # the first of equals is padding


def test_errors_are_counted_at_their_ply(games: Games) -> None:
    def say(board: Board) -> Tensor:
        logits = _legal_only(board).clamp(min=-50)
        if len(board.moves) == 8:
            logits[next(t for t in range(1, 61) if t not in _tokens(board))] = 5.0
        return logits

    found = legality(Player(say), games)
    assert [t for t, share in enumerate(found.illegal_by_ply) if share] == [7] and found.illegal_by_ply[7] == 1
    assert abs(found.illegal - found.positions_by_ply[7] / found.positions) < 1e-12


def test_batches_and_the_model_s_scale_change_nothing(games: Games) -> None:
    def say(board: Board) -> Tensor:
        return torch.sin(torch.arange(61.0) * (len(board.moves) + 1))

    one, other = legality(Player(say), games, batch=5), legality(Player(say), games)
    shifted = legality(Player(lambda board: say(board) + 7), games)
    for found in (other, shifted):
        assert abs(one.loss - found.loss) < 1e-5 and one.illegal == found.illegal and abs(one.mass - found.mass) < 1e-6
    assert 0 < one.illegal < 1


def test_asked_to_stop(games: Games) -> None:
    class Stop(Exception):
        pass

    def check() -> None:
        raise Stop

    with pytest.raises(Stop):
        legality(Player(_legal_only), games, check=check)


def test_nothing_to_measure(games: Games) -> None:
    with pytest.raises(ValueError, match="no position"):
        legality(Player(_legal_only), games.take(slice(0, 0)))


def test_legal_tokens_are_those_of_the_board(games: Games) -> None:
    allowed = legal_tokens(games.legal)
    assert allowed.shape == (*games.legal.shape, 61) and not allowed[..., 0].any()
    for row in range(0, len(games.tokens), 3):
        board = Board.start()
        for t in range(int(games.length[row])):
            board = board.play(int(SQUARE_OF_TOKEN[games.tokens[row, t]]))
            assert np.nonzero(allowed[row, t])[0].tolist() == _tokens(board)


def test_exact_targets(games: Games) -> None:
    targets = exact_targets(games.legal)
    sums, there = targets.sum(-1), torch.from_numpy(games.legal > 0)
    assert torch.allclose(sums[there], torch.ones(()), atol=1e-6) and not targets[~there].any()
    assert not there.all() and targets.dtype == torch.float32
    assert torch.equal(targets > 0, torch.from_numpy(legal_tokens(games.legal)))
    positive = targets[0, 10][targets[0, 10] > 0]
    assert (positive == positive[0]).all()
    # The cross-entropy of these targets with themselves is the floor of the loss.
    followed = torch.from_numpy(games.tokens[:, 1:] > 0)
    entropy = -(targets * targets.clamp(min=1e-30).log()).sum(-1)[:, :59][followed].mean()
    assert abs(float(entropy) - legality(Player(_legal_only), games).floor) < 1e-6
