"""Operations before a fit: a prompt made into a contrast, and a contrast looked at on drawn examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from analysis.engine.context import Context
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Flag, Whole
from analysis.models.capabilities import require_attention
from analysis.models.prompts import MAX_TOKENS
from analysis.qk.answers.contrast import DrawnCheck, ProposedContrast
from analysis.qk.ops.features import OnContrast, feature_name
from analysis.qk.ops.prompt import OnHead


@dataclass(frozen=True)
class CheckContrast(OnContrast[DrawnCheck]):
    """Whether a contrast holds on drawn examples: this head's attention, and the model's answer. ``copied``: the answer
    is expected to be the matching word."""

    kind: ClassVar[Kind] = "job"
    layer: Annotated[int, Whole(0, 10_000, words="The layer")] = 0
    head: Annotated[int, Whole(0, 10_000, words="The head")] = 0
    copied: Annotated[bool, Flag()] = False

    def describe(self) -> str:
        return f"Check {feature_name(self.contrast)} on layer {self.layer}, head {self.head}"

    def run(self, context: Context) -> DrawnCheck:
        from analysis.qk.behaviour import DRAWN, check_drawn

        loaded = context.model(self.model)
        require_attention(loaded.facts, "Features cannot be fitted on this model.")
        if self.layer not in loaded.facts.attention_layers or self.head >= loaded.facts.heads:
            raise UserError(f"This model has no head {self.head} with attention in layer {self.layer}.", "head")
        examples = self.examples(context)[:DRAWN]
        if any(key.prompt != e.query.prompt for e in examples for key in (*e.positive, *e.negative)):
            raise UserError(
                "The keys of this kind stand in a second prompt, where one head's attention cannot be compared. Press "
                "Add to the list, then Fit.",
                "contrast",
            )
        return check_drawn(loaded, examples, self.layer, self.head, self.copied, context.progress)


@dataclass(frozen=True)
class MakeContrast(OnHead[ProposedContrast]):
    """A query and a key of a prompt made into a template contrast: slots, word lists, and whether it holds.

    ``token``: the predicted token after the query that is asked about, -1 for the most probable one.
    """

    kind: ClassVar[Kind] = "job"
    query: Annotated[int, Whole(0, 10**6, words="The query")] = 0
    key: Annotated[int, Whole(0, 10**6, words="The key")] = 0
    token: Annotated[int, Whole(-1, 10**7, words="The predicted token")] = -1

    def describe(self) -> str:
        return f"Make a contrast of “{self.text[:30].strip()}{'…' if len(self.text) > 30 else ''}”"

    def run(self, context: Context) -> ProposedContrast:
        from analysis.qk.proposal import Pair, propose

        if self.chat:
            raise UserError("A contrast is made of plain text. Switch the chat template off and read again.", "chat")
        trace = self.recorded(context, self.query, self.key)
        if len(trace.ids) > MAX_TOKENS:
            raise UserError(
                f"A contrast is made of a prompt of at most {MAX_TOKENS:,} tokens, since its examples are as long. Cut "
                "this one down to the part that matters.",
                "prompt",
            )
        pair = Pair(self.layer, self.head, self.query, self.key)
        text = None if self.query >= self.trace(context)[2] else self.text
        return propose(context.model(self.model), trace, text, pair, self.token, context.progress)
