"""Random games by the hundred thousand, with their boards and legal sets.

Each game picks uniformly among the legal moves until neither side can move. The choice at a ply is a hash of seed, game
and ply, so that game i of a seed is the same whatever the number of threads, of games, or of batches: a training run
takes games 0, 1, 2, ... of one seed and never meets one twice, and a test set is a range of another seed.

The kernels release the interpreter's lock and plain threads share the games out. numba's own parallel loops are not
used: their OpenMP layer sets the number of threads of the whole process, torch's included.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from analysis.errors import UserError
from analysis.othello.bitboard import START_BLACK, START_WHITE, U, count, flips, legal, mix, nth_bit, perft_count
from analysis.othello.squares import MOVES, TOKEN_OF_SQUARE

Labels = Literal["parity", "mover"]
_MAX_GAMES = 50_000_000
_MAX_PERFT = 12
_SHARE = 2_048


class Games(NamedTuple):
    """Games as arrays; ply t counts from 0, and everything is said of the position *after* the move of ply t.

    ``tokens`` (n, 60) uint8, 0 where the game was over; ``black`` and ``white`` (n, 60) uint64 discs; ``legal`` (n, 60)
    uint64, the moves open to whoever moves next, passes taken into account, 0 when the game is over; ``white_moved``
    (n, 60) bool; ``length`` (n,) uint8, moves played.
    """

    tokens: NDArray[np.uint8]
    black: NDArray[np.uint64]
    white: NDArray[np.uint64]
    legal: NDArray[np.uint64]
    white_moved: NDArray[np.bool_]
    length: NDArray[np.uint8]

    def take(self, rows: NDArray | slice) -> Games:
        """The same arrays for some games only."""
        return Games(*(array[rows] for array in self))  # type: ignore[arg-type]


def random_games(n: int, seed: int, *, first: int = 0, threads: int | None = None) -> Games:
    """Games ``first`` to ``first + n - 1`` of a seed, with boards and legal sets.

    Args:
        n: number of games, 0 to 50 million.
        seed: any integer of 0 or more.
        first: the index of the first game.
        threads: at most so many at once; as many as the machine has if None.

    Raises:
        UserError: a number out of range.
    """
    _check(n, seed, first)
    tokens = np.zeros((n, MOVES), np.uint8)
    black, white, open_moves = (np.zeros((n, MOVES), np.uint64) for _ in range(3))
    white_moved = np.zeros((n, MOVES), np.bool_)
    length = np.zeros(n, np.uint8)
    key = _key(seed)

    def play(a: int, b: int) -> None:
        rows = slice(a, b)
        arrays = (tokens[rows], black[rows], white[rows], open_moves[rows], white_moved[rows], length[rows])
        _play_all(key, first + a, *arrays, TOKEN_OF_SQUARE)

    _share_out(play, n, threads)
    return Games(tokens, black, white, open_moves, white_moved, length)


def random_tokens(n: int, seed: int, *, first: int = 0, threads: int | None = None) -> NDArray[np.uint8]:
    """The tokens (n, 60) alone of the same games as `random_games` gives; what a training run needs."""
    _check(n, seed, first)
    tokens = np.zeros((n, MOVES), np.uint8)
    key = _key(seed)
    _share_out(lambda a, b: _play_tokens(key, first + a, tokens[a:b], TOKEN_OF_SQUARE), n, threads)
    return tokens


def perft(depth: int) -> int:
    """Leaves of the game tree ``depth`` plies below the start; a pass is a ply, a finished game counts once.

    Raises:
        UserError: depth outside 0 to 12 (12 takes minutes).
    """
    if not 0 <= depth <= _MAX_PERFT:
        raise UserError(f"The depth must lie between 0 and {_MAX_PERFT}.", "depth")
    return int(perft_count(depth))


def unpack(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """The bits of words (...,) as (..., 64) booleans by square."""
    as_bytes = np.ascontiguousarray(words).astype("<u8")[..., None].view(np.uint8)
    return np.unpackbits(as_bytes, axis=-1, bitorder="little").astype(np.bool_)


def board_labels(games: Games, labels: Labels = "parity", positions: int = 59) -> NDArray[np.uint8]:
    """Boards (n, positions, 64) uint8: 0 empty, 1 the side that just moved, 2 the side to move.

    ``"parity"``: after ply t the side that just moved is taken to be black for even t, as the papers' code does;
    ``"mover"``: it is whoever really moved. The two differ after a pass, in 0.6 % of all square labels of random games
    of 60 moves. Positions past the end of a game are all 0.
    """
    black, white = unpack(games.black[:, :positions]), unpack(games.white[:, :positions])
    if labels == "parity":
        white_moved = np.broadcast_to(np.arange(positions) % 2 == 1, black.shape[:2])
    elif labels == "mover":
        white_moved = games.white_moved[:, :positions]
    else:
        raise UserError("Labels follow 'parity' or 'mover'.", "labels")
    turned = white_moved[..., None]
    just_moved = np.where(turned, white, black)
    to_move = np.where(turned, black, white)
    return just_moved.astype(np.uint8) + 2 * to_move.astype(np.uint8)


def _check(n: int, seed: int, first: int) -> None:
    if not 0 <= n <= _MAX_GAMES:
        raise UserError(f"The number of games must lie between 0 and {_MAX_GAMES:,}.", "games")
    if seed < 0 or first < 0:
        raise UserError("Seed and first game must not be negative.", "seed")


def _share_out(play: Callable[[int, int], None], n: int, threads: int | None) -> None:
    workers = min(threads or os.cpu_count() or 1, -(-n // _SHARE))
    if workers <= 1:
        play(0, n)
        return
    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(play, a, min(a + _SHARE, n)) for a in range(0, n, _SHARE)]:
            done.result()


def _key(seed: int) -> np.uint64:
    return U((seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) & 0xFFFFFFFFFFFFFFFF)


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _choose(moves: np.uint64, key: np.uint64, game: int, ply: int) -> np.uint64:
    word = mix(key ^ mix(U(game * 64 + ply) * U(0x9E3779B97F4A7C15) + key))
    # The high 32 bits times the count, without a division and with a bias below one in 10^8.
    return nth_bit(moves, int(((word >> U(32)) * U(count(moves))) >> U(32)))


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _square(move: np.uint64) -> int:
    return count(move - U(1))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _play_all(
    key: np.uint64,
    first: int,
    tokens: NDArray,
    black: NDArray,
    white: NDArray,
    open_moves: NDArray,
    white_moved: NDArray,
    length: NDArray,
    token_of: NDArray,
) -> None:
    for g in range(tokens.shape[0]):
        own, other = START_BLACK, START_WHITE
        white_moves = False
        moves = legal(own, other)
        ply = 0
        while moves != U(0):
            move = _choose(moves, key, first + g, ply)
            turned = flips(move, own, other)
            own, other = other ^ turned, own | move | turned
            white_moved[g, ply] = white_moves
            white_moves = not white_moves
            moves = legal(own, other)
            if moves == U(0):  # a forced pass, or the end
                own, other = other, own
                white_moves = not white_moves
                moves = legal(own, other)
            tokens[g, ply] = token_of[_square(move)]
            black[g, ply] = other if white_moves else own
            white[g, ply] = own if white_moves else other
            open_moves[g, ply] = moves
            ply += 1
        length[g] = ply


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _play_tokens(key: np.uint64, first: int, tokens: NDArray, token_of: NDArray) -> None:
    for g in range(tokens.shape[0]):
        own, other = START_BLACK, START_WHITE
        moves = legal(own, other)
        ply = 0
        while moves != U(0):
            move = _choose(moves, key, first + g, ply)
            turned = flips(move, own, other)
            own, other = other ^ turned, own | move | turned
            moves = legal(own, other)
            if moves == U(0):
                own, other = other, own
                moves = legal(own, other)
            tokens[g, ply] = token_of[_square(move)]
            ply += 1
