"""The Othello page: play, the board that the model believes, its roles and fillers, edits."""
