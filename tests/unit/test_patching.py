"""Vectors written from one run into another, against slow versions in the library's own eager attention."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.ablation import MLP, TakenOut, plain_logits
from analysis.models.hooks import layout
from analysis.models.patches import WHATS, Patch, patches
from analysis.models.paths import SIDES, paths
from analysis.models.recording import LayerAttention, tapped
from analysis.models.trace import trace_prompt
from analysis.qk import QKSubspace, random_basis
from analysis.qk.contrasts.example import Example, Place
from analysis.qk.heldout import HeadSamples, collect
from analysis.qk.patching import (
    DRAWN,
    INSIDE,
    NONE,
    OUTSIDE,
    WHOLE,
    Continuation,
    answers_of,
    attention_on_matches,
    batches_of,
    differences,
    drawn_bases,
    halves,
    log_odds,
    moved,
    partners,
    patched_rows,
)
from tests.unit.test_token_heads import NAMES, PROJECTION, loaded

LAYER, HEAD, LENGTH = 1, 4, 12


def example(seed: int, positive: int = 9) -> Example:
    """The query is the last token; all keys lie in a window of five."""
    ids = torch.randint(3, 96, (LENGTH,), generator=torch.Generator().manual_seed(seed)).tolist()
    others = tuple(Place(0, p) for p in (8, 9, 10) if p != positive)
    return Example((tuple(ids),), Place(0, LENGTH - 1), (Place(0, positive),), others, str(seed), ("a", "b", "c"))


EXAMPLES = [example(seed, 8 + seed % 3) for seed in range(3)]


@contextmanager
def eager(model: Any, change: Any) -> Iterator[list[Tensor]]:
    """The library's own attention in block LAYER with HEAD's query or keys changed at the last token; its rows."""
    module: Any = sys.modules[type(model).__module__]
    own, before = module.eager_attention_forward, model.config._attn_implementation
    rows: list[Tensor] = []

    def forward(part: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **kwargs: Any) -> Any:
        output, weights = own(part, query, key, value, mask, **kwargs)
        if part.layer_idx != LAYER:
            return output, weights
        new_query, new_key = change(query.clone(), key.clone(), HEAD // (query.shape[1] // key.shape[1]))
        other, other_weights = own(part, new_query, new_key, value, mask, **kwargs)
        output = output.clone()
        output[:, -1, HEAD] = other[:, -1, HEAD]
        rows.append(other_weights[0, HEAD, -1, : key.shape[2]])
        return output, weights

    try:
        model.set_attn_implementation("eager")
        module.eager_attention_forward = forward
        yield rows
    finally:
        module.eager_attention_forward = own
        model.set_attn_implementation(before)


@pytest.mark.parametrize("side", ["query", "key"])
@pytest.mark.parametrize("name", NAMES)
def test_patches_are_those_of_the_librarys_own_attention(name: str, side: str) -> None:
    model = loaded(name)
    samples = collect(model, EXAMPLES, LAYER, HEAD)
    move = differences(samples, EXAMPLES, side)[0]
    assert move is not None
    d = samples.queries.shape[1]
    generator = torch.Generator().manual_seed(4)
    basis, drawn = random_basis(d, 2, generator), torch.stack([random_basis(d, 2, generator)])
    rows = patched_rows(samples, 0, move, side, basis, drawn)
    ids = EXAMPLES[0].prompts[0]
    before = Continuation(model, LAYER, HEAD)
    # Rows of another text beside these do not matter.
    logits = before.several([ids, EXAMPLES[1].prompts[0]], torch.stack([rows, rows.flip(0)]))[0]
    inside = move @ basis @ basis.mT
    parts = {WHOLE: move, OUTSIDE: move - inside, DRAWN: move @ drawn[0] @ drawn[0].mT}
    for row, part in parts.items():

        def change(query: Tensor, key: Tensor, group: int, part: Tensor = part) -> tuple[Tensor, Tensor]:
            if side == "query":
                query[0, HEAD, -1] += part[0]
            else:
                key[0, group, EXAMPLES[0].positive[0].position] += part[0]
            return query, key

        with eager(model.model, change) as seen:
            slow = model.model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        assert torch.allclose(rows[row].float(), seen[0].float(), atol=1e-5)
        assert torch.allclose(logits[row].log_softmax(-1), slow.log_softmax(-1), atol=2e-4)


@contextmanager
def heads_made_as(model: Any, what: str, kept: Any) -> Iterator[None]:
    """The library's own attention, block by block, with what a head does, or is given, as ``kept`` has it."""
    module: Any = sys.modules[type(model).__module__]
    own, before = module.eager_attention_forward, model.config._attn_implementation

    def forward(part: Any, query: Tensor, key: Tensor, value: Tensor, mask: Any, **kwargs: Any) -> Any:
        output, weights = own(part, query, key, value, mask, **kwargs)
        if part.layer_idx != LAYER:
            return output, weights
        now = {"query": query, "key": key, "value": value, "output": output, "pattern": weights}
        if not kept:
            kept.update({name: tensor.clone() for name, tensor in now.items()})
            return output, weights
        changed = now | {what: kept[what]}
        other = changed["output"]
        if what in ("query", "key", "value"):
            other, _ = own(part, changed["query"], changed["key"], changed["value"], mask, **kwargs)
        elif what == "pattern":
            group = HEAD // (query.shape[1] // key.shape[1])
            other = output.clone()
            other[0, :, HEAD] = kept["pattern"][0, HEAD, :, : key.shape[2]] @ value[0, group]
        output = output.clone()
        output[:, :, HEAD] = other[:, :, HEAD]
        return output, weights

    try:
        model.set_attn_implementation("eager")
        module.eager_attention_forward = forward
        yield
    finally:
        module.eager_attention_forward = own
        model.set_attn_implementation(before)


@pytest.mark.parametrize("name", NAMES)
def test_a_head_made_as_in_another_prompt_is_that_of_the_librarys_own_attention(name: str) -> None:
    one, ids, other = loaded(name), list(EXAMPLES[0].prompts[0]), list(EXAMPLES[1].prompts[0])
    for what in WHATS:
        kept: dict[str, Tensor] = {}
        with heads_made_as(one.model, what, kept), torch.no_grad():
            one.model(torch.tensor([other]), use_cache=False)
            slow = one.model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        [[found]] = list(patches(one, ids, other, [(LAYER, HEAD)], what))
        assert torch.allclose(found.logits.log_softmax(-1), slow.log_softmax(-1), atol=2e-4), what


def test_a_patch_from_the_same_prompt_is_none_and_one_of_a_token_is_of_that_token() -> None:
    one, ids, other = loaded("qwen3"), list(EXAMPLES[0].prompts[0]), list(EXAMPLES[1].prompts[0])
    plain = plain_logits(one, ids)
    for what in WHATS:
        [[same]] = list(patches(one, ids, ids, [(LAYER, HEAD)], what))
        assert torch.allclose(same.logits, plain, atol=1e-4)
    # Tokens that are the same in both prompts, and see the same, have the same values.
    alike = [*ids[:5], *other[5:]]
    [[early]] = list(patches(one, ids, alike, [(LAYER, HEAD)], "value", range(5)))
    assert torch.allclose(early.logits, plain, atol=1e-4)
    [both] = list(patches(one, ids, other, [(LAYER, HEAD), (LAYER, MLP)], "output", [LENGTH - 1]))
    assert all((part.logits - plain).abs().max() > 1e-3 for part in both)
    with pytest.raises(UserError, match="has 11 tokens here and this one 12"):
        list(patches(one, ids, other[:-1], [(LAYER, HEAD)], "output"))


def test_an_mlp_made_as_in_another_prompt_is_its_output_there() -> None:
    one, ids, other = loaded("llama"), list(EXAMPLES[0].prompts[0]), list(EXAMPLES[1].prompts[0])
    mlp = one.model.model.layers[LAYER].mlp
    outputs: list[Tensor] = []
    handle = mlp.register_forward_hook(lambda _m, _a, out: outputs.append(out) if not outputs else outputs[0])
    with torch.no_grad():
        one.model(torch.tensor([other]), use_cache=False)
        slow = one.model(torch.tensor([ids]), use_cache=False).logits[0, -1]
    handle.remove()
    [[found]] = list(patches(one, ids, other, [(LAYER, MLP)], "output"))
    assert torch.allclose(found.logits, slow, atol=1e-4)


PATHS = ["llama", "mistral", "qwen2", "qwen3", "gpt2", "gpt_neox", "gpt_oss", "cohere"]
"""Without a norm behind a part: there a head's change of the stream is a product with its slice of the projection."""


@pytest.mark.parametrize("name", PATHS)
def test_a_path_is_the_change_of_the_stream_given_to_one_side_of_one_head(name: str) -> None:
    one, ids, other = loaded(name), list(EXAMPLES[0].prompts[0]), list(EXAMPLES[1].prompts[0])
    part, to = (LAYER, HEAD), (LAYER + 2, 3)
    projection = layout(one).blocks[LAYER].get_submodule(PROJECTION.get(name, "self_attn.o_proj"))
    inputs: list[Tensor] = []
    handle = projection.register_forward_pre_hook(lambda _m, args: inputs.append(args[0].detach().clone()))
    with torch.no_grad():
        for text in (ids, other):
            one.model(torch.tensor([text]), use_cache=False)
    handle.remove()
    width = inputs[0].shape[-1] // 6
    slot = slice(HEAD * width, (HEAD + 1) * width)
    changed = inputs[0].clone()
    changed[..., slot] = inputs[1][..., slot]
    write = projection(changed) - projection(inputs[0])
    block = layout(one).blocks[to[0]]
    for side in SIDES:
        given: list[Any] = []

        def tap(record: LayerAttention, output: Tensor, side: Any = side, given: list[Any] = given) -> Tensor | None:
            if record.layer != to[0]:
                return None
            if not given:
                given.append(record)
                return None
            names = {"query": "queries", "key": "keys", "value": "values"}
            group = to[1] if side == "query" else to[1] // record.group
            mine = {n: getattr(record, n).clone() for n in names.values()}
            mine[names[side]][:, group] = getattr(given[0], names[side])[:, group]
            made = replace(record, **mine)
            output = output.clone()
            output[0, :, to[1]] = made.weights(slice(to[1], to[1] + 1))[0, 0] @ made.values[0, to[1] // record.group]
            return output

        with tapped(tap), torch.no_grad():
            handle = block.register_forward_pre_hook(lambda _m, args: (args[0] + write, *args[1:]))
            one.model(torch.tensor([ids]), use_cache=False)
            handle.remove()
            slow = one.model(torch.tensor([ids]), use_cache=False).logits[0, -1]
        [[found]] = list(paths(one, ids, [part, to], Patch(one, other, "output"), to, side))
        assert torch.allclose(found.logits.log_softmax(-1), slow.log_softmax(-1), atol=2e-4), side
        assert (found.logits - plain_logits(one, ids)).abs().max() > 1e-4


def test_a_path_of_an_unchanged_part_is_none_and_norms_behind_parts_are_passed() -> None:
    one, ids = loaded("gemma2"), list(EXAMPLES[0].prompts[0])
    parts = [(0, 2), (0, MLP), (1, 0), (1, MLP), (2, 1)]
    made = [part for batch in paths(one, ids, parts, Patch(one, ids, "output"), (2, 1), "key") for part in batch]
    assert [(part.layer, part.head) for part in made] == parts[:4]
    assert all(torch.allclose(part.logits, plain_logits(one, ids), atol=1e-4) for part in made)
    zero = [part for batch in paths(one, ids, parts, TakenOut(one, "zero"), (2, 1), "key") for part in batch]
    assert all((part.logits - plain_logits(one, ids)).abs().max() > 1e-4 for part in zero)


def test_a_whole_patch_is_the_other_run_and_no_patch_is_none() -> None:
    model, one = loaded("gpt_oss"), EXAMPLES[0]
    other = replace(one, prompts=((*one.prompts[0][:-1], 77),), label="other")
    samples = collect(model, [one, other], LAYER, HEAD)
    move = differences(samples, [one, other], "query")[0]
    assert move is not None
    d = samples.queries.shape[1]
    nothing, everything = torch.zeros(d, 0, dtype=torch.float64), torch.eye(d, dtype=torch.float64)
    rows = patched_rows(samples, 0, move, "query", nothing, everything[None])
    _, theirs = trace_prompt(model, list(other.prompts[0]), overview=False)[0].row(LAYER, HEAD, LENGTH - 1)
    # Its own key aside, the other run has the same keys.
    assert torch.allclose(rows[WHOLE, :-1] / rows[WHOLE, :-1].sum(), theirs[:-1] / theirs[:-1].sum(), atol=1e-6)
    assert torch.equal(rows[NONE], rows[INSIDE]) and torch.equal(rows[WHOLE], rows[OUTSIDE])
    assert torch.allclose(rows[DRAWN], rows[WHOLE], atol=1e-12) and (rows[WHOLE] - rows[NONE]).abs().max() > 1e-3


def planted() -> tuple[HeadSamples, list[Example], QKSubspace]:
    """Heads of 16 dimensions whose queries find one of four keys by two of them, and nothing by the others."""
    generator = torch.Generator().manual_seed(0)
    angles = torch.arange(4) * torch.pi / 2
    feature = 6 * torch.stack([angles.cos(), angles.sin()], 1).double()
    queries, keys, examples = [], [], []
    for number in range(40):
        asked = number % 4
        noise = torch.randn(4, 16, generator=generator, dtype=torch.float64)
        noise[:, :2] = feature
        query = torch.randn(16, generator=generator, dtype=torch.float64)
        query[:2] = feature[asked]
        queries.append(query)
        keys.append(noise)
        others = tuple(Place(0, p) for p in range(4) if p != asked)
        examples.append(Example(((5, 6, 7, 8, 9),), Place(0, 4), (Place(0, asked),), others, str(asked), ("",) * 4))
    record = LayerAttention(0, *(torch.zeros(1, 1, 1, 16),) * 3, None, 0.25, None, None, None)
    places = [[[p.position for p in side] for side in (e.positive, e.negative)] for e in examples]
    samples = HeadSamples(
        torch.stack(queries), keys, [torch.ones(4, dtype=torch.bool)] * 40, [own for own, _ in places],
        [other for _, other in places], [e.label for e in examples], [("",) * 4] * 40, [keys[0][:0]] * 40, record, 0,
    )  # fmt: skip
    eye = torch.eye(16, dtype=torch.float64)
    return samples, examples, QKSubspace(eye, eye, torch.ones(16, dtype=torch.float64), 2)


@pytest.mark.parametrize("side", ["query", "key"])
def test_a_planted_subspace_carries_all_and_random_ones_little(side: str) -> None:
    samples, examples, subspace = planted()
    moves = differences(samples, examples, side)
    assert len([move for move in moves if move is not None]) == 40
    drawn, both = drawn_bases(moves, 2, 20)
    values, _ = attention_on_matches(samples, moves, side, subspace.query_basis, drawn)
    assert both and [len(bases) for bases in drawn] == [40, 40]
    found = moved(values, 20)
    assert found.clean > 0.9 and found.inside is not None and found.outside is not None
    assert found.random is not None and found.matched is not None
    assert found.inside[1] > 0.9 and abs(found.outside[0]) < 0.1
    assert found.random[0] < 0.35 < found.inside[1] and found.random[0] < found.matched[0]
    assert found.inside[1] <= found.inside[0] <= found.inside[2]


def test_a_random_subspace_is_drawn_from_the_other_half_of_the_examples() -> None:
    rng = np.random.default_rng(1)
    moves = [torch.from_numpy(np.eye(16)[[half]] * rng.normal() * 3.0) for half in halves(40)]
    drawn, both = drawn_bases(moves, 1, 3)
    assert both
    for half, move in zip(halves(40), moves, strict=True):
        matched = drawn[half][3:]
        assert (move @ matched).abs().max() < 1e-9, "the test data are not in it"
    _, both = drawn_bases(moves[:8], 4, 3)
    assert not both, "as many dimensions as moves span them all"


def test_an_effect_that_is_none_is_not_shared_out() -> None:
    values = np.random.default_rng(0).normal(size=(30, 6))
    found = moved(values, 1)
    assert found.inside is None and found.random is None and abs(found.effect) <= 2 * found.error


def test_partners_ask_for_something_else() -> None:
    assert all(EXAMPLES[j].label != EXAMPLES[i].label for i, j in enumerate(partners(EXAMPLES)))
    alike = [replace(e, label="x") for e in EXAMPLES]
    assert all(alike[j].positive != alike[i].positive for i, j in enumerate(partners(alike)))
    with pytest.raises(UserError, match="ask for the same"):
        partners([alike[0]] * 9)


def test_answers_are_the_matching_tokens_where_the_query_ends_the_text() -> None:
    answers, why = answers_of(EXAMPLES, "induction")
    assert answers[0] == [EXAMPLES[0].prompts[0][8]] and not why
    assert not answers_of(EXAMPLES, "previous")[0]
    early = [replace(e, query=Place(0, LENGTH - 2)) for e in EXAMPLES]
    assert "not the last token" in answers_of(early, "template")[1]
    logits = torch.tensor([[0.0, 1.0, 2.0, 0.5]])
    share = float(logits.softmax(-1)[0, [1, 3]].sum())
    assert float(log_odds(logits, [1, 3])) == pytest.approx(np.log(share / (1 - share)))


def test_examples_are_read_together_where_they_have_one_length() -> None:
    short = replace(EXAMPLES[0], prompts=(EXAMPLES[0].prompts[0][1:],))
    some = [*EXAMPLES, short, short]
    assert [list(run) for run in batches_of(some, 4, 96)] == [[0, 1, 2], [3, 4]]
    assert [list(run) for run in batches_of(some, 4, 4 << 20)] == [[0], [1], [2], [3], [4]]


def test_keys_of_the_second_prompt_are_those_that_do_not_match() -> None:
    ids = EXAMPLES[0].prompts[0]
    two = Example((ids, EXAMPLES[1].prompts[0]), Place(0, 11), (Place(0, 9),), (Place(1, 9),), "a", ("a", "b"))
    samples = collect(loaded("llama"), [two], LAYER, HEAD)
    move = differences(samples, [two], "key")[0]
    other = trace_prompt(loaded("llama"), list(EXAMPLES[1].prompts[0]), overview=False)[0].layers[LAYER]
    theirs = other.keys[0, HEAD // other.group, 9].double()
    assert move is not None and torch.allclose(move[0], theirs - samples.keys[0][9], atol=1e-5)
