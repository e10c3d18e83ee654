"""What measures cost: each by itself, context by context, against all of them together on the same items; counted."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from analysis.faithfulness.item import Item
from analysis.faithfulness.measures import wanted
from analysis.faithfulness.neutral import NeutralReader
from analysis.faithfulness.parts import ALL, reader_of
from analysis.faithfulness.reader import ModelReader
from analysis.models.loaded_model import LoadedModel
from analysis.progress import Check, no_check


def costs(
    loaded: LoadedModel, items: Sequence[Item], check: Check = no_check
) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Per measure: passes, tokens and seconds per item, one forward pass for each context that it asks. And the sum of
    that for these items beside what reading them all together took."""
    alone: dict[str, dict[str, float]] = {}
    for measure in ALL:
        passes = tokens = 0
        seconds = 0.0
        for item in items:
            # A reader of its own each time: measure by measure, nothing is shared, not even within a measure's prefix.
            reader = ModelReader(loaded, packed=False, check=check)
            began = time.perf_counter()
            _read(reader, item, [measure])
            seconds += time.perf_counter() - began
            passes, tokens = passes + reader.count.passes, tokens + reader.count.tokens
        n = len(items)
        alone[measure.name] = {"passes": passes / n, "tokens": tokens / n, "seconds": seconds / n}
    reader = ModelReader(loaded, check=check)
    began = time.perf_counter()
    for item in items:
        _read(reader, item, ALL)
    together = {
        "items": len(items),
        "passes": reader.count.passes,
        "tokens": reader.count.tokens,
        "seconds": round(time.perf_counter() - began, 2),
        "plain_passes": round(sum(r["passes"] for r in alone.values()) * len(items)),
        "plain_tokens": round(sum(r["tokens"] for r in alone.values()) * len(items)),
        "plain_seconds": round(sum(r["seconds"] for r in alone.values()) * len(items), 2),
        "packed": reader.is_packed,
    }
    return alone, together


def _read(reader: ModelReader, item: Item, measures: Sequence[Any]) -> None:
    own, second = wanted(item, measures)
    if own:
        reader_of(item, reader).read(own)
    if second and "neutral" in item.facts:
        NeutralReader(reader, [item]).read(second)
