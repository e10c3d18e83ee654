"""Operations: what they are as data, what they refuse, and that a job is computed once."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analysis import catalogue
from analysis.bridge.inside import OnWords
from analysis.engine import keys
from analysis.engine.context import Context
from analysis.engine.keys import content_key
from analysis.engine.loading import LoadModel
from analysis.engine.operation import REGISTRY, Operation, rebuild
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import UserError
from analysis.faithfulness.ops.item import FaithIntervene
from analysis.faithfulness.ops.rows import FaithFile
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.mfa.turns import TurnSetting
from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.spec import ModelSpec
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.contrast import MakeContrast
from analysis.qk.ops.features import (
    Evidence,
    FeatureScores,
    FeatureStatus,
    FitContrast,
    HeldOut,
    Overlap,
    PreviewContrast,
)
from analysis.qk.ops.patch import PatchSubspace
from analysis.qk.ops.prompt import Alignment, AttentionRow, HeadAttention, PlaceOnMap, TracePrompt
from analysis.qk.ops.sites import PatchSites
from analysis.qk.ops.swap import SwapPrediction, SwapRow
from analysis.qk.ops.token import OnToken, WritingSources
from analysis.qk.ops.validation import Invariants
from analysis.snmf.ops.factorization import FeatureOverlap
from analysis.tpr.ops.heads import WithoutHead
from analysis.tpr.ops.reading import OfGame, OfOthello
from analysis.view_ref import QuestionRef
from tests.unit.test_contrasts import _byte_level
from tests.unit.tiny_models import tiny_model

TEXT = "the lamp is kept in Box A, the key is kept in Box B. the lamp is kept in Box"
FEATURE = ContrastSpec("induction", 24)
NAMES = sorted(catalogue.NAMES)

# A valid value other than the default, for every field of words; whole numbers and switches are changed by rule.
OTHER: dict[str, Any] = {
    "equal": "kl",
    "heads": ((2, 1), (3, 0)),
    "cells": ((2, 1), (3, 0)),
    "pairs": ((2, 1), (3, 0)),
    **{"artefact": "study", "name": "taken", "contrast": ContrastSpec("induction", 9), "repository": "owner/name"},
    **{"revision": "v1", "file": "00", "layout": "authors", "since": 1.7e9},
    "held_out": HeldOut(layer=1),
    "text": "Another prompt.",
    "rotary": "pre",
    "side": "key",
    "reference": "none",
    "task": "gaussian",
    "recipe": "reference",
    "ranks": (3,),
    "steer": SteeringSettings("fit", (RegionSetting(0, 0.5), RegionSetting(1))),
    "rotation": "varimax",
    "control": "region",
    "temperature": 0.5,
    "top_p": 0.5,
    "target": 0.5,
    "site": "mlp_output",
    "noise": "component",
    "moves": (19, 18, 17),
    "labels": "mover",
    "probe": "trilinear",
    "method": "linear",
    "choose": "best",
    "scale": 2.0,
    "story": "edit",
    "width": "narrow",
    "blocks": (1, 2),
    "embedding": "isomap",
    "edits": ((18, 0),),
    "source": '{"kind": "dataset", "name": "owner/name"}',
    "vector": "up",
    "format": "safetensors",
    "kurtosis_weight": 0.5,
    "cosine_weight": 2.0,
    "mask_z": 5.0,
    "optimiser": "adamw",
    "excluded": (3,),
    "ids": (3, 4),
    "contrasts": (ContrastSpec("induction", 9),),
    "kept": 0.05,
    "init": "random",
    "levels": (50,),
    "threshold": 0.3,
    "pole": -1,
    "strength": 1.5,
    "baseline": "DiffMean",
    "baseline_strength": 0.5,
    "tier": "2",
    "tiers": ("1",),
    "questions": (QuestionRef("TrainToy", {"seed": 3}),),
    "pages": ("/neurons",),
    "budget": 3600.0,
    "pins": ("0" * 32,),
    "again": "0",
    "unit": "absolute",
    "other": "Another prompt.",
    "what": "query",
    "probes": "opened-others",
    "given": "0" * 16,
    "by": "strength",
    "of": "base",
    "turns": (TurnSetting("a", "b", (3,), SteeringSettings("fit", (RegionSetting(0, 0.5),))), TurnSetting("c")),
    "system": "Be brief.",
    "begin": (3, 4),
    "over": "factors",
    "words": "other",
    "lens": "jacobian",
    "files": (("probe.pt", "AA=="),),
    "block": 2,
    "neurons": (3, 5),
    "against": "other",
    "path": "elsewhere",
    "outliers": "0" * 16,
    "content": "AA==",
    "place": "resid_mid",
    **dict.fromkeys(("study", "item", "question", "hint", "candidates", "simulator", "key"), "other"),
    **dict.fromkeys(
        ("texts", "token", "fit", "label", "positive", "negative", "name", "dataset", "file", "generation"), "other"
    ),
    "features": (ContrastSpec("induction", 9), ContrastSpec("previous")),
}


def example_of(name: str) -> Operation:
    cls = REGISTRY[name]
    # Some fields are checked against each other, so their defaults alone are no question.
    needed = {
        "StrengthForKL": {"steer": SteeringSettings("fit", (RegionSetting(0), RegionSetting(1)))},
        "SteerLadder": {"steer": SteeringSettings("fit", (RegionSetting(0), RegionSetting(1)))},
        "SteerSamples": {"positive": "a", "negative": "b", "steer": SteeringSettings("fit", (RegionSetting(0, 0.5),))},
        "SteerSweep": {"steer": SteeringSettings("fit", (RegionSetting(0), RegionSetting(1)))},
        "SteerControls": {"positive": "a", "negative": "b"},
        "SteerText": {"positive": "a", "negative": "b"},
        **{n: {"edits": ((19, 0),)} for n in ("OthelloEdit", "EditedLooks")},
        "AblateChannel": {"channels": 3},
        "FeatureOverlap": {"features": (1, 2)},
        "TokenAlternatives": {"positive": "a", "negative": "b"},
        "TokenCard": {"token": "a"},
        "OpenLens": {"path": "lens.pt"},
        "OpenMixture": {"file": "some/mixtures"},
        "FaithOwn": {"question": "a"},
        "OpenFactorization": {"file": "AAAA"},
        **{n: {"item": "R-0-3+4"} for n in ("FaithItem", "FaithTrace", "FaithIntervene")},
    }.get(name, {})
    if issubclass(cls, OfGame):
        needed |= {"moves": (19, 18, 17, 9, 1), "ply": 2}
    text = {"text": TEXT} if "text" in {f.name for f in dataclasses.fields(cls)} else {}
    return cls(**text, **needed)


def altered(operation: Operation, name: str) -> Operation:
    value = getattr(operation, name)
    if name == "source" and isinstance(operation, OfOthello):
        other = "owner/name"
    elif name == "site" and isinstance(operation, PatchSites):
        other = "mlp"
    elif name == "features" and not isinstance(value, tuple):
        other = value + 1
    elif name == "edits" and isinstance(operation, FaithIntervene):
        other = ("keep", "delete")
    elif name == "features" and isinstance(operation, FeatureOverlap):
        other = (1, 3)
    elif isinstance(operation, FaithFile) and name in ("target", "most", "dataset", "judge"):
        other = {"target": "a model", "most": 20, "dataset": "owner/name", "judge": "another"}[name]
    elif name == "baseline" and isinstance(operation, OnToken | WithoutHead):
        other = "zero"
    elif isinstance(operation, OnToken | OnWords | WritingSources | MakeContrast) and name in (
        "token",
        "against",
        "key",
    ):
        other = 3
    elif name in OTHER:
        other = OTHER[name]
    elif isinstance(value, ModelSpec):
        other = ModelSpec("default", dtype="bfloat16")
    elif isinstance(value, ContrastSpec):
        other = ContrastSpec("induction", 9)
    else:
        assert isinstance(value, (bool, int)), f"say in OTHER what else {name} may be"
        other = not value if isinstance(value, bool) else value + 1
    return dataclasses.replace(operation, **{name: other})


def test_every_operation_of_the_catalogue_is_registered() -> None:
    own = {name for name, cls in REGISTRY.items() if cls.__module__.startswith("analysis.")}
    assert own == set(NAMES)
    assert all(REGISTRY[name].__doc__ and REGISTRY[name].kind in ("live", "stream", "job", "read") for name in NAMES)
    assert all(example_of(name).describe() for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_operations_survive_json(name: str) -> None:
    operation = example_of(name)
    for one in (operation, *(altered(operation, f.name) for f in dataclasses.fields(operation))):
        params = json.loads(json.dumps(one.to_params(), allow_nan=False))
        again = rebuild(name, params)
        assert again == one and type(again) is type(one)
        assert again.to_params() == one.to_params()


@pytest.mark.parametrize("name", NAMES)
def test_the_content_key_depends_on_every_field(name: str) -> None:
    operation = example_of(name)
    changed = [altered(operation, f.name) for f in dataclasses.fields(operation)]
    keys = {content_key(one, "weights") for one in (operation, *changed)}
    assert len(keys) == 1 + len(changed) and all(len(k) == 64 for k in keys)
    assert content_key(operation, "weights") == content_key(rebuild(name, operation.to_params()), "weights")
    assert content_key(operation, "other weights") not in keys


def test_equal_parameters_of_different_operations_have_different_keys() -> None:
    assert LoadModel().to_params() == Invariants().to_params()
    assert content_key(LoadModel(), "w") != content_key(Invariants(), "w")


def test_results_of_other_code_have_other_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    before = content_key(LoadModel(), "w")
    monkeypatch.setattr(keys, "code_version", lambda module: f"another version of {module}")
    assert content_key(LoadModel(), "w") != before


@pytest.mark.parametrize("name", NAMES)
def test_unknown_settings_and_operations_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="does not know the setting 'evil'"):
        rebuild(name, {**example_of(name).to_params(), "evil": 1})
    with pytest.raises(UserError, match="no operation called"):
        rebuild(name + "x", {})


@pytest.mark.parametrize(
    ("name", "settings", "field"),
    [
        ("TracePrompt", {"text": ""}, "prompt"),
        ("TracePrompt", {"text": "a\x00b"}, "prompt"),
        ("TracePrompt", {"text": None}, "prompt"),
        ("TracePrompt", {"generate": 201}, "generate"),
        ("TracePrompt", {"generate": -1}, "generate"),
        ("TracePrompt", {"generate": 1.5}, "generate"),
        ("TracePrompt", {"model": {"source": "../..", "evil": 1}}, "model"),
        ("TracePrompt", {"model": {"source": ""}}, "model"),
        ("HeadAttention", {"layer": -1}, "layer"),
        ("HeadAttention", {"head": True}, "head"),
        ("AttentionRow", {"side": "value"}, "side"),
        ("AttentionRow", {"reference": "sink"}, "reference"),
        ("AttentionRow", {"features": [FEATURE.to_dict()] * 7}, "features"),
        ("AttentionRow", {"features": [{"kind": "nothing"}]}, "kind"),
        ("WritingHeads", {"token": -2}, "token"),
        ("AblateParts", {"baseline": "nothing"}, "baseline"),
        ("PatchParts", {"what": "nothing"}, "what"),
        ("PartsCost", {"side": "both"}, "side"),
        ("PathParts", {"side": "both"}, "side"),
        ("PatternHeads", {"cells": [[1]]}, "cells"),
        ("PatchSites", {"site": "mlp_hidden"}, "site"),
        ("PatchSites", {"pairs": [[1]]}, "pairs"),
        ("PatternHeads", {"cells": [[1, -1]]}, "cells"),
        ("CorpusScores", {"passages": 1}, "passages"),
        ("FitContrast", {"permutations": 101}, "permutations"),
        ("FitContrast", {"rotary": "none"}, "rotary"),
        ("FitContrast", {"contrast": {"kind": "induction", "n_examples": 1}}, "n_examples"),
        ("HeldOut", {"examples_count": 19}, "examples_count"),
        ("PatchSubspace", {"draws": 4}, "draws"),
        ("TrainToy", {"n1": 0}, "n1"),
        ("TrainToy", {"task": "sparse"}, "task"),
        ("OthelloReading", {"moves": [0]}, "moves"),
        ("OthelloReading", {"moves": [19] * 61}, "moves"),
        ("OthelloReading", {"moves": ["D3"]}, "moves"),
        ("OthelloReading", {"ply": 0}, "ply"),
        ("OthelloReading", {"ply": 6}, "ply"),
        ("OthelloReading", {"layer": -1}, "layer"),
        ("OthelloReading", {"labels": "colour"}, "labels"),
        ("OthelloReading", {"source": ""}, "source"),
        ("OthelloBinding", {"probe": "linear"}, "probe"),
        ("OthelloEdit", {"edits": []}, "edits"),
        ("OthelloEdit", {"edits": [[19, 2]]}, "edits"),
        ("OthelloEdit", {"edits": [[0, 0]]}, "edits"),
        ("OthelloEdit", {"edits": [[27, 0]]}, "edits"),
        ("OthelloEdit", {"edits": [[19, 1], [19, 0]]}, "edits"),
        ("OthelloEdit", {"edits": [[19, 0, 1]]}, "edits"),
        ("OthelloEdit", {"edits": [[s, 0] for s in range(5)]}, "edits"),
        ("OthelloEdit", {"scale": float("nan")}, "scale"),
        ("OthelloEdit", {"method": "magic"}, "method"),
        ("OthelloTrials", {"cases": 0}, "cases"),
        ("OthelloTrials", {"squares": 5}, "squares"),
        ("OthelloStory", {"story": "end"}, "story"),
        ("FitProbes", {"games": 1}, "games"),
        ("FindChannels", {"vector": "value"}, "vector"),
        ("FindChannels", {"neuron": -1}, "neuron"),
        ("FindChannels", {"channels": 0}, "channels"),
        ("FindChannels", {"mask_z": float("nan")}, "mask_z"),
        ("FindChannels", {"excluded": list(range(201))}, "excluded"),
        ("AblateChannel", {"channel": 9}, "channel"),
        ("MeasureNull", {"vectors": 3}, "vectors"),
        ("SearchChannels", {"text": " "}, "search"),
        ("FeatureOverlap", {"features": [1]}, "features"),
        ("FeatureTree", {"threshold": 2.0}, "threshold"),
        ("FitFactorization", {"features": 0}, "features"),
        ("FitFactorization", {"features": 3000, "tokens": 2000}, "features"),
        ("FitFactorization", {"kept": 0.0}, "kept"),
        ("FitFactorization", {"site": "head"}, "site"),
        ("FeatureEffect", {"pole": 0}, "pole"),
        ("FeatureEffect", {"target": -1.0}, "target"),
        ("FreeOrFrozen", {"heads": [[12]]}, "heads"),
        ("FreeOrFrozen", {"heads": [[12, 1], [12, 1]]}, "heads"),
        ("SteerLens", {"steer": {"where": "generated"}}, "mode"),
        ("SteerText", {"begin": [1.5]}, "begin"),
        ("SteerText", {"of": "other"}, "of"),
        ("TokenAlternatives", {"ids": []}, "ids"),
        ("ChatTurn", {"turns": []}, "turns"),
        ("ChatTurn", {"turns": [{"user": "a", "reply": "b"}]}, "turns"),
        ("ChatTurn", {"turns": [{"user": "a"}] * 41}, "turns"),
        ("ChatTurn", {"turns": [{"user": ""}]}, "prompt"),
        ("ChatTurn", {"turns": [{"user": "a", "steer": {"where": "nowhere"}}]}, "mode"),
        ("SteerNext", {"steer": {"after": -1}}, "after"),
        ("SteerNext", {"steer": {"gate": {"kind": "mood", "region": 1}}}, "gate"),
        ("SteerNext", {"steer": {"gate": {"kind": "projection", "region": 1, "value": "x"}}}, "gate"),
        ("FeatureText", {"baseline": "magic"}, "baseline"),
        ("FaithItem", {"item": ""}, "item"),
        ("FaithBoard", {"study": None}, "study"),
        ("FaithScores", {"tier": "3"}, "tier"),
        ("FaithIntervene", {"edits": [1]}, "edits"),
        ("FaithIntervene", {"key": "x" * 2001}, "key"),
        ("FaithStudy", {"seeds": 21}, "seeds"),
        ("FaithStudy", {"tiers": ["own"]}, "tiers"),
        ("FaithStudy", {"tiers": ["2"], "fur": 2}, "fur"),
        ("FaithEstimate", {"problems": 1}, "problems"),
        ("FaithOwn", {"question": ""}, "question"),
        ("FaithOwn", {"temperature": float("nan")}, "temperature"),
        ("FaithOwn", {"tokens": 2}, "tokens"),
        ("FaithFile", {"text": ""}, "text"),
        ("FaithFile", {"unlabelled": 1}, "unlabelled"),
    ],
)
def test_bad_settings_are_refused_at_the_edge(name: str, settings: dict[str, Any], field: str) -> None:
    with pytest.raises(UserError) as caught:
        rebuild(name, {**example_of(name).to_params(), **settings})
    assert caught.value.field == field


# Running on a tiny model


@cache
def tiny() -> LoadedModel:
    tokenizer = _byte_level()
    model = tiny_model("llama", vocab_size=4000)
    spec = ModelSpec("default")
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    return LoadedModel(model, tokenizer, spec, describe(model, ids, tokenizer, spec, ""))


def context_at(path: Path) -> Context:
    residents = Residents(limit=1)
    residents.put(tiny())
    return Context(residents, ResultStore(path))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return context_at(tmp_path)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Context:
    made = context_at(tmp_path_factory.mktemp("results"))
    made.perform(FitContrast(contrast=FEATURE, permutations=20))
    return made


@contextmanager
def passes() -> Iterator[list[int]]:
    """Counts forward passes of the tiny model's first layer."""
    seen: list[int] = []
    base: Any = tiny().model.base_model
    handle = base.layers[0].register_forward_hook(lambda *_: seen.append(1))
    try:
        yield seen
    finally:
        handle.remove()


@pytest.mark.parametrize(
    "operation",
    [TracePrompt(text=TEXT), FitContrast(contrast=FEATURE, permutations=3), LoadModel()],
    ids=lambda o: type(o).__name__,
)
def test_a_job_is_computed_once_and_served_again(operation: Operation, tmp_path: Path) -> None:
    context = context_at(tmp_path)
    assert context.stored(operation) is None
    with passes() as first:
        one = context.perform(operation)
    # Another context over the same folder, so that no memory can help.
    with passes() as second:
        two = context_at(tmp_path).perform(operation)
        kept = context.stored(operation)
    assert (len(first) > 0) == (not isinstance(operation, LoadModel)) and second == []
    assert one.key == two.key == context.key_of(operation) and kept is not None
    assert two.data == one.data and set(two.arrays) == set(one.arrays)
    for name, array in one.arrays.items():
        assert np.array_equal(two.arrays[name], array, equal_nan=True) and two.arrays[name].dtype == array.dtype
    manifest = context.store.manifest(one.key)
    assert manifest is not None and rebuild(manifest["operation"], manifest["settings"]) == operation


def test_other_settings_are_computed_apart(context: Context) -> None:
    one = context.perform(TracePrompt(text=TEXT))
    with passes() as again:
        two = context.perform(TracePrompt(text=TEXT, generate=1))
    assert again and two.key != one.key and len(two.data["ids"]) == len(one.data["ids"]) + 1


def test_a_damaged_result_is_computed_again(context: Context) -> None:
    operation = TracePrompt(text=TEXT)
    key = context.perform(operation).key
    (context.store._path(key) / "result.json").write_text("spoiled")
    with passes() as again:
        assert context.perform(operation).data["labels"]
    assert again


def test_a_live_operation_keeps_nothing_but_remembers_the_pass(context: Context) -> None:
    one = HeadAttention(text=TEXT, layer=1, head=2)
    with passes() as first:
        found = context.perform(one)
    with passes() as second:
        again = context.perform(dataclasses.replace(one, layer=3))
    assert first and not second and found.key == "" and not list(context.store.root.glob("??/*"))
    assert found.arrays["cells"].max() == 255 and not np.array_equal(found.arrays["cells"], again.arrays["cells"])


def test_a_read_prompt_says_what_the_model_reads(context: Context) -> None:
    found = context.perform(TracePrompt(text=TEXT, generate=2))
    tokens = len(found.data["ids"])
    assert found.data["prompt_tokens"] == tokens - 2 == len(tiny().tokenizer(TEXT)["input_ids"])
    assert len(found.data["labels"]) == tokens and found.arrays["entropy"].shape == (4, 6)
    assert sum(found.data["next"]["probabilities"]) <= 1 + 1e-9


def test_features_must_be_fitted_first(context: Context) -> None:
    for operation in (
        AttentionRow(text=TEXT, features=(FEATURE,)),
        SwapRow(text=TEXT, query=9, feature=FEATURE),
        Evidence(contrast=FEATURE),
        HeldOut(contrast=FEATURE),
    ):
        with pytest.raises(UserError, match="has not been fitted") as caught:
            context.perform(operation)
        assert caught.value.field == "features"
    assert context.perform(FeatureStatus(features=(FEATURE,))).data == {"fitted": [False], "bundled": [False]}


def test_a_fitted_feature_answers_every_question(fitted: Context) -> None:
    at: dict[str, Any] = {"text": TEXT, "layer": 2, "head": 4, "query": 12}
    assert fitted.perform(FeatureStatus(features=(FEATURE,))).data == {"fitted": [True], "bundled": [False]}
    row = fitted.perform(AttentionRow(**at, key=3, features=(FEATURE,), ranks=(4,)))
    assert row.data["ranks"] == [4] and row.data["sum_error"] < 1e-9 and not row.data["masked"]
    assert float(row.arrays["attention"].sum()) == pytest.approx(1, abs=1e-5)
    swap = fitted.perform(SwapRow(**at, a=2, b=7, feature=FEATURE, rank=8, draws=5))
    assert swap.data["a"][1] == pytest.approx(swap.data["b"][0], abs=1e-5)
    changed = fitted.perform(SwapPrediction(**at, a=2, b=7, feature=FEATURE, rank=0))
    assert changed.data["kl"] == pytest.approx(0, abs=1e-9)
    assert fitted.perform(Alignment(text=TEXT, feature=FEATURE)).arrays["cells"].dtype == np.int8
    scores = fitted.perform(FeatureScores(contrast=FEATURE)).arrays
    facts = fitted.perform(Evidence(contrast=FEATURE, layer=2, head=4)).data
    assert facts["trace_nats"] == pytest.approx(float(scores["trace_nats"][2, 4]), rel=1e-4)
    assert facts["permutations"] == 20 and any("the rank alone is no evidence" in r for r in facts["remarks"])
    tested = fitted.perform(HeldOut(contrast=FEATURE, layer=2, head=4, examples_count=20))
    assert tested.data["swaps"]["pairs"] == 20 and tested.arrays["points"].shape[1] == 3
    patched = fitted.perform(PatchSubspace(contrast=FEATURE, layer=2, head=4, examples_count=20, draws=5))
    assert patched.data["examples"] == 20 and patched.arrays["rows"].shape == (20, 4)
    assert patched.data["attention"]["clean"] == pytest.approx(float(patched.arrays["rows"][:, 0].mean()), abs=1e-6)
    assert patched.data["answer"] is not None and not patched.data["in_sample"]
    nothing = PatchSubspace(contrast=FEATURE, layer=2, head=4, side="key", rank=0, examples_count=20, draws=5)
    assert np.array_equal(*fitted.perform(nothing).arrays["rows"][:, [0, 2]].T)
    with pytest.raises(UserError, match="before the rotary"):
        fitted.perform(dataclasses.replace(nothing, rotary="pre"))
    own = fitted.perform(
        PlaceOnMap(
            text=TEXT, layer=2, head=4, query=5, held_out=HeldOut(contrast=FEATURE, layer=2, head=4, examples_count=20)
        )
    )
    assert own.data["positions"] == [5, *range(6)] and own.arrays["places"].shape == (7, 3)
    with pytest.raises(UserError):
        fitted.perform(
            PlaceOnMap(text=TEXT, layer=1, head=4, query=5, held_out=HeldOut(contrast=FEATURE, layer=2, head=4))
        )
    twice = fitted.perform(Overlap(features=(FEATURE, FEATURE), layer=2, head=4)).data
    assert np.allclose(twice["key"], 1) and len(twice["names"]) == 2
    assert fitted.perform(PreviewContrast(contrast=FEATURE)).data["tokens"] > 0


@pytest.mark.parametrize(
    ("operation", "field"),
    [
        (HeadAttention(text=TEXT, layer=4), "layer"),
        (HeadAttention(text=TEXT, head=6), "head"),
        (AttentionRow(text=TEXT, query=500), "token"),
        (AttentionRow(text=TEXT, key=500), "token"),
        (AttentionRow(text=TEXT, query=5, reference="token", reference_token=9), "reference"),
        (SwapRow(text=TEXT, query=9, a=3, b=3, feature=FEATURE), "swap"),
        (SwapRow(text=TEXT, query=9, a=3, b=10, feature=FEATURE), "swap"),
        (Evidence(contrast=FEATURE, layer=4), "layer"),
        (Evidence(contrast=FEATURE, head=6), "head"),
        (TracePrompt(text=TEXT, chat=True), "prompt"),
        (TracePrompt(text="x"), "prompt"),
    ],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_what_does_not_exist_in_this_model_is_refused(operation: Operation, field: str, fitted: Context) -> None:
    with pytest.raises(UserError) as caught:
        fitted.perform(operation)
    assert caught.value.field == field


@pytest.mark.parametrize("field", ["draws", "rank"])
def test_a_number_out_of_range_is_refused_at_the_edge(field: str) -> None:
    with pytest.raises(UserError) as caught:
        SwapRow(text=TEXT, query=9, feature=FEATURE, **{field: -2})  # type: ignore[arg-type]
    assert caught.value.field == field


def test_a_masked_key_is_named(context: Context) -> None:
    data = context.perform(AttentionRow(text=TEXT, query=4, key=7)).data
    assert data["masked"] and "is masked" in data["sentence"]


def test_progress_reaches_the_listener(context: Context) -> None:
    seen: list[dict[str, Any]] = []
    context.on_progress = seen.append
    context.perform(FitContrast(contrast=FEATURE, permutations=2))
    shares = [s["share"] for s in seen if s["share"] is not None]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1) and any("examples" in s["text"] for s in seen)


def test_a_model_that_cannot_be_recorded_is_still_described(tmp_path: Path) -> None:
    facts = dataclasses.replace(tiny().facts, missing_layers=[1], recording_error=None)
    residents = Residents(limit=1)
    residents.put(dataclasses.replace(tiny(), facts=facts))
    context = Context(residents, ResultStore(tmp_path))
    able = {c["need"]: c for c in context.perform(LoadModel()).data["capabilities"]}["recorded attention"]
    assert not able["works"] and "Layers 1" in able["reason"]
    for operation in (TracePrompt(text=TEXT), FitContrast(contrast=FEATURE)):
        with pytest.raises(UserError, match="Layers 1") as caught:
            context.perform(operation)
        assert caught.value.field == "model"


def lines(count: int) -> ContrastSpec:
    words = (
        "cup clock coat key book lamp rope drum coin plate hammer mirror towel camera basket ring bottle brush".split()
    )
    pairs = [(a, b) for a in words for b in words if a != b][:count]
    rows = [{"text": f"the {a} is kept, the {b} is kept. the {a}", "positive": [[4, 4 + len(a)]], "negative": [b]}
            for a, b in pairs]  # fmt: skip
    return ContrastSpec("jsonl", options={"text": "\n".join(map(json.dumps, rows))})


@pytest.mark.parametrize(("count", "given"), [(20, True), (45, False)])
def test_a_file_is_tested_on_lines_that_the_fit_has_not_seen_or_says_so(
    count: int, given: bool, tmp_path: Path
) -> None:
    here, contrast = context_at(tmp_path), lines(count)
    shown = here.perform(PreviewContrast(contrast=contrast)).data
    here.perform(FitContrast(contrast=contrast))
    facts = here.perform(Evidence(contrast=contrast)).data
    test = HeldOut(contrast=contrast)
    tested = here.perform(test).data
    held = 0 if given else 9
    assert facts["examples"] == shown["count"] == count - held and facts["held_back"] == shown["held_back"] == held
    assert tested["in_sample"] is given and tested["examples"] == (count if given else held)
    assert ("were fitted" if given else "held back from the fit") in tested["basis"]
    assert "held" not in test.describe().lower()
    scores = here.perform(FeatureScores(contrast=contrast))
    assert scores.data["chance"] == facts["chance"] == 0.5
    assert np.isfinite(scores.arrays["matching"]).all()
