"""A draft is an example before tokenisation: texts, and character spans in them.

Boxes, categories, templates and JSONL files all write drafts, and one function turns a draft into an example. So the
rules about places (each key has a token, no two keys share one, no key comes after the query that reads it) are
stated once, and every refusal can name the word that broke them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from analysis.models.legible import check_corpus
from analysis.qk.contrasts.example import Example, Place
from analysis.qk.contrasts.tokens import Encoding, FastTokenizer, encode

_LOOKED_AT = 20


class Misplaced(ValueError):
    """A span of a draft cannot serve as meant. The text is a clause, to be put into a sentence by who catches it."""


@dataclass(frozen=True)
class Span:
    """Characters ``start`` to ``end`` (exclusive) of prompt ``prompt``; ``name`` is how a refusal calls them."""

    prompt: int
    start: int
    end: int
    name: str


@dataclass(frozen=True)
class Draft:
    """Texts and spans of one example; fields as in :class:`Example`.

    ``query`` None means the last token of prompt 0. With ``own_query`` the negative keys are paired with the last
    token of prompt 1 (the coded pairing of the lexical contrast, dossier 1.2).
    """

    texts: tuple[str, ...]
    positive: tuple[Span, ...]
    negative: tuple[Span, ...]
    label: str
    key_labels: tuple[str, ...]
    query: Span | None = None
    own_query: bool = False


def encoded(drafts: Iterable[Draft], tokenizer: FastTokenizer) -> Iterator[tuple[Draft, tuple[Encoding, ...]]]:
    """Each draft with its tokenised texts, lazily and in order.

    Raises UserError (field ``model``) when most of the first texts is unknown to the tokenizer.
    """
    head, first, second = itertools.tee(drafts, 3)
    check_corpus(tokenizer, [text for draft in itertools.islice(head, _LOOKED_AT) for text in draft.texts], "model")
    encodings = encode(tokenizer, (text for draft in first for text in draft.texts))
    for draft in second:
        yield draft, tuple(itertools.islice(encodings, len(draft.texts)))


def place(draft: Draft, encodings: tuple[Encoding, ...]) -> Example:
    """Turn a draft into an example. Raises Misplaced, naming the span, when a rule about places is broken."""
    query = _last(encodings, 0) if draft.query is None else _token(draft.query, encodings)
    query_name = "the last token" if draft.query is None else draft.query.name
    other = _last(encodings, 1) if draft.own_query else None
    taken: dict[Place, str] = {}
    for span in draft.positive + draft.negative:
        key = _token(span, encodings)
        if key in taken:
            raise Misplaced(f"{taken[key]} and {span.name} fall on the same token")
        taken[key] = span.name
    keys = list(taken)
    positive, negative = tuple(keys[: len(draft.positive)]), tuple(keys[len(draft.positive) :])
    for pair_query, group in ((query, positive), (other or query, negative)):
        for key in group:
            if key.prompt == pair_query.prompt and key.position > pair_query.position:
                raise Misplaced(f"the query, {query_name}, comes before its key {taken[key]}")
    return Example(
        prompts=tuple(encoding.ids for encoding in encodings),
        query=query,
        positive=positive,
        negative=negative,
        label=draft.label,
        key_labels=draft.key_labels,
        negative_query=other,
    )


def _token(span: Span, encodings: tuple[Encoding, ...]) -> Place:
    hits = encodings[span.prompt].tokens_of(span.start, span.end)
    if not hits:
        raise Misplaced(f"{span.name} has no token in this model's tokenizer")
    if encodings[span.prompt].unknown_at(hits):
        raise Misplaced(f"{span.name} is unknown to this model, which reads it as any other unknown word")
    return Place(span.prompt, hits[-1])


def _last(encodings: tuple[Encoding, ...], prompt: int) -> Place:
    position = encodings[prompt].last()
    if position is None:
        raise Misplaced("the text has no token in this model's tokenizer")
    if encodings[prompt].unknown_at([position]):
        raise Misplaced("the last word, the query, is unknown to this model, which reads it as any other unknown word")
    return Place(prompt, position)
