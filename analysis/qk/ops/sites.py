"""Operations on two prompts: which tokens stand for which, and what each place of the model carries at each of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from analysis.engine.context import Context
from analysis.engine.question import Kind
from analysis.errors import UserError
from analysis.fields import Choice, Whole, whole
from analysis.qk.answers.sites import PatchedSites, TokenPairs
from analysis.qk.answers.token import RunCost
from analysis.qk.ops.parts import shortened
from analysis.qk.ops.prompt import OnPrompt
from analysis.qk.ops.token import OnToken, difference, target_of

if TYPE_CHECKING:
    from analysis.models.loaded_model import LoadedModel
    from analysis.models.pairing import Pair


@dataclass(frozen=True)
class _Both:
    """Token ids of both prompts, each up to where it is asked, and their pairs."""

    ids: list[int]
    other: list[int]
    pairs: tuple[Pair, ...]


def _both(context: Context, asked: OnPrompt[Any], text: str, at: int, given: tuple[Pair, ...] = ()) -> _Both:
    """Both prompts up to the query ``at`` (-1: their last tokens), and the pairs ``given`` or else those by slot.

    A query within the prompt is asked in the other one at the token that it is paired with. One among the generated
    tokens is refused: the other prompt has none, so its last token would be asked, which is another question.
    """
    from analysis.models.pairing import check_pairs, paired
    from analysis.models.prompts import encode_prompt

    if not text.strip():
        raise UserError("Write the other prompt.", "other")
    trace, _, count = asked.trace(context)
    query = count - 1 if at < 0 else at
    whole(query, 0, len(trace.ids) - 1, "token", "The token's position")
    if query >= count:
        raise UserError(
            f"Token {query} is one that the model has generated, and the other prompt has none that stands for it. "
            f"Choose a query among the prompt's tokens, 0 to {count - 1}, or set “Generate” to 0.",
            "query",
        )
    ids = list(trace.ids[: query + 1])
    other = encode_prompt(context.model(asked.model), text, asked.chat)
    if given:
        check_pairs(given, count, len(other))
    pairs = given or paired(trace.ids[:count], other)
    if query < count - 1:
        partner = dict(pairs).get(query)
        if partner is None:
            raise UserError(
                f"Token {query}, which asks, has no partner in the other prompt. Pair it by hand, or ask at the last "
                "token.",
                "pairs",
            )
        other = other[: partner + 1]
    if ids == other:
        raise UserError("Both prompts are the same up to the query, so nothing can be patched.", "other")
    # What comes after the query is read by nothing that is asked here.
    return _Both(ids, other, tuple((a, b) for a, b in pairs if a <= query and b < len(other)))


def _labels(loaded: LoadedModel, ids: list[int]) -> tuple[str, ...]:
    from analysis.models.prompts import token_labels

    return tuple(token_labels(loaded.tokenizer, ids))


@dataclass(frozen=True)
class PairTokens(OnPrompt[TokenPairs]):
    """The tokens of this prompt and of an ``other`` one up to the query (-1: the last token), paired by slot."""

    query: Annotated[int, Whole(-1, 10**6, words="The query")] = -1
    other: str = ""

    def run(self, context: Context) -> TokenPairs:
        from analysis.models.pairing import beyond_start, shared_start
        from analysis.qk.costs import on_hands, site_cost

        loaded = context.model(self.model)
        both = _both(context, self, self.other, self.query)
        rows = len(beyond_start(both.pairs, shared_start(both.ids, both.other))) + 1
        size = len(both.ids), len(both.other)
        cost = site_cost(loaded, self.trace(context)[0], *size, list(range(loaded.facts.layers)), rows)
        cost, _ = on_hands(context, loaded, cost)
        labels = _labels(loaded, both.ids), _labels(loaded, both.other)
        return TokenPairs(*labels, both.pairs, RunCost(size[0], cost.seconds, cost.bytes, cost.refused))


@dataclass(frozen=True)
class PatchSites(OnToken[PatchedSites]):
    """By how much a predicted token falls with a ``site`` of each block at each token as in the prompt ``other``.
    ``pairs``: which tokens stand for which, by hand; without any they are paired by slot."""

    kind: ClassVar[Kind] = "job"

    other: str = ""
    site: Annotated[str, Choice(("residual", "attention", "mlp"), words="The site")] = "residual"
    pairs: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(not isinstance(pair, tuple | list) or len(pair) != 2 for pair in self.pairs):
            raise UserError("A pair is a token of this prompt and one of the other, each by its number.", "pairs")
        for value in (value for pair in self.pairs for value in pair):
            whole(value, 0, 10**6, "pairs", "The number of a token")
        object.__setattr__(self, "pairs", tuple((pair[0], pair[1]) for pair in self.pairs))

    def describe(self) -> str:
        return f"Patch “{shortened(self.text)}” from “{shortened(self.other)}” token by token"

    def run(self, context: Context) -> PatchedSites:
        from analysis.models.ablation import plain_logits
        from analysis.models.pairing import beyond_start, shared_start
        from analysis.models.site_patches import site_layers
        from analysis.qk.costs import begun, site_cost
        from analysis.qk.falls import Prediction, SiteChange, over_sites

        loaded = context.model(self.model)
        both = _both(context, self, self.other, self.query, self.pairs)
        ids, other, pairs = both.ids, both.other, both.pairs
        same = shared_start(ids, other)
        run = beyond_start(pairs, same)
        if not run:
            raise UserError(
                "The tokens that are paired are the first ones, which are the same in both prompts, so nothing would "
                "change. Pair later ones.",
                "pairs",
            )
        layers = site_layers(loaded, self.site)  # type: ignore[arg-type]
        if not layers:
            raise UserError("This site cannot be reached in any block of this model. Take the residual stream.", "site")
        cost = site_cost(loaded, self.trace(context)[0], len(ids), len(other), layers, len(run) + 1)
        spread = begun(context, loaded, cost)
        plain = plain_logits(loaded, ids)
        target = target_of(loaded, plain, len(ids) - 1, self.token, self.against)
        given = Prediction(tuple(ids), target.token, target.against, plain.numpy())
        common = SiteChange(given, tuple(other), tuple(run), self.site)
        found = over_sites(spread, common, layers, loaded.facts.layers, context.progress, context.check)
        falls, moved = (np.full((loaded.facts.layers, len(pairs) + 1), np.nan, np.float32) for _ in range(2))
        falls[layers], moved[layers] = 0, 0
        columns = [[mine for mine, _ in pairs].index(mine) for mine, _ in run] + [len(pairs)]
        falls[np.ix_(layers, columns)], moved[np.ix_(layers, columns)] = found.falls, found.moved.clip(0)
        return PatchedSites(
            target,
            self.site,
            difference(plain, target),
            difference(plain_logits(loaded, other), target),
            _labels(loaded, ids),
            _labels(loaded, other),
            pairs,
            same,
            falls[:, :-1],
            moved[:, :-1],
            falls[:, -1],
            moved[:, -1],
        )
