"""What each view of the Othello page is held against: baselines of a probe, codes without structure, edits that should
do nothing. Every number is one of the answer that is drawn; where an answer has none, there is no control.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.tpr.answers.edit import PositionEdit, TrialRow, TrialTable
from analysis.tpr.answers.model import ModelFigures, TrainingLog
from analysis.tpr.answers.reading import CurvePoint, GameReading, ProbeDirections, ProbeRoles
from components.kit.view import Control

EDIT_CONTROLS = {"random": "random direction", "wrong-square": "wrong squares"}
"""Methods of an edit that are controls, and what they are called."""
OWN_ROWS = 2
"""The first rows of a probe's neighbours are its own: roles and directions. The others are controls."""


def of_probes(figures: ModelFigures) -> Control | None:
    """What a probe reads without a trained model: the most common class, and a network that was never trained."""
    parts: list[str] = []
    numbers: dict[str, float] = {}
    untrained, constant = figures.random_network, figures.constant
    if untrained is not None:
        parts.append(
            f"after block {untrained.layer} of a network that was never trained a linear probe reads "
            f"{untrained.linear:.1%} of squares rightly, a TPR probe {untrained.tpr:.1%} (fitted on "
            f"{untrained.games:,} games)"
        )
        numbers |= {"untrained network, linear": untrained.linear, "untrained network, TPR": untrained.tpr}
    if constant is not None:
        parts.append(f"the most common class of each square at each ply is right on {constant:.1%}")
        numbers["most common class"] = constant
    if not parts:
        return None
    text = "; ".join(parts)
    return Control("untrained network" if untrained else "most common class", f"{text[:1].upper()}{text[1:]}.", numbers)


def of_next_move(reading: GameReading) -> Control | None:
    """The distribution that knows the rules and nothing else."""
    count = len(reading.legal)
    if not count:
        return None
    text = (
        f"If all {count} legal moves were equally likely, the entropy would be {reading.log_legal:.2f} nats and no "
        f"probability would lie on illegal moves; the model has {reading.entropy:.2f} nats and "
        f"{reading.illegal_mass:.1%}."
    )
    return Control("uniform over the legal moves", text, {"entropy of the uniform": reading.log_legal})


def of_roles(roles: ProbeRoles) -> Control | None:
    """Neighbours of codes without structure, and of the same probe in other coordinates."""
    controls = roles.neighbours[OWN_ROWS:]
    if not controls:
        return None
    words = ", ".join(f"{row.title} {row.neighbour:.0%}" for row in controls)
    own = roles.neighbours[0].neighbour
    text = f"Neighbours on the board among the nearest points: the roles in these coordinates {own:.0%}; {words}."
    other = [row for row in roles.geometry if not row.gauge]
    if other:
        words = ", ".join(f"{row.title} {row.neighbours:.0%}" for row in other)
        text += f" In what no choice of coordinates changes: {words}."
    return Control("random codes", text, {row.title: row.neighbour for row in controls})


def of_gaps(roles: ProbeRoles) -> Control | None:
    """R² of the gap maps of codes without structure."""
    controls = [gap for gap in roles.gaps[OWN_ROWS:] if gap.r2 is not None]
    if not controls:
        return None
    text = f"R² of the same map for codes without structure: {'; '.join(gap.title for gap in controls)}."
    return Control("random codes", text, {gap.title.split(":")[0]: gap.r2 for gap in controls if gap.r2 is not None})


def of_ranks(directions: ProbeDirections, main: str = "TPR, 52 × 2") -> Control | None:
    """The linear probe, and linear probes of low rank with about as many parameters as the main one."""
    curve = directions.curve
    point = next((p for p in curve if p.name == main), None)
    linear = next((p for p in curve if p.kind == "linear"), None)
    if point is None or linear is None:
        return None
    near = [(name, _nearest([p for p in curve if p.kind == kind], point)) for name, kind in _LOW_RANK.items()]
    pairs = [("linear probe", linear), *((name, p) for name, p in near if p is not None)]
    words = ", ".join(f"{name} {p.accuracy:.1%} ({p.parameters:,})" for name, p in pairs)
    text = f"Squares right, and parameters: {main} {point.accuracy:.1%} ({point.parameters:,}); {words}."
    return Control("low rank", text, {name: p.accuracy for name, p in pairs})


_LOW_RANK = {"SVD of the linear probe": "svd", "trained at low rank": "low-rank"}


def _nearest(points: Sequence[CurvePoint], to: CurvePoint) -> CurvePoint | None:
    return min(points, key=lambda p: abs(math.log(p.parameters / to.parameters)), default=None)


def of_no_edit(edit: PositionEdit) -> Control:
    """The errors that the model makes without the edit."""
    text = (
        f"Without the edit the model makes {edit.null} errors against the legal moves of the edited board, with it "
        f"{edit.errors_after}."
    )
    return Control("no edit", text, {"errors without the edit": float(edit.null)})


def of_edit(edit: PositionEdit, random: PositionEdit, wrong: PositionEdit, method: str) -> Control:
    """The errors without the edit, and with those of its length that should do nothing; of an edit that is a control
    itself, the former only."""
    plain = of_no_edit(edit)
    if method in EDIT_CONTROLS:
        return plain
    text = (
        f"{plain.text} After the same blocks a random direction leaves {random.errors_after} (scale {random.scale:g}), "
        f"the same edit on wrong squares {wrong.errors_after} (scale {wrong.scale:g})."
    )
    numbers = {"random direction": float(random.errors_after), "wrong squares": float(wrong.errors_after)}
    return Control("wrong square, random direction", text, plain.numbers | numbers)


def of_trials(table: TrialTable) -> Control | None:
    """Errors a case without an edit, and by the methods that are controls, with their intervals."""
    rows = [row for row in table.rows if row.method in EDIT_CONTROLS]
    if not rows:
        return None
    text = (
        f"Over {rows[0].cases} cases: {rows[0].null:.2f} errors a case without an edit ({table.perfect:.2f} for a "
        f"perfect player that ignores it); {'; '.join(_trial_words(row) for row in rows)}."
    )
    numbers = {f"{EDIT_CONTROLS[row.method]}, {_choice(row)}": row.mean for row in rows}
    return Control("wrong square, random direction", text, {"no edit": rows[0].null} | numbers)


def _trial_words(row: TrialRow) -> str:
    name = EDIT_CONTROLS[row.method]
    return f"{name}, {_choice(row)}: {row.mean:.2f} [{row.low:.2f}, {row.high:.2f}]"


def _choice(row: TrialRow) -> str:
    return "fixed scale" if row.choice.startswith("fixed") else "best scale"


def trial_numbers(table: TrialTable) -> dict[str, float]:
    """Errors a case by method and choice of the scale."""
    return {f"{row.method}, {_choice(row)}": row.mean for row in table.rows}


def of_training(log: TrainingLog) -> Control | None:
    """The floor that the loss is measured from."""
    if not log.games:
        return None
    text = (
        "A loss of 0 above the floor is that of a player who draws a legal move at random, as the games were made; "
        f"after {log.games[-1]:,} games the model lies {log.above[-1]:.3f} nats above it."
    )
    return Control("floor of random play", text, {"floor": 0.0})


def lengths_of(edit: PositionEdit) -> tuple[float, ...]:
    """The length of one unit of an edit's scale after each block that it is added after."""
    return tuple(edit.unit[n] for n in edit.layers)


def length_words(scale: float, lengths: Sequence[float]) -> str:
    """The lengths that a scale stands for, over the blocks: ``"11.4 to 28.2"``; empty where they were not kept."""
    ends = [f"{scale * end:.3g}" for end in (min(lengths), max(lengths))] if lengths else []
    return " to ".join(dict.fromkeys(ends))


def scale_words(edit: PositionEdit, method: str = "") -> str:
    """The scale of an edit in its unit and as a length; the linear methods add one such vector for each square."""
    lengths = lengths_of(edit)
    if not lengths:
        return f"scale {edit.scale:g}"
    blocks = f"{edit.layers[0]} to {edit.layers[-1]}" if len(edit.layers) > 1 else f"{edit.layers[0]}"
    where = f"{'for each square ' * method.startswith('linear')}after block{'s' * (len(edit.layers) > 1)} {blocks}"
    if all(length == 1 for length in lengths):
        return f"length {edit.scale:g} {where}"
    return f"scale {edit.scale:g} tenths of the stream, length {length_words(edit.scale, lengths)} {where}"


def edit_numbers(edit: PositionEdit) -> dict[str, float]:
    """What an edit did, in numbers."""
    return {
        "errors with the edit": float(edit.errors_after),
        "errors without the edit": float(edit.null),
        "scale": edit.scale,
        "false positives": float(len(edit.false_positives)),
        "false negatives": float(len(edit.false_negatives)),
    }


def play_numbers(figures: ModelFigures) -> dict[str, float]:
    """How well a model plays, in numbers; none where it was not measured."""
    play = figures.play
    if play is None:
        return {}
    return {
        "illegal first choices": play.illegal,
        "illegal mass": play.mass,
        "loss": play.loss,
        "loss above the floor": play.loss - play.floor,
    }
