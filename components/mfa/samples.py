"""Many texts: in how many of each arm something appears, with intervals, and the texts with every place marked.

What is counted is an option of the view and no part of the question, so another word is counted in the texts that are
there. Seeds are the same in all arms; intervals of differences take the arms for independent all the same, which makes
them rather too wide where texts of one seed resemble each other. The intervals of a control are over texts: its few
draws take turns, and how much draws differ is not in them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dash import html

from analysis.mfa.answers.samples import SampleArm, Samples, SampleText
from analysis.spoken import listed
from analysis.steering.shares import Share, Span, difference, places
from components.kit.figure import AFTER, BEFORE, figure
from components.kit.part import Table, Text, Texts
from components.kit.theme import REMAINDER
from components.kit.types import Node
from components.kit.view import Control, Drawing, view
from components.kit.written import check_digest

_COLUMNS = (
    "", "texts with it", "share", "95 % interval, low", "high", "minus unsteered", "95 % low", "95 % high",
    "KL of the next token, nats", "mean KL per token, nats", "perplexity, unsteered model", "repeated 3-grams",
)  # fmt: skip
_COLOURS = {"base": BEFORE, "steered": AFTER}


@dataclass(frozen=True)
class SamplesOptions:
    """``text``: the prompt; ``counted``: theme, words or regex, with its ``pattern``; ``digest`` of the texts that were
    on the screen, empty where any will do."""

    text: str = ""
    counted: str = "theme"
    pattern: str = ""
    digest: str = ""


@dataclass(frozen=True)
class Row:
    """One arm, counted: its share, and that minus the share of the unsteered texts, with its interval. Of ``whole``
    texts, that is; those which the reader has ended are shown and not counted."""

    arm: SampleArm
    whole: Sequence[SampleText]
    share: Share
    beside: tuple[float, float, float] | None
    spans: Sequence[Sequence[Span]]


def digest_of_samples(samples: Samples) -> str:
    """12 hex digits for the tokens of all texts."""
    ids = [text.ids for arm in samples.arms for text in arm.texts]
    return hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:12]


def counted_rows(samples: Samples, options: SamplesOptions) -> list[Row]:
    """A row for each arm. Raises UserError as :func:`analysis.steering.shares.places`."""
    texts = [text.text for arm in samples.arms for text in arm.texts]
    spans = places(texts, options.counted, options.pattern, samples.subject.words)  # type: ignore[arg-type]
    rows: list[Row] = []
    for arm in samples.arms:
        mine, spans = spans[: len(arm.texts)], spans[len(arm.texts) :]
        pairs = [(text, found) for text, found in zip(arm.texts, mine, strict=True) if not text.ended]
        share = Share(sum(bool(found) for _, found in pairs), len(pairs))
        whole = [text for text, _ in pairs]
        rows.append(Row(arm, whole, share, difference(share, rows[0].share) if rows else None, mine))
    return rows


def what_is_counted(samples: Samples, options: SamplesOptions) -> str:
    """What is counted, in words."""
    if options.counted == "regex":
        return f"a match of {options.pattern}"
    if options.counted == "words":
        return f"“{options.pattern.strip()}”"
    words, subject = samples.subject.words, samples.subject
    if subject.listed:
        return f"one of the {len(words)} words of the theme {subject.name}"
    return f"one of the {len(words)} words that stand out in the region itself ({', '.join(words)})"


@view("steering/samples", Samples, options=SamplesOptions)
def samples_shares(samples: Samples, options: SamplesOptions, theme: str) -> Drawing:
    """In how many texts of each arm something appears, with intervals."""
    check_digest(options.digest, digest_of_samples(samples))
    rows = counted_rows(samples, options)
    values = [row.share.value for row in rows]
    picture = figure(
        [
            {
                "type": "scatter",
                "mode": "markers",
                "x": np.array(values, np.float32),
                "y": [row.arm.title for row in rows],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": [row.share.interval[1] - v for row, v in zip(rows, values, strict=True)],
                    "arrayminus": [v - row.share.interval[0] for row, v in zip(rows, values, strict=True)],
                    "color": REMAINDER,
                    "thickness": 2,
                },
                "marker": {"size": 14, "color": [_COLOURS.get(row.arm.name, REMAINDER) for row in rows]},
                "customdata": [f"{row.share.count} of {row.share.total}" for row in rows],
                "hovertemplate": "%{y}: %{customdata} texts<extra></extra>",
            }
        ],
        theme,
        xaxis={"title": {"text": "share of texts with it, 95 % interval"}, "range": [-0.02, 1.02], "tickformat": ".0%"},
        yaxis={"autorange": "reversed", "type": "category", "ticksuffix": " "},
        margin={"l": 150, "r": 12, "t": 8, "b": 44},
        showlegend=False,
    )
    return Drawing(
        picture,
        f"Share of texts with {what_is_counted(samples, options)}, after “{options.text[-40:]}”: {len(samples.seeds)} "
        f"seeds of each. {_sizes(samples)}",
        {"subject": samples.subject.name, "seeds": list(samples.seeds)},
        parts=(Table("Shares", _COLUMNS, tuple(_cells(row) for row in rows)), *_texts(rows, options)),
        control=_control(rows),
        numbers=_numbers(rows),
    )


def _sizes(samples: Samples) -> str:
    """At what KL the controls act, and which of them do not reach it."""
    said = []
    for arm in samples.arms[2:]:
        missed = sum(not push.met for push in arm.pushes)
        if missed:
            said.append(f"{missed} of {len(arm.pushes)} draws of “{arm.title}” do not reach that KL.")
    ended = sum(bool(text.ended) for arm in samples.arms for text in arm.texts)
    if ended:
        said.append(f"{ended} of the texts were ended by hand and are not counted.")
    if samples.left_out:
        said.append(f"Left out, since nothing of this set-up can be drawn: {listed(samples.left_out)}.")
    own = samples.arms[1].pushes[0].kl
    if own < 1e-6:
        how = "The set-up costs nothing at the next token, so the controls act at its strengths."
    else:
        draws = max(len(arm.pushes) for arm in samples.arms)
        how = f"The controls are brought to the set-up's KL of the next token, {own:.2g} nats"
        how += (
            f"; {draws} draws of each take turns, and an interval is over texts, not over draws." if draws > 1 else "."
        )
    return " ".join([how, *said])


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def _perplexity(texts: Sequence[SampleText]) -> float | None:
    """Geometric mean over the texts that have one."""
    logs = [math.log(text.perplexity) for text in texts if text.perplexity]
    return math.exp(_mean(logs)) if logs else None


def _cells(row: Row) -> tuple[str | float | int | None, ...]:
    texts, (low, high) = row.whole, row.share.interval
    kl = _mean([push.kl for push in row.arm.pushes]) if row.arm.pushes else 0.0
    return (
        row.arm.title, f"{row.share.count} of {row.share.total}", row.share.value, low, high,
        *(row.beside or (None, None, None)), kl, _mean([text.mean_kl for text in texts]), _perplexity(texts),
        _mean([text.repetition for text in texts]),
    )  # fmt: skip


def _texts(rows: Sequence[Row], options: SamplesOptions) -> list[Texts]:
    """The texts of each arm, what was found in them shaded."""
    made = []
    for row in rows:
        texts = tuple(
            Text(
                _title(row.arm, n, text),
                text.text,
                "" if n else options.text,
                _pieces(text.text, spans),
            )
            for n, (text, spans) in enumerate(zip(row.arm.texts, row.spans, strict=True))
        )
        made.append(Texts(row.arm.title, texts))
    return made


def _title(arm: SampleArm, n: int, text: SampleText) -> str:
    return f"{arm.title}, text {n + 1}" + (", ended by hand" if text.ended else "")


def _pieces(text: str, spans: Sequence[Span]) -> tuple[tuple[str, float], ...]:
    pieces, end = [], 0
    for start, stop in spans:
        pieces += [(text[end:start], 0.0), (text[start:stop], 1.0)]
        end = stop
    return tuple(piece for piece in [*pieces, (text[end:], 0.0)] if piece[0])


def _said(row: Row) -> str:
    low, high = row.share.interval
    return f"{row.share.count} of {row.share.total} texts ({low:.0%} to {high:.0%})"


def _control(rows: Sequence[Row]) -> Control:
    """The first control beside the steered texts; where none could be made, the unsteered ones."""
    null, steered = rows[2] if len(rows) > 2 else rows[0], rows[1]
    d, low, high = difference(steered.share, null.share)
    words = (
        f"{null.arm.title}: {_said(null)}; steered: {_said(steered)}; unsteered: {_said(rows[0])}. Steered minus "
        f"{null.arm.title.lower()}: {_points(d)} (95 % interval {_points(low)} to {_points(high)})."
    )
    return Control(null.arm.title.lower(), words, {"share": null.share.value})


def _points(share: float) -> str:
    return f"{100 * share:+.0f} points"


def _numbers(rows: Sequence[Row]) -> dict[str, float]:
    low, high = rows[1].share.interval
    numbers = {"share": rows[1].share.value, "low": low, "high": high, "share unsteered": rows[0].share.value}
    return numbers | {f"share {row.arm.title.lower()}": row.share.value for row in rows[2:]}


def samples_table(samples: Samples, options: SamplesOptions) -> Node:
    """The shares of all arms, and what each of them is."""
    body = []
    for row in counted_rows(samples, options):
        low, high = row.share.interval
        perplexity = _perplexity(row.whole)
        kl = [push.kl for push in row.arm.pushes]
        cells = [
            f"{row.share.count} of {row.share.total}",
            f"{100 * low:.0f} to {100 * high:.0f} %",
            "" if row.beside is None else "{:+.0f} ({:+.0f} to {:+.0f})".format(*(100 * part for part in row.beside)),
            f"{_mean(kl):.2f}" if kl else "0",
            f"{_mean([text.mean_kl for text in row.whole]):.2f}",
            "no text" if perplexity is None else f"{perplexity:.1f}",
        ]
        note = "; ".join(push.note for push in row.arm.pushes) if row.arm.name not in ("base", "steered") else None
        body.append(html.Tr([html.Th(row.arm.title, title=note), *map(html.Td, cells)]))
    titles = (
        ("", ""),
        ("with it", "texts in which it appears"),
        ("95 %", "Wilson's interval of the share"),
        ("minus unsteered", "in points, with Newcombe's 95 % interval"),
        ("KL", "of the next token after the prompt, nats"),
        ("mean KL", "per written token, nats"),
        ("perplexity", "of the texts in the unsteered model, geometric mean"),
    )
    head = html.Thead(html.Tr([html.Th(title, title=words or None) for title, words in titles]))
    return html.Table([head, html.Tbody(body)], className="attune-table")


def marks_of(samples: Samples, options: SamplesOptions) -> dict[str, list[list[int]]]:
    """By the name of a text's box, where it stands in it, in the units in which a browser counts characters."""
    return {
        f"{row.arm.name}-{n}": [[_units(text.text[:a]), _units(text.text[:b])] for a, b in spans]
        for row in counted_rows(samples, options)
        for n, (text, spans) in enumerate(zip(row.arm.texts, row.spans, strict=True))
    }


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
