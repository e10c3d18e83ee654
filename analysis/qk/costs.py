"""What it costs to change each head and MLP of a prompt, or each site at each token, before it is done."""

from __future__ import annotations

from dataclasses import replace

from analysis.engine.context import Context
from analysis.engine.spread import Spread
from analysis.models.ablation import MLP, blocks_at_once, parts_of, rows_at_once
from analysis.models.loaded_model import LoadedModel
from analysis.models.pass_cost import Cost, parts_cost, token_seconds
from analysis.models.trace import Trace

RESAMPLED = 3
"""Other texts whose outputs stand in place of a part's, one after the other; the mean of what falls is given."""
_SQUARES = 6
"""Attention weights of one head in one row that are there at a time where its pattern is worked out again."""


def on_hands(context: Context, loaded: LoadedModel, cost: Cost) -> tuple[Cost, Spread]:
    """What works off what would take the ``cost`` on one machine, and what it takes there: nodes share the time."""
    spread = context.spread(loaded, cost.seconds)
    return replace(cost, seconds=cost.seconds / spread.hands), spread


def begun(context: Context, loaded: LoadedModel, cost: Cost) -> Spread:
    """What works it off. Raises UserError(field="prompt") for what takes too long or too much memory, also there."""
    shared, spread = on_hands(context, loaded, cost)
    shared.check()
    return spread


def change_cost(
    loaded: LoadedModel, trace: Trace, tokens: int, baseline: str, what: str = "output", into: int | None = None
) -> Cost:
    """Of each part changed at the first ``tokens`` of a prompt, one at a time: ``baseline`` "zero", "mean",
    "resampled", or "other" for ``what`` of another prompt. ``into``: the layer of the head that each change reaches."""
    facts = loaded.facts
    layers = [
        layer
        for layer, head in parts_of(loaded)
        if (into is None or layer < into) and (what == "output" or head != MLP)
    ]
    stand = min(facts.layers, blocks_at_once(loaded, tokens)) if into is None else into
    given = facts.heads * facts.head_width + facts.hidden
    kept = stand * facts.hidden + (0 if into is None else stand * given)
    if baseline in ("other", "resampled"):
        vectors = 0 if what == "output" else (facts.heads + 2 * facts.key_heads) * facts.head_width
        kept += stand * (given + vectors)
    return parts_cost(
        loaded,
        tokens,
        layers * (RESAMPLED if baseline == "resampled" else 1),
        token_seconds(loaded, len(trace.ids), trace.seconds),
        min(rows_at_once(loaded, tokens), facts.heads + 1),
        kept,
        0 if what == "output" and into is None else _SQUARES,
    )


def site_cost(loaded: LoadedModel, trace: Trace, tokens: int, others: int, layers: list[int], rows: int) -> Cost:
    """Of ``rows`` places of each of these blocks patched, one at a time, in ``tokens`` of a prompt from ``others`` of
    another one."""
    stand = min(len(layers), blocks_at_once(loaded, tokens + others))
    return parts_cost(
        loaded,
        tokens,
        [layer for layer in layers for _ in range(rows)],
        token_seconds(loaded, len(trace.ids), trace.seconds),
        min(rows_at_once(loaded, tokens), rows),
        2 * stand * loaded.facts.hidden,
    )
