"""What regions are said to be: shares and intervals by hand, thresholds on either side, no judgement on few texts."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
import torch
from scipy.stats import binomtest
from torch import Tensor

from analysis.corpora.passages import Passage
from analysis.mfa.character import SMALL, lifted_tokens, lower_share, meanings

# Forty texts of each of ten themes; a document's theme is its number divided by 40.
PASSAGES = [Passage(f"text {i}", f"theme {i // 40}", f"kind {i % 2}") for i in range(400)]
NONE: list[str] = []


def judged(members: list[tuple[int, int]], labels: list[str] = NONE, passages: list[Passage] = PASSAGES) -> Any:
    """The row of a region with these members (document, token), in a corpus that has each document ten times more."""
    rest = [(d, 1000 + t) for d in range(len(passages)) for t in range(10)]
    documents, tokens = (torch.tensor(column) for column in zip(*members, *rest, strict=True))
    region = torch.tensor([0] * len(members) + [1] * len(rest))
    size = torch.tensor([len(members), len(rest)])
    return meanings(region, size, size.double(), tokens, documents, passages, [labels, []])[0]


def of_theme(share: float, count: int = 100, texts: int = 40) -> list[tuple[int, int]]:
    """Members of theme 0 to that share, the others even over the corpus, all with tokens of their own."""
    own = round(count * share)
    return [(i % texts, i) for i in range(own)] + [(40 + 7 * i % 360, own + i) for i in range(count - own)]


@pytest.mark.parametrize(("count", "total"), [(0, 5), (1, 1), (3, 9), (50, 50), (700, 1000), (1, 10_000)])
def test_the_lower_end_is_that_of_wilsons_interval(count: int, total: int) -> None:
    exact = binomtest(count, total).proportion_ci(0.95, method="wilson").low
    assert lower_share(count, total) == pytest.approx(exact, abs=1e-4)


def test_a_handful_never_looks_pure() -> None:
    assert lower_share(0, 0) == 0 and lower_share(2, 2) < 0.35 < lower_share(10, 10) < lower_share(1000, 1000) < 1


def test_a_pure_region_is_a_theme_and_says_by_how_much() -> None:
    row = judged(of_theme(0.9), [" wand", " spell"])
    assert row["character"] == "theme" and row["theme"] == "theme 0" and row["label"] == "theme 0: wand, spell"
    base = (90 + 400) / (100 + 4000)
    assert row["purity"] == pytest.approx(0.9) and row["lift"] == pytest.approx(0.9 / base)
    assert row["lift_low"] == pytest.approx(lower_share(90, 100) / base) and row["lift_low"] >= 5
    assert row["score"] == pytest.approx(row["purity_low"] * min(1, math.log2(100) / 6))
    assert "theme 0" in row["search"] and "kind 1" in row["search"] and "spell" in row["search"]


@pytest.mark.parametrize(("share", "character"), [(0.45, "mixed"), (0.8, "theme"), (0.1, "grammar"), (0.35, "grammar")])
def test_between_grammar_and_theme_lie_the_mixed_ones(share: float, character: str) -> None:
    row = judged(of_theme(share))
    low = row["lift_low"]
    assert row["character"] == character == ("theme" if low >= 5 else "grammar" if low < 3 else "mixed")


@pytest.mark.parametrize(("share", "named"), [(0.3, False), (0.6, True)])
def test_of_many_themes_one_that_few_members_share_gives_no_name(share: float, named: bool) -> None:
    """Many times as frequent as in the corpus, and yet most members are of other themes: tokens alone name it."""
    fine = [Passage(f"text {d}", f"theme {d // 40}") for d in range(2_000)]
    row = judged(of_theme(share), [" sky", " The"], fine)
    assert row["lift_low"] >= 5
    assert row["label"] == ("theme 0: sky, The" if named else "sky, The")
    assert row["character"] == ("theme" if named else "mixed") and named == (row["purity_low"] >= 1 / 3)
    if not named:
        assert row["why"].startswith("leans to theme 0, 3") and "too few to bear the name" in row["why"]


def test_a_theme_that_comes_from_few_texts_is_not_one() -> None:
    for texts in (2, 7):
        row = judged(of_theme(1.0, texts=texts))
        assert row["character"] == "mixed" and row["score"] == 0 and "texts" in row["why"]
        assert row["texts"] == pytest.approx(texts, rel=0.01) and row["label"].startswith("few texts")
    assert judged(of_theme(1.0, texts=9))["character"] == "theme"


def test_effective_texts_count_a_dominant_one_as_hardly_more_than_one() -> None:
    members = [(0, i) for i in range(191)] + [(1 + i, 200 + i) for i in range(9)]
    shares = [191 / 200] + [1 / 200] * 9
    row = judged(members)
    assert row["texts"] == pytest.approx(math.exp(-sum(s * math.log(s) for s in shares))) and row["texts"] < 1.5


@pytest.mark.parametrize(("repeated", "character"), [(50, "token"), (49, "theme")])
def test_a_region_is_a_token_from_half_of_its_members_on(repeated: int, character: str) -> None:
    members = [(d, 7 if i < repeated else t) for i, (d, t) in enumerate(of_theme(1.0))]
    row = judged(members, ["\n", " cat"])
    assert row["character"] == character and row["top_share"] == repeated / 100
    if character == "token":
        assert row["label"] == "“cat”"
        assert judged(members, ["\n"])["label"] == "“a blank or line end”"


def test_entropy_is_that_of_the_token_counts() -> None:
    tokens = [1] * 40 + [2] * 20 + [3] * 20 + list(range(10, 30))
    row = judged([(i % 400, t) for i, t in enumerate(tokens)])
    shares = [c / 100 for c in Counter(tokens).values()]
    assert row["entropy"] == pytest.approx(-sum(s * math.log2(s) for s in shares))


def test_small_regions_are_not_judged_and_empty_ones_do_no_harm() -> None:
    few = judged(of_theme(1.0, SMALL - 1, 20))
    assert few["character"] == "small" and few["score"] == 0 and "not judged" in few["why"]
    assert judged(of_theme(1.0, SMALL, SMALL))["character"] == "theme"
    empty = torch.zeros(0, dtype=torch.long)
    rows = meanings(empty, torch.tensor([0]), torch.zeros(1), empty, empty, PASSAGES, [[]])
    assert rows[0]["character"] == "small" and rows[0]["texts"] == 0 and rows[0]["theme"] == ""


def test_texts_without_themes_have_no_theme_and_say_so() -> None:
    row = judged(of_theme(1.0), [" and"], [Passage(p.text) for p in PASSAGES])
    assert (row["character"], row["theme"], row["kinds"]) == ("grammar", "", []) and "no themes" in row["why"]


def test_kinds_are_named_with_their_theme_from_a_tenth_on() -> None:
    members = [(2 * (i % 20), i) for i in range(91)] + [(1, 91 + i) for i in range(9)]
    assert judged(members)["kinds"] == [("theme 0: kind 0", 0.91)]


def test_names_prefer_whole_words_and_leave_out_what_cannot_be_read() -> None:
    labels = ["ing", "‹0A›", " a", "\n", " magic", " magic", "…", " wands"]
    assert judged(of_theme(1.0), labels)["label"] == "theme 0: magic, wands, ing"


def _log_odds(mine: Counter[int], everywhere: Counter[int], token: int) -> tuple[float, float]:
    n, total = mine.total(), everywhere.total()
    here, there = mine[token] + 10 * everywhere[token] / total, everywhere[token]
    ratio = math.log(here / (n + 10 - here)) - math.log(there / (total - there))
    return ratio, ratio / math.sqrt(1 / here + 1 / there)


def _random_tokens() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    region = torch.randint(0, 3, (3000,), generator=generator)
    tokens = (torch.rand(3000, generator=generator) ** 3 * 60).long() + 5
    tokens[(region == 0) & (torch.rand(3000, generator=generator) < 0.2)] = 90
    tokens[(region == 1) & (torch.rand(3000, generator=generator) < 0.05)] = 40
    return region, tokens


def test_lifted_tokens_are_those_of_a_slow_count() -> None:
    region, tokens = _random_tokens()
    ids, values = lifted_tokens(region, tokens, 4, 6)
    everywhere = Counter(tokens.tolist())
    assert ids.shape == values.shape == (4, 6) and ids[0, 0] == 90 and ids[1, 0] == 40
    for k in range(3):
        mine = Counter(tokens[region == k].tolist())
        scores = {t: _log_odds(mine, everywhere, t) for t in everywhere if mine[t] >= 2}
        best = sorted((t for t in scores if scores[t][1] > 1.96), key=lambda t: -scores[t][1])[:6]
        assert [t for t in ids[k].tolist() if t >= 0] == best
        assert values[k, : len(best)].tolist() == pytest.approx([scores[t][0] for t in best], rel=1e-4)
    assert (ids[3] == -1).all() and (values[3] == 0).all()


@pytest.mark.parametrize("outside", [0, 1])
def test_a_token_that_a_region_holds_alone_leads_it(outside: int) -> None:
    tokens = torch.randint(100, 400, (10_000,), generator=torch.Generator().manual_seed(0))
    tokens[:300] = 12
    tokens[9_000 : 9_000 + outside] = 12
    tokens[300:360], tokens[3_000:3_060] = 14, 14  # leans to the region as well, but far less
    ids, _ = lifted_tokens(torch.tensor([0] * 500 + [1] * 9_500), tokens, 2)
    assert ids[0, :2].tolist() == [12, 14]


def test_what_occurs_once_or_everywhere_alike_is_not_lifted() -> None:
    region = torch.tensor([0] * 100 + [1] * 100)
    tokens = torch.arange(200) % 20
    tokens[7] = 77
    ids, _ = lifted_tokens(region, tokens, 2)
    assert (ids == -1).all()
    alone, _ = lifted_tokens(torch.zeros(50, dtype=torch.long), torch.arange(50) % 5, 1)
    assert (alone == -1).all()
