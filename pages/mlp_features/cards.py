"""The cards of the MLP features page: those with a figure, and those that the page lays out itself."""

from __future__ import annotations

from components.kit.card import Card, Panel
from pages.cards import card_callbacks

NEURONS = Card("mlp-neurons", "The neurons it keeps", 220)
READING = Card("mlp-reading", "Tokens × features", 560)
SHARED = Card("mlp-shared", "Neurons they share", 420)
EFFECTS = Card("mlp-effects", "What core and rest do to the logits", 420)
TREE = Card("mlp-tree", "What a concept is made of", 560)
NEXT = Card("mlp-next", "Next token", 420)
AUC = Card("mlp-auc", "AUC: does the best direction tell a theme?", 420)
SCORE = Card("mlp-score", "The paper's score", 420)
CURVE = Card("mlp-curve", "Explained variance", 340)
NEW_CURVE = Card("mlp-new-curve", "Explained variance while it runs", 380, start="Drawn while a fit runs")
LIST = Panel("mlp-listed", "Features")
FEATURE = Panel("mlp-feature-card", "Feature")
SPLIT = Panel("mlp-split-card", "Core and exclusive neurons")
RELATED = Panel("mlp-related-card", "Pairs that share most in this fit")
CONCEPT = Panel("mlp-concept", "Concepts below it")
ARMS = Panel("mlp-arms-card", "Steer")
TEXTS = Panel("mlp-written-texts", "Texts")
DETECTION = Panel("mlp-detection-rows", "Every method at every layer")
ABOUT = Panel("mlp-about-card", "This fit")
card_callbacks(NEURONS, READING, SHARED, EFFECTS, TREE, NEXT, AUC, SCORE, CURVE, NEW_CURVE)
