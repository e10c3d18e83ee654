"""Which heads of the bundled OthelloGPT read a square that is edited inside of it, beside edits that should do nothing?

``python -m benchmarks.othello_heads`` takes random positions with one disc flipped at a square that has been played. By
method it says in how many of the heads that can change the attention to that square's move changes more than after each
of twenty random edits of the same length, and after these and twenty edits of other squares. The figures stand in
docs/othello.md.
"""

from __future__ import annotations

import argparse

import numpy as np

from analysis.engine.context import Context
from analysis.tpr.cases import EditCase, random_cases
from analysis.tpr.editing import fixed_scale
from analysis.tpr.heads import RANDOM_EDITS
from analysis.tpr.ops.heads import EditedLooks
from analysis.tpr.room import open_room
from components.othello.edited_heads import beyond, movable

METHODS = ("tpr", "linear-minus", "random", "wrong-square")


def played_cases(count: int, seed: int) -> list[EditCase]:
    """Cases whose square has a move."""
    return [c for c in random_cases(2 * count, 1, seed) if c.changes[0][0] in c.moves][:count]


def main() -> None:
    """Print a row for each method."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=44)
    options = parser.parse_args()
    context, chance = Context(), np.random.default_rng(0)
    room = open_room(context, "bundled")
    print(f"by chance {1 / (RANDOM_EDITS + 1):.1%}")
    for method in METHODS:
        shares: dict[str, list[float]] = {"random edits": [], "these and wrong squares": []}
        moved = []
        for n, case in enumerate(played_cases(options.cases, options.seed)):
            edits = tuple((square, target) for square, _, target in case.changes)
            question = EditedLooks(
                moves=tuple(case.moves), ply=len(case.moves), edits=edits, method=method, seed=n,
                scale=fixed_scale(room, method),
            )  # fmt: skip
            answer = question.run(context)
            can = movable(answer)
            if can.any():
                change = np.abs(answer.after - answer.before)
                random = np.abs(answer.random - answer.before).max(0)
                shares["random edits"].append(float((change > random)[can].mean()))
                shares["these and wrong squares"].append(float(beyond(answer)[can].mean()))
                moved.append(100 * float(np.abs(answer.after - answer.before)[can].mean()))
        print(f"{method}: mean change {np.mean(moved):.2f} points, {len(moved)} cases")
        for name, values in shares.items():
            draws = [np.mean(chance.choice(values, len(values))) for _ in range(2000)]
            low, high = np.quantile(draws, (0.025, 0.975))
            print(f"  beyond all {name}: {np.mean(values):.1%} of heads ({low:.1%} to {high:.1%})")


if __name__ == "__main__":
    main()
