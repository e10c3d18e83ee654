"""The weight vectors of a model's neurons, whatever its MLP is called.

A gated neuron reads by two vectors, gate and up, and writes by a third, down; a plain one reads by one. Which weights
these are is found on a short pass, like all places of a model: the last projection of the MLP is known
(:mod:`analysis.models.hooks`), and what feeds it are the projections inside the same MLP that are as wide as its input
(or twice as wide, gate first, where both are kept in one matrix).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from analysis.errors import UserError
from analysis.models.eight_bit import plain
from analysis.models.hooks import layout
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.rotate.tables import narrow, tables_in_stream

GATED = ("gate", "up", "down")
PLAIN = ("in", "down")


@dataclass(frozen=True)
class Weight:
    """A matrix that holds one vector per neuron: as rows, or as columns (``columns``), from ``first`` on."""

    module: nn.Module
    columns: bool
    first: int
    count: int

    def matrix(self) -> Tensor:
        """All vectors, (neurons, d), in the model's dtype: a view of the weight itself where it is held plainly.

        Raises UserError(field="model") for weights whose numbers cannot be read.
        """
        weight = plain(self.module.weight)  # type: ignore[arg-type]
        part = weight.T if self.columns else weight
        return part[self.first : self.first + self.count]


class NeuronVectors:
    """The vectors of all neurons of a loaded model. Raises UserError(field="model") if no MLP of it can be read."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self._weights: dict[tuple[int, str], Weight] = {}
        sites = [s for s in layout(loaded).places if s.kind == "mlp_hidden"]
        calls = _widths(loaded, [layout(loaded).blocks[s.layer] for s in sites])
        for site in sites:
            self._read_block(site, calls)
        if not self._weights:
            raise UserError(
                "No MLP of this model can be read neuron by neuron: its structure is not one of a plain or gated MLP "
                "(experts that share the work have none). Load another model.",
                "model",
            )
        _ = self._tables  # a model whose tables cannot be read is refused at once

    @property
    def layers(self) -> list[int]:
        """Blocks whose MLP can be read, ascending."""
        return sorted({layer for layer, _ in self._weights})

    @property
    def kinds(self) -> tuple[str, ...]:
        """("gate", "up", "down") or ("in", "down")."""
        return GATED if any(kind == "gate" for _, kind in self._weights) else PLAIN

    @property
    def neurons(self) -> int:
        """Neurons of the widest MLP."""
        return max(w.count for w in self._weights.values())

    def place(self, layer: int, kind: str, neuron: int = 0) -> Weight:
        """Where those vectors are. Raises UserError with the field that is out of range."""
        if kind not in self.kinds:
            names = ", ".join(self.kinds)
            plain = " Its MLPs are plain: a neuron has no gate." if self.kinds == PLAIN else ""
            raise UserError(f"A neuron of this model has the vectors {names}, and no {kind!r}.{plain}", "vector")
        if (layer, kind) not in self._weights:
            raise UserError(
                f"Block {layer} of this model has no MLP that can be read. There are blocks "
                f"{self.layers[0]} to {self.layers[-1]}.",
                "layer",
            )
        found = self._weights[layer, kind]
        if not 0 <= neuron < found.count:
            raise UserError(
                f"The neurons of block {layer} are numbered from 0 to {found.count - 1:,}; there is no neuron "
                f"{neuron:,}.",
                "neuron",
            )
        return found

    def vectors(self, layer: int, kind: str) -> Tensor:
        """All vectors of one kind of one block, (neurons, d) float32, raw: no norm's gain is folded in."""
        return self.place(layer, kind).matrix().detach().float()

    def read(self, layer: int, kind: str, neuron: int) -> Tensor:
        """One vector (d,) float32."""
        return self.place(layer, kind, neuron).matrix()[neuron].detach().float()

    @cached_property
    def tied(self) -> bool:
        """Whether embedding and unembedding are the same numbers."""
        embedding, unembedding = self._tables
        return embedding.data_ptr() == unembedding.data_ptr() or (
            embedding.shape == unembedding.shape and bool(torch.equal(embedding, unembedding))
        )

    def uses_embedding(self, layer: int) -> bool:
        """Whether a block is read through the input embedding: those of the first three eighths, where the model has
        another unembedding (arXiv 2604.06005 does so for the first 13 of 32 blocks)."""
        return not self.tied and 8 * layer <= 3 * self.loaded.facts.layers

    def projection(self, layer: int) -> Tensor:
        """The vocabulary projection of a block, (V, d) float32: raw rows, one per token; through the model's own map
        where they are narrower than the residual stream."""
        embedding, unembedding = self._tables
        return (embedding if self.uses_embedding(layer) else unembedding).detach().float()

    def said(self) -> str:
        """Which projection is used, in words."""
        if self.tied:
            return "the unembedding, which in this model is the embedding too"
        last = max((layer for layer in self.layers if self.uses_embedding(layer)), default=-1)
        said = f"the input embedding up to block {last}, the unembedding above"
        if narrow(self.loaded):
            said += ", both through the model's own maps between their dimensions and the residual stream's"
        return said

    @cached_property
    def _tables(self) -> tuple[Tensor, Tensor]:
        return tables_in_stream(self.loaded)

    def _read_block(self, site: Site, calls: dict[nn.Module, tuple[int, int]]) -> None:
        found = layout(self.loaded)
        last = found.places[site].module
        width, hidden = found.places[site].width, self.loaded.facts.hidden
        block = found.blocks[site.layer]
        holder = _holder(block, last)
        reading = [m for m in holder.modules() if m is not last and m in calls and calls[m][0] == hidden]
        wide = [m for m in reading if calls[m][1] == width]
        double = [m for m in reading if calls[m][1] == 2 * width]
        into: dict[str, Weight] = {}
        if len(wide) == 2:
            gate, up = _gate_first(holder, wide)
            into = {"gate": _weight(gate, hidden, 0, width), "up": _weight(up, hidden, 0, width)}
        elif len(double) == 1 and not wide:
            into = {
                "gate": _weight(double[0], hidden, 0, width),
                "up": _weight(double[0], hidden, width, width),
            }
        elif len(wide) == 1:
            into = {"in": _weight(wide[0], hidden, 0, width)}
        if into:
            weight: Tensor = last.weight  # type: ignore[assignment]
            columns = tuple(weight.shape) == (hidden, width) and not _conv(last)
            down = Weight(last, columns, 0, width)
            self._weights |= {(site.layer, kind): w for kind, w in {**into, "down": down}.items()}


def _weight(module: nn.Module, hidden: int, first: int, count: int) -> Weight:
    return Weight(module, _conv(module), first, count)


def _conv(module: nn.Module) -> bool:
    """Whether a projection keeps its matrix as (inputs, outputs), as GPT-2's does."""
    return "conv1d" in type(module).__name__.lower()


def _gate_first(holder: nn.Module, pair: list[nn.Module]) -> tuple[nn.Module, nn.Module]:
    """Which of two equal projections is the gate: by name, else by the order in which the MLP declares them."""
    names = {m: n.rsplit(".", 1)[-1] for n, m in holder.named_modules() if m in pair}
    gates = [m for m in pair if "gate" in names[m] or names[m] == "w1"]
    gate = gates[0] if len(gates) == 1 else pair[0]
    return gate, next(m for m in pair if m is not gate)


def _holder(block: nn.Module, last: nn.Module) -> nn.Module:
    """The smallest child of a block that contains the MLP's last projection; the block itself if it has none."""
    found = [c for c in block.children() if any(m is last for m in c.modules()) and c is not last]
    return found[0] if found else block


@torch.no_grad()
def _widths(loaded: LoadedModel, blocks: list[nn.Module]) -> dict[nn.Module, tuple[int, int]]:
    """Widths (in, out) of every leaf with a matrix that runs inside those blocks."""
    seen: dict[nn.Module, tuple[int, int]] = {}

    def look(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            seen[module] = (args[0].shape[-1], output.shape[-1])

    leaves = [
        m
        for block in blocks
        for m in block.modules()
        if next(m.children(), None) is None and isinstance(w := getattr(m, "weight", None), Tensor) and w.ndim == 2
    ]
    handles = [m.register_forward_hook(look) for m in leaves]
    try:
        loaded.forward(torch.arange(3, 7).view(1, 4) % loaded.facts.vocabulary)
    finally:
        for handle in handles:
            handle.remove()
    return seen
