"""The figures of an OthelloGPT that are kept beside its weights and probes, put into words and rows for the page.

Nothing here measures anything but how a newly opened model plays: every other number was measured when it was built,
and the manifest says with what. A number that was not measured is absent, and the page says so.
"""

from __future__ import annotations

import json
from typing import Any

import torch

from analysis.errors import UserError
from analysis.othello.games import random_games
from analysis.othello.legality import legality
from analysis.othello.sources import bundled_folder
from analysis.othello.squares import CENTRE
from analysis.progress import Check
from analysis.tpr.answers.edit import TrialTable
from analysis.tpr.answers.model import SITE_TITLES, ModelCheck, ModelFigures, Play, ProbeRow, RandomNetwork, TrainingLog
from analysis.tpr.directions import cosines
from analysis.tpr.library import DEFAULT_KINDS, KIND_NAMES, measured, set_for, title_of
from analysis.tpr.pipeline import MAX_ILLEGAL, PLAY_SEED
from analysis.tpr.room import Room


def figures_of(room: Room) -> ModelFigures:
    """Everything that the tabs Figures, Directions and Model need."""
    manifest = room.probes.manifest
    rows = [r for r in room.probes.rows if r["labels"] == "parity"]
    names = {r["kind"]: title_of(r) for r in rows}
    accuracy = {
        names.get(kind, KIND_NAMES[kind]): tuple(
            next((r["accuracy"] for r in rows if r["kind"] == kind and r["layer"] == layer), None)
            for layer in range(room.layers)
        )
        for kind in DEFAULT_KINDS
        if any(r["kind"] == kind for r in rows)
    }
    training = training_log(room)
    play = measured(Play, manifest.get("play"))
    edits = measured(TrialTable, manifest.get("edits"))
    tables = (edits, *(measured(TrialTable, table) for table in manifest.get("edits_more") or []))
    return ModelFigures(
        facts=room.facts(),
        words=words(room, training, play),
        play=play,
        play_caption=play_caption(play),
        training=training,
        training_caption=training_caption(training),
        accuracy=accuracy,
        constant=manifest.get("constant"),
        random_network=measured(RandomNetwork, manifest.get("random_network")),
        accuracy_caption=accuracy_caption(room),
        edits=edits,
        edits_by_squares=tuple(table for table in tables if table is not None),
        probes=probe_rows(room),
        role_dims=role_dims(room),
    )


def role_dims(room: Room) -> tuple[tuple[int, str], ...]:
    """(role dimension, kind) of all TPR probes of the set, ascending."""
    kinds = {r["kind"] for r in room.probes.rows if r["kind"].startswith("tpr")}
    opened = {r["kind"]: int(r["settings"]["role_dim"]) for r in room.probes.rows if "site" in r and r["kind"] == "tpr"}
    sizes = {"tpr": 52, "tpr-full": 64} | opened
    return tuple(sorted((sizes.get(k) or int(k[5:]), k) for k in kinds))


def probe_rows(room: Room) -> tuple[ProbeRow, ...]:
    """One row per probe, by kind, block and labels."""
    names = ("layer", "labels", "parameters", "accuracy", "macro_f1", "seconds")
    rows = sorted(room.probes.rows, key=lambda r: (r["labels"], r["kind"], r["layer"]))
    return tuple(ProbeRow(title_of(r), *(r[n] for n in names), **_beside(room, r)) for r in rows)


def _beside(room: Room, row: dict[str, Any]) -> dict[str, Any]:
    """A probe of others beside the model's own of that kind, block and labels."""
    if "others" not in room.probes.manifest:
        return {}
    site, own = room.probes.site, set_for(room.fingerprint)
    like = ("tpr-full", "tpr") if row["settings"].get("role_dim") == 64 else (row["kind"],)
    kind = next((k for k in like if own.find(k, *_at(row))), None)
    known = None if kind is None else own.find(kind, *_at(row))
    if kind is None or known is None or site != own.site:
        return {"site": site}
    pair = (room.probes.probe(row["kind"], *_at(row)), own.probe(kind, *_at(row)))
    # The centre squares are never empty, so nothing decides that direction of theirs.
    decided = torch.ones(64, 3, dtype=torch.bool)
    decided[list(CENTRE), 0] = False
    theirs, ours = (p.directions().double() for p in pair)
    cosine = cosines(theirs, ours)[decided].mean()
    return {"site": site, "cosine": float(cosine), "own": known["accuracy"]}


def _at(row: dict[str, Any]) -> tuple[int, str]:
    return row["layer"], row["labels"]


def training_log(room: Room) -> TrainingLog | None:
    """Curves of the training log, for the bundled model only."""
    path = bundled_folder().parent / "training.jsonl"
    if room.source.text != "bundled" or not path.exists():
        return None
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    tests = [line for line in lines if "above" in line]
    starts = [line["recipe"] for line in lines if line.get("event") == "start"]
    turn = next((e["games"] for e in lines if e.get("event") == "start" and e["recipe"]["target"] == "legal"), None)
    return TrainingLog(
        games=tuple(line["games"] for line in tests),
        above=tuple(line["above"] for line in tests),
        illegal=tuple(line["illegal"] for line in tests),
        recipe=starts[-1] if starts else {},
        told_from=turn,
    )


def words(room: Room, training: TrainingLog | None, play: Play | None) -> tuple[str, ...]:
    """The model in a few sentences."""
    facts = room.facts()
    lines = [
        f"{facts.label}: {facts.layers} blocks of width {facts.width}, {facts.heads} heads, "
        f"{facts.parameters:,} parameters; weights {facts.fingerprint}."
    ]
    if play:
        lines.append(
            f"On {play.games:,} fresh random games its most likely move is illegal at {play.illegal:.2%} of "
            f"{play.positions:,} positions; it puts {play.mass:.2%} of its probability on illegal moves. Its "
            f"loss is {play.loss:.4f} nats per move, {play.loss - play.floor:.4f} above the floor of random "
            f"play ({play.floor:.4f})."
        )
    else:
        lines.append("How legally it plays has not been measured with its probes; fitting probes measures it.")
    if training and training.recipe:
        target = "the move that was played, as in the papers"
        if training.told_from is not None:
            target += (
                f", for the first {training.told_from:,} games, and from there on the uniform distribution over the "
                "legal moves: the same expected loss with less noise, but the model has been told the legal set"
            )
        lines.append(
            f"Trained by this project on {training.games[-1]:,} random games, none seen twice; the target was "
            f"{target}. The paper's model has 8 blocks of width 512 and saw 20 million games: this one is smaller, and "
            "its figures are its own."
        )
    return tuple(lines)


def play_caption(play: Play | None) -> str:
    """Sample count and seed of the legality figure."""
    if not play:
        return "Not measured for this model yet."
    return f"Most likely move after each ply, {play.games:,} fresh games (seed {PLAY_SEED})."


def training_caption(training: TrainingLog | None) -> str:
    """What the curve is measured on."""
    if not training:
        return ""
    return "Loss above the floor and share of illegal first choices on 200 or more held-out games during training."


def accuracy_caption(room: Room) -> str:
    """Sample counts of the accuracy figure, and the spread over seeds."""
    manifest = room.probes.manifest
    if not room.probes.rows:
        return ""
    if "others" in manifest:
        return (
            f"Probes of others, from {manifest['others']}, which read the {SITE_TITLES[room.probes.site]}; "
            f"{manifest['test_games']:,} games to test. Dashed: the most common class of each square at each ply."
        )
    fitted = sorted({int(r.get("games") or manifest.get("games", 0)) for r in room.probes.rows})
    text = (
        f"{' or '.join(f'{n:,}' for n in fitted)} games to fit, {manifest.get('test_games', 0):,} other games to test, "
        "parity labels. Dashed: the most common class of each square at each ply."
    )
    seeds = manifest.get("seeds")
    if seeds:
        low, high = min(seeds["accuracy"]), max(seeds["accuracy"])
        text += (
            f" TPR 52 × 2 after block {seeds['layer']} with {len(seeds['accuracy'])} seeds: {low:.2%} to {high:.2%}."
        )
    return text


def check_play(room: Room, check: Check) -> ModelCheck:
    """How a model plays on 30 fresh games, in a sentence. Raises UserError(field="source") if it does not play."""
    score = legality(room.loaded.model, random_games(30, PLAY_SEED), batch=10, check=check)
    if score.illegal > 0.5:
        raise UserError(
            f"{room.source.label} does not play Othello: its first choice is illegal at {score.illegal:.0%} of "
            "positions. Check that the file holds a trained OthelloGPT of the 8 × 8 board.",
            "source",
        )
    facts = room.facts()
    text = (
        f"{facts.label}: {facts.layers} blocks of width {facts.width}; on 30 fresh games its first choice is "
        f"illegal at {score.illegal:.2%} of positions."
    )
    if score.illegal > MAX_ILLEGAL:
        text += " That is too often for its boards to be taken as those of a player."
    text += " It has probes." if room.probes.rows else " It has no probes yet: fit them below."
    return ModelCheck(text, facts)
