"""The cards of the Faithfulness page: figures, and panels of texts and tables, which can be pinned too.

What a tab's cards show follows the tab that is open: a tab that is not looked at draws nothing. Bias and agreement are
drawn by the browser, which keeps their figures in the page's theme.
"""

from __future__ import annotations

from components.kit.card import Card, Panel
from pages.cards import card_callbacks

TRACE = Card("fth-trace", "How probable is the answer after each step?", 470)
STRIP = Card("fth-strip", "What do the measures say of this item?", 560)
OPTIONS = Card("fth-options", "Options before and after", 280)
LEADERBOARD = Card("fth-leaderboard", "Which measure tells faithful from unfaithful chains?", 620)
TRUTH = Card("fth-truth", "Is it important, or is it true?", 560)
BIAS = Card("fth-bias", "What each measure calls faithful", 560)
KAPPA = Card("fth-kappa", "Do measures agree?", 560)
SCORES = Card("fth-scores", "Every item's scores", 700)
COST = Card("fth-cost", "What a measure costs", 500)
SWEEP = Card("fth-sweep", "FUR: how strongly to unlearn", 500)
LENGTHS = Card("fth-lengths", "AUROC by length of the chain", 500)
ITEM = Panel("fth-label", "Certificate")
NUMBERS = Panel("fth-numbers-table", "This item in numbers")
INTERVENE = Panel("fth-intervention", "Change the chain or the key")
MOVED = Panel("fth-moved-scores", "Scores before and after")
STUDY = Panel("fth-what", "What the study rests on")
RANKING = Panel("fth-ranking", "In numbers")
OWN = Panel("fth-own-chains", "Chains of its own")
card_callbacks(TRACE, STRIP, OPTIONS, LEADERBOARD, TRUTH, SCORES, COST, SWEEP, LENGTHS)
