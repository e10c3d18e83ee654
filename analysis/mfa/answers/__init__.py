"""Answers about regions of activations, as frozen dataclasses: no torch here."""
