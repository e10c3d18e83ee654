"""The operation behind a pattern that was drawn: heads by how far their attention lies on its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from analysis.engine.context import Context
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import whole
from analysis.qk.answers.prompt import DrawnHeads
from analysis.qk.ops.parts import shortened
from analysis.qk.ops.prompt import OnPrompt

MOST_CELLS = 8192
LIVE_TOKENS = 400
"""Tokens of a prompt up to which it is asked live (half a second); longer ones are a job."""


@dataclass(frozen=True)
class PatternHeads(OnPrompt[DrawnHeads]):
    """Heads by the attention on drawn ``cells``, pairs (query, key) of token positions."""

    cells: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        pairs: list[tuple[int, int]] = []
        for cell in self.cells:
            if not isinstance(cell, tuple | list) or len(cell) != 2:
                raise UserError("A cell is a query and a key, each by its number.", "cells")
            for value in cell:
                whole(value, 0, 10**6, "cells", "The number of a token")
            pairs.append((cell[0], cell[1]))
        if len(pairs) > MOST_CELLS:
            raise UserError(f"At most {MOST_CELLS:,} cells can be drawn.", "cells")
        object.__setattr__(self, "cells", tuple(pairs))

    def run(self, context: Context) -> DrawnHeads:
        from analysis.qk.drawn import DRAWS, drawn_scores

        trace, _, _ = self.trace(context)
        facts, last = context.model(self.model).facts, len(trace.ids) - 1
        if not self.cells:
            raise UserError("Draw a pattern first: take one of the list, or paint cells.", "cells")
        if any(query > last or key > last for query, key in self.cells):
            raise UserError(f"This prompt has tokens 0 to {last}, and the pattern has others. Draw it anew.", "cells")
        if any(key > query for query, key in self.cells):
            raise UserError("A key that comes after its query cannot be seen. Draw on and below the diagonal.", "cells")
        found = drawn_scores(trace, self.cells, facts.layers, facts.heads, progress=context.progress)
        if not found.rows:
            raise UserError(
                "Of these queries all that they see was drawn, so every head would do. Leave some cells out.", "cells"
            )
        # Of the kind of draws that is harder to pass.
        chance = float(np.quantile(found.chance, 0.95, axis=1).max())
        cells = len(set(self.cells))
        return DrawnHeads(found.scores, found.shares, found.uniform, chance, DRAWS, found.rows, cells)


@dataclass(frozen=True)
class LongPatternHeads(PatternHeads):
    """The same on a long prompt, as a job: it takes seconds to minutes, tells how far it is, and can be cancelled."""

    kind: ClassVar[Kind] = "job"

    def describe(self) -> str:
        return f"Heads by a drawn pattern on “{shortened(self.text)}”"

    def run(self, context: Context) -> DrawnHeads:
        return super().run(context)
