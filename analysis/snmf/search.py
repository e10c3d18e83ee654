"""From a token to the features that have to do with it: those that push it up, and those that are active on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from analysis.engine.memory import Memory
from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.snmf.answers.factorization import SearchAnswer, SearchHit
from analysis.snmf.describe import label_of
from analysis.snmf.library import listing, open_factorization

if TYPE_CHECKING:
    from analysis.snmf.library import Factorization

MOST = 60


def search_features(memory: Memory, spec: ModelSpec, text: str) -> SearchAnswer:
    """The features that have a token among those that lead them, best ranks first. A token matches if it is the text,
    blanks and case left aside.

    ``where`` is "promotes" (among the 20 tokens that the feature pushes up most, by the unembedding; ``value`` is the
    logit) or "active on" (among the 20 tokens that stand out in what it is active on; ``value`` is the share of tokens
    on which it is active). Raises UserError(field="text") for an empty text.
    """
    wanted = _plain(text) if isinstance(text, str) else ""
    if not wanted:
        raise UserError("Type a token or a word to look for.", "text")
    rows: list[SearchHit] = []
    for entry in listing(spec):
        try:
            fit = open_factorization(memory, entry.name)
        except UserError:  # a damaged one says so when it is opened, and must not hide the others
            continue
        rows += rows_of(fit, wanted)
    rows.sort(key=lambda r: (r.rank, r.where, -r.value))
    more = f", the first {MOST} shown" if len(rows) > MOST else ""
    sentence = (
        f"{len(rows)} places among the leading tokens of the features of this model{more}."
        if rows
        else f"No feature of this model has “{text.strip()[:40]}” among its leading tokens."
    )
    return SearchAnswer(tuple(rows[:MOST]), sentence)


def rows_of(fit: Factorization, wanted: str) -> list[SearchHit]:
    """The rows of one factorization for a text in lower case, without blanks."""
    hits = []
    for row in fit.manifest["rows"]:
        k = row["feature"]
        for where, tokens in (("promotes", row["plus"]), ("active on", row["on"])):
            rank = next((i for i, token in enumerate(tokens, start=1) if _plain(token) == wanted), 0)
            if rank:
                value = float(fit.arrays["plus_value"][k, rank - 1]) if where == "promotes" else row["active"]
                hits.append(SearchHit(fit.name, k, label_of(row), where, rank, value))
    return hits


def _plain(token: str) -> str:
    return token.replace("␣", " ").strip().lower()
