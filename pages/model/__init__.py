"""Which model is in use."""
