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
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.models.hooks import available_sites, hooked
from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import LayerAttention, tapped
from analysis.models.sites import Site

Head = tuple[int, int]


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

    @contextmanager
    def holding(self, parts: frozenset[str], heads: Sequence[Head] = ()) -> Iterator[None]:
        """In passes over the same text inside the context these parts are as they were in the kept pass: of the
        ``heads`` (layer, head), or of all if none is named; MLPs of all blocks above. Enter it outside of what steers,
        so that steering acts on what is held, too."""
        mlps = self._mlp_layers if "MLPs" in parts else []
        attention = parts & {"patterns", "values"}

        def hold(record: LayerAttention, output: Tensor) -> Tensor | None:
            kept = self._attention.get(record.layer)
            if kept is None:
                return None
            if not heads:
                return _held(kept, record, attention, slice(None)).to(output)
            chosen = [h for layer, h in heads if layer == record.layer]
            changed = output.clone() if chosen else None
            for h in chosen:
                assert changed is not None
                changed[:, :, h : h + 1] = _held(kept, record, attention, slice(h, h + 1)).to(output)
            return changed

        taps = [hold] if attention else []
        with hooked(self._loaded, {Site(n, "mlp_output"): self._putter(n) for n in mlps}), tapped(*taps):
            yield

    def _putter(self, layer: int) -> Callable[[Tensor], Tensor]:
        return lambda x: self._mlps[layer].to(x).expand_as(x)


def _held(kept: _Attention, now: LayerAttention, parts: frozenset[str], heads: slice) -> Tensor:
    """Outputs (B, T, h, dv) of heads with their patterns, their values or both from the kept pass."""
    if len(parts) == 2:
        return kept.output[:, :, heads]
    patterns, values = (kept.record, now) if "patterns" in parts else (now, kept.record)
    index = torch.arange(now.queries.shape[1], device=now.values.device)[heads] // now.group
    mixed = patterns.weights(heads) @ values.values[:, index].float()
    return mixed.transpose(1, 2)
