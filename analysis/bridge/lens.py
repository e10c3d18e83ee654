"""The logit lens of a prompt under a set-up: at which block does what it does show?

Of each stage of the residual stream the whole vocabulary is read, so this costs as many unembeddings as there are
stages, positions and arms; what no arm has changed (all below the lowest steered block) is read once.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np

from analysis.bridge.agreement import agreement_of, moved
from analysis.bridge.inside import OnWords
from analysis.bridge.lenses import LENSES, named_lens
from analysis.engine.context import Context
from analysis.engine.question import Kind
from analysis.fields import Choice, Flag, Text, Whole
from analysis.mfa.answers.lens import Lens
from analysis.steering.prompt import ReadPrompt
from analysis.steering.room import TEXTS, check_written

if TYPE_CHECKING:
    from torch import Tensor

    from analysis.models.lens import Stage, Stream
    from analysis.models.loaded_model import LoadedModel
    from analysis.models.trained_lens import TrainedLens

DRAWS, LEADS = 2, 3


@dataclass(frozen=True)
class SteerLens(OnWords[Lens]):
    """The logit lens of the last positions of a text after every block, unsteered, steered, and under random
    directions at the same KL. The text is the prompt and, of the text ``of``, the written token ``ids`` after it; all
    arms read the same one. ``within``: behind the attention of each block too. ``lens``: a trained lens by its name,
    which reads behind whole blocks only; "" for the plain one."""

    kind: ClassVar[Kind] = "job"
    last: Annotated[int, Whole(1, 64, words="The number of positions")] = 8
    within: Annotated[bool, Flag(words="Within the blocks")] = True
    lens: Annotated[str, Text(100, words="The lens")] = ""
    ids: tuple[int, ...] = ()
    of: Annotated[str, Choice(TEXTS, words="The text")] = "steered"

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", check_written(self.ids, "ids"))
        super().__post_init__()

    @property
    def written(self) -> tuple[int, ...]:
        """As of InsideSteering."""
        return self.ids

    def reads(self, context: Context) -> str:
        return super().reads(context) + (LENSES.checksum(self.lens) if self.lens else "")

    def describe(self) -> str:
        return f"Lens of “{self.text[:40].strip()}{'…' if len(self.text) > 40 else ''}”, steered"

    def run(self, context: Context) -> Lens:
        import torch

        from analysis.models.lens import check_lens, read_stream
        from analysis.models.prompts import token_labels
        from analysis.steering.calibrate import kl_divergence
        from analysis.steering.plan import Plan

        loaded, setup, prompt, own = self.ready(context)
        kept = named_lens(self.lens, loaded) if self.lens else None
        lens = None if kept is None else kept.lens
        before = len(prompt.ids)
        text = self._text(loaded, prompt, setup.lowest)
        steered = text.cache.next_logits(own)
        kl = kl_divergence(text.base, steered)
        target = self.target(loaded, setup, text, steered)
        ids, tokens = torch.tensor([text.ids]), len(text.ids)
        last = min(self.last, tokens)
        context.progress(0.02, "how far the lens agrees with the model")
        plain, agreement, sample = agreement_of(context, self.model, loaded, lens)
        context.progress(0.15, "random directions at the same KL")
        controls = self.directions(context, setup, prompt, kl, DRAWS, text)
        arms = [[], own, *(made for _, made in controls)]
        read: list[_Read] = []
        first: Stream | None = None
        error = 0.0
        for n, made in enumerate(arms):
            context.progress(0.2 + 0.8 * n / len(arms), ("unsteered", "steered", "random directions")[min(n, 2)])
            during: AbstractContextManager[object] = Plan(loaded, made, prompt_tokens=before).installed()
            stream = read_stream(loaded, ids, last, self.within and lens is None, during)
            if first is None:
                first, error = stream, check_lens(loaded, stream)
            read.append(_read(context, loaded, stream, target.ids, (first, read[0]) if read else None, lens))
        assert first is not None
        leads = np.stack([r.leads for r in read[:2]])
        names = sorted({int(i) for i in leads.ravel()})
        return Lens(
            labels=tuple(token_labels(loaded.tokenizer, text.ids)[-last:]),
            first=tokens - last,
            prompt=before,
            of=self.of if self.ids else "",
            blocks=tuple(s.block for s in first.stages),
            whole=tuple(int(s.whole) for s in first.stages),
            acts=tuple(sorted({i.site.layer for i in own})),
            tokens=target.labels,
            subject=target.subject,
            kl=kl,
            controls=tuple(push.kl for push, _ in controls),
            met=tuple(int(push.met) for push, _ in controls),
            sample=sample,
            trained="" if kept is None else f"{kept.manifest['origin']} ({kept.lens.kind})",
            error=error,
            names=tuple(token_labels(loaded.tokenizer, names)),
            odds=np.stack([r.odds for r in read]),
            ranks=np.stack([r.ranks for r in read[:2]]),
            leads=np.searchsorted(names, leads).astype(np.int32),
            chances=np.stack([r.chances for r in read[:2]]),
            agreement=_by_stage(agreement, first.stages),
            plain=_by_stage(plain, first.stages),
        )

    def _text(self, loaded: LoadedModel, prompt: ReadPrompt, lowest: int) -> ReadPrompt:
        """The prompt with the written tokens after it, read. Raises UserError for more than the model has room for."""
        from analysis.steering import PromptCache

        if not self.ids:
            return prompt
        loaded.check_ids(self.ids)
        ids = [*prompt.ids, *self.ids]
        loaded.check_length(len(ids))
        return ReadPrompt(PromptCache(loaded, ids, [lowest], len(prompt.ids)), ids, prompt.seconds)


@dataclass(frozen=True)
class _Read:
    """What the lens says of one arm, (R, P) and (R, P, LEADS)."""

    odds: np.ndarray
    ranks: np.ndarray
    leads: np.ndarray
    chances: np.ndarray


def _read(
    context: Context,
    loaded: LoadedModel,
    stream: Stream,
    ids: Tensor,
    base: tuple[Stream, _Read] | None,
    lens: TrainedLens | None,
) -> _Read:
    """``base``: the unsteered stream and what was read of it, which serves for the stages that are equal."""
    import torch

    from analysis.models.lens import lens_logits

    changed = torch.ones(len(stream.stages), dtype=torch.bool)
    if base is not None:
        changed = (stream.vectors != base[0].vectors).flatten(1).any(1).cpu()
    found: list[list[Tensor]] = [[], [], [], []]
    vectors = stream.vectors[changed.to(stream.vectors.device)]
    if lens is not None:
        stages = [stage for stage, new in zip(stream.stages, changed.tolist(), strict=True) if new]
        vectors = moved(lens, stages, vectors)
    for logits in lens_logits(loaded, stream, vectors):
        context.check()
        logp = logits.log_softmax(-1)
        chosen = logp[..., ids].double()
        top = logp.topk(min(LEADS, logp.shape[-1]), -1)
        best = chosen.max(-1, keepdim=True).values
        odds = chosen - torch.log1p(-chosen.exp().clamp(max=1 - 1e-12))
        parts = (odds.mean(-1).float(), (logp > best).sum(-1).int() + 1, top.indices.int(), top.values.exp())
        for rows, part in zip(found, parts, strict=True):
            rows.append(part)
    if base is None:
        return _Read(*(torch.cat(rows).numpy() for rows in found))
    earlier = base[1]
    made = []
    for rows, before in zip(found, (earlier.odds, earlier.ranks, earlier.leads, earlier.chances), strict=True):
        array = before.copy()
        if rows:
            array[changed.numpy()] = torch.cat(rows).numpy()
        made.append(array)
    return _Read(*made)


def _by_stage(agreement: np.ndarray, stages: tuple[Stage, ...]) -> np.ndarray:
    """The agreement (R,) float32 of the stages; NaN within blocks, where it was not measured."""
    return np.array([agreement[s.block + 1] if s.whole else np.nan for s in stages], np.float32)
