"""What comes with Attune is what its manifest says: weights, probes, figures, stories."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis.engine.context import Context
from analysis.engine.memory import Memory
from analysis.engine.store import ResultStore
from analysis.models.capabilities import recorded_attention
from analysis.models.loader import load_model
from analysis.othello.board import Board
from analysis.othello.games import random_games
from analysis.othello.legality import legality
from analysis.tpr.activations import collect
from analysis.tpr.answers.edit import Story
from analysis.tpr.editing import edit_position
from analysis.tpr.figures import figures_of
from analysis.tpr.library import DEFAULT_KINDS, PAGE_KINDS
from analysis.tpr.ops.reading import FitProbes, OthelloFacts, OthelloReading
from analysis.tpr.room import Room, open_room, read_game
from analysis.tpr.stories import STORIES, story_of


@pytest.fixture(scope="module")
def context() -> Context:
    return Context()


@pytest.fixture(scope="module")
def room(context: Context) -> Room:
    return open_room(context, "bundled")


def test_every_block_has_its_probes(room: Room) -> None:
    assert room.probes.model == room.fingerprint
    for layer in range(room.layers):
        assert all(room.probes.find(kind, layer) for kind in DEFAULT_KINDS)
        assert all(room.probes.find(kind, layer, "mover") for kind in PAGE_KINDS)


def test_the_kept_figures_are_found_again_on_other_games(room: Room) -> None:
    play = room.probes.manifest["play"]
    again = legality(room.loaded.model, random_games(60, 123))
    assert again.illegal == pytest.approx(play["illegal"], abs=0.008)
    assert again.loss - again.floor == pytest.approx(play["loss"] - play["floor"], abs=0.03)
    boards = collect(room.loaded, 20, 321, [room.headline])
    for kind in PAGE_KINDS:
        row = room.probes.find(kind, room.headline)
        assert row is not None
        found = room.probes.probe(kind, room.headline).accuracy(boards.layer(room.headline), boards.labels())
        assert found == pytest.approx(row["accuracy"], abs=0.02)
        assert row["accuracy"] > room.probes.manifest["constant"] + 0.2


def test_controls_fall_behind_the_edits(room: Room) -> None:
    rows = {(r["method"], r["choice"][:5]): r for r in room.probes.manifest["edits"]["rows"]}
    for method in ("tpr", "linear", "linear-minus"):
        assert rows[method, "fixed"]["high"] < rows["random", "fixed"]["low"] < rows["random", "fixed"]["null"] + 1
        assert rows[method, "fixed"]["high"] < rows["wrong-square", "fixed"]["low"]


def test_the_figures_say_what_the_model_was_told(room: Room) -> None:
    figures = figures_of(room)
    assert any("has been told the legal set" in line for line in figures.words)
    assert figures.training is not None and list(figures.training.games) == sorted(figures.training.games)
    assert {t.settings.squares for t in figures.edits_by_squares} == {1, 2, 3, 4}


@pytest.mark.parametrize("name", STORIES)
def test_stories_are_legal_positions(room: Room, name: str) -> None:
    story = story_of(room, name, Memory())
    board = Board.start().after(story.moves[: story.ply])
    assert "random games" in story.criterion and 0 <= story.layer < room.layers
    if name == "pass":
        assert board.classes("parity") != board.classes("mover")


def test_a_story_counts_what_the_boards_show(context: Context, room: Room) -> None:
    def right(story: Story, layer: int, labels: str = "parity") -> int:
        question = OthelloReading("bundled", story.moves, story.ply, layer, labels)
        return OthelloReading.answer_from(context.perform(question)).right["tpr"]

    line, change, turn = (story_of(room, name, Memory()) for name in STORIES)
    assert not Board.start().after(line.moves).passes and len(line.squares) >= 3
    assert f"reads {64 - right(line, line.layer)} squares of the board wrongly" in line.text
    assert f"{64 - right(line, line.layer + 1)} squares elsewhere are wrong" in line.text
    game = read_game(Memory(), room, change.moves)
    edit = edit_position(room, game, change.ply - 1, change.edits, scale=change.scale or 0.0)
    assert edit.errors_after == 0 and f"Wrong predictions: {edit.null} without the edit" in change.text
    by_parity, by_mover = (right(turn, turn.layer, labels) for labels in ("parity", "mover"))
    assert f"{by_parity} of 64 squares right by parity, {by_mover} by the true mover" in turn.text
    assert f"wins by {abs(by_parity - by_mover)}" in turn.text


def test_a_fit_on_the_page_drops_what_was_measured_with_the_old_probes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: Room
) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    context = Context(store=ResultStore(tmp_path / "results"))
    before = context.perform(OthelloFacts()).data
    assert before["edits"] and before["edits_by_squares"]
    fitted = context.perform(FitProbes(games=100, first=3, last=3))
    assert "Fitted 3 probes on 100 games" in fitted.data["sentence"]
    assert context.store.has(fitted.key)
    (tmp_path / fitted.files[0]).unlink()  # deleted, the probes are not said to be fitted
    assert not context.store.has(fitted.key)
    after = context.perform(OthelloFacts()).data
    assert (
        after["edits"] is None and after["edits_by_squares"] == [] and "100 or 2,000 games" in after["accuracy_caption"]
    )
    assert len(after["probes"]) == len(before["probes"]) and after["play"]["games"] == 200
    assert room.probes.manifest["edits"]  # the bundled set itself is as it was


def test_it_opens_on_the_pages_of_language_models() -> None:
    loaded = load_model("othello")
    assert (loaded.facts.recording_error or 0.0) < 1e-4 and loaded.facts.dtype == "float32"
    assert recorded_attention(loaded.facts).works
    assert loaded.tokenizer("C4 C3")["input_ids"] == [20, 19]
