"""Callbacks of "What is this token?": regions and the split of every token of a text, and one token's two segments."""

from __future__ import annotations

from typing import Any

from dash import ALL, Input, Output, State, callback, ctx, html, no_update

from analysis.mfa.ops.regions import ExplainTokens
from components.kit.panels import user_error
from components.mfa.figures import token_parts, two_segments
from pages.common import attempt, spec_of


@callback(
    Output("parts", "data"),
    Output("explain-error", "children"),
    Input("explain", "n_clicks"),
    Input("region-fit", "value"),
    Input("rotation", "value"),
    State("explain-text", "value"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def explain(_clicks: Any, fit: str | None, rotation: str, text: Any, model: Any, session: str) -> tuple[Any, Any]:
    """Every token of the text, split."""
    if not fit:
        return no_update, no_update
    result, panel = attempt(lambda: ExplainTokens(spec_of(model), fit, text or "", rotation), session, "explain")
    if result is None:
        return no_update, panel
    return {**result.data, "chosen": _longest(result.data), "fit": fit, "text": text}, None


def _longest(parts: dict[str, Any]) -> int:
    """The token to open on: the one with the longest local offset that lies within what the fit has seen."""
    places = range(min(parts["outside"], len(parts["labels"]) - 1), len(parts["labels"]))
    return max(places, key=lambda i: parts["local"][i])


@callback(
    Output("parts", "data", allow_duplicate=True),
    Input({"part": ALL}, "n_clicks"),
    Input("token-parts", "clickData"),
    State("parts", "data"),
    prevent_initial_call=True,
)
def choose(clicks: Any, figure_click: Any, parts: Any) -> Any:
    """Choose a token on the strip or in the figure."""
    if not parts:
        return no_update
    if isinstance(ctx.triggered_id, dict):
        if not ctx.triggered[0]["value"]:
            return no_update
        chosen = ctx.triggered_id["part"]
    else:
        chosen = (figure_click or {}).get("points", [{}])[0].get("pointNumber")
    valid = isinstance(chosen, int) and 0 <= chosen < len(parts["labels"])
    return {**parts, "chosen": chosen} if valid and chosen != parts["chosen"] else no_update


@callback(
    Output("token-strip", "children"),
    Output("token-facts", "children"),
    Output("token-parts", "figure"),
    Output("token-parts-caption", "children"),
    Output({"settings": "token-parts"}, "data"),
    Output("segments", "figure"),
    Output("segments-caption", "children"),
    Output({"settings": "segments"}, "data"),
    Output("steer-like", "disabled"),
    Input("parts", "data"),
    Input("theme", "data"),
    prevent_initial_call=True,
)
def show(parts: Any, theme: str) -> tuple[Any, ...]:
    """Strip, sentence and both figures of the chosen token."""
    if not parts:
        return (no_update,) * 9
    i = parts["chosen"]
    strip = [
        html.Button(
            label,
            id={"part": n},
            className="attune-token attune-tok" + (" attune-picked" if n == i else ""),
            type="button",
            **{"data-token-position": str(n), "data-token-soft": ""},
            title=f"{parts['region'][n]}: {parts['region_labels'][n]}",
            style={"--shade": round(0.8 * parts["responsibility"][n] * (n >= parts["outside"]), 3)},
        )
        for n, label in enumerate(parts["labels"])
    ]
    whole = max(parts["norm"][i] ** 2, 1e-12)
    text = html.P(
        [
            html.Strong(f"“{parts['labels'][i]}”"),
            f" lies in region {parts['region'][i]} (",
            html.Strong(parts["region_labels"][i]),
            f") with responsibility {parts['responsibility'][i]:.3f}; next is {parts['second'][i]} "
            f"({parts['second_labels'][i]}) with {parts['second_share'][i]:.3f}. Of its squared distance from the "
            f"mean, the rest takes {parts['rest'][i] ** 2 / whole:.0%}. log p = {parts['log_density'][i]:.0f} nats.",
            " The fit has not seen first positions such as this one." if i < parts["outside"] else "",
        ]
    )
    settings = {"text": parts["text"], "fit": parts["fit"], "token": i, "label": parts["labels"][i]}
    path = {"x": parts["path_x"][i], "y": parts["path_y"][i]}
    whole_text = "x = mean + (centroid − mean) + local offset + rest, exactly; norms of the three parts. Click a bar."
    plane_text = f"Token {i}, “{parts['labels'][i]}”: the plane that holds its points best."
    first = (token_parts(parts, theme, i), whole_text, settings)
    second = (two_segments(path, theme), plane_text, settings)
    # The token card needs the text; the wrapper that holds it has no box of its own.
    strip = [html.Div(strip, style={"display": "contents"}, **{"data-token-text": parts["text"]})]
    return (strip, text, *first, *second, False)


@callback(
    Output("liked", "data"),
    Output("explain-error", "children", allow_duplicate=True),
    Input("steer-like", "n_clicks"),
    State("parts", "data"),
    State("region-fit", "value"),
    prevent_initial_call=True,
)
def steer_like(clicks: int | None, parts: Any, fit: str | None) -> tuple[Any, Any]:
    """Put the token's region on the sliders, with all local factors as they are at that token."""
    if not clicks or not parts or not fit:
        return no_update, no_update
    i = parts["chosen"]
    if parts["fit"] != fit:
        return no_update, user_error("This text was explained with another fit. Explain it again.")
    return {"kind": "factors", "region": parts["region"][i], "factors": parts["factors"][i], "turn": clicks}, None
