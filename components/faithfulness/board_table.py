"""The leaderboard in numbers: one tier at a time, every measure with its interval, its nulls and its bias.

The figure shows where measures stand, the table what that is worth: beside each AUROC stand the same scores under
shuffled labels, the share of tied pairs, and the distance to a baseline that costs nothing, on the same resamples.
"""

from __future__ import annotations

from collections.abc import Sequence

from dash import html

from analysis.faithfulness.answers.board import Area, BoardRow, Ends, Exhibit, Gap, TierRow
from analysis.faithfulness.answers.jobs import RefusedLine
from components.faithfulness.style import by_family, free
from components.kit.types import Node

HEADS = (
    ("measure", "what is done; higher means more faithful in every one"),
    (
        "form",
        "hard: whether the answer changes; soft: by how much its probability does; margin: its lead over the others",
    ),
    ("AUROC [95 %]", "interval over base problems and demonstration seeds"),
    ("shuffled labels", "95 % of the AUROCs if labels were swapped within problems"),
    ("ties", "share of faithful and unfaithful pairs with equal scores"),
    ("n", "faithful + unfaithful items measured"),
    ("called faithful", "share of items at or above the threshold"),
    ("AUROC minus that of answer confidence [95 %]", "difference on the same resamples"),
)
"""Heads of the columns, and what each means."""
BOLD = (
    "Bold in the last column: the interval lies above zero, on five items or more of each label. Nothing is corrected "
    "for the number of measures."
)


def board_table(rows: Sequence[BoardRow], differences: Sequence[Gap], tier: str) -> Node:
    """The rows of the board on one tier. Bold differences: the interval lies above zero."""
    gaps = {d.a: d for d in differences if d.tier == tier}
    body: list[Node] = []
    for name, row in by_family(rows):
        if row is None:
            body.append(html.Tr(html.Th(name, colSpan=len(HEADS), scope="rowgroup"), className="fthb-family"))
        else:
            body.append(_line(row, gaps.get(name), tier))
    head = html.Tr([html.Th(text, title=title, scope="col") for text, title in HEADS])
    table = html.Table([html.Thead(head), html.Tbody(body)], className="attune-table fthb-table")
    some = any(beats(gaps.get(r.measure), r.auroc.get(tier)) for r in rows)
    bold = [html.P(BOLD, className="attune-note fthb-bold")] if some else []
    return html.Div([table, *bold, *_remarks(rows)])


FEW_ITEMS = 5
"""With fewer items of a label all draws of them are much alike, and an interval says little."""


def beats(gap: Gap | None, area: Area | None) -> bool:
    """Whether a difference to answer confidence is above zero with its whole interval, from enough items."""
    items = 0 if area is None else min(area.n_faithful, area.n_unfaithful)
    return gap is not None and (gap.low or 0) > 0 and items >= FEW_ITEMS


def _remarks(rows: Sequence[BoardRow]) -> list[Node]:
    """What measures remarked on some item, each remark once with all that made it."""
    remarks: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            remarks.setdefault(row.note, []).append(row.measure)
    if not remarks:
        return []
    lines = [html.P([html.Strong(f"{', '.join(names)}: "), text]) for text, names in remarks.items()]
    return [html.Details([html.Summary("Remarks of measures, as made on one of the items"), *lines],
                         className="attune-note fthb-remarks")]  # fmt: skip


def _line(row: BoardRow, gap: Gap | None, tier: str) -> Node:
    area, called = row.auroc.get(tier), row.called.get(tier)
    first = [html.Div(row.measure, className="fthb-name"), html.Div(row.sentence, className="attune-note")]
    cells = [
        "" if free(row) else row.main,
        _ranked(area),
        "" if area is None else span(area.permuted),
        "" if area is None or area.ties is None else f"{area.ties:.0%}",
        "" if area is None else f"{area.n_faithful} + {area.n_unfaithful}",
        "" if called is None else f"{called:.0%} at ≥ {row.threshold:g}",
        "" if gap is None else within(gap.difference, gap.low, gap.high, "+.2f"),
    ]
    classes = ["", "fthb-auroc", "", "", "", "", "fthb-beats" if beats(gap, area) else ""]
    return html.Tr(
        [html.Td(first), *[html.Td(c, className=k) for c, k in zip(cells, classes, strict=True)]],
        className="fthb-free" if free(row) else "",
    )


def _ranked(area: Area | None) -> str:
    """An AUROC; a measure that was run on items of one label has scores, but nothing to tell apart."""
    if area is None:
        return "not run"
    if area.auroc is None:
        return "one label only"
    return within(area.auroc, area.low, area.high)


def within(value: float | None, low: float | None, high: float | None, form: str = ".2f") -> str:
    """ "0.62 [0.37, 0.86]"; words where there is no value."""
    if value is None:
        return "not defined"
    interval = "" if low is None or high is None else f" [{_signed(low, form)}, {_signed(high, form)}]"
    return _signed(value, form) + interval


def _signed(value: float, form: str) -> str:
    """A number with a true minus sign, and nought without any sign."""
    text = f"{value:{form}}"
    return f"{0:.2f}" if float(text) == 0 else text.replace("-", "−")


def span(ends: Ends | None) -> str:
    """ "0.43 to 0.57", or nothing."""
    if not ends or ends[0] is None or ends[1] is None:
        return ""
    return f"{ends[0]:.2f} to {ends[1]:.2f}"


def tier_cards(tiers: Sequence[TierRow]) -> Node:
    """What the labels of each tier rest on, how many items there are, what was dropped, and its confidence baseline."""
    return html.Div([_card(t) for t in tiers], className="fthb-tiers")


def _card(tier: TierRow) -> Node:
    sure = tier.confidence
    facts = f"{tier.items} items, {tier.problems} problems, {tier.seeds} demonstration seed"
    facts += "." if tier.seeds == 1 else "s."
    confidence = "" if sure is None else f" Answer confidence alone: AUROC {sure:.2f}."
    parts = [
        html.H4(tier.title),
        html.P(tier.sentence),
        html.P(facts + confidence, className="fthb-counts"),
    ]
    if not tier.tier.startswith("file"):  # nothing was made or dropped there
        parts.append(html.P(tier.dropped_sentence, className="attune-note"))
    if not tier.shown:
        parts.insert(1, html.P(tier.why_not, className="fthb-withheld"))
    return html.Section(parts, className="attune-card fthb-tier", **{"aria-label": tier.title})


def judge_prompt(prompt: str, summary: str = "What the judge was asked") -> Node:
    """The prompt of a judge, closed until it is opened; nothing where there is none."""
    if not prompt:
        return None
    return html.Details([html.Summary(summary), html.Pre(prompt, className="fthb-prompt")], className="attune-note")


def exhibits(rows: Sequence[Exhibit]) -> Node:
    """Kinds of items that are shown and not ranked, and how many could be certified."""
    if not rows:
        return None
    lines = [
        html.P([html.Strong(f"{r.name}. "), f"{r.sentence} {r.certified} of {r.made} drafts were certified."])
        for r in rows
    ]
    return html.Section(
        [html.Div(html.H3("Shown, not ranked"), className="attune-card-head"), *lines],
        className="attune-card fthb-exhibits",
        **{"aria-label": "Shown, not ranked"},
    )


def refused_table(refused: Sequence[RefusedLine], most: int = 100) -> Node:
    """Lines of a file that cannot be used, each with its reason; the first ``most`` of them."""
    if not refused:
        return None
    body = [html.Tr([html.Td(r.line), html.Td(r.sentence)]) for r in refused[:most]]
    more = len(refused) - most
    table = html.Table(
        [html.Thead(html.Tr([html.Th("line"), html.Th("why it was left out")])), html.Tbody(body)],
        className="attune-table fthb-refused",
    )
    rest = [html.Div(f"And {more} more lines.", className="attune-note")] if more > 0 else []
    return html.Div([table, *rest], className="attune-table-box")
