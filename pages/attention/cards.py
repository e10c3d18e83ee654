"""The figure cards and panels of the Attention page."""

from __future__ import annotations

from components.kit.card import Card, Panel
from components.qk.evidence_figures import SWAP_HEIGHT
from components.qk.patch_view import HEIGHT as PATCH_HEIGHT
from pages.cards import card_callbacks

PROMPT = Panel("prompt-panel", "Prompt")
FEATURES = Panel("features-panel", "Features")
STRIPS = Panel("strips", "Tokens")
EVIDENCE = Panel("evidence", "Evidence")
GRID = Card("grid", "Heads", 300, "Click a head to open it.")
MATRIX = Card("matrix", "Attention of this head", 470)
BARS = Card("bars", "What the logits are made of", 340)
SWAP = Card("swap", "Swap two keys inside this feature", 380, start="Fit a feature first")
PREDICTION = Card("prediction", "What the whole model would say next", 380, start="Press “Ask the whole model”")
SPECTRUM = Card("spectrum", "Singular values and the null", start="Fit the feature first")
DIRECTIONS = Card("directions", "Share of the mean logit gap, by singular pair", start="Fit the feature first")
MAP = Card("map", "Queries and keys in the subspace", 460, start="Fit the feature first")
BY_RANK = Card("by-rank", "Swapping keys", SWAP_HEIGHT, start="Fit the feature, then test it")
ALIGNMENT = Card("alignment", "This feature's part of every logit", 460, start="Fit the feature first")
PATCH = Card("patch", "Is it this subspace that carries it?", PATCH_HEIGHT, start="Press “Patch it”")
PATCH_RANKS = Card("patch-ranks", "How many of its dimensions carry it", PATCH_HEIGHT, start="Press “Patch it”")
OVERLAP = Card("overlap", "How far the features coincide on this head", 460, start="Fit a feature first")

# The two that the browser draws take the template of the other theme there, without a megabyte of cells.
card_callbacks(GRID, BARS, SWAP, PREDICTION, SPECTRUM, DIRECTIONS, MAP, BY_RANK, PATCH, PATCH_RANKS, OVERLAP)
