"""Three positions worth showing, searched for in random games with this model, so that a story is never staged.

Each search goes through the games of one seed in their order and takes the first position that meets the story's
criterion, which is told with it; if none does within the games searched, the story says so instead of bending it. What
a story counts is what the page then shows: the crosses of the TPR probe's board, the wrong predictions of the edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.games import Labels
from analysis.othello.squares import CENTRE, SQUARE_OF_TOKEN, square_name
from analysis.progress import Check, no_check
from analysis.tpr.activations import whole_games
from analysis.tpr.answers.edit import Story
from analysis.tpr.editing import edit_position, fixed_scale
from analysis.tpr.library import measured
from analysis.tpr.room import Room, read_game

STORIES = ("line", "edit", "pass")
SEED = 50_000
GAMES = {"line": 300, "edit": 60, "pass": 60}
NEAR = 0.01
"""Probability that counts as predicted, as in the papers' metric of edits."""
LINE, LEFT = 3, 4
"""Discs of the diagonal at least, and squares that may be read wrongly when it has turned."""
BOTH: tuple[Labels, ...] = ("parity", "mover")
PROBE_TITLES = {"tpr": "TPR", "linear": "linear"}


def story_of(room: Room, story: str, memory: Memory, check: Check = no_check) -> Story:
    """A story for this model, remembered.

    Those of the bundled model were found when its probes were built; for another model the search takes up to a minute.

    Raises UserError(field="story") if no position of the searched games meets the criterion.
    """
    key = ("othello-story", room.fingerprint, room.probes.manifest.get("sha256"), story)
    bundled = (room.probes.manifest.get("stories") or {}).get(story)
    answer: Story | None = measured(Story, bundled) or memory.get(key)
    if answer is None:
        answer = {"line": _line, "edit": _edit, "pass": _pass}[story](room, memory, check)
        if answer is None:
            raise UserError(
                f"None of {GAMES[story]} random games has a position that meets the criterion of this story with this "
                "model.",
                "story",
            )
        memory.put(key, answer, 4096)
    return answer


def _games(story: str) -> Iterator[tuple[int, ...]]:
    for row in whole_games(GAMES[story], SEED).tokens:
        yield tuple(int(SQUARE_OF_TOKEN[t]) for t in row)


def _boards(moves: tuple[int, ...]) -> Iterator[Board]:
    """The boards after each move, from the first on."""
    board = Board.start()
    for move in moves:
        board = board.play(move)
        yield board


def _line(room: Room, memory: Memory, check: Check) -> Story | None:
    """A move that turns a diagonal, of which one block reads half wrong, and the next all right. Nobody passes in the
    game: after a pass the model reads the whole board by parity, and many squares would be wrong."""
    layers = room.probes.layers("tpr")
    for moves in _games("line"):
        check()
        boards = list(_boards(moves))
        turned = {n: _longest_diagonal(b.moves[-1], tuple(b.flipped)) for n, b in enumerate(boards) if 7 <= n < 55}
        turned = {n: diagonal for n, diagonal in turned.items() if len(diagonal) >= LINE}
        if boards[-1].passes or not turned:
            continue
        game = read_game(memory, room, moves)
        read = {n: np.asarray(room.probes.probe("tpr", n).predict(game.residual[n])) for n in layers}
        for row, diagonal in turned.items():
            truth = np.asarray(boards[row].classes("parity"))
            wrong = {n: [int(s) for s in np.flatnonzero(read[n][row] != truth)] for n in layers}
            for n in layers:
                missed = [s for s in diagonal if s in wrong[n]]
                then = wrong.get(n + 1)
                if then is None or 2 * len(missed) < len(diagonal) or len(then) > LEFT or set(then) & set(diagonal):
                    continue
                names = ", ".join(square_name(s) for s in diagonal)
                return Story(
                    moves,
                    row + 1,
                    f"{square_name(moves[row])} turns the outlined diagonal {names}. After block {n} the TPR probe "
                    f"reads {_count(len(wrong[n]))} of the board wrongly, {len(missed)} of them on this diagonal of "
                    f"{len(diagonal)}. Move the block slider to {n + 1}: the diagonal is read rightly, and "
                    f"{_count(len(then))} elsewhere {'is' if len(then) == 1 else 'are'} wrong.",
                    (),
                    "parity",
                    "binding",
                    n,
                    tuple(diagonal),
                    criterion=f"The first of {GAMES['line']} random games (seed {SEED:,}) in which nobody passes and a "
                    f"move turns {LINE} or more discs of one diagonal, at least half of them read wrongly by the TPR "
                    f"probe after a block, all rightly after the next, when at most {LEFT} squares are wrong.",
                )
    return None


def _count(squares: int) -> str:
    return f"{squares or 'no'} square{'' if squares == 1 else 's'}"


def _longest_diagonal(move: int, flipped: tuple[int, ...]) -> list[int]:
    best: list[int] = []
    for dr in (-1, 1):
        for dc in (-1, 1):
            r, c, run = move // 8 + dr, move % 8 + dc, []
            while 0 <= r < 8 and 0 <= c < 8 and 8 * r + c in flipped:
                run.append(8 * r + c)
                r, c = r + dr, c + dc
            best = max(best, run, key=len)
    return best


def _edit(room: Room, memory: Memory, check: Check) -> Story | None:
    """Flipping one square makes a move legal that was not, and the model follows with fixed scale."""
    scale = fixed_scale(room, "tpr")
    for moves in _games("edit"):
        check()
        game = read_game(memory, room, moves)
        for ply in range(12, 40, 3):
            board = Board.start().after(moves[:ply])
            classes = board.classes("parity")
            if classes != board.classes("mover"):
                continue
            for square in [s for s in range(64) if classes[s] and s not in CENTRE][:8]:
                change = (square, 3 - classes[square])
                edit = edit_position(room, game, ply - 1, [change], scale=scale)
                new = [s for s in edit.legal_after if s not in edit.legal_before]
                good = [s for s in new if edit.before[s] < NEAR and edit.after[s] > 5 * NEAR]
                if good and edit.errors_after == 0 and edit.null >= 2:
                    random, wrong = (
                        edit_position(room, game, ply - 1, [change], scale=scale, method=control).errors_after
                        for control in ("random", "wrong-square")
                    )
                    names = ", ".join(square_name(s) for s in good)
                    shares = " and ".join(f"{100 * edit.after[s]:.0f} %" for s in good)
                    verb, them = ("becomes", "it") if len(good) == 1 else ("become", "them")
                    return Story(
                        moves,
                        ply,
                        f"{square_name(square)} is given to the other side, inside the model only: see the edited "
                        f"board. {names} {verb} legal there, and the model, which gave {them} under 1 %, now gives "
                        f"{them} {shares}. Wrong predictions: {edit.null} without the edit, 0 with it; a random "
                        f"direction of that length leaves {random}, the same edit on a wrong square {wrong}.",
                        (change,),
                        "parity",
                        "edit",
                        room.headline,
                        (square, *good),
                        scale=scale,
                        criterion=f"The first of {GAMES['edit']} random games (seed {SEED:,}) in which turning one "
                        "disc at one scale, fixed on other cases, leaves no wrong prediction where there were two or "
                        "more, and takes a new legal move from under 1 % to over 5 %.",
                    )
    return None


def _pass(room: Room, memory: Memory, check: Check) -> Story | None:
    """The first position after a forced pass on which parity and the real mover differ, as early in a game as these
    games have it; and how the two do at the first such position of every game."""
    layer = room.headline
    kind = next((k for k in PROBE_TITLES if all(room.probes.find(k, layer, labels) for labels in BOTH)), None)
    found: list[tuple[int, tuple[int, ...], dict[Labels, int], int]] = []
    for moves in _games("pass"):
        check()
        before = Board.start()
        for board in _boards(moves[:-1]):
            if board.classes("parity") != board.classes("mover"):
                ply = len(board.moves)
                right, was = {}, 0
                if kind is not None:
                    game = read_game(memory, room, moves)
                    right = {labels: _right(room, kind, game.residual[layer], board, labels) for labels in BOTH}
                    was = _right(room, kind, game.residual[layer], before, "parity")
                found.append((ply, moves, right, was))
                break
            before = board
    if not found:
        return None
    ply, moves, right, was = min(found, key=lambda entry: entry[0])
    board = Board.start().after(moves[:ply])
    side = str(board.just_moved)
    words = f"{'White' if side == 'black' else 'Black'} had to pass, so {side.capitalize()} has moved twice in a row. "
    if right:
        parity = right["parity"] >= right["mover"]
        name, sign = ("parity", 1) if parity else ("the true mover", -1)
        gaps = [sign * (entry[2]["parity"] - entry[2]["mover"]) for entry in found]
        wins = sum(gap > 0 for gap in gaps)
        words += (
            f"The model {'goes on counting moves' if parity else 'follows the real turn'}: after block {layer} its "
            f"{PROBE_TITLES[str(kind)]} probe has {right['parity']} of 64 squares right by parity, {right['mover']} by "
            f"the true mover. {_by(name, right)}; one ply before, "
            f"where both are the same, {was} are right. At the first such position of {len(found)} games {name} wins "
            f"in {wins}, by {float(np.mean(gaps)):.0f} squares on average. Switch the labels to compare."
        )
    return Story(
        moves,
        ply,
        words,
        (),
        "parity",
        "binding",
        layer,
        criterion=f"Of {GAMES['pass']} random games (seed {SEED:,}), the earliest ply at which the two labels differ.",
    )


def _by(name: str, right: Mapping[Labels, int]) -> str:
    gap = abs(right["parity"] - right["mover"])
    return f"{name.capitalize()} wins by {gap}" if gap else "Neither wins here"


def _right(room: Room, kind: str, residual: Tensor, board: Board, labels: Labels) -> int:
    """Squares of 64 that a probe reads rightly after the last move of a board; ``residual`` (T, d) of its game."""
    row = len(board.moves) - 1
    if row < 0:
        return 0
    read: NDArray[np.uint8] = np.asarray(
        room.probes.probe(kind, room.headline, labels).predict(residual[row : row + 1])
    )
    return int((read[0] == np.asarray(board.classes(labels))).sum())
