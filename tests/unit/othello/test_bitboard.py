"""The compiled rules against the slow engine, on positions of games and on positions no game can reach."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.errors import UserError
from analysis.othello.bitboard import U, count, flips, legal, mix, perft_count
from analysis.othello.games import perft
from tests.unit.othello import mailbox

# Aart Bik's table, recomputed for the dossier. Passes are met from depth 9 on, ends of games above the leaves at 11.
PERFT = (1, 4, 12, 56, 244, 1396, 8200, 55_092, 390_216, 3_005_288, 24_571_284)

words = st.integers(0, 2**64 - 1)


def _grid(own: int, other: int) -> mailbox.Grid:
    sides = [mailbox.BLACK if own >> s & 1 else mailbox.WHITE if other >> s & 1 else mailbox.EMPTY for s in range(64)]
    return [sides[8 * r : 8 * r + 8] for r in range(8)]


@settings(max_examples=300, deadline=None)
@given(words, words)
def test_legal_squares_and_flips_of_any_two_sets_of_discs(a: int, b: int) -> None:
    own, other = a & ~b, b & ~a
    grid = _grid(own, other)
    moves = mailbox.legal(grid, mailbox.BLACK)
    found = int(legal(U(own), U(other)))
    assert found == sum(1 << s for s in moves)
    for s in range(64):
        if not (own | other) >> s & 1:
            turned = int(flips(U(1 << s), U(own), U(other)))
            assert turned == sum(1 << t for t in mailbox.turned(grid, s, mailbox.BLACK))


@pytest.mark.parametrize("word", [0, 1, 1 << 63, 2**64 - 1, 0x7E7E7E7E7E7E7E7E, 0xAAAAAAAAAAAAAAAA])
def test_bits_are_counted_at_the_ends_too(word: int) -> None:
    assert count(U(word)) == word.bit_count()


@given(words)
def test_bits_are_counted(word: int) -> None:
    assert count(U(word)) == word.bit_count()


def test_hash_is_splitmix64() -> None:
    # splitmix64 started at 0 adds the golden ratio and mixes; its first outputs are published.
    state, found = 0, []
    for _ in range(3):
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        found.append(int(mix(U(state))))
    assert found == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


@pytest.mark.parametrize("depth", range(11))
def test_perft_of_the_published_table(depth: int) -> None:
    assert perft(depth) == PERFT[depth]


def test_perft_of_the_slow_engine() -> None:
    assert [mailbox.perft(depth) for depth in range(6)] == list(PERFT[:6])


def test_perft_where_games_end_above_the_leaves() -> None:
    assert perft(11) == 212_258_800


@pytest.mark.parametrize("depth", [-1, 13])
def test_perft_refuses_what_would_take_hours(depth: int) -> None:
    with pytest.raises(UserError) as caught:
        perft(depth)
    assert caught.value.field == "depth"


def test_words_stay_words() -> None:
    # numba turns a mixture of uint64 and int64 into floats, which lose the low bits without a word.
    assert perft_count(1) == 4 and isinstance(legal(U(1 << 28 | 1 << 35), U(1 << 27 | 1 << 36)), int | np.uint64)
