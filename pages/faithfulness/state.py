"""What the address of the Faithfulness page says, read defensively: what cannot be used is left out, and said."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from dash import ctx
from dash.exceptions import MissingCallbackContextException

from analysis.faithfulness.ops.study import TIERS
from pages.address import model_fields, parse_json, short

PATH = "/faithfulness"
# The state that travels in the address, in the order of the inputs of the address callback.
ADDRESS = ["model", "study", "item", "tab", "tier", "measure", "edits", "key"]
TABS = ("trace", "intervene", "board", "truth", "bias", "scores", "cost", "study")
EDITS = ("keep", "delete", "corrupt", "paraphrase", "fill", "block")
"""What can be done to a step; besides, ``text:`` and words of one's own."""
MOST_STEPS, MOST_TEXT = 200, 2_000
_STUDY = re.compile(r"[a-z0-9][a-z0-9-]{0,60}")
_LONGEST = {"item": 200, "measure": 60, "key": MOST_TEXT}


@dataclass(frozen=True)
class View:
    """The page's state at opening. ``item`` "": the first of the tier; ``edits``: one per step, () for none."""

    model: dict[str, Any] | None = None
    study: str = ""
    item: str = ""
    tab: str = "trace"
    tier: str | None = None
    measure: str | None = None
    edits: tuple[str, ...] = ()
    key: str = ""
    problems: tuple[str, ...] = ()


def read_address(query: dict[str, Any]) -> View:
    """A view from the query of an address, with a sentence for each entry that could not be used."""
    problems: list[str] = []
    fields = model_fields(query, problems)
    study = query.get("study")
    if study not in (None, "", "default"):
        if isinstance(study, str) and _STUDY.fullmatch(study):
            fields["study"] = study
        else:
            problems.append(
                f"The address gives study as {short(study)}, which is no study's name; the usual one is open."
            )
    for name, most in _LONGEST.items():
        value = query.get(name)
        if value not in (None, ""):
            if isinstance(value, str) and len(value) <= most and value.isprintable():
                fields[name] = value
            else:
                problems.append(f"The address gives {name} as {short(value)}; it was left out.")
    for name, allowed in (("tab", TABS), ("tier", TIERS)):
        value = query.get(name)
        if value is not None:
            if isinstance(value, str) and value in allowed:
                fields[name] = value
            else:
                problems.append(f"The address gives {name} as {short(value)}; it was left out.")
    if query.get("edits") is not None:
        edits = parse_json(query["edits"])
        if isinstance(edits, list) and len(edits) <= MOST_STEPS and all(is_edit(e) for e in edits):
            fields["edits"] = tuple(edits)
        else:
            problems.append("The edits in the address cannot be used: there must be one word for each step.")
    return View(**fields, problems=tuple(problems))


def awaits_model(start: Any, model: Any) -> bool:
    """Whether a page has just been opened whose address names another model than the window's: that one is coming, and
    what the address names must not be looked for in the old one."""
    named = (start or {}).get("model")
    try:
        return bool(named) and named != model and ctx.triggered_id is None
    except MissingCallbackContextException:  # called by hand
        return False


def is_edit(edit: Any) -> bool:
    """Whether a value is one of the edits, or a text of one's own that is not too long."""
    if not isinstance(edit, str):
        return False
    return edit in EDITS or (edit.startswith("text:") and len(edit) <= MOST_TEXT + 5)
