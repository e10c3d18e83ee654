"""Operations of MLP features."""
