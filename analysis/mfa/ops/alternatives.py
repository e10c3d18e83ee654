"""The operation behind a click on a written token: what else could have stood there, in both models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.fields import Choice
from analysis.mfa.ops.control import CONTROLS, Equal, check_sentences, control_text
from analysis.mfa.ops.steer import Seed, UnderSteering
from analysis.steering.answers import Alternatives
from analysis.steering.room import TEXTS, check_written


@dataclass(frozen=True)
class TokenAlternatives(UnderSteering[Alternatives]):
    """What could have stood in the place of the last of the written token ids ``ids`` of a text: the unsteered model
    and the steered one, or for the text ``of`` the control the control's, each given the prompt and the ids before."""

    of: Annotated[str, Choice(TEXTS, words="The text")] = "steered"
    ids: tuple[int, ...] = (0,)
    control: Annotated[str, Choice(CONTROLS, words="The control")] = "none"
    seed: Seed = 0
    positive: str = ""
    negative: str = ""
    equal: Equal = "length"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sentences(self.positive, self.negative)
        object.__setattr__(self, "ids", check_written(self.ids, "ids"))
        if not self.ids:
            raise UserError("Choose a token that was written.", "ids")

    def run(self, context: Context) -> Alternatives:
        from analysis.mfa.steering import interventions_of
        from analysis.steering.alternatives import alternatives

        loaded, fit, prompt = self.prepared(context)
        made = interventions_of(self.steer, fit)
        if self.of == "control" and self.control != "none":
            made, _ = control_text(context, loaded, self, fit, prompt)
        return alternatives(loaded, prompt.ids, self.ids, made)
