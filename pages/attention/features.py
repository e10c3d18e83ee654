"""The list of features: define a contrast, preview it, fit it on all heads, choose the active one."""

from __future__ import annotations

import base64
import json
import time
from functools import partial

from dash import ALL, Input, Output, State, callback, clientside_callback, ctx, html, no_update, set_props
from dash.exceptions import PreventUpdate

from analysis.errors import UserError, empty_number, is_empty
from analysis.qk.contrasts.spec import MAX_EXAMPLES, MAX_SEED, MIN_EXAMPLES, ContrastSpec
from analysis.qk.ops.features import FeatureStatus, FitContrast, PreviewContrast, feature_name
from analysis.view_ref import QuestionRef
from components.kit.panels import note, user_error
from components.kit.types import Json, Node, Relay, Typed
from components.qk.contrast_form import contrast_form, preview
from components.qk.evidence_card import FeatureOptions
from components.qk.prompt_parts import contrast_examples
from pages.attention.cards import FEATURES
from pages.attention.state import MOST_FEATURES, features_of, text_of
from pages.common import ask_for, ask_job, refusal, spec_of
from pages.presses import Press, press, queue_callbacks, settle


@callback(
    Output("contrast-form", "children"),
    Input("kind", "value"),
    Input("define", "n_clicks"),
    Input("made", "data"),
    State("contrast-form", "children"),
    prevent_initial_call=True,
)
def open_form(kind: str, _clicks: int, made: Json, form: Node) -> Node:
    """The form of a kind of contrast; what was typed into it stays when it is closed and opened again. What was made of
    the prompt comes into it."""
    if made and "made.data" in ctx.triggered_prop_ids:
        return contrast_form("template", ContrastSpec.from_dict(made["contrast"]))
    return no_update if ctx.triggered_id == "define" and form else contrast_form(kind)


# The button opens and closes it, at once; another kind opens it, and so does what was made of the prompt.
clientside_callback(
    "(clicks, kind, made, open) => dash_clientside.callback_context.triggered.some("
    "(t) => ['kind.value', 'made.data'].includes(t.prop_id))"
    " ? true : dash_clientside.attune.toggle('form-panel', clicks, open)",
    Output("form-panel", "is_open"),
    Input("define", "n_clicks"),
    Input("kind", "value"),
    Input("made", "data"),
    State("form-panel", "is_open"),
    prevent_initial_call=True,
)


def contrast_of(
    kind: str, examples: Typed, seed: Typed, values: list[Typed], ids: list[dict[str, str]], name: Typed = ""
) -> ContrastSpec:
    """The contrast that the form describes. Raises UserError."""
    options = {i["option"]: v for i, v in zip(ids, values, strict=True)}
    if is_empty(examples):  # which would be the kind's default
        wanted = f"a whole number from {MIN_EXAMPLES} to {MAX_EXAMPLES:,}"
        raise empty_number("The number of examples", wanted, "n_examples")
    if is_empty(seed):
        raise empty_number("The seed", f"a whole number from 0 to {MAX_SEED:,}", "seed")
    return ContrastSpec(kind, examples, seed, options, str(name or ""))


@callback(
    Output("feature-made", "data"),
    Output("form-error", "children"),
    Output("contrast-preview", "children"),
    Output("form-panel", "is_open", allow_duplicate=True),
    Input("add-feature", "n_clicks"),
    Input("preview-feature", "n_clicks"),
    State("kind", "value"),
    State("examples", "value"),
    State("contrast-seed", "value"),
    State("contrast-name", "value"),
    State({"option": ALL}, "value"),
    State({"option": ALL}, "id"),
    State("features", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def add_feature(
    _add: int | None,
    _preview: int | None,
    kind: str,
    examples: Typed,
    seed: Typed,
    name: Typed,
    values: list[Typed],
    ids: list[dict[str, str]],
    features: Json,
    model: Json,
    session: str,
) -> tuple[Json, Node, Node, bool]:
    """Preview what the form describes, or add it to the list; refusals stand under the form and lose nothing."""
    if not ctx.triggered or not ctx.triggered[0]["value"]:
        raise PreventUpdate
    try:
        contrast = contrast_of(kind, examples, seed, values, ids, name)
    except UserError as error:
        return no_update, refusal(error, PreviewContrast), no_update, no_update
    known = list(features or [])
    if ctx.triggered_id == "add-feature":
        if contrast.to_dict() in known:
            return no_update, note("This feature is in the list already."), no_update, no_update
        if len(known) >= MOST_FEATURES:
            return (
                no_update,
                user_error(f"At most {MOST_FEATURES} features fit side by side. Remove one first."),
                no_update,
                no_update,
            )
    # Building a few examples shows whether words and positions work for this model's tokenizer.
    reply, panel = ask_for(lambda: PreviewContrast(spec_of(model), contrast), session, "preview")
    if reply is None:
        return no_update, panel, no_update, no_update
    if ctx.triggered_id == "add-feature":
        return {"feature": contrast.to_dict(), "turn": _add}, None, no_update, False
    return no_update, None, preview(reply.answer), no_update


@callback(
    Output("form-error", "children", allow_duplicate=True),
    Input("jsonl-upload", "contents"),
    prevent_initial_call=True,
)
def upload(contents: str | None) -> Node:
    """Put an uploaded JSONL file into the form, where it can be read before it is used."""
    try:
        text = base64.b64decode((contents or "").partition(",")[2], validate=True).decode("utf-8")
    except ValueError:
        return user_error("That file is not UTF-8 text. Save it as UTF-8 and try again.")
    set_props({"option": "text"}, {"value": text})  # type: ignore[arg-type]
    return None


# What the form has made joins the list through the queue, with the other presses on it.
clientside_callback(
    "(made) => { if (made) dash_clientside.attune.press('features', { kind: 'add', feature: made.feature });"
    " return dash_clientside.no_update; }",
    Output("features-sink", "className", allow_duplicate=True),
    Input("feature-made", "data"),
    prevent_initial_call=True,
)


# A fitted contrast that was opened from a file joins the list.
clientside_callback(
    "(file) => { if (file && file.contrast && file.ours) dash_clientside.attune.press('features',"
    " { kind: 'add', feature: file.contrast }); return dash_clientside.no_update; }",
    Output("features-sink", "title", allow_duplicate=True),
    Input("files-opened", "data"),
    prevent_initial_call=True,
)


@callback(Output("features-done", "data"), Input("features-presses", "data"), prevent_initial_call=True)
def reorder(asked: Json) -> Json:
    """The list after all that was pressed: a feature joins it, leaves it, or moves up; the order decides who takes its
    share first."""
    return settle(asked, rearranged)[0] if asked else no_update


def rearranged(features: Json, press: Press) -> list[Json]:
    """The list after one press. A press names the feature itself, since its place may change before it is answered."""
    feature, known = press["feature"], list(features or [])
    if press["kind"] == "add":
        return known if feature in known or len(known) >= MOST_FEATURES else [*known, feature]
    if feature not in known:
        return known
    index = known.index(feature)
    known.pop(index)
    if press["kind"] == "raise":
        known.insert(max(0, index - 1), feature)
    return known


queue_callbacks("features")


@callback(
    Output("feature-list", "children"),
    Output("fitted", "data"),
    Output("active", "options"),
    Output("active", "value"),
    Output("address-features", "data"),
    Input("features", "data"),
    Input("reading", "data"),
    Input("fit-error", "children"),
    Input("files-opened", "data"),
    Input("just-fitted", "data"),
    State("fitted", "data"),
    State("active", "value"),
    State("model", "data"),
)
def show_features(
    features: Json, question: Json, _fit: Node, _opened: Json, just: Json, fitted: Json, active: int | None, model: Json
) -> tuple[Node, Json, list[Json], int, str]:
    """The list with what is fitted; asked anew when a fit ends and when the model is there. A feature that was just
    fitted becomes the active one, once it stands in the list."""
    chosen = features_of(features)
    flags = bundled = (False,) * len(chosen)
    if question:
        reply, _ = ask_for(lambda: FeatureStatus(spec_of(model), chosen))
        flags, bundled = (reply.answer.fitted, reply.answer.bundled) if reply else (flags, bundled)
    stands = ["comes fitted with Attune" if b else "fitted" if f else "" for f, b in zip(flags, bundled, strict=True)]
    chips = [_chip(i, f, said) for i, (f, said) in enumerate(zip(chosen, stands, strict=True))]
    options = [{"label": f"{i + 1} {feature_name(f)}", "value": i} for i, f in enumerate(chosen)]
    state = {"flags": flags, "turn": fitted["turn"] + 1, "just": fitted.get("just")}
    empty = html.Span("No features yet. Define one.", className="attune-note")
    place = active if active is not None and active < len(chosen) else 0
    if just and just["turn"] != state["just"] and just["feature"] in (features or []):
        place, state["just"] = features.index(just["feature"]), just["turn"]
    return chips or empty, state, options, place, text_of(features)


def _chip(index: int, contrast: ContrastSpec, fitted: str) -> Node:
    name = f"{index + 1} {feature_name(contrast)}"
    named = {"with": json.dumps({"feature": contrast.to_dict()})}
    return html.Div(
        [
            html.Span(className=f"attune-dot attune-dot-{index}"),
            html.Span(name),
            html.Span(f"{contrast.n_examples:,} examples, {fitted or 'not fitted'}", className="attune-note"),
            html.Button(
                "↑",
                className="attune-small",
                type="button",
                disabled=index == 0,
                **{"aria-label": f"move {name} up", **press("features", "raise", **named)},
            ),
            html.Button(
                "×",
                className="attune-small",
                type="button",
                **{"aria-label": f"remove {name}", **press("features", "remove", **named)},
            ),
        ],
        className="attune-chip" + ("" if fitted else " attune-unfitted"),
    )


@callback(FEATURES.ref, Input("features", "data"), Input("active", "value"), Input("model", "data"))
def active_contrast(features: Json, active: int | None, model: Json) -> Json:
    """What draws examples of the active feature; they are built when they are drawn."""
    chosen = features_of(features)
    if active is None or active >= len(chosen):
        return None
    contrast = chosen[active]
    question = QuestionRef(PreviewContrast.__name__, PreviewContrast(spec_of(model), contrast).to_params())
    return contrast_examples.ref([question], FeatureOptions(feature_name(contrast))).to_dict()


@callback(
    Output("fit-error", "children"),
    Output("score", "value", allow_duplicate=True),
    Output("just-fitted", "data"),
    Input("fit", "n_clicks"),
    State("features", "data"),
    State("fitted", "data"),
    State("active", "value"),
    State("rotary", "value"),
    State("model", "data"),
    State("session", "data"),
    State("address", "data"),
    background=True,
    progress=[Output("fit-bar", "value"), Output("fit-text", "children")],
    progress_default=["0", ""],
    running=[(Output("fit", "disabled"), True, False), (Output("fit-cancel", "disabled"), False, True)],
    cancel=[Input("fit-cancel", "n_clicks")],
    interval=300,
    prevent_initial_call=True,
)
def fit_features(
    set_progress: Relay,
    clicks: int | None,
    features: Json,
    fitted: Json,
    active: int | None,
    rotary: str,
    model: Json,
    session: str,
    address: str,
) -> tuple[Node, str, Json]:
    """Fit what is not fitted yet, one job each; fits come from the store when they are there. The last of those that
    were not fitted before becomes the active feature."""
    if not clicks:
        return no_update, no_update, no_update
    chosen = features_of(features)
    if not chosen:
        return user_error("There is no feature to fit. Define one first."), no_update, None
    place = active or 0
    if rotary == "post":
        place = next((i for i in range(len(chosen) - 1, -1, -1) if not any(fitted["flags"][i : i + 1])), place)
    just = {"feature": features[place], "turn": time.time_ns()}
    if rotary == "pre":
        chosen = chosen[place : place + 1]
    still: tuple[int, ...] = ()
    for contrast in chosen:
        reply, panel = ask_job(partial(FitContrast, spec_of(model), contrast, rotary), set_progress, session, address)
        if reply is None:
            return panel, no_update, None
        still = reply.answer.still_layers
    same = (
        f" Nothing rotates in layers {', '.join(map(str, still))}: their vectors before are those after."
        if still
        else ""
    )
    names = ", ".join(feature_name(c) for c in chosen)
    return (
        note(f"Fitted {names} on every head, vectors {rotary}-rotary.{same}"),
        (
            # Negative keys in another prompt get no attention to compare, so there the logit gap is the score.
            f"{'trace' if chosen[place].kind == 'lexical' else 'gap'}:{place}" if rotary == "post" else no_update
        ),
        just,
    )
