"""Writing several texts in one batch, a token of each at every step, and measuring what steering cost at every token.

The unsteered text of a prompt and its settings is made once and remembered, so that moving a slider again costs one
text. Prices come from the unsteered model reading the steered text in pieces: KL to it, and how surprised it is. The
unsteered text was written by that model, so its prices are known as it is written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.engine.context import Context
from analysis.engine.keys import hash_of
from analysis.models.batch import Row, rows_together
from analysis.models.caching import way_of_going_on
from analysis.models.hooks import checked
from analysis.models.kept_prefix import Before
from analysis.models.prompts import token_labels
from analysis.models.spec import ModelSpec
from analysis.progress import Check, no_check
from analysis.steering import Intervention, repeated_share
from analysis.steering.answers import WrittenText, WrittenTexts
from analysis.steering.calibrate import kl_divergences
from analysis.steering.conversation import Opened
from analysis.steering.room import room_for
from analysis.steering.rows import Arm, generate_batch

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel

CHUNK, WAITING = 8, 128
"""A text is priced every CHUNK tokens, and earlier where so many tokens of all texts wait: each keeps its logits."""


class Text:
    """One text that grows: its token ids, the logits that made them, prices as far as they are known. ``plain``: no
    steering is in it."""

    def __init__(self, name: str, begin: tuple[int, ...] = (), plain: bool = False) -> None:
        self.name, self.begin, self.plain = name, begin, plain
        self.ids: list[int] = []
        self.decoded = ""
        self.logits: list[Tensor] = []
        self.kl: list[float] = []
        self.surprise: list[float] = []

    @property
    def waiting(self) -> list[int]:
        """The tokens that have no price yet."""
        return self.ids[len(self.surprise) :]


class Reader:
    """The unsteered model, reading on in texts that begin with one prompt: in one batch with a cache, or each text
    whole again, where a model cannot go on by several tokens from what it kept or rows of a batch see each other."""

    def __init__(
        self, loaded: LoadedModel, prompt: list[int], texts: int, before: Before | None = None,
        during: Callable[[], AbstractContextManager[object]] = nullcontext, check: Check = no_check,
    ) -> None:  # fmt: skip
        """``before``: the beginning of the prompt, read already; ``during``: the context in which it is read;
        ``check`` is called during passes, and what it raises ends them."""
        self._loaded, self._prompt, self._before, self._during = loaded, list(prompt), before, during
        self._check = check
        self._whole = way_of_going_on(loaded) != "pieces" or (texts > 1 and rows_together(loaded) == "alone")
        self._texts = [list(prompt) for _ in range(texts)]
        self._inside = list(range(texts))
        self._cache: Any = None
        self._last: Tensor | None = None

    @torch.no_grad()
    def logits_before(self, ids: dict[int, list[int]]) -> dict[int, Tensor]:
        """By the number of a text, logits (n, V) that the unsteered model gives at each of its next n ids, before it
        sees them. A text that is not named has ended, and so has one that is named with fewer ids than another."""
        if self._whole:
            return {n: self._read_again(n, more) for n, more in ids.items()}
        if self._cache is None:
            read, kept = (0, None) if self._before is None else (self._before.tokens, self._before.fresh())
            feed = torch.tensor([self._prompt[read:]], device=self._loaded.device)
            with self._during(), checked(self._loaded, self._check):
                output = self._loaded.model(feed, past_key_values=kept, use_cache=True, logits_to_keep=1)
            self._cache = output.past_key_values
            self._last = output.logits[0, -1].float().cpu().expand(len(self._inside), -1)
            if len(self._inside) > 1:
                self._cache.batch_repeat_interleave(len(self._inside))
        assert self._last is not None
        stay = [place for place, n in enumerate(self._inside) if n in ids]
        if len(stay) < len(self._inside):
            self._cache.batch_select_indices(torch.tensor(stay, device=self._loaded.device))
            self._inside, self._last = [self._inside[place] for place in stay], self._last[stay]
        width = max(map(len, ids.values()))
        feed = torch.tensor([(ids[n] + ids[n][-1:] * width)[:width] for n in self._inside], device=self._loaded.device)
        with checked(self._loaded, self._check):
            output = self._loaded.model(feed, past_key_values=self._cache, use_cache=True, logits_to_keep=width)
        logits: Tensor = output.logits.float().cpu()
        before = torch.cat([self._last[:, None], logits[:, :-1]], 1)
        self._last = logits[:, -1]
        return {n: before[place, : len(ids[n])] for place, n in enumerate(self._inside)}

    def _read_again(self, number: int, ids: list[int]) -> Tensor:
        text = self._texts[number]
        text += ids
        feed = torch.tensor([text], device=self._loaded.device)
        with self._during(), checked(self._loaded, self._check):
            every = self._loaded.model(feed, use_cache=False, logits_to_keep=len(ids) + 1).logits[0]
        chosen: Tensor = every[-len(ids) - 1 : -1].float().cpu()
        return chosen


def surprise_of(logits: Tensor, ids: list[int]) -> list[float]:
    """-log p in nats of each of n ids under logits (n, V); in float64."""
    chosen = logits.double().log_softmax(-1).gather(1, torch.tensor(ids)[:, None])
    return [-float(value) for value in chosen[:, 0]]


class Writer:
    """Writes the arms of one request in one batch and sends each token as a line of the stream. ``begins``: by the name
    of a text, tokens that it is made to begin with."""

    def __init__(
        self,
        context: Context,
        loaded: LoadedModel,
        prompt: list[int],
        settings: Any,
        model: ModelSpec,
        begins: Mapping[str, tuple[int, ...]] | None = None,
        opened: Opened | None = None,
        stop: str = "",
    ) -> None:
        """``opened``: the conversation that the prompt is; ``stop``: a text at which a text is over."""
        self.context, self.loaded, self.prompt, self.settings = context, loaded, prompt, settings
        self.began, self.written = time.perf_counter(), 0
        self._begins = {name: begin for name, begin in (begins or {}).items() if begin}
        for begin in self._begins.values():
            loaded.check_ids(begin)
        mine = [prompt, settings.count, settings.temperature, settings.top_p, settings.seed]
        if "base" in self._begins:
            mine.append(self._begins["base"])
        if opened is not None:
            mine.append(opened.key)
        self._before = None if opened is None else opened.before
        self._history = () if opened is None else opened.interventions
        self._during = nullcontext if opened is None else opened.reading(loaded)
        self._stop = stop
        self.key = hash_of(["base text", context.residents.identity(model), *mine])

    def write(self, arms: dict[str, list[Intervention]], control_note: str = "") -> WrittenTexts:
        """Write the arms, "steered" and perhaps "control", beside the unsteered text."""
        written, remembered = self.write_all(arms)
        return WrittenTexts(
            base=written["base"],
            steered=written["steered"],
            control=written.get("control"),
            control_note=control_note,
            rate=self.rate,
            base_remembered=remembered,
            sentence=f"{len(written['steered'].ids)} steered tokens, {self.rate:.1f} a second.",
            done=True,
        )

    @property
    def rate(self) -> float:
        """Tokens per second so far, of all texts together."""
        return self.written / max(time.perf_counter() - self.began, 1e-9)

    def write_all(self, arms: dict[str, list[Intervention]]) -> tuple[dict[str, WrittenText], bool]:
        """Write the arms beside the unsteered text, "base"; by their names, and whether that one was there from an
        earlier request."""
        remembered = self.context.memory.get(self.key)
        seed = self.settings.seed
        base = Text("base", self._begins.get("base", ()), plain=True)
        texts = [Text(name, self._begins.get(name, ())) for name in arms]
        self._say_room(len(texts) + 1)
        own = [self._arm(text, seed, made) for text, made in zip(texts, arms.values(), strict=True)]
        if remembered is not None:
            for token in remembered[0]:
                self._take(base, token, None)
            self._say_prices(base, [0.0] * len(base.ids), remembered[1])
            self._write(texts, own)
        else:
            self._write([*texts, base], [*own, self._arm(base, seed, [])])
            if not self.context.ended(base.name):
                self.context.memory.put(self.key, (list(base.ids), list(base.surprise)), 64 * len(base.ids) + 64)
        return {text.name: self._measured(text) for text in (*texts, base)}, remembered is not None

    def write_seeds(self, texts: dict[str, tuple[int, list[Intervention]]]) -> dict[str, WrittenText]:
        """Write texts in one batch, each by its name with a seed and interventions of its own; none is remembered."""
        rows = [Text(name, plain=not made) for name, (_, made) in texts.items()]
        self._say_room(len(rows))
        self._write(rows, [self._arm(row, *one) for row, one in zip(rows, texts.values(), strict=True)])
        return {text.name: self._measured(text) for text in rows}

    def _say_room(self, texts: int) -> None:
        room = room_for(self.loaded, len(self.prompt), self.settings.count, texts)
        self.context.line(room=room, prompt=list(self.prompt))

    def _arm(self, text: Text, seed: int, made: list[Intervention]) -> Arm:
        s = self.settings
        return Arm(Row(tuple(self.prompt), s.temperature, s.top_p, seed, text.begin), [*self._history, *made])

    def _over(self, text: Text) -> bool:
        return self.context.ended(text.name) or (bool(self._stop) and self._stop in text.decoded)

    def _write(self, texts: list[Text], arms: list[Arm]) -> None:
        """Write texts in one batch, and price them all every CHUNK tokens. One that its reader has ended stays as it
        is."""
        check, steered = self.context.end_if_unwanted, sum(not text.plain for text in texts)
        reader = Reader(self.loaded, self.prompt, steered, self._before, self._during, check)
        chunk = max(1, min(CHUNK, WAITING // len(texts)))
        stop = lambda n: self._over(texts[n])  # noqa: E731
        for steps in generate_batch(
            self.loaded, arms, self.settings.count, stop=stop, before=self._before, check=check
        ):
            for step in steps:
                self._take(texts[step.arm], step.token, step.logits)
            self.context.check()  # once a step: whoever takes turns with this text waits for one pass of it
            if max(len(text.waiting) for text in texts) >= chunk:
                self._price(texts, reader)
        self._price(texts, reader)

    def _take(self, text: Text, token: int, logits: Tensor | None) -> None:
        text.ids.append(token)
        if logits is not None:
            text.logits.append(logits)
            self.written += 1
        decoded = self.loaded.tokenizer.decode(text.ids, skip_special_tokens=True)
        # A character may take several tokens; it is sent when it is complete.
        new = "" if decoded.endswith("\ufffd") else decoded[len(text.decoded) :]
        text.decoded = text.decoded if decoded.endswith("\ufffd") else decoded
        self.context.say(piece={"of": text.name, "text": new, "id": token}, rate=self.rate)

    def _price(self, texts: list[Text], reader: Reader) -> None:
        for text in texts:
            if text.plain and text.logits:
                self._say_prices(text, [0.0] * len(text.waiting), surprise_of(torch.stack(text.logits), text.waiting))
        steered = [text for text in texts if not text.plain]
        waiting = {n: text.waiting for n, text in enumerate(steered) if text.waiting}
        for n, logits in (reader.logits_before(waiting) if waiting else {}).items():
            own = torch.stack(steered[n].logits)
            self._say_prices(steered[n], kl_divergences(logits, own).tolist(), surprise_of(logits, waiting[n]))
        self.context.check()

    def _say_prices(self, text: Text, kl: list[float], surprise: list[float]) -> None:
        self.context.say(marks={"of": text.name, "start": len(text.kl), "kl": kl, "surprise": surprise})
        text.kl += kl
        text.surprise += surprise
        text.logits.clear()

    def _measured(self, text: Text) -> WrittenText:
        if self._stop and self._stop in text.decoded:
            self._cut(text)
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

    def _cut(self, text: Text) -> None:
        """Leave out what was written from the stop text on."""
        end = text.decoded.index(self._stop)
        while text.ids and len(self.loaded.tokenizer.decode(text.ids, skip_special_tokens=True)) > end:
            text.ids.pop()
        text.decoded = self.loaded.tokenizer.decode(text.ids, skip_special_tokens=True)
        del text.kl[len(text.ids) :], text.surprise[len(text.ids) :]
