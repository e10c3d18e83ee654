"""Operations of the MLP features page on a tiny model: factorize, read, search; and what is bad is refused."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save

from analysis import shelf
from analysis.activations import fits
from analysis.corpora import passages as corpus
from analysis.corpora.passages import Passage
from analysis.engine.context import Context
from analysis.engine.operation import Operation, rebuild
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import Cancelled, UserError
from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.spec import ModelSpec
from analysis.snmf import library
from analysis.snmf.library import Factorization, open_factorization
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
from analysis.snmf.ops.released import OpenFactorization
from tests.service.kept_files import check_served_only_with_its_files
from tests.unit.test_contrasts import NOUNS, _byte_level
from tests.unit.tiny_models import tiny_model

TEXT = "the lamp is kept in Box A, the key is kept in Box B. the lamp is kept in Box"
SPEC = ModelSpec("default")
LAYER, K, KEPT = 2, 8, 0.1
FIT = FitFactorization(SPEC, LAYER, "mlp_hidden", K, KEPT, "kmeans", 20, 600, 0, (4, 2))


def passages() -> list[Passage]:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(90):
        words = rng.choice(NOUNS[: len(NOUNS) // 2] if i % 2 else NOUNS[len(NOUNS) // 2 :], 6)
        frame = "the {} a {} is {}" if i % 2 else "kept in Box {}, the box {} and {}."
        text = " ".join(frame.format(*words[j : j + 3]) for j in range(0, 6, 3))
        rows.append(Passage(f"{i}: {text}", "odd" if i % 2 else "even", "test"))
    return rows


@dataclasses.dataclass
class Bench:
    """A context with the tiny model in it, and the name of the factorization."""

    context: Context
    loaded: LoadedModel
    name: str
    said: list[dict[str, Any]]

    @property
    def fit(self) -> Factorization:
        return open_factorization(self.context.memory, self.name)

    def perform(self, operation: Operation) -> Any:
        # As the worker gets it, so that every operation here has survived JSON.
        again = rebuild(type(operation).__name__, json.loads(json.dumps(operation.to_params())))
        assert again == operation
        found = self.context.perform(again)
        json.dumps(found.data, allow_nan=False)
        return found

    def data(self, operation: Operation) -> dict[str, Any]:
        return self.perform(operation).data  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("features") / "home"
        patch.setenv("ATTUNE_HOME", str(home))
        patch.setattr(shelf, "DATA", home / "none")
        patch.setattr(fits, "bundled_corpus", passages)
        patch.setattr(corpus, "bundled_corpus", passages)
        tokenizer = _byte_level()
        model = tiny_model("llama", vocab_size=4000, max_position_embeddings=256)
        ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
        loaded = LoadedModel(model, tokenizer, SPEC, describe(model, ids, tokenizer, SPEC, ""))
        residents = Residents(limit=1)
        residents.put(loaded)
        made = Bench(Context(residents, ResultStore(home / "results")), loaded, "", [])
        made.context.on_progress = made.said.append
        made.name = made.data(FIT)["fit"]
        yield made


def test_the_job_says_how_far_it_is_and_what_it_made(bench: Bench) -> None:
    shares = [s["share"] for s in bench.said if s["share"] is not None]
    assert shares == sorted(shares) and shares[-1] == 1
    curves = [s["curve"] for s in bench.said if "curve" in s]
    assert curves and all(set(c) == {"iteration", "explained", "best"} for c in curves)
    kept = bench.data(FactorizationFacts(SPEC, bench.name))["curve"]
    assert kept["iteration"][-1] == bench.fit.manifest["n_iter"] and kept["best"] in kept["iteration"]
    best = kept["explained"][kept["iteration"].index(kept["best"])]
    assert best == pytest.approx(max(kept["explained"])) == pytest.approx(bench.fit.manifest["explained"], abs=2e-3)
    assert bench.data(FIT)["fit"] == bench.name


def test_a_factorization_that_was_deleted_is_made_again(bench: Bench) -> None:
    check_served_only_with_its_files(bench.context, FIT)


def test_facts_have_a_row_for_every_feature(bench: Bench) -> None:
    listed = bench.data(ListFactorizations(SPEC))["fits"]
    assert [f["name"] for f in listed] == [bench.name] and listed[0]["levels"] == [K, 4, 2]
    facts = bench.data(FactorizationFacts(SPEC, bench.name))
    assert [r["feature"] for r in facts["rows"]] == list(range(K)) and facts["features"] == K
    assert facts["width"] == 64 and facts["tokens"] == 600 and facts["site"] == "mlp_hidden"
    assert 0 < facts["explained"] < 1 and str(K) in facts["caption"] and facts["command"] in facts["caption"]
    for row in facts["rows"]:
        assert row["words"] == row["words"].lower() and len(row["top"]) <= 8 and 0 <= row["active"] <= 1
        assert row["auc"] is None or 0 <= row["auc"] <= 1
    assert any(row["auc"] is not None for row in facts["rows"])


def test_features_are_sparse_unit_vectors(bench: Bench) -> None:
    for level in bench.fit.levels:
        assert ((level.components != 0).sum(1) <= 7).all()  # a tenth of 64 neurons, rounded up
        assert torch.allclose(level.components.norm(dim=1), torch.ones(len(level.components)), atol=1e-2)


def test_a_card_shows_contexts_of_the_texts(bench: Bench) -> None:
    texts = [p.text for p in passages()]
    for feature in (0, K - 1):
        card = bench.data(FeatureCard(SPEC, bench.name, feature))
        assert len(card["neurons"]) == len(bench.fit.neurons(feature)) and card["sentence"]
        assert len(card["plus"]) == len(card["minus"]) == 12 and {"id", "token", "logit"} == set(card["plus"][0])
        assert sum(t["share"] for t in card["themes"]) == pytest.approx(1, abs=0.01)
        values = [c["value"] for c in card["contexts"]]
        assert values == sorted(values, reverse=True) and card["random_contexts"]
        for context in card["contexts"] + card["random_contexts"]:
            assert any("".join(context["tokens"]).replace("␣", " ") in text for text in texts)
            assert len(context["values"]) == len(context["tokens"]) > context["at"]
            assert context["values"][context["at"]] > 0 and max(context["values"]) <= 1


def test_detection_is_on_passages_that_the_fit_has_not_seen(bench: Bench) -> None:
    found = [bench.data(FeatureCard(SPEC, bench.name, k))["detection"] for k in range(K)]
    scored = [d for d in found if d["auc"] is not None]
    assert scored
    for d in scored:
        assert d["theme"] in ("odd", "even") and d["interval"][0] <= d["auc"] <= d["interval"][1]
        assert len(d["random_auc"]) == 2 and 0 <= d["shuffled_auc"] <= 1
    sizes = {d["passages"] + d["others"] for d in scored}
    read = {p for p, _ in bench.fit.arrays["place"].reshape(-1, 2).tolist() if p >= 0}
    assert len(sizes) == 1 and 0 < sizes.pop() <= len(passages()) - len(read)


def test_a_reading_solves_each_token_under_the_sign(bench: Bench) -> None:
    answer = bench.perform(FeatureReading(SPEC, bench.name, TEXT))
    data, g = answer.data, answer.arrays["activations"]
    ids = list(bench.loaded.tokenizer(TEXT)["input_ids"])
    assert len(data["labels"]) == len(ids) == len(g) and g.shape[1] == len(data["features"]) <= 24
    assert set(data["outside"]) >= {0, 1} and not g[data["outside"]].any() and (g >= 0).all()
    seen: list[torch.Tensor] = []
    module = bench.loaded.model.model.layers[LAYER].mlp.down_proj
    handle = module.register_forward_pre_hook(lambda _m, args: seen.append(args[0][0].detach()))
    with torch.no_grad():
        bench.loaded.model(torch.tensor([ids]))
    handle.remove()
    inside = [t for t in range(len(ids)) if t not in data["outside"]]
    full = torch.zeros(len(ids), K, dtype=torch.float64)
    for column, feature in enumerate(data["features"]):
        full[:, feature["feature"]] = torch.from_numpy(g[:, column]).double()
    f, x = bench.fit.components.double(), seen[0].double()
    # At a least-squares solution under g >= 0 the residual is orthogonal to what is used, and nothing else would help.
    slope = (x - full @ f) @ f.T
    size = float((x @ f.T).abs().max())
    for t in inside:
        assert (slope[t][full[t] > 0].abs() < 2e-2 * size).all() and (slope[t] < 2e-2 * size).all()


def test_overlap_tree_and_search_answer(bench: Bench) -> None:
    answer = bench.perform(FeatureOverlap(SPEC, bench.name, (0, 3, 5)))
    counts = answer.arrays["shared"]
    for i, a in enumerate((0, 3, 5)):
        for j, b in enumerate((0, 3, 5)):
            assert counts[i, j] == len(set(bench.fit.neurons(a)) & set(bench.fit.neurons(b)))
    assert answer.arrays["effects"].shape == (4, len(answer.data["effects"]["ids"]))
    assert bench.data(FeatureOverlap(SPEC, bench.name, (0, 3, 5))) == answer.data
    tree = bench.data(FeatureTree(SPEC, bench.name, 0.15))
    assert tree["levels"] == [K, 4, 2] and len(tree["nodes"]) == K + 6 and tree["edges"]
    every = {n["id"] for n in tree["nodes"]}
    assert {e["parent"] for e in tree["edges"]} | {e["child"] for e in tree["edges"]} <= every
    assert all(e["weight"] >= 0.15 for e in tree["edges"]) and set(tree["shared"]) <= every
    assert len(bench.data(FeatureTree(SPEC, bench.name, 0.9))["edges"]) < len(tree["edges"])
    token = bench.data(FeatureCard(SPEC, bench.name, 1))["plus"][4]["token"]
    rows = bench.data(SearchFeatures(SPEC, token.replace("␣", " ")))["rows"]
    assert any(r["feature"] == 1 and r["where"] == "promotes" and r["rank"] <= 5 for r in rows)


def test_own_passages_are_factorized_without_themes(bench: Bench) -> None:
    texts = "\n".join(p.text for p in passages()[:30])
    made = bench.data(FitFactorization(SPEC, 1, "residual", 3, 0.2, "random", 5, 300, 1, (), texts))
    fit = open_factorization(bench.context.memory, made["fit"])
    assert fit.passages == [Passage(p.text) for p in passages()[:30]] and fit.site.kind == "residual"
    card = bench.data(FeatureCard(SPEC, made["fit"], 0))
    assert card["detection"]["auc"] is None and "no themes" in card["detection"]["sentence"] and card["themes"] == []
    assert card["contexts"] and "dimensions" in card["sentence"]
    tree = bench.data(FeatureTree(SPEC, made["fit"]))
    assert tree["levels"] == [3] and tree["edges"] == [] and "no tree" in tree["sentence"]
    (open_path := library.FACTORIZATIONS.own() / f"{made['fit']}.json").unlink()
    assert not open_path.exists()


def test_labels_of_own_passages_give_detection_by_theme(bench: Bench) -> None:
    rows = passages()
    texts = json.dumps([{"prompt": p.text, "label": p.theme} for p in rows])
    made = bench.data(FitFactorization(SPEC, 1, "residual", 3, 0.2, "random", 5, 300, 1, (), texts))
    fit = open_factorization(bench.context.memory, made["fit"])
    assert fit.passages == [Passage(p.text, p.theme) for p in rows] and len(fit.manifest["themes"]) > 1
    cards = [bench.data(FeatureCard(SPEC, made["fit"], k)) for k in range(3)]
    assert all("no themes" not in card["detection"]["sentence"] for card in cards)
    assert {t["theme"] for card in cards for t in card["themes"]} <= {p.theme for p in rows}
    assert any(card["detection"]["auc"] is not None for card in cards)
    (library.FACTORIZATIONS.own() / f"{made['fit']}.json").unlink()


def test_features_of_others_open_as_a_factorization(bench: Bench) -> None:
    width = bench.fit.components.shape[1]
    others = torch.randn(width, 6, generator=torch.Generator().manual_seed(3)) * 7
    file = base64.b64encode(save({"F_": others})).decode()
    texts = json.dumps([{"prompt": p.text, "label": p.theme} for p in passages()])
    made = bench.data(OpenFactorization(SPEC, file, LAYER, "mlp_hidden", 300, 0, texts))
    fit = open_factorization(bench.context.memory, made["fit"])
    assert torch.allclose(fit.components, torch.nn.functional.normalize(others.T, dim=1), atol=1e-3)
    assert fit.manifest["released"]["sha256"] and "6 features of a file" in made["sentence"]
    assert fit.passages == [Passage(p.text, p.theme) for p in passages()]
    card = bench.data(FeatureCard(SPEC, made["fit"], 2))
    assert card["contexts"] and "opened on the MLP features page" in fit.facts().caption
    with pytest.raises(UserError, match="blocks 0 to 3"):
        bench.perform(OpenFactorization(SPEC, file, 4, "mlp_hidden", 300, 0, texts))
    (library.FACTORIZATIONS.own() / f"{made['fit']}.json").unlink()


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"texts": "only one sentence is here"}, "texts", "One passage is not enough"),
        ({"texts": "a b c d\ne f g h", "features": 50}, "features", "too few for 50 features"),
        ({"layer": 4}, "layer", "blocks 0 to 3"),
        ({"levels": (20, 30)}, "levels", "fewer concepts"),
    ],
)
def test_what_cannot_be_factorized_is_a_sentence(bench: Bench, changes: Any, field: str, said: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        bench.perform(dataclasses.replace(FIT, **changes))
    assert caught.value.field == field


def test_activations_that_are_no_numbers_are_a_sentence(bench: Bench) -> None:
    weight = bench.loaded.model.model.layers[3].mlp.up_proj.weight
    kept = weight.detach().clone()
    with torch.no_grad():
        weight[0, 0] = float("nan")
    try:
        with pytest.raises(UserError, match="not numbers"):
            bench.perform(dataclasses.replace(FIT, layer=3))
    finally:
        with torch.no_grad():
            weight.copy_(kept)


def test_a_fit_can_be_cancelled_while_it_runs(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(facts: dict[str, Any]) -> None:
        if "curve" in facts:
            raise Cancelled

    monkeypatch.setattr(bench.context, "on_progress", stop)
    before = sorted(p.name for p in library.FACTORIZATIONS.own().iterdir())
    with pytest.raises(Cancelled):
        bench.perform(dataclasses.replace(FIT, seed=5))
    assert sorted(p.name for p in library.FACTORIZATIONS.own().iterdir()) == before


BAD: list[tuple[type[Operation], dict[str, Any], str]] = [
    (FitFactorization, {"features": 10, "tokens": 5}, "features"),
    (FitFactorization, {"kept": 0.0}, "kept"),
    (FitFactorization, {"kept": float("nan")}, "kept"),
    (FitFactorization, {"init": "best"}, "init"),
    (FitFactorization, {"site": "attention"}, "site"),
    (FitFactorization, {"levels": (0,)}, "levels"),
    (FitFactorization, {"iterations": 0}, "iterations"),
    (FeatureCard, {"feature": -1}, "feature"),
    (FeatureOverlap, {"features": (1,)}, "features"),
    (FeatureTree, {"threshold": 2.0}, "threshold"),
    (FeatureReading, {"text": " "}, "text"),
    (SearchFeatures, {"text": ""}, "text"),
]


@pytest.mark.parametrize(("operation", "params", "field"), BAD)
def test_bad_settings_are_refused_where_they_were_typed(
    operation: type[Operation], params: dict[str, Any], field: str
) -> None:
    with pytest.raises(UserError) as caught:
        operation(**params)
    assert caught.value.field == field and caught.value.message.endswith(".")


def test_what_is_not_there_is_said(bench: Bench) -> None:
    for operation, field in (
        (FeatureCard(SPEC, bench.name, K), "feature"),
        (FeatureCard(SPEC, "nothing", 0), "fit"),
        (FactorizationFacts(SPEC, "../x"), "fit"),
        (FeatureReading(SPEC, bench.name, "word " * 300), "text"),
        (FeatureOverlap(SPEC, bench.name, (1, 1)), "features"),
    ):
        with pytest.raises(UserError) as caught:
            bench.perform(operation)
        assert caught.value.field == field
    with pytest.raises(UserError, match="missing"):
        bench.perform(DetectionTable(SPEC))
    fit = bench.fit
    kept = fit.manifest["fingerprint"]
    fit.manifest["fingerprint"] = "other"
    with pytest.raises(UserError, match="other weights"):
        bench.perform(FeatureReading(SPEC, bench.name, TEXT))
    fit.manifest["fingerprint"] = kept
