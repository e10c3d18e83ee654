"""The talk: a board as screens, one finding each, and the speaker's window. A page without Dash."""
