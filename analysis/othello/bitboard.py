"""Othello on two 64-bit words, compiled by numba.

Bit s of a word is square s. A direction is a shift; discs are flooded from one side through the other side's discs,
which are masked so that no line runs over the edge of the board. The kernels take and give uint64 only: numba turns a
mixture of uint64 and int64 into floats. Everything that plays many games is built from `legal` and `flips`.
"""

from __future__ import annotations

import numba
import numpy as np

U = np.uint64
START_BLACK = U(1 << 28 | 1 << 35)
START_WHITE = U(1 << 27 | 1 << 36)
_INNER = U(0x7E7E7E7E7E7E7E7E)
_FULL = U(0xFFFFFFFFFFFFFFFF)
_ONE = U(1)
_ZERO = U(0)


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _up(own: np.uint64, through: np.uint64, shift: np.uint64) -> np.uint64:
    """Squares one step beyond runs of ``through`` that begin beside ``own``, towards higher squares."""
    run = through & (own << shift)
    run |= through & (run << shift)
    run |= through & (run << shift)
    run |= through & (run << shift)
    run |= through & (run << shift)
    run |= through & (run << shift)
    return run << shift


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _down(own: np.uint64, through: np.uint64, shift: np.uint64) -> np.uint64:
    run = through & (own >> shift)
    run |= through & (run >> shift)
    run |= through & (run >> shift)
    run |= through & (run >> shift)
    run |= through & (run >> shift)
    run |= through & (run >> shift)
    return run >> shift


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def legal(own: np.uint64, other: np.uint64) -> np.uint64:
    """The squares on which the side with discs ``own`` may play, as a word."""
    inner = other & _INNER
    found = _up(own, inner, U(1)) | _down(own, inner, U(1))
    found |= _up(own, other, U(8)) | _down(own, other, U(8))
    found |= _up(own, inner, U(7)) | _down(own, inner, U(7))
    found |= _up(own, inner, U(9)) | _down(own, inner, U(9))
    return found & ~(own | other)


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _flip_up(move: np.uint64, own: np.uint64, through: np.uint64, shift: np.uint64) -> np.uint64:
    run = through & (move << shift)
    run |= through & (run << shift)
    run |= through & (run << shift)
    run |= through & (run << shift)
    run |= through & (run << shift)
    run |= through & (run << shift)
    return run if (run << shift) & own != _ZERO else _ZERO


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def _flip_down(move: np.uint64, own: np.uint64, through: np.uint64, shift: np.uint64) -> np.uint64:
    run = through & (move >> shift)
    run |= through & (run >> shift)
    run |= through & (run >> shift)
    run |= through & (run >> shift)
    run |= through & (run >> shift)
    run |= through & (run >> shift)
    return run if (run >> shift) & own != _ZERO else _ZERO


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def flips(move: np.uint64, own: np.uint64, other: np.uint64) -> np.uint64:
    """The discs of ``other`` that turn when the side with ``own`` plays the one-bit word ``move``."""
    inner = other & _INNER
    turned = _flip_up(move, own, inner, U(1)) | _flip_down(move, own, inner, U(1))
    turned |= _flip_up(move, own, other, U(8)) | _flip_down(move, own, other, U(8))
    turned |= _flip_up(move, own, inner, U(7)) | _flip_down(move, own, inner, U(7))
    turned |= _flip_up(move, own, inner, U(9)) | _flip_down(move, own, inner, U(9))
    return turned


@numba.njit(cache=True)  # type: ignore[untyped-decorator]
def count(word: np.uint64) -> int:
    """How many bits are set."""
    word = word - ((word >> U(1)) & U(0x5555555555555555))
    word = (word & U(0x3333333333333333)) + ((word >> U(2)) & U(0x3333333333333333))
    word = (word + (word >> U(4))) & U(0x0F0F0F0F0F0F0F0F)
    return int((word * U(0x0101010101010101)) >> U(56))


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def nth_bit(word: np.uint64, n: int) -> np.uint64:
    """The n-th set bit (0 is the lowest) as a one-bit word."""
    for _ in range(n):
        word &= word - _ONE
    return word & (~word + _ONE)


@numba.njit(inline="always")  # type: ignore[untyped-decorator]
def mix(x: np.uint64) -> np.uint64:
    """A well mixed word of a counter (the finaliser of splitmix64): random numbers that need no state."""
    x = (x ^ (x >> U(30))) * U(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> U(27))) * U(0x94D049BB133111EB)
    return x ^ (x >> U(31))


@numba.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def perft_count(depth: int) -> int:
    """Positions ``depth`` plies below the start; a pass is a ply, and a finished game counts once where it is met.

    A stack in place of recursion: numba's cache does not survive functions that call themselves.
    """
    if depth == 0:
        return 1
    own, other, moves = np.zeros(depth + 1, np.uint64), np.zeros(depth + 1, np.uint64), np.zeros(depth + 1, np.uint64)
    passed = np.zeros(depth + 1, np.bool_)
    own[0], other[0] = START_BLACK, START_WHITE
    moves[0] = legal(own[0], other[0])
    level, total = 0, 0
    while level >= 0:
        if level == depth - 1 and moves[level] != _ZERO:
            total += count(moves[level])
            level -= 1
            continue
        if moves[level] == _ZERO:
            level -= 1
            continue
        move = moves[level] & (~moves[level] + _ONE)
        moves[level] ^= move
        turned = flips(move, own[level], other[level])
        below = level + 1
        own[below], other[below] = other[level] ^ turned, own[level] | move | turned
        passed[below] = False
        moves[below] = legal(own[below], other[below])
        # A pass is a ply of its own; at the last level it would be the leaf, so that nothing below is asked for.
        while below < depth and moves[below] == _ZERO:
            if passed[below] or legal(other[below], own[below]) == _ZERO:
                total += 1
                break
            own[below + 1], other[below + 1] = other[below], own[below]
            passed[below + 1] = True
            below += 1
            moves[below] = legal(own[below], other[below])
        if below == depth:
            total += 1
        elif moves[below] != _ZERO:
            level = below
    return total
