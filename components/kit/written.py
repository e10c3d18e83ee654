"""Texts that a model wrote under steering, as parts, numbers and a control: the same for every way of steering.

A text is drawn at random, and may come out otherwise when it is asked for again on other hardware. So a ref of texts
carries a digest of those that were on the screen, and others are refused in words instead of being shown for them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.errors import UserError
from analysis.spoken import counted
from analysis.steering.answers import WrittenText, WrittenTexts
from components.kit.colouring import KL, shades_by_price, shades_of
from components.kit.labels import as_text
from components.kit.part import Table, Text, Texts
from components.kit.view import Control


@dataclass(frozen=True)
class TextsOptions:
    """``text``: the prompt, as the question has it; ``strengths``: the name and the strength of each direction that
    steers; ``control``: the kind of the third text, as the question names it; ``digest`` of the texts that were on
    the screen, empty where any will do; ``colour``: what tokens are shaded by, as :mod:`components.kit.colouring` has
    it; ``when``: a clause on which tokens are steered, empty where it is all but the first."""

    text: str = ""
    strengths: tuple[tuple[str, float], ...] = ()
    control: str = "none"
    digest: str = ""
    colour: str = KL
    when: str = ""


def digest_of(texts: WrittenTexts) -> str:
    """12 hex digits for the tokens of all texts."""
    return digest_of_all([text for text in (texts.base, texts.steered, texts.control) if text is not None])


def digest_of_all(texts: Sequence[WrittenText]) -> str:
    """12 hex digits for the tokens of these texts, in their order."""
    return hashlib.sha256(json.dumps([text.ids for text in texts]).encode()).hexdigest()[:12]


def check_texts(texts: WrittenTexts, options: TextsOptions) -> None:
    """Raises UserError where these are not the texts that were on the screen."""
    check_digest(options.digest, digest_of(texts))


def check_digest(then: str, now: str) -> None:
    """Raises UserError where texts with the digest ``now`` are not those ``then``; an empty one is any."""
    if then and then != now:
        raise UserError("Asked again, the model wrote other texts than those on the screen. Write again, then pin.")


def text_parts(texts: WrittenTexts, options: TextsOptions, steered: str, control: str) -> tuple[Texts, Table]:
    """The texts side by side, each token shaded by its price, and their numbers as a table. ``steered`` and
    ``control``: what these texts are called."""
    arms = [("Unsteered", texts.base), (steered, texts.steered)]
    if texts.control is not None:
        arms.append((control, texts.control))
    shades = shades_of(texts, options.colour)
    pairs = zip(arms, shades, strict=False)
    shown = Texts("Texts", tuple(text_of(name, text, options.text, shade) for (name, text), shade in pairs))
    rows = tuple((name, len(t.ids), t.mean_kl, t.perplexity, t.repetition) for name, t in arms)
    return shown, Table("Numbers of the texts", ("text", "tokens", *_NAMES), rows)


MEAN_KL = "mean KL per token, nats"
_NAMES = (MEAN_KL, "perplexity, unsteered model", "repeated 3-grams")


def text_of(title: str, text: WrittenText, prompt: str, shades: Sequence[float] | None = None) -> Text:
    """A text with its numbers, each token shaded, by default by its price."""
    shown = shades_by_price(text) if shades is None else shades
    tokens = tuple((as_text(label), shade) for label, shade in zip(text.labels, shown, strict=False))
    return Text(title, text.text, prompt, tokens, _measured(text))


def _measured(text: WrittenText) -> dict[str, float]:
    numbers = {MEAN_KL: text.mean_kl, "repetition": text.repetition, "tokens": float(len(text.ids))}
    return numbers if text.perplexity is None else numbers | {"perplexity": text.perplexity}


def text_numbers(texts: WrittenTexts, options: TextsOptions) -> dict[str, float]:
    """The strengths, and price, perplexity and repetition of the steered text."""
    one = len(options.strengths) == 1
    strengths = {"strength" if one else f"strength of {name}": value for name, value in options.strengths}
    return strengths | _measured(texts.steered)


def text_control(texts: WrittenTexts, control: str) -> Control:
    """The third text, which is called ``control``, where there is one; else the unsteered one, which is what the model
    writes anyway."""
    mine = texts.steered
    if texts.control is None:
        name, text, of = "unsteered text", texts.base, "Unsteered, of the same seed"
        # Its price is zero: it is what the price is counted from.
        numbers = {key: value for key, value in _measured(text).items() if key != MEAN_KL}
        said = _fluency(text)
    else:
        name, text, numbers = control, texts.control, _measured(texts.control)
        of = f"Control, {texts.control_note}" if texts.control_note else "Control"
        said = f"mean KL {text.mean_kl:.3f} nats, {_fluency(text)}"
    words = (
        f"{of}: {said}, over the {counted(len(text.ids), 'token')} of one text. "
        f"Steered: mean KL {mine.mean_kl:.3f} nats, {_fluency(mine)}, over {len(mine.ids)}."
    )
    return Control(name, words, numbers)


def _fluency(text: WrittenText) -> str:
    perplexity = "none" if text.perplexity is None else f"{text.perplexity:.1f}"
    return f"perplexity {perplexity}, {text.repetition:.0%} repeated 3-grams"
