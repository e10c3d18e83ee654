"""Answers on MLP features, as frozen dataclasses: no torch here."""
