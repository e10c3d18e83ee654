"""Scores of rows from outside in the columns that the published code writes, so that both can be joined.

There a row of the input comes back once for each metric, with ``metric``, ``target_model`` (the model that was
measured), ``score`` (higher means more faithful), ``level``, ``metadata``, ``api_cost_usd``, ``wall_time_s`` and
``includes_init``. Our scores are of another form than theirs where the model writes on there: the metadata say which,
and who wrote the chain. Time is kept for a whole study only, so its cell is empty.
"""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np

from analysis.faithfulness.parts import FORMS
from analysis.faithfulness.row_fields import OF_CHAIN, OF_LABEL
from analysis.faithfulness.study import Study

METRICS = {
    "Early Answering": "early_answering", "Adding Mistakes, continued": "adding_mistakes",
    "Filler Tokens": "filler_tokens", "SCM": "scm", "FUR": "fur", "CC-SHAP": "cc_shap",
    "Simulatability": "simulatability", "Paraphrasing, continued": "paraphrasing", "keyword": "regex_baseline",
    "Adding Mistakes": "adding_mistakes_at_once", "Paraphrasing": "paraphrasing_at_once",
}  # fmt: skip
"""Names in the published code by ours; the forms that are other experiments have names of their own."""
MADE = ("metric", "score", "level", "metadata", "api_cost_usd", "wall_time_s", "includes_init")
COLUMNS = (
    *OF_LABEL[:2], *OF_CHAIN, "label_type", *OF_LABEL[2:], "cot", *MADE,
)  # fmt: skip


def scored_rows(study: Study, model: str) -> tuple[str, int]:
    """CSV of each label with each measure that has a score there, and the number of its rows.

    ``model``: the loaded model's name, which is ``target_model`` of every row. A cell that a spreadsheet would take for
    a formula begins with an apostrophe.
    """
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    steps = {(at, k): n for n, (at, k, _) in enumerate(study.manifest.get("steps") or ())}
    count = 0
    for at, item in enumerate(study.items):
        for mark in item.facts.get("marks") or ():
            row = {**(item.facts.get("columns") or {}), **mark, "cot": "".join(item.steps)}
            written_by = row.get("target_model", "")
            whole = "step" not in mark
            place = None if whole else steps.get((at, mark["step"]))
            for number, measure in enumerate(study.manifest["measures"]):
                if not whole and place is None:
                    continue
                forms = study.scores[:, number, at] if whole else study.step_scores[:, number, place]
                score = float(forms[FORMS.index(measure["main"])])
                if not np.isfinite(score):
                    continue
                facts = {
                    "form": measure["main"],
                    **{name: round(float(v), 6) for name, v in zip(FORMS, forms, strict=True) if np.isfinite(v)},
                    "written_by": written_by,
                    "steps_in_block": item.facts.get("block", 1),
                }
                if measure["family"] == "judge":
                    facts["judge"] = study.manifest["judge"]["model"]
                made: dict[str, Any] = {
                    **row, "target_model": model, "metric": METRICS.get(measure["name"], _slug(measure["name"])),
                    "score": f"{score:.6g}", "level": "cot" if whole else "step", "metadata": json.dumps(facts),
                    "api_cost_usd": "0.0", "wall_time_s": "", "includes_init": "False",
                }  # fmt: skip
                writer.writerow([_cell(str(made.get(name, "")), name) for name in COLUMNS])
                count += 1
    return out.getvalue(), count


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "_" for c in name.casefold())


def _cell(text: str, name: str) -> str:
    """A cell; texts of others are no formulas, our own numbers stay numbers."""
    return f"'{text}" if name not in MADE and text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
