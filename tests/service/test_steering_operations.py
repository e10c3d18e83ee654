"""Operations of the Steering page on a tiny model with a tiny fit: what they compute, remember, refuse and write."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load
from torch import Tensor

from analysis import shelf
from analysis.activations import fits
from analysis.activations.collect import collect
from analysis.activations.recipe import WINDOW
from analysis.bridge.frozen import FreeOrFrozen
from analysis.bridge.lens import SteerLens
from analysis.bridge.lens_files import ListLenses, OpenLens
from analysis.bridge.moved import SteeredAttention, SteeredHeads
from analysis.bridge.why_moved import ExplainMove
from analysis.corpora.passages import Passage, corpus_hash
from analysis.engine.context import Context
from analysis.engine.memory import Memory
from analysis.engine.operation import Operation, rebuild
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import Cancelled, UserError
from analysis.home import folder
from analysis.mfa import evaluate
from analysis.mfa.library import REGION_SETS, RegionSet, open_fit, save_fit
from analysis.mfa.ops import fit as ops_fit
from analysis.mfa.ops.alternatives import TokenAlternatives
from analysis.mfa.ops.conversation import ChatTurn
from analysis.mfa.ops.fit import EstimateFit, FitRegions
from analysis.mfa.ops.ladder import KLS, STRENGTHS, SteerLadder
from analysis.mfa.ops.regions import (
    ExplainTokens,
    FactorsOfContext,
    ListFits,
    RegionCard,
    RegionEffects,
    RegionMap,
    RenameRegion,
)
from analysis.mfa.ops.samples import SteerSamples
from analysis.mfa.ops.setup import OpenSetup, SaveSetup
from analysis.mfa.ops.steer import SteerControls, SteerNext, SteerText, StrengthForKL
from analysis.mfa.ops.sweep import SteerSweep
from analysis.mfa.pipeline import Wanted, fit_store
from analysis.mfa.settings import GateSetting, RegionSetting, SteeringSettings
from analysis.mfa.steering import interventions_of
from analysis.mfa.turns import TurnSetting
from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import LayerAttention
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.models.turns import PLAIN_NOTE
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.features import FitContrast
from analysis.steering import generate_stream, steer, writing
from analysis.steering.room import room_for
from tests.service.kept_files import check_served_only_with_its_files
from tests.unit.lossy import Lossy
from tests.unit.mfa.truth import covariances, dense_joint
from tests.unit.test_contrasts import NOUNS, _byte_level
from tests.unit.tiny_models import tiny_model

TEXT = "the lamp is kept in Box A, the key is kept in Box B. the lamp is kept in Box"
K, R, LAYER = 5, 2, 1
SPEC = ModelSpec("default")
INDUCTION = ContrastSpec("induction", 24, options={"n_words": 8})


def passages() -> list[Passage]:
    rng = np.random.default_rng(0)
    rows = []
    for i in range(24):
        words = rng.choice(NOUNS[: len(NOUNS) // 2] if i % 2 else NOUNS[len(NOUNS) // 2 :], 14)
        frame = "the {} a {} is {}" if i % 2 else "kept in Box {}, the box {} and {}."
        text = " ".join(frame.format(*words[j : j + 3]) for j in range(0, 12, 3))
        rows.append(Passage(f"{i}: {text}", "odd" if i % 2 else "even", "test"))
    return rows


def tiny(seed_of: str = "llama") -> LoadedModel:
    tokenizer = _byte_level()
    model = tiny_model(seed_of, vocab_size=4000, max_position_embeddings=256)
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    return LoadedModel(model, tokenizer, SPEC, describe(model, ids, tokenizer, SPEC, ""))


@dataclasses.dataclass
class Bench:
    """One context with the tiny model in it, and the name of its fit."""

    context: Context
    loaded: LoadedModel
    name: str
    lines: list[dict[str, Any]]

    @property
    def fit(self) -> RegionSet:
        return open_fit(self.context.memory, self.name)

    def perform(self, operation: Operation) -> Any:
        self.lines.clear()
        # As the worker gets it, so that every operation here has survived JSON.
        again = rebuild(type(operation).__name__, json.loads(json.dumps(operation.to_params())))
        return self.context.perform(again)

    def data(self, operation: Operation) -> dict[str, Any]:
        found = self.perform(operation).data
        json.dumps(found, allow_nan=False)
        return found  # type: ignore[no-any-return]

    def steer(self, *regions: RegionSetting, **options: Any) -> SteeringSettings:
        return SteeringSettings(self.name, regions, **options)

    def context_for(self, loaded: LoadedModel, path: Path) -> Context:
        residents = Residents(limit=1)
        residents.put(loaded)
        made = Context(residents, ResultStore(path))
        made.on_progress = lambda value: self.lines.append(value["line"]) if "line" in value else None
        return made


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("steering") / "home"
        patch.setenv("ATTUNE_HOME", str(home))
        patch.setattr(shelf, "DATA", home / "none")
        patch.setattr(fits, "bundled_corpus", passages)
        loaded, site = tiny(), Site(LAYER)
        store = collect(loaded, passages(), [site], max_tokens=2000, window=WINDOW)
        said: list[float] = []
        wanted = Wanted(site, 2000, K, R, iterations=3)
        fit = fit_store(loaded, passages(), store, wanted, lambda share, text, **facts: said.append(share))
        assert said == sorted(said) and said[-1] == 1
        fit.manifest |= {"source": {"kind": "bundled"}, "model_spec": SPEC.to_dict(), "command": "a test"}
        bench = Bench(Context(Residents(limit=1)), loaded, save_fit(fit, passages()), [])
        bench.context = bench.context_for(loaded, home / "results")
        yield bench


@pytest.fixture
def bench(shared: Bench, tmp_path: Path) -> Bench:
    """The shared model and fit with a memory of its own."""
    shared.context = shared.context_for(shared.loaded, tmp_path / "results")
    return shared


def ids_of(bench: Bench, text: str = TEXT) -> list[int]:
    return list(bench.loaded.tokenizer(text)["input_ids"])


@torch.no_grad()
def logits_of(bench: Bench, ids: list[int], settings: SteeringSettings | None = None) -> Tensor:
    """Logits (T, V) of one plain pass over a text, steered or not."""
    made = interventions_of(settings, bench.fit) if settings else []
    with steer(bench.loaded, made, prompt_tokens=len(ids)):
        return bench.loaded.model(torch.tensor([ids])).logits[0].double()  # type: ignore[no-any-return]


@torch.no_grad()
def residuals(bench: Bench, ids: list[int]) -> Tensor:
    """The residual stream (T, D) after the block of the fit, as the model itself gives it."""
    found = bench.loaded.model(torch.tensor([ids]), output_hidden_states=True).hidden_states[LAYER + 1][0]
    return found.double()  # type: ignore[no-any-return]


def kl(base: Tensor, other: Tensor) -> float:
    p, q = base.softmax(-1), other.softmax(-1)
    return float((p * (p / q).log()).sum())


# Reading a fit


def test_the_map_lists_every_region_and_names_are_kept(bench: Bench) -> None:
    assert [f["name"] for f in bench.data(ListFits(SPEC))["fits"]] == [bench.name]
    found = bench.data(RegionMap(SPEC, bench.name))
    assert [r["region"] for r in found["regions"]] == list(range(K)) and found["facts"]["K"] == K
    assert sum(r["size"] for r in found["regions"]) == found["facts"]["rows"] > 500
    assert bench.data(RenameRegion(bench.name, 1, "  my   region "))["label"] == "my region"
    assert bench.data(RegionMap(SPEC, bench.name))["regions"][1]["label"] == "my region"
    assert bench.data(RenameRegion(bench.name, 1, ""))["label"] == found["regions"][1]["label"]


def test_a_card_shows_words_that_are_in_the_texts(bench: Bench) -> None:
    texts = [p.text for p in passages()]
    for rotation in ("principal", "varimax"):
        card = bench.data(RegionCard(SPEC, bench.name, 2, rotation))
        assert len(card["factors"]) == R and sum(f["share"] for f in card["factors"]) == pytest.approx(1)
        lines = [c for rows in card["contexts"].values() for c in rows]
        lines += [c for f in card["factors"] for c in f["low_contexts"] + f["high_contexts"]]
        assert len(lines) > 10
        for line in lines:
            piece = line["before"].lstrip("…") + line["token"] + line["after"].rstrip("…")
            assert piece in texts[line["row"] // 4096] and line["region"] == 2


def test_factors_of_a_context_are_those_that_sort_the_ends(bench: Bench) -> None:
    card = bench.data(RegionCard(SPEC, bench.name, 2))
    for j, factor in enumerate(card["factors"]):
        sides = []
        for end in ("low_contexts", "high_contexts"):
            rows = [FactorsOfContext(SPEC, bench.name, 2, "principal", c["row"]) for c in factor[end][:2]]
            sides.append([bench.data(row)["factors"][j] for row in rows])
        assert max(sides[0]) < min(sides[1])


def test_factors_of_a_context_are_posterior_means_of_a_plain_pass(bench: Bench) -> None:
    exact, spread = bench.fit.parameters.to(torch.float64), bench.fit.spread("principal")
    document, position = 3, 9
    ids = ids_of(bench, passages()[document].text)
    x = residuals(bench, ids)[position]
    for k in range(K):
        found = bench.data(FactorsOfContext(SPEC, bench.name, k, "principal", 4096 * document + position))
        z = exact.loadings[k].T @ torch.linalg.inv(covariances(exact)[k]) @ (x - exact.means[k])
        assert found == {"region": k, "factors": pytest.approx((z / spread[k].double()).tolist(), abs=5e-3)}


def test_effects_of_a_region_are_those_of_plain_steered_passes(bench: Bench) -> None:
    from analysis.mfa.effects import LIKELY, NEUTRAL, STRENGTH

    found = bench.data(RegionEffects(SPEC, bench.name, 3))
    change, likely = torch.zeros(4000, dtype=torch.float64), torch.zeros(4000, dtype=torch.bool)
    for text in NEUTRAL:
        ids = ids_of(bench, text)
        base = logits_of(bench, ids)[-1].log_softmax(-1)
        own = logits_of(bench, ids, bench.steer(RegionSetting(3, STRENGTH)))[-1].log_softmax(-1)
        change += (own - base) / len(NEUTRAL)
        likely |= (base.exp() > LIKELY) | (own.exp() > LIKELY)
    values = [t["value"] for t in found["promoted"]]
    assert values == sorted(values, reverse=True) and values[0] == pytest.approx(float(change[likely].max()), abs=1e-3)
    assert found["suppressed"][0]["value"] == pytest.approx(float(change[likely].min()), abs=1e-3)
    factors = bench.data(RegionEffects(SPEC, bench.name, 3, "varimax", True))["factors"]
    assert len(factors) == R and all(low != high and len(low) <= 5 for low, high in factors)
    assert bench.data(RegionEffects(SPEC, bench.name, 3)) == found


def test_a_token_is_the_sum_of_its_parts(bench: Bench) -> None:
    found = bench.data(ExplainTokens(SPEC, bench.name, TEXT))
    ids, fit = ids_of(bench), bench.fit
    x = residuals(bench, ids)
    exact = fit.parameters.to(torch.float64)
    joint = dense_joint(exact, x)
    inverse = torch.linalg.inv(covariances(exact))
    assert found["region"] == joint.argmax(1).tolist() and len(found["labels"]) == len(ids)
    # First positions lie far from all that the fit has seen: their numbers are large, and so is their rounding.
    for n in range(fit.skip_first, len(ids)):
        k = found["region"][n]
        z = exact.loadings[k].T @ inverse[k] @ (x[n] - exact.means[k])
        away, local = exact.means[k] - fit.mean.double(), exact.loadings[k] @ z
        rest = x[n] - exact.means[k] - local
        assert torch.allclose(fit.mean.double() + away + local + rest, x[n])
        for name, part in (("centroid", away), ("local", local), ("rest", rest), ("norm", x[n] - fit.mean.double())):
            assert found[name][n] == pytest.approx(float(part.norm()), rel=1e-3, abs=2e-3), name
        assert found["factors"][n] == pytest.approx((z / fit.spread("principal")[k].double()).tolist(), abs=5e-3)
        assert found["log_density"][n] == pytest.approx(float(joint[n].logsumexp(0)), abs=0.05)
        assert found["responsibility"][n] == pytest.approx(float(joint[n].softmax(0).max()), abs=1e-3)
        # In the plane, lengths can only shrink.
        corners = np.stack([found["path_x"][n], found["path_y"][n]], 1)
        steps = np.linalg.norm(np.diff(corners, axis=0), axis=1)
        assert (steps <= np.array([found[s][n] for s in ("centroid", "local", "rest")]) + 2e-3).all()


def test_rotating_the_axes_leaves_the_parts_of_a_token_alone(bench: Bench) -> None:
    one, other = (bench.data(ExplainTokens(SPEC, bench.name, TEXT, r)) for r in ("principal", "varimax"))
    for name in ("region", "centroid", "local", "rest"):
        assert np.allclose(one[name], other[name], atol=2e-3)


# Steering


def test_the_next_token_is_that_of_a_full_steered_pass(bench: Bench) -> None:
    settings = bench.steer(RegionSetting(1, 0.4, (1.0, -1.0)), RegionSetting(3, 0.2), layers=(3,))
    found = bench.data(SteerNext(SPEC, TEXT, False, settings))
    base, own = logits_of(bench, ids_of(bench))[-1], logits_of(bench, ids_of(bench), settings)[-1]
    assert found["kl"] == pytest.approx(kl(base, own), rel=1e-3) and found["kl"] > 0.01 and not found["same"]
    assert max(found["steered"]) == pytest.approx(float(own.softmax(-1).max()), rel=1e-3)
    assert max(found["base"]) == pytest.approx(float(base.softmax(-1).max()), rel=1e-3)
    ratios = [np.log(s / b) for b, s in zip(found["base"], found["steered"], strict=True)]
    assert found["change"] == pytest.approx(ratios, abs=1e-6)
    entropies = [float(-(x.softmax(-1) * x.log_softmax(-1)).sum()) for x in (base, own)]
    assert found["entropy"] == pytest.approx(entropies, rel=1e-3)


def test_nothing_on_the_sliders_changes_nothing(bench: Bench) -> None:
    found = bench.data(SteerNext(SPEC, TEXT, False, bench.steer(RegionSetting(1), RegionSetting(2))))
    assert found["same"] and found["kl"] == 0 and found["base"] == found["steered"]
    with pytest.raises(UserError, match="No slider is moved"):
        bench.perform(SteerControls(SPEC, TEXT, False, bench.steer(RegionSetting(1))))


def test_controls_stand_beside_the_set_up(bench: Bench) -> None:
    settings = bench.steer(RegionSetting(1, 0.5))
    sentences = {"positive": "the lamp is kept in Box A", "negative": "a cat and a mouse and a horse"}
    rows = bench.data(SteerControls(SPEC, TEXT, False, settings, seed=3, **sentences))["rows"]
    assert [r["name"] for r in rows] == ["the set-up", "random region", "random direction", "difference of means"]
    own = kl(logits_of(bench, ids_of(bench))[-1], logits_of(bench, ids_of(bench), settings)[-1])
    assert rows[0]["kl"] == pytest.approx(own, rel=1e-3) and len({round(r["kl"], 6) for r in rows}) == 4
    other = bench.data(SteerControls(SPEC, TEXT, False, settings, seed=4))["rows"]
    assert len(other) == 3 and other[0]["kl"] == rows[0]["kl"] and other[2]["kl"] != rows[2]["kl"]


def test_a_strength_for_a_price_is_found_and_an_unmet_price_is_said(bench: Bench) -> None:
    settings = bench.steer(RegionSetting(1, 0.0), RegionSetting(2, 0.1))
    found = bench.data(StrengthForKL(SPEC, TEXT, False, settings, 1, 0.2))
    at = bench.steer(RegionSetting(1, found["strength"]), RegionSetting(2, 0.1))
    there = kl(logits_of(bench, ids_of(bench))[-1], logits_of(bench, ids_of(bench), at)[-1])
    assert found["met"] and there == pytest.approx(0.2, rel=0.03) and found["kl"] == pytest.approx(there, rel=1e-3)
    missed = bench.data(StrengthForKL(SPEC, TEXT, False, settings, 1, 20.0))
    assert not missed["met"] and "cannot be reached" in missed["sentence"] and missed["kl"] < 20
    with pytest.raises(UserError, match="not on the sliders"):
        StrengthForKL(SPEC, TEXT, False, settings, 4, 0.2)


# Writing


def written(bench: Bench, regions: SteeringSettings, **options: Any) -> dict[str, Any]:
    return bench.data(SteerText(SPEC, TEXT, False, regions, **{"count": 20, "temperature": 0.8, "seed": 5, **options}))


def test_texts_are_those_of_plain_generation(bench: Bench) -> None:
    settings = bench.steer(RegionSetting(1, 0.5))
    data = written(bench, settings)
    for key, made in (("base", []), ("steered", interventions_of(settings, bench.fit))):
        steps = generate_stream(
            bench.loaded, ids_of(bench), 20, temperature=0.8, top_p=0.95, seed=5, interventions=made
        )
        assert data[key]["ids"] == [s.token for s in steps]
        assert data[key]["text"] == bench.loaded.tokenizer.decode(data[key]["ids"], skip_special_tokens=True)
        assert len(data[key]["labels"]) == len(data[key]["ids"]) == len(data[key]["kl"])
    assert data["base"]["ids"] != data["steered"]["ids"] and data["done"] and not data["base_remembered"]


def test_a_token_has_alternatives_and_the_text_goes_on_from_another(bench: Bench) -> None:
    settings = bench.steer(RegionSetting(1, 0.5))
    data = written(bench, settings, control="region")
    ids, at = data["steered"]["ids"], 4
    found = bench.data(TokenAlternatives(SPEC, TEXT, False, settings, ids=tuple(ids[: at + 1])))
    assert found["chosen"] == ids[at] and found["place"] == at and found["label"] == data["steered"]["labels"][at]
    assert found["kl"] == pytest.approx(data["steered"]["kl"][at], rel=1e-2, abs=1e-4)
    assert -np.log(found["chosen_base"]) == pytest.approx(data["steered"]["surprise"][at], rel=1e-3)
    of_control = tuple(data["control"]["ids"][:3])
    third = bench.data(TokenAlternatives(SPEC, TEXT, False, settings, "control", of_control, "region", 5))
    assert third["kl"] == pytest.approx(data["control"]["kl"][2], rel=1e-2, abs=1e-4)
    # At the KL of the set-up: as dear at the first token, and said; its alternatives are of the same push.
    equal = written(bench, settings, control="direction", equal="kl")
    assert equal["control"]["kl"][0] == pytest.approx(equal["steered"]["kl"][0], rel=0.05)
    assert "times as long: KL" in equal["control_note"] and "not reached" not in equal["control_note"]
    first = tuple(equal["control"]["ids"][:1])
    asked = TokenAlternatives(SPEC, TEXT, False, settings, "control", first, "direction", 5, equal="kl")
    assert bench.data(asked)["kl"] == pytest.approx(equal["control"]["kl"][0], rel=1e-2, abs=1e-4)
    other = next(i for i in found["ids"] if i != ids[at])
    again = written(bench, settings, begin=(*ids[:at], other))
    assert again["steered"]["ids"][: at + 1] == [*ids[:at], other] and len(again["steered"]["ids"]) == len(ids)
    assert again["base"]["ids"] == data["base"]["ids"] and again["base_remembered"]
    assert written(bench, settings, begin=tuple(ids[:at]))["steered"]["ids"] == ids
    for reading in data["readings"]:
        for text, mean in (("base", data["presence"]["base"][0]), ("steered", data["presence"]["steered"][0])):
            assert np.mean(reading[text]) == pytest.approx(mean, abs=1e-3)
    assert [len(data["readings"][0][t]) for t in ("base", "steered", "control")] == [20] * 3
    with pytest.raises(UserError, match="no embedding"):
        bench.perform(TokenAlternatives(SPEC, TEXT, False, settings, ids=(999_999,)))


def test_a_gate_on_a_region_decides_token_by_token_and_a_closed_one_leaves_the_text(bench: Bench) -> None:
    def gate(value: float, side: str = "above", **more: Any) -> SteeringSettings:
        return bench.steer(RegionSetting(1, 0.5), gate=GateSetting("responsibility", 2, side, value), **more)

    plain, always = written(bench, bench.steer(RegionSetting(1, 0.5))), written(bench, gate(-1.0))
    assert always["steered"]["ids"] == plain["steered"]["ids"]
    for closed in (gate(2.0), gate(-1.0, "below"), gate(-1.0, after=20)):
        text = written(bench, closed)
        assert text["steered"]["ids"] == text["base"]["ids"] and max(text["steered"]["kl"]) < 1e-6
    some = bench.steer(RegionSetting(1, 0.5), gate=GateSetting("projection", 1, "below", 0.5), mode="add")
    assert written(bench, some)["steered"]["ids"] != plain["base"]["ids"]
    assert SteeringSettings.from_dict(some.to_dict()) == some and "below 0.5" in some.when
    file = bench.perform(SaveSetup(SPEC, gate(0.5))).arrays["file"].tobytes()
    opened = bench.data(OpenSetup(SPEC, base64.b64encode(file).decode()))
    assert SteeringSettings.from_dict(opened["steer"]) == gate(0.5)
    with pytest.raises(UserError, match="regions 0 to 4"):
        written(bench, bench.steer(RegionSetting(1, 0.5), gate=GateSetting("projection", 99)))
    with pytest.raises(UserError, match="comes before it"):
        written(bench, gate(0.5, layers=(0,)))


# A conversation


def asked(bench: Bench, turns: list[TurnSetting], user: str, steer: SteeringSettings, **more: Any) -> Any:
    """The answer to a further turn, and the turns with it."""
    open_turn = TurnSetting(user, steer=steer)
    options = {"count": 4, "temperature": 0.8, "seed": len(turns), **more}
    data = bench.data(ChatTurn(SPEC, (*turns, open_turn), **options))
    text, ids = data["steered"]["text"], tuple(data["steered"]["ids"])
    # Most ids of the tiny model are none of its tokenizer, so that a text may be blank: then one is typed.
    reply = (text, ids) if text.strip() else ("in Box B", ())
    return data, [*turns, dataclasses.replace(open_turn, reply=reply[0], ids=reply[1])]


def own_steer(bench: Bench, n: int) -> SteeringSettings:
    """A set-up of its own for each turn, some idle, some gated."""
    gates = [None, GateSetting("projection", 2, "above", 0.1)]
    places = ["all", "not_first", "prompt", "generated"]
    return bench.steer(
        RegionSetting(n % K, 0.2 * (n % 4)), mode="add", where=places[n % 4], gate=gates[n % 2],
        after=1 if n % 4 == 3 else 0,
    )  # fmt: skip


def test_a_conversation_of_twelve_turns_with_three_branches_is_read_again_token_for_token(
    bench: Bench, tmp_path: Path
) -> None:
    users = [f"Box {letter}?" for letter in "ABCDEFGHIJKL"]
    turns: list[TurnSetting] = []
    reused, last = list[int](), []
    for n, user in enumerate(users):
        data, turns = asked(bench, turns, user, own_steer(bench, n))
        reused.append(data["reused"])
        last = data["steered"]["ids"]
    assert reused[:2] == [0, 0] and reused[1:] == sorted(set(reused)), "only the turn before is read anew"
    branches = {}
    for at in (3, 6, 9):
        data, _ = asked(bench, turns[:at], "The key?", own_steer(bench, at + 1))
        assert data["reused"] == reused[at + 1], "what stands before an edit is not read again"
        branches[at] = data["steered"]["ids"]
    again = [TurnSetting.from_dict(row) for row in json.loads(json.dumps([turn.to_dict() for turn in turns]))]
    assert again == turns
    bench.context = bench.context_for(bench.loaded, tmp_path / "other")
    for at, ids in branches.items():
        data, _ = asked(bench, again[:at], "The key?", own_steer(bench, at + 1))
        assert data["steered"]["ids"] == ids
    data, _ = asked(bench, again[:-1], users[-1], own_steer(bench, 11))
    assert data["steered"]["ids"] == last


def test_a_turn_is_what_the_whole_conversation_in_one_pass_gives(bench: Bench, tmp_path: Path) -> None:
    turns: list[TurnSetting] = []
    for n in range(3):
        _, turns = asked(bench, turns, f"Box {n}?", own_steer(bench, n + 2))
    steer = own_steer(bench, 6)
    kept, _ = asked(bench, turns, "Which box?", steer)
    bench.context = bench.context_for(bench.loaded, tmp_path / "other")
    bench.loaded.extras["way of going on"] = (bench.loaded.model, "whole")
    try:
        whole, _ = asked(bench, turns, "Which box?", steer)
    finally:
        del bench.loaded.extras["way of going on"]
    for text in ("base", "steered"):
        assert whole[text]["ids"] == kept[text]["ids"]
        assert whole[text]["kl"] == pytest.approx(kept[text]["kl"], abs=1e-3)
    assert kept["notes"] == [PLAIN_NOTE] and max(kept["steered"]["kl"]) > 1e-3
    idle, _ = asked(bench, turns, "Which box?", bench.steer(RegionSetting(1)))
    assert idle["steered"]["ids"] == idle["base"]["ids"] and max(idle["steered"]["kl"]) < 1e-6
    steered = bench.steer(RegionSetting(1, 0.5))
    first, _ = asked(bench, [], "Which box?", steered)
    plain = bench.data(SteerText(SPEC, "User: Which box?\nAssistant:", False, steered, 4, 0.8, seed=0))
    assert first["steered"]["ids"] == plain["steered"]["ids"] and first["base"]["ids"] == plain["base"]["ids"]


def test_a_plain_reply_ends_where_the_user_would_speak(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    steer = bench.steer(RegionSetting(1, 0.3))
    free, _ = asked(bench, [], "Which box?", steer, count=10)
    stop = free["steered"]["text"][6:9]
    monkeypatch.setattr("analysis.models.turns.PLAIN_STOP", stop)
    bench.context.memory.clear()
    cut, _ = asked(bench, [], "Which box?", steer, count=10)
    text = cut["steered"]["text"]
    assert stop not in text and free["steered"]["text"].startswith(text) and len(cut["steered"]["ids"]) < 10
    assert len(cut["steered"]["kl"]) == len(cut["steered"]["ids"])


def test_a_long_text_says_what_there_is_room_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    written(bench, bench.steer(RegionSetting(1, 0.5)), count=4)
    assert [line["room"] for line in bench.lines if "room" in line] == [""]
    assert "ends after 56 of the 4,000" in room_for(bench.loaded, 200, 4000, 2)
    monkeypatch.setattr("analysis.steering.room.free_bytes", lambda _: 1000)
    with pytest.raises(UserError, match="Ask for fewer tokens"):
        written(bench, bench.steer(RegionSetting(1, 0.5)), count=100)


def test_the_price_of_each_token_is_that_of_two_plain_passes(bench: Bench) -> None:
    settings = bench.steer(RegionSetting(1, 0.5), RegionSetting(4, 0.2, (2.0,)))
    data = written(bench, settings)["steered"]
    ids, start = [*ids_of(bench), *data["ids"]], len(ids_of(bench)) - 1
    base, own = logits_of(bench, ids), logits_of(bench, ids, settings)
    for n, token in enumerate(data["ids"]):
        assert data["kl"][n] == pytest.approx(kl(base[start + n], own[start + n]), rel=2e-3, abs=1e-4)
        assert data["surprise"][n] == pytest.approx(-float(base[start + n].log_softmax(-1)[token]), rel=1e-3, abs=1e-4)
    assert data["mean_kl"] == pytest.approx(np.mean(data["kl"])) and min(data["kl"]) >= 0 and max(data["kl"]) > 0.01
    assert data["perplexity"] == pytest.approx(np.exp(np.mean(data["surprise"])), rel=1e-4)


@pytest.mark.parametrize("by", ["kl", "strength"])
def test_each_rung_of_a_ladder_is_the_text_at_its_strength(bench: Bench, by: Any) -> None:
    settings = bench.steer(RegionSetting(1, 0.5), RegionSetting(4, 0.1))
    found = SteerLadder.answer_from(bench.perform(SteerLadder(SPEC, TEXT, False, settings, 1, by, 6, 0.8, 0.95, 5)))
    if by == "strength":
        assert [rung.strength for rung in found.rungs] == list(STRENGTHS)
    else:
        assert [rung.target for rung in found.rungs] == list(KLS)[: len(found.rungs)]
        assert all(rung.met for rung in found.rungs[:-1])
        assert all(abs(rung.kl - (rung.target or 0)) <= 0.02 * (rung.target or 0) for rung in found.rungs if rung.met)
    for rung in found.rungs:
        made = bench.steer(RegionSetting(1, rung.strength), RegionSetting(4, 0.1))
        alone = bench.data(SteerText(SPEC, TEXT, False, made, count=6, temperature=0.8, seed=5))
        assert list(rung.text.ids) == alone["steered"]["ids"] and list(found.base.ids) == alone["base"]["ids"]
        assert rung.text.mean_kl == pytest.approx(alone["steered"]["mean_kl"], rel=1e-3, abs=1e-5)
        assert rung.presence == pytest.approx(alone["presence"]["steered"][0], abs=1e-4)
        assert rung.kl == pytest.approx(bench.data(SteerNext(SPEC, TEXT, False, made))["kl"], abs=1e-5)
    with pytest.raises(UserError, match="not on the sliders"):
        SteerLadder(SPEC, TEXT, False, settings, 3)


def test_each_sample_is_the_text_of_its_seed_and_controls_cost_what_the_set_up_costs(bench: Bench) -> None:
    settings = bench.steer(RegionSetting(1, 0.6), mode="add")
    asked = SteerSamples(SPEC, TEXT, False, settings, 3, 6, 0.8, 0.95, 5)
    found = SteerSamples.answer_from(bench.perform(asked))
    arms = {arm.name: arm for arm in found.arms}
    assert list(arms) == ["base", "steered", "region", "direction"] and found.seeds == (5, 6, 7)
    for seed, base, steered in zip(found.seeds, arms["base"].texts, arms["steered"].texts, strict=True):
        alone = bench.data(SteerText(SPEC, TEXT, False, settings, count=6, temperature=0.8, seed=seed))
        assert list(base.ids) == alone["base"]["ids"] and list(steered.ids) == alone["steered"]["ids"]
        assert steered.mean_kl == pytest.approx(alone["steered"]["mean_kl"], rel=1e-3, abs=1e-5) and base.mean_kl == 0
    own = bench.data(SteerNext(SPEC, TEXT, False, settings))["kl"]
    pushes = [push for name in ("region", "direction") for push in arms[name].pushes]
    assert len(pushes) == 6 and arms["steered"].pushes[0].kl == pytest.approx(own, abs=1e-5)
    assert all(push.met == (abs(push.kl - own) <= 0.02 * own + 1e-6) for push in pushes) and any(p.met for p in pushes)


def test_one_text_can_be_ended_while_the_others_go_on(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = bench.steer(RegionSetting(1, 0.6))
    bench.context.ended = lambda part: part == "steered-1" and len(bench.lines) > 6  # type: ignore[method-assign]
    found = SteerSamples.answer_from(bench.perform(SteerSamples(SPEC, TEXT, False, settings, 2, 8)))
    lengths = {arm.name: [len(text.ids) for text in arm.texts] for arm in found.arms}
    assert 0 < lengths["steered"][1] < 8 and lengths["steered"][0] == 8 == lengths["base"][1]


@pytest.mark.parametrize("over", ["blocks", "factors"])
def test_a_cell_of_a_sweep_is_the_next_token_at_its_settings_and_cancelled_cells_stay(
    bench: Bench, over: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = bench.steer(RegionSetting(1), mode="add")
    asked = SteerSweep(SPEC, TEXT, False, settings, 1, over, words="lamp, box, key", target=0.05)
    measured: list[float] = []
    real = evaluate.gain_at_kl

    def counted(*arguments: Any, **options: Any) -> Any:
        measured.append(0.0)
        if len(measured) == 7:  # in the second cell
            raise Cancelled
        return real(*arguments, **options)

    monkeypatch.setattr(evaluate, "gain_at_kl", counted)
    with pytest.raises(Cancelled):
        bench.perform(asked)
    before = len(measured)
    found = SteerSweep.answer_from(bench.perform(asked))
    shape = (len(found.rows), len(found.columns))
    reached = np.isfinite(found.gain)
    assert found.gain.shape == shape and reached.any()
    alone = SteerSweep(SPEC, TEXT, False, settings, 1, over, words="lamp, box, key", target=0.05, seed=1)
    again = len(measured) - before
    bench.perform(alone)
    assert len(measured) - before - again > again  # what the cancelled one had measured was not measured again
    residents = bench.context.residents
    contexts = [Context(residents, memory=Memory()) for _ in range(2)]
    lossy = Lossy(residents.get(SPEC), hands=2, contexts=contexts)
    monkeypatch.setattr(bench.context, "spread", lambda model: lossy)
    monkeypatch.setattr(bench.context, "memory", Memory())
    nodes = SteerSweep.answer_from(asked.result(bench.context))
    assert lossy.lost == ["cell_of_sweep"]
    np.testing.assert_array_equal(nodes.gain, found.gain)
    np.testing.assert_array_equal(nodes.null_high, found.null_high)
    for r, c in np.argwhere(reached)[:3]:
        row, column, strength = found.rows[r], found.columns[c], float(found.strength[r, c])
        if over == "blocks":
            where = {"own": int(row) == LAYER, "layers": () if int(row) == LAYER else (int(row),)}
            made = bench.steer(RegionSetting(1, strength), mode="add", **where)
        else:
            made = bench.steer(RegionSetting(1, strength, (row, column)), mode="add")
        alone = bench.data(SteerNext(SPEC, TEXT, False, made))
        target = column if over == "blocks" else 0.05
        assert alone["kl"] == pytest.approx(target, rel=0.03)


def test_samples_of_nothing_are_refused(bench: Bench) -> None:
    with pytest.raises(UserError, match="same text"):
        SteerSamples(SPEC, TEXT, False, bench.steer(RegionSetting(1, 0.6)), temperature=0.0)
    with pytest.raises(UserError, match="No slider is moved"):
        SteerSamples(SPEC, TEXT, False, bench.steer(RegionSetting(1)))


def test_the_base_text_is_made_once_and_shared(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = writing.generate_batch

    def counted(loaded: Any, arms: Any, count: int, **options: Any) -> Any:
        made.extend(len(arm.interventions) for arm in arms)
        return real(loaded, arms, count, **options)

    monkeypatch.setattr(writing, "generate_batch", counted)
    one = written(bench, bench.steer(RegionSetting(1, 0.5)))
    assert sorted(made) == [0, 1] and not one["base_remembered"]
    made.clear()
    two = written(bench, bench.steer(RegionSetting(2, 0.7)))
    assert made == [1] and two["base_remembered"]
    for key in ("ids", "text", "labels", "kl", "mean_kl"):
        assert two["base"][key] == one["base"][key]
    assert two["base"]["surprise"] == pytest.approx(one["base"]["surprise"], abs=1e-4)
    made.clear()
    for options in ({"seed": 6}, {"temperature": 0.9}, {"top_p": 0.5}, {"count": 19}):
        assert not written(bench, bench.steer(RegionSetting(2, 0.7)), **options)["base_remembered"]


def test_lines_of_the_stream_add_up_to_the_result(bench: Bench) -> None:
    data = written(bench, bench.steer(RegionSetting(1, 0.5)), control="direction")
    lines = list(bench.lines)
    for name in ("base", "steered", "control"):
        pieces = [line["piece"]["text"] for line in lines if line.get("piece", {}).get("of") == name]
        assert len(pieces) == len(data[name]["ids"]) and "".join(pieces).rstrip("�") == data[name]["text"].rstrip("�")
        marks = [line["marks"] for line in lines if line.get("marks", {}).get("of") == name]
        kls = [0.0] * len(data[name]["kl"])
        for mark in marks:
            kls[mark["start"] : mark["start"] + len(mark["kl"])] = mark["kl"]
        assert kls == data[name]["kl"] and len(marks) > 1


def test_a_set_up_of_strength_zero_writes_the_base_text_at_no_price(bench: Bench) -> None:
    data = written(bench, bench.steer(RegionSetting(1)), control="region")
    assert data["steered"]["ids"] == data["base"]["ids"] and "control" not in data
    assert max(data["steered"]["kl"]) == pytest.approx(0, abs=1e-5)
    assert data["presence"] == {"labels": [], "base": [], "steered": []}


def test_presence_is_the_mean_responsibility_over_written_tokens(bench: Bench) -> None:
    data = written(bench, bench.steer(RegionSetting(1, 0.9), RegionSetting(2)))
    assert len(data["presence"]["labels"]) == 1
    exact = bench.fit.parameters.to(torch.float64)
    for key in ("base", "steered"):
        ids = [*ids_of(bench), *data[key]["ids"]]
        shares = dense_joint(exact, residuals(bench, ids)).softmax(1)[len(ids_of(bench)) :, 1]
        assert data["presence"][key] == pytest.approx([float(shares.mean())], abs=1e-3)


# Set-up files


def saved(bench: Bench, settings: SteeringSettings, **fields: Any) -> bytes:
    generation = {"steer-prompt": TEXT, "steer-chat": False, "count": 30, "temperature": 0.7, "top-p": 0.9, "seed": 4}
    result = bench.perform(SaveSetup(SPEC, settings, json.dumps({**generation, **fields})))
    return result.arrays["file"].tobytes()  # type: ignore[no-any-return]


def opened(bench: Bench, body: bytes) -> dict[str, Any]:
    return bench.data(OpenSetup(SPEC, base64.b64encode(body).decode()))


def test_a_set_up_goes_out_and_comes_back(bench: Bench) -> None:
    settings = bench.steer(RegionSetting(1, 0.5, (1.5, 0.0)), RegionSetting(3, 0.25), mode="add", layers=(2,))
    body = saved(bench, settings)
    found = opened(bench, body)
    assert SteeringSettings.from_dict(found["steer"]) == settings and found["interventions"] == 6
    assert len([name for name in load(body) if name.startswith("vectors.")]) == 6
    assert found["generation"] == {
        "steer-prompt": TEXT, "steer-chat": False, "count": 30, "temperature": 0.7, "top-p": 0.9, "seed": 4,
    }  # fmt: skip
    assert found["remarks"] == ["The vectors are those of the fit that is here."]


def test_a_file_whose_numbers_were_changed_is_refused(bench: Bench) -> None:
    body = saved(bench, bench.steer(RegionSetting(1, 0.5)))
    vectors = len(body) - 4 * bench.loaded.facts.hidden
    for place in (vectors, vectors + 77, len(body) - 1):
        with pytest.raises(UserError) as caught:
            opened(bench, body[:place] + bytes([body[place] ^ 4]) + body[place + 1 :])
        assert caught.value.field == "file"


@pytest.mark.parametrize("file", ["", "AAAA", "not base64!", "é", "=" * 40])
def test_what_is_no_set_up_is_refused(file: str, bench: Bench) -> None:
    with pytest.raises(UserError) as caught:
        bench.perform(OpenSetup(SPEC, file))
    assert caught.value.field == "file"


def test_a_set_up_of_another_model_is_refused(bench: Bench, tmp_path: Path) -> None:
    body = saved(bench, bench.steer(RegionSetting(1, 0.5)))
    facts = dataclasses.replace(bench.loaded.facts, fingerprint="f" * 20, source="someone/other", label="Other")
    other = bench.context_for(dataclasses.replace(bench.loaded, facts=facts), tmp_path / "other")
    with pytest.raises(UserError, match="Load ") as caught:
        other.perform(OpenSetup(SPEC, base64.b64encode(body).decode()))
    assert caught.value.field == "file"


def test_a_set_up_whose_fit_is_gone_or_another_opens_on_the_regions_that_came_with_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    body = saved(bench, bench.steer(RegionSetting(1, 0.5)))
    fit = bench.fit
    moved = dataclasses.replace(fit, parameters=dataclasses.replace(fit.parameters, means=fit.parameters.means + 1))
    bench.context.memory.put(REGION_SETS.key(REGION_SETS.own() / bench.name), moved, 1)
    found = opened(bench, body)
    assert found["brought"] and "Its fit is not here as it was" in found["remarks"][0]
    bench.context.memory = type(bench.context.memory)()
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "elsewhere"))
    found = opened(bench, body)
    steer = SteeringSettings.from_dict(found["steer"])
    assert (
        found["brought"] and steer.fit.startswith(bench.name + "-part-") and steer.regions == (RegionSetting(0, 0.5),)
    )
    again = load(saved(bench, steer))  # what steers there is what steered here
    assert torch.equal(again["vectors.0"], load(body)["vectors.0"])


@pytest.mark.parametrize("generation", ["{", "[]", '{"temperature": "hot"}', '{"seed": [1]}', '{"count": "x"}', "1"])
def test_settings_of_generation_that_cannot_be_read_are_refused(generation: str, bench: Bench) -> None:
    with pytest.raises(UserError):
        bench.perform(SaveSetup(SPEC, bench.steer(RegionSetting(1, 0.5)), generation))


# Refusals


@pytest.mark.parametrize("name", ["", "../x", "block-99", "A B"])
def test_a_fit_that_is_not_there_is_a_sentence_everywhere(name: str, bench: Bench) -> None:
    settings = SteeringSettings(name, (RegionSetting(1, 0.5),))
    for operation in (
        RegionMap(SPEC, name),
        RenameRegion(name, 0, "x"),
        RegionCard(SPEC, name, 0),
        RegionEffects(SPEC, name, 0),
        FactorsOfContext(SPEC, name, 0),
        ExplainTokens(SPEC, name, TEXT),
        SteerNext(SPEC, TEXT, False, settings),
        SteerText(SPEC, TEXT, False, settings),
        SaveSetup(SPEC, settings),
    ):
        with pytest.raises(UserError) as caught:
            bench.perform(operation)
        assert caught.value.field == "fit", operation


def test_a_fit_of_other_weights_is_refused_in_words(bench: Bench, tmp_path: Path) -> None:
    facts = dataclasses.replace(bench.loaded.facts, fingerprint="f" * 20, label="Other")
    other = bench.context_for(dataclasses.replace(bench.loaded, facts=facts), tmp_path / "other")
    for operation in (RegionCard(SPEC, bench.name), SteerNext(SPEC, TEXT, False, bench.steer(RegionSetting(1, 0.5)))):
        with pytest.raises(UserError, match="loaded model is Other"):
            other.perform(operation)


def test_what_this_fit_or_model_does_not_have_is_refused(bench: Bench) -> None:
    cases: list[tuple[Operation, str]] = [
        (RegionCard(SPEC, bench.name, K), "region"),
        (RenameRegion(bench.name, K, "x"), "region"),
        (FactorsOfContext(SPEC, bench.name, 0, "principal", 4096 * 500), "row"),
        (FactorsOfContext(SPEC, bench.name, 0, "principal", 4000), "row"),
        (SteerNext(SPEC, TEXT, False, bench.steer(RegionSetting(K, 0.5))), "region"),
        (SteerNext(SPEC, TEXT, False, bench.steer(RegionSetting(0, 0.5, (0.0,) * (R + 1)))), "factors"),
        (SteerNext(SPEC, TEXT, False, bench.steer(RegionSetting(0, 0.5), layers=(4,))), "layers"),
        (SteerNext(SPEC, TEXT, True, bench.steer(RegionSetting(0, 0.5))), "prompt"),
        (ExplainTokens(SPEC, bench.name, "the " * 230), "text"),
        (EstimateFit(SPEC, layer=4, tokens=1000, regions=5, factors=2), "layer"),
        (EstimateFit(SPEC, layer=1, tokens=4000, regions=5, factors=48), "factors"),
        (FitRegions(SPEC, layer=4, tokens=1000, regions=5, factors=2), "layer"),
    ]
    for operation, field in cases:
        with pytest.raises(UserError) as caught:
            bench.perform(operation)
        assert caught.value.field == field, operation


@pytest.mark.parametrize(
    ("name", "settings", "field"),
    [
        ("SteerNext", {"text": ""}, "prompt"),
        ("SteerNext", {"chat": 1}, "chat"),
        ("SteerNext", {"steer": None}, "steer"),
        ("SteerNext", {"steer": {"evil": 1}}, "steer"),
        ("SteerText", {"count": 0}, "count"),
        ("SteerText", {"count": 4_001}, "count"),
        ("SteerText", {"count": 1.5}, "count"),
        ("SteerText", {"temperature": float("nan")}, "temperature"),
        ("SteerText", {"temperature": 1e9}, "temperature"),
        ("SteerText", {"temperature": 10**400}, "temperature"),
        ("SteerText", {"top_p": 0}, "top_p"),
        ("SteerText", {"seed": -1}, "seed"),
        ("SteerText", {"control": "evil"}, "control"),
        ("SteerText", {"positive": "only one side"}, "positive"),
        ("SteerText", {"negative": 5}, "negative"),
        ("StrengthForKL", {"target": 0}, "target"),
        ("StrengthForKL", {"target": None}, "target"),
        ("RegionCard", {"region": -1}, "region"),
        ("RegionCard", {"rotation": "oblique"}, "rotation"),
        ("RenameRegion", {"label": "x" * 81}, "label"),
        ("FactorsOfContext", {"row": -1}, "row"),
        ("OpenSetup", {"file": 5}, "file"),
        ("FitRegions", {"site": "attention"}, "site"),
        ("FitRegions", {"noise": "full"}, "noise"),
        ("FitRegions", {"tokens": 999}, "tokens"),
        ("FitRegions", {"source": "{"}, "texts"),
        ("FitRegions", {"source": '{"kind": "text", "name": "../x"}'}, "texts"),
        ("EstimateFit", {"regions": 0}, "regions"),
    ],
)
def test_bad_settings_are_refused_at_the_edge(name: str, settings: dict[str, Any], field: str) -> None:
    text = {"text": TEXT} if name.startswith(("Steer", "Strength")) else {}
    with pytest.raises(UserError) as caught:
        rebuild(name, {**text, **settings})
    assert caught.value.field == field


# Fitting


def test_more_regions_than_the_data_can_tell_apart_are_a_sentence(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops_fit, "read_source", lambda source, check=None: passages())
    with pytest.raises(UserError, match="Take at most 100 regions") as caught:
        FitRegions(SPEC, tokens=1000, regions=101, factors=8)
    assert caught.value.field == "regions"
    # So many were asked for, and the texts do not give as many activations.
    with pytest.raises(UserError, match=r"These texts give .* too few for 1,000 regions") as caught:
        bench.perform(FitRegions(SPEC, layer=LAYER, tokens=20_000, regions=1000, factors=2))
    assert caught.value.field == "regions"


def test_a_fit_made_as_a_job_can_be_opened_and_is_not_made_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ops_fit, "read_source", lambda source, check=None: passages())
    operation = FitRegions(SPEC, layer=3, tokens=1000, regions=3, factors=1, noise="component", blocks=(2, 1))
    estimate = bench.data(EstimateFit(SPEC, layer=2, tokens=1000, regions=3, factors=1))
    assert estimate["seconds"] > 0 and "on this machine" in estimate["sentence"]
    found = bench.data(operation)
    assert found["fit"] in [f["name"] for f in bench.data(ListFits(SPEC))["fits"]] and found["fit"] in found["sentence"]
    assert found["history"][-1]["train"] > found["history"][0]["train"]
    fit = open_fit(bench.context.memory, found["fit"])
    # Of the blocks that were looked at, none of which tells more of themes than the other, the first.
    bits = fit.manifest["looked_at"]
    assert set(bits) == {"1", "2"} and fit.site == Site(max((2, 1), key=lambda block: bits[str(block)]))
    assert found["settings"]["layer"] == fit.site.layer and fit.parameters.noise.ndim == 2
    assert fit.manifest["corpus"] == corpus_hash(passages()) and fit.passages == passages()
    assert bench.data(SteerNext(SPEC, TEXT, False, SteeringSettings(fit.name, (RegionSetting(0, 0.5),))))["kl"] > 0
    check_served_only_with_its_files(bench.context, operation)
    (folder("regions") / f"{fit.name}.json").unlink()
    with pytest.raises(UserError, match="not in this data folder"):  # nor is it opened from memory
        open_fit(bench.context.memory, fit.name)
    assert bench.data(operation) == found and fit.name in [f["name"] for f in bench.data(ListFits(SPEC))["fits"]]
    monkeypatch.setattr(ops_fit, "read_source", None)  # would fail if it were asked again
    assert bench.data(operation) == found


def test_the_lens_ends_at_the_next_token_and_changes_from_the_steered_block_on(bench: Bench) -> None:
    settings = bench.steer(RegionSetting(1, 0.6), mode="add")
    found = SteerLens.answer_from(bench.perform(SteerLens(SPEC, TEXT, False, settings, words="lamp, box, key", last=3)))
    ids = evaluate.word_ids(bench.loaded.tokenizer, ["lamp", "box", "key"])
    read = bench.loaded.tokenizer(TEXT)["input_ids"]
    for arm, made in enumerate(([], interventions_of(settings, bench.fit))):
        with steer(bench.loaded, made):
            logits = bench.loaded.forward(torch.tensor([read]), logits=True)[0, -1]
        assert float(evaluate.log_odds(logits, ids).mean()) == pytest.approx(float(found.odds[arm, -1, -1]), abs=1e-4)
        assert found.ranks[arm, -1, -1] == int((logits > logits[ids].max()).sum()) + 1
    changed = (found.odds[1] != found.odds[0]).any(1)
    assert [b for b, c in zip(found.blocks, changed, strict=True) if not c] == [-1, 0, 0, 1]
    assert found.agreement[-1] == 1 and found.error < 1e-4 and len(found.controls) == 2
    with pytest.raises(UserError, match="No slider is moved"):
        bench.perform(SteerLens(SPEC, TEXT, False, bench.steer(RegionSetting(1, 0.0), mode="add")))


def test_with_all_free_the_effect_is_the_steered_one_and_a_held_head_is_one_of_all(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = bench.steer(RegionSetting(1, 0.6), mode="add")
    found = FreeOrFrozen.answer_from(
        bench.perform(FreeOrFrozen(SPEC, TEXT, False, settings, words="lamp, box, key", draws=1))
    )
    ids = evaluate.word_ids(bench.loaded.tokenizer, ["lamp", "box", "key"])
    read = torch.tensor([bench.loaded.tokenizer(TEXT)["input_ids"]])
    base = bench.loaded.forward(read, logits=True)[0, -1]
    with steer(bench.loaded, interventions_of(settings, bench.fit)):
        steered = bench.loaded.forward(read, logits=True)[0, -1]
    change = evaluate.log_odds(steered, ids) - evaluate.log_odds(base, ids)
    assert float(change.mean()) == pytest.approx(float(found.target[0, -1]), abs=1e-4)
    assert float(found.kl[0, -1]) == pytest.approx(found.kls[0], rel=1e-5) and found.off < 1e-3
    assert found.above == LAYER and found.mlpless == found.patternless == ()
    real = LayerAttention.weights
    monkeypatch.setattr(LayerAttention, "weights", lambda record, heads: real(record, heads) * 0.9)
    wrong = FreeOrFrozen.answer_from(
        bench.perform(FreeOrFrozen(SPEC, TEXT, False, settings, 9, words="lamp, box, key", draws=1))
    )
    assert wrong.off > 100 * max(found.off, 1e-6)  # a pattern that is not the model's own shows
    monkeypatch.undo()
    assert len({round(float(v), 5) for v in found.target[0]}) > 4
    some = FreeOrFrozen(SPEC, TEXT, False, settings, 0, "lamp, box, key", ((2, 1),), 1)
    one = FreeOrFrozen.answer_from(bench.perform(some))
    assert one.target[0, -1] == found.target[0, -1] and one.target[0, 0] != found.target[0, 0]
    for heads, words in ((((1, 0),), "is not above block 1"), (((2, 99),), "has no head 2.99")):
        with pytest.raises(UserError, match=words) as caught:
            bench.perform(dataclasses.replace(some, heads=heads))
        assert caught.value.field == "heads"


def test_attention_under_steering_is_that_of_the_steered_pass(bench: Bench) -> None:
    settings = bench.steer(RegionSetting(1, 0.6), mode="add")
    found = SteeredHeads.answer_from(bench.perform(SteeredHeads(SPEC, TEXT, False, settings, generate=2)))
    read = bench.loaded.tokenizer(TEXT)["input_ids"]
    assert len(found.labels) == len(read) + 2 and found.acts == (LAYER,) and len(found.kls) == 5
    assert not found.mean[: LAYER + 1].any() and (found.mean[LAYER + 1 :] > 0).all() and not found.same
    query = int(found.query[2, 3])
    asked = SteeredAttention(SPEC, TEXT, False, settings, generate=2, layer=2, head=3, query=query)
    row = SteeredAttention.answer_from(bench.perform(asked))
    assert row.moved == pytest.approx(float(found.worst[2, 3]), abs=1e-6)
    assert row.steered.sum() == pytest.approx(1, abs=1e-5) and row.random.shape == (4, len(found.labels))
    bench.perform(FitContrast(SPEC, INDUCTION))
    explained = ExplainMove(
        SPEC, TEXT, False, settings, generate=2, layer=2, head=3, query=query, features=(INDUCTION,)
    )
    why = ExplainMove.answer_from(bench.perform(explained))
    assert why.whole == pytest.approx(row.moved, abs=1e-5) and [r[0] for r in why.random] == pytest.approx(
        list(row.random_moved), abs=1e-5
    )
    assert abs(why.change) == pytest.approx(float(np.abs(row.steered - row.base).max()), abs=1e-5)
    (inside,) = why.subspaces
    assert inside.name == "Induction (8)" and inside.rank > 0 and 0 < inside.random[1] <= inside.random[0]
    with pytest.raises(UserError, match="has not been fitted"):
        bench.perform(dataclasses.replace(explained, features=(ContrastSpec("previous", 24),)))
    for changed, field in (({"layer": 99}, "layer"), ({"head": 99}, "head"), ({"query": 999}, "token")):
        with pytest.raises(UserError) as caught:
            bench.perform(dataclasses.replace(asked, **changed))
        assert caught.value.field == field
    with pytest.raises(UserError, match="No slider is moved"):
        bench.perform(SteeredHeads(SPEC, TEXT, False, bench.steer(RegionSetting(1, 0.0), mode="add")))


def test_the_lens_of_a_written_token_reads_it_as_it_was_written(bench: Bench) -> None:
    settings = bench.steer(RegionSetting(1, 0.9), mode="add", where="generated")
    prompt = list(bench.loaded.tokenizer(TEXT)["input_ids"])
    made = interventions_of(settings, bench.fit)
    steps = list(generate_stream(bench.loaded, prompt, 4, interventions=made))
    ids, last = [step.token for step in steps], steps[-1].logits.log_softmax(-1)
    asked = SteerLens(SPEC, TEXT, False, settings, last=4, ids=tuple(ids[:-1]), token=ids[-1])
    lens = SteerLens.answer_from(bench.perform(asked))
    chance = float(last[ids[-1]].exp())
    assert lens.odds[1, -1, -1] == pytest.approx(np.log(chance / (1 - chance)), abs=1e-3) and lens.ranks[1, -1, -1] == 1
    assert (lens.first, lens.prompt, lens.of) == (len(prompt) - 1, len(prompt), "steered") and len(lens.labels) == 4
    assert np.array_equal(lens.odds[0][:, 0], lens.odds[1][:, 0]), "the prompt is not steered"
    base = bench.loaded.forward(torch.tensor([[*prompt, *ids[:-1]]]), logits=True)[0, -1].log_softmax(-1)
    alone = float(base[ids[-1]].exp())
    assert lens.odds[0, -1, -1] == pytest.approx(np.log(alone / (1 - alone)), abs=1e-3)
    assert lens.kl == pytest.approx(float((base.exp() * (base - last)).sum()), rel=1e-3)
    with pytest.raises(UserError, match="must be steered"):
        bench.perform(dataclasses.replace(asked, ids=()))
    found = TokenAlternatives.answer_from(bench.perform(TokenAlternatives(SPEC, TEXT, False, settings, ids=tuple(ids))))
    again = bench.loaded.tokenizer(found.before)["input_ids"] if found.before else [*prompt, *ids[:-1]]
    assert list(again) == [*prompt, *ids[:-1]]


def test_a_trained_lens_from_a_file_reads_in_place_of_the_plain_one(bench: Bench, tmp_path: Path) -> None:
    facts, settings = bench.loaded.facts, bench.steer(RegionSetting(1, 0.6), mode="add")
    plain = SteerLens.answer_from(bench.perform(SteerLens(SPEC, TEXT, False, settings, last=2, within=False)))
    nothing = {f"{n}.weight": torch.zeros(facts.hidden, facts.hidden) for n in range(facts.layers)}
    noise = {f"{n}.weight": torch.randn(facts.hidden, facts.hidden) for n in range(facts.layers)}
    for name, tensors in (("same", nothing), ("noise", noise)):
        torch.save(tensors, tmp_path / f"{name}.pt")
    body = base64.b64encode((tmp_path / "same.pt").read_bytes()).decode()
    kept = OpenLens.answer_from(bench.perform(OpenLens(SPEC, "tuned", "same.pt", body)))
    assert "it is ahead at 0 of" in kept.sentence and "no better than none" in kept.sentence
    other = OpenLens.answer_from(bench.perform(OpenLens(SPEC, "tuned", path=str(tmp_path / "noise.pt"))))
    listed = ListLenses.answer_from(bench.perform(ListLenses(SPEC))).lenses
    assert {row.name for row in listed} == {kept.name, other.name} and {row.kind for row in listed} == {"tuned"}
    asked = SteerLens(SPEC, TEXT, False, settings, last=2, lens=kept.name)
    again = SteerLens.answer_from(bench.perform(asked))
    assert again.trained == "same.pt (tuned)" and all(again.whole)
    for field in ("odds", "ranks", "chances", "agreement"):
        assert np.array_equal(getattr(again, field), getattr(plain, field)), field
    wild = SteerLens.answer_from(bench.perform(dataclasses.replace(asked, lens=other.name)))
    assert not np.allclose(wild.odds[:, :-1], plain.odds[:, :-1]) and np.array_equal(wild.plain, plain.agreement)
    assert np.array_equal(wild.odds[:, -1], plain.odds[:, -1]), "the last block is read as it is"
    with pytest.raises(UserError, match="is not in this data folder"):
        bench.perform(dataclasses.replace(asked, lens="nowhere"))
    with pytest.raises(UserError, match=f"has {facts.layers} translators"):
        torch.save({"0.weight": nothing["0.weight"]}, tmp_path / "few.pt")
        bench.perform(OpenLens(SPEC, "tuned", path=str(tmp_path / "few.pt")))
