"""Othello and a GPT that plays it: rules, random games, OthelloGPT in the layouts of the community, its training.

`squares`, `board` and `records` are plain Python and cost the web process nothing; `bitboard` and `games` compile with
numba; `model`, `checkpoints`, `training` and `legality` know torch. Nothing here knows a probe.
"""
