"""When an intervention acts: which tokens of a text, and while what is read of them.

A gate is decided token by token, from the token's place, the marks of thinking before it, and the activation that is
read at the gate's site in the same pass. None of it looks ahead, so a text that is written token by token, the same
text read in one pass and its row in a batch have the same gates. Where gates of one site differ, the tokens are parted
by which interventions are open there, and each part is changed as if those were the only ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.hooks import site_width
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.models.thinking import Marks, thinking_marks

Kernel = Callable[[Tensor], Tensor]
Side = Literal["above", "below"]
SIDES: tuple[Side, ...] = ("above", "below")


class Reading(Protocol):
    """What a probe reads of an activation at a site with ``width`` numbers; ``words``: what it is called."""

    @property
    def site(self) -> Site: ...
    @property
    def width(self) -> int: ...
    @property
    def words(self) -> str: ...
    def values(self, x: Tensor) -> Tensor:
        """A number for each activation: (..., D) to (...)."""
        ...


@dataclass(frozen=True, eq=False)
class Projection:
    """x . ``direction`` - ``centre``, with a direction (D,) of any length."""

    site: Site
    direction: Tensor
    centre: float = 0.0
    words: str = "projection"

    @property
    def width(self) -> int:
        """Numbers of an activation that it reads."""
        return int(self.direction.shape[-1])

    def values(self, x: Tensor) -> Tensor:
        """As of :class:`Reading`."""
        return x.float() @ self.direction.to(x.device, torch.float32) - self.centre


@dataclass(frozen=True, eq=False)
class Elsewhere:
    """A reading that a file names and cannot carry, such as the responsibility of one of a fit's regions."""

    site: Site
    words: str
    width: int = 0

    def values(self, x: Tensor) -> Tensor:
        """Raises UserError: an intervention whose gate cannot be read must not act as if it had none."""
        raise UserError(
            f"This set-up acts only while a reading is in a range, and the file does not carry what is read "
            f"({self.words}). Open it on the Steering page, with its fit.",
            "steer",
        )


@dataclass(frozen=True, eq=False)
class Gate:
    """When an intervention acts, beside its ``where``.

    ``after``: not before that many tokens were written; ``span``: only at positions from the first to before the second
    of the two, counted from the start of the text; ``reading``: only where what is read is ``side`` the ``threshold``.
    """

    after: int = 0
    span: tuple[int, int] | None = None
    reading: Reading | None = None
    side: Side = "above"
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if type(self.after) is not int or not 0 <= self.after < 10**9:
            raise UserError("A gate opens after a whole number of written tokens.", "gate")
        if self.side not in SIDES:
            raise UserError(f"A gate opens above or below a value, not {str(self.side)[:20]!r}.", "gate")
        if not isinstance(self.threshold, (int, float)) or not abs(self.threshold) < 1e9:
            raise UserError("The value at which a gate opens must be a number.", "gate")

    def is_open(self, x: Tensor) -> Tensor:
        """Of each activation (..., D) at the reading's site, whether the reading lets it through, (...) bool."""
        assert self.reading is not None
        values = self.reading.values(x)
        return values > self.threshold if self.side == "above" else values < self.threshold


class Gated(Protocol):
    """What is known here of an intervention."""

    @property
    def site(self) -> Site: ...
    @property
    def where(self) -> str: ...
    @property
    def gate(self) -> Gate | None: ...


@dataclass(frozen=True)
class Tokens:
    """The tokens of a pass, as gates see them: ``place`` (B, T) in the text, -1 for padding; ``prompt``, (B, 1) or
    (1, 1), the length of the prompt, None where it is not known; ``thinking`` (B, T), None where nothing asks for it.
    """

    place: Tensor
    prompt: Tensor | None
    thinking: Tensor | None


class GatedSite:
    """The interventions of one site, some of which are gated."""

    def __init__(self, interventions: Sequence[Gated], fuse: Callable[[list[Any]], Kernel | None]) -> None:
        """Raises UserError for more different gates than can be told apart."""
        keys = list(dict.fromkeys((i.where, i.gate) for i in interventions))
        if len(keys) > 60:
            raise UserError("At most 60 different gates can act at one place.", "gate")
        self._keys = keys
        self._given = [(i, keys.index((i.where, i.gate))) for i in interventions]
        self._fuse = fuse
        self._kernels: dict[int, Kernel | None] = {}

    def change(self, x: Tensor, tokens: Tokens, readings: Mapping[Gate, Tensor]) -> tuple[Tensor | None, int]:
        """The activation (B, T, D) as it becomes, None where no gate is open; and how many tokens it changed."""
        code = torch.zeros(x.shape[:2], dtype=torch.long, device=x.device)
        for number, (where, gate) in enumerate(self._keys):
            code += _mask(where, gate, tokens, readings).to(x.device).long() << number
        patterns = code.unique().tolist()
        out, count = x, 0
        for pattern in filter(None, patterns):
            if pattern not in self._kernels:
                self._kernels[pattern] = self._fuse([i for i, number in self._given if pattern >> number & 1])
            kernel = self._kernels[pattern]
            if kernel is None:
                continue
            inside = code == pattern
            count += int(inside.sum())
            out = kernel(x) if len(patterns) == 1 else torch.where(inside[..., None], kernel(x), out)
        return (out, count) if count else (None, 0)


def _mask(where: str, gate: Gate | None, tokens: Tokens, readings: Mapping[Gate, Tensor]) -> Tensor:
    place, prompt = tokens.place, tokens.prompt
    inside = place >= (0 if where == "all" else 1)
    if where in ("prompt", "generated", "thinking", "answer"):
        assert prompt is not None
        written = place >= prompt.clamp(min=1)
        inside = inside & (~written if where == "prompt" else written)
    if where in ("thinking", "answer"):
        assert tokens.thinking is not None
        inside = inside & (tokens.thinking if where == "thinking" else ~tokens.thinking)
    if gate is None:
        return inside
    if gate.after:
        assert prompt is not None
        inside = inside & (place >= prompt + gate.after)
    if gate.span is not None:
        inside = inside & (place >= gate.span[0]) & (place < gate.span[1])
    if gate.reading is not None:
        inside = inside & readings[gate].to(inside.device)
    return inside


def needs_prompt(intervention: Gated) -> bool:
    """Whether the length of the prompt must be known to tell where it acts."""
    gate = intervention.gate
    return intervention.where in ("prompt", "generated", "thinking", "answer") or (gate is not None and gate.after > 0)


def spares_prompt(intervention: Gated) -> bool:
    """Whether it changes nothing before the first written token."""
    gate = intervention.gate
    return intervention.where in ("generated", "thinking", "answer") or (gate is not None and gate.after > 0)


def is_gated(intervention: Gated) -> bool:
    """Whether its place in the text alone does not say where it acts."""
    return intervention.gate is not None or intervention.where in ("thinking", "answer")


def gates_by_site(loaded: LoadedModel, interventions: Sequence[Gated]) -> dict[Site, list[Gate]]:
    """The gates that read something, by where they read it. Raises UserError for one that cannot."""
    found: dict[Site, list[Gate]] = {}
    for intervention in interventions:
        gate = intervention.gate
        if gate is None or gate.reading is None:
            continue
        site = gate.reading.site
        if site.order > intervention.site.order:
            raise UserError(
                f"The gate reads the {site.label}, and steering at the {intervention.site.label} comes before it. "
                "Steer there or later only, or open the gate.",
                "gate",
            )
        if isinstance(gate.reading, Elsewhere):
            gate.is_open(torch.zeros(0))
        width = site_width(loaded, site)
        if gate.reading.width != width:
            raise UserError(
                f"The gate reads {gate.reading.width} numbers; the {site.label} of this model has {width}.", "gate"
            )
        some = found.setdefault(site, [])
        if all(gate is not other for other in some):
            some.append(gate)
    return found


def marks_for(loaded: LoadedModel, interventions: Sequence[Gated]) -> Marks | None:
    """The marks of thinking, where something asks for them. Raises UserError if the model has none."""
    if not any(i.where in ("thinking", "answer") for i in interventions):
        return None
    marks = thinking_marks(loaded)
    if marks is None:
        raise UserError(
            "The chat template of this model marks no thinking, so thinking and answer cannot be told apart. Choose "
            "other positions.",
            "where",
        )
    return marks
