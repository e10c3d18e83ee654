"""The figure cards of the Othello page, and its cards without a graph: boards and tables, which can be pinned too."""

from __future__ import annotations

from components.kit.card import Card, Panel
from pages.cards import card_callbacks

MOVES = Card("oth-bars", "Most likely moves", 330)
PLANE = Card("oth-plane", "What each of the 64 squares holds, and the three colours", 520)
MATRIX = Card("oth-matrix", "Binding matrix of this ply", 520)
ROLES = Card("oth-roles-map", "Square embeddings (roles)", 440)
SURVIVES = Card("oth-survives", "What every choice of coordinates shares", 440)
GAPS = Card("oth-gaps", "Similarity of two squares by how far apart they are", 330)
GRAM = Card("oth-gram", "Gram matrix of the roles", 440)
NEIGHBOURS = Card("oth-neighbours", "Whose neighbours are the nearest roles?", 440)
RANKS = Card("oth-rank", "Accuracy against parameters", 420)
EDIT = Card("oth-edit-bars", "Before and after, move by move", 340, start="Press a square of the edited board")
TRIALS = Card("oth-trials-figure", "Errors by method", 340, start="Press “Run them”")
LEGALITY = Card("oth-legality", "Illegal first choices by ply", 340)
TRAINING = Card("oth-training", "Training", 340)
ACCURACY = Card("oth-accuracy", "Squares right by block", 380)
EDITS = Card("oth-edit-table", "Edits: error by method", 380)
LOOKS = Card("oth-edited-looks", "Heads that read the edit", 170, start="Edit a square above")
REPORT = Card("oth-report", "The game, ply by ply", 400, start="Play a move first")

GAME = Panel("oth-game-card", "Play")
NEXT = Panel("oth-next-card", "What the model would play next")
BELIEVED = Panel("oth-believed", "The board that the model believes")
GEOMETRY = Panel("oth-geometry", "Which numbers depend on the coordinates?")
COSINES = Panel("oth-cosines", "Cosines of the directions with the linear probe's")
EDITED = Panel("oth-edited", "Edit the board inside the model")
LASTING = Panel("oth-lasting", "Does the edit last?")
MANY = Panel("oth-many", "Many edits")
MODEL = Panel("oth-model", "This model")
BY_SQUARES = Panel("oth-by-squares", "Edits by number of squares")
PROBES = Panel("oth-probes", "Model and probes")
ROW = Panel("oth-row", "A head's row")
LOOKERS = Panel("oth-lookers", "Which heads look there")
WITHOUT = Panel("oth-without", "Without the head")

card_callbacks(
    MOVES, PLANE, MATRIX, ROLES, SURVIVES, GAPS, GRAM, NEIGHBOURS, RANKS, EDIT, TRIALS, LEGALITY, TRAINING, ACCURACY,
    EDITS, LOOKS, REPORT,
)  # fmt: skip
