"""What the Othello page asks of a model in one place: the network, its probes, and the game that is on the board.

One pass over a game serves every ply, layer and probe of it, since the network is causal, so the pass of the last
games is remembered and a click costs a few small products. Probabilities and boards leave here as plain arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.engine.context import Context
from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.models.loaded_model import LoadedModel
from analysis.models.spec import OTHELLO
from analysis.othello.board import Board
from analysis.othello.sources import OthelloSource, load_network
from analysis.othello.squares import CENTRE, PLAYABLE, POSITIONS, VOCABULARY, token_of
from analysis.tpr.activations import read
from analysis.tpr.answers.model import ModelFacts
from analysis.tpr.library import KIND_NAMES, PROBE_SETS, ProbeSet, fingerprint, opened_sets, set_for


@dataclass
class Room:
    """A loaded OthelloGPT with its probes. ``fingerprint``: of all its weights, which name its probes; ``set_name``: of
    a set of others, empty for the model's own."""

    source: OthelloSource
    loaded: LoadedModel
    fingerprint: str
    probes: ProbeSet
    set_name: str = ""

    @property
    def layers(self) -> int:
        """How many blocks."""
        return self.loaded.facts.layers

    @property
    def headline(self) -> int:
        """The block on which the page opens: where the linear probe is best, else the last but one."""
        rows = [r for r in self.probes.rows if r["kind"] == "linear" and r["labels"] == "parity"]
        return int(max(rows, key=lambda r: r["accuracy"])["layer"]) if rows else max(0, self.layers - 2)

    def facts(self) -> ModelFacts:
        """What a page may say about it."""
        known = self.loaded.facts
        return ModelFacts(
            label=self.source.label,
            source=self.source.text,
            fingerprint=self.fingerprint,
            layers=known.layers,
            heads=known.heads,
            width=known.hidden,
            parameters=known.parameters,
            headline=self.headline,
            kinds=tuple(sorted({r["kind"] for r in self.probes.rows})),
            sets=opened_sets(self.fingerprint),
            probes=self.set_name,
            site=self.probes.site,
        )


def open_room(context: Context, text: str, *, fresh: bool = True, probes: str = "") -> Room:
    """The room of a source, which is kept with its model. ``fresh``: anew if the files were saved over; ``probes``: the
    name of a set of others that was opened for it, in place of its own.

    Raises UserError(field="source") if it cannot be loaded, (field="probes") for a set that is not there.
    """
    source = OthelloSource(text)
    loaded = context.model(source.spec, fresh=fresh, load=lambda _spec, progress: load_network(source, progress))
    return _room(loaded, source, probes)


def room_of(loaded: LoadedModel, probes: str = "") -> Room:
    """The room of a model that a page loaded that knows nothing of Othello.

    Raises UserError(field="steer") where it is no OthelloGPT, (field="probes") for a set that is not there.
    """
    try:
        source = OthelloSource("bundled" if loaded.spec.source == OTHELLO else loaded.spec.source)
        return _room(loaded, source, probes)
    except UserError as error:
        if error.field == "probes":
            raise
        raise UserError(
            f"{loaded.spec.label} is no OthelloGPT, so it has no board to edit. Load {OTHELLO} on the Model page, or a "
            "folder or hub model of one.",
            "steer",
        ) from error


def _room(loaded: LoadedModel, source: OthelloSource, probes: str) -> Room:
    room: Room | None = loaded.extras.get("othello room")
    if room is None:
        if (loaded.facts.vocabulary, loaded.facts.max_positions) != (VOCABULARY, POSITIONS):  # loaded by another page
            raise UserError(f"{source.label} is no OthelloGPT of the 8 × 8 board.", "source")
        name = fingerprint(loaded.model)
        room = loaded.extras["othello room"] = Room(source, loaded, name, set_for(name))
    return room if not probes else _with_probes(room, probes)


def _with_probes(room: Room, name: str) -> Room:
    """The same network with the probes of others, kept as long as their file is the same."""
    sha = PROBE_SETS.checksum(name)
    kept: Room | None = room.loaded.extras.get(f"othello room {name}")
    if kept is None or f"{name}:{kept.probes.manifest.get('sha256')}" != sha:
        kept = Room(room.source, room.loaded, room.fingerprint, set_for(room.fingerprint, name), name)
        room.loaded.extras[f"othello room {name}"] = kept
    return kept


@dataclass
class GameRead:
    """One pass over a game. ``residual``: (L, T, d) float32 at the place that the probes read; ``logits``: (T, 61), row
    t after ply t."""

    moves: tuple[int, ...]
    residual: Tensor
    logits: Tensor

    def next_probabilities(self, ply: int) -> NDArray[np.float64]:
        """The model's distribution over the 64 squares for the move after ply t; padding is left out."""
        # As in the papers, padding (token 0) takes no part in the softmax.
        shares = self.logits[ply, 1:].double().softmax(0).numpy()
        board = np.zeros(64)
        board[list(PLAYABLE)] = shares
        return board


def read_game(memory: Memory, room: Room, moves: tuple[int, ...]) -> GameRead:
    """The pass over a game of at least one move; a game of sixty moves is read without its last one.

    Raises UserError(field="moves") for an illegal or an empty game.
    """
    Board.start().after(moves)
    if not moves:
        raise UserError("The model has no token for the empty board. Play a move first.", "moves")
    moves = moves[:POSITIONS]
    site = room.probes.site
    key = ("othello-game", room.fingerprint, moves, site)
    reading: GameRead | None = memory.get(key)
    if reading is None:
        ids = torch.tensor([[token_of(m) for m in moves]])
        streams, logits = read(room.loaded, ids, site)
        residual = torch.stack([stream[0] for stream in streams]).float().cpu()
        reading = GameRead(moves, residual, logits[0].float().cpu())
        memory.put(key, reading, residual.numel() * 4 + logits.numel() * 4)
    return reading


def beliefs(
    room: Room, game: GameRead, layer: int, ply: int, kinds: tuple[str, ...], labels: str
) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    """The board that each probe reads at a block and ply, probabilities (64, 3) by kind; missing probes by sentence."""
    boards, missing = {}, {}
    for kind in kinds:
        try:
            probe = room.probes.probe(kind, layer, labels)
        except UserError as error:
            missing[kind] = error.message
            continue
        boards[kind] = np.asarray(probe.probabilities(game.residual[layer, ply : ply + 1])[0], dtype=np.float32)
    return boards, missing


def truth(moves: tuple[int, ...], ply: int, labels: str) -> NDArray[np.uint8]:
    """The true classes (64,) after a ply: 0 empty, 1 just moved, 2 to move."""
    return np.asarray(Board.start().after(moves[: ply + 1]).classes(labels), dtype=np.uint8)


@dataclass
class Bound:
    """The binding of one position: ``binding`` (r, f), ``unbound`` (64, f), ``fillers`` (3, f), ``logits`` (64, 3)."""

    binding: NDArray[np.float64]
    unbound: NDArray[np.float64]
    fillers: NDArray[np.float64]
    logits: NDArray[np.float64]


def bound(probe: Any, h: Tensor) -> Bound:
    """Take a residual vector (d,) apart: B(h), v_s = B^T R_s, logits v_s . F_c (arXiv 2605.09967's probe).

    A trilinear probe is read as the bilinear one with roles U_i (x) V_j. Raises UserError(field="probe") for a probe
    without fillers.
    """
    probe = bilinear(probe)
    b = torch.as_tensor(probe.binding(h[None]))[0].double()
    v = torch.as_tensor(probe.unbind(b[None]))[0].double()
    f = torch.as_tensor(probe.fillers_).double()
    return Bound(b.numpy(), v.numpy(), f.numpy(), (v @ f.T).numpy())


def bilinear(probe: Any) -> Any:
    """A TPR probe as it is, a trilinear one as the bilinear one that it equals. UserError for any other."""
    if hasattr(probe, "as_bilinear"):
        return probe.as_bilinear()
    if not hasattr(probe, "roles_"):
        raise UserError("A linear probe has no roles and fillers. Choose TPR or trilinear.", "probe")
    return probe


__all__ = [
    "CENTRE",
    "KIND_NAMES",
    "Bound",
    "GameRead",
    "Room",
    "beliefs",
    "bilinear",
    "bound",
    "open_room",
    "read_game",
    "truth",
]
