"""What a feature is, in words and contexts: tokens coloured by its activation, output tokens, themes, detection.

Dash asks every component on the page at every change, so what is long, the list of features and the tokens of
contexts, goes to the browser as plain rows and is drawn there (assets/features.js); as components it took
seconds.
Rows carry data attributes for one listener, and tokens carry their ids, for the token card.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dash import html

from analysis.snmf.answers.factorization import (
    Detection,
    FeatureContext,
    FeatureFacts,
    FeatureRow,
    SearchHit,
    ThemeShare,
    TokenLogit,
)
from components.kit.panels import empty
from components.kit.token import token
from components.kit.types import Json, Node

ORDERS = (
    ("auc", "best detected first (AUC)"),
    ("theme", "by theme"),
    ("active", "most active first"),
    ("feature", "by number"),
)


_STANDING = {"theme": 0, "token": 1, "few texts": 2, "tokens": 3}
"""Characters of features without a score, those that stand out most first."""


def ordered(rows: Sequence[FeatureRow], order: str) -> list[FeatureRow]:
    """The rows of a fit in the order chosen; features that are not scored come last."""
    keys: dict[str, Callable[[FeatureRow], tuple[float | str | bool, ...]]] = {
        "auc": lambda r: (r.auc is None, -(r.auc or 0.0)),
        "theme": lambda r: (not r.theme, r.theme, -r.purity),
        "active": lambda r: (-r.active,),
        "feature": lambda r: (r.feature,),
    }
    if order not in keys or order == "auc":
        order = "standing" if undetected(rows) else "auc"
    keys["standing"] = lambda r: (_STANDING.get(r.character, len(_STANDING)), -r.purity, -r.active)
    return sorted(rows, key=keys[order])


def undetected(rows: Sequence[FeatureRow]) -> str:
    """What is said of a fit of which no feature is scored on a theme; "" where one is."""
    if not rows or any(r.auc is not None for r in rows):
        return ""
    return "No feature of this fit was scored on a theme. Those whose texts and tokens stand out most come first."


def matching(rows: Sequence[FeatureRow], words: str | None) -> list[FeatureRow]:
    """The rows whose label, theme or tokens hold all the words."""
    wanted = (words or "").lower().split()
    return [r for r in rows if all(w in r.words for w in wanted)]


def list_rows(rows: Sequence[FeatureRow]) -> Json:
    """What the browser needs of each feature to draw the list: number, label, AUC as text, activity as text, tokens."""
    return [
        {
            "feature": r.feature,
            "label": r.label,
            "auc": "" if r.auc is None else f"{r.auc:.2f}",
            "active": f"{r.active:.1%}",
            "top": ", ".join(r.top),
        }
        for r in rows
    ]


def search_rows(hits: Sequence[SearchHit], titles: Mapping[str, str], limit: int = 12) -> list[Node]:
    """Features of all fits that promote a token or are active on it, best ranks first."""
    return [
        html.Button(
            [
                html.Span(f"{hit.where}, rank {hit.rank}", className="attune-note"),
                html.Span(hit.label, className="attune-row-label"),
                html.Span(titles.get(hit.fit, hit.fit), className="attune-row-purity"),
            ],
            className="mlp-found",
            type="button",
            **{"data-mlp-feature": str(hit.feature), "data-mlp-fit": hit.fit},
        )
        for hit in hits[:limit]
    ]


def pole(title: str, rows: Sequence[TokenLogit]) -> Node:
    """The output tokens of one pole, each with its logit as number and bar."""
    top = max((abs(r.logit) for r in rows), default=1.0) or 1.0
    return html.Div(
        [
            html.H4(title),
            *[
                html.Div(
                    [
                        token(r.token, r.id),
                        html.Span(html.I(style={"width": f"{100 * abs(r.logit) / top:.0f}%"}), className="mlp-bar"),
                        html.Span(f"{r.logit:+.2f}", className="attune-row-number"),
                    ],
                    className="mlp-logit",
                )
                for r in rows
            ],
        ],
        className="mlp-pole",
    )


def context_rows(contexts: Sequence[FeatureContext]) -> Json:
    """What the browser needs of each context: tokens with the feature's activation as a share of its largest, the token
    that the context was chosen for, the theme, and the tokens' ids."""
    return [
        {
            "tokens": [t.replace("␣", " ") for t in c.tokens],
            "values": [round(v, 3) for v in c.values],
            "at": c.at,
            "theme": c.theme or "no theme",
            "ids": list(c.ids),
        }
        for c in contexts
    ]


def detection(scores: Detection) -> Node:
    """The AUC on a scale from 0 to 1 with its interval, on the band of random directions; the paper's score beside."""
    auc, random, shuffled = scores.auc, scores.random_auc, scores.shuffled_auc
    if auc is None:
        return empty(scores.sentence or "Not scored: the texts of this fit have no themes.")
    low, high = scores.interval or (auc, auc)
    numbers = [f"AUC {auc:.2f}, 95 % interval {low:.2f} to {high:.2f}"]
    if random:
        numbers.append(f"random sparse directions: {random[0]:.2f} to {random[1]:.2f}")
    if shuffled is not None:
        numbers.append(f"its weights on other neurons: {shuffled:.2f}")
    scale = [
        html.I(className="mlp-band", style=_span(*random)) if random else None,
        html.I(className="mlp-interval", style=_span(low, high)),
        html.I(className="mlp-shuffled", style=_at(shuffled)) if shuffled is not None else None,
        html.I(className="mlp-point", style=_at(auc)),
    ]
    verdict, good = _standing(low, high, random, scores)
    known = scores.passages is not None and scores.others is not None
    counts = f"{scores.passages} passages of the theme, {scores.others} others" if known else "on held-out passages"
    score = "not scored" if scores.score is None else f"{scores.score:+.2f}"
    return html.Div(
        [
            html.Div(verdict, className="mlp-verdict attune-good" if good else "mlp-verdict attune-bad"),
            html.Div([html.Strong(scores.theme), ": ", "; ".join(numbers), "."]),
            html.Div(scale, className="mlp-scale", role="img", **{"aria-label": "; ".join(numbers)}),
            html.Div([html.Span("0"), html.Span("AUC 0.5"), html.Span("1")], className="mlp-ends", **_HIDDEN),
            html.Details(
                [
                    html.Summary(f"How it was scored: {counts}"),
                    html.Div(scores.sentence, className="attune-note"),
                    html.Div(f"The paper's score, ln of the mean on the theme over the mean elsewhere: {score}."),
                ]
            ),
        ],
        className="mlp-detection",
    )


FEW_PASSAGES = 5
"""With fewer of a theme, or of others, an interval by drawing them again is narrower than it should be."""


def _standing(low: float, high: float, random: Sequence[float] | None, scores: Detection) -> tuple[str, bool]:
    """How an interval of the AUC stands to the band of random directions, in words, and whether that speaks for it."""
    fewest = min(FEW_PASSAGES if n is None else n for n in (scores.passages, scores.others))
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


def themes(rows: Sequence[ThemeShare]) -> Node:
    """Where the feature's activation lies, as shares of it."""
    return html.Div(
        [
            html.Div(
                [
                    html.Span(r.theme),
                    html.Span(html.I(style={"width": f"{100 * r.share:.0f}%"}), className="mlp-bar"),
                    html.Span(f"{r.share:.0%}", className="attune-row-number"),
                ],
                className="mlp-logit",
            )
            for r in rows
        ]
        or [empty("The texts of this fit have no themes.")]
    )


def feature_card(feature: FeatureFacts) -> Node:
    """What the feature pushes and where its activation lies; contexts, neurons and detection are drawn above it."""
    return html.Div(
        [
            pole("Pushes up", feature.plus),
            pole("Pushes down", feature.minus),
            html.Div([html.H4("Themes, shares of its activation"), themes(feature.themes)]),
            html.Div(feature.readout, className="attune-note"),
        ],
        className="mlp-facts",
    )
