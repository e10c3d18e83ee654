"""The levels of a factorization as a graph: which small concepts go into which larger ones, and how much.

The paper draws trees (arXiv 2506.10920), but what is computed is a matrix of weights >= 0 between each level and the
next, and a small concept may go into several larger ones. So this is a graph, and those that are shared say so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.errors import UserError
from analysis.snmf.answers.factorization import Concept, ConceptEdge, ConceptGraph
from analysis.snmf.describe import label_of
from analysis.snmf.hierarchy import graph

if TYPE_CHECKING:
    from analysis.snmf.library import Factorization


def tree_of(fit: Factorization, threshold: float = 0.15) -> ConceptGraph:
    """The concepts of all levels and the edges that reach a threshold.

    An edge's ``weight`` is the weight of the child in the parent as a share of the parent's largest; edges below
    ``threshold`` are left out. Level 1 has the smallest concepts; a node is named "level:number".
    Raises UserError(field="threshold") for a threshold outside [0, 1].
    """
    if not isinstance(threshold, (int, float)) or isinstance(threshold, bool) or not 0 <= threshold <= 1:
        raise UserError("The threshold is a share of a concept's largest weight, from 0 to 1.", "threshold")
    rows = [fit.manifest["rows"], *fit.manifest.get("upper", [])]
    nodes = tuple(
        Concept(f"{level}:{k}", level, k, label_of(row), tuple(row["top"]), tuple(row["contexts"]))
        for level, part in enumerate(rows, start=1)
        for k, row in enumerate(part)
    )
    weights = [level.weights for level in fit.levels[1:] if level.weights is not None]
    sizes = tuple(len(level.components) for level in fit.levels)
    links = graph(sizes, weights, float(threshold))
    edges = tuple(ConceptEdge(e["parent"], e["child"], round(e["weight"], 4)) for e in links["edges"])
    shared, parents = tuple(links["shared"]), {edge.child for edge in edges}
    if len(sizes) < 2:
        sentence = "This factorization has one level, so there is no tree. Fit one with further levels."
    else:
        alone = sum(sizes[:-1]) - len(parents)
        sentence = (
            f"{' to '.join(map(str, sizes))} concepts, the smallest first. {len(edges)} weights reach {threshold:.0%} "
            f"of their parent's largest; {len(shared)} concepts go into more than one, {alone} into none."
        )
    return ConceptGraph(sizes, nodes, edges, shared, sentence)
