"""The text that a token of a card stands in, and what the model reads of it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.errors import UserError
from analysis.models.spec import ModelSpec

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel
    from analysis.models.trace import Trace

READ = 256
"""Tokens read before the one asked about."""


@dataclass(frozen=True)
class TokenText:
    """A prompt ``text`` (with ``chat`` and ``generate`` as on the Attention page) or the tokens ``passage``, and the
    ``position`` of the token in it; without a position, or with neither of them, the token stands in no text."""

    model: ModelSpec
    text: str
    chat: bool
    generate: int
    passage: tuple[int, ...]
    position: int

    def ids(self, context: Context, loaded: LoadedModel) -> list[int]:
        """Its tokens; none where there is no text.

        Raises UserError(field="text") for tokens of another model, (field="position") for a position beyond the last.
        """
        from analysis.models.prompts import encode_prompt
        from analysis.models.trace import longest_trace

        if self.position < 0 or not (self.text or self.passage):
            return []
        if self.passage:
            ids = list(self.passage)
            if max(ids) >= loaded.facts.vocabulary:
                raise UserError("This text was read by another model. Read it again with this one.", "text")
        elif self.generate:
            ids = list(self.trace(context, []).ids)
        else:
            ids = encode_prompt(loaded, self.text, self.chat, longest_trace(loaded.facts))
        if self.position >= len(ids):
            raise UserError(f"This text has the tokens 0 to {len(ids) - 1}; there is no {self.position}.", "position")
        return ids

    def trace(self, context: Context, ids: list[int]) -> Trace:
        """The recorded pass over its tokens ``ids``; that of the Attention page if it has read this prompt."""
        from analysis.models.capabilities import require_attention
        from analysis.models.trace import trace_prompt
        from analysis.qk.ops.prompt import OnPrompt

        if self.text:
            return OnPrompt(self.model, self.text, self.chat, self.generate).trace(context)[0]
        loaded = context.model(self.model)
        require_attention(loaded.facts, "The Attention page does not work with this model.")
        key = hash_of(["trace of tokens", loaded.facts.fingerprint, ids])
        trace: Trace | None = context.memory.get(key)
        if trace is None:
            trace, _ = trace_prompt(loaded, ids, False)
            context.memory.put(key, trace, trace.size)
        return trace

    def read(self, loaded: LoadedModel, ids: list[int]) -> list[int]:
        """What the model reads up to the token: later tokens do not change it."""
        end = self.position + 1
        most = min(READ, loaded.facts.max_positions or READ)
        return ids[max(0, end - most) : end]

    def before(self, loaded: LoadedModel, ids: list[int]) -> str | None:
        """What is before the token, as a prompt that reads into the same tokens; "" where there is none, None where the
        token stands in no text, or is its first. A passage is given the start tokens that the model reads first."""
        from analysis.models.frames import frame_ids, with_start
        from analysis.steering.alternatives import retyped

        if self.position < 1 or not ids:
            return None
        start, _ = frame_ids(loaded.tokenizer) if self.passage else ([], [])
        return retyped(loaded, with_start(start, ids[: self.position]))

    def link(self, loaded: LoadedModel, ids: list[int]) -> dict[str, Any]:
        """What opens the token on the Attention page; nothing if its tokens are not those of any prompt."""
        from analysis.models.prompts import encode_prompt

        if self.text:
            return {"text": self.text, "chat": self.chat, "generate": self.generate, "query": self.position}
        text = str(loaded.tokenizer.decode(ids, skip_special_tokens=True))
        with suppress(UserError):
            if encode_prompt(loaded, text, False) == ids:
                return {"text": text, "query": self.position}
        return {}
