"""Continue several prompts in one batch: on a step of decoding the weights are read once for all rows.

Each row is written as if it were alone, with its own prompt, temperature and seed; rows that end leave the batch. Two
things are assumed of a model and tried once: that a row does not depend on the rows beside it, and that padding before
a shorter prompt is not seen. Where the second fails, rows of one length are written together; where the first fails,
each row for itself, in turn.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from analysis.models.caching import agrees, probe_text, states_of, way_of_going_on
from analysis.models.generation import choose
from analysis.models.kept_prefix import Before
from analysis.models.loaded_model import LoadedModel
from analysis.models.prompts import end_ids

Together = Literal["any", "length", "alone"]
"""Which rows may share a batch: any, those of one length, or none."""
_KEY = "rows together"
During = Callable[[Sequence[int]], AbstractContextManager[object]]


@dataclass(frozen=True)
class Row:
    """One text to write: the prompt's token ``ids``, and how its tokens are chosen (as of
    :func:`analysis.models.generation.decode`). ``begin``: tokens that it is made to begin with; a draw is made at each
    of them all the same, so that what follows is as if they had been drawn."""

    ids: tuple[int, ...]
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    begin: tuple[int, ...] = ()


Steps = dict[int, tuple[int, Tensor]]
"""By the number of a row: the token that it chose, and the logits (V,) float32 on the CPU from which."""


def decode_batch(
    loaded: LoadedModel,
    rows: Sequence[Row],
    count: int,
    *,
    during: During = lambda _: nullcontext(),
    stop: Callable[[int], bool] = lambda _: False,
    before: Before | None = None,
) -> Iterator[Steps]:
    """Yield, step by step, up to ``count`` tokens of every row that still grows.

    A row ends at an end token, where the model has no further position, or when ``stop`` says so of its number, asked
    before each of its tokens. ``during`` makes the context of a forward pass from the numbers of the rows in it, in
    their order in the batch. Between two steps the model is untouched. ``before``: the beginning of all rows, which
    then have one length and are of a model that goes on in pieces.
    """
    groups = _groups(loaded, rows)
    streams = [_group(loaded, rows, numbers, count, during, stop, before) for numbers in groups]
    while streams:
        steps: Steps = {}
        for stream in list(streams):
            made = next(stream, None)
            if made is None:
                streams.remove(stream)
            else:
                steps |= made
        if steps:
            yield steps


def _groups(loaded: LoadedModel, rows: Sequence[Row]) -> list[list[int]]:
    lengths = {len(row.ids) for row in rows}
    way: Together = "any" if len(rows) <= 1 else rows_together(loaded)
    if way == "any" or (way == "length" and len(lengths) == 1):
        return [list(range(len(rows)))]
    if way == "length":
        return [[n for n, row in enumerate(rows) if len(row.ids) == length] for length in sorted(lengths)]
    return [[n] for n in range(len(rows))]


@torch.no_grad()
def _group(
    loaded: LoadedModel,
    rows: Sequence[Row],
    numbers: list[int],
    count: int,
    during: During,
    stop: Callable[[int], bool],
    before: Before | None,
) -> Iterator[Steps]:
    ends, whole = end_ids(loaded), way_of_going_on(loaded) == "whole"
    texts = {n: list(rows[n].ids) for n in numbers}
    draws = {n: torch.Generator().manual_seed(rows[n].seed) for n in numbers}
    most = loaded.facts.max_positions or 10**9
    longest = max(len(text) for text in texts.values())
    mask = torch.tensor([[0] * (longest - len(texts[n])) + [1] * len(texts[n]) for n in numbers])
    feed = torch.tensor([[texts[n][0]] * (longest - len(texts[n])) + texts[n] for n in numbers])
    inside, cache = list(numbers), None  # the rows of the batch; some may have ended where none can be taken out
    if before is not None:
        cache, feed = before.fresh(), feed[:, before.tokens :]
        if len(numbers) > 1:
            cache.batch_repeat_interleave(len(numbers))
    growing = [n for n in numbers if count > 0 and len(texts[n]) < most and not stop(n)]
    made = 0
    while growing:
        with during(inside):
            output = _pass(loaded, feed, mask, cache, whole)
        cache = None if whole else states_of(output)
        logits = output.logits[:, -1].float().cpu()
        steps: Steps = {}
        for place, n in enumerate(inside):
            if n not in growing:
                continue
            token = choose(logits[place], rows[n].temperature, rows[n].top_p, draws[n])
            begin = rows[n].begin
            if made < len(begin):
                token = begin[made]
            if token in ends:
                growing.remove(n)
                continue
            steps[n] = (token, logits[place].clone())
            texts[n].append(token)
        made += 1
        if steps:
            yield steps
        growing = [n for n in growing if made < count and len(texts[n]) < most and not stop(n)]
        stay = [place for place, n in enumerate(inside) if n in growing]
        if growing and len(stay) < len(inside) and (whole or hasattr(cache, "batch_select_indices")):
            if not whole:
                assert cache is not None
                cache.batch_select_indices(torch.tensor(stay, device=loaded.device))
            mask, inside = mask[stay], growing[:]
        mask = torch.cat([mask, torch.ones(len(inside), 1, dtype=torch.long)], 1)
        if whole:
            width = mask.shape[1]
            feed = torch.tensor([[texts[n][0]] * (width - len(texts[n])) + texts[n] for n in inside])
        else:
            feed = torch.tensor([[texts[n][-1]] for n in inside])


def _pass(loaded: LoadedModel, feed: Tensor, mask: Tensor, cache: Any, whole: bool) -> Any:
    """One pass over (B, T) ids, of which the mask (B, all tokens so far) tells padding."""
    device = loaded.device
    arguments: dict[str, Any] = {"use_cache": False} if whole else {"past_key_values": cache, "use_cache": True}
    if not bool(mask.all()):
        places = (mask.cumsum(1) - 1).clamp(min=0)[:, -feed.shape[1] :]
        arguments["attention_mask"] = mask.to(device)
        if "position_ids" in inspect.signature(loaded.model.forward).parameters:
            arguments["position_ids"] = places.to(device)
    return loaded.model(feed.to(device), logits_to_keep=1, **arguments)


def rows_together(loaded: LoadedModel) -> Together:
    """Which rows may share a batch of this model; tried once on short texts, and remembered with the model."""
    known: tuple[Any, Together] | None = loaded.extras.get(_KEY)
    if known is None or known[0] is not loaded.model:
        known = (loaded.model, _tried(loaded))
        loaded.extras[_KEY] = known
    return known[1]


@torch.no_grad()
def _tried(loaded: LoadedModel) -> Together:
    """Two texts in one batch, of equal and of unequal length, three steps each, against each alone."""
    limit = min(loaded.facts.max_positions or 9, 9)
    if limit < 6:
        return "alone"
    text = probe_text(loaded, limit)[0].tolist()
    whole = way_of_going_on(loaded) == "whole"

    def logits(texts: list[list[int]]) -> Tensor:
        """(B, V) after two further tokens, which are the same for all."""
        longest = max(map(len, texts))
        mask = torch.tensor([[0] * (longest - len(t)) + [1] * len(t) for t in texts])
        feed = torch.tensor([[t[0]] * (longest - len(t)) + t for t in texts])
        more, cache = [text[0], text[1]], None
        output = _pass(loaded, feed, mask, None, whole)
        for token in more:
            cache = None if whole else states_of(output)
            mask = torch.cat([mask, torch.ones(len(texts), 1, dtype=torch.long)], 1)
            new = torch.full((len(texts), 1), token)
            feed = torch.cat([feed, new], 1) if whole else new
            output = _pass(loaded, feed, mask, cache, whole)
        found: Tensor = output.logits[:, -1].double().log_softmax(-1).cpu()
        return found

    long, short = text[: limit - 2], text[2 : limit - 2]
    way: Together = "alone"
    try:
        alone = torch.cat([logits([long]), logits([short])])
        other = long[::-1]
        if agrees(logits([long, other]), torch.cat([alone[:1], logits([other])]), loaded):
            way = "length"
            if agrees(logits([long, short]), alone, loaded):
                way = "any"
    except Exception:  # any refusal of such a call, by any architecture, means that it cannot be done this way
        return way
    return way
