"""What works with a loaded model, and why something does not. Read off the model's facts, never off its name.

No page is known here: a page names what it needs of a model in one of these words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from analysis.errors import UserError
from analysis.models.legible import UNREAD_LIMIT
from analysis.models.model_facts import ModelFacts

# Recorded attention may differ from the model's own by rounding of the dtype that it computes in.
TOLERANCE = {"float32": 1e-4, "float16": 5e-3, "bfloat16": 4e-2}

Need = Literal[
    "recorded attention",
    "residual stream",
    "no model in use",
    "MLP vectors",
    "activations",
    "English items",
    "invariants",
]


@dataclass(frozen=True)
class Capability:
    """Whether what is needed is there, and a sentence either way."""

    works: bool
    reason: str


def capability(need: Need, facts: ModelFacts) -> Capability:
    """Whether a model has what is needed."""
    english = facts.unread_english <= UNREAD_LIMIT
    own = "" if english else " The bundled texts are English, which this model cannot read: bring texts of its own."
    attention = recorded_attention(facts)
    match need:
        case "recorded attention":
            return Capability(attention.works, attention.reason + (own if attention.works else ""))
        case "residual stream":
            return Capability(
                True,
                "The residual stream after any block can be read and changed; MLP sites are looked for when "
                "asked for. A fit belongs to the weights that it was made for." + own,
            )
        case "no model in use":
            return Capability(
                True, "The page loads an OthelloGPT of its own, so the model in use does not matter to it."
            )
        case "MLP vectors":
            return Capability(
                True,
                "Needs an MLP whose gate, up and down vectors (or in and down) can be found; they are looked for "
                "when the page asks. Experts that share the work have none.",
            )
        case "activations":
            return Capability(
                True,
                "The hidden layer of an MLP, its output, or the residual stream can be factorized, whichever "
                "this model has. A factorization belongs to the weights that it was made for." + own,
            )
        case "English items":
            return Capability(
                english,
                "Needs a fast tokenizer. Its own chains need a chat template, or plain text; whether the bundled "
                "kinds of items can be certified with this model is seen when they are made."
                if english
                else "Its questions and chains are English, which this model cannot read.",
            )
        case "invariants":
            return Capability(
                attention.works and english,
                "The toy model needs no loaded model. "
                + (
                    "The invariants need recorded attention: " + attention.reason
                    if not attention.works
                    else "The invariants run on this one."
                    if english
                    else "The invariants are measured on English, which this model cannot read."
                ),
            )


@dataclass(frozen=True)
class MetNeed(Capability):
    """A capability with the need that it is of."""

    need: Need


@dataclass(frozen=True)
class LoadReport:
    """A model that is in memory, and what works with it."""

    facts: ModelFacts
    capabilities: tuple[MetNeed, ...]


def capabilities(facts: ModelFacts) -> tuple[MetNeed, ...]:
    """One entry per need."""
    rows = ((need, capability(need, facts)) for need in get_args(Need))
    return tuple(MetNeed(row.works, row.reason, need) for need, row in rows)


def require_attention(facts: ModelFacts, refusal: str) -> None:
    """Raises UserError (field ``model``) with this sentence and the reason, if attention cannot be recorded."""
    attention = recorded_attention(facts)
    if not attention.works:
        raise UserError(f"{refusal} {attention.reason}", "model")


def recorded_attention(facts: ModelFacts) -> Capability:
    """Whether recorded queries and keys reproduce the model's own attention."""
    if not facts.attention_layers:
        return Capability(
            False, "No layer of this model computes softmax attention through transformers' attention interface."
        )
    if facts.missing_layers:
        layers = ", ".join(map(str, facts.missing_layers))
        return Capability(
            False,
            f"Layers {layers} compute their attention in a way that cannot be recorded; none is skipped silently.",
        )
    tolerance, error = TOLERANCE.get(facts.dtype, 4e-2), facts.recording_error
    if error is None or not error <= tolerance:
        size = "no finite number" if error is None else f"{error:.1e}"
        return Capability(
            False,
            f"Recorded queries and keys do not reproduce the model's own attention (largest difference "
            f"{size}, allowed {tolerance:.0e}).",
        )
    text = (
        f"Recorded queries and keys reproduce the model's own attention to {error:.1e} on "
        f"{facts.probe_tokens} tokens, all {len(facts.attention_layers)} layers."
    )
    if facts.other_layers:
        text += f" {len(facts.other_layers)} layers have no softmax attention and are not shown."
    return Capability(True, text)
