"""Three positions worth showing, searched for in random games with this model, so that a story is never staged.

Each search goes through the games of one seed in their order and takes the first position that meets the criterion
told in the story's text; if none does within the games searched, the story says so instead of bending the criterion.
"""

from __future__ import annotations

import numpy as np

from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.othello.board import Board
from analysis.othello.squares import CENTRE, SQUARE_OF_TOKEN, square_name
from analysis.progress import Check, no_check
from analysis.tpr.activations import whole_games
from analysis.tpr.answers.edit import Story
from analysis.tpr.editing import edit_position, fixed_scale
from analysis.tpr.library import measured
from analysis.tpr.room import Room, read_game

STORIES = ("line", "edit", "pass")
SEED = 50_000
GAMES = 60
NEAR = 0.01
"""Probability that counts as predicted, as in the papers' metric of edits."""


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
                f"None of {GAMES} random games has a position that meets the criterion of this story with this model.",
                "story",
            )
        memory.put(key, answer, 4096)
    return answer


def _games() -> list[tuple[int, ...]]:
    games = whole_games(GAMES, SEED)
    return [tuple(int(SQUARE_OF_TOKEN[t]) for t in row) for row in games.tokens]


def _story(
    moves: tuple[int, ...],
    ply: int,
    text: str,
    layer: int,
    edits: tuple[tuple[int, int], ...] = (),
    tab: str = "binding",
    squares: tuple[int, ...] = (),
) -> Story:
    return Story(moves, ply, text, edits, "parity", tab, layer, squares)


def _line(room: Room, memory: Memory, check: Check) -> Story | None:
    """A move that turns four discs or more on one diagonal, of which one block reads half wrong, the next all right.
    Nobody has passed before: the model reads the whole board by parity after that, and many squares would be wrong."""
    layers = [n for n in room.probes.layers("tpr") if n + 1 in room.probes.layers("tpr")]
    for moves in _games():
        check()
        game = read_game(memory, room, moves)
        for ply in range(8, 56):
            board = Board.start().after(moves[:ply])
            if board.passes:
                break
            diagonal = _longest_diagonal(board.moves[-1], tuple(board.flipped))
            if len(diagonal) < 4:
                continue
            classes = np.asarray(board.classes("parity"))
            read = {
                n: np.asarray(room.probes.probe("tpr", n).predict(game.residual[n, ply - 1 : ply]))[0]
                for n in room.probes.layers("tpr")
            }
            for n in layers:
                wrong = [s for s in diagonal if read[n][s] != classes[s]]
                if 2 * len(wrong) >= len(diagonal) and all(read[n + 1][s] == classes[s] for s in diagonal):
                    names = ", ".join(square_name(s) for s in diagonal)
                    return _story(
                        moves,
                        ply,
                        f"{square_name(board.moves[-1])} turns the diagonal {names}. After block {n} the probe still "
                        f"reads {len(wrong)} of these {len(diagonal)} squares wrongly; move the block slider to "
                        f"{n + 1} and they turn. Criterion: four or more discs of one diagonal turned, at least half "
                        "read wrongly by the TPR probe after a block, all rightly after the next; nobody has passed.",
                        layer=n,
                        squares=tuple(diagonal),
                    )
    return None


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
    for moves in _games():
        check()
        game = read_game(memory, room, moves)
        for ply in range(12, 40, 3):
            board = Board.start().after(moves[:ply])
            classes = board.classes("parity")
            if classes != board.classes("mover"):
                continue
            for square in [s for s in range(64) if classes[s] and s not in CENTRE][:8]:
                edit = edit_position(
                    room, game, ply - 1, [(square, 3 - classes[square])], method="tpr", scale=scale, labels="parity"
                )
                new = [s for s in edit.legal_after if s not in edit.legal_before]
                good = [s for s in new if edit.before[s] < NEAR and edit.after[s] > 5 * NEAR]
                if good and edit.errors_after == 0 and edit.null >= 2:
                    names = ", ".join(square_name(s) for s in good)
                    return _story(
                        moves,
                        ply,
                        f"{square_name(square)} is given to the other side, inside the model only. {names} becomes "
                        "legal on the edited board, and the model, which gave it under 1 %, now gives it over 5 %. "
                        "Criterion: fixed scale, no error left on the edited board, two or more without the edit.",
                        layer=room.headline,
                        edits=((square, 3 - classes[square]),),
                        tab="edit",
                        squares=(square, *good),
                    )
    return None


def _pass(room: Room, memory: Memory, check: Check) -> Story | None:
    """The first position after a forced pass that parity gets wrong, as early in a game as these games have it."""
    best: tuple[int, tuple[int, ...]] | None = None
    for moves in _games():
        check()
        for ply in range(1, 60):
            board = Board.start().after(moves[:ply])
            if board.classes("parity") != board.classes("mover"):
                if best is None or ply < best[0]:
                    best = (ply, moves)
                break
    if best is None:
        return None
    ply, moves = best
    game = read_game(memory, room, moves)
    layer = room.headline
    right = {}
    for labels in ("parity", "mover"):
        if room.probes.find("linear", layer, labels) is None:
            continue
        classes = np.asarray(Board.start().after(moves[:ply]).classes(labels))
        probe = room.probes.probe("linear", layer, labels)
        right[labels] = int((np.asarray(probe.predict(game.residual[layer, ply - 1 : ply]))[0] == classes).sum())
    words = ""
    if len(right) == 2:
        counting = right["parity"] > right["mover"]
        words = "The model keeps counting moves and so takes the wrong side's view: " if counting else ""
        words += (
            f"{'the' if counting else 'The'} linear probe after block {layer} agrees with the parity of the moves on "
            f"{right['parity']} of 64 squares, and with the side that is really to move on {right['mover']}. "
        )
    return _story(
        moves,
        ply,
        f"A side had to pass, and the same side moved twice. {words}Switch the labels and compare. "
        f"Criterion: of {GAMES} random games, the earliest ply at which the two conventions differ.",
        layer=layer,
    )
