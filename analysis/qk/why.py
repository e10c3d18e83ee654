"""Why did this query attend to that key: the share, the nats above the alternatives, and which feature they come from.

Attribution of raw logits misleads, because a subspace may hold the mean key and then "explains" every token alike
(dossier 5). So everything here is a difference: of a key to the mean of the other candidates, or to a chosen token.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.recording import scaled_logits
from analysis.models.trace import Trace
from analysis.qk.attribution import Side, attribute_logits
from analysis.qk.subspace import QKSubspace

Reference = Literal["others", "token", "none"]
HEAVY = 0.05
"""Share of attention from which the sentence says where it went."""


@dataclass(frozen=True)
class RowParts:
    """One query's row over T tokens. ``attention`` (T,). ``nats`` (T,): logits as the softmax sees them, -inf masked.
    ``parts`` (T, F + 1): contributions of F features and the remainder, in nats before any soft-cap, relative to the
    reference; NaN where masked, and where there is no other candidate to compare with. ``total`` (T,): their sum.
    ``candidates`` (T,): booleans, the positions averaged as reference, for each token without itself. ``error``:
    largest absolute difference between parts plus remainder and the raw logit.
    """

    attention: Tensor
    nats: Tensor
    parts: Tensor
    total: Tensor
    candidates: Tensor
    error: float


def row_parts(
    trace: Trace,
    layer: int,
    head: int,
    query: int,
    subspaces: list[QKSubspace],
    side: Side = "query",
    orthogonalise: bool = False,
    reference: Reference = "others",
    token: int = 0,
    skip_first: bool = True,
) -> RowParts:
    """Attribute one row of attention (the paper's Figure 10, as differences unless ``reference`` is "none").

    ``reference`` "others" compares each token with the mean of the other candidates, "token" with position ``token``,
    "none" with nothing. ``skip_first`` keeps position 0, the usual attention sink, out of the mean of the others, where
    at least two others remain.

    Raises:
        UserError: a reference token that the query cannot see.
    """
    record = trace.layers[layer]
    raw, attention = trace.row(layer, head, query)
    visible = torch.isfinite(raw)
    if reference == "token" and not bool(visible[token]):
        raise UserError(
            f"Token {token} is masked for the query, so nothing can be compared with it. Choose a visible one.",
            "reference",
        )
    keys = record.keys[0, head // record.group].double()
    parts = attribute_logits(record.queries[0, head, query].double(), keys, subspaces, side, orthogonalise)
    error = float((parts.sum(1) - raw)[visible].abs().max())
    parts = parts * record.scaling
    candidates = visible.clone()
    if skip_first and int(visible.sum()) > 2:
        candidates[0] = False
    parts = parts - _baseline(parts, candidates, reference, token)
    parts = parts.masked_fill(~visible[:, None], torch.nan)
    nats = scaled_logits(raw, record.scaling, record.softcap).masked_fill(~visible, -torch.inf)
    return RowParts(attention, nats, parts, parts.sum(1), candidates, error)


def _baseline(parts: Tensor, candidates: Tensor, reference: Reference, token: int) -> Tensor:
    if reference == "none":
        return torch.zeros_like(parts[:1])
    if reference == "token":
        return parts[token : token + 1]
    total, count = parts[candidates].sum(0), int(candidates.sum())
    own = torch.where(candidates[:, None], parts, 0)
    others = (count - candidates.to(parts.dtype))[:, None]
    return (total - own) / others  # 0 / 0, NaN, where there are no others


def sentence(row: RowParts, key: int, names: list[str], labels: list[str], query: int) -> str:
    """The answer line: share of attention, where the rest of it went, nats above the mean of the other candidates, and
    where they come from.

    ``row`` must be relative to "others".
    """
    gap = float(row.total[key])
    share = f"“{labels[query]}” gives “{labels[key]}” {float(row.attention[key]):.1%} of its attention"
    share += _elsewhere(row.attention, key, labels, query)
    if not math.isfinite(gap):
        return share + ": there is no other token to compare it with."
    direction = "above" if gap >= 0 else "below"
    text = f"{share}: its logit lies {abs(gap):.2f} nats {direction} the mean of the other candidates"
    if not names:
        return text + ". Fit a feature to see what these nats are made of."
    pieces = [f"{float(row.parts[key, i]):+.2f} from {name}" for i, name in enumerate(names)]
    return f"{text}; of these, {', '.join(pieces)}, and {float(row.parts[key, -1]):+.2f} unexplained."


def _elsewhere(attention: Tensor, key: int, labels: list[str], query: int) -> str:
    """Where attention of weight went beside ``key``: the first token, the query itself, and the most attended one."""
    places = {int(attention.argmax()), 0, query} - {key}
    heavy = sorted((p for p in places if float(attention[p]) >= HEAVY), key=lambda p: -float(attention[p]))
    names = {0: f"the first token, “{labels[0]}”", query: "itself"}
    parts = [f"{float(attention[p]):.1%} goes to {names.get(p, f'“{labels[p]}”')}" for p in heavy]
    return f" ({'; '.join(parts)})" if parts else ""


def alignment_matrix(trace: Trace, layer: int, head: int, subspace: QKSubspace, pool: int = 1) -> Tensor:
    """The subspace's part of every logit, ``(P_U q) . (P_V k)`` in nats, float32 (n, n), NaN where masked. Of each
    ``pool`` x ``pool`` tokens the one that is largest in size, whatever its sign: n is T / pool, rounded up."""
    record, size = trace.layers[layer], -(-len(trace.ids) // pool)
    queries, keys = record.queries[0, head].double(), record.keys[0, head // record.group].double()
    left, right = subspace.query_basis.to(queries), subspace.key_basis.to(queries)
    across, found = (keys @ right).mT * record.scaling, torch.full((size, size), torch.nan)
    for rows in record.pieces(1, pool):
        product = (queries[rows] @ left) @ (left.mT @ right) @ across
        visible = record.visible(slice(head, head + 1), rows)[0, 0]
        at = rows.start // pool
        part = _largest(product.float().masked_fill(~visible, torch.nan), pool)
        found[at : at + len(part)] = part
    return found


def _largest(part: Tensor, pool: int) -> Tensor:
    """Of each ``pool`` x ``pool`` entries (r, T) the one that is largest in size; NaN where all are."""
    if pool == 1:
        return part
    up, down = (
        torch.nn.functional.max_pool2d(values.nan_to_num(nan=-torch.inf)[None], pool, ceil_mode=True)[0]
        for values in (part, -part)
    )
    return torch.where(up >= down, up, -down).masked_fill(up == -torch.inf, torch.nan)
