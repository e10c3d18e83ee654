"""Attribution of raw logits against a slow version, written from dossier 3.5 with explicit projectors and loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from analysis.qk import QKSubspace, attribute_logits

D, KEYS = 12, 7


def overlapping(count: int, seed: int = 0) -> list[QKSubspace]:
    """Subspaces that share directions: each holds part of one common plane and some of its own."""
    generator = torch.Generator().manual_seed(seed)
    common = torch.randn(D, 2, generator=generator, dtype=torch.float64)
    found = []
    for rank in (3, 2, 4)[:count]:
        left, right = (
            torch.linalg.qr(
                torch.cat([common, torch.zeros(D, D - 2)], 1)
                + 0.6 * torch.randn(D, D, generator=generator, dtype=torch.float64)
            )[0]
            for _ in range(2)
        )
        found.append(QKSubspace(left, right, torch.ones(D, dtype=torch.float64), rank))
    return found


def data(seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(D, generator=generator, dtype=torch.float64),
        torch.randn(KEYS, D, generator=generator, dtype=torch.float64),
    )


def projector(columns: np.ndarray) -> np.ndarray:
    return columns @ np.linalg.pinv(columns) if columns.shape[1] else np.zeros((D, D))


def components(vector: np.ndarray, bases: list[np.ndarray], orthogonalise: bool) -> list[np.ndarray]:
    """One component per basis and the residue: P_a v, then P_b of what is left, and so on.

    Orthogonalised, a component is the projection on what its basis adds to the span of the earlier ones, which is the
    difference of the projectors on the two spans.
    """
    parts: list[np.ndarray] = []
    for index, basis in enumerate(bases):
        if orthogonalise:
            earlier = np.concatenate([np.zeros((D, 0)), *bases[:index]], 1)
            parts.append((projector(np.concatenate([earlier, basis], 1)) - projector(earlier)) @ vector)
        else:
            residue = vector - sum(parts, np.zeros(D))
            parts.append(sum((float(column @ residue) * column for column in basis.T), np.zeros(D)))
    return [*parts, vector - sum(parts, np.zeros(D))]


def slowly(
    query: torch.Tensor, keys: torch.Tensor, subspaces: list[QKSubspace], side: str, orthogonalise: bool
) -> np.ndarray:
    q, rows, count = query.numpy(), keys.numpy(), len(subspaces)
    query_parts = components(q, [s.left[:, : s.rank].numpy() for s in subspaces], orthogonalise)
    table = np.zeros((KEYS, count + 1))
    for j, k in enumerate(rows):
        key_parts = components(k, [s.right[:, : s.rank].numpy() for s in subspaces], orthogonalise)
        for a, b in itertools.product(range(count + 1), repeat=2):
            logit = float(query_parts[a] @ key_parts[b])
            if side == "query":
                table[j, a] += logit
            elif side == "key":
                table[j, b] += logit
            else:
                table[j, a if a == b else count] += logit
    return table


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("side", ["query", "key", "both"])
@pytest.mark.parametrize("orthogonalise", [False, True])
def test_parts_equal_the_slow_version_and_sum_to_the_logit(count: int, side: str, orthogonalise: bool) -> None:
    (query, keys), subspaces = data(), overlapping(count)
    parts = attribute_logits(query, keys, subspaces, side, orthogonalise)
    assert parts.shape == (KEYS, count + 1)
    assert np.abs(parts.numpy() - slowly(query, keys, subspaces, side, orthogonalise)).max() < 1e-10
    assert (parts.sum(1) - keys @ query).abs().max() < 1e-10
    assert (parts[:, :-1].sum(1) - keys @ query).abs().max() > 1e-3


@pytest.mark.parametrize("side", ["query", "key", "both"])
@pytest.mark.parametrize("orthogonalise", [False, True])
def test_the_order_of_overlapping_features_matters(side: str, orthogonalise: bool) -> None:
    (query, keys), (a, b) = data(), overlapping(2)
    forth = attribute_logits(query, keys, [a, b], side, orthogonalise)
    back = attribute_logits(query, keys, [b, a], side, orthogonalise)
    assert (forth[:, 0] - back[:, 1]).abs().max() > 1e-2


def test_the_order_of_orthogonal_features_does_not_matter() -> None:
    query, keys = data()
    basis = torch.linalg.qr(torch.randn(D, D, generator=torch.Generator().manual_seed(4), dtype=torch.float64))[0]
    ones = torch.ones(D, dtype=torch.float64)
    a, b = QKSubspace(basis, basis, ones, 3), QKSubspace(basis.flip(1), basis.flip(1), ones, 4)
    forth = attribute_logits(query, keys, [a, b])
    back = attribute_logits(query, keys, [b, a])
    assert torch.allclose(forth, back[:, [1, 0, 2]], atol=1e-12)


def test_residual_and_orthogonalised_parts_differ_when_features_overlap() -> None:
    (query, keys), subspaces = data(), overlapping(2)
    plain = attribute_logits(query, keys, subspaces, "query", False)
    assert (plain - attribute_logits(query, keys, subspaces, "query", True)).abs().max() > 1e-2


@pytest.mark.parametrize("side", ["query", "key", "both"])
@pytest.mark.parametrize("orthogonalise", [False, True])
def test_a_feature_given_twice_gets_its_share_once(side: str, orthogonalise: bool) -> None:
    (query, keys), (a,) = data(), overlapping(1)
    parts = attribute_logits(query, keys, [a, a, a.with_rank(0)], side, orthogonalise)
    assert parts[:, 1].abs().max() < 1e-10 and torch.equal(parts[:, 2], torch.zeros_like(parts[:, 2]))
    assert torch.allclose(parts[:, 0], attribute_logits(query, keys, [a], side)[:, 0], atol=1e-10)


def test_without_features_all_is_remainder_and_the_dtype_follows_the_query() -> None:
    query, keys = data()
    assert torch.allclose(attribute_logits(query, keys, [])[:, 0], keys @ query)
    assert attribute_logits(query.float(), keys.float(), overlapping(2)).dtype == torch.float32


def test_bad_shapes_and_sides_are_refused() -> None:
    query, keys = data()
    for q, k in ((query[None], keys), (query, keys[0]), (query, keys[:, :-1])):
        with pytest.raises(ValueError, match="go together"):
            attribute_logits(q, k, overlapping(1))
    with pytest.raises(ValueError, match="side"):
        attribute_logits(query, keys, overlapping(1), "values")  # type: ignore[arg-type]
