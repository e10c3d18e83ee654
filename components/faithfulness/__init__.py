"""Figures and tables of chain-of-thought faithfulness."""
