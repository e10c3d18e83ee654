"""Scores of heads over texts: patterns whose scores are known, and the eager models' own attention, entry by entry."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analysis.corpora import passages, sources
from analysis.engine.context import Context
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import Cancelled, UserError
from analysis.mfa.ops.fit import KeepTexts
from analysis.models.frames import text_ids
from analysis.models.head_scores import SCORES, head_scores, induction_targets
from analysis.qk import corpus_scores as module
from analysis.qk.answers.corpus import CorpusHeads
from analysis.qk.corpus_scores import corpus_scores
from analysis.qk.ops.corpus import CorpusPlan, CorpusScores
from components.qk.corpus_heads import CORPUS_SCORES, corpus_score, heads_over_texts
from components.qk.heads import HeadOptions, prompt_score
from tests.unit.test_attention_views import reading
from tests.unit.test_fit import loaded_tiny
from tests.unit.test_token_heads import reader
from tests.unit.tiny_models import tiny_model

ROWS = [[5, 9, 12, 30, 7, 9, 12, 44, 5, 9], [3, 4, 6, 8, 10, 11, 13, 14, 15, 16], [20, 20, 20, 7, 8, 20, 7, 8, 9, 7]]
"""Of the second nothing repeats."""


def slow(name: str) -> dict[str, np.ndarray]:
    """Per score (rows, L, H), from what the library's eager attention gives, by loops."""
    out = tiny_model(name, "eager")(torch.tensor(ROWS), use_cache=False, output_attentions=True)
    layers = [a.double().numpy() for a in out.attentions]
    found = {s: np.full((len(ROWS), len(layers), layers[0].shape[1]), np.nan) for s in SCORES}
    for r, ids in enumerate(ROWS):
        size = len(ids)
        for layer, all_heads in enumerate(layers):
            for head, w in enumerate(all_heads[r]):
                at = (r, layer, head)
                inner = range(1, size)
                found["entropy"][at] = np.mean([-sum(x * math.log(x) for x in w[i] if x > 0) for i in inner])
                found["sink"][at] = np.mean([w[i][0] for i in inner])
                found["previous"][at] = np.mean([w[i][i - 1] for i in inner])
                found["self"][at] = np.mean([w[i][i] for i in inner])
                away = sum(w[i][j] * (i - j) for i in inner for j in range(1, i + 1))
                found["distance"][at] = away / sum(w[i][j] for i in inner for j in range(1, i + 1))
                asked = {i: [j for j in range(1, i) if ids[j - 1] == ids[i]] for i in range(size)}
                parts = [sum(w[i][j] for j in js) for i, js in asked.items() if js]
                found["induction"][at] = np.mean(parts) if parts else np.nan
    return found


@pytest.mark.parametrize("name", ["llama", "mistral", "gpt_oss"])  # grouped keys, a window, sinks
def test_means_and_errors_are_those_of_the_eager_models_attention(name):
    answer, wanted = corpus_scores(loaded_tiny(name), ROWS), slow(name)
    assert answer.counts[answer.names.index("induction")] == 2 and answer.counts[0] == 3
    for n, score in enumerate(answer.names):
        count = np.isfinite(wanted[score]).sum(0)
        assert np.allclose(answer.values[n], np.nanmean(wanted[score], 0), atol=2e-4), score
        errors = np.nanstd(wanted[score], 0, ddof=1) / np.sqrt(count)
        assert np.allclose(answer.errors[n], errors, atol=2e-4), score


def test_patterns_that_are_known_have_the_scores_that_they_must_have():
    ids, size = ROWS[0], len(ROWS[0])
    previous, first, copies = (np.zeros((size, size)) for _ in range(3))
    for i in range(size):
        previous[i, max(0, i - 1)] = first[i, 0] = 1
        after = [j for j in range(1, i) if ids[j - 1] == ids[i]]
        copies[i, after or [i]] = 1 / len(after or [i])
    weights = torch.tensor(np.stack([previous, first, copies])[None]).float()
    one = {name: values[0].tolist() for name, values in head_scores(weights, induction_targets([ids])).items()}
    assert one["previous"][:2] == [1, pytest.approx(1 / 9)] and one["sink"][1] == 1 and one["induction"][2] == 1
    assert one["entropy"][:2] == [0, 0] and one["entropy"][2] > 0 and one["self"][:2] == [0, 0]
    # One step back of all but the first token; and no attention elsewhere leaves no distance.
    assert one["distance"][0] == pytest.approx(1) and math.isnan(one["distance"][1])
    assert all(math.isnan(v) for v in head_scores(weights, None)["induction"][0])
    uniform = torch.ones(1, 1, size, size).tril()
    alike = head_scores(uniform / uniform.sum(-1, keepdim=True), None)
    assert float(alike["entropy"]) == pytest.approx(np.mean([math.log(i + 1) for i in range(1, size)]), abs=1e-5)
    again = corpus_scores(loaded_tiny("llama"), [ids, ids]).uniform
    assert np.allclose(again[SCORES.index("entropy")], float(alike["entropy"]), atol=1e-5)


def test_a_job_over_the_corpus_says_what_it_costs_is_kept_and_ends_between_batches(tmp_path: Path, monkeypatch):
    residents = Residents(limit=1)
    residents.put(reader())
    context = Context(residents, ResultStore(tmp_path))
    asked = CorpusScores(passages=12, tokens=128)
    plan = CorpusPlan(passages=12, tokens=128)
    assert plan.run(context).tokens == 12 * 128 and plan.run(context).seconds > 0 and not plan.run(context).kept
    told: list[dict[str, Any]] = []
    monkeypatch.setattr(context, "on_progress", told.append)
    answer = CorpusScores.answer_from(context.perform(asked))
    assert told[-1]["share"] == 1 and len(told) == 3 and plan.run(context).kept
    assert answer.texts == 12 and answer.values.shape == (6, 4, 6) and np.isfinite(answer.values).all()
    assert answer.of is None and [("so_far" in facts) for facts in told] == [True, False, False]

    def stop(_facts: object) -> None:
        raise Cancelled

    monkeypatch.setattr(context, "on_progress", stop)
    with pytest.raises(Cancelled):
        CorpusScores(passages=13, tokens=128).run(context)
    monkeypatch.setattr(sources, "bundled_corpus", lambda: [passages.Passage("One short text.")] * 3)
    with pytest.raises(UserError, match="has 0 texts of 128 tokens or more, not 96") as refused:
        CorpusScores(tokens=128).run(context)
    assert refused.value.field == "passages"


def test_what_is_measured_so_far_are_the_means_of_the_texts_that_were_read(monkeypatch):
    """In batches of one text, told after each: what is sent as JSON and drawn is the answer over the texts so far."""
    monkeypatch.setattr(module, "EVERY", 0.0)
    monkeypatch.setattr(module, "_BATCH_TOKENS", 10)
    told: list[str] = []
    model = loaded_tiny("mistral")
    corpus_scores(model, ROWS, lambda share, text="", **facts: told.append(json.dumps(facts.get("so_far"))))
    assert len(told) == 3 and told[-1] == "null"  # the last one is the answer itself
    for count, text in enumerate(told[:-1], start=1):
        now, wanted = CorpusHeads.received(json.loads(text)), corpus_scores(model, ROWS[:count])
        assert now.texts == count and now.counts == wanted.counts and now.names == wanted.names
        assert np.allclose(now.values, wanted.values, atol=6e-4, equal_nan=True)
        assert np.allclose(now.uniform, wanted.uniform, atol=6e-4, equal_nan=True) and np.isnan(now.errors).all()


def test_own_texts_are_read_in_place_of_the_corpus_and_named(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    residents = Residents(limit=1)
    residents.put(reader())
    context = Context(residents, ResultStore(tmp_path))
    some = [passage.text for passage in passages.bundled_corpus()[:3]]
    kept = KeepTexts(name="letters.txt", text="\n\n".join(some), least=20).run(context)
    asked = CorpusScores(passages=2, tokens=32, source=kept.source)
    answer = asked.run(context)
    assert (
        answer.of == "letters.txt"
        and "texts of 32 tokens of “letters.txt”"
        in corpus_score(
            replace(reading(["a", "b", "c"]), entropy=answer.values[0].astype(float)), answer, "texts-entropy"
        ).caption
    )
    # Their own rows, drawn as the operation says, give the same numbers.
    ids = [text_ids(reader().tokenizer, some[int(n)])[:32] for n in np.random.default_rng(0).permutation(3)[:2]]
    assert np.array_equal(answer.values, corpus_scores(reader(), ids).values, equal_nan=True)
    assert not np.allclose(answer.values[0], CorpusScores(passages=2, tokens=32).run(context).values[0])
    with pytest.raises(UserError, match=r"“letters\.txt” has 3 texts of 32 tokens or more, not 4") as refused:
        CorpusScores(passages=4, tokens=32, source=kept.source).run(context)
    assert refused.value.field == "passages"
    with pytest.raises(UserError, match="only 2 words; there must be at least 20") as few:
        KeepTexts(name="a.txt", text="two words", least=20).run(context)
    assert few.value.field == "texts"
    for wrong in ("{", "[1]", '{"kind": "file"}'):
        with pytest.raises(UserError) as bad:
            CorpusScores(source=wrong)
        assert bad.value.field == "texts"


def test_the_picture_says_of_how_many_texts_and_what_the_prompt_gives_beside():
    read, names = reading(["a", "b", "c"]), list(SCORES)
    assert set(CORPUS_SCORES) == {f"texts-{name}" for name in names}
    values = np.arange(36, dtype=np.float32).reshape(6, 2, 3) / 36
    scored = CorpusHeads(tuple(names), 9, 64, (9,) * 6, values, values / 100, np.full((6, 2), 0.25, np.float32))
    drawing = heads_over_texts.draw(read, scored, HeadOptions("texts-sink", chosen=(1, 2)), "light")
    assert "9 texts of 64 tokens" in drawing.caption and "alike: 0.25." in drawing.caption
    assert drawing.control is not None and drawing.control.numbers["lowest layer"] == 0.25
    assert "on this prompt" in drawing.figure["data"][0]["text"][0][0]
    assert drawing.numbers["layer 1 head 2"] == pytest.approx(11 / 36, abs=1e-6)


def test_a_distance_of_next_to_no_attention_is_not_given_and_its_share_stands_beside():
    read, names = reading(["a", "b", "c"]), list(SCORES)
    values = np.full((6, 2, 3), 0.5, np.float32)
    values[names.index("sink"), 0, 0], values[names.index("distance"), 0, 0] = 0.97, 40
    scored = CorpusHeads(tuple(names), 9, 64, (9,) * 6, values, values / 100, np.full((6, 2), 0.25, np.float32))
    score = corpus_score(read, scored, "texts-distance")
    assert np.isnan(score.values[0, 0]) and (0, 0) not in score.best and len(score.best) == 5
    assert score.matching is not None and score.matching[0, 0] == pytest.approx(0.03)
    assert "less than 5%" in score.caption and "not on the first token" in score.name
    here = prompt_score(replace(read, sink=np.full_like(read.entropy, 0.99), distance=read.entropy), "distance")
    assert np.isnan(here.values).all() and "less than 5%" in here.caption
    assert prompt_score(read, "entropy").matching is None
