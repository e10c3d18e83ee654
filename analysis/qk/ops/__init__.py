"""Operations of query-key subspaces."""
