"""Attention on the board and the game report, of the bundled model: their numbers are those of the Attention page and
of the page's own readings, and each control is what it says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from analysis.engine.context import Context
from analysis.engine.operation import Operation
from analysis.errors import UserError
from analysis.models.recording import LayerAttention, tapped
from analysis.models.spec import OTHELLO, ModelSpec
from analysis.othello.records import format_moves
from analysis.othello.squares import SQUARE_OF_TOKEN
from analysis.qk.ops.parts import AblateParts
from analysis.qk.ops.prompt import AttentionRow
from analysis.qk.ops.token import WritingHeads
from analysis.tpr.activations import whole_games
from analysis.tpr.answers.report import LEAST, lost_runs
from analysis.tpr.heads import GAMES, SEED, usual
from analysis.tpr.ops.edit import OthelloEdit
from analysis.tpr.ops.heads import EditedLooks, UsualLooks, WithoutHead
from analysis.tpr.ops.reading import OthelloReading
from analysis.tpr.ops.report import GameReport, UsualReport
from analysis.tpr.room import open_room
from components.othello import edited_heads, heads
from components.othello.course import lost_words
from components.othello.position import EditedPosition
from pages.othello.heads import look_after, square_of
from pages.othello.state import START, Game, OthelloState
from pages.state import read, write

SQUARE = 33
KEY = START.index(SQUARE)
GAME: dict[str, Any] = {"moves": START, "ply": 17, "layer": 3}
TEXT: dict[str, Any] = {"model": ModelSpec(OTHELLO), "text": format_moves(START, "rows"), "query": 16}
LOOKS = EditedLooks(**GAME, edits=((SQUARE, 1),), first=1, scale=0.75)


@pytest.fixture(scope="module")
def context() -> Context:
    context = Context()
    UsualLooks(ply=17).run(context)
    return context


def ask(operation: Operation[Any], context: Context) -> Any:
    return operation.answer_from(operation.result(context))


def test_a_row_on_the_board_is_that_of_the_attention_page(context: Context) -> None:
    usual_looks = ask(UsualLooks(ply=17), context)
    of_heads = ask(WritingHeads(**TEXT, key=KEY), context)
    ranked = heads.lookers(of_heads, usual_looks)
    assert [r.attention for r in ranked] == sorted(of_heads.attention.ravel().tolist(), reverse=True)
    first = ranked[0]
    row = ask(AttentionRow(**TEXT, key=KEY, layer=first.block, head=first.head), context)
    assert first.attention == pytest.approx(float(row.attention[KEY]), abs=1e-6)
    looking = heads.Looking(START, 17, square=SQUARE, block=first.block, head=first.head)
    board = heads.row_board(row, usual_looks, looking)
    assert board["heat"] == [round(float(row.attention[START.index(s)]), 4) if s in START else None for s in range(64)]
    assert board["selected"] == [SQUARE] and f"move {KEY + 1}" in board["labels"][SQUARE]
    assert f"{row.attention[KEY]:.1%}" in heads.of_look(row, usual_looks, looking).text


def test_what_is_usual_is_the_mean_over_random_games(context: Context) -> None:
    room = open_room(context, "bundled")
    found, answer = usual(room), ask(UsualLooks(ply=9), context)
    ids = torch.from_numpy(whole_games(GAMES, SEED).tokens[:, :9].astype(np.int64))
    records: list[LayerAttention] = []
    with tapped(lambda record, _output: records.append(record)):
        room.loaded.forward(ids)
    for record in records:
        weights = record.weights()[:, :, 8]  # causal: what follows the ninth move changes nothing
        assert np.allclose(answer.mean[record.layer], weights.mean(0).numpy(), atol=1e-3)
        assert (np.abs(answer.high[record.layer] - weights.sort(0).values[59].numpy()) < 1e-3).all()
        mine = torch.einsum("ght,ghtw->ghw", weights, record.values.float()).mean(0)
        assert torch.allclose(found.outputs[record.layer][8], mine, atol=1e-4)


@pytest.mark.parametrize("baseline", ["mean", "zero"])
def test_a_head_is_taken_out_as_on_the_attention_page(baseline: str, context: Context) -> None:
    ablated = ask(AblateParts(**TEXT, baseline=baseline), context)
    removal = ask(WithoutHead(**GAME, block=3, head=0, baseline=baseline, seed=3), context)
    for one in (removal, *removal.others):
        assert one.kl == pytest.approx(float(ablated.heads_kl[one.block, one.head]), rel=0.02, abs=1e-4)
    assert len({(one.block, one.head) for one in removal.others} - {(3, 0)}) == len(removal.others) == 9
    reading = ask(OthelloReading(**GAME), context)
    assert np.allclose(removal.next_before, reading.next, atol=1e-5) and removal.games == 0
    assert np.allclose(removal.belief_before, reading.tpr, atol=1e-4)
    assert 64 - removal.wrong_before == reading.right["tpr"]
    assert removal.illegal_after == pytest.approx(1 - removal.next_after[list(removal.legal)].sum(), abs=1e-5)
    words = heads.removal_words(removal)
    assert f"→ {removal.illegal_after:.2%}" in words and heads.BASELINES[baseline] in words


def test_other_games_stand_in_for_a_head_unless_said_otherwise(context: Context) -> None:
    removal = ask(WithoutHead(**GAME, block=4, head=1), context)
    assert removal.baseline == "games" and removal.games == GAMES and removal.layer == 4  # not read before the head
    assert "64 random games" in heads.removal_words(removal)
    assert "Of 9 other heads" in heads.of_removal(removal).text
    for settings, field in (({"block": 99}, "head"), ({"head": 99}, "head"), ({"ply": 1}, "ply")):
        with pytest.raises(UserError) as caught:
            ask(WithoutHead(**GAME | settings), context)
        assert caught.value.field == field


def test_what_heads_read_of_an_edit_begins_with_the_attention_page(context: Context) -> None:
    edit, of_heads = ask(LOOKS, context), ask(WritingHeads(**TEXT, key=KEY), context)
    assert np.allclose(edit.before, of_heads.attention, atol=1e-5)
    assert np.allclose(edit.share_before, of_heads.weighted, atol=1e-4)
    assert edit.squares == (SQUARE,) and edit.unplayed == () and edit.random.shape == edit.wrong.shape == (20, 6, 4)
    # Added after block 1, no edit is seen before block 2.
    for part in (edit.after[None], edit.random, edit.wrong):
        assert np.allclose(part[:, :2], edit.before[:2], atol=1e-6) and np.ptp(part[:, 2:] - edit.before[2:]) > 1e-3
    assert not edited_heads.beyond(edit)[:2].any() and not edited_heads.movable(edit)[:2].any()
    # Where no head goes beyond the controls, the one that changes most is named, and that none does.
    still = replace(edit, wrong=edit.wrong + 1.0)
    changes = np.abs(edit.after - edit.before)
    assert edited_heads.furthest(still) == np.unravel_index(changes.argmax(), changes.shape)
    shown = edited_heads.edited_looks(still, EditedPosition(START, 17, edits=((SQUARE, 1),)), "light")
    assert "No head goes beyond" in shown.caption and not shown.figure["layout"]["shapes"]
    assert edit.scale == 0.75 and edit.blocks == (1, 2, 3, 4, 5)
    best = ask(replace(LOOKS, choose="best"), context)
    assert best.scale == ask(OthelloEdit(**GAME, edits=((SQUARE, 1),), first=1, choose="best"), context).scale
    empty = ask(replace(LOOKS, edits=((0, 1),)), context)
    drawing = edited_heads.edited_looks(empty, EditedPosition(START, 17, edits=((0, 1),)), "light")
    assert empty.unplayed == (0,) and "Nobody has played A1" in drawing.caption and drawing.control is None


def test_a_report_is_the_readings_of_all_plies(context: Context) -> None:
    report = ask(GameReport(**GAME), context)
    for ply in (1, 9, 17):
        reading = ask(OthelloReading(moves=START, ply=ply, layer=3), context)
        assert report.illegal[ply - 1] == pytest.approx(reading.illegal_mass, abs=1e-5)
        assert report.wrong[ply - 1] == 64 - reading.right["tpr"]
        assert report.first[ply - 1] == (int(reading.next.argmax()) not in reading.legal)


def test_random_games_are_reported_as_a_game_is(context: Context) -> None:
    usual_report = ask(UsualReport(games=20, seed=5), context)
    drawn = [tuple(SQUARE_OF_TOKEN[row].tolist()) for row in whole_games(20, 5).tokens]
    own = [ask(GameReport(moves=moves, ply=1, layer=3), context) for moves in drawn]
    for points, name in ((usual_report.illegal, "illegal"), (usual_report.wrong[3], "wrong")):
        values = np.stack([getattr(one, name) for one in own])
        assert np.allclose(points, np.quantile(values, (0.05, 0.5, 0.95), axis=0), atol=1e-4)
    lost = [bool(lost_runs(one.wrong, usual_report.wrong[3, 2])) for one in own]
    assert usual_report.lost[3] == pytest.approx(np.mean(lost))


def test_a_board_is_lost_after_three_plies_beyond_random_games() -> None:
    high = np.array([0, 0, 5, 5, 5, 5, 5, 5, 5])
    wrong = np.array([1, 2, 6, 6, 5, 6, 6, 7, 9])
    assert lost_runs(wrong, high) == ((6, 9),)
    assert lost_runs(np.full(4, LEAST - 1), np.zeros(4)) == ()
    assert lost_runs(np.full(3, LEAST), np.zeros(9)) == ((1, 3),)
    assert lost_words(((6, 9),), START[:9]).endswith("from ply 6 (C5) to the end.")
    assert "does not lose" in lost_words((), START)


def test_a_press_on_a_square_or_a_head_is_kept_in_the_address() -> None:
    game = Game(START, 17)
    look = look_after([], {"kind": "square", "square": SQUARE}, game)
    look = look_after(look, {"kind": "head", "block": 3, "head": 1}, game)
    assert look == [SQUARE, 3, 1] and look_after([], {"kind": "head", "block": 3, "head": 1}, game) == [-1, 3, 1]
    assert square_of(look, game) == SQUARE
    assert square_of(look, Game(START, KEY)) == START[KEY - 2], "not played yet at this ply"
    for square, why in ((27, "filled from the start"), (0, "no move yet")):
        with pytest.raises(UserError, match=why):
            look_after(look, {"kind": "square", "square": square}, game)
    state = OthelloState(tab="attention", look=tuple(look))
    assert read(OthelloState, write(state)) == state
    for bad in ("[64]", "[1,2]", "[3,-1,0]", "{", '{"other":1}', "[true]"):
        found = read(OthelloState, {"look": bad})
        assert found.look == () and len(found.problems) == 1
