"""What the claims of the Steering page are held against, and the numbers that somebody would quote of its views.

A control is made of numbers that are in the answer; a view whose answer has none has no control.
"""

from __future__ import annotations

from analysis.mfa.answers.regions import FitMap, NewFit, TokenParts
from analysis.mfa.answers.steering import ControlTable, Presence, SteeredTexts
from analysis.spoken import counted
from components.kit.view import Control
from components.kit.written import TextsOptions

_CONTROLS = {"region": "random region", "direction": "random direction", "means": "difference of means"}


def control_name(options: TextsOptions) -> str:
    """What the third text is written with, by its name in the field."""
    return _CONTROLS.get(options.control, "control text")


def control_said(equal: str, options: TextsOptions, note: str) -> str:
    """Which push the third text is written with, and how strong it is: of the set-up's length, or at its KL. ``note``:
    what the answer says of it."""
    if equal == "kl":
        return f"{control_name(options)} at the set-up's KL ({note})"
    name = f"{control_name(options)} of the same length"
    return f"{name} ({note})" if options.control == "region" and note else name


def fit_control(fit: FitMap) -> Control:
    """The likelihood of a fit beside that of a single diagonal Gaussian."""
    facts = fit.facts
    return Control(
        "diagonal Gaussian",
        f"Held-out log-likelihood {facts.held_out:.1f} nats per activation; one diagonal Gaussian has "
        f"{facts.gaussian:.1f}. Fitted on {facts.rows:,} activations.",
        {"diagonal Gaussian": facts.gaussian, "held out": facts.held_out, "activations": float(facts.rows)},
    )


def fit_numbers(fit: FitMap) -> dict[str, float]:
    """How many regions there are, and of which character."""
    counts = {"regions": float(len(fit.regions)), "held out": fit.facts.held_out}
    for region in fit.regions:
        counts[f"{region.character} regions"] = counts.get(f"{region.character} regions", 0.0) + 1
    return counts


def control_of_table(table: ControlTable) -> Control | None:
    """The KL of what any push of the set-up's size does; None where all controls were left out."""
    own, others = own_kl(table), [row for row in table.rows if not row.own]
    if not others:
        return None
    said = "; ".join(f"{row.name} {row.kl:.3f}" + (f" ({row.note})" if row.note else "") for row in others)
    return Control(
        ", ".join(row.name for row in others),
        f"KL at the last position of one prompt: the set-up {own:.3f} nats; {said}. Each control drawn once.",
        {row.name: row.kl for row in others},
    )


def own_kl(table: ControlTable) -> float:
    """The KL of the set-up itself."""
    return next(row.kl for row in table.rows if row.own)


def presence_control(texts: SteeredTexts) -> Control | None:
    """How much of the regions the unsteered text carries; None where no region steers."""
    presence = texts.presence
    if not presence.labels:
        return None
    pairs = zip(presence.labels, presence.base, presence.steered, strict=True)
    said = "; ".join(f"{label}: {base:.3f}, and {steered:.3f} in the steered text" for label, base, steered in pairs)
    return Control(
        "unsteered text",
        f"Mean responsibility in the unsteered text of {counted(len(texts.base.ids), 'token')}: {said}, which has "
        f"{counted(len(texts.steered.ids), 'token')}.",
        {_named("presence", presence, i): value for i, value in enumerate(presence.base)},
    )


def presence_numbers(presence: Presence) -> dict[str, float]:
    """Mean responsibility of each steered region in the steered text."""
    return {_named("presence", presence, i): value for i, value in enumerate(presence.steered)}


def _named(name: str, presence: Presence, i: int) -> str:
    return name if len(presence.labels) == 1 else f"{name} of {presence.labels[i].partition(':')[0]}"


def token_numbers(parts: TokenParts, i: int) -> dict[str, float]:
    """Where a token lies, and the norms of its parts."""
    square = max(parts.norm[i] ** 2, 1e-12)
    return {
        "responsibility": parts.responsibility[i],
        "responsibility of the next region": parts.second_share[i],
        "norm of the centroid": parts.centroid[i],
        "norm of the local offset": parts.local[i],
        "norm of the rest": parts.rest[i],
        "share of the rest": parts.rest[i] ** 2 / square,
        "log density": parts.log_density[i],
    }


def course_numbers(fit: NewFit) -> dict[str, float]:
    """Where the course of a fit ended; nothing where it had none."""
    if not fit.history:
        return {}
    last = fit.history[-1]
    numbers = {"iterations": float(last.iteration), "fitted": last.train}
    return numbers if last.held_out is None else numbers | {"held out": last.held_out}
