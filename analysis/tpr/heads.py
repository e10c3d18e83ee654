"""The heads of an OthelloGPT on a board: where they usually look, what becomes of a position without one of them, and
what an edit of the board does to their looks.

Which heads look at a move, and a head's row, are the Attention page's own questions, asked of a game written as text.
What is here is what they do not know of: other games, boards and edits. A head is taken out as on that page (the same
tap), and attention is recomputed from the same record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.ablation import TakenOut, changed_rows, plain_logits
from analysis.models.recording import LayerAttention, tapped
from analysis.othello.board import Board
from analysis.othello.squares import NAMES, PLAYABLE, token_of
from analysis.progress import Check, no_check
from analysis.tpr.activations import read, whole_games
from analysis.tpr.answers.heads import HeadRemoval, HeadsOfEdit, OtherHead, UsualAttention
from analysis.tpr.editing import edit_position, usable_layers
from analysis.tpr.edits import PROBE_OF, Change, edit_vector
from analysis.tpr.interventions import run_edited
from analysis.tpr.room import GameRead, Room, truth
from analysis.tpr.trials import units

Baseline = Literal["games", "mean", "zero"]
GAMES = 64
SEED = 90_000
DRAWS = 9
RANDOM_EDITS = 20
WRONG_EDITS = 20
_BATCH = 16
_KEPT = "othello usual heads"


@dataclass(frozen=True)
class Usual:
    """Over random games: ``attention`` mean and ``high`` (the 95 % point), (L, H, 59, 59) each, and the mean
    ``outputs`` of the heads by ply, (59, H, w) by block."""

    attention: Tensor
    high: Tensor
    outputs: dict[int, Tensor]


@dataclass(frozen=True)
class _OverGames:
    """In place of a head its mean at each ply over random games, the first move aside, which keeps its own."""

    outputs: dict[int, Tensor]

    def head(self, record: LayerAttention, output: Tensor, row: int, head: int) -> None:
        output[row, 1:, head] = self.outputs[record.layer][1 : output.shape[1], head].to(output)


def check_tokens(room: Room) -> None:
    """Refuse a model that was loaded with a tokenizer that does not read moves. UserError(field="source")."""
    if room.loaded.extras.get("reads moves") is None:
        halves = PLAYABLE[:30], PLAYABLE[30:]
        texts = [" ".join(NAMES[s] for s in half) for half in halves]
        ids = [room.loaded.tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        room.loaded.extras["reads moves"] = ids == [[token_of(s) for s in half] for half in halves]
    if not room.loaded.extras["reads moves"]:
        raise UserError("The tokenizer of this model does not read moves, so attention cannot be asked for.", "source")


@torch.no_grad()
def usual(room: Room, check: Check = no_check) -> Usual:
    """What its heads do in random games; measured once and kept with the model."""
    kept: Usual | None = room.loaded.extras.get(_KEPT)
    if kept is not None:
        return kept
    tokens = torch.from_numpy(whole_games(GAMES, SEED).tokens[:, :59].astype(np.int64))
    weights: dict[int, list[Tensor]] = {n: [] for n in range(room.layers)}
    sums: dict[int, Tensor] = {}

    def look(record: LayerAttention, output: Tensor) -> None:
        weights[record.layer].append(record.weights().half().cpu())
        sums[record.layer] = sums.get(record.layer, 0) + output.double().sum(0).cpu()

    for start in range(0, GAMES, _BATCH):
        check()
        with tapped(look):
            room.loaded.forward(tokens[start : start + _BATCH])
    mean, high = [], []
    for layer in range(room.layers):
        rows = torch.cat(weights.pop(layer)).float()
        mean.append(rows.mean(0))
        high.append(rows.sort(0).values[int(0.95 * (GAMES - 1))])
    outputs = {layer: (total / GAMES).float() for layer, total in sums.items()}
    kept = Usual(torch.stack(mean), torch.stack(high), outputs)
    room.loaded.extras[_KEPT] = kept
    return kept


def usual_attention(room: Room, ply: int, check: Check = no_check) -> UsualAttention:
    """Attention from the move of a ply (1 for the first) to the moves up to it, in random games."""
    found = usual(room, check)
    rows = (part[:, :, ply - 1, :ply].numpy() for part in (found.attention, found.high))
    return UsualAttention(GAMES, *rows)


def other_heads(room: Room, block: int, head: int, count: int, seed: int) -> list[tuple[int, int]]:
    """Up to ``count`` other heads of the model, drawn at random."""
    heads = [(n, h) for n in range(room.layers) for h in range(room.loaded.facts.heads) if (n, h) != (block, head)]
    order = np.random.default_rng(seed).permutation(len(heads))[:count]
    return [heads[i] for i in order]


@torch.no_grad()
def without_head(
    room: Room, game: GameRead, row: int, *, layer: int, block: int, head: int, kind: str, labels: str,
    baseline: Baseline, seed: int, check: Check = no_check,
) -> HeadRemoval:  # fmt: skip
    """The position after ply ``row`` (from 0) without one head, and without each of some others, one at a time.

    Raises UserError(field="baseline") for a mean over one move, (field="probe") for a missing probe.
    """
    ids = [token_of(m) for m in game.moves[: row + 1]]
    parts = [(block, head), *other_heads(room, block, head, DRAWS, seed)]
    if len(ids) < 2:
        raise UserError("After one move there is only that move to look at. Play another one.", "ply")
    change: _OverGames | TakenOut
    if baseline == "games":
        change = _OverGames(usual(room, check).outputs)
    else:
        change = TakenOut(room.loaded, baseline)
        with change.ready(range(room.layers)):
            plain_logits(room.loaded, ids)
    batch = torch.tensor([ids]).expand(1 + len(parts), -1)
    with tapped(changed_rows([None, *parts], change)):
        streams, logits = read(room.loaded, batch, room.probes.site)
    shares = logits[:, -1, 1:].double().softmax(-1)
    moves = game.moves[: row + 1]
    legal = Board.start().after(moves).legal
    at = max(layer, block)
    probe = room.probes.probe(kind, at, labels)
    beliefs = np.asarray(probe.probabilities(streams[at][:, -1].float().cpu()), dtype=np.float32)
    right = truth(game.moves, row, labels)
    illegal = 1 - shares[:, [PLAYABLE.index(s) for s in legal]].sum(-1) if legal else torch.ones(len(shares))
    wrong = (beliefs.argmax(-1) != right).sum(-1)
    kl = (shares[:1] * (shares[:1].log() - shares.log())).sum(-1).clamp_min(0)
    others = tuple(
        OtherHead(n, h, float(illegal[i]), int(wrong[i]), float(kl[i])) for i, (n, h) in enumerate(parts[1:], 2)
    )
    board = np.zeros((len(shares), 64), np.float32)
    board[:, list(PLAYABLE)] = shares.numpy()
    return HeadRemoval(
        block=block,
        head=head,
        baseline=baseline,
        games=GAMES if baseline == "games" else 0,
        layer=at,
        legal=tuple(legal),
        illegal_before=float(illegal[0]),
        illegal_after=float(illegal[1]),
        wrong_before=int(wrong[0]),
        wrong_after=int(wrong[1]),
        kl=float(kl[1]),
        others=others,
        next_before=board[0],
        next_after=board[1],
        other_next=board[2],
        belief_before=beliefs[0],
        belief_after=beliefs[1],
        other_belief=beliefs[2],
        truth=right,
    )


def _on_wrong_squares(
    room: Room, layer: int, labels: str, changes: Sequence[Change], classes: Sequence[int], seed: int
) -> Tensor:
    """(W, d): the same edit on other squares, which are the same ones at each block; none where no other square has
    such a disc."""
    probe = room.probes.probe("tpr", layer, labels)
    draws = [torch.Generator().manual_seed(seed * 1000 + n) for n in range(WRONG_EDITS)]
    try:
        return torch.stack([edit_vector("wrong-square", probe, changes, classes, draw).float() for draw in draws])
    except UserError:
        return torch.zeros(0, room.loaded.facts.hidden)


@torch.no_grad()
def heads_of_edit(
    room: Room, game: GameRead, row: int, edits: Sequence[tuple[int, int]], *, method: str, scale: float, best: bool,
    layers: Sequence[int], labels: str, seed: int, unit: str,
) -> HeadsOfEdit:  # fmt: skip
    """What heads read from the moves at the edited squares, without and with the edit, and after random ones.

    As in `edit_position`, the position of the last move alone is changed, so what changes is where it looks.
    """
    moves = game.moves[: row + 1]
    if best:
        scale = edit_position(
            room, game, row, edits, method=method, best=True, layers=layers, labels=labels, seed=seed, unit=unit
        ).scale
    classes = Board.start().after(moves).classes(labels)
    blocks, size = usable_layers(room, method, layers, labels), units(room, unit)
    elsewhere_too = all(room.probes.find("tpr", layer, labels) for layer in blocks)
    vectors = {}
    for layer in blocks:
        generator = torch.Generator().manual_seed(seed + (7919 * (layer + 1) if method == "random" else 0))
        probe = room.probes.probe(PROBE_OF[method], layer, labels)
        changes = [(s, classes[s], t) for s, t in edits]
        edit = edit_vector(method, probe, changes, classes, generator).float() * scale * float(size[layer])
        drawn = torch.randn(RANDOM_EDITS, edit.shape[0], generator=torch.Generator().manual_seed(seed + layer))
        if elsewhere_too:
            drawn = torch.cat([drawn, _on_wrong_squares(room, layer, labels, changes, classes, seed)])
        drawn = drawn / drawn.norm(dim=-1, keepdim=True) * edit.norm()
        vectors[layer] = torch.cat([torch.zeros(1, edit.shape[0]), edit[None], drawn])
    attention: dict[int, Tensor] = {}
    lengths: dict[int, Tensor] = {}
    model: Any = room.loaded.model

    def look(record: LayerAttention, _output: Tensor) -> None:
        if record.queries.shape[2] == 1 and record.keys.shape[2] == len(moves):
            weights = record.weights()[:, :, 0].cpu()
            out = model.transformer.h[record.layer].attn.c_proj.weight.float().cpu()
            writing = out.reshape(weights.shape[1], -1, out.shape[-1])
            values = record.values.float().cpu()
            written = ((values @ (writing @ writing.mT)) * values).sum(-1).clamp_min(0).sqrt()
            attention[record.layer], lengths[record.layer] = weights, weights * written

    with tapped(look):
        run_edited(room.loaded, moves, vectors, room.probes.site)
    weights, written = (torch.stack([part[n] for n in range(room.layers)], 1) for part in (attention, lengths))
    share = written / written.sum(-1, keepdim=True).clamp_min(1e-30)
    played = [s for s, _ in edits if s in moves]
    keys = [moves.index(s) for s in played]
    rest = [k for k in range(len(moves)) if k not in keys]
    looked, shared = (part[..., keys].sum(-1).numpy().astype(np.float32) for part in (weights, share))
    moved = (weights[1] - weights[0])[..., rest].abs()
    elsewhere = moved.mean(-1) if rest else torch.full(moved.shape[:-1], torch.nan)
    return HeadsOfEdit(
        scale=scale,
        blocks=tuple(blocks),
        squares=tuple(played),
        unplayed=tuple(s for s, _ in edits if s not in moves),
        before=looked[0],
        after=looked[1],
        share_before=shared[0],
        share_after=shared[1],
        random=looked[2 : 2 + RANDOM_EDITS],
        random_share=shared[2 : 2 + RANDOM_EDITS],
        wrong=looked[2 + RANDOM_EDITS :],
        elsewhere=elsewhere.numpy().astype(np.float32),
    )
