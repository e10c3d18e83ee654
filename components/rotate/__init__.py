"""Figures and cards of vocabulary channels."""
