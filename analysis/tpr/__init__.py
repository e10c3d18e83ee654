"""Tensor-product probes of OthelloGPT (arXiv 2605.09967): roles for squares, fillers for colours, and what follows.

`base` and `probes` are the estimators, `start`, `fitting` and `reference` how they are trained, `scores` how they are
judged; `truncate`, `gauge`, `geometry` and `codes` take them apart; `edits`, `cases`, `interventions` and `trials`
change the board inside the model; `library` keeps them. Nothing is imported here, so that the web process can name the
package without torch.
"""
