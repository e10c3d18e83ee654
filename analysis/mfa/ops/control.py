"""What a set-up is compared with, as interventions: a random region, a random direction, the difference of means of two
sets of sentences; each as long as the set-up's push, or at the strength at which it costs the same KL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.errors import UserError
from analysis.fields import Choice
from analysis.mfa.settings import SteeringSettings
from analysis.steering.prompt import ReadPrompt
from analysis.steering.ready import LARGEST

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.mfa.library import RegionSet
    from analysis.models.loaded_model import LoadedModel
    from analysis.steering import Intervention

CONTROLS = ("none", "region", "direction", "means")
EQUALS = ("length", "kl")
"""What a control text has in common with the set-up: the length of its push, or the KL of the next token."""
Equal = Annotated[str, Choice(EQUALS, words="What the control has in common with the set-up")]


def control_for(
    context: Context, loaded: LoadedModel, on: Any, fit: RegionSet, kind: str, seed: int, scale: float = 1.0
) -> tuple[list[Intervention], str]:
    """The interventions of a control of ``on.steer`` at ``scale`` times its strengths, and what to call it."""
    from analysis.mfa.steering import direction_like, random_direction, random_region

    if kind == "region":
        made, drawn = random_region(on.steer, fit, seed, scale)
        return made, ", ".join(f"{k}: {fit.label(k)}" for k in drawn)
    if kind == "direction":
        return random_direction(on.steer, fit, seed, scale), "the same distance in a random direction"
    if not on.positive.strip() or not on.negative.strip():
        raise UserError("The difference of means needs sentences on both sides, one on a line.", "positive")
    vector = difference(context, loaded, fit, on.positive, on.negative)
    return direction_like(on.steer, fit, vector, scale), "your two sets of sentences, at equal norm" + _cut(loaded, on)


def control_text(
    context: Context, loaded: LoadedModel, on: Any, fit: RegionSet, prompt: ReadPrompt
) -> tuple[list[Intervention], str]:
    """The control that a text is written with, ``on.control``, as long as the set-up or, where ``on.equal`` says so, at
    the strength at which the next token after the prompt costs the set-up's KL; and what to call it."""
    from analysis.mfa.steering import interventions_of
    from analysis.steering.calibrate import kl_divergence, strength_for_kl

    made, note = control_for(context, loaded, on, fit, on.control, on.seed)

    def cost(interventions: list[Intervention]) -> float:
        context.check()
        return kl_divergence(prompt.base, prompt.cache.next_logits(interventions))

    target = cost(interventions_of(on.steer, fit)) if on.equal == "kl" and made else 0.0
    if target < 1e-6:  # nothing to be equal to, as with steering that begins after the prompt
        return made, note

    def at(scale: float) -> list[Intervention]:
        return control_for(context, loaded, on, fit, on.control, on.seed, scale)[0]

    nearest = strength_for_kl(lambda scale: cost(at(scale)), target, high=largest_scale(on.steer))
    met = "" if nearest.met else ", which is not reached"
    words = f"{nearest.strength:.2g} times as long: KL {nearest.kl:.3g} nats, the set-up's is {target:.3g}{met}"
    return at(nearest.strength), f"{note}; {words}"


def largest_scale(steer: SteeringSettings) -> float:
    """How many times the strengths of a set-up can be taken: strengths of interpolation and projection end at 1."""
    most = max((r.strength for r in steer.regions), default=0.0)
    return 1 / most if steer.mode in ("interpolate", "project_out") and most else LARGEST


def _cut(loaded: LoadedModel, on: Any) -> str:
    """How many sentences of either side were cut, as a clause; "" if none."""
    from analysis.steering.controls import sentence_limit, sentences_cut

    count = sum(sentences_cut(loaded, text.splitlines()) for text in (on.positive, on.negative))
    return f"; {count} of them cut at {sentence_limit(loaded)} tokens" if count else ""


def difference(context: Context, loaded: LoadedModel, fit: RegionSet, positive: str, negative: str) -> Tensor:
    """Mean activation of the positive sentences minus that of the negative ones (D,), remembered."""
    from analysis.steering.controls import encode_sentences_mean

    key = hash_of(["means", loaded.facts.fingerprint, fit.site.to_dict(), positive, negative])
    direction: Tensor | None = context.memory.get(key)
    if direction is None:
        sides = [[s.strip() for s in text.splitlines() if s.strip()] for text in (positive, negative)]
        means = [encode_sentences_mean(loaded, side, fit.site) for side in sides]
        direction = means[0] - means[1]
        if not float(direction.norm()) > 0:
            raise UserError("The two sides have the same mean activation. Write different sentences.", "negative")
        context.memory.put(key, direction, direction.numel() * 4)
    return direction


def check_sentences(positive: str, negative: str) -> None:
    """Raises UserError for sentences of the difference of means that cannot be used."""
    for text, name in ((positive, "positive"), (negative, "negative")):
        if not isinstance(text, str) or len(text) > 20_000:
            raise UserError("Sentences for the difference of means: at most 20,000 characters on a side.", name)
    if bool(positive.strip()) != bool(negative.strip()):
        raise UserError("The difference of means needs sentences on both sides, one on a line.", "positive")
