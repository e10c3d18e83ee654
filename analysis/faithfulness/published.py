"""What the paper reports for its measures: AUROC with a 95 % margin, on single steps and on whole chains.

These stand beside this page's own values as hollow markers. They come from ten models of 4 to 70 billion parameters and
from other items, so agreement or disagreement with a small model's values is no replication of either. "step" or
"chain" is None where the paper has no value.
"""

from __future__ import annotations

from typing import TypedDict


class Published(TypedDict):
    """AUROC and 95 % margin by level."""

    step: tuple[float, float] | None
    chain: tuple[float, float] | None


PUBLISHED: dict[str, Published] = {
    "Early Answering": {"step": (0.51, 0.01), "chain": (0.45, 0.03)},
    "Adding Mistakes": {"step": (0.51, 0.02), "chain": (0.51, 0.04)},
    "Filler Tokens": {"step": (0.59, 0.01), "chain": (0.50, 0.02)},
    "SCM": {"step": None, "chain": (0.38, 0.03)},
    "FUR": {"step": (0.52, 0.02), "chain": None},
    "CC-SHAP": {"step": (0.41, 0.03), "chain": (0.70, 0.04)},
    "Simulatability": {"step": None, "chain": (0.50, 0.01)},
    "Paraphrasing": {"step": None, "chain": (0.61, 0.03)},
}
"""By the measure's name on the board (dossier 1.4, after figure 2a of arXiv 2605.25052)."""

JUDGES: dict[str, Published] = {
    "language-model judge with the definitions": {"step": (0.87, 0.02), "chain": (0.82, 0.04)},
    "language-model judge, generic prompt": {"step": (0.68, 0.02), "chain": (0.67, 0.04)},
}
"""Judges that read the chain and were not built here: what is to be beaten."""

NOTE = (
    "Published values: arXiv 2605.25052, figure 2a, as cited by public reading notes; AUROC with its 95 % margin over "
    "ten models of 4 to 70 billion parameters. Other models, other items: they are for comparison, not replicated here."
)
