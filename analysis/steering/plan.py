"""Interventions in force for the time of a context: which token is changed, and how often it was.

The difficulty is to know which token of a text a row of an activation is. With a key-value cache a pass sees the newest
token only, and in a batch padded on the left the first token is not in the first column. Both are read off what the
model itself is called with, once per pass, before any block runs. Positions then fall into three zones (the first, the
rest of the prompt, what came after), in each of which one fused function does everything at a site.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from analysis.errors import UserError
from analysis.models.hooks import hooked, site_width
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.models.thinking import Marks, is_thinking
from analysis.steering.gates import Gate, GatedSite, Tokens, gates_by_site, is_gated, marks_for, needs_prompt
from analysis.steering.operators import Add, Clamp, Intervention, Kernel, ProjectOut, fuse, is_idle

# Which interventions act on the first token, on the rest of the prompt, and after it.
_ZONES = ({"all"}, {"all", "not_first", "prompt"}, {"all", "not_first", "generated"})


@dataclass
class Applied:
    """What the interventions have done so far.

    ``tokens``: for each site that is steered, how many activations were changed; ``passes``: forward passes seen.
    """

    tokens: dict[Site, int] = field(default_factory=dict)
    passes: int = 0


@contextmanager
def steer(
    loaded: LoadedModel,
    interventions: Iterable[Intervention],
    *,
    prompt_tokens: int | Sequence[int] | None = None,
    mask: Tensor | None = None,
) -> Iterator[Applied]:
    """Every forward pass inside the context, by whatever code, has the interventions applied; afterwards none has.

    ``prompt_tokens``: how many real tokens the prompt has (one number, or one per row of the batch), needed where an
    intervention acts on generated tokens only. ``mask`` (B, T) of the prompt, true for real tokens, is for callers that
    pad and do not hand the model an ``attention_mask``. Contexts nest. Interventions of strength 0 are left out
    altogether, so that they change not a bit.

    Raises UserError(field="site" or "steer") before anything runs if the model lacks a site, a vector has another
    length than the activation there, or the length of the prompt is needed and missing.
    """
    with Plan(loaded, interventions, prompt_tokens=prompt_tokens, mask=mask).installed() as applied:
        yield applied


class Plan:
    """Interventions checked and fused for one model, to be installed any number of times, also for single passes."""

    def __init__(
        self,
        loaded: LoadedModel,
        interventions: Iterable[Intervention],
        *,
        prompt_tokens: int | Sequence[int] | None = None,
        mask: Tensor | None = None,
    ) -> None:
        """Arguments and errors as of :func:`steer`."""
        given = [i for i in interventions if not is_idle(i)]
        for intervention in given:
            _check_width(loaded, intervention)
            if needs_prompt(intervention) and prompt_tokens is None:
                raise UserError(
                    "To steer a part of a text only, the number of tokens in the prompt must be known.", "steer"
                )
        self.applied = Applied({site: 0 for site in sorted({i.site for i in given}, key=lambda s: s.order)})
        self._loaded, self._mask = loaded, mask
        self._prompt = _lengths(prompt_tokens)
        by_site = {s: [i for i in given if i.site == s] for s in self.applied.tokens}
        self._kernels = {s: _zone_kernels(some) for s, some in by_site.items() if not any(map(is_gated, some))}
        self._gated = {s: GatedSite(some, fuse) for s, some in by_site.items() if any(map(is_gated, some))}
        self._gates = gates_by_site(loaded, given)
        self._marks = marks_for(loaded, given)
        self._open: dict[Gate, Tensor] = {}
        self._thinking: Tensor | None = None
        self._now = Positions(0, 0, None)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Where something is changed or read, in the order in which a pass gets there; empty if nothing is."""
        return tuple(sorted({*self.applied.tokens, *self._gates}, key=lambda s: s.order))

    @contextmanager
    def installed(self) -> Iterator[Applied]:
        """The hooks are in place inside the context. Counts go on over several installations."""
        if not self.sites:
            yield self.applied
            return
        base: nn.Module = self._loaded.model.base_model
        handle = base.register_forward_pre_hook(self._begin, with_kwargs=True)
        try:
            with hooked(self._loaded, {site: self._applier(site) for site in self.sites}):
                yield self.applied
        finally:
            handle.remove()

    def _begin(self, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.begin(positions_of(args, kwargs, self._mask))

    def begin(self, now: Positions) -> None:
        """A pass over these tokens begins. Passes over one text come in order, or start it again."""
        self.applied.passes += 1
        self._now = now
        if self._marks is not None:
            self._thinking = self._thinks(now, self._marks)

    def _thinks(self, now: Positions, marks: Marks) -> Tensor:
        if now.ids is None:
            raise UserError("Thinking can only be told apart where a model is called with token ids.", "where")
        known = self._thinking if now.first else None
        before = torch.zeros(len(now.ids), dtype=torch.bool, device=now.ids.device) if known is None else known[:, -1]
        return is_thinking(now.ids, now.places(now.ids.device) >= 0, marks, before)

    def _applier(self, site: Site) -> Callable[[Tensor], Tensor | None]:
        return lambda x: self.change(site, x)

    def change(self, site: Site, x: Tensor) -> Tensor | None:
        """The activation (B, T, D) at a site of this plan as it becomes, None where it stays; counted."""
        now = self._now
        for gate in self._gates.get(site, ()):
            self._open[gate] = gate.is_open(x)
        if site in self._gated:
            prompt = self._prompt.to(x.device)[:, None] if self._prompt.numel() else None
            changed, count = self._gated[site].change(
                x, Tokens(now.places(x.device), prompt, self._thinking), self._open
            )
            self.applied.tokens[site] += count
            return changed
        if site not in self._kernels:
            return None
        kernels = self._kernels[site]
        if now.table is None and self._prompt.numel() <= 1:
            changed, count = self._in_slices(x, kernels, now)
        else:
            changed, count = self._by_table(x, kernels, now)
        self.applied.tokens[site] += count
        return changed

    def _in_slices(self, x: Tensor, kernels: list[Kernel | None], now: Positions) -> tuple[Tensor | None, int]:
        """All rows are at the same positions, so zones are slices and nothing has to be compared on the device."""
        rows, tokens = x.shape[0], x.shape[1]
        prompt = int(self._prompt[0]) if self._prompt.numel() else None
        edges = [0, 1, 10**9 if prompt is None else max(1, prompt), 10**9]
        spans: list[tuple[int, int, Kernel]] = []
        for zone, kernel in enumerate(kernels):
            low, high = (min(max(e - now.first, 0), tokens) for e in edges[zone : zone + 2])
            if kernel is None or low >= high:
                continue
            if spans and spans[-1][2] is kernel and spans[-1][1] == low:
                low = spans.pop()[0]
            spans.append((low, high, kernel))
        count = rows * sum(high - low for low, high, _ in spans)
        if not spans:
            return None, 0
        if spans[0][:2] == (0, tokens):
            return spans[0][2](x), count
        out = x.clone()
        for low, high, kernel in spans:
            out[:, low:high] = kernel(x[:, low:high])
        return out, count

    def _by_table(self, x: Tensor, kernels: list[Kernel | None], now: Positions) -> tuple[Tensor | None, int]:
        """Rows differ; padding, at position -1, is in no zone."""
        place = now.places(x.device, x.shape[0])
        prompt = self._prompt.to(x.device)[:, None] if self._prompt.numel() else torch.tensor(10**9, device=x.device)
        last = place >= prompt.clamp(min=1)
        out, count = x, 0
        for inside, kernel in zip((place == 0, (place >= 1) & ~last, last), kernels, strict=True):
            touched = 0 if kernel is None else int(inside.sum())
            if kernel is not None and touched:
                out = torch.where(inside[..., None], kernel(x), out)
                count += touched
        return (out, count) if count else (None, 0)


@dataclass(frozen=True)
class Positions:
    """Of the tokens in the current pass: the first one's, where rows agree, or a ``table`` (B, T), padding -1; and
    their ``ids`` (B, T), None where a model is called with embeddings."""

    first: int
    tokens: int
    table: Tensor | None
    ids: Tensor | None = None

    def row(self, n: int) -> Positions:
        """Those of one row of the batch."""
        table, ids = (None if t is None else t[n : n + 1] for t in (self.table, self.ids))
        return Positions(self.first, self.tokens, table, ids)

    def places(self, device: torch.device, rows: int = 1) -> Tensor:
        """(B, T), or (``rows``, T) where rows agree."""
        if self.table is not None:
            return self.table.to(device)
        return torch.arange(self.first, self.first + self.tokens, device=device).expand(rows, -1)


def positions_of(args: tuple[Any, ...], kwargs: dict[str, Any], own_mask: Tensor | None) -> Positions:
    """Positions of the tokens that a decoder is called with. ``own_mask``: as ``mask`` of :func:`steer`."""
    ids = args[0] if args else kwargs.get("input_ids")
    given_to = kwargs.get("inputs_embeds") if ids is None else ids
    assert given_to is not None
    rows, tokens = int(given_to.shape[0]), int(given_to.shape[1])
    cache = kwargs.get("past_key_values")
    first = int(cache.get_seq_length()) if cache is not None else 0
    mask = kwargs.get("attention_mask")
    if isinstance(mask, Tensor) and mask.ndim == 2:
        mask = mask[:, : first + tokens].bool()
    elif own_mask is not None:
        # Tokens after the prompt that the mask was given for are real.
        more = torch.ones(own_mask.shape[0], max(0, first + tokens - own_mask.shape[1]), dtype=torch.bool)
        mask = torch.cat([own_mask.bool().cpu(), more], 1)[:, : first + tokens]
    else:
        given = kwargs.get("position_ids")
        if isinstance(given, Tensor) and given.ndim == 2 and given.shape[1] == tokens:
            return Positions(first, tokens, given.expand(rows, -1), ids)
        return Positions(first, tokens, None, ids)
    if bool(mask.all()):
        return Positions(first, tokens, None, ids)
    return Positions(first, tokens, ((mask.long().cumsum(1) - 1).masked_fill(~mask, -1))[:, -tokens:], ids)


def _zone_kernels(interventions: list[Intervention]) -> list[Kernel | None]:
    """One fused function per zone; the same object where zones have the same interventions."""
    made: dict[tuple[int, ...], Kernel | None] = {}
    kernels = []
    for zone in _ZONES:
        active = [i for i in interventions if i.where in zone]
        key = tuple(id(i) for i in active)
        if key not in made:
            made[key] = fuse(active)
        kernels.append(made[key])
    return kernels


def _lengths(prompt_tokens: int | Sequence[int] | None) -> Tensor:
    """(0,) for unknown, (1,) for one length, (B,) for one per row."""
    if prompt_tokens is None:
        return torch.zeros(0, dtype=torch.long)
    lengths = torch.tensor([prompt_tokens] if isinstance(prompt_tokens, int) else list(prompt_tokens)).long()
    return lengths[:1] if bool((lengths == lengths[0]).all()) else lengths


def _check_width(loaded: LoadedModel, intervention: Intervention) -> None:
    width = site_width(loaded, intervention.site)
    if isinstance(intervention, Add):
        own = intervention.vector
    elif isinstance(intervention, ProjectOut):
        own = intervention.directions
    else:
        own = intervention.direction if isinstance(intervention, Clamp) else intervention.target
    if own.shape[-1] != width:
        raise UserError(
            f"The vector has {own.shape[-1]} numbers; the {intervention.site.label} of this model has {width}. Use a "
            "vector that was made with this model.",
            "steer",
        )
