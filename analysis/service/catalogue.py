"""All operations of the house: importing this module registers them."""

from __future__ import annotations

from analysis.service.ops_features import (
    Evidence,
    FeatureScores,
    FeatureStatus,
    FitContrast,
    HeldOut,
    Overlap,
    PreviewContrast,
)
from analysis.service.ops_models import EstimateModel, LoadModel
from analysis.service.ops_prompt import Alignment, AttentionRow, HeadAttention, SwapPrediction, SwapRow, TracePrompt
from analysis.service.ops_validation import Invariants, TrainToy

__all__ = [
    "Alignment",
    "AttentionRow",
    "EstimateModel",
    "Evidence",
    "FeatureScores",
    "FeatureStatus",
    "FitContrast",
    "HeadAttention",
    "HeldOut",
    "Invariants",
    "LoadModel",
    "Overlap",
    "PreviewContrast",
    "SwapPrediction",
    "SwapRow",
    "TracePrompt",
    "TrainToy",
]
