"""Figures and cards of MLP features."""
