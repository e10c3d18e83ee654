"""The cards of the MLP features page that have no graph, as plain values: lists, a feature, texts, tables.

The page lays them out with :mod:`components.snmf.card`, :mod:`components.snmf.tree` and its own scripts; what leaves
the page is drawn from these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from analysis.snmf.answers.factorization import (
    ConceptGraph,
    DetectionComparison,
    FeatureContext,
    FeatureFacts,
    FeatureTable,
    MethodScore,
    NeuronOverlap,
    TokenLogit,
)
from analysis.snmf.answers.steering import FeatureTexts, SteeringArm, SteeringComparison
from components.kit.colouring import scale_of
from components.kit.part import Cell, Facts, Table, Text, Texts
from components.kit.view import Drawing, NoOptions, view
from components.kit.written import TextsOptions, check_texts, text_control, text_numbers, text_parts
from components.snmf.card import ORDERS, matching, ordered
from components.snmf.evidence import (
    BASELINES,
    arms_control,
    arms_numbers,
    arms_verdict,
    band_control,
    detection_control,
    effect_numbers,
    feature_numbers,
    fit_numbers,
    methods_control,
    methods_numbers,
    overlap_control,
    overlap_numbers,
)
from components.snmf.figures import METHODS, PromptEnd
from components.snmf.tree import TreeOptions, children_of, place, tree_numbers

ARM_NAMES = {
    "feature": "this feature",
    "DiffMean": "DiffMean (supervised)",
    "single neuron": "its largest neuron alone",
    "random sparse": "null: random sparse direction",
    "shuffled neurons": "null: its weights on other neurons",
}
"""What the arms of steering are called, in the order in which they stand."""
LISTED = 100
"""Rows of the list of features that leave the page."""


@dataclass(frozen=True)
class ListOptions:
    """``order`` and ``words`` of the search, as on the page."""

    order: str = "auc"
    words: str = ""


@view("mlp-features/features", FeatureTable, options=ListOptions)
def feature_table(table: FeatureTable, options: ListOptions, theme: str) -> Drawing:
    """The list of features."""
    rows = matching(ordered(table.rows, options.order), options.words)
    columns = ("feature", "label", "AUC", "theme it tells", "active, share of tokens", "leading theme", "its share")
    listed = tuple(
        (r.feature, r.label, r.auc, r.auc_theme, r.active, r.theme, r.purity if r.theme else None)
        for r in rows[:LISTED]
    )
    searched = f" that hold “{options.words}”" if options.words.strip() else ""
    cut = f"; the first {LISTED} are listed" if len(rows) > LISTED else ""
    order = dict(ORDERS).get(options.order, ORDERS[0][1])
    return Drawing(
        caption=f"{len(rows)} of {table.features} features{searched}, {order}{cut}. {table.caption}",
        parts=(Table("Features", columns, listed),),
        control=band_control(table),
        numbers=fit_numbers(table) | {"features listed": float(len(rows))},
    )


def fit_facts(table: FeatureTable) -> tuple[tuple[str, str], ...]:
    """What a factorization is, in names and values."""
    levels = ", ".join(str(n) for n in table.levels)
    return (
        ("layer and site", f"{table.layer}, {table.site.replace('_', ' ')}, {table.width:,} wide"),
        ("features", f"{table.features} ({levels} from the smallest concepts to the largest)"),
        ("share of neurons kept", f"{table.kept:.1%}"),
        ("tokens", f"{table.tokens:,}"),
        ("explained", f"{table.explained:.1%} of the squared length (not centred)"),
    )


@view("mlp-features/fit", FeatureTable)
def fit_parts(table: FeatureTable, options: NoOptions, theme: str) -> Drawing:
    """The facts of the fit that is open."""
    facts = Facts("This fit", (*fit_facts(table), ("made by", table.command)))
    return Drawing(caption=table.caption, parts=(facts,), numbers=fit_numbers(table))


@view("mlp-features/feature", FeatureFacts)
def feature_parts(feature: FeatureFacts, options: NoOptions, theme: str) -> Drawing:
    """What a feature is: contexts, tokens of both poles, themes, detection."""
    scores = feature.detection
    interval = "" if scores.interval is None else f"{scores.interval[0]:.2f} to {scores.interval[1]:.2f}"
    random = "" if scores.random_auc is None else f"{scores.random_auc[0]:.2f} to {scores.random_auc[1]:.2f}"
    detection = Facts(
        "Does it tell its theme?",
        (
            ("theme", scores.theme),
            ("AUC", scores.auc),
            ("95 % interval", interval),
            ("random sparse directions, 95 %", random),
            ("its weights on other neurons", scores.shuffled_auc),
            ("the paper's score", scores.score),
            ("scored on", scores.sentence),
        ),
    )
    shares = tuple((row.theme, row.share) for row in feature.themes)
    return Drawing(
        caption=f"{feature.sentence} {feature.readout}".strip(),
        facts={"label": feature.label},
        parts=(
            Texts("Where it is most active", _contexts(feature.contexts)),
            Texts("A random sample of where it is active", _contexts(feature.random_contexts)),
            _pole("Pushes up", feature.plus),
            _pole("Pushes down", feature.minus),
            Table("Themes", ("theme", "share of its activation"), shares),
            detection,
        ),
        control=detection_control(scores),
        numbers=feature_numbers(feature),
    )


def _contexts(contexts: Sequence[FeatureContext]) -> tuple[Text, ...]:
    out = []
    for context in contexts:
        pieces = tuple((t.replace("␣", " "), v) for t, v in zip(context.tokens, context.values, strict=True))
        out.append(Text(context.theme or "no theme", "".join(text for text, _ in pieces), tokens=pieces))
    return tuple(out)


def _pole(title: str, rows: Sequence[TokenLogit]) -> Table:
    return Table(title, ("token", "logit"), tuple((row.token, row.logit) for row in rows))


@view("mlp-features/split", NeuronOverlap, FeatureTable)
def overlap_parts(overlap: NeuronOverlap, table: FeatureTable, options: NoOptions, theme: str) -> Drawing:
    """The neurons of the core, those that each feature has alone, and what leads by the direct path."""
    names = ["core", *(f"only {f.feature} {f.label}" for f in overlap.features)]
    rows: list[tuple[Cell, ...]] = []
    for name, neurons, direct in zip(names, (overlap.core, *overlap.exclusive), overlap.direct.tolist(), strict=True):
        leads = ", ".join(overlap.axes.columns[j] for j in leading(direct))
        rows.append((name, len(neurons), ", ".join(map(str, neurons)) or "none", leads))
    columns = ("part", "how many", "which", "leads by the direct path")
    return Drawing(
        caption=overlap.sentence,
        parts=(Table("Core and exclusive neurons", columns, tuple(rows)),),
        control=overlap_control(overlap, table),
        numbers=overlap_numbers(overlap) | effect_numbers(overlap),
    )


def leading(direct: Sequence[float], most: int = 4) -> list[int]:
    """The columns that a part raises most by the direct path."""
    order = np.argsort(-np.asarray(direct, np.float64), kind="stable")[:most].tolist()
    return [int(j) for j in order if direct[j] > 0]


@view("mlp-features/related", NeuronOverlap, FeatureTable)
def related_pairs(overlap: NeuronOverlap, table: FeatureTable, options: NoOptions, theme: str) -> Drawing:
    """The pairs of the whole fit that share most neurons."""
    rows = tuple((p.a, p.labels[0], p.b, p.labels[1], p.shared) for p in overlap.related)
    columns = ("feature", "label", "and feature", "its label", "neurons shared")
    most = {"most shared": float(max(p.shared for p in overlap.related))} if overlap.related else {}
    return Drawing(
        caption="Pairs of the whole fit that share most neurons.",
        parts=(Table("Pairs that share most", columns, rows),),
        control=overlap_control(overlap, table),
        numbers=most,
    )


@view("mlp-features/concept", ConceptGraph, options=TreeOptions)
def concept_parts(tree: ConceptGraph, options: TreeOptions, theme: str) -> Drawing:
    """The concept at the top with its contexts, and all concepts below it."""
    layout = place(tree, options.root)
    top = layout.nodes[options.root]
    children = children_of(layout.edges)
    rows: list[tuple[Cell, ...]] = []
    for parent in layout.x:
        for child, weight in children.get(parent, []):
            node, shared = layout.nodes[child], "yes" if child in layout.shared else ""
            rows.append((node.level, child, node.label, parent, weight, shared))
    columns = ("level", "concept", "label", "in", "weight, share of the parent's largest", "shared")
    left = f" {layout.left_out} weaker ones are left out." if layout.left_out else ""
    return Drawing(
        caption=f"{tree.sentence} Any weights draw a tree: a branch means something only if its contexts do.{left}",
        facts={"label": top.label},
        parts=(
            Facts(f"Concept {top.id}", (("label", top.label), ("tokens", ", ".join(top.top)))),
            Texts("Where it is most active", tuple(Text("", text) for text in top.contexts)),
            Table("Below it", columns, tuple(rows)),
        ),
        numbers=tree_numbers(layout),
    )


def in_order(arms: Sequence[SteeringArm]) -> list[SteeringArm]:
    """The feature first, the nulls last."""
    order = list(ARM_NAMES)
    return sorted(arms, key=lambda arm: order.index(arm.name) if arm.name in order else len(order))


@view("mlp-features/arms", SteeringComparison, options=PromptEnd)
def arm_rows(comparison: SteeringComparison, options: PromptEnd, theme: str) -> Drawing:
    """The feature and its baselines, each at the strength where the next token costs the same KL."""
    rows = [
        (
            ARM_NAMES.get(arm.name, arm.name),
            arm.strength,
            arm.kl,
            "met" if arm.met else "not met",
            ", ".join(f"{t.token} {t.change:+.2f}" for t in arm.up),
            ", ".join(f"{t.token} {t.change:+.2f}" for t in arm.down),
        )
        for arm in in_order(comparison.arms)
    ]
    columns = ("direction", "strength", "KL, nats", "target", "rises most", "falls most")
    return Drawing(
        caption=" ".join(filter(None, [f"After “{options.prompt}”.", arms_verdict(comparison), comparison.sentence])),
        facts={"label": comparison.label},
        parts=(Table("Directions at the same KL", columns, tuple(rows)),),
        control=arms_control(comparison),
        numbers=arms_numbers(comparison),
    )


@view("mlp-features/texts", FeatureTexts, options=TextsOptions)
def feature_texts(texts: FeatureTexts, options: TextsOptions, theme: str) -> Drawing:
    """Unsteered text and that with the feature side by side, with a baseline's if one was written."""
    check_texts(texts, options)
    control = BASELINES.get(options.control, "control text")
    return Drawing(
        caption=f"Each token is shaded by: {scale_of(options.colour, texts.readings).words}.",
        parts=(*text_parts(texts, options, "With the feature", f"At the same KL: {control}"),),
        control=text_control(texts, control),
        numbers=text_numbers(texts, options),
    )


def ranked(rows: Sequence[MethodScore]) -> list[MethodScore]:
    """Layer by layer, the features first and the nulls last."""
    order = list(METHODS)
    return sorted(rows, key=lambda r: (r.layer, order.index(r.method) if r.method in order else len(order)))


@view("mlp-features/detection", DetectionComparison)
def detection_rows(comparison: DetectionComparison, options: NoOptions, theme: str) -> Drawing:
    """Every method at every layer with its intervals."""
    rows = tuple(
        (
            r.layer, METHODS[r.method][0] if r.method in METHODS else r.method,
            r.auc, r.auc_low, r.auc_high, r.score, r.score_low, r.score_high,
        )
        for r in ranked(comparison.rows)
    )  # fmt: skip
    columns = ("layer", "method", "AUC", "AUC low", "AUC high", "score", "score low", "score high")
    return Drawing(
        caption=comparison.sentence,
        facts={"command": comparison.command},
        parts=(Table("Detection, with 95 % intervals", columns, rows),),
        control=methods_control(comparison, "auc"),
        numbers=methods_numbers(comparison, "auc"),
    )
