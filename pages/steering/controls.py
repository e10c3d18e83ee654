"""Callbacks of the controls: the set-up beside what any push of its size does."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, html, no_update

from analysis.mfa.ops.steer import SteerControls
from analysis.mfa.settings import SteeringSettings
from components.mfa.figures import controls_bars
from pages.common import attempt, spec_of


@callback(
    Output("controls-table", "children"),
    Output("controls-figure", "figure"),
    Output("controls-figure-caption", "children"),
    Output({"settings": "controls-figure"}, "data"),
    Output("controls-error", "children"),
    Input("compare", "n_clicks"),
    Input("theme", "data"),
    State("steer", "data"),
    State("steer-prompt", "value"),
    State("steer-chat", "value"),
    State("seed", "value"),
    State("positive", "value"),
    State("negative", "value"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def compare(
    clicks: int | None, theme: str, steer: Any, text: Any, chat: bool, seed: Any, positive: Any, negative: Any,
    model: Any, session: str,
) -> tuple[Any, Any, Any, Any, Any]:  # fmt: skip
    """The price and the leading tokens of the set-up and of its controls."""
    if not clicks or not steer:
        return (no_update,) * 5
    result, panel = attempt(
        lambda: SteerControls(
            spec_of(model), text or "", bool(chat), SteeringSettings.from_dict(steer), seed,
            positive or "", negative or "",
        ),
        session,
        "controls",
    )  # fmt: skip
    if result is None:
        return no_update, no_update, no_update, no_update, panel
    rows = result.data["rows"]
    table = html.Table(
        [
            html.Thead(html.Tr([html.Th(t) for t in ("", "KL", "tokens that gain most of the leading ones", "what")])),
            html.Tbody(
                [
                    html.Tr(
                        [
                            html.Th(r["name"]),
                            html.Td(f"{r['kl']:.3f}"),
                            html.Td(_gainers(r)),
                            html.Td(r["note"], className="attune-note"),
                        ]
                    )
                    for r in rows
                ]
            ),
        ],
        className="attune-table",
    )
    settings = {"prompt": text, "steer": steer, "seed": seed, "rows": rows}
    caption = f"At the last position of “{(text or '')[-40:]}”; {_size_of(result.data)} Seed {seed}."
    return table, controls_bars(rows, theme), caption, settings, None


def _size_of(data: dict[str, Any]) -> str:
    """How large the controls are beside the set-up: equal only where each of them holds all parts of it."""
    said = "each push has the distance from the mean that the set-up has."
    if data["factors"]:
        said = "pushes have equal distance from the mean, but for the set-up's local factors, which only some have."
    if data["left_out"]:
        said += f" Left out, since the set-up is nothing but local factors: {', '.join(data['left_out'])}."
    return said


def _gainers(row: dict[str, Any]) -> Any:
    order = sorted(range(len(row["labels"])), key=lambda i: -row["change"][i])[:5]
    return [html.Span(row["labels"][i], className="attune-mark", title=f"{row['change'][i]:+.2f} nats") for i in order]
