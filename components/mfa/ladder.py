"""A ladder of texts: the table under the boxes on the page, and what leaves the page."""

from __future__ import annotations

from dataclasses import dataclass

from dash import html

from analysis.mfa.answers.steering import Ladder, Rung
from analysis.steering.answers import WrittenText
from components.kit.part import Table, Texts
from components.kit.types import Node
from components.kit.view import Control, Drawing, view
from components.kit.written import check_digest, digest_of_all, text_of

_COLUMNS = (
    "strength", "KL of the next token, nats", "mean KL per token, nats", "perplexity, unsteered model",
    "repeated 3-grams", "mean responsibility of the region",
)  # fmt: skip


@dataclass(frozen=True)
class LadderOptions:
    """``text``: the prompt; ``digest`` of the texts that were on the screen, empty where any will do."""

    text: str = ""
    digest: str = ""


def digest_of_ladder(ladder: Ladder) -> str:
    """12 hex digits for the tokens of all texts."""
    return digest_of_all([ladder.base, *(rung.text for rung in ladder.rungs)])


def _rows(ladder: Ladder) -> list[tuple[float, float, float, float | None, float, float]]:
    rows = [(0.0, 0.0, _of(ladder.base), ladder.base_presence)]
    rows += [(rung.strength, rung.kl, _of(rung.text), rung.presence) for rung in ladder.rungs]
    return [(strength, kl, *numbers, presence) for strength, kl, numbers, presence in rows]


def _of(text: WrittenText) -> tuple[float, float | None, float]:
    return text.mean_kl, text.perplexity, text.repetition


BROKEN = 2.0
"""How many times the perplexity of the unsteered text a text has that does not speak well any more."""


@dataclass(frozen=True)
class Limit:
    """The largest ``strength`` up to which no text of a ladder breaks, None where the first does; the first strength at
    which one ``breaks``, None where none does; and both as a ``sentence``."""

    strength: float | None
    breaks: float | None
    sentence: str


def limit_of(ladder: Ladder) -> Limit:
    """Where the texts of a ladder stop speaking well: the first with :data:`BROKEN` times the perplexity of the
    unsteered text. One text at each strength, so another seed may break earlier or later."""
    base = ladder.base.perplexity
    if base is None:
        return Limit(None, None, "The unsteered text is empty: there is nothing to compare with. Ask for more tokens.")
    if ladder.base_ended or any(rung.ended for rung in ladder.rungs):
        return Limit(None, None, "A text was ended by hand, so where texts break cannot be told. Write them again.")
    rungs = sorted(ladder.rungs, key=lambda rung: rung.strength)
    good, broken = None, None
    for rung in rungs:
        if rung.text.perplexity is None or rung.text.perplexity >= BROKEN * base:
            broken = rung
            break
        good = rung
    beside = f"one text each, unsteered {base:.1f}"
    said = [] if good is None else [f"{good.strength:g} still speaks well: perplexity {_perplexity(good.text)}"]
    if broken is not None:
        said.append(f"at {broken.strength:g} it breaks: {_perplexity(broken.text)}")
    words = "; ".join(said)
    sentence = f"{words[:1].upper()}{words[1:]} ({beside}; broken: at least twice that)."
    good_at, broken_at = (None if rung is None else rung.strength for rung in (good, broken))
    return Limit(good_at, broken_at, sentence)


def ladder_table(ladder: Ladder) -> Node:
    """A row for each text; a KL that was wanted and not reached says so."""
    body = []
    for n, (strength, kl, mean, perplexity, repetition, presence) in enumerate(_rows(ladder)):
        missed = "" if n == 0 or ladder.rungs[n - 1].met else f" (not {ladder.rungs[n - 1].target:g})"
        cells = [
            f"{kl:.3f}{missed}",
            f"{mean:.3f}",
            "no text" if perplexity is None else f"{perplexity:.1f}",
            f"{repetition:.0%}",
            f"{presence:.0%}",
        ]
        name = "unsteered" if n == 0 else f"{strength:.3g}"
        body.append(html.Tr([html.Th(name), *[html.Td(cell) for cell in cells]]))
    head = html.Thead(html.Tr([html.Th(title) for title in _COLUMNS]))
    return html.Table([head, html.Tbody(body)], className="attune-table")


@view("steering/ladder", Ladder, options=LadderOptions)
def ladder_parts(ladder: Ladder, options: LadderOptions, theme: str) -> Drawing:
    """Texts at growing strengths side by side, and their numbers."""
    check_digest(options.digest, digest_of_ladder(ladder))
    texts = [text_of("Unsteered", ladder.base, options.text)]
    texts += [text_of(_title(rung), rung.text, options.text) for rung in ladder.rungs]
    last = ladder.rungs[-1]
    return Drawing(
        caption=f"The same prompt and seed at growing strengths of region {ladder.region}, “{ladder.label}”. Each "
        "token is shaded by the KL of the unsteered model's prediction from the steered one.",
        parts=(Texts("Texts", tuple(texts)), Table("Numbers of the texts", _COLUMNS, tuple(_rows(ladder)))),
        control=Control(
            "unsteered text",
            f"Unsteered, of the same seed: mean responsibility of the region {ladder.base_presence:.1%}, perplexity "
            f"{_perplexity(ladder.base)}; at the last rung {last.presence:.1%} and {_perplexity(last.text)}. One text "
            "each.",
            {"mean responsibility": ladder.base_presence},
        ),
        numbers={
            "rungs": float(len(ladder.rungs)),
            "largest strength": last.strength,
            "mean responsibility": last.presence,
        },
    )


def _title(rung: Rung) -> str:
    missed = "" if rung.met else f", {rung.target:g} is not reached"
    return f"Strength {rung.strength:.3g}: KL {rung.kl:.2g}{missed}"


def _perplexity(text: WrittenText) -> str:
    return "none" if text.perplexity is None else f"{text.perplexity:.1f}"
