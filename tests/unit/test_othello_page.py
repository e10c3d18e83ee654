"""The Othello page without a browser: its address, the moves, the words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.tpr.answers.edit import PositionEdit, Story, TrialRow, TrialSettings, TrialTable
from analysis.tpr.answers.model import ProbeRow
from components.othello.position import classes_with, colour_just_moved, truth_words
from pages.othello.edit import edit_words, edits_after
from pages.othello.figures import edit_table, probe_table
from pages.othello.play import game_after, play_labels, status, with_move
from pages.othello.reading import no_reading
from pages.othello.state import START as MOVES
from pages.othello.state import Game, OthelloState, text_of
from pages.othello.stories import story_words
from pages.othello.trials import table as trial_table
from pages.presses import settle
from pages.state import read


def read_address(query: dict[str, str]) -> OthelloState:
    return read(OthelloState, query)


def test_an_empty_address_opens_on_a_legal_game() -> None:
    view = read_address({})
    assert view.game == Game(MOVES, len(MOVES)) and view.refusals == () and view.layer is None


def test_an_address_is_read_back() -> None:
    query = {"othello": "owner/name", "moves": text_of(MOVES[:6]), "ply": "3", "layer": "2", "labels": "mover"}
    view = read_address({**query, "probe": "trilinear", "edits": "[[19,2],[20,0]]", "tab": "edit"})
    assert view == OthelloState("owner/name", MOVES[:6], 3, 2, "mover", "trilinear", ((19, 2), (20, 0)), "edit")
    assert view.game == Game(MOVES[:6], 3) and read_address({"moves": " "}).game == Game()


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"moves": "A1"}, "game in the address"),
        ({"moves": "<script>"}, "game in the address"),
        ({"ply": "99"}, "ply"),
        ({"ply": "40"}, "ply as '40'; it must be 0 to 17"),
        ({"ply": "x"}, "ply"),
        ({"layer": "-1"}, "layer"),
        ({"labels": "colour"}, "labels"),
        ({"tab": "../"}, "tab"),
        ({"probe": "linear"}, "probe"),
        ({"edits": "[[64,1]]"}, "edits"),
        ({"edits": "[[1,2],[1,0]]"}, "edits"),
        ({"edits": "{"}, "edits"),
        ({"edits": "[[0,1],[1,1],[2,1],[3,1],[4,1]]"}, "edits"),
        ({"othello": "a b"}, ""),
    ],
)
def test_what_an_address_cannot_say_is_left_out_and_named(query: dict, word: str) -> None:
    view = read_address(query)
    assert len(view.refusals) == 1 and word in view.refusals[0]
    assert view.game == Game(MOVES, len(MOVES)) and len(view.edits) <= 4 and view.source == "bundled"


@pytest.mark.parametrize(
    ("edits", "usable"),
    [
        ("[[19,2],[64,1],[20,0]]", ((19, 2), (20, 0))),
        ("[[19,2],[20,true]]", ((19, 2),)),
        ("[[1,2],[1,0]]", ((1, 0),)),
        ("[[0,1],[1,1],[2,1],[3,1],[4,1]]", ((0, 1), (1, 1), (2, 1), (3, 1))),
        ("{", ()),
        ("7", ()),
    ],
)
def test_edits_of_an_address_that_can_be_used_stay_where_others_cannot(edits: str, usable: tuple) -> None:
    view = read_address({"edits": edits})
    assert view.edits == usable and len(view.refusals) == 1 and "Not all edits" in view.refusals[0]


def test_moves_keep_or_cut_the_line() -> None:
    game = Game(MOVES, 3)
    assert with_move(game, MOVES[3]) == Game(MOVES, 4)
    other = next(s for s in Board.start().after(MOVES[:3]).legal if s != MOVES[3])
    assert with_move(game, other) == Game((*MOVES[:3], other), 4)
    with pytest.raises(UserError, match="already has a disc"):
        with_move(game, 27)


def press(game: Game, kind: str, shares: list[float] | None = None, **said: Any) -> Game:
    return game_after(game, {"kind": kind, "n": 1, "seed": 3, **said}, lambda _: shares, lambda _: None)


def test_buttons() -> None:
    game = Game(MOVES, 5)
    assert press(game, "first").ply == 0 and press(game, "last").ply == len(MOVES)
    assert press(game, "undo").ply == 4 and press(game, "redo").ply == 6
    assert press(game, "ply", ply=99).ply == len(MOVES) and press(game, "clear") == Game()
    after = press(game, "end")
    assert after.moves[:5] == MOVES[:5] and Board.start().after(after.moves).over
    assert press(game, "end") == after, "asked again, a press is the same press"
    assert press(game, "end", seed=4) != after
    one = press(game, "random")
    assert one.ply == 6 and len(one.moves) == 6
    assert press(game, "paste", text="f5d6c3", notation="rows").ply == 3
    with pytest.raises(UserError, match="at least one move"):
        press(Game(), "best", [0.0] * 64)
    with pytest.raises(UserError, match="not answered"):
        press(game, "best", None)
    shares = [0.0] * 64
    best = Board.start().after(MOVES[:5]).legal[-1]
    shares[best], shares[0] = 0.5, 0.9  # the likeliest square of all is not legal
    assert press(game, "best", shares).moves[5] == best
    over = Game(after.moves, len(after.moves))
    with pytest.raises(UserError, match="over"):
        press(over, "random")


def test_all_presses_that_wait_are_answered_in_their_order() -> None:
    game = Game(MOVES, 5).to_dict()
    assert game == {"moves": list(MOVES), "ply": 5} and Game.from_dict(game) == Game(MOVES, 5)

    def ask(*kinds: str) -> tuple[dict, UserError | None]:
        asked = {"state": game, "list": [{"n": n, "kind": k, "seed": n} for n, k in enumerate(kinds, 4)]}
        return settle(
            asked, lambda now, what: game_after(Game.from_dict(now), what, lambda _: None, lambda _: None).to_dict()
        )

    done, refused = ask("undo", "undo", "redo", "redo", "redo")
    assert done == {"to": 8, "from": game, "state": {"moves": list(MOVES), "ply": 6}} and refused is None
    done, refused = ask("first", "best", "redo")  # what is refused in between changes nothing, and is past
    assert done["state"]["ply"] == 1 and refused is None
    done, refused = ask("end", "random")
    assert refused is not None and "over" in refused.message and Board.start().after(tuple(done["state"]["moves"])).over


def test_edits_pressed_quickly_are_all_taken_in() -> None:
    game = Game(MOVES, 5)
    squares = [s for s, c in enumerate(Board.start().after(MOVES[:5]).classes("parity")) if c == 0][:5]
    edits: tuple[tuple[int, int], ...] = ()
    for square in squares[:4]:
        edits, said = edits_after(edits, {"kind": "square", "square": square}, game, "parity")
        assert not said
    assert [e[0] for e in edits] == squares[:4]
    with pytest.raises(UserError, match="At most four"):
        edits_after(edits, {"kind": "square", "square": squares[4]}, game, "parity")
    assert edits_after(edits, {"kind": "clear"}, game, "parity") == ((), "")
    with pytest.raises(UserError):
        edits_after((), {"kind": "square", "square": 0}, Game(), "parity")


def test_the_status_tells_of_turns_passes_and_ends() -> None:
    assert status(Board.start(), 0).startswith("The start: Black to move, 4 legal moves")
    board = Board.start()
    told = False
    from analysis.othello.games import random_games
    from analysis.othello.squares import SQUARE_OF_TOKEN

    for row in random_games(60, 5).tokens:
        board = Board.start()
        for token in row[row > 0]:
            board = board.play(int(SQUARE_OF_TOKEN[token]))
            text = status(board, 60)
            passing = not board.over and board.just_moved == board.side
            assert ("must pass" in text) == passing and ("is over" in text) == board.over
            told = told or passing
    assert told
    words = play_labels(Board.start().after(MOVES))
    assert len(words) == 64 and sum("legal" in w for w in words) == len(Board.start().after(MOVES).legal)


def test_colours_follow_the_labels() -> None:
    board = Board.start().after(MOVES)
    first = colour_just_moved(board, "parity")
    assert first == colour_just_moved(board, "mover") == (1 if board.just_moved == "black" else 2)
    assert "says the opposite" not in truth_words(board, "parity")
    classes = board.classes()
    square = classes.index(1)
    assert classes_with(board, ((square, 0),), "parity")[square] == 0
    assert no_reading(board, "why")["words"] == "why"


def test_an_edit_is_said_in_words() -> None:
    def text(side_after: str, unit: tuple[float, ...] = (), method: str = "tpr") -> str:
        edit = PositionEdit(
            scale=2.0, unit=unit, layers=(1, 2) if unit else (), legal_before=(), legal_after=(1, 2),
            side_before="white", side_after=side_after, null=3, errors_after=1, false_positives=(5,),
            false_negatives=(), repair=(),
            **dict.fromkeys(("before", "after", "beliefs", "clean", "crosstalk"), np.zeros(64)),
        )  # fmt: skip
        return "".join(p if isinstance(p, str) else str(p.children) for p in edit_words(edit, method))

    same, turned = text("white"), text("black")
    assert (
        "A2, A3" in same and "Wrong predictions: 3 without the edit, 1 with it" in same and "1 % or more to A6" in same
    )
    assert "White moves on the edited board." in same
    assert "Black moves on the edited board (on the real board white)." in turned
    assert "scale 2)" in same
    assert "scale 2 tenths of the stream, length 20 to 80 after blocks 1 to 2)" in text("white", (5.0, 10.0, 40.0))
    assert "length 2 for each square after blocks 1 to 2)" in text("white", (1.0, 1.0, 1.0), "linear")


def test_a_story_says_how_it_was_found_and_leads_to_its_edit() -> None:
    plain = Story(MOVES, 5, "Told.", (), "parity", "binding", 0)
    assert "How it was found" not in str(story_words(plain)) and "data-leads" not in str(story_words(plain))
    words = str(story_words(replace(plain, edits=((1, 2),), tab="edit", criterion="The first of 60.")))
    assert "Told." in words and "The first of 60." in words and "data-tab='edit'" in words


def test_tables_hold_every_row() -> None:
    def table(squares: int, mean: float) -> TrialTable:
        rows = tuple(
            TrialRow("tpr", "TPR", choice, value, 0.0, 9.0, 9.0, 9.0, 0.5, 1.0, 1.0, 200)
            for choice, value in (("fixed, from other cases", mean), ("best for each case", mean / 2))
        )
        return TrialTable(rows, 1.5, "", TrialSettings(200, squares, 44, "parity", (0, 1)))

    words = str(edit_table([table(1, 4.0), table(2, 6.0)]))
    assert "4.00 (best 2.00)" in words and "6.00 (best 3.00)" in words and "9.00" in words and "1.50" in words
    assert "'–'" in words, "what no model was measured for"
    assert edit_table([]) is None
    one = table(1, 4.0)
    assert "'–'" in str(trial_table(one)) and "3 to 6" in str(trial_table(replace(one, lengths=(3.0, 6.0))))
    row = ProbeRow("linear", 2, "parity", 24576, 0.9, 0.8, 3.0)
    assert "24,576" in str(probe_table([row])) and "no probes" in str(probe_table([]))
