"""The controls of the geometry: the same probe on codes that have no tensor structure at all.

A random vector stands for each (square, colour) pair and a board is the sum of its 64 vectors. Whatever pattern a TPR
probe's roles show there, on boards of real games, comes from the boards; what is left when the boards are shuffled
square by square, or drawn square by square, comes from nothing but the probe.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.othello.games import board_labels
from analysis.progress import Progress, silent
from analysis.tpr.activations import PROBE_SEED, whole_games
from analysis.tpr.codes import encode, iid_boards, random_codes, shuffled_boards
from analysis.tpr.geometry import gap_map, gap_r2, neighbour_shares
from analysis.tpr.library import make_probe
from analysis.tpr.pipeline import scored

NAMES = {
    "code": "random codes, boards of real games",
    "shuffled": "random codes, boards shuffled square by square",
    "iid": "random codes, each square drawn by itself",
}
NOISE = 1.0
SEED = 1111


def measure(d: int, games: int, progress: Progress = silent) -> tuple[list[dict[str, Any]], dict[str, NDArray]]:
    """Fit TPR 52 x 2 to each control at width ``d``; rows with accuracy and geometry, and the gap maps (8, 8)."""
    real = board_labels(whole_games(games, PROBE_SEED)).reshape(-1, 64)
    fresh = board_labels(whole_games(max(50, games // 5), PROBE_SEED + 1)).reshape(-1, 64)
    codes = random_codes(d, SEED)
    rows: list[dict[str, Any]] = []
    arrays: dict[str, NDArray] = {}
    for key, title in NAMES.items():
        train, test = _boards(key, real, 0), _boards(key, fresh, 1)
        h, g = (torch.as_tensor(encode(b, codes, noise=NOISE, random_state=i)) for i, b in enumerate((train, test)))
        probe: Any = make_probe("tpr", 0).fit(h, train)
        roles = np.asarray(probe.roles_, dtype=np.float64)
        arrays[f"baseline/{key}/gap"] = np.asarray(gap_map(roles), dtype=np.float32)
        rows.append(
            {
                "key": key,
                "title": title,
                "accuracy": scored(probe, g, test)["accuracy"],
                "gap_r2": float(gap_r2(roles)),
                "neighbours": {k: float(v) for k, v in neighbour_shares(roles).items()},
                "games": games,
                "noise": NOISE,
            }
        )
        progress(len(rows) / len(NAMES), f"{title}: {rows[-1]['accuracy']:.4f}, R² {rows[-1]['gap_r2']:.3f}")
    return rows, arrays


def _boards(key: str, boards: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    if key == "shuffled":
        return shuffled_boards(boards, seed)
    if key == "iid":
        return iid_boards(len(boards), seed)
    return boards
