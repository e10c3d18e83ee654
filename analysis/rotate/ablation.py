"""Take a channel out of a neuron of the running model, and see what falls: its tokens only, or others too.

The weight vector w becomes w - (w.c)c/|c|^2 for the time of a few passes (arXiv 2604.06005 claims that this is
selective but does not publish its protocol; this one is Attune's). A down vector writes: what is measured are logits of
the channel's tokens against other tokens that the neuron favours, where the neuron is most active. A gate, up or in
vector reads: what is measured is the neuron's activation in sentences with the channel's tokens against sentences with
others. Every control is a direction with the same cosine to w as the channel has, so that each takes the same amount
out of the neuron and they differ only in where the rest of them points. And since the channel of a random vector pushes
its tokens down just as well, the whole neuron is taken out too: a channel that belongs to a neuron takes away about
what the neuron did to these tokens, and not a multiple of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.hooks import hooked
from analysis.models.prompts import token_labels
from analysis.models.sites import Site
from analysis.progress import Progress, silent
from analysis.rotate.answers.channels import Ablation, Arm, SentenceActivation, TokenLogit
from analysis.rotate.contexts import SHOWN, SKIPPED, block, hidden, padded, strongest, windows_of
from analysis.rotate.removal import ARMS, Case, controls, replaced, without
from analysis.rotate.vectors import NeuronVectors

WHOLE = "whole neuron"
_DRAWS = 2_000
_CALLED = {
    "random direction": "a random direction",
    "logit lens": "the direction of its logit-lens tokens",
    "svd": "the SVD of the layer",
}


def ablate(
    vectors: NeuronVectors,
    case: Case,
    ids: Sequence[int],
    texts: Sequence[Sequence[int]] = (),
    *,
    seed: int = 0,
) -> Ablation:
    """Take a channel out and say what fell.

    ``ids``: tokens of a text, in which a down vector's effect is measured at the positions where the neuron is most
    active. ``texts``: rows of token ids, among which the sentences for a gate, up or in vector are looked for.

    Drops of a down vector are in logits (less their mean over the vocabulary), counted positive where they undo what
    the neuron does; those of the other vectors are in units of the neuron's mean activation over all sentences, since
    one that is hardly active in a sentence has no share to lose there. Intervals are of 95 %, by drawing tokens and
    positions, or sentences, anew. ``whole``: what falls without the neuron.

    Raises UserError(field="channel") if fewer than three sentences of a sort are found, (field="text") for a text of
    fewer than two tokens.
    """
    if len(ids) < 2:
        raise UserError("The text is one token long. Type a sentence, so that there is something to look at.", "text")
    loaded = vectors.loaded
    row = [int(i) for i in ids]
    activation = hidden(loaded, [row], Site(case.layer, "mlp_hidden"))[0, :, case.neuron].float().cpu()
    skipped = SKIPPED if len(row) > 2 * SKIPPED else 0
    order = (activation[skipped:].abs().argsort(descending=True) + skipped)[:SHOWN].tolist()
    rng = np.random.default_rng(seed)
    tokens: tuple[TokenLogit, ...] = ()
    sentences: tuple[SentenceActivation, ...] = ()
    if case.writes:
        effect = _written(vectors, case, [row], [(0, p) for p in order], seed)
        before, after = effect.logits
        labels = token_labels(loaded.tokenizer, list(case.tokens))
        tokens = tuple(
            TokenLogit(t, label, float(before[0, i]), float(after[0, i]))
            for i, (t, label) in enumerate(zip(case.tokens, labels, strict=True))
        )
    else:
        windows = windows_of(case, texts, seed)
        effect = _read(vectors, case, windows, seed)
        sentences = tuple(
            SentenceActivation(
                tuple(token_labels(loaded.tokenizer, window)), float(values[0, i]), float(values[1, i]), own
            )
            for group, values, own in zip(windows, effect.activations, (True, False), strict=True)
            for i, window in enumerate(group)
        )
    kind: Literal["output", "input"] = "output" if case.writes else "input"
    arms, whole = tuple(effect.arm(name, rng) for name in ARMS), effect.arm(WHOLE, rng)
    return Ablation(
        kind=kind,
        labels=tuple(token_labels(loaded.tokenizer, row)),
        activation=tuple(activation.tolist()),
        shown=tuple(order),
        tokens=tokens,
        sentences=sentences,
        arms=arms,
        whole=whole,
        unit="logits" if case.writes else "mean activation",
        sentence=_sentence(kind, arms, whole) + (_in_practice(effect, tokens) if case.writes else ""),
    )


@dataclass(frozen=True)
class Effect:
    """Drops (P, T) of each arm on own and other tokens (positions x tokens), or on sentences (1, T); ``logits`` of the
    own tokens and ``activations`` of both sorts of sentences, before and after the channel is out, and so ``chances``,
    the probabilities (P, T) of the own tokens."""

    drops: dict[str, tuple[Tensor, Tensor]]
    logits: tuple[Tensor, Tensor]
    activations: tuple[Tensor, Tensor]
    chances: tuple[Tensor, Tensor]

    def drop(self, arm: str, side: int) -> float:
        """Mean drop on own (0) or other (1) tokens or sentences."""
        return float(self.drops[arm][side].mean())

    def arm(self, name: str, rng: np.random.Generator) -> Arm:
        """Drops with bootstrap intervals."""
        own, other = self.drop(name, 0), self.drop(name, 1)
        return Arm(name, own, other, own - other, self._interval(name, 0, rng), self._interval(name, 1, rng))

    def _interval(self, name: str, side: int, rng: np.random.Generator) -> tuple[float, float]:
        drop = self.drops[name][side].double().numpy()
        rows = rng.integers(0, drop.shape[0], (_DRAWS, drop.shape[0], 1))
        columns = rng.integers(0, drop.shape[1], (_DRAWS, 1, drop.shape[1]))
        low, high = np.quantile(drop[rows, columns].mean((1, 2)), [0.025, 0.975])
        return float(low), float(high)


def ablation_study(
    vectors: NeuronVectors,
    cases: Sequence[Case],
    texts: Sequence[Sequence[int]],
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> dict[str, Any]:
    """The drops of many channels: "rows", one for each case that could be measured (``arms`` by name: own, other,
    score; ``whole``), "left_out" (how many could not), and "arms": means over cases with 95 % intervals by drawing
    cases anew; ``of_whole``, the mean own drop as a multiple of that without the whole neuron (about 1 where what is
    taken was the neuron's own); and the share of cases in which the channel's score is above the arm's. ``texts``: rows
    of token ids, in which a down vector is measured where its neuron is most active.
    """
    rows: list[dict[str, Any]] = []
    contexts: dict[int, list[list[int]]] = {}
    for layer in sorted({c.layer for c in cases if c.writes}):
        places = [i for i, c in enumerate(cases) if c.writes and c.layer == layer]
        neurons = [cases[i].neuron for i in places]
        contexts |= dict(zip(places, strongest(vectors.loaded, layer, neurons, texts), strict=True))
    for number, case in enumerate(cases):
        progress(number / len(cases))
        try:
            if case.writes:
                ends = [(i, len(r) - 1) for i, r in enumerate(contexts[number])]
                effect = _written(vectors, case, contexts[number], ends, seed + number)
            else:
                effect = _read(vectors, case, windows_of(case, texts, seed), seed + number)
        except UserError:
            continue
        both = {a: [effect.drop(a, side) for side in (0, 1)] for a in (*ARMS, WHOLE)}
        drops = {a: {"own": own, "other": other, "score": own - other} for a, (own, other) in both.items()}
        rows.append({"case": number, "arms": {a: drops[a] for a in ARMS}, "whole": drops[WHOLE]})
    return {"rows": rows, "left_out": len(cases) - len(rows), "arms": _means(rows, seed) if rows else {}}


def _means(rows: list[dict[str, Any]], seed: int) -> dict[str, dict[str, Any]]:
    drawn = np.random.default_rng(seed).integers(0, len(rows), (_DRAWS, len(rows)))
    means: dict[str, dict[str, Any]] = {}
    for arm in (*ARMS, WHOLE):
        parts = [row["whole"] if arm == WHOLE else row["arms"][arm] for row in rows]
        means[arm] = {}
        for figure in ("own", "other", "score"):
            values = np.array([part[figure] for part in parts])
            interval = np.quantile(values[drawn].mean(1), [0.025, 0.975])
            means[arm] |= {figure: float(values.mean()), f"{figure}_interval": [float(v) for v in interval]}
        own, whole = (np.array([p["own"] for p in ps]) for ps in (parts, [row["whole"] for row in rows]))
        means[arm]["of_whole"] = float(own.mean() / whole.mean())
        interval = np.quantile(own[drawn].mean(1) / whole[drawn].mean(1), [0.025, 0.975])
        means[arm]["of_whole_interval"] = [float(v) for v in interval]
        ahead = [row["arms"]["channel"]["score"] > part["score"] for row, part in zip(rows, parts, strict=True)]
        means[arm]["channel_ahead"] = float(np.mean(ahead))
    return means


@torch.no_grad()
def _written(
    vectors: NeuronVectors, case: Case, rows: list[list[int]], places: list[tuple[int, int]], seed: int
) -> Effect:
    """Logits at places (row, position) with each arm taken out of a down vector."""
    loaded, weight = vectors.loaded, vectors.place(case.layer, case.vector, case.neuron)
    w = vectors.read(case.layer, case.vector, case.neuron)
    at = torch.tensor(places).T.unbind()
    wanted = [list(case.tokens), list(case.others)]
    ids, mask = padded(rows)

    def logits() -> list[Tensor]:
        values = loaded.forward(ids, mask, logits=True)[at].float()
        chances = values.softmax(-1)[:, wanted[0]].cpu()
        values = (values - values.mean(-1, keepdim=True)).cpu()
        return [*(values[:, tokens] for tokens in wanted), chances]

    active: list[Tensor] = []
    with hooked(loaded, {Site(case.layer, "mlp_hidden"): lambda x: active.append(x[at][:, case.neuron])}):
        before = logits()
    # Where the activation is negative, a neuron presses down what its vector favours.
    sign = case.pole * active[0].float().sign().cpu()[:, None]
    drops: dict[str, tuple[Tensor, Tensor]] = {}
    after = before
    for name, directions in (controls(vectors, case, seed) | {WHOLE: [w]}).items():
        passes = []
        for direction in directions:
            with replaced(weight, case.neuron, without(w, direction)):
                passes.append(logits())
        if name == "channel":
            after = passes[0]
        own, other = (torch.stack([sign * (before[i] - m[i]) for m in passes]).mean(0) for i in (0, 1))
        drops[name] = own, other
    nothing = (torch.zeros(0), torch.zeros(0))
    return Effect(drops, (before[0], after[0]), nothing, (before[2], after[2]))


@torch.no_grad()
def _read(vectors: NeuronVectors, case: Case, windows: tuple[list[list[int]], list[list[int]]], seed: int) -> Effect:
    """The activation in sentences that end with a token of either sort, with each arm taken out of what is read.

    A late block has at a position what comes next rather than what is there, so of the last position and the one
    before it that counts where the neuron is more active. Nothing below the block changes: only it is run again.
    """
    loaded, weight = vectors.loaded, vectors.place(case.layer, case.vector, case.neuron)
    w = vectors.read(case.layer, case.vector, case.neuron)
    own, other = windows
    rows = [*own, *other]
    active, again = block(loaded, rows, Site(case.layer, "mlp_hidden"))
    last = torch.tensor([[len(r) - 2, len(r) - 1] for r in rows])
    pair = active[torch.arange(len(rows))[:, None], last, case.neuron].float().cpu()
    choice = pair.abs().argmax(1)
    at = torch.arange(len(rows)), last.gather(1, choice[:, None])[:, 0]
    signed = pair.gather(1, choice[:, None])[:, 0]
    sign, before = signed.sign(), signed.abs()
    drops: dict[str, tuple[Tensor, Tensor]] = {}
    after = before
    for name, directions in (controls(vectors, case, seed) | {WHOLE: [w]}).items():
        passes = []
        for direction in directions:
            with replaced(weight, case.neuron, without(w, direction)):
                passes.append(sign * again()[at][:, case.neuron].float().cpu())
        if name == "channel":
            after = passes[0]
        drop = (before - torch.stack(passes).mean(0)) / before.mean().clamp(min=1e-12)
        drops[name] = drop[None, : len(own)], drop[None, len(own) :]
    both = torch.stack([before, after])
    nothing = torch.zeros(0)
    return Effect(drops, (nothing, nothing), (both[:, : len(own)], both[:, len(own) :]), (nothing, nothing))


def _in_practice(effect: Effect, tokens: Sequence[TokenLogit]) -> str:
    """What a drop comes to where the neuron is most active: the probability of the likeliest of its tokens."""
    before, after = (chances[0] for chances in effect.chances)
    best = int(before.argmax())
    return (
        f" Where the neuron is most active, “{tokens[best].token}”, the likeliest of them, goes from "
        f"{float(before[best]):.2%} to {float(after[best]):.2%}."
    )


def _sentence(kind: Literal["output", "input"], arms: Sequence[Arm], whole: Arm) -> str:
    """What fell, in words, beside the best control and the whole neuron."""
    channel, best = arms[0], max(arms[1:], key=lambda arm: arm.score)
    output = kind == "output"

    def size(value: float) -> str:
        return f"{0.0 if abs(value) < 0.005 else value:.2f}".replace("-", "−")

    def moves(value: float) -> str:
        """A drop in words; what rises has not fallen by less than nothing."""
        return f"{'rise' if value < 0 else 'fall'}{'' if output else 's'} by {size(abs(value))}"

    if output:
        text = (
            f"Without the channel the logits of its tokens {moves(channel.own)} and those of the neuron's "
            f"other tokens {moves(channel.other)}"
        )
    else:
        text = (
            f"In units of the mean activation, it {moves(channel.own)} without the channel in sentences "
            f"with its tokens and {moves(channel.other)} in sentences with others"
        )
    text += f"; of the controls, {_CALLED[best.name]} does best ({size(best.own)} and {size(best.other)})"
    text += "." if channel.score > best.score else ", no worse than the channel."
    if channel.own > 2 * abs(whole.own):
        text += f" The whole neuron accounts for {size(whole.own)} only: more is taken than the neuron put there."
    return text
