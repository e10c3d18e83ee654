"""Whether a contrast is about something: one head's attention, and the model's answer, on drawn examples.

A fit finds directions in anything. So before it, a few examples are looked at: does the head give the matching keys
more than the others, more often than chance would; and does the answer hang on the matching word more than on another
one? The second is asked by exchange: the word of a key for that of another example, which leaves everything else as it
is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import comb, sqrt

import numpy as np
import torch
from torch import Tensor

from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import LayerAttention, tapped
from analysis.progress import Progress, silent
from analysis.qk.answers.contrast import DrawnCheck
from analysis.qk.contrasts.example import Example
from analysis.qk.evidence import LOOKS

DRAWN = 24
"""Examples that are looked at: with one key of three by chance, a share of 0.53 can be told from it."""
_TOKENS = 320
_OWN = "the query's own prompt"


@dataclass(frozen=True)
class Row:
    """One text that is passed through the model: its tokens, and the query's position."""

    ids: tuple[int, ...]
    query: int


def exchanged(ids: Sequence[int], old: int, new: int) -> tuple[int, ...]:
    """Tokens with each mention of one put in place of another."""
    return tuple(new if i == old else i for i in ids)


def other_words(examples: Sequence[Example], positive: bool) -> list[int | None]:
    """For each example the token to put in place of its first matching, or first other, key: the one of the next
    example that has no such token; None where all have the same."""
    places = [(e.positive if positive else e.negative)[0] for e in examples]
    tokens = [e.prompts[p.prompt][p.position] for e, p in zip(examples, places, strict=True)]
    out: list[int | None] = []
    for n, example in enumerate(examples):
        present = set(example.prompts[example.query.prompt])
        later = [*tokens[n + 1 :], *tokens[:n]]
        out.append(next((t for t in later if t not in present), None))
    return out


@torch.no_grad()
def check_drawn(
    loaded: LoadedModel,
    examples: Sequence[Example],
    layer: int,
    head: int,
    copied: bool = False,
    progress: Progress = silent,
) -> DrawnCheck:
    """Look at ``examples``, whose keys all stand in the query's own prompt. ``copied``: the answer is expected to be
    the matching word. Raises ValueError for a layer that does not report, and for keys in another prompt."""
    if any(k.prompt != e.query.prompt for e in examples for k in (*e.positive, *e.negative)):
        raise ValueError(f"a key lies outside {_OWN}")
    plain = [Row(e.prompts[e.query.prompt], e.query.position) for e in examples]
    weights, logits = _passes(loaded, plain, layer, head, progress, (0.0, 0.4))
    key, other, wins, chances, copies = [], [], [], [], []
    for example, row, scores in zip(examples, weights, logits, strict=True):
        up, down = ([float(row[k.position]) for k in keys] for keys in (example.positive, example.negative))
        key.append(np.mean(up))
        other.append(np.mean(down))
        wins.append(min(up) > max(down))
        chances.append(1 / comb(len(up) + len(down), len(up)))
        ids = example.prompts[example.query.prompt]
        right, wrong = ({ids[k.position] for k in keys} for keys in (example.positive, example.negative))
        copies.append(max(scores[t] for t in right) > max(scores[t] for t in wrong - right or wrong))
    moved = [
        _moved(loaded, examples, plain, logits, positive, portion)
        for positive, portion in ((True, (progress, 0.4, 0.7)), (False, (progress, 0.7, 1.0)))
    ]
    n, chance = len(examples), float(np.mean(chances))
    check = DrawnCheck(
        n, float(np.mean(key)), float(np.mean(other)), float(np.mean(wins)), chance,
        min(1.0, chance + 2 * sqrt(chance * (1 - chance) / n)), float(np.mean(copies)), "", "", (), *moved,
    )  # fmt: skip
    return in_words(check, layer, head, copied, chance_copied=_chance_copied(examples))


def _chance_copied(examples: Sequence[Example]) -> float:
    return float(np.mean([1 / (1 + len(e.negative)) for e in examples]))


def _moved(
    loaded: LoadedModel,
    examples: Sequence[Example],
    plain: list[Row],
    before: list[Tensor],
    positive: bool,
    portion: tuple[Progress, float, float],
) -> float | None:
    """Mean KL of the next token after the exchange of a key's word; None where there is nothing to put in its place."""
    rows, base = [], []
    for example, row, scores, new in zip(examples, plain, before, other_words(examples, positive), strict=True):
        place = (example.positive if positive else example.negative)[0]
        if new is not None:
            rows.append(Row(exchanged(row.ids, row.ids[place.position], new), row.query))
            base.append(scores)
    if not rows:
        return None
    _, after = _passes(loaded, rows, None, 0, portion[0], portion[1:])
    return float(np.mean([float((p.exp() * (p - q)).sum().clamp_min(0)) for p, q in zip(base, after, strict=True)]))


def _passes(
    loaded: LoadedModel, rows: list[Row], layer: int | None, head: int, progress: Progress, span: tuple[float, float]
) -> tuple[list[Tensor], list[Tensor]]:
    """Attention (T,) of one head at each query, if a layer is given, and log-probabilities (V,) after it, float64."""
    weights: list[Tensor] = []
    logits: list[Tensor] = []
    longest = max(len(r.ids) for r in rows)
    size = max(1, _TOKENS // longest)
    for start in range(0, len(rows), size):
        some = rows[start : start + size]
        wide = max(len(r.ids) for r in some)
        pad = loaded.tokenizer.pad_token_id or 0
        ids = torch.tensor([[*r.ids, *[pad] * (wide - len(r.ids))] for r in some])
        mask = torch.tensor([[1] * len(r.ids) + [0] * (wide - len(r.ids)) for r in some])
        seen: list[Tensor] = []

        def look(record: LayerAttention, _output: Tensor, seen: list[Tensor] = seen) -> None:
            if record.layer == layer:
                seen.append(record.weights(slice(head, head + 1))[:, 0].cpu())

        with tapped(*_taps(look, layer)):
            out = loaded.forward(ids, mask, logits=True)
        at = torch.arange(len(some)), torch.tensor([r.query for r in some])
        logits += list(out[at[0].to(out.device), at[1].to(out.device)].double().cpu().log_softmax(-1))
        if layer is not None:
            if not seen:
                raise ValueError(f"layer {layer} did not report")
            weights += list(seen[0][at])
        share = (start + len(some)) / len(rows)
        progress(span[0] + (span[1] - span[0]) * share, "looking at drawn examples")
    return weights, logits


def _taps(look: Callable[[LayerAttention, Tensor], None], layer: int | None) -> list[Callable[..., None]]:
    return [] if layer is None else [look]


def in_words(check: DrawnCheck, layer: int, head: int, copied: bool, chance_copied: float) -> DrawnCheck:
    """The check with its sentence, its refusal and its remarks."""
    name, n = f"layer {layer}, head {head}", check.examples
    sentence = (
        f"On {n} drawn examples {name} gives a matching key {check.attention_key:.1%} of its attention and another key "
        f"{check.attention_other:.1%}; the matching one wins in {check.wins:.0%} (by chance {check.chance:.0%})."
    )
    if check.moved_key is not None:
        sentence += f" Another word at the matching key moves the next token by {check.moved_key:.2f} nats (KL)"
        sentence += "." if check.moved_other is None else f", another word at another key by {check.moved_other:.2f}."
    if copied:
        sentence += f" The matching word is the more probable answer in {check.copies:.0%} (by chance "
        sentence += f"{chance_copied:.0%})."
    refused, remarks = "", []
    copied_needed = chance_copied + 2 * sqrt(chance_copied * (1 - chance_copied) / n)
    if check.wins < check.needed:
        refused = (
            f"The behaviour does not hold: the matching key wins in {check.wins:.0%} of {n} drawn examples, and less "
            f"than {check.needed:.0%} is no more than chance ({check.chance:.0%}) gives."
        )
    elif copied and check.copies < copied_needed:
        refused = (
            f"The answer does not hold: in the prompt it was the key's own word, and in {n} drawn examples that word "
            f"is ahead of the others in {check.copies:.0%}, where chance gives {chance_copied:.0%}."
        )
    if not refused and check.attention_key < LOOKS:
        remarks.append(f"The head hardly looks there: under {LOOKS:.0%} of its attention goes to a matching key.")
    if check.moved_key is None:
        remarks.append("The matching key is the same word in all examples, so it cannot be exchanged.")
    elif check.moved_other is None:
        remarks.append(
            "The other keys are the same words in all examples, so what the answer owes to them was not measured."
        )
    elif check.moved_key <= check.moved_other and not refused:
        remarks.append("The answer hangs on the matching word no more than on another one.")
    values = vars(check) | {"sentence": sentence, "refused": refused, "remarks": tuple(remarks)}
    return DrawnCheck(**values)
