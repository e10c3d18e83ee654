"""Probe sets, the room of a model, and the operations, on a tiny OthelloGPT with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analysis.bridge.moved import SteeredHeads
from analysis.engine.context import Context
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import Cancelled, UserError
from analysis.models.spec import ModelSpec
from analysis.othello.board import Board
from analysis.othello.checkpoints import to_mingpt
from analysis.othello.model import build, othello_config, save
from analysis.othello.records import parse_moves
from analysis.othello.sources import OthelloSource
from analysis.othello.squares import token_of
from analysis.tpr.activations import collect, read, whole_games
from analysis.tpr.library import PROBE_SETS, ProbeSet, fingerprint, make_probe, new_set
from analysis.tpr.ops.edit import OthelloEdit
from analysis.tpr.ops.reading import (
    FitProbes,
    OpenOthello,
    OthelloBinding,
    OthelloDirections,
    OthelloFacts,
    OthelloReading,
    OthelloRoles,
)
from analysis.tpr.pipeline import constant_baseline, fit_probes, scored
from analysis.tpr.ready import game_text
from analysis.tpr.room import open_room, read_game, room_of, truth
from analysis.tpr.steer import BoardSteer
from tests.unit.test_fit import loaded_of
from tests.unit.tiny_models import tiny_model

MOVES = parse_moves("C4C3D3E3F5C5F3")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a random network in minGPT's layout."""
    torch.manual_seed(0)
    model = build(othello_config(layers=2, width=64, heads=2)).eval()
    path = tmp_path_factory.mktemp("othello") / "tiny.ckpt"
    torch.save(to_mingpt(model), path)
    return path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def probes_fitted_here(place: Path, tmp_path_factory: pytest.TempPathFactory) -> ProbeSet:
    """Probes of the tiny network."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_HOME", str(tmp_path_factory.mktemp("home")))
        loaded = open_room(Context(), str(place)).loaded
    wanted = [(k, layer, "parity") for k in ("linear", "tpr", "trilinear") for layer in (0, 1)]
    return fit_probes(loaded, [*wanted, ("tpr-r16", 1, "parity")], games=20, test_games=5)  # type: ignore[list-item]


@pytest.fixture
def fitted(probes_fitted_here: ProbeSet, home: Path) -> Context:
    """A context whose data folder has probes of the tiny network."""
    probes = probes_fitted_here
    PROBE_SETS.save(home / "othello" / probes.model, probes.arrays, probes.manifest)
    return Context(store=ResultStore(home / "results"))


def test_residuals_are_those_of_the_blocks_and_not_of_the_final_norm(place: Path) -> None:
    loaded = open_room(Context(), str(place)).loaded
    model: Any = loaded.model
    ids = torch.tensor([[token_of(m) for m in MOVES]])
    before = dict(model.transformer.h[0]._forward_hooks)
    found, logits = read(loaded, ids)
    assert model.transformer.h[0]._forward_hooks == before
    states = model(ids, output_hidden_states=True)
    assert torch.equal(found[0], states.hidden_states[1])
    assert torch.allclose(model.transformer.ln_f(found[1]), states.hidden_states[2], atol=1e-6)
    assert torch.equal(logits, states.logits)
    with pytest.raises(UserError, match="blocks 0 to 1"):
        collect(loaded, 1, 3, [2])


def test_rows_are_games_of_sixty_moves_with_the_board_after_each(place: Path) -> None:
    model = open_room(Context(), str(place)).loaded
    boards = collect(model, 6, 3, [1], batch=4)
    assert boards.layer(1).shape == (6 * 59, 64) and boards.labels().shape == (6 * 59, 64)
    assert (whole_games(6, 3).length == 60).all() and boards.plies[60] == 1
    ids = torch.from_numpy(boards.games.tokens[2:3, :59].astype(np.int64))
    assert torch.allclose(boards.layer(1)[2 * 59 : 3 * 59], read(model, ids)[0][1][0], atol=2e-3)
    share = constant_baseline(boards, boards)
    assert 0.62 < share <= 1.0


def test_a_set_is_kept_and_read_back(tmp_path: Path) -> None:
    probe = make_probe("tpr").fit(torch.randn(200, 16), torch.randint(0, 3, (200, 64)))
    probes = new_set("abc")
    probes.add("tpr", 1, "parity", probe, accuracy=0.5)
    probes.add("tpr", 1, "parity", probe, accuracy=0.6)
    PROBE_SETS.save(tmp_path / "set", probes.arrays, probes.manifest)
    again = PROBE_SETS.read(tmp_path / "set")
    assert len(again.rows) == 1 and again.rows[0]["accuracy"] == 0.6 and again.layers("tpr") == [1]
    h = torch.randn(3, 16)
    assert torch.allclose(again.probe("tpr", 1).logits(h), probe.logits(h), atol=1e-5)
    with pytest.raises(UserError, match="no linear probe of block 0"):
        again.probe("linear", 0)
    PROBE_SETS.save(tmp_path / "set", again.arrays, again.manifest)
    assert len(list(tmp_path.glob("set-*.safetensors"))) == 1
    next(tmp_path.glob("set-*.safetensors")).write_bytes(b"spoiled")
    with pytest.raises(UserError, match="not the one that its manifest describes"):
        PROBE_SETS.read(tmp_path / "set")
    with pytest.raises(UserError, match="no probes"):
        PROBE_SETS.read(tmp_path / "none")
    with pytest.raises(UserError, match="no probe of the kind"):
        make_probe("cubic")


def test_the_fingerprint_changes_with_any_weight(place: Path) -> None:
    model: Any = open_room(Context(), str(place)).loaded.model
    before = fingerprint(model)
    with torch.no_grad():
        model.lm_head.weight[3, 4] += 1e-3
    assert fingerprint(model) != before and len(before) == 16


def test_scores_against_counting(place: Path) -> None:
    probe = make_probe("linear").fit(torch.randn(100, 8), torch.randint(0, 3, (100, 64)))
    h, y = torch.randn(40, 8), np.random.default_rng(0).integers(0, 3, (40, 64)).astype(np.uint8)
    found, read_out = scored(probe, h, y), probe.predict(h)
    right = sum(int(read_out[i, s] == y[i, s]) for i in range(40) for s in range(64))
    assert found["accuracy"] == pytest.approx(right / 2560)
    assert len(found["by_square"]) == 64 and 0 < found["macro_f1"] < 1


def test_every_question_about_a_game_is_answered(fitted: Context, place: Path) -> None:
    at = {"source": str(place), "moves": MOVES, "ply": 5, "layer": 1}
    reading = fitted.perform(OthelloReading(**at))
    assert reading.arrays["next"].sum() == pytest.approx(1, abs=1e-5) and reading.arrays["tpr"].shape == (64, 3)
    assert reading.data["legal"] == list(Board.start().after(MOVES[:5]).legal)
    legal = float(reading.arrays["next"][reading.data["legal"]].sum())
    assert reading.data["illegal_mass"] == pytest.approx(1 - legal, abs=1e-5)
    assert list(reading.arrays["truth"]) == Board.start().after(MOVES[:5]).classes()
    assert reading.data["right"]["linear"] == reading.data["right_by_layer"]["linear"][1]
    binding = fitted.perform(OthelloBinding(**at))
    dots = binding.arrays["unbound"] @ binding.arrays["fillers"].T
    assert np.allclose(dots, binding.arrays["logits"], atol=1e-3)
    shares = np.exp(dots - dots.max(-1, keepdims=True))
    assert np.allclose(shares / shares.sum(-1, keepdims=True), reading.arrays["tpr"], atol=1e-3)
    facts = fitted.perform(OthelloFacts(str(place))).data
    assert facts["facts"]["layers"] == 2 and facts["training"] is None and len(facts["probes"]) == 7
    assert facts["role_dims"] == [[16, "tpr-r16"], [52, "tpr"]]
    with pytest.raises(UserError, match="blocks 0 to 1"):
        fitted.perform(OthelloReading(**{**at, "layer": 2}))
    with pytest.raises(UserError, match="mover labels"):
        fitted.perform(OthelloBinding(**at, labels="mover"))


def test_remixing_changes_pictures_and_no_prediction(fitted: Context, place: Path) -> None:
    at = {"source": str(place), "moves": MOVES, "ply": 5, "layer": 1}
    plain, mixed = (fitted.perform(OthelloRoles(**at, gauge=g)) for g in (0, 3))
    assert not np.allclose(plain.arrays["gram"], mixed.arrays["gram"], atol=0.05)
    assert np.allclose(plain.arrays["gap.colour"], mixed.arrays["gap.colour"], atol=1e-5, equal_nan=True)
    one, two = ({r["key"]: (r["neighbours"], r["r2"], r["gauge"]) for r in x.data["geometry"]} for x in (plain, mixed))
    for key, (neighbours, r2, gauge) in one.items():
        same = neighbours == two[key][0] and r2 == pytest.approx(two[key][1], abs=1e-6)
        assert same != gauge, key
    trilinear = fitted.perform(OthelloRoles(**at, probe="trilinear", gauge=3, embedding="isomap"))
    assert trilinear.arrays["gram"].shape == (64, 64) and trilinear.arrays["isomap.roles"].shape == (60, 3)


def test_directions_are_compared_at_blocks_that_have_them(fitted: Context, place: Path) -> None:
    found = fitted.perform(OthelloDirections(str(place), 1, "tpr-r16"))
    assert found.arrays["cosines"].shape == (64, 3) and np.abs(found.arrays["cosines"]).max() <= 1 + 1e-6
    assert {r["kind"] for r in found.data["curve"]} == {"linear", "tpr", "trilinear"}
    with pytest.raises(UserError, match="after block 1 only"):
        fitted.perform(OthelloDirections(str(place), 0, "tpr-r16"))


def test_an_edit_is_answered_and_scale_zero_is_no_edit(fitted: Context, place: Path) -> None:
    at = {"source": str(place), "moves": MOVES, "ply": 6, "layer": 1, "edits": ((19, 0),)}
    none = fitted.perform(OthelloEdit(**at, scale=0.0))
    assert (
        np.array_equal(none.arrays["before"], none.arrays["after"]) and none.data["errors_after"] == none.data["null"]
    )
    assert np.array_equal(none.arrays["beliefs"], none.arrays["clean"])
    for method in ("tpr", "linear", "linear-minus", "trilinear", "random", "wrong-square"):
        found = fitted.perform(OthelloEdit(**at, method=method, scale=4.0))
        assert not np.allclose(found.arrays["after"], found.arrays["before"]), method
        assert found.arrays["after"].sum() == pytest.approx(1, abs=1e-5)
        best = fitted.perform(OthelloEdit(**at, method=method, choose="best"))
        assert best.data["errors_after"] <= found.data["errors_after"] and best.data["scale"] > 0
    assert none.data["legal_before"] == list(Board.start().after(MOVES[:6]).legal)


def test_a_network_that_does_not_play_is_refused(place: Path, home: Path) -> None:
    context = Context(store=ResultStore(home / "results"))
    with pytest.raises(UserError, match="does not play Othello"):
        context.perform(OpenOthello(str(place)))
    with pytest.raises(UserError, match="does not play legally"):
        context.perform(FitProbes(str(place), games=100))


def test_a_fit_can_be_cancelled(place: Path) -> None:
    model = open_room(Context(), str(place)).loaded
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls > 5:
            raise Cancelled

    with pytest.raises(Cancelled):
        fit_probes(model, [("linear", 0, "parity")], games=10, test_games=5, check=check)


def test_a_changed_file_is_read_again(place: Path, tmp_path: Path) -> None:
    context = Context(store=ResultStore(tmp_path / "r"))
    copy = tmp_path / "copy.ckpt"
    copy.write_bytes(place.read_bytes())
    first = open_room(context, str(copy))
    assert open_room(context, str(copy)) is first
    torch.manual_seed(1)
    torch.save(to_mingpt(build(othello_config(layers=1, width=64, heads=2))), copy)
    assert open_room(context, str(copy)).layers == 1


def test_a_checkpoint_is_a_model_in_memory_and_sends_no_other_away(place: Path, tmp_path: Path) -> None:
    residents = Residents(limit=1)
    own = tmp_path / "own"
    save(build(othello_config(layers=1, width=64, heads=2)), own)
    chosen = ModelSpec(str(own))
    residents.get(chosen)
    context = Context(residents, ResultStore(tmp_path / "r"))
    operation = OpenOthello(str(place))
    assert context.key_of(operation) is None
    room = operation.room(context)
    assert context.key_of(operation) and room.loaded.facts.label == "tiny.ckpt" and room.loaded.facts.layers == 2
    assert "equal" in room.loaded.facts.proof[0] or "are those" in room.loaded.facts.proof[0]
    other = tmp_path / "other.ckpt"
    torch.save(to_mingpt(build(othello_config(layers=1, width=64, heads=2))), other)
    open_room(context, str(other))
    assert [r.spec for r in residents.listing()[0]] == [chosen, OpenOthello(str(other)).model]
    other.unlink()  # whoever asks which model is needed hears of no path that is gone
    assert OpenOthello(str(other)).model == OthelloSource(str(other)).spec
    with pytest.raises(UserError, match=r"nothing named other\.ckpt") as caught:
        open_room(context, str(other))
    assert caught.value.field == "source"


def test_a_model_of_words_that_another_page_loaded_is_refused(tmp_path: Path) -> None:
    context, path = Context(store=ResultStore(tmp_path / "r")), tmp_path / "words"
    config = othello_config(layers=1, width=64, heads=2)
    config.vocab_size = 100
    save(build(config), path)
    context.model(OthelloSource(str(path)).spec)
    with pytest.raises(UserError, match="no OthelloGPT of the 8 × 8 board") as caught:
        open_room(context, str(path))
    assert caught.value.field == "source"


def test_a_game_needs_a_move_and_gives_its_prefixes(place: Path) -> None:
    context = Context()
    room = open_room(context, str(place))
    with pytest.raises(UserError, match="no token for the empty board"):
        read_game(context.memory, room, ())
    whole, part = read_game(context.memory, room, MOVES), read_game(context.memory, room, MOVES[:3])
    assert torch.allclose(whole.residual[:, :3], part.residual, atol=1e-5)
    assert list(truth(MOVES, 2, "mover")) == Board.start().after(MOVES[:3]).classes("mover")
    assert isinstance(room.probes, ProbeSet)


def test_an_edit_steers_the_model_of_another_page_as_it_does_here(fitted: Context, place: Path, tmp_path: Path) -> None:
    here = OthelloEdit(str(place), MOVES, 5, edits=((26, 0),), scale=2.0, first=0, last=1)
    wanted = OthelloEdit.answer_from(fitted.perform(here)).after
    save(open_room(fitted, str(place)).loaded.model, tmp_path / "saved")
    spec = ModelSpec(str(tmp_path / "saved"), dtype="float32")
    steer = BoardSteer(MOVES, 5, ((26, 0),), scale=2.0)
    _, own, prompt = SteeredHeads(spec, game_text(MOVES[:5]), False, steer).prepared(fitted)
    shares = prompt.cache.next_logits(own.interventions(prompt))[1:].double().softmax(0).numpy()
    assert np.allclose(shares, [wanted[s] for s in range(64) if s not in (27, 28, 35, 36)], atol=1e-5)
    other = prompt.cache.next_logits(own.random(prompt, 0, 1.0))[1:].double().softmax(0).numpy()
    assert np.abs(other - shares).max() > 1e-3
    longer = SteeredHeads.answer_from(fitted.perform(SteeredHeads(spec, game_text(MOVES), False, steer)))
    assert longer.acts == (0, 1) and not longer.mean[0].any() and longer.mean[1].any()
    with pytest.raises(UserError, match="does not begin with that game"):
        fitted.perform(SteeredHeads(spec, game_text(MOVES[:4]), False, steer))
    with pytest.raises(UserError, match="is no OthelloGPT, so it has no board"):
        room_of(loaded_of(tiny_model("llama")))
