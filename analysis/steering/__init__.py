"""Change what a language model computes while it runs, and measure what that did.

Methods find directions and points in activation space; this package puts them to use, whatever found them. All of it
works in a notebook::

    from analysis.models import load_model
    from analysis.models.sites import Site
    from analysis.steering import Interpolate, PromptCache, generate_stream, kl_divergence, steer, strength_for_kl

    loaded = load_model("default")
    ids = loaded.tokenizer("I think that")["input_ids"]

    def towards(strength):
        return [Interpolate(Site(10), centroid, strength)]            # centroid: (576,)

    with steer(loaded, towards(0.4), prompt_tokens=len(ids)) as applied:
        output = loaded.model.generate(...)                           # any code that runs the model
    applied.tokens                                                    # {Site(10): 52}

    for token, logits in generate_stream(loaded, ids, 50, interventions=towards(0.4)):
        print(loaded.tokenizer.decode([token]), end="")

    cache = PromptCache(loaded, ids)                                  # sliders: only blocks above the site run again
    def kl(strength):
        return kl_divergence(cache.base_logits, cache.next_logits(towards(strength)))
    print(strength_for_kl(kl, target=0.25).sentence)

Nothing of the model is changed: hooks are in place inside a context, or during single passes, and gone after it, by
whatever way it is left. Vectors are in raw units of the activation at their site.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.lazy import public

if TYPE_CHECKING:
    from analysis.steering.calibrate import Calibration, kl_divergence, kl_divergences, strength_for_kl
    from analysis.steering.controls import difference_of_means, encode_sentences_mean, random_direction
    from analysis.steering.generate import PromptCache, Step, generate_stream
    from analysis.steering.operators import Add, Clamp, Interpolate, Intervention, ProjectOut
    from analysis.steering.plan import Applied, Plan, steer
    from analysis.steering.readouts import (
        TextReadouts,
        compression_ratio,
        distinct_share,
        perplexity,
        repeated_share,
        text_readouts,
    )
    from analysis.steering.rows import Arm, BatchStep, generate_batch
    from analysis.steering.setup import SteeringSetup, check_setup, load_setup, save_setup, setup_for

__all__ = [
    "Add",
    "Applied",
    "Arm",
    "BatchStep",
    "Calibration",
    "Clamp",
    "Interpolate",
    "Intervention",
    "Plan",
    "ProjectOut",
    "PromptCache",
    "SteeringSetup",
    "Step",
    "TextReadouts",
    "check_setup",
    "compression_ratio",
    "difference_of_means",
    "distinct_share",
    "encode_sentences_mean",
    "generate_batch",
    "generate_stream",
    "kl_divergence",
    "kl_divergences",
    "load_setup",
    "perplexity",
    "random_direction",
    "repeated_share",
    "save_setup",
    "setup_for",
    "steer",
    "strength_for_kl",
    "text_readouts",
]

__getattr__ = public(
    __name__,
    {
        "calibrate": "Calibration kl_divergence kl_divergences strength_for_kl",
        "controls": "difference_of_means encode_sentences_mean random_direction",
        "generate": "PromptCache Step generate_stream",
        "operators": "Add Clamp Interpolate Intervention ProjectOut",
        "plan": "Applied Plan steer",
        "readouts": "TextReadouts compression_ratio distinct_share perplexity repeated_share text_readouts",
        "rows": "Arm BatchStep generate_batch",
        "setup": "SteeringSetup check_setup load_setup save_setup setup_for",
    },
)
