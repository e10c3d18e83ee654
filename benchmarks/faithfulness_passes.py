"""What do all measures of faithfulness cost together? ``python -m benchmarks.faithfulness_passes``

The baseline evaluates each measure by itself and each of its contexts in a pass of its own. The candidate pools the
asks of all measures and reads them in packed passes. Both have to give the same scores. Passes and tokens are counted,
so those ratios do not depend on the machine; the one of seconds does.
"""

from __future__ import annotations

import argparse
from typing import Any

from analysis.faithfulness import organisms, sources
from analysis.faithfulness.costing import costs
from analysis.faithfulness.item import Item
from analysis.faithfulness.parts import ALL, evaluated
from analysis.faithfulness.reader import ModelReader
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import load_model


def main(count: int = 4, model: str = "default") -> dict[str, dict[str, Any]]:
    """Figures by name, on ``count`` items of each of the tiers 1 and 2."""
    loaded = load_model(model)
    reader = ModelReader(loaded)
    items = [d.item for d in organisms.drafts("R", 0, organisms.problems(30))][:count]
    items += sources.paired(0, sources.problems(count), reader, loaded.tokenizer).items[:count]
    alone, together = costs(loaded, items)
    table = {
        name: f"{row['passes']:.1f} passes, {row['tokens']:,.0f} tokens, {row['seconds']:.2f} s per item"
        for name, row in alone.items()
    }
    return {
        f"measures of faithfulness, one by one, {len(items)} items": table,
        "measures of faithfulness, all together": {
            "packed": together["packed"],
            "passes, one by one": together["plain_passes"],
            "passes, together": together["passes"],
            "times fewer passes": together["plain_passes"] / together["passes"],
            "times fewer tokens": together["plain_tokens"] / together["tokens"],
            "times less time": together["plain_seconds"] / together["seconds"],
            "largest difference of scores": difference(loaded, items[:: max(1, len(items) // 2)]),
        },
    }


def difference(loaded: LoadedModel, items: list[Item]) -> float:
    """Largest difference between the scores of plain and packed passes, relative to scores above 1."""
    plain, packed, gap = ModelReader(loaded, packed=False), ModelReader(loaded), 0.0
    for item in items:
        a, b = evaluated(item, plain), evaluated(item, packed)
        for measure in ALL:
            x, y = measure.value(a[measure.name]), measure.value(b[measure.name])
            assert (x is None) == (y is None), measure.name
            if x is not None and y is not None:
                gap = max(gap, abs(x - y) / max(1.0, abs(x)))
    return gap


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=4, help="items of each of the tiers 1 and 2")
    parser.add_argument("--model", default="default")
    asked = parser.parse_args()
    for title, facts in main(asked.items, asked.model).items():
        print(f"\n{title}")
        for what, value in facts.items():
            print(f"  {what}: {value:.4g}" if isinstance(value, float) else f"  {what}: {value}")
