"""How many random Othello games a second, boards and legal sets included? ``python -m benchmarks.othello_games``.

One thread throughout. Two baselines play the same rules: the slow engine of the tests (lists, loops over eight
directions), and shifts on whole arrays, one ply of all games at a time in numpy. The second makes the very games of the
kernels, bit for bit, which is checked before anything is timed. Seconds are per game, since the slow engine cannot be
given as many.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.othello.bitboard import START_BLACK, START_WHITE, U
from analysis.othello.games import Games, _key, perft, random_games, random_tokens, unpack
from analysis.othello.squares import MOVES, TOKEN_OF_SQUARE
from benchmarks.timing import interleaved
from tests.unit.othello import mailbox

Words = NDArray[np.uint64]
_INNER = U(0x7E7E7E7E7E7E7E7E)
_GOLDEN = U(0x9E3779B97F4A7C15)


def run(games: int = 20_000, slow_games: int = 20, rounds: int = 3) -> dict[str, Any]:
    """Games a second of the kernels on one core, with everything and tokens only, and how many times the baselines'."""
    _check_same()
    kernels = _kernels(games)
    slow = _pair(lambda: _by_mailbox(slow_games), slow_games, kernels, games, rounds)
    arrays = _pair(lambda: by_numpy(games, 1), games, kernels, games, rounds)
    tokens = interleaved(kernels, lambda: random_tokens(games, 1, threads=1), rounds)
    return {
        "games a second, boards and legal sets": arrays["candidate"],
        "games a second, tokens only": games / tokens["candidate_s"],
        "games a second, slow engine": slow["baseline"],
        "games a second, numpy": arrays["baseline"],
        "times the slow engine": slow["candidate"] / slow["baseline"],
        "times numpy": arrays["candidate"] / arrays["baseline"],
        "games": games,
    }


def tree(depth: int = 9, slow_depth: int = 5, rounds: int = 3) -> dict[str, Any]:
    """Leaves of the game tree a second, against the slow engine's."""
    found = interleaved(lambda: mailbox.perft(slow_depth), lambda: perft(depth), rounds)
    fast, slow = perft(depth) / found["candidate_s"], perft(slow_depth) / found["baseline_s"]
    return {"leaves a second": fast, "leaves a second, slow engine": slow, "times": fast / slow, "depth": depth}


def by_numpy(n: int, seed: int) -> Games:
    """The games of `random_games`, a ply of all of them at a time."""
    own, other = np.full(n, START_BLACK), np.full(n, START_WHITE)
    white_moves = np.zeros(n, np.bool_)
    black, white, legal = (np.zeros((n, MOVES), np.uint64) for _ in range(3))
    tokens, white_moved = np.zeros((n, MOVES), np.uint8), np.zeros((n, MOVES), np.bool_)
    out = Games(tokens, black, white, legal, white_moved, np.zeros(n, np.uint8))
    moves, key = _legal(own, other), _key(seed)
    for ply in range(MOVES):
        there = moves != 0
        if not there.any():
            break
        square = _choice(moves, key, ply)
        move = np.where(there, U(1) << square, U(0))
        turned = _flips(move, own, other)
        own, other = other ^ turned, own | move | turned
        out.white_moved[:, ply] = white_moves & there
        white_moves = ~white_moves
        moves = _legal(own, other)
        stuck = moves == 0
        own, other = np.where(stuck, other, own), np.where(stuck, own, other)
        white_moves ^= stuck
        moves = np.where(stuck, _legal(own, other), moves) * there
        out.tokens[:, ply] = TOKEN_OF_SQUARE[square] * there
        out.black[:, ply] = np.where(white_moves, other, own) * there
        out.white[:, ply] = np.where(white_moves, own, other) * there
        out.legal[:, ply] = moves
        out.length[there] = ply + 1
    return out


def _directions(other: Words) -> list[tuple[Callable[..., Any], Any, Words]]:
    inner = other & _INNER
    pairs = ((1, inner), (7, inner), (8, other), (9, inner))
    return [(shift, U(step), through) for step, through in pairs for shift in (np.left_shift, np.right_shift)]


def _legal(own: Words, other: Words) -> Words:
    found = np.zeros_like(own)
    for shift, step, through in _directions(other):
        run = through & shift(own, step)
        for _ in range(5):
            run |= through & shift(run, step)
        found |= shift(run, step)
    return found & ~(own | other)


def _flips(move: Words, own: Words, other: Words) -> Words:
    found = np.zeros_like(own)
    for shift, step, through in _directions(other):
        run = through & shift(move, step)
        for _ in range(5):
            run |= through & shift(run, step)
        found |= np.where(shift(run, step) & own != 0, run, U(0))
    return found


def _choice(moves: Words, key: np.uint64, ply: int) -> Words:
    """The square that the kernels draw from the legal ones: the same hash of key, game and ply."""
    with np.errstate(over="ignore"):
        counter = np.arange(len(moves), dtype=np.uint64) * U(64) + U(ply)
        word = _mix(key ^ _mix(counter * _GOLDEN + key))
    rank = ((word >> U(32)) * np.bitwise_count(moves).astype(np.uint64)) >> U(32)
    square: NDArray[np.int64] = (np.cumsum(unpack(moves), 1, dtype=np.uint8) > rank[:, None]).argmax(1)
    return square.astype(np.uint64)


def _mix(x: Words) -> Words:
    x = (x ^ (x >> U(30))) * U(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> U(27))) * U(0x94D049BB133111EB)
    return x ^ (x >> U(31))


def _check_same() -> None:
    one, other = by_numpy(500, 1), random_games(500, 1, threads=1)
    for name in one._fields:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def _by_mailbox(n: int) -> None:
    for seed in range(n):
        mailbox.random_game(random.Random(seed).choice)  # noqa: S311


def _kernels(games: int) -> Callable[[], Any]:
    return lambda: random_games(games, 1, threads=1)


def _pair(
    baseline: Callable[[], Any], its_games: int, candidate: Callable[[], Any], games: int, rounds: int
) -> dict[str, float]:
    found = interleaved(baseline, candidate, rounds)
    return {"baseline": its_games / found["baseline_s"], "candidate": games / found["candidate_s"]}


def main() -> dict[str, Any]:
    """Both benchmarks by name."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--games", type=int, default=20_000)
    games = parser.parse_known_args()[0].games
    return {"random Othello games on one core": run(games), "Othello's game tree on one core": tree()}


if __name__ == "__main__":
    for name, facts in main().items():
        print(name, {k: round(v, 1) if isinstance(v, float) else v for k, v in facts.items()})
