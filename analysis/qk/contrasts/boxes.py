"""Contrasts of binding: objects in boxes, by the order of the list and by the object (dossier 3.3), in our own words.

Letters are drawn from all capitals that are one token, and the order contrast draws its company of objects from the
whole list, because with a closed vocabulary of n objects and n letters only a few hundred different prompts exist and
a held-out half would repeat the fitted one. The letter of a box is independent of both features, so it averages out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.errors import UserError
from analysis.qk.contrasts.drafts import Draft, Span
from analysis.qk.contrasts.example import Example
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.contrasts.tokens import FastTokenizer, single_tokens
from analysis.qk.contrasts.words import FILLER, LETTERS, OBJECTS

FILLER_PER_BOX = 8
"""Most filler words for each box: about the length of a clause, so that filler can shift a list by its own length."""


def order_drafts(spec: ContrastSpec, tokenizer: FastTokenizer) -> Iterator[Draft]:
    """Order: the object asked for is always the same, at a random place; the other objects are drawn from the list.

    Positive key: the letter of its box. Negative keys: the other letters. Labels are places, counted from 1.
    """
    n, filler = int(spec.options["n_boxes"]), bool(spec.options["filler"])
    objects, letters = _vocabulary(tokenizer, n)
    asked, company = objects[0], objects[1:]
    rng = np.random.default_rng(spec.seed)
    for _ in range(spec.n_examples):
        at = int(rng.integers(n))
        listed = [company[i] for i in rng.choice(len(company), size=n - 1, replace=False)]
        listed.insert(at, asked)
        boxes = [letters[i] for i in rng.choice(len(letters), size=n, replace=False)]
        text, spans = _prompt(listed, boxes, asked, _filler(rng, n) if filler else "", 0)
        others = [i for i in range(n) if i != at]
        yield Draft(
            texts=(text,),
            positive=(spans[at],),
            negative=tuple(spans[i] for i in others),
            label=str(at + 1),
            key_labels=(str(at + 1), *(str(i + 1) for i in others)),
        )


def lexical_drafts(spec: ContrastSpec, tokenizer: FastTokenizer) -> Iterator[Draft]:
    """Lexical: the first ``n_boxes`` suitable objects are the fitting vocabulary, all listed, one asked for.

    Prompt 1 is prompt 0 with the object asked for replaced, in list and question, by one from outside. Positive key:
    the letter of its box in prompt 0; negative key: the same letter in prompt 1, paired with the query of prompt 0
    (clean) or of prompt 1 (coded; dossier 1.2, item 2). Labels are objects.
    """
    n, coded = int(spec.options["n_boxes"]), spec.options["pairing"] == "coded"
    objects, letters = _vocabulary(tokenizer, n)
    inside, outside = objects[:n], objects[n:]
    rng = np.random.default_rng(spec.seed)
    for _ in range(spec.n_examples):
        listed = [inside[i] for i in rng.permutation(n)]
        boxes = [letters[i] for i in rng.choice(len(letters), size=n, replace=False)]
        at = int(rng.integers(n))
        asked, other = listed[at], outside[int(rng.integers(len(outside)))]
        text, spans = _prompt(listed, boxes, asked, "", 0)
        changed = [*listed[:at], other, *listed[at + 1 :]]
        counter_text, counter_spans = _prompt(changed, boxes, other, "", 1)
        yield Draft(
            texts=(text, counter_text),
            positive=(spans[at],),
            negative=(counter_spans[at],),
            label=asked,
            key_labels=(asked, other),
            own_query=coded,
        )


def check_aligned(example: Example) -> None:
    """The two keys of a lexical example must stand at one position, or position would be part of the contrast.

    Raises UserError (field ``model``) when the two prompts differ in length or in the position of the letter.
    """
    first, second = example.prompts
    if len(first) != len(second) or example.positive[0].position != example.negative[0].position:
        raise UserError(
            "This model's tokenizer splits the two prompts of a pair differently, so position would be part of the "
            "contrast. Choose another contrast or another model.",
            "model",
        )


def _vocabulary(tokenizer: FastTokenizer, n: int) -> tuple[Sequence[str], Sequence[str]]:
    """Objects and letters that are one token where the prompts put them. Raises UserError (field ``n_boxes``)."""
    objects: Sequence[str] = OBJECTS
    for frame in (("The ", " is kept"), ("is the ", "? Answer")):
        objects = single_tokens(tokenizer, objects, frame)
    letters: Sequence[str] = LETTERS
    for frame in (("kept in Box ", ", the"), ("kept in Box ", " and the"), ("kept in Box ", ". Reply")):
        letters = single_tokens(tokenizer, letters, frame)
    # One object more than boxes is the least that leaves something outside the fitting vocabulary.
    for what, have, need in (("objects", len(objects), n + 1), ("letters", len(letters), n)):
        if have < need:
            raise UserError(
                f"This model's tokenizer has {have} of the bundled {what} as one token, but {n} boxes need {need}. "
                "Use fewer boxes, or choose another model.",
                "n_boxes",
            )
    return objects, letters


def _prompt(
    listed: Sequence[str], boxes: Sequence[str], asked: str, filler: str, prompt: int
) -> tuple[str, list[Span]]:
    """The text, which ends in " Box", and the span of each letter."""
    text, spans = filler, []
    for i, (thing, letter) in enumerate(zip(listed, boxes, strict=True)):
        joint = "The" if i == 0 else " and the" if i == len(listed) - 1 else ", the"
        text += f"{joint} {thing} is kept in Box "
        spans.append(Span(prompt, len(text), len(text) + len(letter), letter))
        text += letter
    text += f". Reply with one letter. Question: in which box is the {asked}? Answer: the {asked} is kept in Box"
    return text, spans


def _filler(rng: np.random.Generator, n: int) -> str:
    count = int(rng.integers(1, FILLER_PER_BOX * n + 1))
    return "Skip these words: " + " ".join(FILLER[i] for i in rng.integers(len(FILLER), size=count)) + ". "
