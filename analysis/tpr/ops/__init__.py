"""Operations of the Othello page."""
