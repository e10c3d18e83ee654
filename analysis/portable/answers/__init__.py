"""Answers about artefacts: what is on the shelf, what was saved, opened or deleted."""
