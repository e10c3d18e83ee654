"""Figures and cards of regions."""
