"""Do the subspaces of the contrasts that come fitted carry what their heads do, beside random ones of their rank?

``python -m benchmarks.subspace_patch`` prints a row for each side of the heads of each contrast whose attention follows
it most: shares of what a whole patch changes. The figures stand in docs/attention.md.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from analysis.engine.context import Context
from analysis.qk.answers.patch import Moved
from analysis.qk.build import FITTED
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.features import FeatureScores
from analysis.qk.ops.patch import PatchSubspace


def told(share: tuple[float, float, float] | None) -> str:
    """A share with its ends, in percent."""
    return "no effect" if share is None else "{:.0f} ({:.0f} to {:.0f})".format(*(100 * x for x in share))


def line(moved: Moved) -> str:
    """One read-out of a patch."""
    parts = [told(p) for p in (moved.inside, moved.outside, moved.random, moved.matched)]
    return f"{moved.clean:.3f} -> {moved.patched:.3f} | " + " | ".join(parts)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--heads", type=int, default=2, help="heads of each contrast")
    parser.add_argument("--examples", type=int, default=60)
    options = parser.parse_args()
    context = Context()
    context.model(FeatureScores().model)  # the fits that come with Attune are found by its weights
    for kind in FITTED:
        contrast = ContrastSpec(kind)
        scores = FeatureScores(contrast=contrast).run(context)
        score = np.nan_to_num(scores.contrast if np.isfinite(scores.contrast).any() else scores.trace_z, nan=-np.inf)
        for place in np.argsort(-score, axis=None)[: options.heads]:
            layer, head = (int(x) for x in np.unravel_index(place, score.shape))
            for side in ("query", "key"):
                at = PatchSubspace(
                    contrast=contrast, layer=layer, head=head, side=side, examples_count=options.examples
                )
                start = time.monotonic()
                answer = at.run(context)
                seconds = time.monotonic() - start
                print(f"{kind} ({layer}, {head}) {side}, rank {answer.rank}, n {answer.examples}, {seconds:.1f} s")
                print("  attention:", line(answer.attention))
                percent = np.round(100 * answer.by_rank[:, [0, 1, 4]]).tolist()
                print("  by rank:  ", dict(zip(answer.ranks, percent, strict=True)))
                print("  answer:   ", line(answer.answer) if answer.answer else answer.no_answer, answer.probability)


if __name__ == "__main__":
    main()
