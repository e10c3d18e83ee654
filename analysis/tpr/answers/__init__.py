"""Answers of the Othello page: what its operations say, as frozen dataclasses, without torch."""
