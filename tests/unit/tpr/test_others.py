"""Probes and cases of others: files as their authors write them, opened for a tiny OthelloGPT with random weights."""

from __future__ import annotations

import base64
import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save as save_safetensors

from analysis.engine.context import Context
from analysis.engine.store import ResultStore
from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.checkpoints import to_mingpt
from analysis.othello.model import build, othello_config
from analysis.othello.squares import token_of
from analysis.tpr.activations import read
from analysis.tpr.answers.model import ModelFigures, ProbesOpened
from analysis.tpr.given_cases import keep_cases, read_cases
from analysis.tpr.interventions import run_edited
from analysis.tpr.library import PROBE_SETS, make_probe, opened_sets, set_for
from analysis.tpr.ops.edit import OthelloEdit, OthelloTrials
from analysis.tpr.ops.others import OpenCases, OpenProbes
from analysis.tpr.ops.reading import OthelloBinding, OthelloFacts, OthelloReading
from analysis.tpr.others import read_probe, written
from analysis.tpr.room import open_room
from components.othello.position import PROBES, probe_titles

WIDTH, LAYERS = 64, 2
MOVES = (19, 18, 17, 9, 1)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("othello") / "tiny.ckpt"
    torch.save(to_mingpt(build(othello_config(layers=LAYERS, width=WIDTH, heads=2)).eval()), path)
    return str(path)


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    monkeypatch.setattr("analysis.tpr.opening.TEST_GAMES", 10)
    return Context(store=ResultStore(tmp_path / "results"))


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def tpr(r: int = 5, f: int = 2, **more: Any) -> dict[str, Any]:
    """As the authors' training script writes it, with what it writes beside the probe."""
    state = {
        "binding_map": torch.randn(WIDTH, r, f),
        "role_embeddings": torch.randn(8, 8, r),
        "filler_embeddings": torch.randn(3, f),
    }
    ridge = {"weight": torch.randn(WIDTH, r * f), "bias": torch.zeros(WIDTH), "ridge": 1e-4}
    return {
        "probe_kind": "tensor_product", "probe_state_dict": state, "layer": 1, "module_name": "blocks.1",
        "activation_name": "hook_resid_post", "binding_to_residual": ridge, "metrics": {"accuracy": 0.5}, "config": {},
    } | more  # fmt: skip


def trilinear() -> dict[str, Any]:
    state = {
        "binding_map": torch.randn(WIDTH, 3, 4, 2),
        "row_embeddings": torch.randn(8, 3),
        "col_embeddings": torch.randn(8, 4),
        "color_embeddings": torch.randn(3, 2),
    }
    return {"probe_kind": "multilinear_tensor_product", "probe_state_dict": state, "layer": 0}


def files_of(*pairs: tuple[str, Any]) -> tuple[tuple[str, str], ...]:
    bodies = ((n, v if isinstance(v, bytes) else saved(v)) for n, v in pairs)
    return tuple((n, base64.b64encode(b).decode()) for n, b in bodies)


def test_logits_are_those_of_the_authors_formula() -> None:
    h = torch.randn(7, WIDTH)
    data = tpr()
    data["probe_state_dict"]["bias"] = bias = torch.randn(8, 8, 3)
    m, roles, fillers = list(data["probe_state_dict"].values())[:3]
    wanted = torch.einsum("nd,dab,ija,cb->nijc", h, m, roles, fillers) + bias
    got = read_probe("p.pt", saved(data))
    assert (got.kind, got.layer, got.site) == ("tpr", 1, "resid_post")
    torch.testing.assert_close(got.probe.logits(h), wanted.reshape(7, 64, 3), atol=1e-4, rtol=1e-4)
    m, rows, columns, colours = trilinear_parts = list((data := trilinear())["probe_state_dict"].values())
    wanted = torch.einsum("nd,dabk,ia,jb,ck->nijc", h, m, rows, columns, colours).reshape(7, 64, 3)
    assert len(trilinear_parts) == 4
    torch.testing.assert_close(read_probe("p.pt", saved(data)).probe.logits(h), wanted, atol=1e-4, rtol=1e-4)
    raw = torch.nn.Parameter(torch.randn(2, WIDTH, 8, 8, 3))
    one = read_probe("resid_1_linear.pth", saved(raw), mode=1)
    wanted = torch.einsum("nd,dijc->nijc", h, raw[1].detach()).reshape(7, 64, 3)
    assert (one.kind, one.layer, one.site) == ("linear", 1, None)
    torch.testing.assert_close(one.probe.logits(h), wanted, atol=1e-4, rtol=1e-4)
    # Trained on a stream without its mean, it reads the stream with its mean alike.
    centred = read_probe("x.pth", saved({"probe": raw, "layer": 0}), mode=1, centred=True).probe
    wanted = torch.einsum("nd,dijc->nijc", h - h.mean(1, keepdim=True), raw[1].detach()).reshape(7, 64, 3)
    torch.testing.assert_close(centred.logits(h), wanted, atol=1e-4, rtol=1e-4)


def test_safetensors_hold_the_same_and_ours_are_written_in_their_form() -> None:
    data = tpr()
    flat = {f"probe_state_dict.{k}": v.contiguous() for k, v in data["probe_state_dict"].items()}
    body = save_safetensors(flat, {"layer": "1", "activation_name": "blocks.1.hook_resid_mid"})
    got = read_probe("p.safetensors", body)
    assert (got.layer, got.site) == (1, "resid_mid")
    for name, value in read_probe("p.pt", saved(data)).probe.parts.items():
        assert torch.equal(got.probe.parts[name], value)
    h = torch.randn(3, WIDTH)
    for other in (tpr(), trilinear(), {"probe": torch.randn(1, WIDTH, 8, 8, 3), "layer": 0}):
        probe = read_probe("p.pt", saved(other)).probe
        back = read_probe("p.pt", saved(written(probe, 0, "attn_out")))
        assert torch.equal(back.probe.logits(h), probe.logits(h)) and (back.layer, back.site) == (0, "attn_out")
    assert written(probe, 0, "resid_post")["probe"].shape == (1, WIDTH, 8, 8, 3)


def test_opened_probes_stand_beside_the_models_own(context: Context, place: str) -> None:
    room = open_room(context, place)
    own = make_probe("linear").take({"weights": torch.randn(3, 64, WIDTH)})
    mine = set_for(room.fingerprint)
    mine.add("linear", 1, "parity", own, accuracy=0.5, macro_f1=0.5, seconds=1.0, parameters=1)
    PROBE_SETS.save(PROBE_SETS.own() / room.fingerprint, mine.arrays, mine.manifest)
    theirs = written(own, 1, "resid_post")
    files = files_of(("Linear 1.pth", theirs), ("tpr_l0.pt", tpr(layer=0)))
    opened: ProbesOpened = OpenProbes.answer_from(context.perform(OpenProbes(place, files=files)))
    assert opened.name == "opened-linear-1" and "Opened 2 probes" in opened.sentence
    assert opened_sets(room.fingerprint) == (opened.name,) and "linear" in set_for(room.fingerprint).rows[0]["kind"]
    figures: ModelFigures = OthelloFacts.answer_from(context.perform(OthelloFacts(place, probes=opened.name)))
    assert figures.facts.sets == (opened.name,) and figures.facts.probes == opened.name
    linear = next(r for r in figures.probes if r.title == "linear")
    assert linear.cosine == pytest.approx(1.0, abs=1e-5) and linear.own == 0.5 and linear.accuracy < 0.9
    assert [r.title for r in figures.probes] == ["linear", "TPR, 5 × 2"] and figures.role_dims == ((5, "tpr"),)
    assert probe_titles(figures) == PROBES | {"tpr": "TPR, 5 × 2"}
    assert probe_titles(OthelloFacts.answer_from(context.perform(OthelloFacts(place)))) == PROBES
    at = {"source": place, "moves": MOVES, "ply": 5}
    reading = context.perform(OthelloReading(**at, layer=1, probes=opened.name)).data
    assert reading["right"].keys() == {"linear"} and "Linear 1.pth" in reading["missing"]["tpr"]
    bound = OthelloBinding.answer_from(context.perform(OthelloBinding(**at, layer=0, probes=opened.name)))
    assert bound.binding.shape == (5, 2)
    again: ProbesOpened = OpenProbes.answer_from(context.perform(OpenProbes(place, files=files)))
    assert again.name == "opened-linear-1-2"


@pytest.mark.parametrize("site", ["resid_mid", "resid_pre", "attn_out", "mlp_out"])
def test_any_place_of_a_block_is_read_and_edited(context: Context, place: str, site: str) -> None:
    loaded = open_room(context, place).loaded
    ids = torch.tensor([[token_of(m) for m in MOVES]])
    block: Any = loaded.model
    post, _ = read(loaded, ids)
    got, _ = read(loaded, ids, site)
    with torch.no_grad():
        block = block.transformer.h[1]
        attended = block.attn(block.ln_1(post[0]))[0]
        middle = post[0] + attended
        known = {
            "resid_pre": post[0],
            "attn_out": attended,
            "resid_mid": middle,
            "mlp_out": block.mlp(block.ln_2(middle)),
        }
    torch.testing.assert_close(got[1], known[site], atol=1e-5, rtol=1e-4)
    # After the first block and before the second is one place; each other edit ends in the stream as well.
    vector = torch.randn(1, WIDTH)
    edited = run_edited(loaded, MOVES, {1: vector}, site)
    torch.testing.assert_close(edited.residual[0, 1], known[site][0, -1] + vector[0], atol=1e-4, rtol=1e-4)
    same = {"resid_pre": (0, "resid_post"), "attn_out": (1, "resid_mid"), "mlp_out": (1, "resid_post")}.get(site)
    if same is not None:
        other = run_edited(loaded, MOVES, {same[0]: vector}, same[1])
        torch.testing.assert_close(edited.logits, other.logits, atol=1e-5, rtol=1e-4)
    plain = run_edited(loaded, MOVES, {}, site)
    assert not torch.allclose(edited.logits, plain.logits)


def test_an_edit_of_absolute_length_at_another_place(context: Context, place: str) -> None:
    files = files_of(("mid.pt", tpr(activation_name="hook_resid_mid")))
    name = OpenProbes.answer_from(context.perform(OpenProbes(place, files=files))).name
    question = {"source": place, "moves": MOVES, "ply": 5, "edits": ((1, 0),), "first": 1, "probes": name}
    edit = OthelloEdit.answer_from(context.perform(OthelloEdit(**question, scale=2.0, unit="absolute")))
    stream = OthelloEdit.answer_from(context.perform(OthelloEdit(**question, scale=2.0)))
    assert edit.unit == (1.0, 1.0) and stream.unit != edit.unit and not np.allclose(edit.after, stream.after)
    best = OthelloEdit.answer_from(context.perform(OthelloEdit(**question, choose="best", unit="absolute")))
    assert 0.25 <= best.scale <= 2.5


@pytest.mark.parametrize(
    ("files", "word"),
    [
        ((), "at least one file"),
        ((("a.pt", b"PK\x03\x04 cut"),), "damaged"),
        ((("a.pt", b"no file at all"),), "neither PyTorch nor safetensors"),
        ((("a.pt", pickle.dumps(Path("x"))),), "neither PyTorch nor safetensors"),
        ((("a.pt", {"probe": torch.zeros(1, WIDTH, 8, 8, 3), "config": Path("x"), "layer": 0}),), "Python objects"),
        ((("a.pt", {"weights": torch.zeros(3)}),), "holds no probe of the board"),
        ((("a.pt", torch.zeros(1, WIDTH, 8, 8, 2)),), r"\(modes, width, 8, 8, 3\)"),
        ((("a.pt", torch.full((1, WIDTH, 8, 8, 3), torch.nan)),), "not finite"),
        ((("a.pt", tpr(layer=-3)),), "no number of a block"),
        ((("a.pt", tpr(layer=7)),), "blocks 0 to 1"),
        ((("a.pt", tpr(activation_name="hook_q")),), "reads the site"),
        ((("a.pt", torch.zeros(1, WIDTH, 8, 8, 3)),), "does not say which block"),
        ((("l1.pt", torch.zeros(1, WIDTH + 1, 8, 8, 3)),), "probe of another model"),
        ((("a.pt", tpr()), ("b.pt", tpr())), "second tpr probe of block 1"),
        ((("a.pt", tpr()), ("b.pt", tpr(layer=0, activation_name="hook_mlp_out"))), "different places"),
        ((("a.safetensors", b"\xff" * 40),), "a.safetensors"),
    ],
)
def test_files_that_hold_no_such_probe_are_refused_in_a_sentence(
    context: Context, place: str, files: Any, word: str
) -> None:
    with pytest.raises(UserError, match=word) as error:
        context.perform(OpenProbes(place, files=files_of(*files)))
    assert error.value.field == "probes" and error.value.message.endswith((".", "shows."))
    assert not list(PROBE_SETS.own().glob("opened-*"))


def test_tensors_that_do_not_fit_together_are_refused() -> None:
    wrong = tpr()
    wrong["probe_state_dict"]["role_embeddings"] = torch.zeros(8, 8, 4)
    with pytest.raises(UserError, match="do not fit together"):
        read_probe("a.pt", saved(wrong))
    del wrong["probe_state_dict"]["filler_embeddings"]
    with pytest.raises(UserError, match="lacks “filler_embeddings”"):
        read_probe("a.pt", saved(wrong))


def case(moves: tuple[int, ...] = MOVES, square: int = 1, colour: float | None = None) -> dict[str, Any]:
    disc = Board.start().after(moves).discs[square]
    return {
        "history": list(moves),
        "pos_int": square,
        "ori_color": {1: 2.0, 2: 0.0}[disc] if colour is None else colour,
    }


def test_cases_from_a_file_run_as_trials(context: Context, place: str) -> None:
    rows = [case(), case((19, 18), 19), case(MOVES[:4], 9)]
    opened = OpenCases.answer_from(context.perform(OpenCases("cases.json", json.dumps(rows))))
    assert opened.count == 3
    cases = read_cases(opened.key)
    for row, one in zip(rows, cases, strict=True):
        ((square, source, target),) = one.changes
        board = Board.start().after(one.moves)
        assert list(one.moves) == row["history"] and square == row["pos_int"] and target == 3 - source
        assert source == board.classes("parity")[square] and one.before == board.legal
    name = OpenProbes.answer_from(context.perform(OpenProbes(place, files=files_of(("a.pt", tpr()))))).name
    trials = OthelloTrials(place, first=1, given=opened.key, unit="absolute", probes=name)
    table = OthelloTrials.answer_from(context.perform(trials))
    assert table.settings.cases == 3 and "3 cases from a file" in table.caption and "0.25 to 2.5" in table.caption
    assert {r.cases for r in table.rows} == {3} and all(r.scale <= 2.5 for r in table.rows)


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (pickle.dumps([case()]), "is a pickle"),
        (b"{", "cannot be read as JSON"),
        (b"[]", "no list of cases"),
        (json.dumps([{"history": [19]}]).encode(), "lacks"),
        (json.dumps([case() | {"history": [0, 1]}]).encode(), "is no game"),
        (json.dumps([case() | {"history": [19] * 70}]).encode(), "1 to 59"),
        (json.dumps([case() | {"pos_int": 64}]).encode(), "square from 0 to 63"),
        (json.dumps([case() | {"ori_color": 1}]).encode(), "0 for white or 2"),
        (json.dumps([case() | {"pos_int": 63}]).encode(), "holds no disc"),
        (json.dumps([case(), case() | {"ori_color": 2.0 - case()["ori_color"]}]).encode(), "Case 1 of c.json"),
        (json.dumps([case()] * 5_001).encode(), "at most 5,000"),
        (b'[{"history": [19], "pos_int": 1e999, "ori_color": 0}]', "c.json"),
    ],
)
def test_files_that_hold_no_cases_are_refused_in_a_sentence(context: Context, body: bytes, word: str) -> None:
    with pytest.raises(UserError, match=word) as error:
        keep_cases("c.json", body)
    assert error.value.field == "given"


def test_cases_and_probes_that_are_gone_are_asked_for_again(context: Context, place: str) -> None:
    for key in ("../../etc", "0" * 16):
        with pytest.raises(UserError) as error:
            read_cases(key)
        assert error.value.field == "given"
    with pytest.raises(UserError, match="Open their files again"):
        context.perform(OthelloFacts(place, probes="opened-none"))
