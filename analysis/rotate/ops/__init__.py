"""Operations of vocabulary channels."""
