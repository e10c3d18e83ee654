"""How long a click on the Othello page takes on the server, with the bundled model: question, socket, worker, figures.

Each click asks what the page's callback asks and makes the same boards and figures. Every move is of a game that the
worker has not read before, so that its forward pass is in the time; steps along a game that is on the board are not.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

A = TypeVar("A")


def run(clicks: int = 40) -> dict[str, Any]:
    """p50 and p95 in milliseconds of a move, a step, a block, a re-mix, an edit, and a best-scale edit."""
    os.environ["ATTUNE_HOME"] = tempfile.mkdtemp(prefix="attune-")
    from analysis.engine.client import Client
    from analysis.engine.operation import Operation
    from analysis.engine.supervisor import Supervisor
    from analysis.models.spec import OTHELLO, ModelSpec
    from analysis.othello.games import random_games
    from analysis.othello.records import format_moves
    from analysis.othello.squares import SQUARE_OF_TOKEN
    from analysis.qk.ops.prompt import AttentionRow
    from analysis.qk.ops.token import WritingHeads
    from analysis.tpr.ops.edit import OthelloEdit
    from analysis.tpr.ops.heads import EditedLooks, UsualLooks, WithoutHead
    from analysis.tpr.ops.reading import OthelloBinding, OthelloFacts, OthelloReading, OthelloRoles
    from components.othello import views
    from components.othello.board import belief_board, next_move_board

    supervisor = Supervisor([], int(os.environ.get("ATTUNE_THREADS", "2")))
    supervisor.start()
    try:
        client = Client(patience=120)
        games = [tuple(int(SQUARE_OF_TOKEN[t]) for t in row[:50]) for row in random_games(clicks + 2, 91).tokens]

        def ask(operation: Operation[A]) -> A:
            return client.remember(operation, client.ask(operation)).answer

        def reading(moves: tuple[int, ...], ply: int, layer: int) -> None:
            answer = ask(OthelloReading("bundled", moves, ply, layer))
            boards = [belief_board(belief, answer.truth, 1) for belief in answer.beliefs.values()]
            boards.append(next_move_board(answer.next, answer.legal, [0] * 64, None))
            json.dumps([boards, _plain(views.likely_moves(answer, views.AtPly(ply), "light").figure)])

        def binding(i: int) -> None:
            answer = ask(OthelloBinding("bundled", games[0], 10 + i, 3))
            drawings = [
                views.unbound_squares(answer, figures, views.OfModel(), "light"),
                views.binding_matrix(answer, views.OfModel(), "light"),
            ]
            json.dumps(_plain([drawing.figure for drawing in drawings]))

        def remix(i: int) -> None:
            answer = ask(OthelloRoles("bundled", games[0], 20, 3, gauge=i + 1))
            json.dumps(_plain(views.role_cosines(answer, views.OfModel(), "light").figure))

        def edit(i: int, choose: str) -> None:
            moves = games[i % len(games)]
            answer = ask(OthelloEdit("bundled", moves, 30, 3, edits=((moves[20], 0),), choose=choose))
            json.dumps(_plain(views.edited_moves(answer, views.EditWay("tpr", choose == "best"), "light").figure))

        def look(i: int, anew: bool) -> None:
            moves, query = games[i if anew else 0], 49 if anew else 10 + i
            where = ModelSpec(OTHELLO), format_moves(moves, "rows")
            ask(UsualLooks("bundled", query + 1))
            ask(WritingHeads(*where, query=query, key=query - 3))
            ask(AttentionRow(*where, query=query, key=query - 3, layer=i % 6, head=i % 4))

        def without(i: int) -> None:
            ask(WithoutHead("bundled", games[0], 11 + i, 3, block=i % 6, head=i % 4))

        def seen(i: int) -> None:
            moves = games[i % len(games)]
            ask(EditedLooks("bundled", moves, 30, 3, edits=((moves[20], 0),)))

        figures = ask(OthelloFacts("bundled"))  # opens model and probes
        reading(games[-1], 5, 0)
        remix(clicks + 1)
        edit(clicks + 1, "fixed")
        look(clicks + 1, True)
        return {
            "move of a new game (its pass included), ms": _time(lambda i: reading(games[i], 50, 3), clicks),
            "step along the game, ms": _time(lambda i: reading(games[0], i + 1, 3), clicks),
            "another block, ms": _time(lambda i: reading(games[0], 30, i % 6), clicks),
            "binding, ms": _time(binding, clicks),
            "re-mixed coordinates, ms": _time(remix, clicks // 2),
            "edit at one scale, ms": _time(lambda i: edit(i, "fixed"), clicks),
            "who looks at a square of a new game, and a head's row, ms": _time(lambda i: look(i, True), clicks),
            "the same at another ply, ms": _time(lambda i: look(i, False), clicks),
            "the position without a head, ms": _time(without, clicks),
            "heads that read an edit, ms": _time(seen, clicks),
            "edit, best of the grid, ms": _time(lambda i: edit(i, "best"), clicks),
        }
    finally:
        supervisor.stop()


def _time(click: Callable[[int], None], clicks: int) -> str:
    times = []
    for i in range(clicks):
        began = time.perf_counter()
        click(i)
        times.append(1000 * (time.perf_counter() - began))
    times.sort()
    return f"p50 {statistics.median(times):.0f}, p95 {times[int(0.95 * len(times))]:.0f}"


def _plain(value: Any) -> Any:
    """Arrays as lists, as Dash sends them."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (list, tuple)) else value


def main() -> dict[str, dict[str, Any]]:
    """All figures by name."""
    return {"clicks on the Othello page": run()}


if __name__ == "__main__":
    for name, facts in main().items():
        print(name)
        for what, value in facts.items():
            print(f"  {what}: {value}")
