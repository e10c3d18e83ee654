"""All operations of the house: importing this module registers them.

``ATTUNE_EXTRA_OPERATIONS`` may name further modules, separated by commas, that define operations of their own: for
plug-ins and for the tests of the service. They are imported wherever this module is, so in the web process too, and
must import nothing heavy. Their source is no part of the code version: whoever changes one empties the result store.
"""

from __future__ import annotations

import os
from importlib import import_module

from analysis.service.ops_ablation import AblateChannel
from analysis.service.ops_channels import FindChannels
from analysis.service.ops_faith import FaithBoard, FaithItems, FaithScores, FaithStudies
from analysis.service.ops_faith_item import FaithIntervene, FaithItem, FaithTrace
from analysis.service.ops_faith_jobs import FaithEstimate, FaithFile, FaithOwn, FaithStudy
from analysis.service.ops_features import (
    Evidence,
    FeatureScores,
    FeatureStatus,
    FitContrast,
    HeldOut,
    Overlap,
    PreviewContrast,
)
from analysis.service.ops_fit import EstimateFit, FitRegions, KeepTexts
from analysis.service.ops_mlp import (
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
from analysis.service.ops_mlp_steer import FeatureEffect, FeatureText
from analysis.service.ops_models import EstimateModel, LoadModel
from analysis.service.ops_neurons import MeasureNull, NeuronFacts, NeuronMap, NeuronVector, SearchChannels
from analysis.service.ops_othello import (
    FitProbes,
    OpenOthello,
    OthelloBinding,
    OthelloDirections,
    OthelloFacts,
    OthelloReading,
    OthelloRoles,
)
from analysis.service.ops_othello_edit import OthelloEdit, OthelloStory, OthelloTrials
from analysis.service.ops_prompt import Alignment, AttentionRow, HeadAttention, PlaceOnMap, TracePrompt
from analysis.service.ops_regions import (
    ExplainTokens,
    FactorsOfContext,
    ListFits,
    RegionCard,
    RegionEffects,
    RegionMap,
    RenameRegion,
)
from analysis.service.ops_setup import OpenSetup, SaveSetup
from analysis.service.ops_steering import SteerControls, SteerNext, SteerText, StrengthForKL
from analysis.service.ops_swap import SwapPrediction, SwapRow
from analysis.service.ops_token import TokenCard
from analysis.service.ops_validation import Invariants, TrainToy

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
