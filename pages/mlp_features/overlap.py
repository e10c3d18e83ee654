"""Callbacks of the comparison: which features are in it, the neurons they share, what core and rest do."""

from __future__ import annotations

from collections.abc import Sequence

from dash import Input, Output, State, callback, clientside_callback, html, no_update

from analysis.errors import UserError
from analysis.snmf.answers.factorization import NeuronOverlap, RelatedPair
from analysis.snmf.ops.factorization import FeatureOverlap
from components.kit.card import UNCHANGED
from components.kit.panels import note
from components.kit.token import token
from components.kit.types import Json, Node, Outputs
from components.snmf.maps import part_effects, shared_matrix
from components.snmf.parts import leading, overlap_parts, related_pairs
from pages.cards import content, ref_of
from pages.common import ask_for, refusal, spec_of
from pages.mlp_features.cards import EFFECTS, RELATED, SHARED, SPLIT
from pages.mlp_features.state import FEWEST, MOST, table_of
from pages.presses import Press, queue_callbacks, settle


@callback(
    Output("mlp-members-done", "data"),
    Output("mlp-members-error", "children"),
    Input("mlp-members-presses", "data"),
    prevent_initial_call=True,
)
def change_members(presses: Json) -> tuple[Json, Node]:
    """The features compared after all that was pressed."""
    if not presses:
        return no_update, no_update
    done, refused = settle(presses, after_press)
    return done, None if refused is None else refusal(refused, FeatureOverlap)


queue_callbacks("mlp-members", Input("mlp-facts", "data"))

# Why a press was refused stands apart from what became of the comparison, whose answer may come later.
clientside_callback(
    "() => null",
    Output("mlp-members-error", "children", allow_duplicate=True),
    Input("mlp-facts", "data"),
    prevent_initial_call=True,
)


def after_press(members: Sequence[int] | None, press: Press) -> list[int]:
    """The features compared after one press: a feature is put in or taken out, a pair replaces what is there.

    Raises UserError if there is no room for one more.
    """
    now, kind, feature = list(members or []), press.get("kind"), press.get("feature")
    if kind == "clear":
        return []
    if kind == "pair":
        return [int(n) for n in press.get("pair", ())]
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
def members_of(question: Json, members: list[int] | None, chosen: int | None) -> Json:
    """Another fit begins anew."""
    now, table = list(members or []), table_of(question)
    after = members_in(0 if table is None else table.answer.features, now, chosen)
    return no_update if after == now else after


def members_in(features: int, now: Sequence[int], chosen: int | None) -> list[int]:
    """At opening no feature is chosen yet, and what the address names stays as far as a fit of so many has it."""
    return [n for n in now if n < features] if chosen is None else []


@callback(Output("mlp-chips", "children"), Input("mlp-members", "data"), Input("mlp-facts", "data"))
def draw_chips(members: list[int] | None, question: Json) -> Node:
    """The features compared, each with a button that takes it out."""
    table = table_of(question)
    labels = {} if table is None else {r.feature: r.label for r in table.answer.rows}
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
    output={
        "shared": SHARED.outputs,
        "effects": EFFECTS.outputs,
        "split": Output("mlp-split", "children"),
        "related": Output("mlp-related", "children"),
        "split_ref": SPLIT.ref,
        "related_ref": RELATED.ref,
        "problem": Output("mlp-overlap-error", "children"),
    },
    inputs={
        "members": Input("mlp-members", "data"),
        "question": Input("mlp-facts", "data"),
        "tab": Input("mlp-tab", "active_tab"),
        "theme": State("theme", "data"),
        "model": State("model", "data"),
        "session": State("session", "data"),
    },
    prevent_initial_call=True,
)
def show_overlap(members: list[int] | None, question: Json, tab: str, theme: str, model: Json, session: str) -> Outputs:
    """The comparison; with fewer than two features only the pairs of the fit from which one may start."""
    rest = ("split", "related", "problem", "split_ref", "related_ref")
    nothing = {"shared": UNCHANGED, "effects": UNCHANGED, **dict.fromkeys(rest, no_update)}
    table = table_of(question)
    if table is None or tab != "overlap":
        return nothing
    fit = table.answer
    chosen = tuple(n for n in members or [] if n < fit.features)
    enough = len(chosen) >= FEWEST
    compared = chosen if enough else (0, 1)
    reply, panel = ask_for(lambda: FeatureOverlap(spec_of(model), fit.fit, compared), session, "mlp-overlap")
    if reply is None:
        return nothing | {"problem": panel}
    pairs = {"related": related(reply.answer.related), "related_ref": ref_of(related_pairs, reply, table)}
    if not enough:
        empty = SHARED.empty("choose two features or more")
        hint = note(f"Choose {FEWEST} to {MOST} features: + in the list, or a pair beside this.")
        return nothing | pairs | {"shared": empty, "effects": empty, "split": hint, "split_ref": None}
    return {
        "shared": content(shared_matrix, reply, table, theme=theme),
        "effects": content(part_effects, reply, theme=theme),
        "split": split(reply.answer),
        "split_ref": ref_of(overlap_parts, reply, table),
        "problem": None,
        **pairs,
    }


def split(overlap: NeuronOverlap) -> Node:
    """Which neurons are in the core and which each feature has alone; what each part does by the direct path."""
    names = ["core", *(f"only {f.label}" for f in overlap.features)]
    rows = []
    for name, neurons, direct in zip(names, (overlap.core, *overlap.exclusive), overlap.direct.tolist(), strict=True):
        leads = [
            token(overlap.axes.columns[j], overlap.axes.ids[j], title=f"{direct[j]:+.2f} by the direct path")
            for j in leading(direct)
        ]
        listed = ", ".join(map(str, neurons[:24])) + (" …" if len(neurons) > 24 else "")
        rows.append(html.Tr([html.Th(name), html.Td(len(neurons)), html.Td(listed or "none"), html.Td(leads)]))
    head = html.Tr([html.Th(t) for t in ("part", "how many", "which", "leads by the direct path")])
    return html.Table([html.Thead(head), html.Tbody(rows)], className="attune-table")


def related(pairs: Sequence[RelatedPair]) -> Node:
    """Pairs to start from, those that share most first."""
    rows = [
        html.Button(
            [
                html.Span(f"{p.shared} shared", className="attune-row-number"),
                html.Span(f"{p.a} {p.labels[0]}", className="attune-row-label"),
                html.Span(f"{p.b} {p.labels[1]}", className="attune-row-label"),
            ],
            className="mlp-pair",
            type="button",
            **{"data-mlp-pair": f"{p.a}:{p.b}"},
        )
        for p in pairs
    ]
    return rows or [note("No two features of this fit have anything in common to start from.")]
