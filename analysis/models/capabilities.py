"""Which pages work with a loaded model, and why one does not. Read off the model's facts, never off its name."""

from __future__ import annotations

from typing import Any

from analysis.models.legible import UNREAD_LIMIT

# Recorded attention may differ from the model's own by rounding of the dtype that it computes in.
TOLERANCE = {"float32": 1e-4, "float16": 5e-3, "bfloat16": 4e-2}


def capabilities(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """One entry per page: ``page``, ``works``, ``reason`` (a sentence either way). ``facts`` as of ModelFacts."""
    works, reason = _attention(facts)
    english = facts.get("unread_english", 0.0) <= UNREAD_LIMIT
    own = "" if english else " The bundled texts are English, which this model cannot read: bring texts of its own."
    return [
        {"page": "Attention", "works": works, "reason": reason + (own if works else "")},
        {
            "page": "Steering",
            "works": True,
            "reason": "The residual stream after any block can be read and changed; MLP sites are looked for when "
            "asked for. A fit belongs to the weights that it was made for." + own,
        },
        {
            "page": "Othello",
            "works": True,
            "reason": "The page loads an OthelloGPT of its own, so the model in use does not matter to it.",
        },
        {
            "page": "Neurons",
            "works": True,
            "reason": "Needs an MLP whose gate, up and down vectors (or in and down) can be found; they are looked for "
            "when the page asks. Experts that share the work have none.",
        },
        {
            "page": "MLP features",
            "works": True,
            "reason": "The hidden layer of an MLP, its output, or the residual stream can be factorized, whichever "
            "this model has. A factorization belongs to the weights that it was made for." + own,
        },
        {
            "page": "Faithfulness",
            "works": english,
            "reason": "Its questions and chains are English, which this model cannot read."
            if not english
            else "Needs a fast tokenizer. Its own chains need a chat template, or plain text; whether the bundled "
            "kinds of items can be certified with this model is seen when they are made.",
        },
        {
            "page": "Validation",
            "works": works and english,
            "reason": "The toy model needs no loaded model. "
            + (
                "The invariants need recorded attention: " + reason
                if not works
                else "The invariants run on this one."
                if english
                else "The invariants are measured on English, which this model cannot read."
            ),
        },
    ]


def _attention(facts: dict[str, Any]) -> tuple[bool, str]:
    if not facts["attention_layers"]:
        return False, "No layer of this model computes softmax attention through transformers' attention interface."
    if facts["missing_layers"]:
        layers = ", ".join(map(str, facts["missing_layers"]))
        return False, (
            f"Layers {layers} compute their attention in a way that cannot be recorded; none is skipped silently."
        )
    tolerance, error = TOLERANCE.get(facts["dtype"], 4e-2), facts["recording_error"]
    if error is None or not error <= tolerance:
        size = "no finite number" if error is None else f"{error:.1e}"
        return False, (
            f"Recorded queries and keys do not reproduce the model's own attention (largest difference "
            f"{size}, allowed {tolerance:.0e})."
        )
    text = (
        f"Recorded queries and keys reproduce the model's own attention to {error:.1e} on "
        f"{facts['probe_tokens']} tokens, all {len(facts['attention_layers'])} layers."
    )
    if facts["other_layers"]:
        text += f" {len(facts['other_layers'])} layers have no softmax attention and are not shown."
    return True, text
