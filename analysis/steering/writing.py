"""Writing several texts at once, one token of each in turn, and measuring what steering cost at every token.

The unsteered text of a prompt and its settings is made once and remembered, so that moving a slider again costs one
text. Prices come from the unsteered model reading the steered text in pieces: KL to it, and how surprised it is.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.models.caching import way_of_going_on
from analysis.models.prompts import token_labels
from analysis.models.spec import ModelSpec
from analysis.steering import Intervention, generate_stream, repeated_share
from analysis.steering.answers import WrittenText, WrittenTexts

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

CHUNK = 8


class Text:
    """One text that grows: its token ids, the logits that made them, prices as far as they are known."""

    def __init__(self, name: str, steps: Iterator[Any] | None) -> None:
        self.name, self.steps = name, steps
        self.ids: list[int] = []
        self.decoded = ""
        self.logits: list[Tensor] = []
        self.kl: list[float] = []
        self.surprise: list[float] = []


class Reader:
    """The unsteered model, reading on in a text with a cache of its own; or reading all of it again, where a model
    cannot go on by several tokens from what it kept."""

    def __init__(self, loaded: LoadedModel, prompt: list[int]) -> None:
        self._loaded = loaded
        self._cache: Any = None
        self._whole = way_of_going_on(loaded) != "pieces"
        self._text = list(prompt)
        self._waiting = list(prompt)
        self._last: Tensor | None = None

    @torch.no_grad()
    def logits_before(self, ids: list[int]) -> Tensor:
        """Logits (n, V) that the unsteered model gives at each of these next ids, before it sees them."""
        if self._whole:
            self._text += ids
            feed = torch.tensor([self._text], device=self._loaded.device)
            every = self._loaded.model(feed, use_cache=False, logits_to_keep=len(ids) + 1).logits[0]
            chosen: Tensor = every[-len(ids) - 1 : -1].float().cpu()
            return chosen
        feed = torch.tensor([[*self._waiting, *ids]], device=self._loaded.device)
        output = self._loaded.model(feed, past_key_values=self._cache, use_cache=True, logits_to_keep=len(ids) + 1)
        self._cache, self._waiting = output.past_key_values, []
        logits: Tensor = output.logits[0].float().cpu()
        before = logits[:-1] if self._last is None else torch.cat([self._last[None], logits[-len(ids) : -1]])
        self._last = logits[-1]
        return before


class Writer:
    """Writes the arms of one request and sends each token as a line of the stream."""

    def __init__(
        self, context: Context, loaded: LoadedModel, prompt: list[int], settings: Any, model: ModelSpec
    ) -> None:
        self.context, self.loaded, self.prompt, self.settings = context, loaded, prompt, settings
        self.began, self.written = time.perf_counter(), 0
        mine = [prompt, settings.count, settings.temperature, settings.top_p, settings.seed]
        self.key = hash_of(["base text", context.residents.identity(model), *mine])

    def write(self, arms: dict[str, list[Intervention]], control_note: str = "") -> WrittenTexts:
        """Write the arms, "steered" and perhaps "control", beside the unsteered text."""
        remembered = self.context.memory.get(self.key)
        texts = [Text(name, self._steps(made)) for name, made in arms.items()]
        base = Text("base", None if remembered is not None else self._steps([]))
        readers = {text.name: Reader(self.loaded, self.prompt) for text in (*texts, base)}
        if remembered is not None:
            for token in remembered:
                self._take(base, token, None)
        growing = [text for text in (*texts, base) if text.steps is not None]
        while growing:
            for text in list(growing):
                assert text.steps is not None
                step = next(text.steps, None)
                if step is None:
                    growing.remove(text)
                else:
                    self._take(text, step.token, step.logits)
                if step is None or len(text.ids) - len(text.kl) >= CHUNK:
                    self._price(text, readers[text.name])
        if remembered is None:
            self.context.memory.put(self.key, list(base.ids), 8 * len(base.ids) + 64)
        else:
            self._price(base, readers["base"])
        rate = self.written / max(time.perf_counter() - self.began, 1e-9)
        written = {text.name: self._measured(text) for text in (*texts, base)}
        return WrittenTexts(
            base=written["base"],
            steered=written["steered"],
            control=written.get("control"),
            control_note=control_note,
            rate=rate,
            base_remembered=remembered is not None,
            sentence=f"{len(written['steered'].ids)} steered tokens, {rate:.1f} a second.",
            done=True,
        )

    def _steps(self, made: list[Intervention]) -> Iterator[Any]:
        s = self.settings
        return generate_stream(
            self.loaded,
            self.prompt,
            s.count,
            temperature=s.temperature,
            top_p=s.top_p,
            seed=s.seed,
            interventions=made,
        )

    def _take(self, text: Text, token: int, logits: Tensor | None) -> None:
        text.ids.append(token)
        if logits is not None:
            text.logits.append(logits)
            self.written += 1
        decoded = self.loaded.tokenizer.decode(text.ids, skip_special_tokens=True)
        # A character may take several tokens; it is sent when it is complete.
        new = "" if decoded.endswith("\ufffd") else decoded[len(text.decoded) :]
        text.decoded = text.decoded if decoded.endswith("\ufffd") else decoded
        rate = self.written / max(time.perf_counter() - self.began, 1e-9)
        self.context.line(piece={"of": text.name, "text": new}, rate=rate)

    def _price(self, text: Text, reader: Reader) -> None:
        start = len(text.kl)
        ids = text.ids[start:]
        if not ids:
            return
        base = reader.logits_before(ids).double().log_softmax(-1)
        picked = base.gather(1, torch.tensor(ids)[:, None])[:, 0]
        text.surprise += (-picked).tolist()
        if text.name == "base":
            text.kl += [0.0] * len(ids)
            text.logits.clear()
            return
        own = torch.stack(text.logits).double().log_softmax(-1)
        text.logits.clear()
        kl = (base.exp() * (base - own)).sum(-1).clamp(min=0)
        text.kl += kl.tolist()
        self.context.line(marks={"of": text.name, "start": start, "kl": kl.tolist(), "surprise": (-picked).tolist()})

    def _measured(self, text: Text) -> WrittenText:
        count = max(1, len(text.ids))
        mean = sum(text.surprise) / count
        return WrittenText(
            ids=tuple(text.ids),
            text=text.decoded,
            labels=tuple(token_labels(self.loaded.tokenizer, text.ids)),
            kl=tuple(text.kl),
            surprise=tuple(text.surprise),
            mean_kl=sum(text.kl) / count,
            perplexity=float(torch.tensor(mean).exp()) if text.ids else None,
            repetition=repeated_share(text.ids),
        )
