"""Answers on a small factorization, for tests of what is drawn from them."""

from __future__ import annotations

from collections.abc import Sequence

from analysis.snmf.answers.factorization import ExplainedCurve, FeatureRow, FeatureTable


def feature_row(feature: int, auc: float | None = None, label: str = "", **more: object) -> FeatureRow:
    """A row of the list; ``more``: further fields."""
    fields = {"top": ("x",), "active": 0.1, "theme": "", "purity": 0.0, "words": label, "character": "tokens"}
    return FeatureRow(feature=feature, label=label, auc=auc, auc_theme="", **(fields | more))  # type: ignore[arg-type]


def feature_table(areas: Sequence[float | None], site: str = "mlp_hidden", width: int = 64) -> FeatureTable:
    """The fit "f", with a feature for each area under the curve."""
    return FeatureTable(
        fit="f",
        layer=2,
        site=site,
        width=width,
        features=len(areas),
        kept=0.1,
        tokens=600,
        explained=0.4,
        caption="a caption",
        command="a test",
        levels=(len(areas),),
        curve=ExplainedCurve((1, 10, 20, 30), (0.1, 0.3, 0.35, 0.34), 20),
        random_auc=(0.3, 0.7),
        rows=tuple(feature_row(n, auc, f"label {n}") for n, auc in enumerate(areas)),
        search="",
    )
