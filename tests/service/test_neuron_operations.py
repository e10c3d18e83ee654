"""Operations of the Neurons page on a tiny model: what they find, remember and refuse, and that nothing is said of a
channel without its null."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analysis.engine.context import Context
from analysis.engine.operation import Operation, rebuild
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import UserError
from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.spec import ModelSpec
from analysis.rotate import channels
from analysis.rotate.channels import VocabularyChannels
from analysis.rotate.descent import adamw
from analysis.rotate.library import MEASUREMENTS, NeuronLibrary, open_library
from analysis.rotate.null import measure_null
from analysis.rotate.objective import kurtosis, z_scores
from analysis.rotate.ops.ablation import AblateChannel
from analysis.rotate.ops.channels import FindChannels
from analysis.rotate.ops.neurons import MeasureNull, NeuronFacts, NeuronMap, NeuronVector, SearchChannels, vectors_of
from analysis.rotate.width import NARROW, WIDTHS
from tests.service.kept_files import check_served_only_with_its_files
from tests.unit.test_contrasts import _byte_level
from tests.unit.tiny_models import tiny_model

SPEC = ModelSpec("default")
TEXT = "the lamp is kept in Box A"


def tiny(name: str = "llama") -> LoadedModel:
    tokenizer = _byte_level()
    model = tiny_model(name, vocab_size=len(tokenizer))
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    return LoadedModel(model, tokenizer, SPEC, describe(model, ids, tokenizer, SPEC, ""))


def context_of(loaded: LoadedModel, path: Path) -> Context:
    residents = Residents(limit=1)
    residents.put(loaded)
    return Context(residents, ResultStore(path))


def perform(context: Context, operation: Operation) -> Any:
    return context.perform(rebuild(type(operation).__name__, json.loads(json.dumps(operation.to_params()))))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Context, LoadedModel, list[dict[str, Any]]]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_HOME", str(tmp_path_factory.mktemp("home")))
        loaded = tiny()
        context = context_of(loaded, tmp_path_factory.mktemp("results"))
        lines: list[dict[str, Any]] = []
        context.on_progress = lines.append  # type: ignore[attr-defined]
        perform(context, MeasureNull(vectors=40, rounds=2))
        yield context, loaded, lines


def test_nothing_is_said_of_channels_without_a_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    context = context_of(tiny(), tmp_path / "results")
    facts = perform(context, NeuronFacts()).data
    assert not facts["measured"] and facts["null"] is None and facts["bundled"] == []
    for operation in (FindChannels(), NeuronMap(), SearchChannels(text="a")):
        with pytest.raises(UserError, match="have not been measured"):
            perform(context, operation)
    # The vector itself can be looked at, only without a band.
    card = perform(context, NeuronVector(layer=1, neuron=3)).data
    assert card["band"] is None and card["in_layer"] is None


def test_the_key_of_channels_follows_the_null_that_they_are_held_against(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    loaded = tiny()
    context = context_of(loaded, tmp_path / "results")
    keys = [context.key_of(FindChannels())]
    for null in (0.0, 1.0):  # measured, and measured anew
        NeuronLibrary({"fingerprint": loaded.facts.fingerprint}, {"null": np.full(3, null, np.float32)}).save()
        keys.append(context.key_of(FindChannels()))
    assert None not in keys and len(set(keys)) == 3


def test_weights_have_one_fingerprint_and_a_resident_an_identity(tmp_path: Path) -> None:
    loaded = tiny()
    residents = context_of(loaded, tmp_path / "results").residents
    assert residents.fingerprint(SPEC) == loaded.facts.fingerprint
    assert residents.identity(SPEC) == f"{loaded.facts.fingerprint} {loaded.facts.dtype} {loaded.facts.device}"
    other = ModelSpec("elsewhere")
    assert residents.fingerprint(other) is None and residents.identity(other) is None


def test_a_null_that_was_deleted_is_measured_again(bench: Any) -> None:
    check_served_only_with_its_files(bench[0], MeasureNull(vectors=40, rounds=2))


def test_a_narrow_null_says_so_and_never_takes_the_place_of_a_full_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.setitem(WIDTHS, "narrow", replace(NARROW, vectors=19, rounds=1, passes=1, drawn=4, neurons=4))
    context = context_of(tiny(), tmp_path / "results")
    perform(context, MeasureNull(width="narrow"))
    facts = perform(context, NeuronFacts()).data
    null = facts["null"]
    assert null["narrow"] is True and (null["vectors"], null["rounds"]) == (19, 1)
    assert null["sentence"].startswith("A narrow null") and "beyond their 95.0th percentile" in null["sentence"]
    start = facts["start"]
    found = perform(context, FindChannels(**start, channels=1)).data
    assert "A narrow null, for a first verdict: 19 random vectors" in found["verdict"]
    # The neuron is searched as the random vectors were.
    assert found["settings"]["starts"] == NARROW.starts == 1
    # The page opens on a neuron that the map holds, one of those that write.
    assert start["vector"] == "down" and perform(context, NeuronVector(**start)).data["in_layer"] is not None
    [entry] = MEASUREMENTS.of_weights(context.model(SPEC).facts.fingerprint)
    first = MEASUREMENTS.open(context.memory, entry.path)
    perform(context, MeasureNull(width="narrow", seed=1))
    [entry] = MEASUREMENTS.of_weights(context.model(SPEC).facts.fingerprint)
    second = MEASUREMENTS.open(context.memory, entry.path)
    assert FindChannels().key(first) != FindChannels().key(second), "channels of before are not served as of now"
    second.manifest["width"] = "full"
    perform(context, MeasureNull(width="narrow", seed=2))
    [again] = MEASUREMENTS.of_weights(context.model(SPEC).facts.fingerprint)
    assert again.checksum == entry.checksum


def test_measuring_is_kept_for_these_weights(bench: Any) -> None:
    context, loaded, _ = bench
    facts = perform(context, NeuronFacts()).data
    assert facts["measured"] and facts["null"]["vectors"] == 40 and facts["null"]["rounds"] == 2
    assert facts["vectors"] == ["gate", "up", "down"] and facts["neurons"] == 64 and facts["layers"] == 4
    assert open_library(context.memory, loaded.facts.fingerprint) is not None
    assert open_library(context.memory, "other weights") is None


def test_the_layer_map_is_that_of_every_neuron(bench: Any) -> None:
    context, loaded, _ = bench
    found = perform(context, NeuronMap())
    vectors = vectors_of(loaded)
    for i, layer in enumerate(vectors.layers):
        for j, kind in enumerate(vectors.kinds):
            every = kurtosis(vectors.vectors(layer, kind).double() @ vectors.projection(layer).double().T)
            assert found.arrays["median"][i, j] == pytest.approx(float(np.median(every)), abs=5e-3)
            assert found.arrays["top"][i, j] == pytest.approx(float(every.max()), rel=2e-3, abs=5e-3)
    band = found.data["band"]
    assert band["low"] < band["median"] < band["high"]


def test_a_vector_is_shown_as_it_is(bench: Any) -> None:
    context, loaded, _ = bench
    found = perform(context, NeuronVector(layer=2, vector="up", neuron=5))
    vectors = vectors_of(loaded)
    z = z_scores(loaded.model.model.layers[2].mlp.up_proj.weight[5] @ vectors.projection(2).T)
    assert [t["id"] for t in found.data["high"]] == z.topk(15).indices.tolist()
    assert found.data["low"][0]["z"] == pytest.approx(float(z.min()), abs=1e-3)
    assert found.arrays["counts"].sum() == len(z)
    assert found.arrays["edges"][0] <= z.min() and found.arrays["edges"][-1] >= z.max()


def test_channels_come_with_their_null_and_their_descent(bench: Any) -> None:
    context, loaded, lines = bench
    lines.clear()
    found = perform(context, FindChannels(layer=3, neuron=7, channels=2))
    rows, arrays = found.data["channels"], found.arrays
    assert [r["number"] for r in rows] == [1, 2] and found.data["source"] == "computed here"
    null = open_library(context.memory, loaded.facts.fingerprint).null("unembedding")  # type: ignore[union-attr]
    for c, row in enumerate(rows):
        assert row["percentile"] == pytest.approx(100 * float((null.own_z[:, c] < row["own_z"]).float().mean()))
        best = null.own_z[:, :2].max(1).values
        assert row["p"] == pytest.approx((1 + int((best >= row["own_z"]).sum())) / 41)
        assert row["beyond"] == (row["p"] <= 0.05) and len(row["tokens"]) == 20
        assert np.mean([t["own"] for t in row["tokens"]]) == pytest.approx(row["own_z"], abs=1e-3)
    assert found.data["nothing"] == (not any(r["beyond"] for r in rows))
    assert ("Nothing in it" in found.data["verdict"]) == found.data["nothing"]
    assert arrays["counts"].shape[0] == 3 and set(arrays["counts"].sum(1)) == {len(loaded.tokenizer)}
    assert arrays["cosines"][0, 1] == pytest.approx(rows[0]["cosine"], abs=1e-4)
    assert np.all(np.diff(arrays["reconstruction"][:, 1]) >= -1e-6)
    last = arrays["trace"][arrays["trace"][:, 0] == 1][-1]
    assert last[2] == pytest.approx(rows[0]["loss"], abs=1e-4)
    traced = [line["trace"] for line in lines if "trace" in line]
    assert traced and traced[-1]["channel"] == 2 and len(traced[-1]["loss"]) == len(traced[-1]["step"]) > 3


def test_an_excluded_token_leaves_the_channels(bench: Any) -> None:
    context, _, _ = bench
    first = perform(context, FindChannels(layer=3, neuron=7, channels=1)).data["channels"][0]
    out = tuple(t["id"] for t in first["tokens"][:3])
    second = perform(context, FindChannels(layer=3, neuron=7, channels=1, excluded=out)).data["channels"][0]
    assert not {t["id"] for t in second["tokens"]} & set(out)


def test_other_weights_of_the_loss_get_a_null_of_their_own(bench: Any) -> None:
    context, _, _ = bench
    plain = perform(context, FindChannels(layer=1, neuron=2, channels=1)).data
    near = perform(context, FindChannels(layer=1, neuron=2, channels=1, cosine_weight=20.0)).data
    assert near["null"]["vectors"] == 64 != plain["null"]["vectors"]
    assert near["null"]["cosine"][0] > plain["null"]["cosine"][0]
    assert near["channels"][0]["cosine"] > plain["channels"][0]["cosine"]


def test_the_choice_as_in_the_paper_is_the_official_recipe_and_so_is_its_null(
    bench: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The descent itself is held against the published loop elsewhere; here it is cut short."""
    monkeypatch.setattr(
        channels, "adamw", lambda *args, **more: adamw(*args, **{**more, "max_steps": 250, "first_check": 250})
    )
    context, _, _ = bench
    asked = FindChannels(layer=0, vector="gate", neuron=1, channels=2, optimiser="adamw", mask_z=2.0)
    found = perform(context, asked)
    vectors, library = asked.measured(context)
    w, U = asked.weight(vectors)
    m = library.token_weights(library.projection_of(0), len(U))
    manner: dict[str, Any] = {"optimiser": "adamw", "starts": 1, "compatible": True, "mask_z": 2.0}
    own = VocabularyChannels(2, **manner).fit(w[None], U, m)
    for c, row in enumerate(found.data["channels"]):
        assert [t["id"] for t in row["tokens"]] == own.top_[0, c].tolist()
        assert row["loss"] == pytest.approx(float(own.loss_[0, c]), abs=1e-5)
        assert row["unweighted"] == pytest.approx(float(kurtosis(U @ own.channels_[0, c])), rel=1e-3)
    null = measure_null(U, m, vectors=20, rounds=2, **manner)
    assert found.data["null"]["vectors"] == 20 and found.data["null"]["manner"] == "the same official recipe"
    assert found.data["null"]["own_z"] == pytest.approx(null.band("own_z"), abs=1e-3)
    assert found.data["recipe"].startswith("The official recipe: AdamW")
    assert (found.data["settings"]["optimiser"], found.data["settings"]["compatible"]) == ("adamw", True)
    usual = perform(context, FindChannels(layer=0, vector="gate", neuron=1, channels=2)).data
    assert not usual["settings"]["compatible"] and usual["recipe"] == "" and usual["null"]["vectors"] == 40


def test_search_says_why_there_is_nothing(bench: Any) -> None:
    context, _, _ = bench
    assert perform(context, SearchChannels(text="lamp kept")).data["sentence"].startswith("“lamp kept” is more than")
    none = perform(context, SearchChannels(text="a")).data
    assert none["rows"] == [] and "No channel of the 0 neurons" in none["sentence"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"layer": 4}, "blocks 0 to 3"),
        ({"neuron": 64}, "numbered from 0 to 63"),
        ({"vector": "in"}, "has the vectors gate, up, down"),
        ({"excluded": (999_999,)}, "There is no token 999,999"),
    ],
)
def test_what_is_not_there_is_named(bench: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        perform(bench[0], FindChannels(**settings))


@pytest.mark.parametrize(
    "settings",
    [{"channels": 0}, {"channels": 51}, {"mask_z": float("nan")}, {"cosine_weight": 0.0}, {"vector": "value"},
     {"optimiser": "sgd"}, {"neuron": -1}, {"excluded": ("a",)}, {"excluded": tuple(range(201))}],
)  # fmt: skip
def test_bad_settings_never_reach_a_model(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        FindChannels(**settings)


def test_a_model_without_a_gate_has_in_and_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    loaded = tiny("gpt2")
    context = context_of(loaded, tmp_path / "results")
    assert perform(context, NeuronFacts()).data["vectors"] == ["in", "down"]
    with pytest.raises(UserError, match=r"plain: a neuron has no gate") as caught:
        perform(context, NeuronVector(vector="gate"))
    assert caught.value.field == "vector"
    read = vectors_of(loaded)
    block = loaded.model.transformer.h[1].mlp
    assert torch.equal(read.read(1, "in", 5), block.c_fc.weight[:, 5])
    assert torch.equal(read.read(1, "down", 5), block.c_proj.weight[5])


def test_a_model_of_experts_is_refused_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    context = context_of(tiny("gpt_oss"), tmp_path / "results")
    with pytest.raises(UserError, match="experts that share the work"):
        perform(context, NeuronFacts())


@pytest.mark.parametrize("vector", ["down", "up"])
def test_a_channel_is_taken_out_beside_its_controls(bench: Any, vector: str) -> None:
    context, loaded, _ = bench
    before = {n: p.clone() for n, p in loaded.model.named_parameters()}
    settings: dict[str, Any] = {"layer": 2, "vector": vector, "neuron": 9, "channels": 1}
    try:
        data = perform(context, AblateChannel(**settings, text=TEXT)).data
    except UserError as error:  # the tiny tokenizer's channel may hold no token of the corpus
        assert vector == "up" and error.field == "channel"
    else:
        assert data["kind"] == ("output" if vector == "down" else "input")
        assert [a["name"] for a in data["arms"]] == ["channel", "random direction", "logit lens", "svd"]
        assert len(data["labels"]) == len(data["activation"]) and data["sentence"]
    assert all(torch.equal(p, before[n]) for n, p in loaded.model.named_parameters())
    with pytest.raises(UserError, match="The channel must be"):
        AblateChannel(**settings, channel=2)
