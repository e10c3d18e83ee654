"""Operations of regions of activations."""
