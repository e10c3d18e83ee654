"""Operations of Prepare."""
