"""Answers on neurons and their vocabulary channels, as frozen dataclasses: no torch here."""
