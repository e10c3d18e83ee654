"""The operation of a conversation: its last turn is written, steered and unsteered, after the turns before it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from analysis.answer import extended
from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.engine.operation import Operation
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Real, Text
from analysis.mfa.answers.steering import ChatReply
from analysis.mfa.ops.steer import Seed, carried, reads_of
from analysis.mfa.turns import MAX_TURNS, TurnSetting
from analysis.models.prompts import check_prompt
from analysis.models.spec import ModelSpec
from analysis.steering.answers import TokenReading
from analysis.steering.room import TokenCount


@dataclass(frozen=True)
class ChatTurn(Operation[ChatReply]):
    """The reply of the last turn of a conversation, steered as that turn says and unsteered, both after the earlier
    turns as they were said and steered then."""

    kind: ClassVar[Kind] = "stream"
    model: ModelSpec = ModelSpec("default")
    turns: tuple[TurnSetting, ...] = (TurnSetting("Hello."),)
    system: Annotated[str, Text(5_000, words="The instruction")] = ""
    count: TokenCount = 40
    temperature: Annotated[float, Real(0.0, 2.0, words="The temperature")] = 0.7
    top_p: Annotated[float, Real(0.05, 1.0, words="Top-p")] = 0.95
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < len(self.turns) <= MAX_TURNS:
            raise UserError(f"A conversation has from 1 to {MAX_TURNS} turns. Branch off from an earlier one.", "turns")
        check_prompt(self.turns[-1].user)
        if self.turns[-1].reply or self.turns[-1].ids:
            raise UserError("The last turn has a reply already.", "turns")

    def reads(self, context: Context) -> str:
        return "".join(reads_of(turn.steer) for turn in self.turns)

    def run(self, context: Context) -> ChatReply:
        from analysis.mfa.library import fit_for
        from analysis.mfa.steering import interventions_of
        from analysis.models.turns import Spoken, script_of
        from analysis.steering.conversation import SteeredTurn, open_conversation
        from analysis.steering.writing import Writer

        loaded = context.model(self.model)
        script = script_of(loaded, [Spoken(t.user, t.reply, t.ids) for t in self.turns], self.system)
        turns = []
        for turn, stretch in zip(self.turns, script.turns, strict=True):
            steer = turn.steer
            made = [] if steer.idle else interventions_of(steer, fit_for(context.memory, loaded, steer.fit))
            turns.append(SteeredTurn(stretch, tuple(made), hash_of([steer.to_dict() if made else {}, reads_of(steer)])))
        opened = open_conversation(loaded, context.memory, turns, context.check, context.residents.identity(self.model))
        ids = list(opened.ids)
        writer = Writer(context, loaded, ids, self, self.model, opened=opened, stop=script.stop)
        texts = writer.write({"steered": list(opened.own)})
        last = self.turns[-1].steer
        readings: tuple[TokenReading, ...] = ()
        if last.fit and not last.idle:
            _, readings = carried(loaded, fit_for(context.memory, loaded, last.fit), last, ids, texts)
        return extended(
            ChatReply, texts, notes=script.notes, tokens=len(ids), reused=opened.reused, readings=readings
        )  # fmt: skip
