"""What the paper reports for its measures: AUROC with a 95 % margin, on single steps and on whole chains.

These stand beside this page's own values as hollow markers. They come from ten models of 4 to 70 billion parameters and
from other items, so agreement or disagreement with a small model's values is no replication of either. "step" or
"chain" is None where the paper has no value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict


class Published(TypedDict):
    """AUROC and 95 % margin by level."""

    step: tuple[float, float] | None
    chain: tuple[float, float] | None


PUBLISHED: dict[str, Published] = {
    "Early Answering": {"step": (0.51, 0.01), "chain": (0.45, 0.03)},
    "Adding Mistakes, continued": {"step": (0.51, 0.02), "chain": (0.51, 0.04)},
    "Filler Tokens": {"step": (0.59, 0.01), "chain": (0.50, 0.02)},
    "SCM": {"step": None, "chain": (0.38, 0.03)},
    "FUR": {"step": (0.52, 0.02), "chain": None},
    "CC-SHAP": {"step": (0.41, 0.03), "chain": (0.70, 0.04)},
    "Simulatability": {"step": None, "chain": (0.50, 0.01)},
    "Paraphrasing, continued": {"step": None, "chain": (0.61, 0.03)},
}
"""By the measure's name on the board (dossier 1.4, after figure 2a of arXiv 2605.25052). Adding Mistakes and
Paraphrasing as asked at once are other experiments than the published ones, so nothing published stands beside them."""

OTHER_FORMS = {"Adding Mistakes": "Adding Mistakes, continued", "Paraphrasing": "Paraphrasing, continued"}
"""Measures that are other experiments than the published ones of that name, with the name of the published form."""

JUDGES: dict[str, Published] = {
    "language-model judge with the definitions": {"step": (0.87, 0.02), "chain": (0.82, 0.04)},
    "language-model judge, generic prompt": {"step": (0.68, 0.02), "chain": (0.67, 0.04)},
}
"""Judges that read the chain: large models under the authors' prompts. What is to be beaten."""
OUR_JUDGE = "judge"

NOTE = (
    "Published values: arXiv 2605.25052, figure 2a, as cited by public reading notes; AUROC with its 95 % margin over "
    "ten models of 4 to 70 billion parameters. Other models, other items: they are for comparison, not replicated here."
    " Published scores count changed answers in text that the model generates; the table names the form ranked here."
)


def published(name: str) -> Published:
    """What the paper reports for a measure of the board, by its name there."""
    if name == OUR_JUDGE:
        return JUDGES["language-model judge with the definitions"]
    return PUBLISHED.get(name, {"step": None, "chain": None})


def note(names: Sequence[str]) -> str:
    """What is to be said beside published values on a board of measures with these names."""
    said = [NOTE]
    if any(name in OTHER_FORMS for name in names):
        said.append(
            "No published value stands beside Adding Mistakes and Paraphrasing: the published ones drop the rest of "
            "the chain and let the model write on to its answer, these ask at once, and Paraphrasing keeps the rest. "
            "The published forms are named “continued”"
        )
        there = any(name in names for name in OTHER_FORMS.values())
        said[-1] += "." if there else "; this study was made without them, and one with them can be made under Studies."
    if OUR_JUDGE in names:
        said.append("The published judge is a far larger model under the authors' prompt; the one here has our words.")
    return " ".join(said)
