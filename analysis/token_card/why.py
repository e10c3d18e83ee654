"""Why a token stands where it does: the text before it as a prompt of the Attention page, and the token as what is
asked about. With a set-up that acts on all of a text, that page reads it under the set-up as well."""

from __future__ import annotations

from analysis.mfa.settings import SteeringSettings
from analysis.steering.steers import Steer
from analysis.token_card.answers import Place

PARTLY = (
    "On the Attention page all of the text is a prompt, so a set-up that acts on a part of it does not go along: "
    "heads are those of the unsteered model."
)
OTHERWISE = "Typed as a prompt the text before it reads into other tokens, so the Attention page cannot read it."


def why_here(before: str, token: int, steer: Steer | None = None) -> tuple[Place | None, str]:
    """Where it is asked why the ``token`` comes after the prompt ``before`` ("" for a text that no prompt reads into),
    None where it cannot be; and a sentence on what does not go along, "" for nothing."""
    if not before:
        return None, OTHERWISE
    query = {"text": before, "target": token}
    if steer is None or steer.idle:
        return Place("/attention", query), ""
    if isinstance(steer, SteeringSettings) and (steer.where not in ("not_first", "all") or steer.after):
        return Place("/attention", query), PARTLY
    return Place("/attention", query | {"tab": "steered", "steer": steer.to_dict()}), ""
