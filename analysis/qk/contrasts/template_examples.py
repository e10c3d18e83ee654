"""From a parsed template to examples: words are drawn, clauses are shuffled, and marked words are checked.

A marked word of several tokens is refused by default: the head may read any of its tokens, and which one it reads
can differ from word to word. All such words are collected before the refusal, so that they can be replaced at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from analysis.qk.contrasts.drafts import Draft, Misplaced, Span, encoded, place
from analysis.qk.contrasts.example import Example
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.contrasts.template import Fault, Mention, Template, parse_template, refusal_of
from analysis.qk.contrasts.tokens import FastTokenizer

_SHOWN = 5


def template_examples(spec: ContrastSpec, tokenizer: FastTokenizer) -> list[Example]:
    """Build the examples of a ``template`` spec. The label is the positive word; so are the labels of its keys.

    Raises UserError (field ``template`` or ``word_lists``) as :func:`parse_template` does, and when a query comes
    before one of its keys, when two marked words share a token, or when a marked word has several tokens or is unknown.
    """
    template = parse_template(str(spec.options["template"]), str(spec.options["word_lists"]))
    examples: list[Example] = []
    long: dict[str, int] = {}
    unknown: set[str] = set()
    misplaced = ""
    strict = spec.options["long_words"] == "refuse"
    drafts = template_drafts(template, spec.n_examples, spec.seed, shuffle=bool(spec.options["shuffle"]))
    for number, (draft, encodings) in enumerate(encoded(drafts, tokenizer), 1):
        spans = draft.positive + draft.negative + ((draft.query,) if draft.query else ())
        for span in spans:
            hits, word = encodings[0].tokens_of(span.start, span.end), draft.texts[0][span.start : span.end]
            if encodings[0].unknown_at(hits):
                unknown.add(word)
            elif strict and len(hits) > 1:
                long[word] = len(hits)
        if unknown:
            continue  # nothing is made of these examples, so what else is wrong with them can wait
        try:
            examples.append(place(draft, encodings))
        except Misplaced as problem:
            advice = " Clauses in square brackets change places." if template.clauses else ""
            misplaced = misplaced or f"In example {number} {problem}.{advice}"
    faults: list[Fault] = [(misplaced, "template")] if misplaced else []
    if unknown:
        words = sorted(unknown)
        more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
        faults.append((
            f"These marked words are unknown to this model, which reads them all as one: {', '.join(words[:_SHOWN])}"
            f"{more}. Replace them in the word lists, or choose another model.",
            "word_lists",
        ))  # fmt: skip
    if long:
        words = [f"{word} ({count} tokens)" for word, count in sorted(long.items())]
        more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
        faults.append((
            f"Marked words must be one token where they stand, but these are not: {', '.join(words[:_SHOWN])}{more}. "
            'Replace them in the word lists, or choose "last" for words of several tokens.',
            "word_lists",
        ))  # fmt: skip
    if faults:
        raise refusal_of(faults)
    return examples


def template_drafts(template: Template, count: int, seed: int, *, shuffle: bool) -> Iterator[Draft]:
    """``count`` drafts of a template; the same seed draws the same words, and a larger count only adds to them."""
    rng = np.random.default_rng(seed)
    slots: dict[str, list[int]] = {}
    for mention in template.mentions():
        numbers = slots.setdefault(mention.list_name, [])
        if mention.number not in numbers:
            numbers.append(mention.number)
    for _ in range(count):
        words: dict[tuple[str, int], str] = {}
        for name, numbers in slots.items():
            drawn = rng.choice(len(template.lists[name]), size=len(numbers), replace=False)
            words.update({(name, number): template.lists[name][i] for number, i in zip(numbers, drawn, strict=True)})
        order = rng.permutation(len(template.clauses)) if shuffle else np.arange(len(template.clauses))
        segments = list(template.segments)
        for target, source in zip(template.clauses, order, strict=True):
            segments[target] = template.segments[template.clauses[source]]
        yield _render([piece for segment in segments for piece in segment], words)


def _render(pieces: list[str | Mention], words: dict[tuple[str, int], str]) -> Draft:
    text: list[str] = []
    length = 0
    marked: dict[str, list[tuple[Span, str]]] = {"+": [], "-": [], "?": []}
    for piece in pieces:
        word = piece if isinstance(piece, str) else words[piece.list_name, piece.number]
        if isinstance(piece, Mention) and piece.mark:
            span = Span(0, length, length + len(word), f"{piece.written} ({word})")
            marked[piece.mark].append((span, word))
        text.append(word)
        length += len(word)
    positive, negative, query = marked["+"], marked["-"], marked["?"]
    return Draft(
        texts=("".join(text),),
        positive=tuple(span for span, _ in positive),
        negative=tuple(span for span, _ in negative),
        label=positive[0][1],
        key_labels=tuple(word for _, word in positive + negative),
        query=query[0][0] if query else None,
    )
