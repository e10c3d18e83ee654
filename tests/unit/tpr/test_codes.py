"""Codes without structure, boards without structure, and a teacher with roles that are known."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.tpr.codes import encode, iid_boards, random_codes, shuffled_boards, structured


def test_codes_are_sums_of_the_squares_vectors() -> None:
    codes, boards = random_codes(24, 3), iid_boards(6, 1)
    slow = np.array([sum(codes[s, row[s]] for s in range(64)) for row in boards])
    found = encode(boards, codes)
    assert found.dtype == np.float32 and np.allclose(found, slow, atol=1e-4)


def test_noise_has_the_deviation_asked_for_and_a_seed() -> None:
    codes, boards = random_codes(40, 3), iid_boards(200, 1)
    noise = encode(boards, codes, noise=2.0, random_state=5) - encode(boards, codes)
    assert noise.std() == pytest.approx(2.0, rel=0.05) and abs(noise.mean()) < 0.1
    assert np.array_equal(*(encode(boards, codes, 2.0, 5) for _ in range(2)))
    assert not np.allclose(encode(boards, codes, 2.0, 6), encode(boards, codes, 2.0, 5))


def test_random_codes_are_normal_and_decided_by_their_seed() -> None:
    codes = random_codes(300, 7)
    assert codes.shape == (64, 3, 300) and np.array_equal(codes, random_codes(300, 7))
    flat = codes.reshape(192, 300)
    # 192 vectors without relation: off the diagonal, cosines of deviation 1 / sqrt(300).
    unit = flat / np.linalg.norm(flat, axis=1, keepdims=True)
    assert (unit @ unit.T)[np.triu_indices(192, 1)].std() == pytest.approx(300**-0.5, rel=0.05)


def test_squares_of_iid_boards_are_independent() -> None:
    n, shares = 4000, np.array([0.5, 0.3, 0.2])
    boards = iid_boards(n, 2, shares)
    assert boards.dtype == np.uint8 and set(np.unique(boards)) == {0, 1, 2}
    onehot = np.stack([boards == c for c in range(3)], -1).astype(float)
    assert np.abs(onehot.mean(0) - shares).max() < 0.05
    pairs = np.einsum("nsc,ntd->stcd", onehot, onehot, optimize=True) / n
    expected = np.einsum("sc,td->stcd", onehot.mean(0), onehot.mean(0))
    upper = np.triu_indices(64, 1)
    # Pearson's chi-square of each 3 x 3 table has four degrees of freedom under independence: mean 4, variance 8.
    chi = (n * (pairs - expected) ** 2 / expected).sum((2, 3))[upper]
    assert chi.mean() == pytest.approx(4, abs=0.3) and chi.var() == pytest.approx(8, abs=2)


def test_uniform_shares_are_the_default() -> None:
    assert np.bincount(iid_boards(2000, 0).ravel()) / 128_000 == pytest.approx(np.full(3, 1 / 3), abs=0.01)


def test_shuffling_keeps_each_square_and_loses_what_goes_together() -> None:
    first = iid_boards(1500, 2, (0.5, 0.3, 0.2))[:, :1]
    boards = np.concatenate([np.repeat(first, 32, 1), 2 - np.repeat(first, 32, 1)], 1).astype(np.uint8)
    kept = boards.copy()
    mixed = shuffled_boards(boards, 4)
    assert np.array_equal(np.sort(mixed, 0), np.sort(boards, 0)) and np.array_equal(boards, kept)
    assert (boards[:, 0] == boards[:, 1]).all()
    agree = np.mean([(mixed[:, 0] == mixed[:, s]).mean() for s in range(1, 32)])
    assert agree == pytest.approx(float(((np.bincount(first[:, 0]) / 1500) ** 2).sum()), abs=0.02)
    assert np.array_equal(mixed, shuffled_boards(boards, 4)) and not np.array_equal(mixed, shuffled_boards(boards, 5))


def test_structured_codes_are_a_tpr_of_the_roles_that_are_given() -> None:
    codes, roles = structured(200, 10, 1)
    assert codes.shape == (64, 3, 200) and roles.shape == (64, 10)
    # Each filler and coordinate of the residual stream is linear in the roles, and nothing else is.
    flat = codes.reshape(64, -1)
    left = flat - roles @ np.linalg.lstsq(roles, flat, rcond=None)[0]
    assert np.abs(left).max() < 1e-10 * np.abs(flat).max()
    assert np.linalg.matrix_rank(flat) == 10
    # Three colours in two filler dimensions: the unfolding by colour has rank two.
    assert np.linalg.matrix_rank(codes.transpose(1, 0, 2).reshape(3, -1)) == 2
    assert np.linalg.matrix_rank(random_codes(200, 1).reshape(64, -1)) == 64


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("width", lambda: random_codes(0, 1)),
        ("width", lambda: structured(8, 0, 1)),
        ("boards", lambda: encode(np.zeros((2, 5), np.uint8), random_codes(8, 1))),
        ("boards", lambda: encode(np.full((2, 64), 3, np.uint8), random_codes(8, 1))),
        ("boards", lambda: encode(np.zeros((2, 64), np.uint8), np.zeros((64, 3)))),
        ("noise", lambda: encode(np.zeros((2, 64), np.uint8), random_codes(8, 1), noise=-1.0)),
        ("probabilities", lambda: iid_boards(3, 1, (0.5, 0.5, 0.5))),
        ("probabilities", lambda: iid_boards(3, 1, (1.5, -0.5, 0.0))),
    ],
)
def test_bad_input_is_named(field: str, call: object) -> None:
    with pytest.raises(UserError) as caught:
        call()  # type: ignore[operator]
    assert caught.value.field == field
