"""Through what does a steer act: changed patterns, what heads carry, MLPs, or the residual stream alone?

Eight passes for each arm, one for every set of parts that is left free, so that no order of the parts is preferred.
Random directions at the set-up's KL go through the same eight: a push of any kind has shares, and only what differs
from theirs says something of this one. They hardly move the set-up's words, so theirs are of what each raises itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from analysis.bridge.inside import OnWords
from analysis.engine.context import Context
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Whole
from analysis.mfa.answers.frozen import Frozen
from analysis.models.capabilities import require_attention
from analysis.steering.parts import SETS

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

RAISED, MOST_HEADS = 5, 64


@dataclass(frozen=True)
class FreeOrFrozen(OnWords[Frozen]):
    """A steered pass with the patterns of heads, their values or the MLPs above the steer held as they were unsteered,
    in all eight combinations, beside random directions at the same KL. ``heads``: (layer, head); empty: all."""

    kind: ClassVar[Kind] = "job"
    heads: tuple[tuple[int, int], ...] = ()
    draws: Annotated[int, Whole(1, 16, words="The number of random directions")] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "heads", tuple(tuple(h) for h in self.heads))
        whole = all(len(h) == 2 and all(type(n) is int and n >= 0 for n in h) for h in self.heads)
        if not whole or len(set(self.heads)) < len(self.heads) or len(self.heads) > MOST_HEADS:
            raise UserError(
                f"Heads are named by block and number, such as 12.3, each once, at most {MOST_HEADS} of them.", "heads"
            )

    def describe(self) -> str:
        return f"Free or frozen: “{self.text[:40].strip()}{'…' if len(self.text) > 40 else ''}”"

    def run(self, context: Context) -> Frozen:
        import torch

        from analysis.mfa.evaluate import log_odds
        from analysis.models.prompts import token_labels
        from analysis.steering.calibrate import kl_divergence, kl_divergences
        from analysis.steering.frozen import HeldPass

        loaded, setup, prompt, own = self.ready(context)
        require_attention(loaded.facts, "Its heads cannot be held.")
        above = min(i.site.layer for i in own)
        self._check_heads(loaded, above)
        steered = prompt.cache.next_logits(own)
        kl = kl_divergence(prompt.base, steered)
        target = self.target(loaded, setup, prompt, steered)
        context.progress(0.05, "random directions at the same KL")
        controls = self.directions(context, setup, prompt, kl, self.draws)
        arms = [own, *(made for _, made in controls)]
        spared = frozenset(i.site.layer for i in own if i.site.kind == "mlp_hidden")
        held = HeldPass(loaded, prompt.ids, above, spared)
        table = np.zeros((3, len(arms), len(SETS)))
        raises: list[str] = []
        with held.computed_anew():
            again = loaded.forward(torch.tensor([prompt.ids]), logits=True)[0, -1]
        off = float((again.float().cpu() - prompt.base).abs().max())
        for a, made in enumerate(arms):
            context.progress(0.3 + 0.7 * a / len(arms), "random directions" if a else "the set-up")
            logits = held.next_logits(prompt.cache, made, self.heads)
            gained = logits[-1].double().softmax(-1) - prompt.base.double().softmax(-1)
            raised = gained.topk(min(RAISED, len(gained))).indices
            for row, ids in enumerate((target.ids, raised)):
                before = log_odds(prompt.base, ids)
                table[row, a] = [float((log_odds(free, ids) - before).mean()) for free in logits]
            table[2, a] = kl_divergences(prompt.base.expand_as(logits), logits).numpy()
            raises.append(", ".join(token_labels(loaded.tokenizer, raised.tolist())))
        return Frozen(
            label=token_labels(loaded.tokenizer, prompt.ids)[-1],
            above=above,
            tokens=target.labels,
            subject=target.subject,
            kls=(kl, *(push.kl for push, _ in controls)),
            met=(1, *(int(push.met) for push, _ in controls)),
            raises=tuple(raises),
            heads=self.heads,
            patternless=held.patternless,
            mlpless=held.mlpless,
            off=off,
            target=table[0].astype(np.float32),
            raised=table[1].astype(np.float32),
            kl=table[2].astype(np.float32),
        )

    def _check_heads(self, loaded: LoadedModel, above: int) -> None:
        facts = loaded.facts
        for layer, head in self.heads:
            if layer not in facts.attention_layers or head >= facts.heads:
                raise UserError(
                    f"This model has no head {layer}.{head}: blocks 0 to {facts.layers - 1}, heads 0 to "
                    f"{facts.heads - 1} in each.",
                    "heads",
                )
            if layer <= above:
                raise UserError(
                    f"Head {layer}.{head} is not above block {above}, where the steer begins, so nothing of it "
                    "changes. Name heads of later blocks.",
                    "heads",
                )
