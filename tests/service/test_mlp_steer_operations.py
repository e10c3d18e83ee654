"""Operations of steering with a feature on a tiny model: strengths at equal KL, baselines, texts, what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from analysis import shelf
from analysis.activations import fits
from analysis.bridge.frozen import FreeOrFrozen
from analysis.bridge.moved import SteeredHeads
from analysis.corpora.passages import Passage, corpus_hash
from analysis.engine.context import Context
from analysis.engine.operation import Operation, rebuild
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import Cancelled, UserError
from analysis.mfa.evaluate import log_odds, word_ids
from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.spec import ModelSpec
from analysis.snmf.directions import ARMS, direction_of, feature_direction
from analysis.snmf.library import Factorization, Level, open_factorization, save_factorization
from analysis.snmf.ops.steer import (
    BASELINES,
    FeatureAlternatives,
    FeatureEffect,
    FeatureText,
    benchmark_sentence,
    typical,
)
from analysis.snmf.reading import read_text
from analysis.snmf.steer import FeatureSteer
from analysis.snmf.steering import interventions_of
from analysis.steering import generate_stream, steer
from tests.unit.test_contrasts import _byte_level
from tests.unit.tiny_models import tiny_model

TEXT = "the lamp is kept in Box A, the key is kept in Box B. the lamp is kept in Box"
SPEC = ModelSpec("default")
LAYER, WIDTH, K, EMPTY = 2, 64, 4, 3
PASSAGES = [
    Passage(f"{i}: the {word} is seen at {place} by {i + 3} men", theme)
    for theme, word, place in (("sea", "ship", "port"), ("farm", "cow", "barn"), ("town", "bus", "street"))
    for i in range(4)
]


@dataclasses.dataclass
class Bench:
    """A context with the tiny model in it, and the names of a factorization with themes and of one without."""

    context: Context
    loaded: LoadedModel
    name: str
    plain: str
    lines: list[dict[str, Any]]

    @property
    def fit(self) -> Factorization:
        return open_factorization(self.context.memory, self.name)

    def data(self, operation: Operation) -> dict[str, Any]:
        self.lines.clear()
        # As the worker gets it, so that every operation here has survived JSON.
        again = rebuild(type(operation).__name__, json.loads(json.dumps(operation.to_params())))
        assert again == operation
        found: dict[str, Any] = self.context.perform(again).data
        json.dumps(found, allow_nan=False)
        return found


def factorization(loaded: LoadedModel, name: str, themes: list[str]) -> Factorization:
    generator = torch.Generator().manual_seed(1)
    rows = torch.randn(K, WIDTH, generator=generator)
    rows = rows * (rows.abs() >= rows.abs().topk(6, 1).values[:, -1:])
    rows = rows / rows.norm(dim=1, keepdim=True)
    rows[EMPTY] = 0
    plain = {"top": [], "words": "", "on": [], "theme": themes[0]}
    manifest: dict[str, Any] = {
        "rows": [{"feature": k, "label": f"label {k}", **plain} for k in range(K)],
        "upper": [],
        "themes": themes,
        "model": loaded.facts.label,
        "model_spec": SPEC.to_dict(),
        "fingerprint": loaded.facts.fingerprint,
        "site": "mlp_hidden",
        "layer": LAYER,
        "skip_first": 2,
        "source": {"kind": "bundled"},
        "corpus": corpus_hash(PASSAGES),
    }
    arrays = {"themes": torch.full((K, len(themes)), 1 / len(themes)), "scale": torch.tensor([2.0, 0.5, 0.0, 1.0])}
    return Factorization(name, [Level(rows)], arrays, manifest)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("steer") / "home"
        patch.setenv("ATTUNE_HOME", str(home))
        patch.setattr(shelf, "DATA", home / "none")
        patch.setattr(fits, "bundled_corpus", lambda: list(PASSAGES))
        tokenizer = _byte_level()
        model = tiny_model("llama", vocab_size=4000, max_position_embeddings=256)
        ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
        loaded = LoadedModel(model, tokenizer, SPEC, describe(model, ids, tokenizer, SPEC, ""))
        for name, themes in (("themed", ["farm", "sea", "town"]), ("plain", [""])):
            save_factorization(factorization(loaded, name, themes), PASSAGES)
        yield Bench(Context(Residents(limit=1)), loaded, "themed", "plain", [])


@pytest.fixture
def bench(shared: Bench, tmp_path: Path) -> Bench:
    """The shared model and factorizations with a memory of their own."""
    residents = Residents(limit=1)
    residents.put(shared.loaded)
    context = Context(residents, ResultStore(tmp_path / "results"))
    context.on_progress = lambda value: shared.lines.append(value["line"]) if "line" in value else None
    return dataclasses.replace(shared, context=context)


@torch.no_grad()
def log_probabilities(bench: Bench, interventions: list[Any]) -> Tensor:
    """Of the next token (V,), from a whole pass."""
    ids = list(bench.loaded.tokenizer(TEXT)["input_ids"])
    with steer(bench.loaded, interventions, prompt_tokens=len(ids)):
        found: Tensor = bench.loaded.model(torch.tensor([ids])).logits[0, -1].double().log_softmax(-1)
    return found


def made(bench: Bench, name: str, feature: int, pole: int, strength: float) -> list[Any]:
    vector = direction_of(name, bench.context.memory, bench.loaded, bench.fit, feature).vector
    return interventions_of(bench.fit.site, vector, pole, strength)


@pytest.mark.parametrize(("pole", "target"), [(1, 0.25), (-1, 0.25), (1, 0.025)])
def test_every_arm_is_at_the_target_and_says_what_changes(bench: Bench, pole: int, target: float) -> None:
    data = bench.data(FeatureEffect(SPEC, bench.name, 1, pole, target, TEXT))
    assert [arm["name"] for arm in data["arms"]] == list(ARMS)
    base = log_probabilities(bench, [])
    for arm in data["arms"]:
        after = log_probabilities(bench, made(bench, arm["name"], 1, pole, arm["strength"]))
        assert arm["met"] and arm["strength"] > 0 and arm["note"]
        assert float((base.exp() * (base - after)).sum()) == pytest.approx(target, rel=0.05)
        assert arm["kl"] == pytest.approx(target, rel=0.05) and arm["sentence"].startswith("Strength")
        assert len(arm["up"]) == len(arm["down"]) == 8
        for row in arm["up"] + arm["down"]:
            assert row["token"] and row["change"] == pytest.approx(float(after[row["id"]] - base[row["id"]]), abs=1e-3)
        assert arm["up"][0]["change"] > 0 > arm["down"][0]["change"]
    assert len(data["labels"]) == len(data["base"]) == len(data["steered"])
    steered = log_probabilities(bench, made(bench, "feature", 1, pole, data["arms"][0]["strength"]))
    assert max(data["steered"]) == pytest.approx(float(steered.exp().max()), rel=1e-3)
    assert f"{target:g} nats" in data["sentence"]


def test_a_target_out_of_reach_is_said_and_not_dropped(bench: Bench) -> None:
    # A feature that saturates before it says anything: the last norm takes its length away.
    data = bench.data(FeatureEffect(SPEC, bench.name, 0, 1, 20.0, TEXT))
    unmet = [arm for arm in data["arms"] if not arm["met"]]
    assert unmet and len(data["arms"]) == len(ARMS)
    for arm in unmet:
        assert "cannot be reached" in arm["sentence"] or "jumps" in arm["sentence"]
        assert arm["name"] in data["sentence"]


def test_texts_without_themes_leave_the_difference_of_means_out(bench: Bench) -> None:
    data = bench.data(FeatureEffect(SPEC, bench.plain, 0, 1, 0.25, TEXT))
    arms = {arm["name"]: arm for arm in data["arms"]}
    assert arms["DiffMean"]["strength"] is None and "no themes" in arms["DiffMean"]["sentence"]
    assert all(arms[name]["met"] for name in ARMS if name != "DiffMean")
    with pytest.raises(UserError, match="no themes"):
        bench.data(FeatureText(SPEC, bench.plain, 0, 1, 1.0, TEXT, 4, baseline="DiffMean", baseline_strength=1.0))


def test_asked_again_nothing_is_computed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    first = bench.data(FeatureEffect(SPEC, bench.name, 1, 1, 0.25, TEXT))

    def never(*_args: Any, **_options: Any) -> None:
        raise AssertionError("the model was run")

    monkeypatch.setattr(bench.loaded.model, "forward", never)
    assert bench.data(FeatureEffect(SPEC, bench.name, 1, 1, 0.25, TEXT)) == first
    with pytest.raises(AssertionError):
        bench.data(FeatureEffect(SPEC, bench.name, 1, -1, 0.25, TEXT))


def test_the_search_can_be_cancelled(bench: Bench) -> None:
    class Impatient(Context):
        def check(self) -> None:
            raise Cancelled

    def hooks() -> int:
        return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in bench.loaded.model.modules())

    before, context = hooks(), Impatient(bench.context.residents, bench.context.store)
    with pytest.raises(Cancelled):
        FeatureEffect(SPEC, bench.name, 1, 1, 0.25, TEXT).run(context)
    assert hooks() == before


def test_texts_are_those_of_plain_generation(bench: Bench) -> None:
    options: dict[str, Any] = {"temperature": 0.8, "seed": 5}
    operation = FeatureText(
        SPEC, bench.name, 1, -1, 9.0, TEXT, 12, baseline="single neuron", baseline_strength=7.0, **options
    )
    data = bench.data(operation)
    ids = list(bench.loaded.tokenizer(TEXT)["input_ids"])
    arms = {"base": [], "steered": made(bench, "feature", 1, -1, 9.0)}
    arms["control"] = made(bench, "single neuron", 1, -1, 7.0)
    for key, interventions in arms.items():
        steps = generate_stream(bench.loaded, ids, 12, top_p=0.95, interventions=interventions, **options)
        assert data[key]["ids"] == [s.token for s in steps]
        assert len(data[key]["labels"]) == len(data[key]["kl"]) == len(data[key]["ids"])
        pieces = [line["piece"]["text"] for line in bench.lines if line.get("piece", {}).get("of") == key]
        assert "".join(pieces) == data[key]["text"]
    assert len({tuple(data[key]["ids"]) for key in arms}) == 3
    assert data["done"] and "alone" in data["control_note"] and data["steered"]["mean_kl"] > 0


def test_a_token_has_the_features_activation_and_alternatives(bench: Bench) -> None:
    asked: dict[str, Any] = {"baseline": "single neuron", "baseline_strength": 7.0}
    data = bench.data(FeatureText(SPEC, bench.name, 1, 1, 9.0, TEXT, 6, temperature=0.8, seed=5, **asked))
    ids = list(bench.loaded.tokenizer(TEXT)["input_ids"])
    (reading,) = data["readings"]
    for of in ("base", "steered", "control"):
        whole = read_text(bench.loaded, open_factorization(bench.context.memory, bench.name), [*ids, *data[of]["ids"]])
        at = [f.feature for f in whole.features].index(1) if 1 in [f.feature for f in whole.features] else None
        want = [0.0] * 6 if at is None else whole.activations[len(ids) :, at].tolist()
        assert reading[of] == pytest.approx(want, abs=1e-3)
        found = bench.data(
            FeatureAlternatives(SPEC, bench.name, 1, 1, 9.0, TEXT, of=of, ids=tuple(data[of]["ids"][:3]), **asked)
        )
        assert -math.log(found["chosen_base"]) == pytest.approx(data[of]["surprise"][2], rel=1e-3)
        if of != "base":
            assert found["kl"] == pytest.approx(data[of]["kl"][2], rel=1e-2, abs=1e-4)
    again = bench.data(
        FeatureText(SPEC, bench.name, 1, 1, 9.0, TEXT, 6, 0.8, seed=5, begin=(data["base"]["ids"][0],), **asked)
    )
    assert again["steered"]["ids"][0] == data["base"]["ids"][0]


def test_the_chat_template_is_put_around_the_prompt(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.loaded.tokenizer, "chat_template", "Q: {{ messages[0]['content'] }} A:")
    text = "the lamp"
    ids = list(bench.loaded.tokenizer(f"Q: {text} A:")["input_ids"])
    data = bench.data(FeatureText(SPEC, bench.name, 1, -1, 9.0, text, 8, temperature=0.8, seed=5, chat=True))
    steps = generate_stream(
        bench.loaded, ids, 8, temperature=0.8, top_p=0.95, seed=5, interventions=made(bench, "feature", 1, -1, 9.0)
    )
    assert data["steered"]["ids"] == [s.token for s in steps]
    asked = FeatureEffect(SPEC, bench.name, 1, -1, 0.2, text)
    assert bench.data(dataclasses.replace(asked, chat=True))["tokens"] == len(ids) > bench.data(asked)["tokens"]


def test_strength_zero_writes_the_base_text_at_no_price(bench: Bench) -> None:
    data = bench.data(FeatureText(SPEC, bench.name, 1, 1, 0.0, TEXT, 10, seed=3))
    assert data["steered"]["ids"] == data["base"]["ids"] and "control" not in data
    assert max(data["steered"]["kl"]) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("baseline", [b for b in BASELINES if b != "none"])
def test_every_baseline_can_write(bench: Bench, baseline: str) -> None:
    data = bench.data(FeatureText(SPEC, bench.name, 0, 1, 5.0, TEXT, 3, baseline=baseline, baseline_strength=5.0))
    assert len(data["control"]["ids"]) == 3 and data["control_note"]


def test_what_does_not_belong_together_is_refused(bench: Bench) -> None:
    for operation, field in (
        (FeatureEffect(SPEC, bench.name, K, 1, 0.25, TEXT), "feature"),
        (FeatureEffect(SPEC, bench.name, EMPTY, 1, 0.25, TEXT), "feature"),
        (FeatureText(SPEC, bench.name, EMPTY, 1, 1.0, TEXT), "feature"),
        (FeatureEffect(SPEC, "gone", 0, 1, 0.25, TEXT), "fit"),
        (FeatureEffect(SPEC, bench.name, 0, 1, 0.25, "x"), "text"),
        (FeatureEffect(SPEC, bench.name, 0, 1, 0.25, "box " * 400), "text"),
    ):
        with pytest.raises(UserError) as caught:
            bench.data(operation)
        assert caught.value.field == field, operation


@pytest.mark.parametrize(
    ("name", "settings", "field"),
    [
        ("FeatureEffect", {"pole": 0}, "pole"),
        ("FeatureEffect", {"pole": True}, "pole"),
        ("FeatureEffect", {"pole": None}, "pole"),
        ("FeatureEffect", {"target": 0}, "target"),
        ("FeatureEffect", {"target": math.nan}, "target"),
        ("FeatureEffect", {"target": 21}, "target"),
        ("FeatureEffect", {"text": ""}, "text"),
        ("FeatureEffect", {"text": 5}, "text"),
        ("FeatureEffect", {"feature": -1}, "feature"),
        ("FeatureEffect", {"feature": "1"}, "feature"),
        ("FeatureText", {"strength": -1}, "strength"),
        ("FeatureText", {"strength": math.inf}, "strength"),
        ("FeatureText", {"strength": None}, "strength"),
        ("FeatureText", {"baseline": "sae"}, "baseline"),
        ("FeatureText", {"baseline_strength": 1e9}, "baseline_strength"),
        ("FeatureText", {"count": 4_001}, "count"),
        ("FeatureText", {"temperature": 3}, "temperature"),
        ("FeatureText", {"top_p": 0}, "top_p"),
        ("FeatureText", {"seed": -1}, "seed"),
        ("FeatureText", {"text": " "}, "text"),
    ],
)
def test_bad_settings_are_refused_at_the_edge(name: str, settings: dict[str, Any], field: str) -> None:
    with pytest.raises(UserError) as caught:
        rebuild(name, {"text": TEXT, "fit": "themed", **settings})
    assert caught.value.field == field


def test_a_search_begins_at_what_the_feature_does_by_itself(bench: Bench) -> None:
    assert [typical(bench.fit, k) for k in range(K)] == [2.0, 0.5, 1.0, 1.0]
    bench.fit.arrays.pop("scale")
    assert typical(bench.fit, 0) == 1.0


def test_what_was_measured_is_said_of_that_factorization_only(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert benchmark_sentence(bench.fit) is None
    monkeypatch.setattr(shelf, "DATA", tmp_path)
    table = {"fits": [{"name": "themed", "sha256": bench.fit.key[1]}], "rows": [], "command": "a test"}
    path = tmp_path / "features" / "steering.json"
    path.parent.mkdir()
    path.write_text(json.dumps({**table, "sentences": {"themed": "much was gained."}}))
    assert benchmark_sentence(bench.fit) == "much was gained."
    assert "much was gained." in bench.data(FeatureEffect(SPEC, bench.name, 0, 1, 0.25, TEXT))["sentence"]
    assert benchmark_sentence(open_factorization(bench.context.memory, bench.plain)) is None
    path.write_text(json.dumps({**table, "fits": [{"name": "themed", "sha256": "other"}], "sentences": {}}))
    assert benchmark_sentence(bench.fit) is None
    path.write_text("[")
    assert benchmark_sentence(bench.fit) is None


def test_what_a_feature_acts_through_is_asked_as_of_any_set_up(bench: Bench) -> None:
    asked = FreeOrFrozen(SPEC, TEXT, False, FeatureSteer(bench.name, 0, -1, 0.1), words="lamp, box, key", draws=2)
    bench.data(asked)
    found = FreeOrFrozen.answer_from(bench.context.perform(asked))
    assert found.kls == pytest.approx((0.1,) * 3, rel=0.06) and all(found.met) and found.above == LAYER
    effect = FeatureEffect(SPEC, bench.name, 0, -1, 0.1, TEXT)
    strength = FeatureEffect.answer_from(bench.context.perform(effect)).arms[0].strength
    made = interventions_of(bench.fit.site, feature_direction(bench.fit.components[0]), -1, strength)
    base, steered = log_probabilities(bench, []), log_probabilities(bench, made)
    ids = word_ids(bench.loaded.tokenizer, ["lamp", "box", "key"])
    change = log_odds(steered, ids) - log_odds(base, ids)
    assert float(found.target[0, -1]) == pytest.approx(float(change.mean()), abs=1e-4)
    heads = SteeredHeads.answer_from(bench.context.perform(SteeredHeads(SPEC, TEXT, False, asked.steer)))
    assert not heads.mean[: LAYER + 1].any() and heads.mean[LAYER + 1 :].all() and heads.kls[0] == found.kls[0]
    with pytest.raises(UserError, match="keeps no neurons"):
        bench.data(dataclasses.replace(asked, steer=FeatureSteer(bench.name, EMPTY)))
