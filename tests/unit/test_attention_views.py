"""Every figure of the Attention page is drawn again from its JSON; what the browser draws, from the same cells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.engine.client import Reply
from analysis.qk.answers.corpus import CorpusHeads
from analysis.qk.answers.evidence import HeadEvidence, MapLegend, RankSwap, SubspaceTest, SwapTable
from analysis.qk.answers.features import (
    ContrastPreview,
    ExampleKey,
    ExampleToken,
    FeatureHeads,
    ShownExample,
    SubspaceOverlap,
)
from analysis.qk.answers.patch import Moved, PatchedSubspace
from analysis.qk.answers.prompt import (
    DrawnHeads,
    HeadCells,
    KeySwap,
    MapPlaces,
    NextTokens,
    QueryRow,
    Reading,
    SignedCells,
    SwapEffect,
)
from analysis.qk.answers.sites import PatchedSites
from analysis.qk.answers.token import HeadSources, Split, Target, TokenAblation, TokenHeads, TokenPatch, TokenPath
from analysis.view_ref import QuestionRef, ViewRef
from components.findings.exhibit import plain_figure
from components.kit.part import part_to_dict
from components.kit.view import VIEWS, Drawing, NoOptions, View
from components.qk.corpus_heads import heads_over_texts
from components.qk.drawn_heads import heads_as_drawn
from components.qk.evidence_card import FeatureOptions, evidence_rows, head_evidence
from components.qk.evidence_figures import TrialOptions, direction_bars, spectrum, swap_test
from components.qk.figures import PredictionOptions, RowOptions, SwapOptions, key_swap, prediction_bars, row_bars
from components.qk.heads import HeadOptions, heads_of_feature, heads_of_prompt, prompt_score
from components.qk.maps import MapOptions, overlap_matrices, prompt_map, trial_map
from components.qk.patch_view import PatchOptions, patched_by_rank, patched_shares
from components.qk.prompt_parts import AnswerOptions, attention_answer, contrast_examples, prompt_text
from components.qk.site_view import SiteOptions, sites_patched
from components.qk.token_heads import (
    SourceOptions,
    heads_before,
    heads_of_token,
    heads_patched,
    heads_taken_out,
    patch_score,
    patch_sentence,
    path_score,
    path_sentence,
    ranking,
    source_bars,
    token_score,
    why_sentence,
)
from components.qk.token_matrix import MatrixOptions, alignment_matrix, attention_matrix, for_browser
from pages.attention.opening import best_head
from pages.attention.state import Head
from pages.cards import content
from tests.unit.findings.pinned import pinned

WORDS = ["the", "<b>", "cat", "the", "<b>"]
RANDOM = np.random.default_rng(0)


def reading(labels: Sequence[str], heads: int = 3) -> Reading:
    """A prompt in a model of two layers."""
    scores = [RANDOM.random((2, heads)).astype(np.float32) for _ in range(5)]
    return Reading(
        tuple(labels), tuple(range(len(labels))), len(labels), (), NextTokens(("a",), (1.0,), (7,)), 2, heads, 4,
        (0, 1), *scores, RANDOM.integers(0, 255, (2, heads, 4, 4)).astype(np.uint8),
    )  # fmt: skip


def row(tokens: int, features: int = 2, **changes: Any) -> QueryRow:
    parts = RANDOM.normal(size=(tokens, features + 1)).astype(np.float32)
    attention = RANDOM.random(tokens).astype(np.float32)
    names = tuple("abcdef"[:features])
    answer = QueryRow("s", 2, names, (1,) * features, 1e-15, 0.125, None, False, attention, attention, parts,
                      parts.sum(1), np.ones(tokens, np.uint8))  # fmt: skip
    return replace(answer, **changes)


def cells(kind: type = HeadCells, size: int = 5, pool: int = 1, **more: Any) -> Any:
    low, dtype = (-127, np.int8) if kind is SignedCells else (0, np.uint8)
    return kind(0.5, pool, size * pool, np.tril(RANDOM.integers(low, 127, (size, size))).astype(dtype), **more)


SWAP = KeySwap(2, 4, 2, 50, (0.5, 0.1, 0.2, 0.3, 0.4), (0.1, 0.5, 0.05, 0.1, 0.2), np.array([0.2, 0.5, 0.1, 0.1, 0.1]),
               np.array([0.2, 0.1, 0.5, 0.1, 0.1]), RANDOM.random((3, 5)))  # fmt: skip
TABLE = SwapTable((RankSwap(0, 0.6, 0.1, 0.0), RankSwap(2, 0.2, 0.5, 0.9, 0.5, 0.2, 0.1, 0.1, 0.3, 1.0, 0.9, 0.8)), 36,
                  2, 5, 2.0, 0.1)  # fmt: skip
TEST = SubspaceTest(MapLegend(("x", "x", "y"), ("query", "positive", "negative"), (0.5, 0.3, 0.2)), np.eye(3),
                    np.zeros(2), np.eye(2), TABLE, False, "On new examples.", 40)  # fmt: skip
LINE = replace(TEST, axes=np.eye(1), centre=np.zeros(1))
EVIDENCE = HeadEvidence(
    9, 2, False, 80, 1, 1, 0.99, (2.0, 1.0), ([0.1, 0.1], [0.2, 0.2], [0.3, 0.3]), 20, 1, 1.0, 0.1, False, 3.0, 0.1,
    0.4, 0.0, 0.1, (2.0, 1.0), 2.0, 0.01, 1.0, 1.0, 1.0, 0.5, 0.1, 0.95, 0.3, (1.0, 2.0), "post",
)  # fmt: skip
MOVED = Moved(0.6, 0.02, 0.58, 0.03, (0.92, 0.88, 0.95), (0.1, 0.05, 0.2), (0.04, 0.01, 0.08), (0.3, 0.2, 0.5))
PATCHED = PatchedSubspace(9, 2, "query", 3, 64, 40, 0, 20, False, "40 examples that the fit has not seen.", MOVED,
                          replace(MOVED, matched=None), 0.3, "", np.ones((40, 4), np.float32), (1, 3),
                          np.full((2, 7), 0.95))  # fmt: skip
READING = reading(WORDS)
SCORES = FeatureHeads(40, 20, 0.3, 0.1, *[RANDOM.random((2, 3)).astype(np.float32) for _ in range(5)])
PREVIEW = ContrastPreview(
    (ShownExample((["a", "<b>", "c"], ["d", "e"]), "x", ExampleToken(0, 2, "c"), None, (ExampleKey(0, 1, "<b>", "x"),),
                  (ExampleKey(1, 0, "d", "y"),)),), 400, 20, 9_000, 3.0,
)  # fmt: skip
TARGET = Target(4, 7, -1, "<a>", "", NextTokens(("<a>", "b"), (0.5, 0.2), (7, 8)))
SPLIT = Split(3.0, 0.5, 0.0, 1e-7, 0.4, 0.6, 40, "")
WRITES = np.array([[0.5, -0.2, 0.1], [np.nan, 1.5, 0.3]], np.float32)
WRITING = TokenHeads(TARGET, 2, SPLIT, "", WRITES, np.array([0.7, -0.9], np.float32), abs(WRITES), abs(WRITES), WRITES)
TAKEN_OUT = TokenAblation(TARGET, "mean", False, 3.0, WRITES, np.array([0.2, 2.0], np.float32), abs(WRITES), np.ones(2))
MADE_AS = TokenPatch(*(getattr(TAKEN_OUT, f.name) for f in fields(TAKEN_OUT)), 1.0, "query", -1, (2, 4), ("dog", "<i>"))
SCORE_ORDER = ("entropy", "sink", "previous", "induction", "self", "distance")
OVER_TEXTS = CorpusHeads(
    SCORE_ORDER, 9, 64, (9,) * 6, *[RANDOM.random((6, 2, 3)).astype(np.float32) for _ in range(2)], np.ones((6, 2))
)
AS_DRAWN = DrawnHeads(WRITES, abs(WRITES), 0.3, 0.4, 40, 3, 4)
SITES = PatchedSites(
    TARGET,
    "residual",
    3.0,
    -1.0,
    tuple(WORDS),
    ("the", "<i>", "x", "dog", "the", "<b>"),
    ((0, 0), (1, 1), (2, 3)),
    1,
    *[np.array([[0, 2.5, 0.1], [0, 0.1, 3.9]], np.float32) for _ in range(2)],
    *[np.ones(2, np.float32)] * 2,
)
WAYS = TokenPath(*(getattr(TAKEN_OUT, f.name) for f in fields(TAKEN_OUT)), 5, 3, "query", None)
SOURCES = HeadSources(TARGET, 1.5, 1e-7, *[RANDOM.random(5).astype(np.float32) for _ in range(3)])
DRAWN: list[tuple[View[Any], tuple[Any, ...], Any]] = [
    (heads_of_prompt, (READING,), HeadOptions("entropy", patterns=True, chosen=(1, 2))),
    (heads_of_feature, (READING, SCORES), HeadOptions("trace", "Induction", ranked=True)),
    (attention_matrix, (READING, cells()), MatrixOptions(True)),
    (alignment_matrix, (READING, cells(SignedCells, rank=3, name="Induction")), NoOptions()),
    (row_bars, (READING, row(5)), RowOptions(4, unit="raw")),
    (key_swap, (READING, SWAP), SwapOptions(4, 1, 2)),
    (prediction_bars, (SwapEffect((4, 9), (0.5, 0.1), (0.1, 0.5), 0.3, ("x", "<y>"), 0.01, 2),), PredictionOptions(4)),
    (spectrum, (EVIDENCE,), NoOptions()),
    (direction_bars, (EVIDENCE,), NoOptions()),
    (trial_map, (TEST,), MapOptions(9, 2, deep=True, by_label=True)),
    (prompt_map, (TEST, READING, MapPlaces((4, 0, 1), np.eye(3))), MapOptions(9, 2, asked=1)),
    (prompt_map, (LINE, READING, MapPlaces((4, 0, 1), np.eye(3))), MapOptions(9, 2, deep=True, asked=1)),
    (swap_test, (TEST,), TrialOptions(9, 2)),
    (patched_shares, (PATCHED,), PatchOptions("Induction")),
    (patched_by_rank, (PATCHED,), PatchOptions("<b>")),
    (overlap_matrices, (SubspaceOverlap(([1.0],), ([1.0],), ([0.5],), ("Induction",)),), NoOptions()),
    (prompt_text, (READING,), NoOptions()),
    (attention_answer, (READING, row(5)), AnswerOptions(4)),
    (head_evidence, (EVIDENCE,), FeatureOptions("Induction")),
    (contrast_examples, (PREVIEW,), FeatureOptions("Induction")),
    (heads_of_token, (READING, WRITING), HeadOptions("writes", ranked=True, chosen=(1, 2))),
    (heads_taken_out, (READING, TAKEN_OUT), HeadOptions("falls")),
    (heads_patched, (READING, MADE_AS), HeadOptions("falls")),
    (sites_patched, (SITES,), SiteOptions()),
    (sites_patched, (SITES,), SiteOptions("kl")),
    (heads_as_drawn, (READING, AS_DRAWN), HeadOptions("drawn")),
    (heads_over_texts, (READING, OVER_TEXTS), HeadOptions("texts-entropy", chosen=(1, 2))),
    (heads_before, (READING, WAYS), HeadOptions("falls", chosen=(1, 2))),
    (source_bars, (READING, SOURCES), SourceOptions(4, 2)),
]


def as_json(value: Any) -> str:
    return json.dumps(value, default=np.ndarray.tolist)


def test_every_view_of_the_page_is_here() -> None:
    assert {view.name for view, _, _ in DRAWN} == {name for name in VIEWS if name.startswith("attention/")}


@pytest.mark.parametrize(("view", "answers", "options"), DRAWN, ids=[view.name for view, _, _ in DRAWN])
def test_a_figure_is_drawn_again_from_its_json(view: View[Any], answers: tuple[Any, ...], options: Any) -> None:
    ref = view.ref([QuestionRef("Q", {})] * len(answers), options)
    again = ViewRef.from_dict(json.loads(json.dumps(ref.to_dict())))
    one = view.draw(*answers, options, "light")
    two = VIEWS[again.view].draw(*answers, VIEWS[again.view].options_from(again.options), "light")
    assert as_json(one.figure) == as_json(two.figure) and one.caption == two.caption != ""
    assert as_json([part_to_dict(p) for p in one.parts]) == as_json([part_to_dict(p) for p in two.parts])
    assert one.control == two.control and one.numbers == two.numbers
    if one.figure is None:
        assert one.parts
    else:
        assert one.figure["data"]
        assert as_json(view.draw(*answers, options, "dark").figure) != as_json(one.figure)


@pytest.mark.parametrize(("view", "answers", "options"), DRAWN, ids=[view.name for view, _, _ in DRAWN])
def test_a_pin_is_drawn_from_its_kept_answers(
    view: View[Any], answers: tuple[Any, ...], options: Any, tmp_path: Path
) -> None:
    questions = [QuestionRef("Q", {})] * len(answers)
    one = view.draw(*answers, options, "light")
    seen, again = pinned(tmp_path, view.ref(questions, options), [Reply(a, questions[0]) for a in answers], one)
    assert seen["frozen"] is None and seen["control"] == (None if one.control is None else asdict(one.control))
    assert seen["numbers"].items() >= one.numbers.items()
    assert again.caption == one.caption and again.parts == one.parts
    assert one.figure is None or plain_figure(again.figure or {}) == plain_figure(one.figure)


def drawn(name: str) -> Drawing:
    view, answers, options = next(row for row in DRAWN if row[0].name == name)
    drawing: Drawing = view.draw(*answers, options, "light")
    return drawing


def test_controls_and_numbers_are_those_of_the_answer() -> None:
    spectrum_drawn, trace, swap, prediction = (
        drawn(f"attention/{n}") for n in ("spectrum", "directions", "swap", "prediction")
    )
    assert spectrum_drawn.control is not None and spectrum_drawn.control.name == "shuffled labels"
    assert spectrum_drawn.control.numbers == {"first singular value, 95 %": 0.3, "relabellings": 20}
    assert spectrum_drawn.numbers["first singular value"] == 2.0
    assert trace.control is not None and set(trace.control.numbers.values()) == {0.0, 0.1}
    assert swap.control is not None and swap.control.name == "random subspaces" and "50 random" in swap.control.text
    assert (swap.numbers["first key before"], swap.numbers["first key after"]) == (0.5, 0.1)
    assert (swap.control.numbers["first key, median"], swap.control.numbers["second key, 5 %"]) == (0.3, 0.05)
    assert prediction.control is not None and prediction.control.numbers == {"KL": 0.01}
    assert prediction.numbers == {"KL": 0.3, "first before": 0.5, "first after": 0.1}
    for name in ("map", "map with the prompt", "swaps by rank"):
        test = drawn(f"attention/{name}")
        assert test.control is not None and test.control.numbers["target"] == 0.2 and test.numbers["target"] == 0.5
        assert test.numbers["share of the gap, key side"] == 0.9 and "On new examples." in test.control.text


def test_heads_are_held_against_chance_or_shuffled_labels_and_a_prompt_against_nothing() -> None:
    assert drawn("attention/heads").control is None and drawn("attention/matrix").control is None
    share = heads_of_feature.draw(READING, SCORES, HeadOptions("hits", "Induction"), "light")
    assert share.control is not None and (share.control.name, share.control.numbers) == ("chance", {"share won": 0.3})
    gap = heads_of_feature.draw(READING, SCORES, HeadOptions("gap", "Induction", chosen=(1, 2)), "light")
    assert gap.control is not None and gap.control.numbers["standard deviations"] == float(SCORES.trace_z[1, 2])
    assert gap.control.text.startswith("This score has no null of its own.")
    assert gap.numbers["layer 1 head 2"] == float(SCORES.contrast[1, 2])
    bare = replace(SCORES, trace_z=np.full_like(SCORES.trace_z, np.nan), chance=None)
    for score in ("gap", "hits", "trace", "z"):
        assert heads_of_feature.draw(READING, bare, HeadOptions(score, "Induction"), "light").control is None


def test_what_has_no_null_has_no_control() -> None:
    alone = replace(EVIDENCE, null_band=None, above_null=None, trace_null_mean=None, trace_null_sd=None)
    untried = replace(TEST, swaps=None)
    assert (
        spectrum.draw(alone, NoOptions(), "light").control is direction_bars.draw(alone, NoOptions(), "light").control
    )
    assert head_evidence.draw(alone, FeatureOptions("f"), "light").control is None
    assert trial_map.draw(untried, MapOptions(9, 2), "light").control is None


def test_heads_and_mlps_rank_together_and_the_caption_gives_sum_remainder_and_chance() -> None:
    score = token_score(WRITING, "writes")
    assert [(a, b) for a, b, _ in ranking(score, 2, 1)] == [(1, 1), (0, -1), (0, 0), (1, -1)]
    drawing = heads_of_token.draw(READING, WRITING, HeadOptions("writes", chosen=(1, 1)), "light")
    assert "“<a>” over the mean of all: +3.0 = heads +2.2, MLPs -0.2, embedding +0.5" in drawing.caption
    assert "remainder 1e-07" in drawing.caption and "a head 0.4, an MLP 0.6" in drawing.caption
    assert drawing.figure["data"][0]["customdata"][3] == [[0, -1], [1, -1]]
    assert drawing.control is not None and drawing.control.numbers == {"largest head": 0.4, "largest MLP": 0.6}
    assert why_sentence(score, "w", 1, 1, "writes") == "Layer 1, head 1 writes +1.50 nats towards w, first of 5 heads."
    assert why_sentence(score, "w", 1, 0, "writes") == "" == why_sentence(score, "w", 9, 0, "writes")


def test_a_model_that_cannot_be_split_says_so_and_still_ranks_by_attention() -> None:
    nothing = np.full((2, 3), np.nan, np.float32)
    refused = replace(WRITING, split=None, refused="It cannot.", writes=nothing, mlps=nothing[:, 0], from_key=nothing)
    drawing = heads_of_token.draw(READING, refused, HeadOptions("writes"), "light")
    assert drawing.caption.startswith("It cannot.") and drawing.control is None
    assert "Attention of token 4 to token 2." in heads_of_token.draw(READING, refused, HeadOptions("pair"), "d").caption
    out = heads_taken_out.draw(READING, TAKEN_OUT, HeadOptions("falls"), "light")
    assert out.caption.startswith(
        "“<a>” over the mean of all, +3.0: its fall with one output at its mean. 90 % of heads:"
    )
    guess = heads_taken_out.draw(READING, replace(TAKEN_OUT, estimated=True), HeadOptions("falls"), "light")
    assert "its fall, to first order, with one output at its mean" in guess.caption
    unasked = replace(WRITING, key=-1, attention=nothing)
    assert heads_of_token.draw(READING, unasked, HeadOptions("pair"), "dark").caption.startswith("Choose a key")


def test_the_row_of_a_query_is_shaded_text_with_its_numbers() -> None:
    answer = row(5)
    drawing = attention_answer.draw(READING, answer, AnswerOptions(3), "light")
    (texts,) = drawing.parts
    (text,) = texts.texts
    assert text.text == "".join(WORDS) == "".join(token for token, _ in text.tokens)
    shades = [shade for _, shade in text.tokens]
    assert shades[0] == shades[4] == 0.0 and max(shades) == 1.0 and "not the model's answer" in drawing.caption
    assert drawing.numbers["attention"] == float(answer.attention[2])
    assert drawing.numbers["unexplained"] == float(answer.parts[2, -1])
    assert row_bars.draw(READING, replace(answer, masked=True), RowOptions(4), "light").numbers == {}


def test_a_prompt_is_text_with_its_spaces() -> None:
    generated = replace(reading(["A", "␣<b>", "⏎", "␣c"]), prompt_tokens=3)
    texts, table = prompt_text.draw(generated, NoOptions(), "light").parts
    assert [(t.title, t.text) for t in texts.texts] == [("The prompt, token by token", "A <b>\n"), ("Generated", " c")]
    assert table.rows == (("a", 1.0),)


def test_the_examples_of_a_contrast_are_marked() -> None:
    (texts,) = drawn("attention/contrast").parts
    assert [t.tokens for t in texts.texts] == [
        (("a", 0.0), ("<b>", 1.0), ("c", -1.0)),
        (("d", 0.35), ("e", 0.0)),
    ]
    assert [t.title for t in texts.texts] == ["Example 1, prompt 1", "Example 1, prompt 2"]


def test_the_evidence_that_is_pinned_is_that_of_the_page() -> None:
    drawing = drawn("attention/evidence")
    assert drawing.parts[0].rows == tuple(evidence_rows(EVIDENCE)) and "Induction, layer 9, head 2" in drawing.caption
    assert drawing.control == drawn("attention/spectrum").control and drawing.numbers["share won"] == EVIDENCE.hits


def test_an_export_says_what_a_rule_chose() -> None:
    """A question may ask for a rank of -1 and a key of -1; whoever reads the exported figure needs the real ones."""
    facts = {view.name: view.draw(*answers, options, "light").facts for view, answers, options in DRAWN}
    assert json.loads(json.dumps(facts)) == facts, "plain data"
    assert facts["attention/bars"] == {"key": 2, "ranks": [1, 1]} and facts["attention/alignment"] == {"rank": 3}
    assert facts["attention/matrix"] == {"step": pytest.approx(0.5 / 255)}
    assert facts["attention/swap"] == facts["attention/prediction"] == {"rank": 2}
    assert facts["attention/spectrum"] == facts["attention/directions"] == {"rank": 1, "permutations": 20}
    for name in ("map", "map with the prompt", "swaps by rank"):
        assert facts[f"attention/{name}"] == {"examples": 40, "tested_on": "On new examples."}
    ref = content(spectrum, Reply(EVIDENCE, QuestionRef("Q", {})), theme="light")["ref"]
    assert ref["facts"] == facts["attention/spectrum"] and ViewRef.from_dict(ref).view == "attention/spectrum"


@pytest.mark.parametrize("skip", [True, False])
@pytest.mark.parametrize("pool", [1, 3])
def test_a_matrix_is_what_its_packed_cells_say(skip: bool, pool: int) -> None:
    head, prompt = cells(pool=pool), reading([f"t{i}" for i in range(5 * pool)])
    trace = attention_matrix.draw(prompt, head, MatrixOptions(skip), "light").figure["data"][0]
    seen = np.tril(np.ones((5, 5), bool))
    wanted = np.where(seen, head.cells / 255 * 0.5, np.nan)
    if skip:
        wanted[:, 0] = wanted[0] = np.nan
    assert np.allclose(trace["z"], wanted, equal_nan=True) and trace["x"] == trace["y"]
    assert trace["zmax"] == pytest.approx(np.nanmax(wanted) if skip else 0.5)
    assert trace["x"][1] == ("1 t1" if pool == 1 else "3–6")
    packed = for_browser(prompt, head, attention_matrix.ref([QuestionRef("Q", {})] * 2))
    assert packed["tokens"] == 5 * pool and packed["figure"]["data"][0]["x"] == trace["x"]
    assert "z" not in packed["figure"]["data"][0] and packed["ref"]["view"] == "attention/matrix"
    assert packed["ref"]["facts"] == {"step": pytest.approx(0.5 / 255)}


def test_what_is_masked_in_a_signed_matrix_is_empty() -> None:
    masked = SignedCells(2.0, 1, 2, np.array([[127, 0], [-128, -127]], np.int8), 3, "f")
    trace = alignment_matrix.draw(reading(["a", "b"]), masked, NoOptions(), "light").figure["data"][0]
    assert np.allclose(trace["z"], [[2, np.nan], [np.nan, -2]], equal_nan=True)
    assert (trace["zmin"], trace["zmax"]) == (-2, 2) and "nats" in trace["hovertemplate"]


def test_the_caption_of_bars_says_what_is_left_out_and_added() -> None:
    long = reading([f"t{i}" for i in range(80)])
    text = row_bars.draw(
        long,
        row(80, softcap=30.0, attention=np.linspace(1, 0, 80, dtype=np.float32)),
        RowOptions(79, "both", "token"),
        "light",
    ).caption
    for words in (
        "Difference to the chosen token, in nats, split on both sides.",
        "what overlaps goes to the first",
        "±30",
        "The 48 tokens with most attention of 80",
        "The first token is left out",
        "Sum check",
    ):
        assert words in text
    plain = row_bars.draw(READING, row(5, 0), RowOptions(4, skip_first=False), "light").caption
    assert plain == "Difference to the mean of the other candidates, in nats, split on the query side."


def test_a_bar_of_the_prediction_carries_its_token() -> None:
    view, answers, options = DRAWN[6]
    assert [t["customdata"] for t in view.draw(*answers, options, "light").figure["data"]] == [(4, 9)] * 2


def test_a_patch_names_what_the_prompts_differ_by_and_gives_no_share_of_nothing() -> None:
    score = patch_score(MADE_AS, WORDS)
    assert "+3.0 here, +1.0 in the other prompt (“cat” → “dog”, “<b>” → “<i>”)" in score.said
    assert "one head’s queries taken from there. 90 % of heads" in score.said
    assert "at token 2" in patch_score(replace(MADE_AS, at=2), WORDS).said
    said = patch_sentence(score, MADE_AS, 1, 1)
    assert "falls by 1.50 nats, 75% of what the prompts differ by; first of 5 heads" in said
    same = replace(MADE_AS, other_total=3.0)
    assert "what the prompts differ by" not in patch_sentence(score, same, 1, 1)
    assert patch_sentence(score, MADE_AS, 1, 0) == ""
    ways = path_score(WAYS)
    assert "+3.0: its fall where one output, at its mean, reaches only the query of layer 5, head 3." in ways.said
    assert "fall by 1.50 nats; first of 5 heads" in path_sentence(ways, WAYS, 1, 1)
    assert "no way leads into layer 5, head 3" in path_sentence(ways, WAYS, 7, 1)
    assert ", +3.0 here, +1.0 in the other prompt" in path_score(replace(WAYS, other_total=1.0, baseline="other")).said


@pytest.mark.parametrize(
    ("test", "rotary", "words"),
    [
        (TEST, "post", "original / target attention"),
        (replace(TEST, swaps=None), "pre", "there is no logit to swap"),
        (replace(TEST, swaps=None), "post", "lie in another prompt"),
        (replace(TEST, swaps=replace(TABLE, rows=())), "post", "No query of these examples sees both"),
    ],
)
def test_a_test_without_swaps_says_why(test: SubspaceTest, rotary: str, words: str) -> None:
    drawing = swap_test.draw(test, TrialOptions(9, 2, rotary), "light")
    assert words in drawing.caption and bool(drawing.figure["data"]) == (words == "original / target attention")


def test_the_best_head_is_the_last_of_the_strongest_or_of_those_that_look_back() -> None:
    scores = np.array([[0.1, 0.9, 0.90001], [np.nan, 0.2, 0.3]], np.float32)
    assert best_head(replace(READING, induction=scores)) == Head(0, 2)
    nothing = np.full((2, 3), np.nan, np.float32)
    assert best_head(replace(READING, induction=nothing, previous=scores.T.reshape(2, 3))) == Head(1, 1)
    assert best_head(replace(READING, induction=nothing, previous=nothing)) == Head(0, 0)
    assert prompt_score(READING, "self").values.shape == (2, 3)


def test_a_map_of_one_direction_has_one_axis_and_a_row_for_each_kind() -> None:
    flat = trial_map.draw(LINE, MapOptions(9, 2, deep=True), "light")
    assert flat.figure is not None and {t["type"] for t in flat.figure["data"]} == {"scatter"}
    assert flat.figure["layout"]["yaxis"]["type"] == "category" and "title" not in flat.figure["layout"]["yaxis"]
    assert {t["y"][0] for t in flat.figure["data"]} == {"query", "matching key", "other key"}
    plane = trial_map.draw(TEST, MapOptions(9, 2), "light")
    assert "one direction" in flat.caption and "common principal axes" in plane.caption


def test_captions_say_what_is_supposed_and_on_what_was_measured() -> None:
    swap = key_swap.draw(READING, SWAP, SwapOptions(4, 1, 2), "light")
    assert swap.caption.startswith("Suppose “<b>” looked like “cat” to this head")
    heads = heads_of_feature.draw(READING, SCORES, HeadOptions("gap", "Induction"), "light")
    assert "Measured on the 40 examples of the feature, not on your prompt." in heads.caption and heads.hint
