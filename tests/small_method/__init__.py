"""A small method for the test of docs/adding-a-method.md: how long the embedding of each token of a text is."""
