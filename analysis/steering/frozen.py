"""Free or frozen: a steered pass in which some of what stands above the steer is held as it was without it.

Three parts of a block can be held: the patterns of its heads (where they look), their values (what they carry from
there), and the output of its MLP. What is held comes from one unsteered pass over the same text; a held pattern is
applied to the values of the steered pass, and the other way round. With all three held what still changes is what the
steer itself put into the residual stream, and nothing else. Nothing of a model is written again: heads are held at the
call of the attention function, MLPs at the site of their output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from analysis.models.batch import rows_together
from analysis.models.hooks import available_sites, hooked
from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import LayerAttention, tapped
from analysis.models.sites import Site
from analysis.steering.generate import PromptCache
from analysis.steering.operators import Intervention
from analysis.steering.parts import PARTS, SETS

Head = tuple[int, int]
_ROOM = 16 << 20
"""Bytes of one layer's patterns above which each set of parts has a pass of its own."""


@dataclass(frozen=True)
class _Attention:
    """One layer of the pass that is kept: what it handed to its softmax, and what came out (1, T, H, dv)."""

    record: LayerAttention
    output: Tensor


class HeldPass:
    """What the blocks above ``above`` did in one pass over a text, to be held in other passes over it.

    ``patternless`` and ``mlpless``: blocks above without softmax attention, and without an MLP output that can be
    reached; both stay free.
    """

    @torch.no_grad()
    def __init__(self, loaded: LoadedModel, ids: Sequence[int], above: int, spared: frozenset[int] = frozenset()):
        """Run the pass over token ``ids``, in which whatever is installed now acts too. ``spared``: blocks whose MLP
        is never held, since it is steered itself."""
        self._loaded, self.above = loaded, above
        higher = range(above + 1, loaded.facts.layers)
        reached = set(available_sites(loaded).get("mlp_output", ()))
        self._mlp_layers = [n for n in higher if n in reached - spared]
        self.mlpless = tuple(n for n in higher if n not in reached)
        self._attention: dict[int, _Attention] = {}
        self._mlps: dict[int, Tensor] = {}

        def look(record: LayerAttention, output: Tensor) -> None:
            if record.layer > above:
                self._attention[record.layer] = _Attention(record, output.clone())

        def keeper(layer: int) -> Callable[[Tensor], None]:
            return lambda x: self._mlps.__setitem__(layer, x.clone())

        with hooked(loaded, {Site(n, "mlp_output"): keeper(n) for n in self._mlp_layers}), tapped(look):
            loaded.forward(torch.tensor([list(ids)]))
        self.patternless = tuple(n for n in higher if n not in self._attention)

    @torch.no_grad()
    def next_logits(
        self, cache: PromptCache, interventions: Sequence[Intervention], heads: Sequence[Head] = ()
    ) -> Tensor:
        """Logits (8, V) float32 after the text of ``cache`` with each of SETS free and the rest held, in their order.
        With all free it is ``cache.next_logits`` bit for bit; the others in one batch where rows may share one."""
        free = cache.next_logits(interventions)
        rows = [frozenset(PARTS) - some for some in SETS[:-1]]
        patterns = 4 * self._loaded.facts.heads * cache.tokens**2
        if rows_together(self._loaded) == "alone" or patterns > _ROOM:
            found = []
            for parts in rows:
                with self.holding([parts], heads):
                    found.append(cache.next_logits(interventions))
            return torch.stack([*found, free])
        with self.holding(rows, heads):
            held = cache.rows_of_logits(interventions, len(rows))
        return torch.cat([held, free[None]])

    @contextmanager
    def holding(self, rows: Sequence[frozenset[str]], heads: Sequence[Head] = ()) -> Iterator[None]:
        """In passes over the same text inside the context, in batches of as many ``rows``, these parts of each row are
        as they were in the kept pass: of the ``heads`` (layer, head), or of all if none is named; MLPs of all blocks
        above. Enter it outside of what steers, so that steering acts on what is held, too."""
        attention = [parts & {"patterns", "values"} for parts in rows]
        kinds = {parts: [n for n, own in enumerate(attention) if own == parts] for parts in attention if parts}
        mlps = [n for n, parts in enumerate(rows) if "MLPs" in parts]

        def hold(record: LayerAttention, output: Tensor) -> Tensor | None:
            kept = self._attention.get(record.layer)
            chosen = [slice(None)] if not heads else [slice(h, h + 1) for n, h in heads if n == record.layer]
            if kept is None or not chosen:
                return None
            changed = output.clone()
            for parts, of in kinds.items():
                now = _rows_of(record, of)
                for some in chosen:
                    changed[of, :, some] = _held(kept, now, output[of][:, :, some], parts, some).to(output)
            return changed

        def put(layer: int) -> Callable[[Tensor], Tensor]:
            def hook(x: Tensor) -> Tensor:
                changed = x.clone()
                changed[mlps] = self._mlps[layer].to(x)
                return changed

            return hook

        layers = self._mlp_layers if mlps else []
        with hooked(self._loaded, {Site(n, "mlp_output"): put(n) for n in layers}), tapped(*[hold] if kinds else []):
            yield

    @contextmanager
    def computed_anew(self) -> Iterator[None]:
        """In passes inside the context, what heads above give is worked out from their recorded queries, keys and
        values. What the logits are off by says how far the patterns that are held can be trusted."""

        def put(record: LayerAttention, output: Tensor) -> Tensor | None:
            if record.layer not in self._attention:
                return None
            values = record.values.float().repeat_interleave(record.group, 1)
            return (record.weights(slice(None)) @ values).transpose(1, 2).to(output)

        with tapped(put):
            yield


def _rows_of(record: LayerAttention, rows: list[int]) -> LayerAttention:
    """Some rows of a recorded batch."""
    mask = record.mask if record.mask is None or len(record.mask) == 1 else record.mask[rows]
    return replace(record, queries=record.queries[rows], keys=record.keys[rows], values=record.values[rows], mask=mask)


def _held(kept: _Attention, now: LayerAttention, output: Tensor, parts: frozenset[str], heads: slice) -> Tensor:
    """Outputs (B, T, h, dv) of heads with their patterns, their values or both from the kept pass, where the pass that
    runs gave ``output``.

    Patterns are computed again here, in another order than the model's own attention, so they are applied to the
    difference of the values alone and added to what the model gave: a pass held in itself is that pass, bit for bit.
    """
    before = kept.output[:, :, heads]
    if len(parts) == 2:
        return before
    index = torch.arange(now.queries.shape[1], device=now.values.device)[heads] // now.group
    moved = now.values[:, index].float() - kept.record.values[:, index].float()
    if "patterns" in parts:
        return before + (kept.record.weights(heads) @ moved).transpose(1, 2)
    return output - (now.weights(heads) @ moved).transpose(1, 2)
