"""Which block is fitted: that whose clusters tell the themes of the texts, not one whose clusters are tokens or few."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from analysis.activations.recipe import Recipe
from analysis.activations.store import ActivationStore
from analysis.corpora.passages import Passage
from analysis.mfa import look
from analysis.models.capture import Captured
from analysis.models.sites import Site

THEMES, TEXTS, LENGTH, WORDS, WIDTH = 12, 240, 10, 12, 24
PASSAGES = [Passage(f"text {n}", f"theme {n % THEMES}") for n in range(TEXTS)]
TOKEN, THEME, TEXT = Site(1), Site(2), Site(3)


def store_of(path: Path) -> ActivationStore:
    """Activations that are, at one site each, the direction of their token, of their theme, or of few texts."""
    generator = torch.Generator().manual_seed(0)
    recipe = Recipe("Tiny", "f" * 20, "float32", (TOKEN, THEME, TEXT), "c" * 20)
    documents = torch.arange(TEXTS).repeat_interleave(LENGTH)
    tokens = torch.randint(0, WORDS, (len(documents),), generator=generator)

    def along(groups: Tensor) -> Tensor:
        directions = 5 * torch.eye(WIDTH)[groups % WIDTH]
        return directions + 0.3 * torch.randn(len(groups), WIDTH, generator=generator)

    activations = {TOKEN: along(tokens), THEME: along(documents % THEMES), TEXT: along(documents // 5)}
    places = torch.arange(LENGTH).repeat(TEXTS)
    store = ActivationStore(path, recipe)
    with store.writing():
        store.append(Captured(activations, tokens.int(), documents.int(), places.int()))
        store.commit(TEXTS)
    return store


def test_the_block_whose_clusters_tell_themes_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "CLUSTERS", WIDTH)
    store = store_of(tmp_path / "a")
    asked = []

    def collected(loaded: object, passages: object, wants: dict[Site, int], **options: object) -> object:
        asked.append(wants)
        return dict.fromkeys(wants, store)

    monkeypatch.setattr(look, "collect_each", collected)
    site, bits = look.choose_site(None, PASSAGES, [TOKEN, THEME, TEXT], 2_000, lambda *_, **__: None)  # type: ignore[arg-type]
    assert site == THEME and asked == [dict.fromkeys((TOKEN, THEME, TEXT), 2_000)]
    # Of twelve themes a pure cluster tells log2 12 = 3.6 bits, a little less at the low end of its interval.
    assert 2.5 < bits["2"] < 3.6 and bits["1"] < 0.5
    # Texts without themes tell nothing, and the first of equals, the middle block, is taken.
    plain = [Passage(p.text) for p in PASSAGES]
    site, bits = look.choose_site(None, plain, [TOKEN, THEME], 800, lambda *_, **__: None)  # type: ignore[arg-type]
    assert site == TOKEN and bits == {"1": 0, "2": 0} and asked[1] == {TOKEN: 800, THEME: 800}
