"""Contrasts: seeded examples of a query, the keys that match it and the keys that do not.

What a page needs (specs, kinds, help, prompts) and what a worker needs (examples) come from here. Nothing here
imports torch; the tokenizer is handed in.
"""

from __future__ import annotations

from analysis.qk.contrasts.build import build_examples, check_example, describe
from analysis.qk.contrasts.example import Example, Place
from analysis.qk.contrasts.jsonl import parse_jsonl
from analysis.qk.contrasts.kinds import CONTRAST_KINDS, ContrastKind, Option
from analysis.qk.contrasts.prompts import MOVE_PROMPTS, PRESET_PROMPTS
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.contrasts.split import fitted_examples, held_back, in_sample_trial, trial_of
from analysis.qk.contrasts.template import TEMPLATE_HELP, parse_template

__all__ = [
    "CONTRAST_KINDS",
    "MOVE_PROMPTS",
    "PRESET_PROMPTS",
    "TEMPLATE_HELP",
    "ContrastKind",
    "ContrastSpec",
    "Example",
    "Option",
    "Place",
    "build_examples",
    "check_example",
    "describe",
    "fitted_examples",
    "held_back",
    "in_sample_trial",
    "parse_jsonl",
    "parse_template",
    "trial_of",
]
