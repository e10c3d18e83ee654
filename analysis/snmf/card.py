"""One feature in words: tokens in context with its activation on each of them, its neurons, tokens, themes, detection.

An artefact holds places (document, position) and activations, not texts; the words are made here from the passages and
the model's own tokenizer, so that a card shows what the model read. No pass of the model is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.activations.collect import tokens_of
from analysis.corpora.passages import Passage
from analysis.models.loaded_model import LoadedModel
from analysis.models.prompts import token_labels
from analysis.snmf.answers.factorization import (
    Detection,
    FeatureContext,
    FeatureFacts,
    NeuronWeight,
    ThemeShare,
    TokenLogit,
)
from analysis.snmf.describe import NEAR, PER_PASSAGE
from analysis.spoken import counted

if TYPE_CHECKING:
    from analysis.snmf.library import Factorization

CONTEXTS, THEMES, LOGITS = 12, 5, 12


class Texts:
    """Passages as tokens, tokenised when they are asked for."""

    def __init__(self, loaded: LoadedModel, passages: Sequence[Passage]) -> None:
        self._loaded, self._passages = loaded, passages
        self._ids: dict[int, list[int]] = {}

    def load(self, places: Tensor) -> None:
        """Tokenise all passages that some places (…, 2) name, at once."""
        wanted = places.reshape(-1, 2)[:, 0].unique().tolist()
        missing = [int(d) for d in wanted if d >= 0 and int(d) not in self._ids]
        rows = tokens_of(self._loaded, [self._passages[d] for d in missing])
        self._ids |= dict(zip(missing, rows, strict=True))

    def contexts(self, places: Tensor, near: Tensor, values: Tensor) -> tuple[FeatureContext, ...]:
        """Contexts at places (C, 2) with the activations around them, ``near`` (C, 25) in 255ths of the largest."""
        self.load(places)
        rows = []
        for (document, position), around, value in zip(places.tolist(), near.tolist(), values.tolist(), strict=True):
            if document < 0:
                continue
            ids = self._ids[document]
            first, last = max(0, position - NEAR), min(len(ids), position + NEAR + 1)
            shift = NEAR - position
            rows.append(
                FeatureContext(
                    tokens=tuple(token_labels(self._loaded.tokenizer, ids[first:last])),
                    ids=tuple(ids[first:last]),
                    values=tuple(round(around[i + shift] / 255, 4) for i in range(first, last)),
                    at=position - first,
                    theme=self._passages[document].theme,
                    value=value,
                )
            )
        return tuple(rows)

    def snippet(self, place: Sequence[int], before: int = 8, after: int = 5) -> str:
        """One context as plain text, the token in square brackets; empty for a place that is none."""
        document, position = place
        if document < 0:
            return ""
        self.load(torch.tensor([[document, position]]))
        ids, decode = self._ids[document], self._loaded.tokenizer.decode
        head = decode(ids[max(0, position - before) : position])
        token = decode([ids[position]])
        blank = token[: len(token) - len(token.lstrip())]
        tail = decode(ids[position + 1 : position + 1 + after])
        return " ".join(f"{head}{blank}[{token.strip() or '␣'}]{tail}".split())


def card_of(loaded: LoadedModel, fit: Factorization, feature: int) -> FeatureFacts:
    """What the page shows of one feature of the lowest level at once.

    Raises UserError(field="fit") if the texts of the factorization are gone.
    """
    arrays, row = fit.arrays, fit.manifest["rows"][feature]
    texts = Texts(loaded, fit.passages)
    largest, drawn = (
        texts.contexts(*(arrays[f"{prefix}{part}"][feature][:CONTEXTS] for part in ("place", "near", "value")))
        for prefix in ("", "random_")
    )
    weights = fit.components[feature]
    shares = arrays["themes"][feature].float()
    order = shares.argsort(descending=True)[:THEMES].tolist()
    names = fit.manifest["themes"]
    return FeatureFacts(
        feature=feature,
        label=fit.label(feature),
        sentence=_sentence(fit, feature, row),
        contexts=largest,
        random_contexts=drawn,
        neurons=tuple(NeuronWeight(i, float(weights[i])) for i in fit.neurons(feature)),
        readout=fit.manifest.get("readout", ""),
        plus=_tokens(loaded, arrays["plus"][feature], arrays["plus_value"][feature]),
        minus=_tokens(loaded, arrays["minus"][feature], arrays["minus_value"][feature]),
        themes=tuple(ThemeShare(names[i], float(shares[i])) for i in order if names[i] and shares[i] > 0),
        detection=detection_of(fit, row),
        scale=float(arrays["scale"][feature]),
        deciles=tuple(float(v) for v in arrays["deciles"][feature]),
        active=row["active"],
    )


def detection_of(fit: Factorization, row: dict[str, Any]) -> Detection:
    """The detection numbers of a feature with their nulls, or None in place of each and the reason as ``sentence``."""
    random = fit.manifest.get("random_auc")
    scores = row.get("detection")
    if not scores:
        why = "The texts have no themes" if fit.manifest["themes"] == [""] else "Too few held-out passages of its theme"
        return Detection(row["theme"], None, None, None, None, random, f"{why}, so detection is not scored.")
    sentence = (
        f"On {scores['passages']} passages of the theme and {scores['others']} others that the fit has not seen, by "
        "the largest cosine with a token; the theme was chosen on passages of the fit. The score is inflated where the "
        "mean elsewhere is near zero; trust the area under the curve, and only beyond the random band."
    )
    return Detection(**scores, random_auc=random, sentence=sentence)


def _sentence(fit: Factorization, feature: int, row: dict[str, Any]) -> str:
    kept = counted(len(fit.neurons(feature)), "neuron" if fit.site.kind == "mlp_hidden" else "dimension")
    theme = f" {row['purity']:.0%} of its activation lies on passages about {row['theme']}." if row["theme"] else ""
    return (
        f"Feature {feature}: {kept}, active on {row['active']:.1%} of the tokens, which come from "
        f"{row['texts']:.0f} passages, effectively.{theme} Contexts: the largest activations, at most {PER_PASSAGE} of "
        "one passage; beside them, tokens drawn evenly from all on which it is active."
    )


def _tokens(loaded: LoadedModel, ids: Tensor, values: Tensor) -> tuple[TokenLogit, ...]:
    leading = ids.tolist()[:LOGITS]
    labels = token_labels(loaded.tokenizer, leading)
    rows = zip(leading, labels, values[: len(leading)].tolist(), strict=True)
    return tuple(TokenLogit(i, label, value) for i, label, value in rows)
