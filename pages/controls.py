"""Which control of a page a refused field belongs to: ``UserError.field`` is a name of an operation, and the reader has
to see the box that it was typed into.

One table for all operations, since an operation is asked for by one form. None: nothing on the page holds the value by
itself (the model, a click in a figure), so the sentence stands alone.
"""

from __future__ import annotations

import json

from analysis.qk.contrasts import CONTRAST_KINDS

Table = dict[str, str | None]


def option_control(name: str) -> str:
    """The id that the browser gives to an option of the form of a contrast."""
    return json.dumps({"option": name}, separators=(",", ":"))


def nothing(*names: str) -> Table:
    """Fields that no control holds."""
    return dict.fromkeys(names)


_MODEL = nothing("model")
_PROMPT = _MODEL | {"text": "prompt", "prompt": "prompt", "chat": "chat", "generate": "generate", "token": None}
_HEAD = _PROMPT | nothing("layer", "head", "query", "key")
_TARGET: Table = {"token": "asked-token", "against": "asked-over"}
_RANK: Table = {"rank": "rank", "ranks": "rank"}
_FEATURE = _MODEL | nothing("contrast", "features", "feature", "layer", "head") | {"rotary": "rotary"}
_OPTIONS: Table = {o.name: option_control(o.name) for kind in CONTRAST_KINDS.values() for o in kind.options}
_CONTRAST = _FEATURE | _OPTIONS | {
    "kind": "kind", "n_examples": "examples", "seed": "contrast-seed", "options": None, "name": "contrast-name",
}  # fmt: skip
_SWAP = _HEAD | _RANK | {"a": "swap-a", "b": "swap-b", "swap": "swap-b", "feature": "active"}

_FIT = _MODEL | {"fit": "region-fit", "region": None, "rotation": "rotation"}
_STEER = _FIT | {
    "text": "steer-prompt", "prompt": "steer-prompt", "chat": "steer-chat", "steer": None, "layers": "layers",
    "mode": "mode", "where": "where", "after": "gate-after", "gate": "gate-value", "regions": None, "strength": None,
    "factors": None, "vectors": None,
}  # fmt: skip
_STEERED = {name: None for name in _STEER} | {
    "text": "prompt", "prompt": "prompt", "chat": "chat", "generate": "generate", "seed": None,
}  # fmt: skip
_CONTROLS: Table = {"seed": "seed", "positive": "positive", "negative": "negative"}
_WRITING: Table = {"count": "count", "temperature": "temperature", "top_p": "top-p", "control": "control"}
_NEW_FIT = _MODEL | {
    "source": "fit-source", "texts": "fit-source", "site": "fit-site", "layer": "fit-layer", "tokens": "fit-tokens",
    "regions": "fit-regions", "factors": "fit-factors", "seed": "fit-seed", "noise": "fit-noise",
}  # fmt: skip

_OTHELLO: Table = {"source": "oth-source-text", "probes": "oth-probes"}
_GAME = _OTHELLO | {
    "moves": "oth-text", "ply": "oth-ply", "layer": "oth-layer", "labels": "oth-labels", "probe": "oth-probe",
}  # fmt: skip
_EDIT: Table = {
    "edits": None, "method": "oth-method", "scale": "oth-scale", "choose": "oth-choose", "first": "oth-blocks",
    "last": "oth-blocks", "unit": "oth-unit",
}  # fmt: skip

_NEURON = _MODEL | {"layer": "nrn-layer", "vector": "nrn-vector", "neuron": "nrn-index"}
_CHANNELS = _NEURON | {
    **{n: f"nrn-{n}" for n in ("channels", "kurtosis_weight", "cosine_weight", "mask_z", "optimiser", "seed")},
    "excluded": None, "fresh": None,
}  # fmt: skip

_FACTORS = _MODEL | {"fit": "mlp-fit", "feature": None}
_EFFECT = _FACTORS | {"text": "mlp-prompt", "prompt": "mlp-prompt", "pole": "mlp-pole", "target": "mlp-target",
    "chat": "mlp-chat",
}  # fmt: skip

_STUDY = _MODEL | {"study": "fth-study-pick"}
_ITEM = _STUDY | nothing("item", "full", "edits", "key")
_NEW_STUDY = _MODEL | {n: f"fth-new-{n}" for n in ("seeds", "problems", "fur", "seed", "tiers", "continued")}
_OWN = ("question", "hint", "candidates", "samples", "temperature", "tokens", "seed", "simulator", "plain", "continued")

_CANDIDATE: Table = {
    "model": "source", "candidate": "source", "gguf": "source", "revision": "revision", "dtype": "dtype",
    "device": "device", "device_map": "device-map",
}  # fmt: skip

CONTROLS: dict[str, Table] = {
    **dict.fromkeys(("ListShelf", "SavePack"), _MODEL),
    "SaveArtefact": _MODEL | nothing("artefact", "name", "contrast", "rotary", "file", "layout"),
    "OpenArtefact": _MODEL | nothing("file"),
    "DeleteArtefact": _MODEL | nothing("artefact", "name", "file"),
    "PushPack": _MODEL | {"repository": "hub-repository", "private": "hub-public"},
    "OpenFromHub": _MODEL | {"repository": "hub-repository", "revision": None},
    # Attention
    **dict.fromkeys(("TracePrompt", "ReadingCost"), _PROMPT),
    "HeadAttention": _HEAD,
    "AttentionRow": _HEAD | _RANK | {
        "features": None, "side": "side", "orthogonalise": "orthogonalise", "reference": "reference",
        "reference_token": "reference-token", "skip_first": "skip-first",
    },
    "WritingHeads": _HEAD | _TARGET,
    "WritingSources": _HEAD | _TARGET,
    "EstimateFalls": _HEAD | _TARGET | {"baseline": "out-baseline"},
    "AblateParts": _HEAD | _TARGET | {"baseline": "out-baseline"},
    "PartsCost": _HEAD | _TARGET | {"baseline": "out-baseline", "what": "out-what", "side": "out-path"},
    "PathParts": _HEAD | _TARGET | {"baseline": "out-baseline", "other": "out-other", "side": "out-path"},
    "PatchParts": _HEAD | _TARGET | {"other": "out-other", "what": "out-what", "at": "out-at"},
    **dict.fromkeys(("CorpusPlan", "CorpusScores"), _MODEL | {
        "passages": "texts-count", "tokens": "texts-length", "source": "texts-source", "texts": "texts-source",
    }),
    **dict.fromkeys(("PatternHeads", "LongPatternHeads"), _PROMPT | {"cells": "drawn-named"}),
    "PairTokens": _PROMPT | {"query": None, "other": "site-other", "pairs": None},
    "PatchSites": _HEAD | _TARGET | {"other": "site-other", "site": "site-kind", "pairs": None},
    "SwapRow": _SWAP | nothing("draws"),
    "SwapPrediction": _SWAP,
    "Alignment": _HEAD | _RANK | {"feature": "active"},
    "PlaceOnMap": _HEAD | nothing("held_out", "map"),
    "PreviewContrast": _CONTRAST,
    "CheckContrast": _CONTRAST | nothing("copied"),
    "MakeContrast": _HEAD,
    "FitContrast": _FEATURE | nothing("permutations"),
    "FeatureStatus": _FEATURE,
    "FeatureScores": _FEATURE,
    "Evidence": _FEATURE | _RANK | {"centred": "centred"},
    "Overlap": _FEATURE,
    "PatchSubspace": _FEATURE | _RANK | {
        "side": "patch-side", "centred": "centred", "examples_count": None, "draws": None,
    },
    "HeldOut": _FEATURE | {"centred": "centred", "examples_count": None},
    "SteeredHeads": _MODEL | _STEERED,
    "SteeredAttention": _HEAD | _STEERED,
    "ExplainMove": _HEAD | _STEERED | {"features": None},
    # Steering
    "ListFits": _MODEL,
    "RegionMap": _FIT,
    "RegionCard": _FIT,
    "RegionEffects": _FIT | nothing("factors"),
    "RenameRegion": _FIT | {"label": "label"},
    "FactorsOfContext": _FIT | nothing("row"),
    "ExplainTokens": _FIT | {"text": "explain-text", "prompt": "explain-text"},
    "SteerNext": _STEER,
    "SteerControls": _STEER | _CONTROLS,
    "SteerText": _STEER | _CONTROLS | _WRITING | {"equal": "control-equal", "of": None, "begin": None},
    "TokenAlternatives": _STEER | _CONTROLS | {
        "control": "control", "equal": "control-equal", "of": None, "ids": None,
    },
    "ChatTurn": _MODEL | {
        "turns": "chat-user", "prompt": "chat-user", "system": "chat-system", "after": "gate-after",
        "gate": "gate-value", "steer": None, "seed": "seed", **_WRITING,
    },
    "SteerLadder": _STEER | _WRITING | {"by": "ladder-by", "region": None, "seed": "seed"},
    "SteerSamples": _STEER | _CONTROLS | _WRITING | {"samples": "samples-count"},
    "SteerSweep": _STEER | {
        **{name: f"sweep-{name}" for name in ("over", "first", "second", "target", "words")},
        "region": None, "level": None, "seed": None,
    },
    "SteerLens": _STEER | {
        "words": "lens-words", "last": "lens-last", "seed": "seed", "ids": "lens-at",
        "lens": "lens-which", **nothing("within", "of", "token"),
    },
    "OpenLens": _MODEL | {"lens": "lens-form", "name": "lens-file", "file": "lens-file", "path": "lens-path"},
    "ListLenses": _MODEL,
    "FreeOrFrozen": _STEER | {
        "words": "lens-words", "heads": "frozen-heads", "seed": "seed", **nothing("draws", "token"),
    },
    "StrengthForKL": _STEER | {"target": "target"},
    "EstimateFit": _NEW_FIT,
    "FitRegions": _NEW_FIT | nothing("blocks"),
    "OpenMixture": _NEW_FIT | {"file": "mixture-file"},
    "KeepTexts": {
        "text": "corpus-upload", "texts": "corpus-upload", "dataset": "dataset-name", **nothing("name", "least"),
    },
    "SaveSetup": _STEER | _CONTROLS | _WRITING | nothing("generation", "file"),
    "OpenVectors": _MODEL | {"file": "vectors-open", "layer": "vectors-block", "name": "vectors-open"},
    "ListVectors": _FIT | nothing("vectors"),
    "SaveVectors": _STEER | {"format": "vectors-format", "vectors": None},
    "OpenSetup": _MODEL | {"file": "open-file"},
    # Othello
    "OpenOthello": _OTHELLO,
    "OthelloFacts": _OTHELLO,
    "OthelloReading": _GAME,
    "OthelloBinding": _GAME,
    "OthelloRoles": _GAME | {"embedding": "oth-embedding", "gauge": None},
    "OthelloDirections": _GAME,
    "OthelloStory": _OTHELLO | {"story": "oth-story"},
    "OthelloEdit": _GAME | _EDIT | nothing("seed"),
    "OthelloTrials": _GAME | _EDIT | {
        "cases": "oth-cases", "squares": "oth-squares", "seed": "oth-trial-seed", "given": "oth-given-upload",
    },
    "FitProbes": _GAME | nothing("first", "last") | {"games": "oth-fit-games", "seed": "oth-fit-seed"},
    "UsualLooks": _GAME,
    "WithoutHead": _GAME | nothing("block", "head", "seed") | {"baseline": "oth-baseline"},
    "EditedLooks": _GAME | _EDIT | nothing("seed"),
    "GameReport": _GAME,
    "UsualReport": _GAME | nothing("games", "seed"),
    "OpenProbes": _OTHELLO | {
        "files": "oth-probes-upload", "block": "oth-probes-block", "place": "oth-probes-place",
        "number": "oth-probes-number", "centred": "oth-probes-centred", "labels": "oth-labels",
    },
    "OpenCases": dict.fromkeys(("name", "text", "given"), "oth-given-upload"),
    # Neurons
    "NeuronFacts": _MODEL,
    "NeuronMap": _MODEL,
    "MeasureNull": _MODEL | nothing("vectors", "rounds", "seed", "width"),
    "NeuronVector": _NEURON,
    "SearchChannels": _MODEL | {"text": "nrn-search", "search": "nrn-search"},
    "FindChannels": _CHANNELS,
    "OfChannels": _CHANNELS,
    "AblateChannel": _CHANNELS | {"channel": None, "text": "nrn-text", "prompt": "nrn-text"},
    "KnownChannelSets": _MODEL,
    "OpenChannels": _NEURON | {
        "files": "nrn-results-upload", "results": "nrn-results-upload", "path": "nrn-results-path", "name": "nrn-set",
    },
    "ReadChannels": _MODEL | {"name": "nrn-set", "against": "nrn-set-against"},
    "FindMany": _NEURON | {
        "neurons": "nrn-list-upload", "channels": "nrn-many-channels", "mask_z": "nrn-many-mask",
        "optimiser": "nrn-many-optimiser", "outliers": "nrn-outliers-upload", "seed": None,
    },
    "WriteChannels": _MODEL | {"name": "nrn-set"},
    "ReadNeuronList": dict.fromkeys(("name", "content", "neurons"), "nrn-list-upload"),
    "KeepTokens": dict.fromkeys(("name", "content", "outliers"), "nrn-outliers-upload"),
    # MLP features
    "ListFactorizations": _MODEL,
    "FactorizationFacts": _FACTORS,
    "FeatureCard": _FACTORS,
    "FeatureReading": _FACTORS | {"text": "mlp-text", "prompt": "mlp-text"},
    "FeatureOverlap": _FACTORS | nothing("features"),
    "FeatureTree": _FACTORS | {"threshold": "mlp-threshold"},
    "DetectionTable": _MODEL,
    "SearchFeatures": _MODEL | {"text": "mlp-search"},
    "FeatureEffect": _EFFECT,
    "FeatureAlternatives": _EFFECT | nothing("strength", "of", "ids") | {
        "baseline": "mlp-baseline", "baseline_strength": "mlp-baseline",
    },
    "FeatureText": _EFFECT | {
        "of": None, "begin": None, "strength": None, "count": "mlp-length", "temperature": "mlp-temperature",
        "top_p": "mlp-top-p", "seed": "mlp-seed", "baseline": "mlp-baseline", "baseline_strength": "mlp-baseline",
    },
    "FitFactorization": _MODEL | {
        n: f"mlp-new-{n}"
        for n in ("layer", "site", "features", "kept", "init", "iterations", "tokens", "seed", "levels", "texts")
    },
    # Faithfulness
    "FaithBoard": _STUDY,
    "OpenFactorization": _MODEL
    | {"file": "mlp-open-file"}
    | {n: f"mlp-new-{n}" for n in ("layer", "site", "tokens", "seed", "texts")},
    "FaithStudies": _MODEL,
    "FaithItems": _STUDY,
    "FaithScores": _STUDY | {"tier": "fth-scores-tier"},
    "FaithItem": _ITEM,
    "FaithTrace": _ITEM,
    "FaithIntervene": _ITEM,
    "FaithEstimate": _NEW_STUDY,
    "FaithStudy": _NEW_STUDY,
    "FaithOwn": _MODEL | {n: f"fth-own-{n}" for n in _OWN},
    "FaithFile": _MODEL
    | {n: f"fth-file-{n}" for n in ("text", "unlabelled", "continued", "target", "most", "dataset", "judged", "judge")},
    "FaithRows": _MODEL | {"study": "fth-study-pick"},
    # Prepare
    "DescribePrepare": _MODEL | nothing("since"),
    "PrepareModel": _MODEL | nothing("pages", "budget"),
    # Findings
    **dict.fromkeys(("Stamps", "KeptKeys"), nothing("questions")),
    "CheckPins": nothing("pins", "again"),
    # Validation, Model, the token card of every page
    "TrainToy": {
        "n1": "toy-n1", "n2": "toy-n2", "d_head": "toy-width", "task": "toy-task", "seed": "toy-seed",
        "recipe": "toy-recipe",
    },
    "Invariants": _MODEL,
    "KeptToy": {},
    "KeptInvariants": _MODEL,
    "EstimateModel": _CANDIDATE,
    "LoadModel": _CANDIDATE,
    "DescribeModel": _MODEL,
    "TokenCard": _MODEL | nothing("steer", 
        "token", "token_id", "text", "prompt", "chat", "position", "generate", "ids", "contrasts"
    ),
}  # fmt: skip
"""Control by field, for each operation by its name."""


def control_of(operation: str, field: str | None) -> str | None:
    """The id of the control that holds a field of an operation; None if none does."""
    return CONTROLS.get(operation, {}).get(field) if field else None
