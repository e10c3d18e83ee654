"""Which examples of a contrast are fitted, and on which others its fit is tested.

Generated contrasts have new examples under another seed. A file has none, so one line in five is held back from the
fit where it has enough of them. Where it has not, or where word lists are so short that a new seed draws old texts
again, the test runs on fitted examples, and everything that is shown of it says so. What is held back is decided by
the texts alone, so that a page can tell beforehand, without a tokenizer, what a test will be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from analysis.qk.contrasts.build import build_examples
from analysis.qk.contrasts.example import Example
from analysis.qk.contrasts.jsonl import parse_jsonl
from analysis.qk.contrasts.spec import MAX_EXAMPLES, MAX_SEED, MIN_EXAMPLES, ContrastSpec
from analysis.qk.contrasts.template import parse_template
from analysis.qk.contrasts.template_examples import template_drafts
from analysis.qk.contrasts.tokens import FastTokenizer

FIFTH = 5
ENOUGH = 40
"""Different texts that a file needs for lines to be held back: a fifth of them are eight, the fewest worth testing."""
TESTED = 150
_SEED_STEP = 1_000_003
_MORE = 4  # so many times the wanted number is drawn where some of the new examples are old ones


@dataclass(frozen=True)
class Trial:
    """``examples`` to test a fit on. ``in_sample``: they were fitted. ``basis``: a sentence that says which they are.
    ``left_out``: new examples whose text was fitted, and which are not among these."""

    examples: list[Example]
    in_sample: bool
    basis: str
    left_out: int = 0


def held_back(spec: ContrastSpec) -> frozenset[int]:
    """Which of the first ``n_examples`` lines of a ``jsonl`` spec (counted from 0, blank ones aside) are not fitted.

    Empty for other kinds, and for fewer than :data:`ENOUGH` different texts. Lines with one text stay together. Of
    each five texts in a row one is drawn by the spec's seed, so that an order in the file cannot favour either part.
    Raises UserError as :func:`parse_jsonl` does.
    """
    if spec.kind != "jsonl":
        return frozenset()
    return _held_back(str(spec.options["text"]), spec.n_examples, spec.seed)


@lru_cache(maxsize=8)
def _held_back(file: str, count: int, seed: int) -> frozenset[int]:
    lines: dict[str, list[int]] = {}
    for index, (_, draft) in enumerate(parse_jsonl(file)[:count]):
        lines.setdefault(" ".join(draft.texts[0].split()), []).append(index)
    if len(lines) < ENOUGH:
        return frozenset()
    texts, rng = list(lines.values()), np.random.default_rng(seed)
    drawn = range(0, len(texts), FIFTH)
    chosen = [first + int(rng.integers(FIFTH)) for first in drawn]
    return frozenset(index for place in chosen if place < len(texts) for index in texts[place])


def fitted_examples(spec: ContrastSpec, tokenizer: FastTokenizer) -> list[Example]:
    """The examples that a fit of ``spec`` rests on: all, less the lines of a file that are held back."""
    examples, held = build_examples(spec, tokenizer), held_back(spec)
    return [e for i, e in enumerate(examples) if i not in held]


def trial_of(spec: ContrastSpec, tokenizer: FastTokenizer, count: int = TESTED) -> Trial:
    """At most ``count`` examples to test a fit of ``spec`` on, none of whose texts was fitted if that can be had."""
    if spec.kind == "jsonl":
        return _lines(spec, tokenizer, count)
    fitted = build_examples(spec, tokenizer)
    seen = {e.prompts for e in fitted}
    fresh, drawn = _unseen(spec, tokenizer, count, seen)
    left_out = drawn - len(fresh)
    if len(fresh) < count and left_out:
        fresh, drawn = _unseen(spec, tokenizer, min(_MORE * count, MAX_EXAMPLES), seen)
        left_out = drawn - len(fresh)
    if len(fresh) < MIN_EXAMPLES:
        return Trial(
            fitted[:count],
            True,
            f"These examples were fitted: of {drawn} new ones all but {len(fresh)} have a text that the fit has seen. "
            "Longer word lists would give others.",
            left_out,
        )
    more = f" {left_out} new ones with a text that it has seen are left out." if left_out else ""
    fresh = fresh[:count]
    return Trial(fresh, False, f"{len(fresh)} examples that the fit has not seen.{more}", left_out)


def in_sample_trial(spec: ContrastSpec, count: int = TESTED) -> bool:
    """Whether a test of ``spec`` will run on fitted examples, as far as its texts tell. Raises UserError as parsing
    does; presets draw from a tokenizer's vocabulary, and new examples are taken for granted there."""
    if spec.kind == "jsonl":
        return not held_back(spec)
    if spec.kind != "template":
        return False
    template = parse_template(str(spec.options["template"]), str(spec.options["word_lists"]))
    shuffle = bool(spec.options["shuffle"])
    seen = {d.texts for d in template_drafts(template, spec.n_examples, spec.seed, shuffle=shuffle)}
    again = template_drafts(template, _MORE * count, _other_seed(spec), shuffle=shuffle)
    return sum(d.texts not in seen for d in again) < MIN_EXAMPLES


def _other_seed(spec: ContrastSpec) -> int:
    return (spec.seed + _SEED_STEP) % MAX_SEED


def _unseen(
    spec: ContrastSpec, tokenizer: FastTokenizer, count: int, seen: set[tuple[tuple[int, ...], ...]]
) -> tuple[list[Example], int]:
    """New examples with texts outside ``seen``, and how many were drawn for them."""
    drawn = build_examples(replace(spec, seed=_other_seed(spec), n_examples=count), tokenizer)
    return [e for e in drawn if e.prompts not in seen], len(drawn)


def _lines(spec: ContrastSpec, tokenizer: FastTokenizer, count: int) -> Trial:
    examples, held = build_examples(spec, tokenizer), held_back(spec)
    seen = {e.prompts for i, e in enumerate(examples) if i not in held}
    # Two texts can be one to a tokenizer that folds case or accents.
    fresh = [examples[i] for i in sorted(held) if examples[i].prompts not in seen]
    left_out = len(held) - len(fresh)
    if len(fresh) < MIN_EXAMPLES:
        why = (
            f"a file has no others; with {ENOUGH} different texts or more, one in five is held back"
            if not held
            else f"to this model all but {len(fresh)} of the lines held back read like fitted ones"
        )
        fitted = [e for i, e in enumerate(examples) if i not in held]
        return Trial(fitted[:count], True, f"These examples are the ones that were fitted ({why}).", left_out)
    basis = f"{len(held)} of the file's {len(examples)} lines, one text in five, were held back from the fit"
    basis += f"; {left_out} of them read like fitted ones and are left out." if left_out else "."
    if len(fresh) > count:
        basis += f" The first {count} of them are tested."
    return Trial(fresh[:count], False, basis, left_out)
