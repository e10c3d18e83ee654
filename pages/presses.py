"""The server's half of a queue of presses (assets/frame/presses.js): all that wait for an answer, in their order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dash import Input, Output, clientside_callback, dcc, html

from analysis.errors import UserError

Press = dict[str, Any]


def queue_stores(name: str) -> list[Any]:
    """The stores through which presses go and answers come, beside the store ``name`` of the state itself."""
    return [
        dcc.Store(id=f"{name}-presses"),
        dcc.Store(id=f"{name}-done"),
        html.Div(id=f"{name}-sink", hidden=True),
    ]


def queue_callbacks(name: str, about: Input | None = None) -> None:
    """Register the browser's side of a queue: take in answers, and forget the presses of a page that was left.

    ``about``: what the presses are about, such as a fit; when it changes, presses that wait are forgotten too.
    """
    clientside_callback(
        f"(done) => dash_clientside.attune.settle('{name}', done)",
        Output(f"{name}-sink", "title"),
        Input(f"{name}-done", "data"),
        prevent_initial_call=True,
    )
    clientside_callback(
        f"() => dash_clientside.attune.fresh('{name}')",
        Output(f"{name}-sink", "lang"),
        Input(f"{name}-sink", "id"),
    )
    if about is not None:
        clientside_callback(
            f"(what) => dash_clientside.attune.about('{name}', what)",
            Output(f"{name}-sink", "lang", allow_duplicate=True),
            about,
            prevent_initial_call="initial_duplicate",
        )


def press(queue: str, kind: str, **said: Any) -> dict[str, Any]:
    """Attributes of a button whose presses go into a queue; ``said``: JSON texts of data-with and data-reads."""
    return {"data-press": queue, "data-kind": kind, **{f"data-{name}": value for name, value in said.items()}}


def settle(
    asked: dict[str, Any], one: Callable[[Any, Press], Any], start: Any = None
) -> tuple[dict[str, Any], UserError | None]:
    """The answer to all presses of a question, and why the last of them was refused, if it was.

    ``one``: the state after one press; its UserError leaves the state as it is. ``start``: the state to begin with,
    where that is more than the browser's store says.
    """
    state, refused = asked["state"] if start is None else start, None
    for what in asked["list"]:
        try:
            state, refused = one(state, what), None
        except UserError as error:
            refused = error
    done = {"to": asked["list"][-1]["n"], "from": asked["state"], "state": state}
    return done if start is None else done | {"start": start}, refused
