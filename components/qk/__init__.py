"""Figures and cards of query-key subspaces."""
