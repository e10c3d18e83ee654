"""The toy model of arXiv 2602.04752: a task with known latents, on which the method must give known answers.

These names are all that the rest of the tree needs; the modules behind them may be rearranged. All but the settings
cost torch, so they are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.lazy import public
from analysis.qk.toy_settings import ToySettings

if TYPE_CHECKING:
    from analysis.qk.toy.data import ContrastBatch, ToyBatch, ToyEmbedding, sample_batch, sample_contrast
    from analysis.qk.toy.model import ToyHead, TrainedToy, accuracy_ceiling, train_toy
    from analysis.qk.toy.report import toy_report

__all__ = [
    "ContrastBatch",
    "ToyBatch",
    "ToyEmbedding",
    "ToyHead",
    "ToySettings",
    "TrainedToy",
    "accuracy_ceiling",
    "sample_batch",
    "sample_contrast",
    "toy_report",
    "train_toy",
]

__getattr__ = public(
    __name__,
    {
        "data": "ContrastBatch ToyBatch ToyEmbedding sample_batch sample_contrast",
        "model": "ToyHead TrainedToy accuracy_ceiling train_toy",
        "report": "toy_report",
    },
)
