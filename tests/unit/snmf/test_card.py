"""What features are called and which words their cards show, on activations whose meaning was planted."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from analysis.activations import fits
from analysis.corpora.passages import Passage, corpus_hash
from analysis.models.facts import describe as model_facts
from analysis.models.loaded_model import LoadedModel
from analysis.models.promoted import promoted
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.snmf.card import Texts, card_of
from analysis.snmf.describe import ACTIVE, LARGEST, NEAR, Description, Index, describe, lower_share
from analysis.snmf.library import Factorization, Level
from tests.unit.test_contrasts import NOUNS, _byte_level
from tests.unit.tiny_models import tiny_model

THEMES, PASSAGES, TOKENS = ("farm", "sea", "town"), 60, 30
SEA, WORD, PAPER, PLAIN, SILENT = range(5)


def index() -> Index:
    """Passages of 30 tokens; token 7 is the third of each, tokens 100 to 109 are in those about the sea only."""
    tokens = torch.arange(PASSAGES * TOKENS) % 50 + 200
    documents = torch.arange(PASSAGES).repeat_interleave(TOKENS)
    positions = torch.arange(TOKENS).repeat(PASSAGES)
    tokens[positions == 3] = 7
    sea = (documents % 3 == 1) & (positions >= 10) & (positions < 20)
    tokens[sea] = (90 + positions)[sea]
    order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0))
    return Index(tokens[order].int(), documents[order].int(), positions[order].int())


def activations(where: Index) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(len(where.tokens), 5, generator=generator)
    found = torch.zeros(len(where.tokens), 5)
    found[:, SEA] = noise[:, SEA].add(1) * ((where.tokens >= 100) & (where.tokens < 110))
    found[:, WORD] = noise[:, WORD].add(1) * (where.tokens == 7)
    found[:, PAPER] = noise[:, PAPER].add(1) * (where.documents < 2)
    found[:, PLAIN] = noise[:, PLAIN].add(1) * (where.tokens % 5 == 0)
    return found


def theme_names() -> list[str]:
    return [THEMES[d % 3] for d in range(PASSAGES)]


def labels(ids: list[int]) -> list[str]:
    return [f"␣w{i}" for i in ids]


@pytest.fixture(scope="module")
def found() -> Description:
    where = index()
    return describe(activations(where), where, theme_names(), labels)


def test_features_are_called_by_what_was_planted(found: Description) -> None:
    assert [row["character"] for row in found.rows] == ["tokens", "token", "few texts", "tokens", "silent"]
    assert found.rows[WORD]["label"] == "“w7”" and found.rows[WORD]["top"][0] == "␣w7"
    assert set(found.rows[SEA]["top"]) <= {f"␣w{i}" for i in range(100, 110)}
    assert found.rows[SEA]["theme"] == "sea" and found.rows[SEA]["purity"] == pytest.approx(1)
    assert found.rows[PLAIN]["theme"] == "" and found.rows[PLAIN]["purity"] == 0
    assert found.rows[PAPER]["texts"] == pytest.approx(2, abs=0.1)
    assert found.rows[SILENT]["label"] == "active on no token" and found.rows[SILENT]["active"] == 0
    for k, tokens in ((SEA, 200), (WORD, 60), (PAPER, 60), (PLAIN, 344)):
        assert found.rows[k]["active"] == pytest.approx(tokens / (PASSAGES * TOKENS), rel=0.15)


def test_a_theme_is_named_only_where_it_is_much_more_frequent_than_in_the_corpus() -> None:
    where = index()
    many = [f"theme {d % 20}" if d % 3 != 1 or d > 20 else "sea" for d in range(PASSAGES)]
    g = activations(where)[:, [SEA]] * (where.documents <= 20)[:, None]
    row = describe(g, where, many, labels).rows[0]
    # 7 passages of 60, all about the sea: even the low end of their share is several times the corpus's.
    assert row["character"] == "theme" and row["label"].startswith("sea: w1")
    none = describe(g, where, [""] * PASSAGES, labels).rows[0]
    assert none["character"] == "tokens" and none["theme"] == ""


def test_strong_tokens_lead_where_a_feature_is_weakly_active_on_everything() -> None:
    where = index()
    g = 0.3 + (where.tokens == 105)[:, None].float() + 0.4 * (where.tokens == 200)[:, None].float()
    row = describe(g, where, theme_names(), labels).rows[0]
    assert row["active"] == 1 and row["top"][:2] == ["␣w105", "␣w200"] and len(row["on"]) == 2


def test_largest_contexts_are_the_largest_with_two_of_a_passage_at_most(found: Description) -> None:
    where, g = index(), activations(index())
    rank = {(int(d), int(p)): i for i, (d, p) in enumerate(zip(where.documents, where.positions, strict=True))}
    for k in (SEA, WORD, PLAIN):
        places = [tuple(p) for p in found.arrays["place"][k].tolist() if p[0] >= 0]
        values = [float(g[rank[p], k]) for p in places]
        assert values == sorted(values, reverse=True) == pytest.approx(found.arrays["value"][k][: len(values)].tolist())
        wanted: list[tuple[int, int]] = []
        for row in g[:, k].argsort(descending=True).tolist():
            place = (int(where.documents[row]), int(where.positions[row]))
            if len(wanted) < LARGEST and [d for d, _ in wanted].count(place[0]) < 2 and g[row, k] > 0:
                wanted.append(place)
        assert places == wanted
        assert float(found.arrays["scale"][k]) == pytest.approx(sum(values) / len(values), rel=1e-5)
    assert (found.arrays["place"][SILENT] == -1).all() and (found.arrays["place"][PAPER, 4:] == -1).all()


def test_activations_around_a_context_are_those_of_its_neighbours(found: Description) -> None:
    where, g = index(), activations(index())
    rank = {(int(d), int(p)): i for i, (d, p) in enumerate(zip(where.documents, where.positions, strict=True))}
    for k in (SEA, PLAIN):
        largest = float(g[:, k].max())
        for prefix in ("", "random_"):
            for (d, p), near in zip(
                found.arrays[f"{prefix}place"][k].tolist(), found.arrays[f"{prefix}near"][k].tolist(), strict=True
            ):
                for shift, value in enumerate(near, start=-NEAR):
                    row = rank.get((d, p + shift))
                    wanted = 0.0 if row is None else float(g[row, k]) / largest
                    assert value == pytest.approx(255 * wanted, abs=0.51)
                assert near[NEAR] > 0


def test_random_contexts_are_active_and_deciles_are_of_active_tokens(found: Description) -> None:
    where, g = index(), activations(index())
    for k in (SEA, PAPER):
        floor = ACTIVE * float(found.arrays["scale"][k])
        drawn = found.arrays["random_value"][k]
        assert (drawn >= floor).all() and len(set(drawn.tolist())) == len(drawn)
        active = g[:, k][g[:, k] >= floor]
        assert found.arrays["deciles"][k][[0, 5, 10]].tolist() == pytest.approx(
            [float(active.min()), float(active.quantile(0.5)), float(active.max())]
        )
    shares = found.arrays["themes"]
    assert found.themes == sorted(THEMES) and shares[SEA].tolist() == pytest.approx([0, 1, 0])
    assert shares[[SEA, WORD, PAPER, PLAIN]].sum(1).tolist() == pytest.approx([1] * 4)
    assert len(where.tokens) == PASSAGES * TOKENS


def test_lower_end_of_a_share_is_wilsons() -> None:
    p, n, z = 0.3, 12.0, 1.96
    root = math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    assert lower_share(p, n) == pytest.approx((p + z * z / (2 * n) - z * root) / (1 + z * z / n))
    assert lower_share(1.0, 3) < 0.45 and lower_share(1.0, 1000) > 0.99 and lower_share(0.5, 0) == 0


# Words from a model


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    tokenizer = _byte_level()
    model = tiny_model("llama", vocab_size=4000, max_position_embeddings=256)
    ids = torch.tensor([tokenizer("the lamp is kept in Box A")["input_ids"]])
    spec = ModelSpec("default")
    return LoadedModel(model, tokenizer, spec, model_facts(model, ids, tokenizer, spec, ""))


PAPERS = [Passage(f"the {NOUNS[i]} a {NOUNS[i + 1]} is kept in Box {NOUNS[i + 2]}, and é", "odd") for i in range(4)]


def test_contexts_are_the_tokens_around_a_place(loaded: LoadedModel) -> None:
    texts = Texts(loaded, PAPERS)
    near = torch.arange(50).reshape(2, 25)
    found = texts.contexts(torch.tensor([[1, 4], [-1, -1]]), near, torch.tensor([2.5, 0.0]))
    assert len(found) == 1
    ids = list(loaded.tokenizer(PAPERS[1].text)["input_ids"])
    line = found[0]
    assert line.at == 4 and line.theme == "odd" and line.value == 2.5
    assert len(line.tokens) == len(line.values) == min(len(ids), 4 + NEAR + 1)
    plain = "".join(line.tokens).replace("␣", " ")
    assert PAPERS[1].text.startswith(plain.split("‹")[0])
    # The first value shown is that of position 0, twelve less four places into the stored window.
    assert line.values == pytest.approx([(NEAR - 4 + i) / 255 for i in range(len(line.tokens))], abs=1e-4)


def test_a_snippet_marks_its_token(loaded: LoadedModel) -> None:
    texts = Texts(loaded, PAPERS)
    ids = list(loaded.tokenizer(PAPERS[0].text)["input_ids"])
    for place in range(len(ids)):
        line = texts.snippet((0, place))
        token = loaded.tokenizer.decode([ids[place]]).strip() or "␣"
        assert f"[{token}]" in line
        if "\ufffd" not in line:
            assert line.replace("[", "").replace("]", "").replace("␣", "") in " ".join(PAPERS[0].text.split())
    assert texts.snippet((-1, -1)) == ""


def test_a_card_shows_what_is_stored(loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "bundled_corpus", lambda: list(PAPERS))
    site, generator = Site(1, "mlp_hidden"), torch.Generator().manual_seed(0)
    components = torch.zeros(2, 64)
    components[0, 5], components[0, 9], components[1, 3] = -0.8, 0.6, 1.0
    tokens = [list(loaded.tokenizer(p.text)["input_ids"]) for p in PAPERS]
    where = Index(
        torch.tensor([i for row in tokens for i in row]).int(),
        torch.tensor([d for d, row in enumerate(tokens) for _ in row]).int(),
        torch.tensor([p for row in tokens for p in range(len(row))]).int(),
    )
    g = torch.rand(len(where.tokens), 2, generator=generator)
    made = describe(g, where, [p.theme for p in PAPERS], labels)
    up, up_value, down, down_value = promoted(loaded, site, components, 20)
    arrays = made.arrays | {"plus": up, "plus_value": up_value, "minus": down, "minus_value": down_value}
    manifest: dict[str, Any] = {"rows": made.rows, "themes": made.themes, "layer": 1, "site": "mlp_hidden"}
    manifest |= {"source": {"kind": "bundled"}, "corpus": corpus_hash(PAPERS), "random_auc": [0.4, 0.6]}
    fit = Factorization("x", [Level(components)], arrays, manifest)
    card = card_of(loaded, fit, 0)
    assert [n.neuron for n in card.neurons] == [5, 9]
    assert [n.weight for n in card.neurons] == pytest.approx([-0.8, 0.6])
    assert 0 < len(card.contexts) <= 12 and len(card.random_contexts) == 4
    assert [t.id for t in card.plus] == up[0, :12].tolist()
    assert [t.logit for t in card.minus] == pytest.approx(down_value[0, :12].tolist())
    down_column = loaded.model.model.layers[1].mlp.down_proj.weight
    stream = (down_column[:, 9] * 0.6 - down_column[:, 5] * 0.8) * loaded.model.model.norm.weight
    logits = (stream @ loaded.model.get_output_embeddings().weight.T).detach()
    assert card.plus[0].logit == pytest.approx(float(logits.max()), rel=1e-3)
    assert card.detection.auc is None and card.detection.sentence
    fit.manifest["rows"][0]["detection"] = {
        **{"theme": "odd", "score": 0.4, "auc": 0.9, "interval": [0.8, 1.0], "shuffled_auc": 0.5},
        **{"passages": 5, "others": 9},
    }
    assert card_of(loaded, fit, 0).detection.random_auc == [0.4, 0.6]
    value = card.contexts[0].value
    assert value == pytest.approx(float(g[:, 0].max()), rel=1e-3) and card.contexts[0].values[
        card.contexts[0].at
    ] == pytest.approx(1, abs=0.01)
