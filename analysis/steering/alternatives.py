"""What could have stood in the place of a written token: both models read the same text up to there, once each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from analysis.answer import extended
from analysis.errors import UserError
from analysis.models.frames import frame_ids
from analysis.models.loaded_model import LoadedModel
from analysis.models.prompts import encode_prompt, token_labels
from analysis.models.trace import longest_trace
from analysis.steering.answers import Alternatives
from analysis.steering.operators import Intervention
from analysis.steering.plan import Plan
from analysis.steering.prompt import next_token_shift


def alternatives(
    loaded: LoadedModel, prompt: Sequence[int], written: Sequence[int], interventions: Iterable[Intervention]
) -> Alternatives:
    """The alternatives to the last of the ``written`` token ids, all of which came after the ids of the ``prompt``.

    Raises UserError for ids that the model has no embedding for, or more than it has positions.
    """
    loaded.check_ids(written)
    loaded.check_length(len(prompt) + len(written) - 1)
    before = torch.tensor([[*prompt, *written[:-1]]], device=loaded.device)
    base = _logits(loaded, before)
    with Plan(loaded, interventions, prompt_tokens=len(prompt)).installed():
        steered = _logits(loaded, before)
    chosen = written[-1]
    chances = [logits.double().softmax(-1) for logits in (base, steered)]
    first, second = (int((p > p[chosen]).sum()) + 1 for p in chances)
    return extended(
        Alternatives,
        next_token_shift(loaded, base, steered),
        chosen=chosen,
        label=token_labels(loaded.tokenizer, [chosen])[0],
        chosen_base=float(chances[0][chosen]),
        chosen_steered=float(chances[1][chosen]),
        ranks=(first, second),
        place=len(written) - 1,
        before=retyped(loaded, before[0].tolist()),
    )


def retyped(loaded: LoadedModel, ids: list[int]) -> str:
    """A text that, typed on the Attention page without a template, reads into these token ids; "" where none was seen
    to."""
    start, _ = frame_ids(loaded.tokenizer)
    most = longest_trace(loaded.facts)
    bare = ids[len(start) :] if start and ids[: len(start)] == list(start) else ids
    for some in (bare, ids):
        text = loaded.tokenizer.decode(some, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        try:
            if isinstance(text, str) and encode_prompt(loaded, text, False, most) == ids:
                return text
        except UserError:
            continue
    return ""


@torch.no_grad()
def _logits(loaded: LoadedModel, ids: Tensor) -> Tensor:
    logits: Tensor = loaded.model(ids, use_cache=False, logits_to_keep=1).logits[0, -1].float().cpu()
    return logits
