"""Measures of chain-of-thought faithfulness, scored on items whose label is known by construction (arXiv 2605.25052).

An item is a question, a chain and an answer; an ask is one context whose answer is read; a measure is two pure
functions, from an item to asks and from the replies to a score. So the passes of all measures can be shared.
"""
