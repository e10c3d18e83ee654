"""Operations about the heads of an OthelloGPT that need boards, other games or edits. Which heads look at a move, and a
head's row, are asked of the Attention page's operations (:mod:`analysis.qk.ops`), with the game as text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.fields import Choice, Whole
from analysis.othello.squares import POSITIONS
from analysis.tpr.answers.heads import HeadRemoval, HeadsOfEdit, UsualAttention
from analysis.tpr.ops.edit import OfEdit
from analysis.tpr.ops.reading import MAX_LAYER, PROBES, OfGame, OfOthello

BASELINES = ("games", "mean", "zero")
"""What stands in place of a head: its mean at that ply over random games; over this game, as on the Attention page;
nothing."""


@dataclass(frozen=True)
class UsualLooks(OfOthello[UsualAttention]):
    """How much heads usually attend from the move of a ply to each move before it, in random games."""

    ply: Annotated[int, Whole(1, POSITIONS, words="The ply")] = 1

    def run(self, context: Context) -> UsualAttention:
        from analysis.tpr.heads import check_tokens, usual_attention

        room = self.room(context)
        check_tokens(room)
        return usual_attention(room, self.ply, context.check)


@dataclass(frozen=True)
class WithoutHead(OfGame[HeadRemoval]):
    """What the model would play, and the board that a probe reads, without one head; heads drawn at random beside."""

    block: Annotated[int, Whole(0, MAX_LAYER, words="The head's block")] = 0
    head: Annotated[int, Whole(0, 10_000, words="The head")] = 0
    baseline: Annotated[str, Choice(BASELINES, words="What stands in place of the head")] = "games"
    probe: Annotated[str, Choice(PROBES, words="The probe")] = "tpr"
    seed: Annotated[int, Whole(0, 2**31 - 1, words="The seed")] = 0

    def run(self, context: Context) -> HeadRemoval:
        from analysis.tpr.heads import without_head

        room, game, row = self.read(context)
        facts = room.loaded.facts
        if self.block >= facts.layers or self.head >= facts.heads:
            raise UserError(f"This model has blocks 0 to {facts.layers - 1} of heads 0 to {facts.heads - 1}.", "head")
        return without_head(
            room, game, row, layer=self.layer, block=self.block, head=self.head, kind=self.probe, labels=self.labels,
            baseline=self.baseline, seed=self.seed, check=context.check,  # type: ignore[arg-type]
        )  # fmt: skip


@dataclass(frozen=True)
class EditedLooks(OfEdit[HeadsOfEdit]):
    """What heads read from the moves at the edited squares, without and with an edit, and after random edits."""

    def run(self, context: Context) -> HeadsOfEdit:
        from analysis.tpr.heads import heads_of_edit

        room, game, row = self.read(context)
        return heads_of_edit(
            room,
            game,
            row,
            [(int(s), int(c)) for s, c in self.edits],
            method=self.method,
            scale=self.scale,
            best=self.choose == "best",
            layers=self.blocks(room.layers),
            labels=self.labels,
            seed=self.seed,
            unit=self.unit,
        )
