"""The one door to the contrasts: a spec and a tokenizer in, checked examples out.

Whatever made the examples, the last step checks the promises that fitting relies on, so a new kind of contrast cannot
break them unnoticed.
"""

from __future__ import annotations

from collections.abc import Iterator

from analysis.errors import UserError
from analysis.qk.answers.features import ExampleKey, ExampleToken, ShownExample
from analysis.qk.contrasts import boxes, presets
from analysis.qk.contrasts.drafts import Draft, Misplaced, encoded, place
from analysis.qk.contrasts.example import Example, Place
from analysis.qk.contrasts.jsonl import jsonl_examples
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.contrasts.template_examples import template_examples
from analysis.qk.contrasts.tokens import FastTokenizer, require_fast, token_texts


def build_examples(spec: ContrastSpec, tokenizer: FastTokenizer) -> list[Example]:
    """The examples of a contrast, decided by the spec (seed included) and the tokenizer alone.

    ``n_examples`` of them; for ``jsonl`` at most as many as the file has lines. Positions count the special tokens
    that the tokenizer adds. Raises UserError whose field is an option of the spec, ``n_examples``, or ``model`` when
    the tokenizer does not fit.
    """
    require_fast(tokenizer)
    if spec.kind == "template":
        examples = template_examples(spec, tokenizer)
    elif spec.kind == "jsonl":
        examples = jsonl_examples(spec, tokenizer)
    elif spec.kind == "induction":
        examples = presets.induction(spec, tokenizer)
    elif spec.kind == "previous":
        examples = presets.previous(spec, tokenizer)
    elif spec.kind == "order":
        examples = _placed(boxes.order_drafts(spec, tokenizer), tokenizer)
    elif spec.kind == "lexical":
        examples = _placed(boxes.lexical_drafts(spec, tokenizer), tokenizer)
        for example in examples:
            boxes.check_aligned(example)
    else:
        examples = _placed(presets.category_drafts(spec), tokenizer)
    for example in examples:
        check_example(example)
    return examples


def check_example(example: Example) -> None:
    """Raise ValueError unless the example keeps the promises of :class:`Example`. A breach is a bug, not bad input."""
    if not example.positive or not example.negative:
        raise ValueError("an example needs a positive and a negative key")
    if len(example.key_labels) != len(example.positive) + len(example.negative):
        raise ValueError("an example needs one label for each key")
    keys = example.positive + example.negative
    if len(set(keys)) != len(keys):
        raise ValueError("a place is a key twice")
    negative_query = example.negative_query or example.query
    for spot in (*keys, example.query, negative_query):
        if not (0 <= spot.prompt < len(example.prompts) and 0 <= spot.position < len(example.prompts[spot.prompt])):
            raise ValueError(f"{spot} is outside its prompt")
    for query, group in ((example.query, example.positive), (negative_query, example.negative)):
        for key in group:
            if key.prompt == query.prompt and key.position > query.position:
                raise ValueError(f"the key at {key} is not visible to the query at {query}")


def describe(example: Example, tokenizer: FastTokenizer) -> ShownExample:
    """An example as a preview shows it: the token strings of each prompt, and the places with tokens and labels."""
    prompts = tuple(token_texts(tokenizer, ids) for ids in example.prompts)

    def at(spot: Place) -> ExampleToken:
        return ExampleToken(*spot, prompts[spot.prompt][spot.position])

    keys = [
        ExampleKey(*spot, prompts[spot.prompt][spot.position], label)
        for spot, label in zip((*example.positive, *example.negative), example.key_labels, strict=True)
    ]
    count = len(example.positive)
    return ShownExample(
        prompts=prompts,
        label=example.label,
        query=at(example.query),
        negative_query=None if example.negative_query is None else at(example.negative_query),
        positive=tuple(keys[:count]),
        negative=tuple(keys[count:]),
    )


def _placed(drafts: Iterator[Draft], tokenizer: FastTokenizer) -> list[Example]:
    try:
        return [place(draft, encodings) for draft, encodings in encoded(drafts, tokenizer)]
    except Misplaced as problem:
        raise UserError(
            f"This contrast does not fit the model's tokenizer: {problem}. Choose another contrast or another model.",
            "model",
        ) from None
