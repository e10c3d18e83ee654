"""A model in memory, with its tokenizer and its facts: what every method is given to work on.

It stands apart from the loader, so that what reads a prompt or hooks a layer does not depend on how files are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, overload

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from analysis.errors import UserError
from analysis.models.model_facts import ModelFacts
from analysis.models.spec import ModelSpec
from analysis.models.stamp import Stamp


@dataclass
class LoadedModel:
    """A model, its tokenizer and its facts. ``stamp``: what the files were when they were read (empty for the hub).
    ``surroundings``: digest of what is not weights (tokenizer, template, configuration), where that may change."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    spec: ModelSpec
    facts: ModelFacts
    extras: dict[str, Any] = field(default_factory=dict)
    stamp: Stamp = ()
    surroundings: str = ""

    @property
    def device(self) -> torch.device:
        """Where token ids go in."""
        embedding: Any = self.model.get_input_embeddings()
        return torch.device(embedding.weight.device)

    @overload
    def forward(self, ids: Tensor, mask: Tensor | None = None, *, logits: Literal[True], last: int = 0) -> Tensor: ...

    @overload
    def forward(self, ids: Tensor, mask: Tensor | None = None) -> None: ...

    @torch.no_grad()
    def forward(self, ids: Tensor, mask: Tensor | None = None, *, logits: bool = False, last: int = 0) -> Tensor | None:
        """One pass over token ids (B, T), without cache. Returns logits (B, T, V) or, by default, nothing. ``last``:
        logits of so many last tokens only, of which those of a long text would be the largest thing (0: of all).

        Without logits only the decoder stack runs: the unembedding is a sixth of the work of a small model.
        """
        self.check_ids(ids)
        self.check_length(int(ids.shape[-1]))
        ids = ids.to(self.device)
        mask = None if mask is None else mask.to(self.device)
        if logits:
            kept = {"logits_to_keep": last} if last else {}
            answer: Tensor = self.model(ids, attention_mask=mask, use_cache=False, **kept).logits
            return answer
        self.model.base_model(ids, attention_mask=mask, use_cache=False)
        return None

    def check_ids(self, ids: Tensor | Sequence[int]) -> None:
        """Raises UserError(field="prompt") for token ids (of any shape) beyond the embedding, which the tokenizer knows
        and the model does not."""
        rows = self.facts.embeddings
        flat = ids.reshape(-1) if isinstance(ids, Tensor) else ids
        if not rows or len(flat) == 0:
            return
        largest = int(flat.max()) if isinstance(flat, Tensor) else max(flat)
        if largest < rows:
            return
        token = self.tokenizer.convert_ids_to_tokens(largest) if self.tokenizer is not None else None
        raise UserError(
            f"The text holds the token {token or largest!s:.40}, for which this model has no embedding (it has "
            f"{rows:,}; the tokenizer knows more). Take it out of the text.",
            "prompt",
        )

    def check_length(self, tokens: int) -> None:
        """Raises UserError(field="text") for more tokens than the model has positions."""
        most = self.facts.max_positions
        if most and tokens > most:
            raise UserError(
                f"The text is {tokens:,} tokens long; this model reads at most {most:,}. Shorten it.", "text"
            )


def wait_for(device: torch.device) -> None:
    """Come back when the device has done what it was told so far: a time that is taken earlier is too short."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
