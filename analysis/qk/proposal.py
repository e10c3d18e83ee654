"""A contrast made of a prompt: which words vary, what stands in their place, and whether the behaviour survives it.

The prompt itself says what is asked: a head that gives the key more than its rivals. Its rivals are the other words of
the key's kind; where there are none, the words that the head looks at next, which stay as they are. Two orders are
tried, the one in which position says nothing first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.ablation import plain_logits
from analysis.models.loaded_model import LoadedModel
from analysis.models.prompts import token_labels
from analysis.models.trace import Trace
from analysis.progress import Progress, portion, silent
from analysis.qk.alike import PROPOSED, nearness, proposed, same_kind, themed
from analysis.qk.answers.contrast import DrawnCheck, ProposedContrast
from analysis.qk.behaviour import DRAWN, check_drawn
from analysis.qk.contrasts.build import build_examples
from analysis.qk.contrasts.from_prompt import (
    FEWEST_WORDS,
    MOST_RIVALS,
    PromptWord,
    check_pair,
    prompt_words,
    series,
    shared_run,
    units,
    written,
)
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.contrasts.tokens import encode, require_fast, single_tokens
from analysis.qk.contributions import pair_heads

FIXED = 3
"""Rivals of other kinds, which do not vary."""


@dataclass(frozen=True)
class Pair:
    """A head, and the positions of a query and of a key that it looks at."""

    layer: int
    head: int
    query: int
    key: int


@dataclass(frozen=True)
class Slots:
    """What varies: ``rivals`` positions, ``lists`` words by the list's name, ``kinds`` the list of each word that
    varies; ``alike``: the rivals are of the key's kind; ``note``: where the words come from."""

    rivals: list[int]
    lists: dict[str, list[str]]
    kinds: dict[str, str]
    alike: bool
    note: str


def propose(
    loaded: LoadedModel, trace: Trace, text: str | None, pair: Pair, token: int = -1, progress: Progress = silent
) -> ProposedContrast:
    """A template contrast of a prompt with a check of it; a check that refuses is part of the answer.

    ``text``: the prompt as it was typed, None where the query is one of its generated tokens. ``token``: as of
    :class:`analysis.qk.ops.contrast.MakeContrast`. Raises UserError (field ``key`` or ``model``), in words, for a pair
    that nothing can be made of.
    """
    text, words = text_to(loaded, trace, text, pair.query)
    labels = token_labels(loaded.tokenizer, trace.ids)
    _, attention = trace.row(pair.layer, pair.head, pair.query)
    check_pair(labels, words, pair.query, pair.key, attention.tolist())
    progress(0.05, "words that could stand there")
    answer = plain_logits(loaded, trace.ids[: pair.key]) if pair.key else None
    slots = slots_of(loaded, trace, text, words, pair, answer)
    if not slots.rivals:
        raise UserError("The head sees no other word to hold this key against. Write a longer prompt.", "key")
    check_looks(trace, pair, slots.rivals, labels)
    own = words[pair.key].text
    have = len(slots.lists[slots.kinds[own]])
    if have < FEWEST_WORDS:
        raise UserError(
            f"“{own}” does not vary: this model has {have} words of the same form that are one token there, and a "
            f"contrast needs {FEWEST_WORDS}. Choose another key, or write a template by hand.",
            "key",
        )
    run = shared_run(trace.ids, pair.query, pair.key)
    varying = [p for p, word in words.items() if word.text in slots.kinds]
    clauses = units(varying, slots.rivals, pair.key, run) if slots.alike else []
    copied = (token if token >= 0 else int(trace_answer(loaded, trace, pair.query))) == trace.ids[pair.key]
    name = f"{labels[pair.query].strip('␣')} → {own}"[:40]
    made: list[ProposedContrast] = []
    orders: list[Sequence[tuple[int, int]]] = [clauses, []] if len(clauses) > 1 else [[]]
    for number, order in enumerate(orders):
        template, lists = written(text, words, slots.lists, slots.kinds, pair.key, slots.rivals, order)
        told = portion(progress, 0.1 + 0.9 * number / len(orders), 0.1 + 0.9 * (number + 1) / len(orders))
        check = check_template(loaded, template, lists, bool(order), pair, copied, told)
        notes = slots.note, place_note(bool(order), len(orders) > 1, slots.alike)
        made.append(ProposedContrast(template, lists, bool(order), name, copied, notes, check))
        if not check.refused:
            return made[-1]
    return made[0]


def check_template(
    loaded: LoadedModel, template: str, lists: str, shuffle: bool, pair: Pair, copied: bool, progress: Progress
) -> DrawnCheck:
    """The check of a template as it stands."""
    tokenizer: Any = loaded.tokenizer
    spec = ContrastSpec(
        "template", DRAWN, 0, {"template": template, "word_lists": lists, "shuffle": shuffle, "long_words": "refuse"}
    )
    return check_drawn(loaded, build_examples(spec, tokenizer), pair.layer, pair.head, copied, progress)


def trace_answer(loaded: LoadedModel, trace: Trace, query: int) -> int:
    """The most probable token after a query."""
    last = query == len(trace.ids) - 1
    logits = trace.next_logits if last else plain_logits(loaded, trace.ids[: query + 1])
    return int(logits.argmax())


def place_note(shuffled: bool, tried: bool, alike: bool) -> str:
    """What the place of the key has to do with it."""
    if shuffled:
        return (
            "The marked words change places from example to example, so a fixed position does not give the answer away."
        )
    always = "The key always stands at the same place, so the subspace may be one of position."
    if tried:
        return f"Where the marked words change places the behaviour does not hold, so here they stay. {always}"
    return always if alike else f"{always} It is held against words of other kinds, so it may be one of kinds."


def text_to(loaded: LoadedModel, trace: Trace, text: str | None, query: int) -> tuple[str, dict[int, PromptWord]]:
    """The text up to and with the query, and its words by position. UserError where the text cannot end there."""
    tokenizer: Any = loaded.tokenizer
    require_fast(tokenizer)
    wanted = list(trace.ids[: query + 1])
    if text is None:
        text = str(tokenizer.decode(wanted, clean_up_tokenization_spaces=False))
    else:
        text = text[: int(next(iter(encode(tokenizer, [text]))).offsets[query, 1])]
    encoding = next(iter(encode(tokenizer, [text])))
    if not text or list(encoding.ids)[: query + 1] != wanted or encoding.last() != query:
        raise UserError(
            "A text that ends with this query has other tokens than the prompt, so the query is only a part of a word. "
            "Choose the last token of a word.",
            "key",
        )
    return text, prompt_words(text, encoding)


def slots_of(
    loaded: LoadedModel,
    trace: Trace,
    text: str,
    words: dict[int, PromptWord],
    pair: Pair,
    predicted: Tensor | None,
) -> Slots:
    """What varies in a prompt, and the lists. ``predicted``: logits (V,) at the key's place."""
    own, token = words[pair.key].text, trace.ids[pair.key]
    near = nearness(loaded, token)
    first: dict[str, int] = {}
    for position in sorted(words):
        if position and position != pair.query:
            first.setdefault(words[position].text, position)
    first.pop(own, None)
    others = list(first.values())
    alike = [p for p, same in zip(others, same_kind(near, [trace.ids[p] for p in others]), strict=True) if same]
    _, attention = trace.row(pair.layer, pair.head, pair.query)
    if len(alike) < 2 and shared_run(trace.ids, pair.query, pair.key):
        # Where a row of words begins again, any word can stand in it.
        row = {words[p].text for p in series(text, words, pair.key)}
        alike = [p for p in others if words[p].text in row] or alike
    seen = sorted(alike or others, key=lambda p: -float(attention[p]))
    rivals = sorted(seen[: MOST_RIVALS if alike else FIXED])
    name = "digit" if own.isdigit() else "name" if own[0].isupper() else "word"
    marked = [pair.key, *(rivals if alike else [])]
    varying = [own, *(words[p].text for p in alike)]
    lists = {name: listed(loaded, text, words, marked, varying, near, predicted)}
    kinds = dict.fromkeys(varying, name)
    for number, position in enumerate([] if alike else rivals, 1):
        lists[f"fixed-{number}"] = [words[position].text]
        kinds[words[position].text] = f"fixed-{number}"
    source = "The words are those nearest to it by this model's word vectors, in the order of its predictions there"
    kind, theme = themed(own)
    filled = [w for w in theme if w in lists[name][len(varying) :]]
    source += f", with some of the corpus's kind “{kind}”." if kind and filled else "."
    against = ", ".join(f"“{words[p].text}”" for p in rivals)
    why = (
        "words that could stand in its place"
        if alike
        else "no other word is of its kind; these the head looks at next, and they stay"
    )
    return Slots(rivals, lists, kinds, bool(alike), f"“{own}” is held against {against} ({why}). {source}")


def listed(
    loaded: LoadedModel,
    text: str,
    words: dict[int, PromptWord],
    marked: Sequence[int],
    varying: Sequence[str],
    near: Tensor,
    predicted: Tensor | None,
) -> list[str]:
    """The prompt's own words first, then words like them that are one token wherever one of them is marked."""
    scores = None if predicted is None else predicted.float().log_softmax(-1)
    own = words[marked[0]].text
    used = {w.text for w in words.values()}
    more = [w for w in (*proposed(near, loaded, scores), *themed(own)[1]) if w not in used]
    able = list(dict.fromkeys(more))
    for position in marked:
        word = words[position]
        able = single_tokens(loaded.tokenizer, able, (text[: word.start], text[word.end :]))  # type: ignore[arg-type]
    return [*dict.fromkeys(varying), *able][: max(PROPOSED, len(varying) + FEWEST_WORDS)]


def check_looks(trace: Trace, pair: Pair, rivals: Sequence[int], labels: Sequence[str]) -> None:
    """Refuse a pair that this head does not tell from its rivals in the prompt itself."""
    _, attention = trace.row(pair.layer, pair.head, pair.query)
    own = float(attention[pair.key])
    ahead = max(rivals, key=lambda p: float(attention[p]))
    if own > float(attention[ahead]):
        return
    layers, heads = max(trace.layers) + 1, trace.layers[pair.layer].queries.shape[1]
    pairs = torch.nan_to_num(pair_heads(trace, pair.query, pair.key, layers, heads))
    layer, head = divmod(int(pairs.argmax()), heads)
    raise UserError(
        f"In this prompt layer {pair.layer}, head {pair.head} gives “{labels[pair.key]}” {own:.1%} of its attention "
        f"and “{labels[ahead]}” {float(attention[ahead]):.1%}, so there is no preference to make a contrast of. "
        f"Choose a key that it looks at, or a head that looks there: layer {layer}, head {head} gives it "
        f"{float(pairs[layer, head]):.1%}.",
        "key",
    )
