"""What the small method answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class EmbeddingNorms:
    """Tokens of a text, and the Euclidean norm of the embedding of each, (T,) float32."""

    labels: tuple[str, ...]
    norms: np.ndarray
