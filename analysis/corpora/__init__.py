"""Texts to learn from: the bundled corpus of themes and their kinds, and texts that a user brings."""
