"""One token through all four decompositions."""
