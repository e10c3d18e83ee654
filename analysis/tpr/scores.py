"""How a predicted board is held against the true one; plain numpy, so that anything with predictions can be scored."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.errors import UserError

CLASSES = 3


def accuracy(predicted: ArrayLike, boards: ArrayLike) -> float:
    """Share of squares, over all rows, whose class (n, 64) is the true one. Raises as :func:`square_accuracy`."""
    return float(square_accuracy(predicted, boards).mean())


def square_accuracy(predicted: ArrayLike, boards: ArrayLike) -> NDArray[np.float64]:
    """Share of rows in which a square's class is the true one, (64,).

    Raises UserError(field="boards") unless both are (n, 64) with at least one row.
    """
    guess, true = _pair(predicted, boards)
    return np.asarray((guess == true).mean(0), dtype=np.float64)


def macro_f1(predicted: ArrayLike, boards: ArrayLike) -> float:
    """Mean over the classes of F1 = 2 hits / (predicted + true), all squares pooled.

    A class that neither side has counts as 0, as in the usual definition. Raises as :func:`square_accuracy`.
    """
    guess, true = _pair(predicted, boards)
    table = np.bincount(CLASSES * true.ravel() + guess.ravel(), minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    either = table.sum(0) + table.sum(1)
    return float((2 * table.diagonal() / np.maximum(either, 1)).mean())


def _pair(predicted: ArrayLike, boards: ArrayLike) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    guess, true = np.asarray(predicted, dtype=np.uint8), np.asarray(boards)
    if guess.shape != true.shape or guess.ndim != 2 or not len(guess):
        raise UserError(f"Boards must have the shape of the predictions, {guess.shape}, not {true.shape}.", "boards")
    if true.min() < 0 or true.max() >= CLASSES:
        raise UserError("Boards hold whole numbers: 0 empty, 1 just moved, 2 to move.", "boards")
    return guess, true.astype(np.uint8)
