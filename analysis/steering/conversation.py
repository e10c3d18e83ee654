"""Steering a conversation turn by turn: each turn is read and written under its own interventions, and stays so.

A turn's interventions act from where its prompt begins to where its reply ends; what a model keeps of it (keys and
values) is what it was then. So earlier turns are read once, each in one pass, and kept; an edit reads again only the
turns from there on. Where a model keeps nothing that can be gone on from, every pass reads the whole conversation with
the interventions of all turns, each at its own places.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import torch

from analysis.engine.keys import hash_of
from analysis.engine.memory import Memory
from analysis.models.batch import rows_together
from analysis.models.caching import states_of, way_of_going_on
from analysis.models.kept_prefix import Before, Piece, joined, piece_of
from analysis.models.loaded_model import LoadedModel
from analysis.models.turns import Stretch
from analysis.steering.gates import Gate
from analysis.steering.operators import Intervention
from analysis.steering.plan import Plan

_END = 10**9


@dataclass(frozen=True)
class SteeredTurn:
    """One turn's tokens, what is done to them, and a ``key`` that says what that is."""

    stretch: Stretch
    interventions: tuple[Intervention, ...]
    key: str


@dataclass(frozen=True)
class Opened:
    """A conversation up to its open turn: all its token ``ids``; the ``interventions`` of the earlier turns at their
    places, where they are not in ``before``, and those of the open turn (``own``); ``reused``: tokens that were not
    read again; ``key``: what the earlier turns are and what was done to them."""

    ids: tuple[int, ...]
    before: Before | None
    interventions: tuple[Intervention, ...]
    own: tuple[Intervention, ...]
    reused: int
    key: str

    def reading(self, loaded: LoadedModel) -> Callable[[], AbstractContextManager[object]]:
        """The context in which the model reads this conversation with its open turn unsteered."""
        return Plan(loaded, self.interventions, prompt_tokens=len(self.ids)).installed


def open_conversation(
    loaded: LoadedModel, memory: Memory, turns: Sequence[SteeredTurn], check: Callable[[], None], identity: str | None
) -> Opened:
    """Read the turns before the last one, as far as they are not remembered. ``check`` is called between turns."""
    places = _places([turn.stretch for turn in turns])
    spanned = [
        spanned_interventions(turn.interventions, place, last=turn is turns[-1])
        for turn, place in zip(turns, places, strict=True)
    ]
    ids = tuple(i for turn in turns for i in (*turn.stretch.prompt, *turn.stretch.reply))
    earlier, own = spanned[:-1], tuple(spanned[-1])
    pieces: list[Piece] = []
    key, reused = hash_of(["conversation", identity]), 0
    if way_of_going_on(loaded) != "pieces" or rows_together(loaded) == "alone":
        for turn in turns[:-1]:
            key = hash_of([key, turn.stretch.prompt, turn.stretch.reply, turn.key])
        return Opened(ids, None, tuple(i for some in earlier for i in some), own, 0, key)
    for turn, made, (start, _, end) in zip(turns[:-1], earlier, places, strict=False):
        key = hash_of([key, turn.stretch.prompt, turn.stretch.reply, turn.key])
        piece: Piece | None = memory.get(key)
        if piece is None:
            check()
            piece = _read(loaded, ids[start:end], start, pieces, made)
            memory.put(key, piece, piece.nbytes)
        else:
            reused = end
        pieces.append(piece)
    before = Before(places[-1][0], lambda: joined(pieces)) if pieces else None
    return Opened(ids, before, (), own, reused, key)


@torch.no_grad()
def _read(
    loaded: LoadedModel, ids: Sequence[int], start: int, pieces: list[Piece], interventions: Sequence[Intervention]
) -> Piece:
    """What the model keeps of one turn, read in one pass after the turns before it."""
    feed = torch.tensor([list(ids)], device=loaded.device)
    with Plan(loaded, interventions, prompt_tokens=start).installed():
        output = loaded.model(feed, past_key_values=joined(pieces), use_cache=True, logits_to_keep=1)
    return piece_of(states_of(output), start)


def _places(stretches: Sequence[Stretch]) -> list[tuple[int, int, int]]:
    """Of each turn: where its prompt begins, where its reply begins, where it ends; the open one has no end."""
    found, at = [], 0
    for stretch in stretches:
        written = at + len(stretch.prompt)
        end = written + len(stretch.reply)
        found.append((at, written, end))
        at = end
    first, written, _ = found[-1]
    found[-1] = (first, written, _END)
    return found


def spanned_interventions(
    interventions: Sequence[Intervention], place: tuple[int, int, int], last: bool
) -> list[Intervention]:
    """The interventions of a turn at its place in the text. In an earlier turn, whose thinking is not there any more,
    those on its thinking are left out."""
    start, written, end = place
    made = []
    # Gates are told apart by identity, and one place takes so many: interventions that act alike share theirs.
    gates: dict[tuple[Gate | None, int, int], Gate] = {}
    for intervention in interventions:
        where, gate = intervention.where, intervention.gate or Gate()
        low = written if where in ("generated", "thinking", "answer") else start
        if where in ("not_first", "prompt"):
            low = max(low, 1)
        if gate.after:
            low = max(low, written + gate.after)
        high = written if where == "prompt" else end
        phase = where in ("thinking", "answer")
        if low >= high or (where == "thinking" and not last):
            continue
        key = (intervention.gate, low, high)
        if key not in gates:
            gates[key] = replace(gate, after=0, span=(low, high))
        gate = gates[key]
        made.append(replace(intervention, where=where if phase and last else "all", gate=gate))
    return made
