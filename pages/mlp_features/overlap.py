"""Callbacks of the comparison: which features are in it, the neurons they share, what core and rest do."""

from __future__ import annotations

from typing import Any

from dash import Input, Output, State, callback, html, no_update

from analysis.errors import UserError
from analysis.snmf.ops.factorization import FeatureOverlap
from components.kit.figure_card import blank
from components.kit.panels import note
from components.kit.token import token
from components.snmf.figures import part_effects, shared_matrix
from pages.common import attempt, refusal, spec_of
from pages.mlp_features.state import FEWEST, MOST
from pages.presses import Press, queue_callbacks, settle


@callback(
    Output("mlp-members-done", "data"),
    Output("mlp-overlap-error", "children"),
    Input("mlp-members-presses", "data"),
    prevent_initial_call=True,
)
def change_members(asked: Any) -> tuple[Any, Any]:
    """The features compared after all that was pressed."""
    if not asked:
        return no_update, no_update
    done, refused = settle(asked, changed)
    return done, None if refused is None else refusal(refused, FeatureOverlap)


queue_callbacks("mlp-members", Input("mlp-facts", "data"))


def changed(members: list[int] | None, press: Press) -> list[int]:
    """The features compared after one press: a feature is put in or taken out, a pair replaces what is there.

    Raises UserError if there is no room for one more.
    """
    now, kind, feature = list(members or []), press["kind"], press.get("feature")
    if kind == "clear":
        return []
    if kind == "pair":
        return [int(n) for n in press["pair"]]
    if feature is None or (kind == "compare" and feature in now):
        return now
    if feature in now:
        return [n for n in now if n != feature]
    if len(now) >= MOST:
        raise UserError(f"At most {MOST} features can be compared. Take one out first.", "features")
    return [*now, int(feature)]


@callback(
    Output("mlp-members", "data"),
    Input("mlp-facts", "data"),
    State("mlp-members", "data"),
    State("mlp-feature", "data"),
    prevent_initial_call=True,
)
def members_of(facts: Any, members: list[int] | None, chosen: int | None) -> Any:
    """Another fit begins anew."""
    now = list(members or [])
    after = kept_members(facts, now, chosen)
    return no_update if after == now else after


def kept_members(facts: Any, now: list[int], chosen: int | None) -> list[int]:
    """At opening no feature is chosen yet, and what the address names is kept as far as this fit has it."""
    return [n for n in now if n < facts["features"]] if facts and chosen is None else []


@callback(Output("mlp-chips", "children"), Input("mlp-members", "data"), Input("mlp-facts", "data"))
def draw_chips(members: list[int] | None, facts: Any) -> Any:
    """The features compared, each with a button that takes it out."""
    labels = {r["feature"]: r["label"] for r in (facts or {}).get("rows", [])}
    chips = [
        html.Span(
            [
                html.Button(
                    f"{n} {labels.get(n, '')}", className="attune-link", type="button", **{"data-mlp-feature": str(n)}
                ),
                html.Button(
                    "×",
                    className="attune-small",
                    type="button",
                    **{"data-mlp-member": str(n), "aria-label": f"take out feature {n}"},
                ),
            ],
            className="attune-chip",
        )
        for n in members or []
    ]
    return chips or [note("none yet: press + in the list, or choose a pair below")]


@callback(
    Output("mlp-shared", "figure"),
    Output("mlp-shared-caption", "children"),
    Output({"settings": "mlp-shared"}, "data"),
    Output("mlp-effects", "figure"),
    Output("mlp-effects-caption", "children"),
    Output({"settings": "mlp-effects"}, "data"),
    Output("mlp-split", "children"),
    Output("mlp-related", "children"),
    Output("mlp-overlap-error", "children", allow_duplicate=True),
    Input("mlp-members", "data"),
    Input("mlp-facts", "data"),
    Input("mlp-tab", "active_tab"),
    Input("theme", "data"),
    State("model", "data"),
    State("session", "data"),
    prevent_initial_call=True,
)
def show_overlap(
    members: list[int] | None, facts: Any, tab: str, theme: str, model: Any, session: str
) -> tuple[Any, ...]:
    """The comparison; with fewer than two features only the pairs of the fit from which one may start."""
    if not facts or tab != "overlap":
        return (no_update,) * 9
    chosen = tuple(n for n in members or [] if n < facts["features"])
    enough = len(chosen) >= FEWEST
    asked = chosen if enough else (0, 1)
    result, panel = attempt(lambda: FeatureOverlap(spec_of(model), facts["fit"], asked), session, "mlp-overlap")
    if result is None:
        return (*[no_update] * 8, panel)
    data, arrays = result.data, result.arrays
    pairs = related(data["related"])
    if not enough:
        text = "choose two features or more"
        empty = note(f"Choose {FEWEST} to {MOST} features: + in the list, or a pair beside this.")
        return blank(420, text), "", None, blank(420, text), "", None, empty, pairs, no_update
    settings = {"fit": facts["fit"], "features": data["features"]}
    width, unit = facts["width"], "neurons" if facts["site"] == "mlp_hidden" else "dimensions"
    size = float(arrays["shared"].diagonal().mean())
    caption = (
        f"On the diagonal how many {unit} each keeps. Two sets of {size:.0f} drawn at random from {width:,} share "
        f"{size * size / width:.2f} on average."
    )
    return (
        shared_matrix(data["features"], arrays["shared"], theme),
        caption,
        settings | {"core": data["core"], "exclusive": data["exclusive"]},
        part_effects(data["effects"], arrays["effects"], theme),
        data["sentence"],
        settings | {"effects": data["effects"]},
        split(data, arrays.get("direct")),
        pairs,
        None,
    )


def split(data: dict[str, Any], direct: Any) -> Any:
    """Which neurons are in the core and which each feature has alone; what each part does by the direct path."""
    parts = [("core", data["core"]), *zip([f["label"] for f in data["features"]], data["exclusive"], strict=True)]
    rows = []
    for i, (name, neurons) in enumerate(parts):
        leads: list[Any] = []
        if direct is not None:
            order = sorted(range(len(data["effects"]["ids"])), key=lambda j: -float(direct[i][j]))[:4]
            leads = [
                token(
                    data["effects"]["columns"][j],
                    data["effects"]["ids"][j],
                    title=f"{float(direct[i][j]):+.2f} by the direct path",
                )
                for j in order
                if direct[i][j] > 0
            ]
        listed = ", ".join(map(str, neurons[:24])) + (" …" if len(neurons) > 24 else "")
        rows.append(
            html.Tr([html.Th(name if i == 0 else f"only {name}"), html.Td(len(neurons)), html.Td(listed or "none")]
                    + ([html.Td(leads)] if direct is not None else []))
        )  # fmt: skip
    titles = ["part", "how many", "which"] + (["leads by the direct path"] if direct is not None else [])
    head = html.Thead(html.Tr([html.Th(t) for t in titles]))
    return html.Table([head, html.Tbody(rows)], className="attune-table")


def related(pairs: list[dict[str, Any]]) -> Any:
    """Pairs to start from, those that share most first."""
    rows = [
        html.Button(
            [
                html.Span(f"{p['shared']} shared", className="attune-row-number"),
                html.Span(f"{p['a']} {p['labels'][0]}", className="attune-row-label"),
                html.Span(f"{p['b']} {p['labels'][1]}", className="attune-row-label"),
            ],
            className="mlp-pair",
            type="button",
            **{"data-mlp-pair": f"{p['a']}:{p['b']}"},
        )
        for p in pairs
    ]
    return rows or [note("No two features of this fit have anything in common to start from.")]
