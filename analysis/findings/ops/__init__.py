"""Operations of findings."""
