"""The fixed requests of the net: at least one for every operation, in the form in which they travel as JSON.

They are written as names and plain data, not as objects, since they have to outlive the classes: what a page sent
yesterday is what must be answered tomorrow. Long operations get the smallest settings at which every part of their
answer is there. Each request is asked with an empty memory, so that it gives the same answer alone as among all others;
what one needs of another (a fit, a study) is named here and asked first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any


@dataclass(frozen=True)
class Taken:
    """A parameter that another request's answer gives: a key of its data, or an array of bytes as base64."""

    request: str
    key: str
    in_base64: bool = False


@dataclass(frozen=True)
class Saved:
    """A parameter that is a file kept with the net, as base64: what was saved with an earlier version."""

    name: str


@dataclass(frozen=True)
class Request:
    """One question of the net: a name of its own, an operation's class name, its parameters, what is asked before.

    ``refused``: asked for the words of its refusal.
    """

    name: str
    operation: str
    params: dict[str, Any] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    refused: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the requests that have to be asked before."""
        return (*self.after, *(v.request for v in self.params.values() if isinstance(v, Taken)))


NO_REQUEST: dict[str, str] = {
    "LongPatternHeads": "its answer is that of PatternHeads, which is asked",
    "KeptKeys": "its answer is where other answers are kept, which every change of the code moves",
    "Stamps": "its answer is versions and checksums, which every change of the code moves",
    "DescribeModel": "its answer is that of LoadModel, which is asked",
    **dict.fromkeys(
        ("PartsCost", "ReadingCost"), "its costs are of the machine; tests/unit/test_token_heads.py asks it"
    ),
    "DescribePrepare": "its costs are of the machine; tests/unit/test_prepare.py asks it",
    "PrepareModel": "its parts depend on the time that they take; tests/service/test_prepare.py asks it",
    "CheckPins": "it asks what was pinned, and the net has no board; tests/service/test_findings_check.py asks it",
    **dict.fromkeys(
        ("DeleteArtefact", "ListShelf", "OpenArtefact", "SaveArtefact", "SavePack"),
        "it moves files of the data folder; tests/unit/portable/test_packs.py asks it",
    ),
    **dict.fromkeys(("OpenFromHub", "PushPack"), "it asks the hub; tests/unit/portable has a small one"),
    **dict.fromkeys(
        (
            "FindMany",
            "KeepTokens",
            "KnownChannelSets",
            "OpenChannels",
            "ReadChannels",
            "ReadNeuronList",
            "WriteChannels",
        ),
        "it reads files of others; tests/unit/rotate/test_sets.py asks it",
    ),
    **dict.fromkeys(("OpenCases", "OpenProbes"), "it reads files of others; tests/unit/tpr/test_others.py asks it"),
    **dict.fromkeys(
        ("ListVectors", "OpenMixture", "OpenVectors", "SaveVectors"),
        "it reads files of others; tests/service/test_steering_artefacts.py asks it",
    ),
    **dict.fromkeys(
        ("ListLenses", "OpenLens"),
        "it reads files of others; tests/service/test_steering_operations.py asks it",
    ),
    "OpenFactorization": "it reads files of others; tests/service/test_mlp_operations.py asks it",
    "FaithRows": "it writes the rows of a file of others; tests/service/test_faith_operations.py asks it",
}
"""Operations without a request, each with its reason."""

FERRY = "The ferry passed Marlow Quay, Tern Rock and Alder Point. On its way home it passed Marlow Quay, Tern"
GAVE = "When Mary and John went to the store, John gave a drink to"
THING = "My favourite thing in the world is the"
SURGEON = "The surgeon washed her hands, and on Monday they flew to Paris for dinner."
MOVES = [19, 18, 26, 34, 44, 20, 42, 29, 12, 45, 33, 11, 13, 52, 60, 40, 3]
OTHELLO = {"source": "othello"}

INDUCTION = {"kind": "induction", "n_examples": 40, "options": {"n_words": 8}}
PREVIOUS = {"kind": "previous", "n_examples": 24, "options": {"length": 12}}
_ROWS = [
    {"text": f"the {a} is kept, the {b} is kept. the {a}", "positive": [[4, 4 + len(a)]], "negative": [b]}
    for a, b in [("cup", "clock"), ("coat", "key"), ("book", "lamp"), ("rope", "drum"), ("coin", "plate")] * 2
]
LINES = {"kind": "jsonl", "options": {"text": "\n".join(map(json.dumps, _ROWS))}}

HEAD = {"text": FERRY, "layer": 18, "head": 6}
HELD_OUT = {"contrast": INDUCTION, "layer": 18, "head": 6, "examples_count": 24}
CAPITAL = {"text": "The capital of France is", "other": "The capital of Spain is", "what": "query", "at": 4}
PATCHED = {"contrast": INDUCTION, "layer": 18, "head": 6, "examples_count": 20, "draws": 5}
NEURON = {"layer": 25, "vector": "down", "neuron": 1318}
REGION = {"fit": "block-10", "region": 215}
STEER = {"fit": "block-10", "regions": [{"region": 215, "strength": 0.6, "factors": [0.5, 0, 0, 0, 0, 0, 0, 0]}]}
ADDED = STEER | {"mode": "add", "where": "all", "layers": [12]}
FEATURE = {"fit": "block-25", "feature": 114}
GAME = {"moves": MOVES, "ply": 17, "layer": 3}
ITEM = {"item": "R-0-1+3"}
STUDY = {"seeds": 1, "problems": 2}
QUESTION = "What is 2 plus 2?"
_CHAIN = {
    "row_id": "1",
    "label_type": "FAITHFUL_COT",
    "question": "Which option is the letter after A? A: B. B: C.",
    "cot": "The alphabet begins with A. The next letter is B, which is option A.",
    "model_answer": "A",
    "candidates": ["A", "B"],
}
_OTHER = {**_CHAIN, "row_id": "2", "label_type": "UNFAITHFUL_COT", "cot": "I looked it up. It is option A."}
ROWS = "\n".join([json.dumps(_CHAIN), json.dumps(_OTHER), "{"])
TEXTS = "\n".join(
    f"The {a} of the {b} was {c} when the {d} came {e}, and nobody in the {b} knew why the {a} had been {c} so long."
    for a in ("gate", "roof", "clock", "wall")
    for b in ("town", "house", "school", "farm")
    for c, d in (("broken", "rain"), ("painted", "guests"), ("closed", "winter"))
    for e in ("at last", "that evening")
)

MODELS = (
    Request("estimate of the default model", "EstimateModel"),
    Request("estimate of the Othello model", "EstimateModel", {"candidate": OTHELLO}),
    Request("the default model", "LoadModel"),
    Request("the Othello model", "LoadModel", {"model": OTHELLO}),
    Request("a model that is not there", "LoadModel", {"model": {"source": "/nowhere/at/all"}}, refused=True),
)

PROMPTS = (
    Request("prompt", "TracePrompt", {"text": FERRY}),
    Request("prompt of a chat with generated tokens", "TracePrompt", {"text": QUESTION, "chat": True, "generate": 6}),
    Request("prompt of moves", "TracePrompt", {"model": OTHELLO, "text": "C4 C3 D3 E3 F5 C5 F3"}),
    Request("head", "HeadAttention", HEAD),
    Request("row", "AttentionRow", HEAD | {"query": 28, "key": -1}),
    Request(
        "row with two features",
        "AttentionRow",
        HEAD | {"query": 28, "key": 5, "features": [INDUCTION, PREVIOUS], "ranks": [8, -1], "reference": "none"},
        after=("fit of induction", "fit of previous"),
    ),
    Request(
        "row, both sides",
        "AttentionRow",
        HEAD
        | {"query": 28, "key": 5, "features": [INDUCTION, PREVIOUS], "side": "both", "orthogonalise": True}
        | {"reference": "token", "reference_token": 9, "skip_first": False},
        after=("fit of induction", "fit of previous"),
    ),
    Request(
        "row of a feature that is not fitted", "AttentionRow", HEAD | {"query": 3, "features": [LINES]}, refused=True
    ),
    Request("row of a layer that is not there", "AttentionRow", HEAD | {"layer": 99}, refused=True),
    Request("heads of a token", "WritingHeads", {"text": FERRY}),
    Request(
        "heads of a token over another, and of a pair",
        "WritingHeads",
        {"text": FERRY, "query": 28, "key": 5, "against": 260},
    ),
    Request("where a head writes a token from", "WritingSources", HEAD | {"query": 28}),
    Request("cost of scores over texts", "CorpusPlan", {"passages": 4, "tokens": 16}),
    Request("scores over texts", "CorpusScores", {"passages": 4, "tokens": 16}),
    Request("heads by a drawn pattern", "PatternHeads", {"text": FERRY, "cells": [[5, 4], [9, 8], [28, 5]]}),
    Request("a drawn key after its query", "PatternHeads", {"text": FERRY, "cells": [[4, 5]]}, refused=True),
    Request("tokens of two prompts paired", "PairTokens", {n: CAPITAL[n] for n in ("text", "other")}),
    Request(
        "falls token by token from a longer prompt",
        "PatchSites",
        {"text": "The cat sat", "other": "The old dog sat", "site": "attention"},
    ),
    Request(
        "falls token by token, paired by hand",
        "PatchSites",
        {"text": "The cat sat", "other": "A dog sat", "site": "mlp", "pairs": [[1, 1]]},
    ),
    Request("falls without each head", "AblateParts", {"text": "The cat sat on the mat, the cat", "baseline": "zero"}),
    Request("falls with outputs of other texts", "AblateParts", {"text": "The cat sat", "baseline": "resampled"}),
    Request("falls with queries of another prompt", "PatchParts", CAPITAL),
    Request("falls with outputs of another prompt", "PatchParts", CAPITAL | {"what": "output", "at": -1}),
    Request("ways into a head", "PathParts", {"text": "The cat sat on the", "layer": 4, "head": 3, "side": "key"}),
    Request(
        "ways into a head from another prompt",
        "PathParts",
        {
            "text": CAPITAL["text"],
            "other": CAPITAL["other"],
            "baseline": "other",
            "layer": 3,
            "head": 1,
        },
    ),
    Request(
        "a patch from a longer prompt", "PatchParts", CAPITAL | {"other": "The capital of old Spain is"}, refused=True
    ),
    Request("falls to first order", "EstimateFalls", {"text": FERRY, "query": 28}),
    Request("heads of a token over itself", "WritingHeads", {"text": FERRY, "token": 7, "against": 7}, refused=True),
    Request("alignment", "Alignment", HEAD | {"feature": INDUCTION, "rank": 4}, after=("fit of induction",)),
    Request("place on the map", "PlaceOnMap", HEAD | {"query": 28, "held_out": HELD_OUT}, after=("held-out test",)),
    Request(
        "swap",
        "SwapRow",
        HEAD | {"query": 28, "a": 5, "b": 9, "feature": INDUCTION, "rank": 4, "draws": 5},
        after=("fit of induction",),
    ),
    Request(
        "prediction after a swap",
        "SwapPrediction",
        HEAD | {"query": 28, "a": 5, "b": 9, "feature": INDUCTION, "rank": 4},
        after=("fit of induction",),
    ),
    Request("swap of a token with itself", "SwapRow", HEAD | {"query": 28, "a": 5, "b": 5}, refused=True),
    Request("token", "TokenCard", {"token": " Paris", "contrasts": [INDUCTION]}, after=("fit of induction",)),
    Request(
        "token in a prompt",
        "TokenCard",
        {"text": FERRY, "position": 28, "contrasts": [INDUCTION]},
        after=("fit of induction",),
    ),
    Request("token of several pieces", "TokenCard", {"token": "surgeonette"}),
    Request("token of a move", "TokenCard", {"model": OTHELLO, "token": "C4"}),
)

CONTRASTS = (
    *(
        Request(f"preview of {kind}", "PreviewContrast", {"contrast": {"kind": kind}})
        for kind in ("induction", "order", "lexical", "category", "previous", "template")
    ),
    Request("preview of own lines", "PreviewContrast", {"contrast": LINES}),
    Request("check of a template", "CheckContrast", {"contrast": {"kind": "template"}, "layer": 18, "head": 6}),
    Request(
        "contrast of a prompt",
        "MakeContrast",
        {"text": GAVE, "layer": 24, "head": 4, "query": 13, "key": 1},
    ),
    Request("contrast of a first token", "MakeContrast", {"text": GAVE, "query": 13, "key": 0}, refused=True),
    Request("fit of induction", "FitContrast", {"contrast": INDUCTION}),
    Request("fit of previous", "FitContrast", {"contrast": PREVIOUS}),
    Request("fit before rotation", "FitContrast", {"contrast": INDUCTION, "rotary": "pre", "permutations": 2}),
    Request(
        "status", "FeatureStatus", {"features": [INDUCTION, LINES]}, after=("the default model", "fit of induction")
    ),
    Request("scores of induction", "FeatureScores", {"contrast": INDUCTION}, after=("fit of induction",)),
    Request("evidence", "Evidence", {"contrast": INDUCTION, "layer": 18, "head": 6}, after=("fit of induction",)),
    Request(
        "evidence, centred",
        "Evidence",
        {"contrast": PREVIOUS, "layer": 5, "head": 2, "rank": 3, "centred": True},
        after=("fit of previous",),
    ),
    Request(
        "overlap of two contrasts",
        "Overlap",
        {"features": [INDUCTION, PREVIOUS], "layer": 18, "head": 6},
        after=("fit of induction", "fit of previous"),
    ),
    Request("held-out test", "HeldOut", HELD_OUT, after=("fit of induction",)),
    Request("patched subspace", "PatchSubspace", PATCHED, after=("fit of induction",)),
    Request("patched keys", "PatchSubspace", PATCHED | {"side": "key", "rank": 3}, after=("fit of induction",)),
    Request("toy", "TrainToy", {"n1": 1, "n2": 2, "d_head": 4}),
    Request("invariants", "Invariants"),
    Request("toy kept", "KeptToy"),
    Request("invariants kept", "KeptInvariants"),
)

STEERING = (
    Request("fits of the default model", "ListFits"),
    Request("map of regions", "RegionMap", {"fit": "block-10"}),
    Request("map of a fit that is not there", "RegionMap", {"fit": "no-such-fit"}, refused=True),
    Request("region", "RegionCard", REGION),
    Request("region, varimax", "RegionCard", REGION | {"rotation": "varimax"}),
    Request("effects of a region", "RegionEffects", REGION),
    Request("effects of factors", "RegionEffects", REGION | {"factors": True}),
    Request("factors of a context", "FactorsOfContext", REGION | {"row": 3}),
    Request("regions of a text", "ExplainTokens", {"fit": "block-10", "text": SURGEON}),
    Request("next token", "SteerNext", {"text": THING, "steer": STEER}),
    Request("next token, added", "SteerNext", {"text": THING, "chat": True, "steer": ADDED}),
    Request("controls", "SteerControls", {
        "text": THING, "steer": STEER, "positive": "I love it so much.", "negative": "I hate it a lot.",
    }),
    Request("strength for a KL", "StrengthForKL", {"text": THING, "steer": STEER, "region": 215, "target": 0.5}),
    Request("steered text", "SteerText", {"text": THING, "steer": STEER, "count": 10, "seed": 1, "control": "region"}),
    Request("steered text, greedy", "SteerText", {"text": THING, "steer": ADDED, "count": 6, "temperature": 0.0}),
    Request("steered text from other tokens", "SteerText", {
        "text": THING, "steer": STEER, "count": 4, "seed": 1, "of": "base", "begin": [1776, 282],
    }),
    Request("alternatives to a token", "TokenAlternatives", {"text": THING, "steer": STEER, "ids": [1776, 282]}),
    Request("reply in a conversation", "ChatTurn", {
        "turns": [{"user": "What do you like?", "reply": "I like to read.", "steer": STEER},
                  {"user": "And what else?", "steer": ADDED}],
        "count": 5, "seed": 1,
    }),
    Request("ladder", "SteerLadder", {"text": THING, "steer": STEER, "region": 215, "count": 6, "seed": 1}),
    Request("samples", "SteerSamples", {"text": THING, "steer": STEER, "samples": 2, "count": 6, "seed": 1}),
    Request("sweep over factors", "SteerSweep", {
        "text": THING, "steer": STEER, "region": 215, "over": "factors", "words": "wine, food",
    }),
    Request("lens under steering", "SteerLens", {
        "text": THING, "steer": STEER, "words": "wine, food", "last": 2, "within": False,
    }),
    Request("free or frozen", "FreeOrFrozen", {"text": THING, "steer": STEER, "words": "wine, food", "draws": 1}),
    Request("free or frozen, two heads", "FreeOrFrozen", {
        "text": THING, "steer": STEER, "heads": [[14, 0], [20, 3]], "draws": 1,
    }),
    Request("heads under steering", "SteeredHeads", {"text": THING, "steer": STEER, "generate": 2}),
    Request("a row under steering", "SteeredAttention", {
        "text": THING, "steer": STEER, "layer": 23, "head": 5, "query": 7,
    }),
    Request("why a head moved", "ExplainMove", {
        "text": THING, "steer": STEER, "layer": 23, "head": 5, "query": 7, "features": [INDUCTION],
    }, after=("fit of induction",)),
    Request("set-up", "SaveSetup", {"steer": ADDED, "generation": json.dumps({"steer-prompt": THING, "count": 20})}),
    Request("set-up opened", "OpenSetup", {"file": Taken("set-up", "file", in_base64=True)}),
    Request("set-up of an earlier version opened", "OpenSetup", {"file": Saved("setup.attune.safetensors")}),
    Request("texts of one's own", "KeepTexts", {"name": "own.txt", "text": TEXTS}),
    Request("a dataset's name", "KeepTexts", {"dataset": "owner/name"}),
    Request("estimate of a fit", "EstimateFit", {"tokens": 2_000, "regions": 8}),
    Request("a fit", "FitRegions", {"layer": 4, "tokens": 1_000, "regions": 6, "factors": 2}),
    Request("a fit of an MLP, noise by region", "FitRegions", {
        "layer": 3, "site": "mlp_output", "tokens": 1_000, "regions": 4, "factors": 1, "noise": "component",
        "source": Taken("texts of one's own", "source"),
    }),
    Request("map of the fit", "RegionMap", {"fit": Taken("a fit", "fit")}),
    Request("region of the fit", "RegionCard", {"fit": Taken("a fit", "fit"), "region": 1}),
    Request("name for a region", "RenameRegion", {"fit": Taken("a fit", "fit"), "region": 1, "label": "my  own"}),
    Request("fits with one's own", "ListFits", after=("a fit", "a fit of an MLP, noise by region")),
)  # fmt: skip

NEURONS = (
    Request("neurons", "NeuronFacts"),
    Request("layers of neurons", "NeuronMap"),
    Request("vector", "NeuronVector", NEURON),
    Request("gate vector", "NeuronVector", {"layer": 24, "vector": "gate", "neuron": 992}),
    Request("channels made beforehand", "FindChannels", NEURON),
    Request("channels found anew", "FindChannels", NEURON | {"channels": 1, "fresh": True, "seed": 3}),
    Request("channel taken out", "AblateChannel", NEURON | {"text": SURGEON}),
    Request("channel of an up vector taken out", "AblateChannel", {
        "layer": 25, "vector": "up", "neuron": 1034, "text": SURGEON,
    }),
    Request("search of channels", "SearchChannels", {"text": "the"}),
    Request("neurons that are not measured", "NeuronMap", {"model": OTHELLO}, refused=True),
    Request("null of the Othello model", "MeasureNull", {"model": OTHELLO, "vectors": 40, "rounds": 1}),
    Request("neurons of the Othello model", "NeuronFacts", {"model": OTHELLO}, after=("null of the Othello model",)),
    Request("layers of the Othello model", "NeuronMap", {"model": OTHELLO}, after=("null of the Othello model",)),
    Request(
        "channels by the official recipe",
        "FindChannels",
        {"model": OTHELLO, "layer": 2, "neuron": 7, "channels": 1, "optimiser": "adamw", "fresh": True},
        after=("null of the Othello model",),
    ),
)  # fmt: skip

MLP = (
    Request("factorizations of the default model", "ListFactorizations"),
    Request("factorization", "FactorizationFacts", {"fit": "block-25"}),
    Request("feature", "FeatureCard", FEATURE),
    Request("reading of a text", "FeatureReading", {"fit": "block-25", "text": SURGEON}),
    Request("features beside each other", "FeatureOverlap", {"fit": "block-25", "features": [114, 7]}),
    Request("tree", "FeatureTree", {"fit": "block-25"}),
    Request("table of detection", "DetectionTable"),
    Request("search of features", "SearchFeatures", {"text": " Paris"}),
    Request("effect of a feature", "FeatureEffect", FEATURE | {"text": "I think that"}),
    Request("text with a feature", "FeatureText", FEATURE | {
        "strength": 3.0, "text": "I think that", "count": 8, "baseline": "random sparse", "baseline_strength": 3.0,
    }),
    Request("alternatives with a feature", "FeatureAlternatives", FEATURE | {
        "strength": 3.0, "text": "I think that", "ids": [260, 1284],
    }),
    Request("a factorization", "FitFactorization", {
        "layer": 6, "features": 8, "kept": 0.05, "iterations": 30, "tokens": 400, "levels": [4], "texts": TEXTS,
    }),
    Request("features of the factorization", "FactorizationFacts", {"fit": Taken("a factorization", "fit")}),
    Request("feature of the factorization", "FeatureCard", {"fit": Taken("a factorization", "fit"), "feature": 2}),
    Request("tree of the factorization", "FeatureTree", {"fit": Taken("a factorization", "fit"), "threshold": 0.05}),
)  # fmt: skip

FAITHFULNESS = (
    Request("board", "FaithBoard"),
    Request("board of a study that is not there", "FaithBoard", {"study": "nothing"}, refused=True),
    Request("studies", "FaithStudies"),
    *(Request(f"scores of tier {tier}", "FaithScores", {"tier": tier}) for tier in ("1", "G1")),
    Request("items", "FaithItems"),
    Request("item", "FaithItem", ITEM),
    Request("item of the first tier in full", "FaithItem", {"item": "chain-1+3", "full": True}),
    Request("trace of an item", "FaithTrace", ITEM),
    Request("intervention", "FaithIntervene", {"item": "chain-1+3", "key": "7"}),
    Request("estimate of a study", "FaithEstimate", STUDY | {"tiers": ["0", "1"]}),
    Request("a study", "FaithStudy", STUDY | {"tiers": ["0", "1"]}),
    Request("board of the study", "FaithBoard", {"study": Taken("a study", "study")}),
    Request("scores of the study", "FaithScores", {"study": Taken("a study", "study"), "tier": "0"}),
    Request("own chains", "FaithOwn", {
        "question": QUESTION, "candidates": "4, 5, 22", "samples": 2, "tokens": 60, "seed": 1,
    }),
    Request("items of own chains", "FaithItems", {"study": Taken("own chains", "study")}),
    Request("rows of a file", "FaithFile", {"text": ROWS}),
    Request("scores of the rows", "FaithScores", {"study": Taken("rows of a file", "study"), "tier": "file"}),
)  # fmt: skip

OTHELLO_ROOM = (
    Request("Othello", "OthelloFacts"),
    Request("Othello opened", "OpenOthello"),
    Request("reading of a game", "OthelloReading", GAME),
    Request("reading by mover", "OthelloReading", GAME | {"labels": "mover", "layer": 5, "ply": 6}),
    Request("reading of an illegal game", "OthelloReading", {"moves": [0, 1], "ply": 1}, refused=True),
    Request("binding", "OthelloBinding", GAME),
    Request("binding of the trilinear probe", "OthelloBinding", GAME | {"probe": "trilinear"}),
    Request("roles", "OthelloRoles", GAME),
    Request("roles in other coordinates", "OthelloRoles", GAME | {"gauge": 3, "embedding": "isomap"}),
    Request("directions", "OthelloDirections", {"layer": 3}),
    Request("edit", "OthelloEdit", GAME | {"edits": [[19, 0]], "choose": "best"}),
    Request("edit by the linear probe", "OthelloEdit", GAME | {
        "edits": [[19, 0], [18, 0]], "method": "linear", "scale": 2.0, "first": 1,
    }),
    *(Request(f"edit, {way}", "OthelloEdit", GAME | {"edits": [[19, 0]], "method": way, "scale": 2.0})
      for way in ("trilinear", "random", "wrong-square")),
    Request("usual looks", "UsualLooks", {"ply": 4}),
    *(Request(f"without a head, {way} in its place", "WithoutHead", GAME | {"block": 2, "head": 1, "baseline": way})
      for way in ("games", "mean", "zero")),
    Request("looks of an edit", "EditedLooks", GAME | {"edits": [[19, 0]]}),
    Request("report of a game", "GameReport", GAME),
    Request("report of random games", "UsualReport", {"games": 20}),
    Request("trials", "OthelloTrials", {"cases": 20}),
    *(Request(f"story of the {story}", "OthelloStory", {"story": story}) for story in ("line", "edit", "pass")),
    Request("probes", "FitProbes", {"games": 100, "first": 3, "last": 3}),
)  # fmt: skip

REQUESTS: tuple[Request, ...] = (*MODELS, *CONTRASTS, *PROMPTS, *STEERING, *NEURONS, *MLP, *FAITHFULNESS, *OTHELLO_ROOM)


def in_order(requests: Iterable[Request] = REQUESTS) -> list[Request]:
    """The requests such that each comes after those that it needs, else as they are written.

    ValueError for a name that two have, for one that none has, and for requests that need each other.
    """
    table: dict[str, Request] = {}
    for request in requests:
        if table.setdefault(request.name, request) is not request:
            raise ValueError(f"two requests are called {request.name!r}")
    done: dict[str, Request] = {}

    def put(request: Request, above: tuple[str, ...]) -> None:
        if request.name in above:
            raise ValueError(f"{request.name!r} needs itself")
        for name in request.needs:
            if name not in table:
                raise ValueError(f"{request.name!r} needs {name!r}, which is no request")
            put(table[name], (*above, request.name))
        done.setdefault(request.name, request)

    for request in table.values():
        put(request, ())
    return list(done.values())


def chosen(patterns: Iterable[str]) -> set[str]:
    """Names of the requests whose own name or operation fits one of the patterns (``*`` and ``?``); all without any."""
    wanted = list(patterns)
    return {
        r.name for r in REQUESTS if not wanted or any(fnmatchcase(n, p) for n in (r.name, r.operation) for p in wanted)
    }


def with_needs(names: set[str]) -> list[Request]:
    """Some requests and all that have to be asked before them, in order."""
    ordered = in_order()
    wanted = set(names)
    for request in reversed(ordered):
        if request.name in wanted:
            wanted |= set(request.needs)
    return [r for r in ordered if r.name in wanted]
