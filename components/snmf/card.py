"""What a feature is, in words and contexts: tokens coloured by its activation, output tokens, themes, detection.

Dash asks every component on the page at every change, so what is long, the list of features and the tokens of
contexts, goes to the browser as plain rows and is drawn there (assets/pages/features.js); as components it took
seconds.
Rows carry data attributes for one listener, and tokens whose id is known carry it, for the token card.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html

from components.kit.panels import empty
from components.kit.token import token

ORDERS = (
    ("auc", "best detected first (AUC)"),
    ("theme", "by theme"),
    ("active", "most active first"),
    ("feature", "by number"),
)


def ordered(rows: Sequence[dict[str, Any]], order: str) -> list[dict[str, Any]]:
    """The rows of a fit in the order chosen; features that are not scored come last."""
    keys: dict[str, Any] = {
        "auc": lambda r: (r["auc"] is None, -(r["auc"] or 0.0)),
        "theme": lambda r: (not r["theme"], r["theme"], -r["purity"]),
        "active": lambda r: -r["active"],
        "feature": lambda r: r["feature"],
    }
    return sorted(rows, key=keys.get(order, keys["auc"]))


def matching(rows: Sequence[dict[str, Any]], words: str | None) -> list[dict[str, Any]]:
    """The rows whose label, theme or tokens hold all the words."""
    wanted = (words or "").lower().split()
    return [r for r in rows if all(w in r["words"] for w in wanted)]


def list_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the browser needs of each feature to draw the list: number, label, AUC as text, activity as text, tokens."""
    return [
        {
            "feature": r["feature"],
            "label": r["label"],
            "auc": "" if r["auc"] is None else f"{r['auc']:.2f}",
            "active": f"{r['active']:.1%}",
            "top": ", ".join(r["top"]),
        }
        for r in rows
    ]


def search_rows(rows: Sequence[dict[str, Any]], titles: dict[str, str], limit: int = 12) -> list[Any]:
    """Features of all fits that promote a token or are active on it, best ranks first."""
    return [
        html.Button(
            [
                html.Span(f"{r['where']}, rank {r['rank']}", className="attune-note"),
                html.Span(r["label"], className="attune-row-label"),
                html.Span(titles.get(r["fit"], r["fit"]), className="attune-row-purity"),
            ],
            className="mlp-found",
            type="button",
            **{"data-mlp-feature": str(r["feature"]), "data-mlp-fit": str(r["fit"])},
        )
        for r in rows[:limit]
    ]


def pole(title: str, rows: Sequence[dict[str, Any]]) -> Any:
    """The output tokens of one pole, each with its logit as number and bar."""
    top = max((abs(r["logit"]) for r in rows), default=1.0) or 1.0
    return html.Div(
        [
            html.H4(title),
            *[
                html.Div(
                    [
                        token(r["token"], r["id"]),
                        html.Span(html.I(style={"width": f"{100 * abs(r['logit']) / top:.0f}%"}), className="mlp-bar"),
                        html.Span(f"{r['logit']:+.2f}", className="attune-row-number"),
                    ],
                    className="mlp-logit",
                )
                for r in rows
            ],
        ],
        className="mlp-pole",
    )


def context_rows(contexts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the browser needs of each context: tokens with the feature's activation as a share of its largest, the token
    that the context was chosen for, the theme, and the tokens' ids where they are known."""
    return [
        {
            "tokens": [t.replace("␣", " ") for t in c["tokens"]],
            "values": [round(float(v), 3) for v in c["values"]],
            "at": c["at"],
            "theme": c["theme"] or "no theme",
            "ids": c.get("ids"),
        }
        for c in contexts
    ]


def detection(found: dict[str, Any]) -> Any:
    """The AUC on a scale from 0 to 1 with its interval, on the band of random directions; the paper's score beside."""
    if found.get("auc") is None:
        return empty(found.get("sentence") or "Not scored: the texts of this fit have no themes.")
    low, high = found.get("interval") or (found["auc"], found["auc"])
    random, shuffled = found.get("random_auc"), found.get("shuffled_auc")
    said = [f"AUC {found['auc']:.2f}, 95 % interval {low:.2f} to {high:.2f}"]
    if random:
        said.append(f"random sparse directions: {random[0]:.2f} to {random[1]:.2f}")
    if shuffled is not None:
        said.append(f"its weights on other neurons: {shuffled:.2f}")
    scale = [
        html.I(className="mlp-band", style=_span(*random)) if random else None,
        html.I(className="mlp-interval", style=_span(low, high)),
        html.I(className="mlp-shuffled", style=_at(shuffled)) if shuffled is not None else None,
        html.I(className="mlp-point", style=_at(found["auc"])),
    ]
    verdict, good = _standing(low, high, random, found)
    score = "not scored" if found.get("score") is None else f"{found['score']:+.2f}"
    return html.Div(
        [
            html.Div([html.Strong(found["theme"]), ": ", "; ".join(said), "."]),
            html.Div(scale, className="mlp-scale", role="img", **{"aria-label": "; ".join(said)}),
            html.Div([html.Span("0"), html.Span("AUC 0.5"), html.Span("1")], className="mlp-ends", **_HIDDEN),
            html.Div(verdict, className="attune-good" if good else "attune-bad"),
            html.Div(f"The paper's score, ln of the mean on the theme over the mean elsewhere: {score}."),
            html.Div(found.get("sentence", ""), className="attune-note"),
        ],
        className="mlp-detection",
    )


FEW_PASSAGES = 5
"""With fewer of a theme, or of others, an interval by drawing them again is narrower than it should be."""


def _standing(low: float, high: float, random: Sequence[float] | None, found: dict[str, Any]) -> tuple[str, bool]:
    """How an interval of the AUC stands to the band of random directions, in words, and whether that speaks for it."""
    fewest = min(found.get("passages", FEW_PASSAGES), found.get("others", FEW_PASSAGES))
    if random is None:
        return "There are no random directions to compare it with, so the AUC alone proves nothing.", False
    if high < random[0]:
        return "Below the random band: it tells its theme worse than a random direction does.", False
    if low <= random[1]:
        return "Its interval reaches into the random band: not told apart from a random direction.", False
    if fewest < FEW_PASSAGES:
        return f"Beyond the random band, but on {fewest} passages only, too few for the interval to be trusted.", False
    return "Beyond the random band.", True


_HIDDEN = {"aria-hidden": "true"}


def _at(value: float) -> dict[str, str]:
    return {"left": f"{100 * min(max(value, 0.0), 1.0):.1f}%"}


def _span(low: float, high: float) -> dict[str, str]:
    low, high = min(max(low, 0.0), 1.0), min(max(high, 0.0), 1.0)
    return {"left": f"{100 * low:.1f}%", "width": f"{max(0.6, 100 * (high - low)):.1f}%"}


def themes(rows: Sequence[dict[str, Any]]) -> Any:
    """Where the feature's activation lies, as shares of it."""
    return html.Div(
        [
            html.Div(
                [
                    html.Span(r["theme"]),
                    html.Span(html.I(style={"width": f"{100 * r['share']:.0f}%"}), className="mlp-bar"),
                    html.Span(f"{r['share']:.0%}", className="attune-row-number"),
                ],
                className="mlp-logit",
            )
            for r in rows
        ]
        or [empty("The texts of this fit have no themes.")]
    )


def feature_card(card: dict[str, Any]) -> Any:
    """The lower half of the card, from FeatureCard's answer; contexts and neurons are drawn beside it."""
    return html.Div(
        [
            pole("Pushes up", card["plus"]),
            pole("Pushes down", card["minus"]),
            html.Div(card["readout"], className="attune-note"),
            html.Div([html.H4("Themes, shares of its activation"), themes(card["themes"])]),
            html.Div([html.H4("Does it tell its theme?"), detection(card["detection"])]),
        ],
        className="mlp-facts",
    )
