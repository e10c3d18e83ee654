"""The small picture of the Attention page: all heads on the prompt that the page opens on."""

from __future__ import annotations

from analysis.models.spec import ModelSpec
from analysis.qk.contrasts import PRESET_PROMPTS
from analysis.qk.ops.prompt import TracePrompt
from components.qk.heads import HeadOptions, heads_of_prompt
from pages.common import reply_to
from pages.manifest import Picture


def picture(model: ModelSpec) -> Picture:
    """All heads of a model by their induction score; the page needs the same reading, so it is not lost."""
    reply = reply_to(TracePrompt(model, PRESET_PROMPTS[0]["text"]))
    return Picture(heads_of_prompt.ref([reply.question], HeadOptions()), "heads on a prompt")
