"""Answers of chain-of-thought faithfulness, as pages, figures and notebooks read them."""
