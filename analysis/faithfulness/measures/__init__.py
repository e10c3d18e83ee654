"""Ten measures of whether a chain of thought is faithful, two of them in their published form too, and free baselines.

Each is a pure function of a model's replies. All of them are asked and scored together::

    from analysis.faithfulness.measures import BASELINES, MEASURES, evaluate

    scores = evaluate(item, MEASURES + BASELINES, reader)
    scores["Early Answering"].soft
"""

from __future__ import annotations

from analysis.faithfulness.measures.base import Measure, Score
from analysis.faithfulness.measures.battery import (
    BASELINES,
    CONTINUED,
    MEASURES,
    OF_ROWS,
    asked,
    by_name,
    evaluate,
    score_all,
    wanted,
)

__all__ = [
    "BASELINES",
    "CONTINUED",
    "MEASURES",
    "OF_ROWS",
    "Measure",
    "Score",
    "asked",
    "by_name",
    "evaluate",
    "score_all",
    "wanted",
]
