"""The cards of the Steering page that have no graph, as plain values: lists, texts, tokens and facts.

The page lays them out with :mod:`components.mfa.card`, :mod:`components.mfa.region_list` and its own scripts; what
leaves the page is drawn from these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.mfa.answers.regions import ContextLine, Effects, FitMap, RegionFacts, TokenParts, TokenValue
from analysis.mfa.answers.steering import ControlTable, SteeredTexts
from components.kit.colouring import scale_of
from components.kit.part import Facts, Part, Table, Text, Texts
from components.kit.view import Drawing, NoOptions, view
from components.kit.written import TextsOptions, check_texts, text_control, text_numbers, text_parts
from components.mfa.card import SAMPLES
from components.mfa.evidence import (
    control_name,
    control_of_table,
    fit_control,
    fit_numbers,
    own_kl,
    presence_control,
    presence_numbers,
    token_numbers,
)
from components.mfa.region_figures import TokenOptions
from components.mfa.region_list import ORDERS, matching, ranked
from components.mfa.steering_figures import ControlOptions, size_of_controls

LISTED = 100
"""Rows of the list of regions that leave the page."""


@dataclass(frozen=True)
class ListOptions:
    """``order`` and ``words`` of the search, as on the page."""

    order: str = "theme"
    words: str = ""


@view("steering/regions", FitMap, options=ListOptions)
def region_table(fit: FitMap, options: ListOptions, theme: str) -> Drawing:
    """The list of regions."""
    rows = matching(ranked(fit.regions, options.order), options.words)
    table = Table(
        "Regions",
        ("region", "name", "character", "tokens", "share of its theme", "theme"),
        tuple((r.region, r.label, r.character, r.size, r.purity if r.theme else None, r.theme) for r in rows[:LISTED]),
    )
    searched = f" that hold “{options.words}”" if options.words.strip() else ""
    order = ORDERS.get(options.order, ORDERS["size"])
    cut = f"; the first {LISTED} are listed" if len(rows) > LISTED else ""
    return Drawing(
        caption=f"{len(rows)} of {len(fit.regions)} regions{searched}, {order}{cut}. {fit.facts.caption}",
        parts=(table,),
        control=fit_control(fit),
        numbers=fit_numbers(fit) | {"regions listed": float(len(rows))},
    )


@view("steering/region", RegionFacts, Effects)
def region_parts(region: RegionFacts, effects: Effects, options: NoOptions, theme: str) -> Drawing:
    """What a region is, and what steering there does."""
    return _region(region, _effects(effects), effects)


@view("steering/region-factors", RegionFacts, Effects, Effects)
def factor_parts(region: RegionFacts, effects: Effects, of_factors: Effects, options: NoOptions, theme: str) -> Drawing:
    """The same, with what each local factor adds."""
    rows = tuple((j, ", ".join(low), ", ".join(high)) for j, (low, high) in enumerate(of_factors.factors or ()))
    columns = ("factor", "gains at −3 spreads", "gains at +3 spreads")
    table = Table("What each local factor adds, beside the centroid alone", columns, rows)
    return _region(region, (*_effects(effects), table), effects)


def _region(region: RegionFacts, measured: Sequence[Part], effects: Effects) -> Drawing:
    factors = tuple((j, f.share, f.spread, f.low, f.high) for j, f in enumerate(region.factors))
    parts: list[Part] = [
        Facts(f"Region {region.region}: {region.label}", region.facts),
        *measured,
        _tokens("Over-represented among its members", "log-odds", region.lifted),
        _tokens("The unembedding alone would say", "logit", region.unembedded),
        *[Texts(f"{title}: {why}", _contexts(region.contexts[key])) for key, title, why in SAMPLES],
        Table("Local factors", ("factor", "share of the local variance", "spread", "low end", "high end"), factors),
    ]
    gains = {"largest gain": effects.promoted[0].value} if effects.promoted else {}
    numbers = {"local factors": float(len(region.factors))} | gains
    return Drawing(caption=region.readout, facts={"label": region.label}, parts=tuple(parts), numbers=numbers)


def _effects(effects: Effects) -> tuple[Part, ...]:
    change = "nats, mean of 3 neutral prompts"
    return (
        _tokens("Tokens that gain at strength 0.3", change, effects.promoted or ()),
        _tokens("Tokens that lose at strength 0.3", change, effects.suppressed or ()),
    )


def _tokens(title: str, number: str, rows: Sequence[TokenValue]) -> Table:
    return Table(title, ("token", number), tuple((t.token, t.value) for t in rows))


def _contexts(lines: Sequence[ContextLine]) -> tuple[Text, ...]:
    return tuple(
        Text(line.source, line.before + line.token + line.after, tokens=_marked(line)) for line in lines
    )  # fmt: skip


def _marked(line: ContextLine) -> tuple[tuple[str, float], ...]:
    pieces = ((line.before, 0.0), (line.token, 1.0), (line.after, 0.0))
    return tuple((text, shade) for text, shade in pieces if text)


@view("steering/texts", SteeredTexts, options=TextsOptions)
def steered_texts(texts: SteeredTexts, options: TextsOptions, theme: str) -> Drawing:
    """Unsteered and steered text side by side, with a control if one was written, and all their numbers."""
    check_texts(texts, options)
    presence = texts.presence
    pairs = zip(presence.labels, presence.base, presence.steered, strict=True)
    found = Table("Mean responsibility of the regions", ("region", "unsteered text", "steered text"), tuple(pairs))
    strengths = Facts("Strengths", tuple(options.strengths))
    return Drawing(
        caption=f"Each token is shaded by: {scale_of(options.colour, texts.readings).words}."
        + (f" Steering acts {options.when}." if options.when else ""),
        parts=(*text_parts(texts, options, "Steered", f"Control: {control_name(options)}"), found, strengths),
        control=text_control(texts, control_name(options)) if texts.control is not None else presence_control(texts),
        numbers=text_numbers(texts, options) | presence_numbers(presence),
    )


@view("steering/control-table", ControlTable, options=ControlOptions)
def control_rows(table: ControlTable, options: ControlOptions, theme: str) -> Drawing:
    """The set-up and its controls: price, and the tokens that gain most."""
    rows = []
    for row in table.rows:
        best = sorted(zip(row.change, row.labels, strict=True), key=lambda pair: -pair[0])[:5]
        rows.append((row.name, row.kl, ", ".join(label for _, label in best), row.note))
    columns = ("push", "KL, nats", "tokens that gain most of the leading ones", "what")
    return Drawing(
        caption=f"At the last position of “{options.prompt}”; {size_of_controls(table)} Seed {options.seed}.",
        parts=(Table("The set-up and its controls", columns, tuple(rows)),),
        control=control_of_table(table),
        numbers={"kl": own_kl(table)},
    )


@view("steering/token", TokenParts, options=TokenOptions)
def token_regions(parts: TokenParts, options: TokenOptions, theme: str) -> Drawing:
    """A text, shaded by how sure its tokens are of their region, and where the chosen token lies."""
    i = options.token
    shades = tuple(
        (label.replace("␣", " "), share * (n >= parts.outside))
        for n, (label, share) in enumerate(zip(parts.labels, parts.responsibility, strict=True))
    )
    text = Text("Shaded by responsibility", "".join(label for label, _ in shades), tokens=shades)
    facts = Facts(
        f"Token {i}: “{parts.labels[i]}”",
        (
            ("region", f"{parts.region[i]}: {parts.region_labels[i]}"),
            ("responsibility", parts.responsibility[i]),
            ("next region", f"{parts.second[i]}: {parts.second_labels[i]}"),
            ("its responsibility", parts.second_share[i]),
            ("share of the rest in the squared distance from the mean", token_numbers(parts, i)["share of the rest"]),
            ("log p, nats", parts.log_density[i]),
        ),
    )
    table = Table("All tokens", ("token", "region", "name", "responsibility"), tuple(
        zip(parts.labels, parts.region, parts.region_labels, parts.responsibility, strict=True)
    ))  # fmt: skip
    outside = " The fit has not seen first positions such as this one." if i < parts.outside else ""
    return Drawing(
        caption=f"Regions of the tokens of a text.{outside}",
        facts={"label": parts.labels[i]},
        parts=(Texts("Text", (text,)), facts, table),
        numbers=token_numbers(parts, i),
    )
