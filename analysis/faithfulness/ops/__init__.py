"""Operations of chain-of-thought faithfulness."""
