"""Callbacks of what others have made: their probes, their cases of an intervention, and the unit of their scales."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from dash import Input, Output, State, callback, clientside_callback, ctx, no_update

from analysis.engine.client import Reply
from analysis.tpr.answers.model import ModelFigures
from analysis.tpr.ops.others import OpenCases, OpenProbes
from analysis.tpr.ops.reading import BINDING_PROBES
from components.kit.panels import user_error
from components.kit.types import Json, Node, Typed
from components.othello.position import PROBES, probe_titles
from pages.common import ask_for, reply_of
from pages.othello.tabs import PROBE_CHOICES, set_options

MAX_SCALE = {"stream": 5, "absolute": 50}
PUBLISHED = (2, 7)
"""The blocks after which the published code edits, of a model with eight; its lengths are the grid of the unit
"absolute"."""


@callback(
    Output("oth-probes", "options", allow_duplicate=True),
    Output("oth-probes", "value", allow_duplicate=True),
    Output("oth-probes-said", "children"),
    Output("oth-probes-error", "children"),
    Input("oth-probes-upload", "contents"),
    State("oth-probes-upload", "filename"),
    State("oth-probes-block", "value"),
    State("oth-probes-place", "value"),
    State("oth-probes-number", "value"),
    State("oth-probes-centred", "value"),
    State("oth-labels", "value"),
    State("oth-source", "data"),
    State("oth-probes", "options"),
    State("session", "data"),
    prevent_initial_call=True,
)
def open_probes(
    contents: list[str] | None, names: list[str] | None, block: Typed, place: str, number: Typed, centred: bool,
    labels: str, source: str, options: Sequence[dict[str, str]], session: str,
) -> tuple[Json, Json, Node, Node]:  # fmt: skip
    """Take in the files that were chosen or dropped; the page uses them at once."""
    if not contents:
        return no_update, no_update, no_update, no_update
    files = tuple((name, content.partition(",")[2]) for name, content in zip(names or (), contents, strict=True))
    reply, panel = ask_for(
        lambda: OpenProbes(
            source, files=files, block=block, place=place, number=number, centred=bool(centred), labels=labels
        ),
        session,
        "oth-probes",
    )
    if reply is None:
        return no_update, no_update, None, panel
    sets = [reply.answer.name, *(o["value"] for o in options if o["value"] not in ("", reply.answer.name))]
    return set_options(sets), reply.answer.name, reply.answer.sentence, None


@callback(
    Output("oth-given", "data"),
    Output("oth-given-said", "children"),
    Output("oth-given-clear", "disabled"),
    Output("oth-given-upload", "contents"),
    Input("oth-given-upload", "contents"),
    Input("oth-given-clear", "n_clicks"),
    State("oth-given-upload", "filename"),
    prevent_initial_call=True,
)
def open_cases(contents: str | None, _clear: int | None, name: str | None) -> tuple[Json, Node, bool, Json]:
    """Cases from a file, which the next run takes; or random ones again."""
    if ctx.triggered_id == "oth-given-clear":
        return None, "", True, None
    if not contents:
        return no_update, no_update, no_update, no_update
    try:
        text = base64.b64decode(contents.partition(",")[2], validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        said = user_error(
            "That file is no text in UTF-8. Cases are JSON; the manual page of Othello shows how a pickle becomes it."
        )
        return no_update, said, no_update, None
    reply, panel = ask_for(lambda: OpenCases(name=(name or "cases.json")[:200], text=text))
    if reply is None:
        return no_update, panel, no_update, None
    return reply.answer.key, reply.answer.sentence, False, None


@callback(
    {name: Output(f"oth-title-{name}", "children") for name in PROBES},
    Output("oth-probe", "options"),
    Input("oth-facts", "data"),
    prevent_initial_call=True,
)
def show_titles(figures: Json) -> tuple[dict[str, str], Json]:
    """What the probes in use are called: those of others by their own sizes."""
    if figures is None:
        return dict.fromkeys(PROBES, no_update), no_update
    reply: Reply[ModelFigures] = reply_of(figures)
    titles = probe_titles(reply.answer)
    if not reply.answer.facts.probes:
        return titles, PROBE_CHOICES
    kinds = [kind for kind in BINDING_PROBES if kind in reply.answer.facts.kinds]
    return titles, [{"label": titles[kind], "value": kind} for kind in kinds] or PROBE_CHOICES


@callback(Output("oth-scale", "max"), Input("oth-unit", "value"), prevent_initial_call=True)
def scale_range(unit: str) -> int:
    """The longest edit of the slider, in the unit that is chosen."""
    return MAX_SCALE[unit]


@callback(
    Output("oth-blocks", "max"),
    Output("oth-blocks", "marks"),
    Output("oth-blocks", "value", allow_duplicate=True),
    Output("oth-published", "disabled"),
    Output("oth-published-said", "children"),
    Input("oth-facts", "data"),
    State("oth-blocks", "max"),
    prevent_initial_call=True,
)
def edited_blocks(figures: Json, last: int) -> tuple[Json, Json, Json, Json, Json]:
    """The blocks of the model, after all of which is edited at first, and whether they include the published ones."""
    if figures is None:
        return (no_update,) * 5
    reply: Reply[ModelFigures] = reply_of(figures)
    top = reply.answer.facts.layers - 1
    lacks = top < PUBLISHED[1]
    why = f"This model has no blocks {PUBLISHED[0]} to {PUBLISHED[1]}: its last one is {top}." if lacks else ""
    return max(top, 1), {str(n): str(n) for n in range(top + 1)}, no_update if top == last else [0, top], lacks, why


clientside_callback(
    f"() => ['absolute', 'best', {list(PUBLISHED)}]",
    Output("oth-unit", "value", allow_duplicate=True),
    Output("oth-choose", "value", allow_duplicate=True),
    Output("oth-blocks", "value", allow_duplicate=True),
    Input("oth-published", "n_clicks"),
    prevent_initial_call=True,
)
