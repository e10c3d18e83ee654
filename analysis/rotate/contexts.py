"""Where an ablation is looked at: contexts in which a neuron is active, or which end with a channel's tokens; and the
activations of one block in them, which is all that has to run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.hooks import hooked, layout
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.rotate.removal import Case

SHOWN = 8
"""Positions of a text, or sentences of each sort, that are looked at."""
LEAST = 3
WINDOW, SKIPPED = 24, 2
"""Tokens of a context at most; first positions of a text that are left out."""


def strongest(
    loaded: LoadedModel, layer: int, neurons: Sequence[int], texts: Sequence[Sequence[int]], count: int = SHOWN
) -> list[list[list[int]]]:
    """For each neuron of a block the ``count`` contexts of at most 24 tokens at the ends of which it is most active
    (in size), from rows of token ids; at most one of each text."""
    most = min(WINDOW, loaded.facts.max_positions or WINDOW)
    windows = [list(t)[:most] for t in texts if len(t) > SKIPPED]
    best = []
    for first in range(0, len(windows), 16):
        rows = windows[first : first + 16]
        active = hidden(loaded, rows, Site(layer, "mlp_hidden"))[:, :, list(neurons)].float().abs().cpu()
        lengths = torch.tensor([len(r) for r in rows])
        place = torch.arange(active.shape[1])
        active[(place[None] >= lengths[:, None]) | (place[None] < SKIPPED)] = -1.0
        best.append(torch.stack(active.max(1)))  # (2, rows, neurons): value, position
    values, places = torch.cat(best, 1)
    found = []
    for n in range(len(neurons)):
        chosen = values[:, n].argsort(descending=True)[:count].tolist()
        found.append([windows[i][: int(places[i, n]) + 1] for i in chosen])
    return found


def windows_of(case: Case, texts: Sequence[Sequence[int]], seed: int) -> tuple[list[list[int]], list[list[int]]]:
    """Sentences, cut behind a token of the channel, and behind one of the others."""
    own = _windows(texts, case.tokens, case.others, seed)
    other = _windows(texts, case.others, case.tokens, seed)
    for group, words in ((own, "the channel's tokens"), (other, "the neuron's other tokens")):
        if len(group) < LEAST:
            raise UserError(
                f"Only {len(group)} sentences of the corpus hold one of {words}, and {LEAST} are needed to see whether "
                "the activation falls. Choose another channel.",
                "channel",
            )
    return own, other


def _windows(
    texts: Sequence[Sequence[int]], wanted: Sequence[int], avoided: Sequence[int], seed: int
) -> list[list[int]]:
    """Contexts that end with a wanted token and hold none of the others, of as many different tokens as there are."""
    by_token: dict[int, list[list[int]]] = {int(t): [] for t in wanted}
    strange = set(avoided)
    for number in np.random.default_rng(seed).permutation(len(texts)):
        text = texts[number]
        for place, token in enumerate(text):
            group = by_token.get(int(token))
            if group is None or len(group) >= SHOWN or place < 2 * SKIPPED:
                continue
            window = [int(t) for t in text[max(0, place + 1 - WINDOW) : place + 1]]
            if strange.isdisjoint(window):
                group.append(window)
            break
    rounds = [group[i] for i in range(SHOWN) for group in by_token.values() if i < len(group)]
    return rounds[:SHOWN]


def padded(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor | None]:
    """Token ids (B, T) padded on the right, and the mask where there is padding."""
    lengths = torch.tensor([len(r) for r in rows])
    real = torch.arange(int(lengths.max())) < lengths[:, None]
    ids = torch.zeros(real.shape, dtype=torch.long)
    ids[real] = torch.tensor([int(t) for r in rows for t in r])
    return ids, None if bool(real.all()) else real.long()


class _Seen(Exception):
    """What was wanted of a pass has been seen."""


@torch.no_grad()
def block(loaded: LoadedModel, rows: Sequence[Sequence[int]], site: Site) -> tuple[Tensor, Callable[[], Tensor]]:
    """The activation (B, T, D) at a site of a block, and a function that runs this block alone again for it."""
    seen: list[Tensor] = []
    calls: list[tuple[Any, Any]] = []

    def look(x: Tensor) -> None:
        seen[:] = [x.clone()]
        raise _Seen

    def enter(_module: Any, args: Any, kwargs: Any) -> None:
        calls[:] = [(args, kwargs)]

    decoder = layout(loaded).blocks[site.layer]

    def again() -> Tensor:
        try:
            with hooked(loaded, {site: look}):
                decoder(*calls[0][0], **calls[0][1])
        except _Seen:
            pass
        return seen[0]

    handle = decoder.register_forward_pre_hook(enter, with_kwargs=True)
    try:
        with hooked(loaded, {site: look}):
            loaded.forward(*padded(rows))
    except _Seen:
        pass
    finally:
        handle.remove()
    return seen[0], again


def hidden(loaded: LoadedModel, rows: Sequence[Sequence[int]], site: Site) -> Tensor:
    return block(loaded, rows, site)[0]
