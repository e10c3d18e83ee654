"""Contrasts of random words and of categories: induction, the previous token, the items of a category.

Random words are given as token ids, not as text: one word is one token, so places are plain counting. Each preset
labels its keys with the value of the feature that they carry, and exactly the positive ones carry the query's value.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.errors import UserError
from analysis.qk.contrasts.drafts import Draft, Span
from analysis.qk.contrasts.example import Example, Place
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.contrasts.tokens import FastTokenizer, frequent_words, start_token
from analysis.qk.contrasts.words import CATEGORIES

BYSTANDERS = 3
"""Words between the first pass and the repeat (dossier 6.4 b), so that the last word of the pass is not adjacent."""

EARLIEST_QUERY = 4


def induction(spec: ContrastSpec, tokenizer: FastTokenizer) -> list[Example]:
    """Induction, dossier 6.4 b: a start token, ``n_words`` different words, three others, then one of them again.

    The repeated word is uniform over those that have a follower among the ``n_words``, that is the first to the last
    but one. Positive key: the follower. Negative keys: all other words from the second on. The label is the repeated
    word, and the label of a key is the word before it. Raises UserError (field ``n_words`` or ``model``).
    """
    n_words = int(spec.options["n_words"])
    words, start = _words(tokenizer, n_words + BYSTANDERS, "n_words"), start_token(tokenizer)
    rng = np.random.default_rng(spec.seed)
    examples = []
    for _ in range(spec.n_examples):
        drawn = [words[i] for i in rng.choice(len(words), size=n_words + BYSTANDERS, replace=False)]
        repeated = int(rng.integers(n_words - 1))
        ids = (start, *(i for _, i in drawn), drawn[repeated][1])
        # Word w stands at position w + 1, after the start token; the follower of word r is word r + 1.
        others = [w for w in range(1, n_words) if w != repeated + 1]
        examples.append(
            Example(
                prompts=(ids,),
                query=Place(0, len(ids) - 1),
                positive=(Place(0, repeated + 2),),
                negative=tuple(Place(0, w + 1) for w in others),
                label=drawn[repeated][0],
                key_labels=(drawn[repeated][0], *(drawn[w - 1][0] for w in others)),
            )
        )
    return examples


def previous(spec: ContrastSpec, tokenizer: FastTokenizer) -> list[Example]:
    """The previous token: ``length`` different random words after a start token; the query at a random t >= 4.

    Positive key: t - 1. Negative keys: 1 to t - 2 (the start token is no key, since many heads rest on it). Labels
    are distances. Raises UserError (field ``length`` or ``model``).
    """
    length = int(spec.options["length"])
    words, start = _words(tokenizer, length, "length"), start_token(tokenizer)
    rng = np.random.default_rng(spec.seed)
    examples = []
    for _ in range(spec.n_examples):
        ids = (start, *(words[i][1] for i in rng.choice(len(words), size=length, replace=False)))
        t = int(rng.integers(EARLIEST_QUERY, length + 1))
        examples.append(
            Example(
                prompts=(ids,),
                query=Place(0, t),
                positive=(Place(0, t - 1),),
                negative=tuple(Place(0, p) for p in range(1, t - 1)),
                label="1 back",
                key_labels=("1 back", *(f"{t - p} back" for p in range(1, t - 1))),
            )
        )
    return examples


def category_drafts(spec: ContrastSpec) -> Iterator[Draft]:
    """Items of a category, dossier 3.2 in our own words: 25 shuffled lines, then a question for one category.

    Positive keys: the items of that category. Negative keys: the other items. An item is read at its last token.
    """
    predicate = str(spec.options["predicate"])
    names = list(CATEGORIES)
    items = [(name, word) for name, members in CATEGORIES.items() for word in members]
    rng = np.random.default_rng(spec.seed)
    for _ in range(spec.n_examples):
        asked = names[int(rng.integers(len(names)))] if predicate == "any" else predicate
        text = "Here is a list.\n"
        spans: list[tuple[str, Span]] = []
        for i in rng.permutation(len(items)):
            name, word = items[i]
            spans.append((name, Span(0, len(text) + 2, len(text) + 2 + len(word), word)))
            text += f"- {word}\n"
        text += f"Write down, in single words, every {asked} named in the list.\nAnswer:"
        others = [(name, span) for name, span in spans if name != asked]
        positive = tuple(span for name, span in spans if name == asked)
        yield Draft(
            texts=(text,),
            positive=positive,
            negative=tuple(span for _, span in others),
            label=asked,
            key_labels=(asked,) * len(positive) + tuple(name for name, _ in others),
        )


def _words(tokenizer: FastTokenizer, needed: int, field: str) -> list[tuple[str, int]]:
    words = frequent_words(tokenizer)
    if len(words) < needed:
        raise UserError(
            f"This model's tokenizer has {len(words)} suitable words of one token, but {needed} are needed. "
            "Ask for fewer words, or choose another model.",
            field,
        )
    return words
