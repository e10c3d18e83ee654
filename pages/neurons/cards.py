"""The cards of the Neurons page: those with a figure, and those that the page lays out itself."""

from __future__ import annotations

from components.kit.card import Card, Panel
from pages.cards import card_callbacks

HISTOGRAM = Card("nrn-histogram", "Its tokens", 330)
DESCENT = Card("nrn-descent", "The descent", 290)
ARMS = Card("nrn-arms", "What falls without it, and without controls", 400)
BEFORE = Card("nrn-before", "Before and after", 400)
COSINES = Card("nrn-cosines", "Cosines of neuron and channels", 440)
REBUILDING = Card("nrn-rebuilding", "How much of the neuron they rebuild", 440)
MAP = Card("nrn-map", "Kurtosis by layer", 400)
SHARES = Card("nrn-shares", "Channels beyond the null, by layer", 380)
READY = Panel("nrn-ready", "Neurons whose channels are ready")
ENDS = Panel("nrn-both-ends", "Tokens of both ends")
CHANNELS = Panel("nrn-channels-card", "Channels")
ABLATION = Panel("nrn-ablation", "Take one channel out of the running model")
ARM_ROWS = Panel("nrn-arm-rows", "Ablation as a table")
NULL = Panel("nrn-null-card", "Where channels of random vectors land")
SETS = Panel("nrn-sets-card", "Channels of a list of neurons")
card_callbacks(HISTOGRAM, DESCENT, ARMS, BEFORE, COSINES, REBUILDING, MAP, SHARES)
