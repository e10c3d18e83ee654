"""Prompts as texts: one that was read, one row of attention over it, and the examples of a contrast."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.qk.answers.features import ContrastPreview, ShownExample
from analysis.qk.answers.prompt import QueryRow, Reading
from components.kit.labels import as_text
from components.kit.part import Table, Text, Texts
from components.kit.view import Drawing, NoOptions, view
from components.qk.evidence_card import FeatureOptions
from components.qk.figures import row_numbers

OWN = "This is the head's own attention, not the model's answer."


@view("attention/prompt", Reading)
def prompt_text(reading: Reading, options: NoOptions, theme: str) -> Drawing:
    """The prompt, and what the model would continue with."""
    words, count = [as_text(label) for label in reading.labels], reading.prompt_tokens
    texts = [Text("The prompt, token by token", "".join(words[:count]))]
    if words[count:]:
        texts.append(Text("Generated", "".join(words[count:])))
    rows = tuple(zip(reading.next.labels, map(float, reading.next.probabilities), strict=True))
    return Drawing(
        caption=" ".join([f"{len(reading.labels)} tokens.", *reading.notes]),
        parts=(Texts("", tuple(texts)), Table("The model would continue with", ("token", "probability"), rows)),
        numbers={"tokens": len(reading.labels), "probability of the first": float(reading.next.probabilities[0])},
    )


@dataclass(frozen=True)
class AnswerOptions:
    """``query``: the position that asks. ``skip_first``: the first token, which takes what nobody needs, is not
    shaded."""

    query: int
    skip_first: bool = True


@view("attention/answer", Reading, QueryRow, options=AnswerOptions)
def attention_answer(reading: Reading, row: QueryRow, options: AnswerOptions, theme: str) -> Drawing:
    """The sentence on a query and a key, and the tokens, shaded by the square root of the attention that they get."""
    seen = np.nan_to_num(np.asarray(row.attention, float)[: options.query + 1])
    if options.skip_first and len(seen) > 1:
        seen[0] = 0.0
    shades = np.sqrt(seen / seen.max()) if seen.max() > 0 else seen
    tokens = tuple(
        (as_text(label), round(float(shades[i]), 3) if i <= options.query else 0.0)
        for i, label in enumerate(reading.labels)
    )
    title = f"Where token {options.query}, “{reading.labels[options.query]}”, looks"
    return Drawing(
        caption=f"{row.sentence} {OWN}",
        parts=(Texts("", (Text(title, "".join(token for token, _ in tokens), tokens=tokens),)),),
        facts={"key": row.key},
        numbers=row_numbers(row),
    )


@view("attention/contrast", ContrastPreview, options=FeatureOptions)
def contrast_examples(examples: ContrastPreview, options: FeatureOptions, theme: str) -> Drawing:
    """A few examples of a feature's contrast: the query is shaded one way, its keys the other, matching ones more."""
    held = f", and {examples.held_back:,} more are held back to test on" if examples.held_back else ""
    return Drawing(
        caption=(
            f"{options.feature}: {examples.count:,} examples are fitted{held}. Orange: the query. Blue: its "
            "matching keys, and paler the other keys, with which they are contrasted."
        ),
        parts=(Texts("", tuple(text for i, e in enumerate(examples.examples, 1) for text in _marked(e, i))),),
        numbers={"examples": examples.count},
    )


def _marked(example: ShownExample, number: int) -> list[Text]:
    """The prompts of an example, one text each."""
    shades = {(key.prompt, key.position): 0.35 for key in example.negative}
    shades |= {(key.prompt, key.position): 1.0 for key in example.positive}
    queries = [example.query, *([example.negative_query] if example.negative_query is not None else [])]
    shades |= {(query.prompt, query.position): -1.0 for query in queries}
    return [
        Text(
            f"Example {number}" + (f", prompt {i + 1}" if len(example.prompts) > 1 else ""),
            "".join(map(as_text, tokens)),
            tokens=tuple((as_text(token), shades.get((i, j), 0.0)) for j, token in enumerate(tokens)),
        )
        for i, tokens in enumerate(example.prompts)
    ]
