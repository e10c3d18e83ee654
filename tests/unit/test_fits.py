"""What fits to activations share: places of rows, and the hash in a name."""

from __future__ import annotations

import torch

from analysis.activations.fits import place_of_row


def test_rows_become_places_and_missing_ones_stay_missing() -> None:
    documents, positions = torch.tensor([5, 5, 9]), torch.tensor([0, 1, 7])
    found = place_of_row(documents, positions, torch.tensor([[2, -1], [0, 1]]))
    assert found.tolist() == [[[9, 7], [-1, -1]], [[5, 0], [5, 1]]] and found.dtype == torch.int16
    many = place_of_row(documents + 40_000, positions, torch.tensor([2, -1]))
    assert many.tolist() == [[40_009, 7], [-1, -1]]


def test_places_are_small_where_they_fit() -> None:
    documents, positions = torch.tensor([3, 40_000]), torch.tensor([7, 8])
    assert place_of_row(documents, positions, torch.tensor([[0, -1]])).tolist() == [[[3, 7], [-1, -1]]]
    assert place_of_row(documents, positions, torch.tensor([0])).dtype == torch.int16
    assert place_of_row(documents, positions, torch.tensor([1])).tolist() == [[40_000, 8]]
