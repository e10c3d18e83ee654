"""The Othello page without a browser: its address, the moves, the words."""

from __future__ import annotations

from typing import Any

import pytest

from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.records import parse_moves
from pages.othello.edit import edited, edited_classes, said
from pages.othello.figures import edit_table, probe_table
from pages.othello.play import changed, play_labels, played, status
from pages.othello.reading import colour_just_moved, nothing, truth_words
from pages.othello.state import START, View, read_address
from pages.presses import settle

MOVES = parse_moves(START)


def test_an_empty_address_opens_on_a_legal_game() -> None:
    view = read_address({})
    assert view.moves == MOVES and view.ply == len(MOVES) and view.problems == [] and view.layer is None


def test_an_address_is_read_back() -> None:
    query = {"othello": "owner/name", "moves": START[:12], "ply": "3", "layer": "2", "labels": "mover"}
    view = read_address({**query, "probe": "trilinear", "edits": "[[19,2],[20,0]]", "tab": "edit"})
    assert view == View("owner/name", MOVES[:6], 3, 2, "mover", "trilinear", [[19, 2], [20, 0]], "edit", [])
    assert read_address({"moves": " "}).moves == () and read_address({"moves": " "}).ply == 0


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ({"moves": "A1"}, "game in the address"),
        ({"moves": "<script>"}, "game in the address"),
        ({"ply": "99"}, "ply"),
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
    assert len(view.problems) == 1 and word in view.problems[0]
    assert view.moves == MOVES and len(view.edits) <= 4 and view.source == "bundled"


def test_moves_keep_or_cut_the_line() -> None:
    game = {"moves": list(MOVES), "ply": 3}
    assert played(game, MOVES[3]) == {"moves": list(MOVES), "ply": 4}
    other = next(s for s in Board.start().after(MOVES[:3]).legal if s != MOVES[3])
    assert played(game, other) == {"moves": [*MOVES[:3], other], "ply": 4}
    with pytest.raises(UserError, match="already has a disc"):
        played(game, 27)


def press(game: dict, kind: str, shares: list[float] | None = None, **said: Any) -> dict:
    return changed(game, {"kind": kind, "n": 1, "seed": 3, **said}, lambda _: shares, lambda _: None)


def test_buttons() -> None:
    game = {"moves": list(MOVES), "ply": 5}
    assert press(game, "first")["ply"] == 0 and press(game, "last")["ply"] == len(MOVES)
    assert press(game, "undo")["ply"] == 4 and press(game, "redo")["ply"] == 6
    assert press(game, "ply", ply=99)["ply"] == len(MOVES) and press(game, "clear") == {"moves": [], "ply": 0}
    after = press(game, "end")
    assert after["moves"][:5] == list(MOVES[:5]) and Board.start().after(tuple(after["moves"])).over
    assert press(game, "end") == after, "asked again, a press is the same press"
    assert press(game, "end", seed=4) != after
    one = press(game, "random")
    assert one["ply"] == 6 and len(one["moves"]) == 6
    assert press(game, "paste", text="f5d6c3", notation="rows")["ply"] == 3
    with pytest.raises(UserError, match="at least one move"):
        press({"moves": [], "ply": 0}, "best", [0.0] * 64)
    with pytest.raises(UserError, match="not answered"):
        press(game, "best", None)
    shares = [0.0] * 64
    best = Board.start().after(MOVES[:5]).legal[-1]
    shares[best], shares[0] = 0.5, 0.9  # the likeliest square of all is not legal
    assert press(game, "best", shares)["moves"][5] == best
    over = {"moves": after["moves"], "ply": len(after["moves"])}
    with pytest.raises(UserError, match="over"):
        press(over, "random")


def test_all_presses_that_wait_are_answered_in_their_order() -> None:
    game = {"moves": list(MOVES), "ply": 5}

    def ask(*kinds: str) -> tuple[dict, UserError | None]:
        asked = {"state": game, "list": [{"n": n, "kind": k, "seed": n} for n, k in enumerate(kinds, 4)]}
        return settle(asked, lambda now, what: changed(now, what, lambda _: None, lambda _: None))

    done, refused = ask("undo", "undo", "redo", "redo", "redo")
    assert done == {"to": 8, "from": game, "state": {"moves": list(MOVES), "ply": 6}} and refused is None
    done, refused = ask("first", "best", "redo")  # what is refused in between changes nothing, and is past
    assert done["state"]["ply"] == 1 and refused is None
    done, refused = ask("end", "random")
    assert refused is not None and "over" in refused.message and Board.start().after(tuple(done["state"]["moves"])).over


def test_edits_pressed_quickly_are_all_taken_in() -> None:
    game = {"moves": list(MOVES), "ply": 5}
    squares = [s for s, c in enumerate(Board.start().after(MOVES[:5]).classes("parity")) if c == 0][:5]
    edits: list = []
    for square in squares[:4]:
        edits, said = edited(edits, {"kind": "square", "square": square}, game, "parity")
        assert not said
    assert [e[0] for e in edits] == squares[:4]
    with pytest.raises(UserError, match="At most four"):
        edited(edits, {"kind": "square", "square": squares[4]}, game, "parity")
    assert edited(edits, {"kind": "clear"}, game, "parity") == ([], "")
    with pytest.raises(UserError):
        edited([], {"kind": "square", "square": 0}, {"moves": [], "ply": 0}, "parity")


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
    assert edited_classes(board, ((square, 0),), "parity")[square] == 0
    assert len(nothing(board, "why")) == 13


def test_an_edit_is_said_in_words() -> None:
    data = {
        "legal_after": [1, 2], "null": 3, "errors_after": 1, "scale": 2.0, "false_positives": [5],
        "false_negatives": [], "side_before": "white", "side_after": "white",
    }  # fmt: skip

    def text(**more: Any) -> str:
        return "".join(p if isinstance(p, str) else str(p.children) for p in said({**data, **more}))

    same, turned = text(), text(side_after="black")
    assert "A2, A3" in same and "Errors 3 without the edit, 1 with it" in same and "1 % or more to A6" in same
    assert "White moves on the edited board." in same
    assert "Black moves on the edited board (on the real board white)." in turned


def test_tables_hold_every_row() -> None:
    def table(squares: int, mean: float) -> dict:
        rows = [
            {"method": "tpr", "title": "TPR", "choice": choice, "mean": value, "null": 9.0}
            for choice, value in (("fixed, from other cases", mean), ("best for each case", mean / 2))
        ]
        return {"rows": rows, "perfect": 1.5, "settings": {"squares": squares}}

    found = str(edit_table([table(1, 4.0), table(2, 6.0)]))
    assert "4.00 (best 2.00)" in found and "6.00 (best 3.00)" in found and "9.00" in found and "1.50" in found
    assert edit_table([]) is None
    row = {"title": "linear", "layer": 2, "labels": "parity", "parameters": 24576, "accuracy": 0.9, "macro_f1": 0.8}
    assert "24,576" in str(probe_table([{**row, "seconds": 3.0}])) and "no probes" in str(probe_table([]))
