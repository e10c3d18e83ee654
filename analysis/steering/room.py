"""How long a text may become: what the model's context and the memory allow, said before its first token.

A text that fills the context ends there; one whose keys and values do not fit in memory would take the whole process
with it, so it is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from analysis.errors import UserError
from analysis.fields import Whole
from analysis.models.memory import host_memory
from analysis.spoken import counted

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

MAX_WRITTEN = 4_000
TokenCount = Annotated[int, Whole(1, MAX_WRITTEN, words="The number of tokens")]
TEXTS = ("base", "steered", "control")
"""What texts that are written side by side are called."""
_SHARE = 0.8
"""Of the free memory that texts may take."""


def check_written(ids: Any, name: str) -> tuple[int, ...]:
    """Token ids that were written, as a tuple; UserError for anything else."""
    good = isinstance(ids, (list, tuple)) and len(ids) <= MAX_WRITTEN
    if not good or not all(type(i) is int and 0 <= i < 10_000_000 for i in ids):
        raise UserError(f"Written tokens come as at most {MAX_WRITTEN:,} ids.", name)
    return tuple(ids)


def cache_bytes(loaded: LoadedModel, tokens: int, texts: int) -> int:
    """Bytes of the keys and values of that many texts of ``tokens`` tokens each, prompt included."""
    facts = loaded.facts
    per_number = 4 if facts.dtype == "float32" else 2
    return 2 * facts.layers * facts.key_heads * facts.head_width * per_number * tokens * texts


def room_for(loaded: LoadedModel, prompt: int, count: int, texts: int) -> str:
    """A sentence on how many of ``count`` tokens there is room for after a prompt of ``prompt`` tokens, and what that
    many ``texts`` take; "" where it is all of a short text. Raises UserError("count") where memory does not allow it.
    """
    most = loaded.facts.max_positions or prompt + count
    fits = max(0, min(count, most - prompt))
    # The steered texts, and the unsteered model that reads them.
    need, free = 2 * cache_bytes(loaded, prompt + fits, texts), free_bytes(loaded)
    if need > _SHARE * free:
        raise UserError(
            f"{counted(texts, 'text')} of {fits:,} tokens take about {need / 1e9:,.1f} GB for keys and values, and "
            f"{free / 1e9:,.1f} GB are free. Ask for fewer tokens.",
            "count",
        )
    if fits < count:
        return (
            f"The model's context has {most:,} positions and the prompt takes {prompt:,} of them, so a text ends after "
            f"{fits:,} of the {count:,} tokens."
        )
    if count <= 400:
        return ""
    return f"{count:,} tokens fit into the context ({most:,}); keys and values take about {need / 1e6:,.0f} MB."


def free_bytes(loaded: LoadedModel) -> int:
    """Free bytes of the memory that the model computes in."""
    device = loaded.device
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0])
    return host_memory()[1]
