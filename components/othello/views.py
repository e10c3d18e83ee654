"""The figure cards of the Othello page as views: what of an answer each of them draws, and its caption.

The figures themselves are functions of plain numbers, in `figures` and `pieces`. An export names the model: answers
about a position do not know its name, so it is an option of their views.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.answer import plain_of
from analysis.tpr.answers.edit import PositionEdit, TrialTable
from analysis.tpr.answers.model import ModelFigures
from analysis.tpr.answers.reading import GameBinding, GameReading, ProbeDirections, ProbeRoles
from components.kit.figure_card import blank
from components.kit.view import Drawing, NoOptions, view
from components.othello import controls
from components.othello.board import NAMES
from components.othello.figures import (
    accuracy_by_layer,
    before_after_bars,
    edit_errors,
    legality_by_ply,
    move_bars,
    training_curve,
)
from components.othello.pieces import (
    binding_heatmap,
    filler_plane,
    gap_heatmaps,
    gram_heatmap,
    neighbour_bars,
    rank_curve,
    role_scatter,
)


@dataclass(frozen=True)
class OfModel:
    """``model``: its short name, for an export."""

    model: str = ""


@dataclass(frozen=True)
class AtPly:
    """The ply that was read, for the caption, and the model's short name."""

    ply: int
    model: str = ""


@dataclass(frozen=True)
class EditWay:
    """How was edited, for the caption: the method, and whether the best scale of the grid was taken; and the model's
    short name."""

    method: str
    best: bool
    model: str = ""


@dataclass(frozen=True)
class Embedding:
    """``embedding``: "pca" or "isomap"; and the model's short name."""

    embedding: str
    model: str = ""


@view("othello/moves", GameReading, options=AtPly)
def likely_moves(reading: GameReading, options: AtPly, theme: str) -> Drawing:
    """The most likely next moves."""
    return Drawing(
        move_bars(reading.next, reading.legal, theme),
        f"After ply {options.ply}. Dashed: the 1 % that counts as predicted. Hatched bars are illegal moves.",
        control=controls.of_next_move(reading),
        numbers={"illegal mass": reading.illegal_mass, "entropy": reading.entropy}
        | {f"probability of {NAMES[s]}": float(reading.next[s]) for s in np.argsort(-reading.next, kind="stable")[:3]},
    )


@view("othello/plane", GameBinding, ModelFigures, options=OfModel)
def unbound_squares(binding: GameBinding, figures: ModelFigures, options: OfModel, theme: str) -> Drawing:
    """The unbound vectors of the squares and the three colours, in the plane of the fillers."""
    return Drawing(
        filler_plane(binding.unbound, binding.fillers, binding.truth, NAMES, theme),
        "Each point is a square s: its unbound vector v = Bᵀ R_s. The logit of a colour is the dot product of v with "
        "that colour's star, so the regions between the lines are the classifier itself. Filled as the true board is.",
        control=controls.of_probes(figures),
        numbers={"squares right": float((binding.logits.argmax(-1) == binding.truth).sum())},
    )


@view("othello/binding", GameBinding, options=OfModel)
def binding_matrix(binding: GameBinding, options: OfModel, theme: str) -> Drawing:
    """The binding matrix of one residual vector."""
    roles, fillers = binding.binding.shape
    return Drawing(
        binding_heatmap(binding.binding, theme),
        f"B(h) = Σ_d h_d M_d: {roles} role coordinates by {fillers} filler coordinates, in the coordinates of the fit.",
    )


@view("othello/roles", ProbeRoles, options=Embedding)
def role_map(roles: ProbeRoles, options: Embedding, theme: str) -> Drawing:
    """The roles of the squares in the plane by PCA, or in space by Isomap, whose sheet bends in three."""
    points = roles.isomap if options.embedding == "isomap" else roles.pca[:, :2]
    return Drawing(
        role_scatter(points, roles.squares[options.embedding], theme),
        roles.embedding[options.embedding],
        control=controls.of_roles(roles),
        numbers={"true neighbours among the nearest": roles.neighbours[0].neighbour},
    )


@view("othello/directions", ProbeRoles, options=OfModel)
def direction_map(roles: ProbeRoles, options: OfModel, theme: str) -> Drawing:
    """PCA of the directions, which no choice of coordinates moves."""
    return Drawing(
        role_scatter(roles.directions[:, :2], range(64), theme),
        roles.survives,
        control=controls.of_roles(roles),
        numbers={"true neighbours among the nearest": roles.neighbours[1].neighbour},
    )


@view("othello/gaps", ProbeRoles, options=OfModel)
def gap_maps(roles: ProbeRoles, options: OfModel, theme: str) -> Drawing:
    """Mean cosine of two squares by how far apart they are, of the roles and of controls."""
    return Drawing(
        gap_heatmaps([(gap.title, roles.gap[gap.key]) for gap in roles.gaps], theme),
        roles.gap_caption,
        control=controls.of_gaps(roles),
        numbers={f"R², {row.key}": row.r2 for row in roles.geometry},
    )


@view("othello/gram", ProbeRoles, options=OfModel)
def role_cosines(roles: ProbeRoles, options: OfModel, theme: str) -> Drawing:
    """The Gram matrix of the roles."""
    return Drawing(
        gram_heatmap(roles.gram, theme),
        "Cosines of the 64 role vectors in these coordinates; squares in the order A1, A2, … H8.",
        control=controls.of_roles(roles),
    )


@view("othello/neighbours", ProbeRoles, options=OfModel)
def nearest_roles(roles: ProbeRoles, options: OfModel, theme: str) -> Drawing:
    """What the nearest roles of a square are to it on the board."""
    return Drawing(
        neighbour_bars(roles.neighbours, theme),
        roles.neighbour_caption,
        control=controls.of_roles(roles),
        numbers={row.title: row.neighbour for row in roles.neighbours},
    )


@view("othello/ranks", ProbeDirections, options=OfModel)
def accuracy_by_parameters(directions: ProbeDirections, options: OfModel, theme: str) -> Drawing:
    """Accuracy against parameters."""
    rows = plain_of(list(directions.curve))
    return Drawing(
        rank_curve(directions.curve, theme),
        directions.curve_caption,
        {"rows": rows},
        control=controls.of_ranks(directions),
        numbers={f"squares right, {p.name} ({p.kind})": p.accuracy for p in directions.curve},
    )


@view("othello/edit", PositionEdit, options=EditWay)
def edited_moves(edit: PositionEdit, options: EditWay, theme: str) -> Drawing:
    """Next-move probabilities without and with an edit."""
    best = " (the best of the grid for this case, chosen by looking at the answer)" if options.best else ""
    return Drawing(
        before_after_bars(edit.before, edit.after, edit.legal_before, edit.legal_after, theme),
        f"Method {options.method}, {controls.scale_words(edit, options.method)}{best}",
        {"scale": edit.scale},
        control=controls.of_no_edit(edit),
        numbers=controls.edit_numbers(edit),
    )


@view("othello/trials", TrialTable)
def trial_errors(table: TrialTable, options: NoOptions, theme: str) -> Drawing:
    """Errors of many edits by method."""
    return Drawing(
        edit_errors(table.rows, theme),
        table.caption,
        {"layers": list(table.settings.layers)},
        control=controls.of_trials(table),
        numbers=controls.trial_numbers(table),
    )


def _model_facts(figures: ModelFigures) -> dict[str, Any]:
    return {"model": figures.facts.label, "fingerprint": figures.facts.fingerprint}


@view("othello/legality", ModelFigures)
def legality(figures: ModelFigures, options: NoOptions, theme: str) -> Drawing:
    """Illegal first choices by ply."""
    play = figures.play
    bars = blank(340, "not measured") if play is None else legality_by_ply(
        play.illegal_by_ply, play.positions_by_ply, theme
    )  # fmt: skip
    facts = _model_facts(figures) | {"play": plain_of(play)}
    return Drawing(bars, figures.play_caption, facts, numbers=controls.play_numbers(figures))


@view("othello/training", ModelFigures)
def training(figures: ModelFigures, options: NoOptions, theme: str) -> Drawing:
    """The course of the training."""
    log = figures.training
    curve = blank(340, "no training log is kept for this model") if log is None else training_curve(
        log.games, log.above, log.illegal, theme
    )  # fmt: skip
    numbers = {} if log is None or not log.games else {"loss above the floor": log.above[-1]}
    return Drawing(
        curve,
        figures.training_caption,
        _model_facts(figures),
        control=None if log is None else controls.of_training(log),
        numbers=numbers,
    )


@view("othello/accuracy", ModelFigures)
def probe_accuracy(figures: ModelFigures, options: NoOptions, theme: str) -> Drawing:
    """Squares read rightly after each block."""
    facts = _model_facts(figures) | {"accuracy": {name: list(row) for name, row in figures.accuracy.items()}}
    if not figures.accuracy:
        return Drawing(blank(380, "no probes yet"), figures.accuracy_caption, facts)
    lines = accuracy_by_layer(figures.accuracy, figures.constant, figures.random_network, theme)
    best = {name: max((v for v in row if v is not None), default=None) for name, row in figures.accuracy.items()}
    return Drawing(
        lines,
        figures.accuracy_caption,
        facts,
        control=controls.of_probes(figures),
        numbers={f"squares right, {name}, best block": value for name, value in best.items() if value is not None},
    )


@view("othello/edits", ModelFigures)
def edit_table_errors(figures: ModelFigures, options: NoOptions, theme: str) -> Drawing:
    """Errors by method of the table kept with the probes."""
    facts = _model_facts(figures) | {"edits": plain_of(figures.edits)}
    if figures.edits is None:
        return Drawing(blank(380, "run them under “Edit”"), facts=facts)
    return Drawing(
        edit_errors(figures.edits.rows, theme),
        figures.edits.caption,
        facts,
        control=controls.of_trials(figures.edits),
        numbers=controls.trial_numbers(figures.edits),
    )
