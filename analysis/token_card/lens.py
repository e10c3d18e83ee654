"""What the plain logit lens says of a token by block: how likely, at the place before it, each block makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.bridge.agreement import agreement_of
from analysis.bridge.steers import ready
from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.steering.prompt import ReadPrompt
from analysis.steering.steers import Steer
from analysis.token_card.answers import LensRow

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from analysis.models.loaded_model import LoadedModel
    from analysis.token_card.text import TokenText


def lens_row(
    context: Context, text: TokenText, loaded: LoadedModel, token: int, ids: list[int], steer: Steer | None
) -> LensRow | None:
    """The row of a ``token`` at its place in a text; None at its first place and without a text.

    Raises UserError where the model's blocks cannot be read as tokens.
    """
    from analysis.models.lens import check_lens, lens_logits, read_stream

    before = text.read(loaded, ids)[:-1]
    if not before:
        return None
    import torch

    feed = torch.tensor([before])

    def said(during: AbstractContextManager[object] | None) -> tuple[tuple[int, ...], tuple[float, ...]]:
        stream = read_stream(loaded, feed, 1, within=False, during=during)
        check_lens(loaded, stream)
        logp = torch.cat([part[:, 0].log_softmax(-1) for part in lens_logits(loaded, stream, stream.vectors)])
        ranks = (logp > logp[:, token, None]).sum(-1) + 1
        return tuple(ranks.tolist()), tuple(logp[:, token].double().exp().tolist())

    base = said(None)
    steered: tuple[tuple[int, ...], tuple[float, ...]] = ((), ())
    how, note = "", ""
    if steer is not None and not steer.idle and steer.reads_on:
        try:
            steered, how = said(_during(context, loaded, steer, before)), steer.title
        except UserError as error:
            note = f" The set-up is not applied: {error.message}"
    plain, _, sample = agreement_of(context, text.model, loaded)
    sentence = (
        "Plain logit lens: how likely each block, read as if it were the last, makes this token after the text before "
        f"it. How far to trust it: on {sample} tokens of the bundled corpus it puts the model's own next token first "
        f"for {plain[len(plain) // 2]:.0%} behind block {len(plain) // 2 - 1} and {plain[-2]:.0%} behind block "
        f"{len(plain) - 3}.{note}"
    )
    return LensRow(base[0], base[1], steered[0], steered[1], tuple(float(v) for v in plain), how, sentence)


def _during(context: Context, loaded: LoadedModel, steer: Steer, before: list[int]) -> AbstractContextManager[object]:
    from analysis.steering import PromptCache
    from analysis.steering.plan import Plan

    own = ready(steer, context, loaded)
    prompt = ReadPrompt(PromptCache(loaded, before, [own.lowest]), before, 0.0)
    return Plan(loaded, own.interventions(prompt), prompt_tokens=len(before)).installed()
