"""Boards and figures of the Othello page."""
