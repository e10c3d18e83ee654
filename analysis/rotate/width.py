"""How much is measured of a model's neurons: all of it, or what gives a first verdict many times sooner.

What a measurement costs is the number of descents times the vocabulary, so a narrow one has fewer random vectors with
fewer channels each, one start for each, fewer looks for tokens that recur, and a layer map of some neurons of each
block. All that it says is less sharp, none of it is of another kind: vectors are drawn and searched as those of
the full one are, and a neuron that is held against it has one start too (docs/neurons.md has how often the two agree).
"""

from __future__ import annotations

from dataclasses import dataclass

EVALUATIONS = 85
"""About how often a descent asks for the objective (random vectors, default model)."""


@dataclass(frozen=True)
class Width:
    """``vectors`` random vectors with ``rounds`` channels each, of each of which the best of ``starts`` is kept.

    Tokens that recur are looked for with ``passes`` times ``drawn`` random vectors of ``drawn_rounds`` channels each.
    ``band``: random vectors that make the band of the layer map, which is made of ``neurons`` of each block and kind;
    None: of all.
    """

    name: str
    vectors: int
    rounds: int
    starts: int
    passes: int
    drawn: int
    drawn_rounds: int
    band: int
    neurons: int | None

    @property
    def descents(self) -> int:
        """How many descents a projection costs at most."""
        return self.starts * (self.vectors * self.rounds + self.passes * self.drawn * self.drawn_rounds)

    def operations(self, hidden: int, vocabulary: int, rows: int, neurons: int) -> float:
        """Floating-point operations for one projection and a layer map of ``rows`` (blocks times kinds of vectors) of
        ``neurons`` each, at the usual number of evaluations of a descent."""
        mapped = self.band + rows * min(neurons, self.neurons or neurons)
        return 2.0 * hidden * vocabulary * (mapped + 2 * EVALUATIONS * self.descents)


FULL = Width("full", 200, 5, 2, 4, 96, 2, 2_000, None)
NARROW = Width("narrow", 39, 2, 1, 4, 40, 1, 500, 64)
WIDTHS = {width.name: width for width in (FULL, NARROW)}
