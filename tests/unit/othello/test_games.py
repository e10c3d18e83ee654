"""Random games: the slow engine's at every ply, the same however they are shared out, and evenly drawn."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.othello.games import Games, board_labels, perft, random_games, random_tokens, unpack
from analysis.othello.squares import CENTRE, SQUARE_OF_TOKEN, TOKEN_OF_SQUARE
from tests.unit.othello import mailbox

MANY = 100_000


@pytest.fixture(scope="module")
def many() -> Games:
    return random_games(MANY, 31, threads=1)


@pytest.fixture(scope="module")
def chosen(many: Games) -> Games:
    """About 300 games of the many, among them all kinds that are rare: short ones, and ones with several passes."""
    passes = _passes(many).sum(1)
    short, passing = np.nonzero(many.length < 60)[0][:40], np.nonzero(passes >= 3)[0][:40]
    shortest = np.argsort(many.length)[:10]
    rows = np.unique(np.concatenate([np.arange(220), short, passing, shortest]))
    return many.take(np.asarray(rows))


def _squares(games: Games, row: int) -> list[int]:
    return [int(SQUARE_OF_TOKEN[token]) for token in games.tokens[row, : games.length[row]]]


def _passes(games: Games) -> np.ndarray:
    """(n, 59): whether the move after ply t is made by the side that made ply t."""
    same = games.white_moved[:, 1:] == games.white_moved[:, :-1]
    return np.asarray(same & (games.tokens[:, 1:] > 0))


def test_every_ply_is_that_of_the_slow_engine(chosen: Games) -> None:
    seen_pass = seen_short = 0
    for row in range(len(chosen.tokens)):
        squares = _squares(chosen, row)
        afters = mailbox.replay(squares)
        assert not afters[-1].legal and chosen.length[row] == len(squares)
        for t, after in enumerate(afters):
            assert int(chosen.black[row, t]) == mailbox.word(after.grid, mailbox.BLACK)
            assert int(chosen.white[row, t]) == mailbox.word(after.grid, mailbox.WHITE)
            assert int(chosen.legal[row, t]) == sum(1 << s for s in after.legal)
            assert bool(chosen.white_moved[row, t]) == (after.mover == mailbox.WHITE)
            seen_pass += after.passed
        seen_short += len(squares) < 60
    assert len(chosen.tokens) >= 280 and seen_pass > 150 and seen_short >= 40


def test_nothing_follows_the_end(many: Games) -> None:
    past = np.arange(60) >= many.length[:, None]
    assert past.any()
    for array in (many.tokens, many.black, many.white, many.legal, many.white_moved):
        assert not array[past].any()
    last = many.length - 1
    assert not many.legal[np.arange(MANY), last].any()
    assert (many.tokens[~past] > 0).all() and (many.tokens <= 60).all()


def test_games_do_not_depend_on_threads_batches_or_number() -> None:
    whole = random_games(5000, 7, threads=1)
    for other in (random_games(5000, 7, threads=3), random_games(5000, 7, threads=None)):
        assert all(np.array_equal(a, b) for a, b in zip(whole, other, strict=True))
    part = random_games(37, 7, first=4100, threads=2)
    assert all(np.array_equal(a, b[4100:4137]) for a, b in zip(part, whole, strict=True))
    assert np.array_equal(random_tokens(5000, 7, threads=3), whole.tokens)
    assert np.array_equal(random_tokens(37, 7, first=4100), whole.tokens[4100:4137])
    assert not np.array_equal(random_games(100, 8).tokens, whole.tokens[:100])


def test_no_games_is_an_answer() -> None:
    none = random_games(0, 1)
    assert none.tokens.shape == (0, 60) and board_labels(none).shape == (0, 59, 64)


@pytest.mark.parametrize("call", [random_games, random_tokens])
@pytest.mark.parametrize(("n", "seed", "first"), [(-1, 0, 0), (10**9, 0, 0), (1, -1, 0), (1, 0, -1)])
def test_numbers_out_of_range(call: object, n: int, seed: int, first: int) -> None:
    with pytest.raises(UserError):
        call(n, seed, first=first)  # type: ignore[operator]


def _within(successes: int, trials: int, p: float) -> bool:
    return abs(successes - trials * p) <= 4 * (trials * p * (1 - p)) ** 0.5


def test_lengths_are_those_of_a_million_other_games(many: Games) -> None:
    # The dossier's figures come from another engine and another generator: 60 in 99.04 %, 59 in 0.87 %, 58 in 0.031 %.
    for length, p in ((60, 0.9904), (59, 0.0087), (58, 0.00031)):
        assert _within(int((many.length == length).sum()), MANY, p), length
    assert abs(float(many.length.mean()) - 59.966) < 4 * float(many.length.std()) / MANY**0.5 + 5e-4  # its rounding


def test_passes_are_as_frequent_as_in_other_games(many: Games) -> None:
    number = _passes(many).sum(1)
    for count, p in enumerate((0.656, 0.262, 0.066, 0.0134, 0.0024)):
        slack = 0.5 * 10.0 ** -(4 if p < 0.05 else 3) * MANY  # the published figure is rounded
        assert abs(int((number == count).sum()) - MANY * p) <= 4 * (MANY * p * (1 - p)) ** 0.5 + slack, count
    whole = many.length == 60
    assert _within(int((whole & (number == 0)).sum()), MANY, 0.649)
    within_probed = (_passes(many)[:, :58].any(1) & whole).sum() / whole.sum()
    assert abs(within_probed - 0.158) < 0.006


def test_discs_turned_per_move(many: Games) -> None:
    own = np.where(many.white_moved, many.white, many.black)
    before = np.zeros_like(own)
    before[:, 1:] = np.where(many.white_moved[:, 1:], many.white[:, :-1], many.black[:, :-1])
    before[:, 0] = np.uint64(1 << 28 | 1 << 35)
    moves = many.tokens > 0
    turned = (np.bitwise_count(own[moves]).astype(int) - np.bitwise_count(before[moves]) - 1).mean()
    assert abs(turned - 2.25) < 0.01


def test_floor_of_the_loss(many: Games) -> None:
    there = many.tokens[:, 1:] > 0
    choices = np.bitwise_count(many.legal[:, :59])[there]
    assert abs(np.log(choices.astype(float)).mean() - 2.010) < 0.002
    # with the first move, which has four choices
    assert abs((np.log(choices.astype(float)).sum() + MANY * np.log(4)) / (there.sum() + MANY) - 1.9995) < 0.002
    assert abs((choices.sum() + 4 * MANY) / (there.sum() + MANY) - 8.53) < 0.02


def test_first_and_second_moves_are_drawn_evenly(many: Games) -> None:
    # chi-square of 12 equally likely pairs of first moves; 11 degrees of freedom, so 4 sigma lie at about 30
    _, counts = np.unique(many.tokens[:, 0].astype(int) * 64 + many.tokens[:, 1], return_counts=True)
    assert len(counts) == 12 == perft(2)
    assert ((counts - MANY / 12) ** 2 / (MANY / 12)).sum() < 35


def test_late_choices_are_even_too(many: Games) -> None:
    """Rank of the move drawn among the legal ones at ply 40: chi-square over every number of legal moves."""
    legal = unpack(many.legal[:, 39])
    square = SQUARE_OF_TOKEN[many.tokens[:, 40]].astype(int)
    there = many.tokens[:, 40] > 0
    rank = (legal & (np.arange(64) < square[:, None])).sum(1)
    score = degrees = 0.0
    for choices in range(2, 12):
        at = there & (legal.sum(1) == choices)
        counts = np.bincount(rank[at], minlength=choices)
        assert len(counts) == choices
        score += float(((counts - at.sum() / choices) ** 2 / (at.sum() / choices)).sum())
        degrees += choices - 1
    assert abs(score - degrees) < 4 * (2 * degrees) ** 0.5


def test_choices_of_neighbouring_games_and_plies_have_nothing_in_common(many: Games) -> None:
    """The choice is a hash of game and ply: were two of these hashed alike, one game would follow the other's ranks."""
    some = many.take(slice(0, 20_000))
    open_moves = np.concatenate([np.full((20_000, 1), 1 << 19 | 1 << 26 | 1 << 37 | 1 << 44, np.uint64), some.legal], 1)
    legal, square = unpack(open_moves[:, :60]), SQUARE_OF_TOKEN[some.tokens].astype(int)
    rank = (legal & (np.arange(64) < square[..., None])).sum(-1)
    there, choices = some.tokens > 0, np.maximum(legal.sum(-1), 1)
    share = np.where(there, (rank + 0.5) / choices - 0.5, 0.0)  # of mean 0 whatever the number of choices
    for games, plies in [(0, t) for t in range(1, 20)] + [(g, t) for g in (1, 2) for t in range(-20, 21)]:
        a, b = (
            share[: 20_000 - games, max(0, plies) : 60 + min(0, plies)],
            share[games:, max(0, -plies) : 60 - max(0, plies)],
        )
        products = a * b
        assert abs(products.sum()) < 5 * float((products**2).sum()) ** 0.5, (games, plies)


def test_games_differ(many: Games) -> None:
    assert len(np.unique(many.tokens, axis=0)) > 0.9998 * MANY


def test_tokens_and_squares_are_inverse() -> None:
    squares = [s for s in range(64) if s not in CENTRE]
    assert [int(TOKEN_OF_SQUARE[s]) for s in squares] == list(range(1, 61))
    by_rule = [s + 1 if s <= 26 else s - 1 if s <= 34 else s - 3 for s in squares]
    assert [int(TOKEN_OF_SQUARE[s]) for s in squares] == by_rule
    assert [int(SQUARE_OF_TOKEN[TOKEN_OF_SQUARE[s]]) for s in squares] == squares


def test_unpack_puts_bit_s_at_square_s() -> None:
    word = np.array([[1 << 63 | 1 << 8 | 1]], np.uint64)
    assert np.nonzero(unpack(word)[0, 0])[0].tolist() == [0, 8, 63]


def test_labels_after_the_first_ply(many: Games) -> None:
    labels = board_labels(many.take(slice(0, 200)))
    for row in range(200):
        (after,) = mailbox.replay(_squares(many, row)[:1])
        played, flipped = _squares(many, row)[0], after.turned[0]
        assert labels[row, 0, played] == labels[row, 0, flipped] == 1
        assert (labels[row, 0] == 1).sum() == 4 and (labels[row, 0] == 2).sum() == 1


def test_labels_of_the_mover(chosen: Games) -> None:
    labels = board_labels(chosen, "mover")
    for row in range(0, len(chosen.tokens), 5):
        for t, after in enumerate(mailbox.replay(_squares(chosen, row))[:59]):
            flat = [cell for line in after.grid for cell in line]
            assert labels[row, t].tolist() == [0 if c == "." else 1 if c == after.mover else 2 for c in flat]


def test_labels_of_both_kinds(many: Games) -> None:
    some = many.take(slice(0, 5000))
    parity, mover = board_labels(some), board_labels(some, "mover")
    there = some.tokens[:, :59] > 0
    assert parity.dtype == np.uint8 and parity.shape == (5000, 59, 64)
    # Whoever moved has at least the disc played and one turned, by the mover's labels; parity may name the other side.
    assert ((mover == 1).sum(-1)[there] >= 2).all()
    assert not parity[~there].any() and not mover[~there].any()
    ever = np.cumsum(_passes(some), 1) > 0
    passed = np.concatenate([np.zeros((5000, 1), bool), ever[:, :58]], 1)
    before = there & ~passed
    assert np.array_equal(parity[before], mover[before])
    assert not np.array_equal(parity, mover)
    # The two agree wherever an even number of passes lies behind, and swap the colours elsewhere.
    odd = np.concatenate([np.zeros((5000, 1), int), np.cumsum(_passes(some), 1)[:, :58]], 1) % 2 == 1
    swapped = np.array([0, 2, 1], np.uint8)[mover]
    assert np.array_equal(parity, np.where((odd & there)[..., None], swapped, mover))


def test_share_of_labels_that_differ_after_passes(many: Games) -> None:
    whole = many.take(np.nonzero(many.length == 60)[0][:10_000])
    parity, mover = board_labels(whole), board_labels(whole, "mover")
    differs = parity != mover
    assert abs(differs.mean() - 0.0064) < 0.0008  # of all squares
    assert abs(differs.any(-1).mean() - 0.0072) < 0.0009  # of positions
    assert abs(differs[:, 58].any(-1).mean() - 0.13) < 0.015


def test_unknown_labels(many: Games) -> None:
    with pytest.raises(UserError) as caught:
        board_labels(many.take(slice(0, 1)), "colour")  # type: ignore[arg-type]
    assert caught.value.field == "labels"
