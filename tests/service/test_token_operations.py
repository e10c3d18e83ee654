"""The token card on a tiny model that has all four decompositions: each part against another way to the same number,
and every part that lacks something says so while the others answer."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analysis import shelf
from analysis.activations import fits
from analysis.activations.collect import collect
from analysis.activations.recipe import WINDOW
from analysis.corpora import passages as corpus
from analysis.engine.context import Context
from analysis.engine.operation import Operation, rebuild
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import UserError
from analysis.mfa.library import open_fit, save_fit
from analysis.mfa.pipeline import Wanted, fit_store
from analysis.mfa.reading import explain
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.mfa.steering import interventions_of
from analysis.models import trace as tracing
from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.prompts import encode_prompt, token_labels
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.models.trace import trace_prompt
from analysis.othello.model import othello_tokenizer
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.evidence import subspace_of
from analysis.qk.ops.features import FitContrast, fit_of
from analysis.qk.subspace import random_basis
from analysis.rotate.library import NeuronLibrary, open_library
from analysis.rotate.null import FIGURES, ChannelNull
from analysis.snmf.library import open_factorization
from analysis.snmf.ops.factorization import FitFactorization
from analysis.snmf.reading import activations_of, codes
from analysis.snmf.steer import FeatureSteer
from analysis.steering import steer as steering
from analysis.steering.steers import Steer
from analysis.token_card.card import TokenCard
from analysis.token_card.why import OTHERWISE, PARTLY
from tests.service.test_steering_operations import TEXT, passages
from tests.unit.test_contrasts import _byte_level
from tests.unit.tiny_models import tiny_model

SPEC = ModelSpec("default")
CONTRAST = ContrastSpec("induction", n_examples=24)
AT = 9


def tiny(spec: ModelSpec = SPEC) -> LoadedModel:
    tokenizer = othello_tokenizer() if spec.source == "othello" else _byte_level()
    model = tiny_model("llama", vocab_size=4000, max_position_embeddings=256)
    ids = torch.tensor([tokenizer("C4 E3" if spec.source == "othello" else TEXT)["input_ids"]])
    return LoadedModel(model, tokenizer, spec, describe(model, ids, tokenizer, spec, ""))


def context_of(loaded: LoadedModel, path: Path) -> Context:
    residents = Residents(limit=1)
    residents.put(loaded)
    return Context(residents, ResultStore(path))


def measured(loaded: LoadedModel) -> NeuronLibrary:
    """Measurements with made-up random vectors: what they are does not matter here, measuring them takes long."""
    generator = torch.Generator().manual_seed(0)
    figures = {name: torch.rand(40, 2, generator=generator) for name in FIGURES}
    null = ChannelNull(**figures, top=torch.randint(0, 400, (40, 2, 20), generator=generator))
    arrays = {f"unembedding.null.{name}": value.numpy() for name, value in null.arrays().items()}
    arrays |= {name: np.zeros((1, 1, 4), np.float32) for name in ("kurtosis", "skewness")}
    return NeuronLibrary({"fingerprint": loaded.facts.fingerprint, "embedding_layers": [], "projections": {}}, arrays)


@dataclasses.dataclass
class Bench:
    """A context with the tiny model, and the names of its fits."""

    context: Context
    loaded: LoadedModel
    regions: str
    features: str

    def card(self, **fields: Any) -> dict[str, Any]:
        # As the worker gets it, so that every question here has survived JSON.
        operation: Operation = TokenCard(SPEC, contrasts=(CONTRAST,), **fields)
        again = rebuild("TokenCard", json.loads(json.dumps(operation.to_params())))
        assert again == operation
        found = self.context.perform(again).data
        json.dumps(found, allow_nan=False)
        return found

    def part(self, title: str, **fields: Any) -> dict[str, Any]:
        return next(p for p in self.card(**fields)["parts"] if p["title"] == title)

    @property
    def ids(self) -> list[int]:
        return encode_prompt(self.loaded, TEXT, False)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("token") / "home"
        patch.setenv("ATTUNE_HOME", str(home))
        patch.setattr(shelf, "DATA", home / "none")
        for module in (fits, corpus):
            patch.setattr(module, "bundled_corpus", passages)
        loaded, site = tiny(), Site(1)
        store = collect(loaded, passages(), [site], max_tokens=2000, window=WINDOW)
        fit = fit_store(
            loaded, passages(), store, Wanted(site, 2000, 5, 2, iterations=3), lambda share, text, **facts: None
        )
        fit.manifest |= {"source": {"kind": "bundled"}, "model_spec": SPEC.to_dict(), "command": "a test"}
        context = context_of(loaded, home / "results")
        made = context.perform(FitFactorization(SPEC, 2, "mlp_hidden", 8, 0.1, "kmeans", 20, 500, 0, ()))
        measured(loaded).save()
        context.perform(FitContrast(SPEC, CONTRAST))
        yield Bench(context, loaded, save_fit(fit, passages()), made.data["fit"])


# ---- what is missing ----
def test_a_model_without_any_decomposition_is_told_four_times_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    for spec in (SPEC, ModelSpec("othello")):
        context = context_of(tiny(spec), tmp_path / "results")
        text = "C4 E3 D2" if spec.source == "othello" else TEXT
        for fields in ({"token_id": 4}, {"text": text, "position": 1}):
            data = context.perform(TokenCard(spec, **fields)).data
            assert [p["link"]["path"] for p in data["parts"]] == [
                "/attention",
                "/steering",
                "/neurons",
                "/mlp-features",
            ]
            for part in data["parts"]:
                assert part["rows"] == [] and "Open the " in part["sentence"] and "ress " in part["sentence"]
            assert ("moves" in data["note"]) == (spec.source == "othello")
    assert context.perform(TokenCard(spec, token="C4")).data["token"] == "C4"
    assert data["token"] == "E3" and data["forms"] == []  # the token for unknown words is no form of any
    with pytest.raises(UserError, match="no word that this model's tokenizer knows"):
        context.perform(TokenCard(spec, token="house"))


def test_without_a_text_lists_answer_and_the_rest_says_why(bench: Bench) -> None:
    fit = open_fit(bench.context.memory, bench.regions)
    token = int(fit.arrays["lifted"][3, 0])
    data = bench.card(token_id=token)
    assert data["context"] is None and data["id"] == token
    qk, regions, channels, features = data["parts"]
    assert qk["rows"] == [] and "exist in a text only" in qk["sentence"] and "Induction" in qk["sentence"]
    found = {(r["region"], r["why"], r["rank"]) for r in regions["rows"]}
    assert (3, "over-represented among its tokens", 1) in found
    for region, why, rank in found:
        name = "lifted" if why.startswith("over") else "promoted"
        assert int(fit.arrays[name][region, rank - 1]) == token
    assert channels["rows"] == [] and "random vectors" in channels["sentence"]
    assert all(r["how"] == "promotes" for r in features["rows"])


# ---- the parts against another way to the same numbers ----
def test_shares_in_a_subspace_are_those_of_a_projection(bench: Bench) -> None:
    part = bench.part("QK subspaces", text=TEXT, position=AT)
    fit = fit_of(bench.context, SPEC, CONTRAST)
    nats = fit.trace * fit.scaling[:, None]
    leading = sorted(((float(v), i, h) for (i, h), v in np.ndenumerate(nats)), reverse=True)[:3]
    assert [(r["layer"], r["head"]) for r in part["rows"]] == [(fit.layers[i], h) for _, i, h in leading]
    trace, _ = trace_prompt(bench.loaded, bench.ids, False)
    for row in part["rows"]:
        record, subspace = trace.layers[row["layer"]], subspace_of(fit, row["layer"], row["head"])
        key_head = row["head"] * record.keys.shape[1] // record.queries.shape[1]
        for side, vectors, basis in (
            ("query", record.queries[0, row["head"]], subspace.query_basis),
            ("key", record.keys[0, key_head], subspace.key_basis),
        ):
            x = vectors.double()
            rest = [v - basis @ torch.linalg.lstsq(basis, v[:, None]).solution[:, 0] for v in x]
            shares = [1 - float(r.square().sum() / v.square().sum()) for r, v in zip(rest, x, strict=True)]
            assert row[side] == pytest.approx(shares[AT], abs=1e-6)
            assert row[f"{side}_typical"] == pytest.approx(float(np.median(shares)), abs=1e-6)
        # The null is what random subspaces of that rank hold of this very vector.
        generator = torch.Generator().manual_seed(0)
        drawn = [random_basis(row["width"], row["rank"], generator) for _ in range(400)]
        held = np.mean([float((x[AT] @ b).square().sum() / x[AT].square().sum()) for b in drawn])
        assert row["expected"] == pytest.approx(held, abs=0.04)
        query = row["link"]["query"]
        assert query["text"] == TEXT and query["query"] == AT and query["features"] == [CONTRAST.to_dict()]
        assert query["head"] == {"layer": row["layer"], "head": row["head"]}


def test_a_region_is_the_one_that_the_steering_page_names(bench: Bench) -> None:
    fit = open_fit(bench.context.memory, bench.regions)
    parts = explain(bench.loaded, fit, bench.ids, "principal")
    for at in (0, AT, len(bench.ids) - 1):
        (row,) = bench.part("Regions", text=TEXT, position=at)["rows"]
        assert row["region"] == parts.region[at] and row["second"] == parts.second[at]
        assert row["responsibility"] == pytest.approx(parts.responsibility[at], abs=1e-4)
        assert row["typical"] == pytest.approx(float(np.sort(parts.responsibility[: at + 1])[at // 2]), abs=1e-4)
        assert row["local"] == pytest.approx(parts.local[at] / parts.norm[at], rel=1e-3)
        assert row["outside"] == (at < fit.skip_first)
        assert row["link"]["query"]["steer"]["regions"][0]["region"] == row["region"]
    sizes = [r["size"] for r in fit.manifest["regions"]]
    assert row["expected"] == pytest.approx(sizes[row["region"]] / fit.manifest["rows"]) and row["expected"] <= 1


def test_features_are_those_that_few_tokens_make_as_active(bench: Bench) -> None:
    fit = open_factorization(bench.context.memory, bench.features)
    used = codes(fit.components, activations_of(bench.loaded, fit, bench.ids)).double()
    # The same shares from the tokens of the fit themselves, read again passage by passage.
    rows_ = [encode_prompt(bench.loaded, p.text, False) for p in passages()]
    corpus_ = torch.cat(
        [codes(fit.components, activations_of(bench.loaded, fit, ids))[fit.skip_first :] for ids in rows_]
    )
    seen = 0
    for at in range(fit.skip_first, len(bench.ids)):
        rows = [r for r in bench.part("MLP features", text=TEXT, position=at)["rows"] if r["how"] == "active here"]
        assert [r["share"] for r in rows] == sorted(r["share"] for r in rows) and len(rows) <= 3
        for row in rows:
            k = row["feature"]
            share = float((corpus_[:, k] >= used[at, k]).double().mean())
            assert row["share"] == pytest.approx(share, abs=0.08), (at, k)
            assert row["share"] <= fit.manifest["rows"][k]["active"] + 1e-6 and row["expected"] == 1 / 8
            assert row["value"] == pytest.approx(float(used[at, k] / fit.arrays["scale"][k]), rel=1e-3)
            assert row["link"]["query"] == {"fit": bench.features, "feature": k}
            seen += 1
    assert seen > 10
    outside = bench.part("MLP features", text=TEXT, position=0)
    assert "have not seen activations like" in outside["sentence"]
    assert not any(r["how"] == "active here" for r in outside["rows"])


def test_features_that_push_the_token_up_are_found_by_its_very_label(bench: Bench) -> None:
    fit = open_factorization(bench.context.memory, bench.features)
    labels = token_labels(bench.loaded.tokenizer, list(range(len(bench.loaded.tokenizer))))
    feature, rank = next(
        (r["feature"], i)
        for r in fit.manifest["rows"]
        for i, t in enumerate(r["plus"])
        if labels.count(t) == 1  # the tiny model has more outputs than its tokenizer has tokens
    )
    token = labels.index(fit.manifest["rows"][feature]["plus"][rank])
    part = bench.part("MLP features", token_id=token)
    row = next(r for r in part["rows"] if r["feature"] == feature)
    assert (row["how"], row["rank"]) == ("promotes", rank + 1)
    assert row["value"] == pytest.approx(float(fit.arrays["plus_value"][feature, rank]))


def test_channels_of_the_token_come_before_those_of_its_other_forms(bench: Bench) -> None:
    library = open_library(bench.context.memory, bench.loaded.facts.fingerprint)
    assert library is not None
    tokenizer = bench.loaded.tokenizer
    spaced, bare = (tokenizer(t)["input_ids"][0] for t in (" the", "the"))
    top = np.full((2, 2, 20), 3_999, np.int32)
    top[0, 0, 4], top[1, 0, 0], top[1, 1, 7] = spaced, bare, spaced
    channel = {"own_z": 1.0, "cosine": 0.5, "percentile": 40.0, "p": 0.6, "tokens": []}
    neurons = [
        {"layer": 1, "vector": "down", "neuron": 5, "channels": [channel, channel]},
        {"layer": 2, "vector": "up", "neuron": 6,
         "channels": [{**channel, "p": 0.01}, {**channel, "p": 0.02, "own_z": 4.0, "percentile": 99.0}]},
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(library.manifest, "neurons", neurons)
        patch.setitem(library.arrays, "made.top", top)
        patch.setitem(library.arrays, "made.top_z", np.arange(80, dtype=np.float32).reshape(2, 2, 20))
        part = bench.part("Neuron channels", token_id=spaced)
    rows = part["rows"]
    assert [(r["neuron"], r["channel"], r["id"], r["beyond"]) for r in rows] == [
        (6, 2, spaced, True), (5, 1, spaced, False), (6, 1, bare, True),
    ]  # fmt: skip
    assert rows[0]["z"] == 67.0 and rows[0]["link"]["query"] == {"layer": 2, "vector": "up", "neuron": 6, "channel": 2}
    assert "2 hold this very token, 1 beyond the null, and 1 holds another form" in part["sentence"]
    null = library.null("unembedding")
    share = np.mean([spaced in row for row in null.top.reshape(len(null.top), -1).tolist()])
    assert f"{share:.1%} have it" in part["sentence"]


# ---- how a token is named ----
def test_a_typed_text_of_several_tokens_is_offered_in_pieces(bench: Bench) -> None:
    data = bench.card(token="the lamp is kept")
    assert data["id"] is None and not data["parts"]
    ids = encode_prompt(bench.loaded, "the lamp is kept", False)
    assert [(p["id"], p["position"]) for p in data["pieces"]] == [(t, i) for i, t in enumerate(ids)]
    chosen = bench.card(text=data["text"], position=2)
    assert chosen["id"] == ids[2] and chosen["context"]["at"] == 2
    typed = bench.card(token=" the")
    assert typed["token"] == "␣the" and typed["context"] is None
    assert bench.card(token="␣the")["id"] == typed["id"] not in [f["id"] for f in typed["forms"]]


def test_a_passage_known_by_its_tokens_alone_is_the_same_context(bench: Bench) -> None:
    by_text, by_ids = bench.card(text=TEXT, position=AT), bench.card(ids=tuple(bench.ids), position=AT)
    assert by_ids["parts"][1] == by_text["parts"][1] and by_ids["parts"][3] == by_text["parts"][3]
    for ours, theirs in zip(by_ids["parts"][0]["rows"], by_text["parts"][0]["rows"], strict=True):
        assert ours["query"] == pytest.approx(theirs["query"]) and ours["link"]["query"]["text"] == TEXT
    assert by_ids["context"]["ids"] == bench.ids and "ids" not in by_text["context"]
    odd = bench.card(ids=(5, 3_900, 7, 5, 9, 11), position=4)["parts"][0]["rows"]  # no text has these tokens
    assert odd and all("text" not in r["link"]["query"] and "query" not in r["link"]["query"] for r in odd)


def test_generated_tokens_have_a_card_too(bench: Bench) -> None:
    count = len(bench.ids)
    data = bench.card(text=TEXT, generate=3, position=count + 1)
    assert data["context"]["count"] == count + 3 and data["parts"][0]["rows"][0]["link"]["query"]["generate"] == 3


def test_one_pass_serves_all_fits_and_a_recorded_prompt_none_at_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = TEXT + " C"
    bench.card(text=text, position=AT)
    passes: list[int] = []
    forward = type(bench.loaded).forward
    monkeypatch.setattr(
        type(bench.loaded),
        "forward",
        lambda self, ids, *a, **k: passes.append(ids.shape[1]) or forward(self, ids, *a, **k),
    )
    monkeypatch.setattr(tracing, "trace_prompt", None)  # must not be asked again
    bench.card(text=text, position=AT + 1)
    assert sum(n > 1 for n in passes) <= 2 and passes.count(AT + 1) == 1  # the fits share one; the lens stops before it


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"token_id": 4_000}, "tokens 0 to 3,999"),
        ({"text": TEXT, "position": 500}, "there is no 500"),
        ({"ids": (1, 2, 4_000), "position": 1}, "read by another model"),
        ({"text": "the", "position": 0}, "one token long"),
    ],
)
def test_what_the_model_does_not_have_is_refused(bench: Bench, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        bench.card(**fields)


@pytest.mark.parametrize(
    "fields",
    [{}, {"token": ""}, {"token_id": True}, {"position": -2}, {"token_id": 3, "generate": 999},
     {"ids": (1,) * 3_000, "position": 1}, {"text": "\x07", "position": 0}, {"ids": (-1,), "position": 0}],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_before_any_model(fields: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        TokenCard(SPEC, **fields)


def test_a_damaged_fit_does_not_hide_the_others(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    from analysis.home import folder

    path = folder("regions") / "broken.json"
    manifest = json.loads((folder("regions") / f"{bench.regions}.json").read_text())
    path.write_text(json.dumps({**manifest, "sha256": "0" * 64}))
    try:
        rows = bench.part("Regions", text=TEXT, position=AT)["rows"]
    finally:
        path.unlink()
    assert [r["fit"] for r in rows] == [bench.regions]


def test_the_lens_says_at_the_place_before_what_the_model_says_behind_its_last_block(bench: Bench) -> None:
    steer = SteeringSettings(bench.regions, (RegionSetting(0, 0.9),), "add")
    at = len(bench.ids) - 2
    row = bench.card(text=TEXT, position=at, steer=steer)["lens"]
    feed = torch.tensor([bench.ids[:at]])
    base = bench.loaded.forward(feed, logits=True)[0, -1].log_softmax(-1)
    with steering(bench.loaded, interventions_of(steer, open_fit(bench.context.memory, bench.regions))):
        steered = bench.loaded.forward(feed, logits=True)[0, -1].log_softmax(-1)
    token = bench.ids[at]
    for chances, ranks, logp in (("chances", "ranks", base), ("steered_chances", "steered_ranks", steered)):
        assert row[chances][-1] == pytest.approx(float(logp[token].exp()), rel=1e-3)
        assert row[ranks][-1] == int((logp > logp[token]).sum()) + 1
        assert len(row[ranks]) == bench.loaded.facts.layers + 1 == len(row["agreement"])
    assert row["chances"][0] == row["steered_chances"][0] and row["how"] == steer.title
    assert bench.card(text=TEXT, position=0)["lens"] is None and bench.card(token=" lamp")["lens"] is None
    gone = bench.card(text=TEXT, position=at, steer=SteeringSettings("gone", (RegionSetting(0, 0.9),), "add"))["lens"]
    assert gone["how"] == "" and "is not applied" in gone["sentence"] and gone["ranks"] == row["ranks"]


def test_why_a_token_stands_there_is_asked_of_the_text_before_it(bench: Bench) -> None:
    """The place reads into the tokens before it, and has the token as its target; a set-up goes along where it acts on
    all of a prompt."""
    steer, at = SteeringSettings(bench.regions, (RegionSetting(0, 0.9),), "add"), 6
    for fields in ({"text": TEXT}, {"ids": tuple(bench.ids)}):
        place = bench.card(position=at, steer=steer, **fields)["why"]
        assert place["path"] == "/attention" and place["query"]["target"] == bench.ids[at]
        assert encode_prompt(bench.loaded, place["query"]["text"], False) == bench.ids[:at]
        assert Steer.from_dict(place["query"]["steer"]) == steer and place["query"]["tab"] == "steered"
        assert set(bench.card(position=at, **fields)["why"]["query"]) == {"text", "target"}
    partly = bench.card(text=TEXT, position=at, steer=dataclasses.replace(steer, where="generated"))
    assert set(partly["why"]["query"]) == {"text", "target"} and partly["why_note"] == PARTLY
    feature = FeatureSteer(bench.features, 1, -1, 0.01)
    card = bench.card(text=TEXT, position=at, steer=feature)
    assert Steer.from_dict(card["why"]["query"]["steer"]) == feature and card["lens"]["how"] == feature.title
    assert card["lens"]["steered_chances"] != card["lens"]["chances"]
    assert "why" not in bench.card(text=TEXT, position=0) and "why" not in bench.card(token=" the")
    # Two tokens that no prompt reads into: the tokenizer has one for both.
    one = next(i for i in bench.ids if len(bench.loaded.tokenizer.decode([i])) > 2)
    parts = [n for c in bench.loaded.tokenizer.decode([one]) for n in bench.loaded.tokenizer(c)["input_ids"]]
    broken = bench.card(ids=(*parts, one), position=len(parts))
    assert broken["why_note"] == OTHERWISE and "why" not in broken
