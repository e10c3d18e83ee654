"""Runs with vectors added at the last position: the fast path is the slow one, and nothing else is touched."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.errors import UserError
from analysis.models.loaded_model import LoadedModel
from analysis.models.loader import adopt
from analysis.models.spec import ModelSpec
from analysis.othello.model import build, othello_config, othello_tokenizer
from analysis.othello.squares import TOKEN_OF_SQUARE
from analysis.tpr.activations import read
from analysis.tpr.cases import random_cases
from analysis.tpr.interventions import run_edited, run_slowly

LAYERS, WIDTH = 3, 32


def network(dtype: torch.dtype = torch.float32) -> LoadedModel:
    torch.manual_seed(0)
    model = build(othello_config(layers=LAYERS, width=WIDTH, heads=2)).eval()
    with torch.no_grad():  # fresh weights are so small that every edit would look alike
        for p in model.parameters():
            p += 0.1 * torch.randn_like(p)
    return adopt(model.to(dtype), othello_tokenizer(), ModelSpec("othello"))


def ids(moves: tuple[int, ...]) -> Tensor:
    return torch.tensor([[int(TOKEN_OF_SQUARE[m]) for m in moves]])


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-4), (torch.float64, 1e-10)])
def test_the_fast_run_is_the_slow_run(dtype: torch.dtype, close: float) -> None:
    model = network(dtype)
    for case in random_cases(3, 1, 3):
        vectors = {layer: torch.randn(4, WIDTH, dtype=dtype) for layer in (0, 2)}
        for v in vectors.values():
            v[-1] = 0
        ran = run_edited(model, case.moves, vectors)
        assert ran.logits.dtype == dtype
        for i in range(4):
            slow = run_slowly(model, case.moves, {k: v[i] for k, v in vectors.items()})
            assert torch.allclose(ran.logits[i], slow, atol=close, rtol=0)
        with torch.no_grad():
            plain = model.model(ids(case.moves)).logits[0, -1]
        assert torch.allclose(ran.logits[3], plain, atol=close, rtol=0)
        assert (ran.logits[0] - plain).abs().max() > 0.01


def test_only_the_last_position_and_later_blocks_see_an_edit() -> None:
    model, moves = network(torch.float64), random_cases(1, 1, 4)[0].moves
    vector = torch.randn(1, WIDTH, dtype=torch.float64)
    ran, plain = run_edited(model, moves, {1: vector}), run_edited(model, moves, {})
    assert torch.equal(ran.residual[0, 0], plain.residual[0, 0])
    assert torch.allclose(ran.residual[0, 1] - plain.residual[0, 1], vector[0], atol=1e-12)
    assert (ran.residual[0, 2] - plain.residual[0, 2] - vector[0]).abs().max() > 1e-4
    streams, _ = read(model, ids(moves))
    assert all(torch.allclose(plain.residual[0, i], streams[i][0, -1], atol=1e-10) for i in range(LAYERS))
    # The slow path's whole passes, position by position: all but the last are the plain ones, to the bit.
    kept: list[Tensor] = []
    handle = model.model.transformer.ln_f.register_forward_hook(lambda _m, _i, output: kept.append(output))
    run_slowly(model, moves, {1: vector[0]})
    run_slowly(model, moves, {1: torch.zeros(WIDTH)})
    handle.remove()
    assert torch.equal(kept[0][0, :-1], kept[1][0, :-1]) and not torch.allclose(kept[0][0, -1], kept[1][0, -1])


def test_scale_zero_is_no_edit_to_the_bit() -> None:
    model, moves = network(), random_cases(1, 1, 5)[0].moves
    zero = run_edited(model, moves, {i: torch.zeros(3, WIDTH) for i in range(LAYERS)})
    assert torch.equal(zero.logits[0], zero.logits[1]) and torch.equal(zero.logits[0], zero.logits[2])
    one = run_edited(model, moves, {1: torch.zeros(1, WIDTH)})
    plain = run_edited(model, moves, {})
    assert torch.equal(one.logits, plain.logits) and torch.equal(one.residual, plain.residual)


def test_a_row_does_not_depend_on_its_neighbours() -> None:
    model, moves = network(torch.float64), random_cases(1, 1, 6)[0].moves
    vectors = {0: torch.randn(5, WIDTH).double(), 2: torch.randn(5, WIDTH).double()}
    together = run_edited(model, moves, vectors)
    for i in range(5):
        alone = run_edited(model, moves, {k: v[i : i + 1] for k, v in vectors.items()})
        assert torch.allclose(together.logits[i], alone.logits[0], atol=1e-10, rtol=0)


def test_padding_is_no_move() -> None:
    ran = run_edited(network(), (19, 18), {0: torch.randn(4, WIDTH)})
    assert ran.probabilities[:, 0].max() == 0 and ran.probabilities.sum(-1).numpy() == pytest.approx(np.ones(4))
    slow = ran.logits[:, 1:].double().softmax(-1)
    assert torch.allclose(ran.probabilities[:, 1:], slow, atol=1e-12)


def test_hooks_are_gone_after_a_failure() -> None:
    model = network()
    before = [dict(block._forward_hooks) for block in model.model.transformer.h]
    for run, vectors in ((run_edited, {0: torch.zeros(2, 31)}), (run_slowly, {0: torch.zeros(31)})):
        with pytest.raises(RuntimeError):
            run(model, (19, 18), vectors)
        assert [block._forward_hooks for block in model.model.transformer.h] == before
    assert run_edited(model, (19,), {}).logits.shape == (1, 61)


def test_what_cannot_be_run_is_said() -> None:
    model = network()
    wrong: list[tuple[tuple[int, ...], int, str]] = [((), 0, "moves"), ((19,) * 60, 0, "moves"), ((27,), 0, "moves")]
    for moves, layer, field in [*wrong, ((19,), LAYERS, "layer")]:
        with pytest.raises(UserError) as caught:
            run_edited(model, moves, {layer: torch.zeros(1, WIDTH)})
        assert caught.value.field == field
