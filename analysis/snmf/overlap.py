"""Which neurons some features share, which each has alone, and what either part does to the logits of tokens.

Features of one kind (the paper's example are days of the week, arXiv 2506.10920) keep a common core of neurons and a
few of their own. Whether the parts do different things is an effect, so it is measured: a part of the feature is
added to the activation at the site, on the last token of short neutral texts, and the model runs on. The direct path,
straight to the unembedding, stands beside it; where the two disagree, later blocks had a say.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.frames import text_ids
from analysis.models.hooks import hooked
from analysis.models.legible import check_corpus
from analysis.models.loaded_model import LoadedModel
from analysis.models.promoted import straight
from analysis.models.prompts import token_labels
from analysis.snmf.answers.factorization import EffectAxes, FeatureName, NeuronOverlap, RelatedPair

if TYPE_CHECKING:
    from analysis.models.sites import Site
    from analysis.snmf.library import Factorization

FEWEST, MOST = 2, 8
NEUTRAL = ("I think that the", "It was then that", "She told me about", "There is also a")
EACH, PAIRS = 3, 12


def core_and_own(components: Tensor) -> tuple[list[int], list[list[int]]]:
    """Neurons that at least half of the features (F, d), two or more, keep; and those that each keeps alone.

    A neuron kept by a few of many is in neither. Both in ascending order.
    """
    kept = components != 0
    count = kept.sum(0)
    core = count >= max(2, -(-len(components) // 2))
    own = [(row & (count == 1)).nonzero()[:, 0].tolist() for row in kept]
    return core.nonzero()[:, 0].tolist(), own


def shared_counts(components: Tensor) -> Tensor:
    """How many neurons each two features (F, d) share, (F, F) int64; on the diagonal how many each keeps."""
    kept = (components != 0).float()
    return (kept @ kept.T).round().long()


def parts_of(components: Tensor, scale: Tensor) -> Tensor:
    """The core, then each feature's own part, as vectors at the site (F + 1, d).

    ``scale`` (F,): the typical large activation of each feature, with which it is added. In the core each neuron has
    the mean of its weights in the features that keep it, so weights of opposite signs cancel.
    """
    core, own = core_and_own(components)
    full = components * scale[:, None]
    kept = (components != 0).sum(0).clamp(min=1)
    parts = torch.zeros(len(components) + 1, components.shape[1])
    parts[0, core] = (full.sum(0) / kept)[core]
    for row, neurons in enumerate(own):
        parts[row + 1, neurons] = full[row, neurons]
    return parts


@torch.no_grad()
def measured_effects(loaded: LoadedModel, site: Site, parts: Tensor) -> Tensor:
    """Change of the next token's logits (M, V) when vectors (M, d) are added at a site, on the last of each text.

    Mean over the neutral texts, and less its mean over the vocabulary, since a constant changes no probability.
    """
    check_corpus(loaded.tokenizer, NEUTRAL, "model")
    texts = [text_ids(loaded.tokenizer, text) for text in NEUTRAL]
    # Cut to one length, so that one pass does for all.
    length = min([loaded.facts.max_positions or len(texts[0]), *map(len, texts)])
    ids = torch.tensor([text[-length:] for text in texts]).repeat_interleave(len(parts) + 1, 0)
    rows = torch.cat([torch.zeros(1, parts.shape[1]), parts]).repeat(len(texts), 1)

    def add(x: Tensor) -> Tensor:
        changed = x.clone()
        changed[:, -1] += rows.to(x)
        return changed

    with hooked(loaded, {site: add}):
        out: Any = loaded.model(ids.to(loaded.device), use_cache=False, logits_to_keep=1)
    logits = out.logits[:, -1].float().cpu().reshape(len(texts), len(parts) + 1, -1)
    change: Tensor = (logits[:, 1:] - logits[:, :1]).mean(0)
    change -= change.mean(1, keepdim=True)
    return change


@torch.no_grad()
def direct_effects(loaded: LoadedModel, site: Site, parts: Tensor) -> Tensor:
    """Logits (M, V) that vectors at a site give by the final norm's gain and the unembedding alone, less their mean;
    (M, 0) where they do not reach it.

    Not divided by the length of the residual stream, so only comparable among themselves.
    """
    logits = straight(loaded, site, parts)
    return logits - logits.mean(1, keepdim=True) if logits.shape[1] else logits


def related_pairs(components: Tensor, most: int = PAIRS) -> list[tuple[int, int, int]]:
    """The pairs of features that share most neurons, (a, b, how many) with a < b; none that share nothing."""
    counts = shared_counts(components).triu(1)
    best = counts.flatten().topk(min(most, counts.numel()))
    pairs = [(divmod(int(i), len(counts)), int(n)) for i, n in zip(best.indices, best.values, strict=True) if n > 0]
    return [(a, b, n) for (a, b), n in pairs]


def core_words(core: int, opposed: int, features: int, unit: str) -> str:
    """What the core is. ``opposed``: how many of it have weights of either sign; ``unit``: a plural."""
    one = unit.removesuffix("s")
    if features == 2:
        said = f"They share {'no' if not core else 'one' if core == 1 else core} {unit if core > 1 else one}"
    else:
        said = f"The core, {unit} that at least half of these {features} features (two or more) keep: {core}"
    if not opposed:
        return f"{said}."
    some = "" if opposed == core else f", {opposed} of them"
    return f"{said}{some}{'' if some else ','} with opposite signs, which work against each other."


def overlap_of(loaded: LoadedModel, fit: Factorization, features: Sequence[int]) -> NeuronOverlap:
    """What the page shows of some features' neurons. Raises UserError(field="features")."""
    if not FEWEST <= len(features) <= MOST or len(set(features)) < len(features):
        raise UserError(f"Choose {FEWEST} to {MOST} different features to compare.", "features")
    for feature in features:
        fit.check_feature(feature)
    chosen = list(features)
    components = fit.components[chosen]
    core, own = core_and_own(components)
    parts = parts_of(components, fit.arrays["scale"].float()[chosen])
    ids = list(dict.fromkeys(int(i) for k in chosen for i in fit.arrays["plus"][k][:EACH]))
    measured, direct = measured_effects(loaded, fit.site, parts), direct_effects(loaded, fit.site, parts)
    labels = [fit.label(k) for k in chosen]
    signs = components[:, core].sign()
    opposed = int(((signs > 0).any(0) & (signs < 0).any(0)).sum())
    unit = "neurons" if fit.site.kind == "mlp_hidden" else "dimensions"
    rows = ("core", *(f"only {label}" for label in labels))
    return NeuronOverlap(
        features=tuple(map(FeatureName, chosen, labels)),
        core=tuple(core),
        exclusive=tuple(map(tuple, own)),
        axes=EffectAxes(rows, tuple(token_labels(loaded.tokenizer, ids)), tuple(ids)),
        related=tuple(RelatedPair(a, b, n, (fit.label(a), fit.label(b))) for a, b, n in related_pairs(fit.components)),
        sentence=(
            f"{core_words(len(core), opposed, len(chosen), unit)} Effects are measured: the part of the feature, at "
            f"its typical large activation, is added on the last token of {len(NEUTRAL)} short neutral texts, and the "
            "mean change of the next token's logits is shown, less that of the average token."
        ),
        shared=shared_counts(components).numpy(),
        effects=measured[:, ids].numpy(),
        direct=direct[:, ids].numpy(),
    )
