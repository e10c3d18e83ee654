"""All operations of the house: importing this module registers them.

``ATTUNE_EXTRA_OPERATIONS`` may name further modules, separated by commas, that define operations of their own: for
plug-ins and for the tests of the service. They are imported wherever this module is, so in the web process too, and
must import nothing heavy. Their source is no part of the code version: whoever changes one empties the result store.
"""

from __future__ import annotations

import os
from importlib import import_module

from analysis.engine.loading import EstimateModel, LoadModel
from analysis.faithfulness.ops.item import FaithIntervene, FaithItem, FaithTrace
from analysis.faithfulness.ops.jobs import FaithEstimate, FaithFile, FaithOwn, FaithStudy
from analysis.faithfulness.ops.study import FaithBoard, FaithItems, FaithScores, FaithStudies
from analysis.mfa.ops.fit import EstimateFit, FitRegions, KeepTexts
from analysis.mfa.ops.regions import (
    ExplainTokens,
    FactorsOfContext,
    ListFits,
    RegionCard,
    RegionEffects,
    RegionMap,
    RenameRegion,
)
from analysis.mfa.ops.setup import OpenSetup, SaveSetup
from analysis.mfa.ops.steer import SteerControls, SteerNext, SteerText, StrengthForKL
from analysis.qk.ops.features import (
    Evidence,
    FeatureScores,
    FeatureStatus,
    FitContrast,
    HeldOut,
    Overlap,
    PreviewContrast,
)
from analysis.qk.ops.prompt import Alignment, AttentionRow, HeadAttention, PlaceOnMap, TracePrompt
from analysis.qk.ops.swap import SwapPrediction, SwapRow
from analysis.qk.ops.validation import Invariants, TrainToy
from analysis.rotate.ops.ablation import AblateChannel
from analysis.rotate.ops.channels import FindChannels
from analysis.rotate.ops.neurons import MeasureNull, NeuronFacts, NeuronMap, NeuronVector, SearchChannels
from analysis.snmf.ops.factorization import (
    DetectionTable,
    FactorizationFacts,
    FeatureCard,
    FeatureOverlap,
    FeatureReading,
    FeatureTree,
    FitFactorization,
    ListFactorizations,
    SearchFeatures,
)
from analysis.snmf.ops.steer import FeatureEffect, FeatureText
from analysis.token_card.card import TokenCard
from analysis.tpr.ops.edit import OthelloEdit, OthelloStory, OthelloTrials
from analysis.tpr.ops.reading import (
    FitProbes,
    OpenOthello,
    OthelloBinding,
    OthelloDirections,
    OthelloFacts,
    OthelloReading,
    OthelloRoles,
)

__all__ = [
    "AblateChannel",
    "Alignment",
    "AttentionRow",
    "DetectionTable",
    "EstimateFit",
    "EstimateModel",
    "Evidence",
    "ExplainTokens",
    "FactorizationFacts",
    "FactorsOfContext",
    "FaithBoard",
    "FaithEstimate",
    "FaithFile",
    "FaithIntervene",
    "FaithItem",
    "FaithItems",
    "FaithOwn",
    "FaithScores",
    "FaithStudies",
    "FaithStudy",
    "FaithTrace",
    "FeatureCard",
    "FeatureEffect",
    "FeatureOverlap",
    "FeatureReading",
    "FeatureScores",
    "FeatureStatus",
    "FeatureText",
    "FeatureTree",
    "FindChannels",
    "FitContrast",
    "FitFactorization",
    "FitProbes",
    "FitRegions",
    "HeadAttention",
    "HeldOut",
    "Invariants",
    "KeepTexts",
    "ListFactorizations",
    "ListFits",
    "LoadModel",
    "MeasureNull",
    "NeuronFacts",
    "NeuronMap",
    "NeuronVector",
    "OpenOthello",
    "OpenSetup",
    "OthelloBinding",
    "OthelloDirections",
    "OthelloEdit",
    "OthelloFacts",
    "OthelloReading",
    "OthelloRoles",
    "OthelloStory",
    "OthelloTrials",
    "Overlap",
    "PlaceOnMap",
    "PreviewContrast",
    "RegionCard",
    "RegionEffects",
    "RegionMap",
    "RenameRegion",
    "SaveSetup",
    "SearchChannels",
    "SearchFeatures",
    "SteerControls",
    "SteerNext",
    "SteerText",
    "StrengthForKL",
    "SwapPrediction",
    "SwapRow",
    "TokenCard",
    "TracePrompt",
    "TrainToy",
]

for _name in filter(None, os.environ.get("ATTUNE_EXTRA_OPERATIONS", "").split(",")):
    import_module(_name.strip())
