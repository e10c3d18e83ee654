"""One region in words: its contexts with the token marked, tokens that it promotes, and its factors with named ends.

An artefact holds places (document, position), not texts; the words are made here from the passages and the model's own
tokenizer, so that a card shows what the model read.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from analysis.activations.collect import start_tokens, tokens_of
from analysis.errors import UserError
from analysis.mfa.answers.regions import ContextLine, Factor, RegionFacts, TokenValue
from analysis.mfa.character import NO_THEME
from analysis.mfa.reading import activations_of
from analysis.models.loaded_model import LoadedModel
from analysis.models.prompts import token_labels

if TYPE_CHECKING:
    from analysis.mfa.library import RegionSet

BEFORE, AFTER = 60, 30
END_WORDS = 3


def card_of(loaded: LoadedModel, fit: RegionSet, region: int, rotation: str) -> RegionFacts:
    """What the page shows of one region at once."""
    fit.check_rotation(rotation)
    row, arrays = fit.manifest["regions"][region], fit.arrays
    samples = {name: arrays[f"contexts.{name}"][region] for name in ("likelihood", "responsibility", "random")}
    ends = {end: arrays[f"{rotation}.{end}"][region] for end in ("low", "high")}
    texts = _Texts(loaded, fit)
    texts.load([*samples.values(), *(e.flatten(0, 1) for e in ends.values())])
    spread = fit.spread(rotation)[region]
    # A column's length times the spread of its score: how far the factor really moves the region's points.
    lengths = fit.part([region], rotation).loadings[0].norm(dim=0) * spread
    shares = (lengths.square() / lengths.square().sum().clamp(min=1e-30)).tolist()
    factors = []
    for j in range(fit.parameters.factors):
        low, high = (texts.lines(ends[end][j], region) for end in ("low", "high"))
        factors.append(Factor(float(spread[j]), shares[j], _end(low), _end(high), _title(low), _title(high), low, high))
    return RegionFacts(
        region=region,
        label=fit.label(region),
        own_label=fit.labels.get(str(region), ""),
        contexts={name: texts.lines(places, region) for name, places in samples.items()},
        readout=fit.manifest.get("readout", ""),
        unembedded=_tokens(loaded, arrays["promoted"][region], arrays["promoted_value"][region]),
        lifted=_tokens(loaded, arrays["lifted"][region], arrays["lifted_value"][region]),
        factors=tuple(factors),
        facts=_facts(fit, row),
    )


def factors_of_row(loaded: LoadedModel, fit: RegionSet, region: int, row: int, rotation: str) -> tuple[float, ...]:
    """The local factors, in spreads, of a context of the card: ``row`` is document times 4,096 plus position."""
    document, position = divmod(row, 4096)
    texts = _Texts(loaded, fit)
    ids, place = texts.window(document, position)
    x = activations_of(loaded, fit, ids)[place : place + 1]
    z = fit.factors_of(x, torch.tensor([region]), rotation)[0]
    return tuple((z / fit.spread(rotation)[region].clamp(min=1e-6)).tolist())


class _Texts:
    """The passages of a fit as tokens, tokenised when they are asked for."""

    def __init__(self, loaded: LoadedModel, fit: RegionSet) -> None:
        self._loaded, self._fit = loaded, fit
        self._ids: dict[int, list[int]] = {}

    def load(self, places: list[Tensor]) -> None:
        """Tokenise all documents that some places (…, 2) name, at once."""
        wanted = torch.cat([p.reshape(-1, 2) for p in places])[:, 0].unique().tolist()
        missing = [int(d) for d in wanted if d >= 0 and int(d) not in self._ids]
        rows = tokens_of(self._loaded, [self._fit.passages[d] for d in missing])
        self._ids |= dict(zip(missing, rows, strict=True))

    def window(self, document: int, position: int) -> tuple[list[int], int]:
        """Token ids up to the position, as the model read them, and the place of the token among them."""
        if not 0 <= document < len(self._fit.passages):
            raise UserError("This context is not in the texts of the fit.", "row")
        self.load([torch.tensor([[document, position]])])
        ids = self._ids[document]
        if not 0 <= position < len(ids):
            raise UserError("This context is not in the texts of the fit.", "row")
        window = int(self._fit.manifest["window"])
        prefix = start_tokens(self._loaded)
        room = window - len(prefix)
        pieces = -(-len(ids) // room)
        first = max(len(ids) * i // pieces for i in range(pieces) if len(ids) * i // pieces <= position)
        return [*prefix, *ids[first : position + 1]], len(prefix) + position - first

    def lines(self, places: Tensor, region: int) -> tuple[ContextLine, ...]:
        """Contexts at places (n, 2) as text before, the token, and text after."""
        lines = []
        decode = self._loaded.tokenizer.decode
        for document, position in places.tolist():
            if document < 0:
                continue
            ids, passage = self._ids[document], self._fit.passages[document]
            before, after = decode(ids[max(0, position - 24) : position]), decode(ids[position + 1 : position + 12])
            token = decode([ids[position]])
            lines.append(
                ContextLine(
                    before=("…" if len(before) > BEFORE else "") + before[-BEFORE:],
                    token=token if token.strip() else token_labels(self._loaded.tokenizer, [ids[position]])[0],
                    word=_word(before, token, after),
                    after=after[:AFTER] + ("…" if len(after) > AFTER else ""),
                    source=f"{passage.theme}: {passage.kind}" if passage.theme else "",
                    region=region,
                    row=document * 4096 + position,
                )
            )
        return tuple(lines)


def _end(lines: tuple[ContextLine, ...]) -> str:
    """A name for an end of a factor: the words that its furthest members are in."""
    words = dict.fromkeys(line.word for line in lines)
    return ", ".join(list(words)[:END_WORDS]) or "no members"


def _word(before: str, token: str, after: str) -> str:
    """The whole word that a token is part of, or the token itself where it is none."""
    if not any(c.isalnum() for c in token):
        return token.strip() or "␣"
    head = "" if token[:1].isspace() else re.search(r"\w*$", before)[0]  # type: ignore[index]
    tail = re.match(r"\w*", after)[0]  # type: ignore[index]
    return f"{head}{token.strip()}{tail}"


def _title(lines: tuple[ContextLine, ...]) -> str:
    return "\n".join(f"{c.before}[{c.token.strip()}]{c.after}" for c in lines)


def _tokens(loaded: LoadedModel, ids: Tensor, values: Tensor) -> tuple[TokenValue, ...]:
    pairs = [(i, v) for i, v in zip(ids.tolist(), values.tolist(), strict=True) if i >= 0]
    labels = token_labels(loaded.tokenizer, [i for i, _ in pairs])
    return tuple(TokenValue(i, label, value) for label, (i, value) in zip(labels, pairs, strict=True))


def _why(row: dict[str, Any]) -> str:
    """Why a region has its character. Fits made before said more of regions without a theme than their tokens show."""
    return NO_THEME if row["character"] == "grammar" and row["theme"] else str(row["why"])


def _facts(fit: RegionSet, row: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    facts = [
        ("Character", f"{row['character']}: {_why(row)}"),
        ("Size", f"{row['size']:,} of {fit.manifest['rows']:,} activations; expected {row['mass']:,.0f}"),
        ("Texts", f"members come from {row['texts']:.0f} texts, effectively"),
        ("Tokens", f"entropy {row['entropy']:.1f} bits; the most frequent takes {row['top_share']:.0%}"),
    ]
    if row["theme"]:
        facts.append(("Theme", f"{row['purity']:.0%} {row['theme']}, {row['lift']:.1f} times its share of the corpus"))
    if row["kinds"]:
        facts.append(("Kinds", ", ".join(f"{name} {share:.0%}" for name, share in row["kinds"])))
    near = ", ".join(f"{k}: {fit.label(k)}" for k in fit.arrays["near"][row["region"]].tolist())
    return (*facts, ("Nearest", near))
