"""The logit lens against hand-written ones: the norm and the unembedding by their names, block by block."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from analysis.bridge.agreement import moved
from analysis.bridge.lens_files import check_named
from analysis.errors import UserError
from analysis.mfa.answers.lens import Lens
from analysis.models.lens import Stage, check_lens, lens_logits, read_stream, stages_of
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.models.trained_lens import TrainedLens, read_lens, read_sent
from analysis.steering import Add
from analysis.steering.plan import Plan
from components.mfa.lens import LensOptions, half_from, lens_maps
from tests.unit.drawn_again import drawn_again, kind
from tests.unit.test_fit import loaded_of
from tests.unit.tiny_models import tiny_model

# Where the final norm is, and which part of a block is given the stream behind the attention (None: side by side).
NAMED: dict[str, tuple[str, str | None, str | None, dict[str, Any]]] = {
    "llama": ("model.norm", "post_attention_layernorm", None, {}),
    "mistral": ("model.norm", "post_attention_layernorm", None, {}),
    "qwen3": ("model.norm", "post_attention_layernorm", None, {}),
    "gemma2": ("model.norm", "pre_feedforward_layernorm", None, {"final_logit_softcapping": 5.0}),
    "gemma3_text": ("model.norm", "pre_feedforward_layernorm", None, {}),
    "olmo2": ("model.norm", "mlp", None, {}),
    "gpt2": ("transformer.ln_f", "ln_2", None, {}),
    "gpt_neox": ("gpt_neox.final_layer_norm", None, "attention", {}),
    "phi3": ("model.norm", "post_attention_layernorm", None, {}),
    "gpt_oss": ("model.norm", "post_attention_layernorm", None, {}),
    "granite": ("model.norm", "post_attention_layernorm", None, {"logits_scaling": 8.0, "residual_multiplier": 0.3}),
}
IDS = torch.arange(3, 12)[None]
LAYER, LAST = 1, 4


def slow_lens(name: str, model: nn.Module, vector: Tensor) -> dict[Stage, Tensor]:
    """Logits (LAST, V) by stage, the vector added behind block LAYER at all positions but the first."""
    norm_name, middle, beside, settings = NAMED[name]
    base: Any = model.base_model
    blocks = base.h if name == "gpt2" else base.layers
    seen: dict[Stage, Tensor] = {}

    def see(stage: Stage, x: Tensor) -> None:
        seen[stage] = x[0].clone()

    def pushed(_m: Any, _a: Any, output: Any) -> Any:
        hidden = output[0] if isinstance(output, tuple) else output
        hidden = hidden.clone()
        hidden[:, 1:] += vector
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    def first(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        given: Tensor = args[0] if args else kwargs["hidden_states"]
        return given

    with ExitStack() as stack:

        def hook(handle: Any) -> None:
            stack.callback(handle.remove)

        hook(blocks[LAYER].register_forward_hook(pushed))
        hook(blocks[0].register_forward_pre_hook(lambda m, a, k: see(Stage(-1), first(a, k)), with_kwargs=True))
        for n, block in enumerate(blocks):
            hook(block.register_forward_hook(
                lambda m, a, o, n=n: see(Stage(n), o[0] if isinstance(o, tuple) else o)
            ))  # fmt: skip
            if middle:
                part = getattr(block, middle)
                hook(part.register_forward_pre_hook(
                    lambda m, a, k, n=n: see(Stage(n, False), first(a, k)), with_kwargs=True
                ))  # fmt: skip
            else:
                before: list[Tensor] = []
                hook(block.register_forward_pre_hook(
                    lambda m, a, k, b=before: b.__setitem__(slice(None), [first(a, k)]), with_kwargs=True
                ))  # fmt: skip
                hook(getattr(block, beside).register_forward_hook(
                    lambda m, a, o, n=n, b=before: see(Stage(n, False), b[0] + o[0])
                ))  # fmt: skip
        model(IDS, use_cache=False)
    norm = model.get_submodule(norm_name)
    out = {}
    for stage, x in seen.items():
        logits = norm(x[-LAST:]) @ model.get_output_embeddings().weight.T / settings.get("logits_scaling", 1.0)  # type: ignore[operator]
        cap = settings.get("final_logit_softcapping")
        out[stage] = logits if cap is None else cap * torch.tanh(logits / cap)
    return out


@pytest.mark.parametrize("name", list(NAMED))
@torch.no_grad()
def test_the_lens_is_the_models_own_way_from_every_stage(name: str) -> None:
    model = tiny_model(name, **NAMED[name][3])
    loaded = loaded_of(model)
    vector = 3 * torch.randn(48, generator=torch.Generator().manual_seed(1))
    slow = slow_lens(name, model, vector)
    during = Plan(loaded, [Add(Site(LAYER), vector)]).installed()
    stream = read_stream(loaded, IDS, LAST, during=during)
    fast = dict(zip(stream.stages, torch.cat(list(lens_logits(loaded, stream, stream.vectors))), strict=True))
    assert set(fast) == set(slow) == set(stages_of(loaded)) and len(fast) == 9
    for stage, logits in slow.items():
        assert torch.allclose(fast[stage], logits, atol=2e-4, rtol=1e-4), stage
    assert check_lens(loaded, stream) < 1e-4
    plain = read_stream(loaded, IDS, LAST)
    same = [s for s, a, b in zip(plain.stages, plain.vectors, stream.vectors, strict=True) if torch.equal(a, b)]
    assert same == [s for s in plain.stages if s < Stage(LAYER)]
    assert torch.equal(read_stream(loaded, IDS, LAST, during=Plan(loaded, []).installed()).vectors, plain.vectors)


@torch.no_grad()
def test_a_model_that_does_more_behind_its_blocks_is_refused() -> None:
    loaded = loaded_of(tiny_model("llama"))
    model: Any = loaded.model
    forward = model.model.layers[-1].forward
    # What is added here is not in the output of the last block.
    model.model.norm.register_forward_pre_hook(lambda m, a: (a[0] + extra[0],))
    extra = [torch.zeros(1)]

    def last(*args: Any, **kwargs: Any) -> Any:
        extra[0] = torch.ones(48).cumsum(0)
        return forward(*args, **kwargs)

    model.model.layers[-1].forward = last
    stream = read_stream(loaded, IDS, LAST)
    extra[0] = torch.zeros(1)
    with pytest.raises(UserError, match="more between its last block"):
        check_lens(loaded, stream)


def small_lens(**changes: Any) -> Lens:
    base = np.array([[-9.0], [-8.0], [-7.0], [-6.0], [-5.0]], np.float32)
    steered = base + np.array([[0.0], [0.0], [0.2], [1.2], [2.0]], np.float32)
    settings: dict[str, Any] = {
        "labels": (" <b>the",), "first": 3, "blocks": (-1, 0, 0, 1, 1), "whole": (1, 0, 1, 0, 1), "acts": (0,),
        "prompt": 4, "of": "", "tokens": (" wine",),
        "subject": "wine", "kl": 0.25, "controls": (0.25, 0.25), "met": (1, 1), "sample": 64, "trained": "",
        "error": 1e-5, "names": (" a", " wine"), "odds": np.stack([base, steered, base - 0.1, base + 0.3]),
        "ranks": np.arange(1, 11, dtype=np.int32).reshape(2, 5, 1), "leads": np.ones((2, 5, 1, 1), np.int32),
        "chances": np.full((2, 5, 1, 1), 0.5, np.float32),
        "agreement": np.array([0.0, np.nan, 0.1, np.nan, 1.0], np.float32),
        "plain": np.array([0.0, np.nan, 0.1, np.nan, 1.0], np.float32),
    }  # fmt: skip
    return Lens(**settings | changes)


@pytest.mark.parametrize("shown", ["odds", "rank"])
def test_the_picture_says_from_which_block_half_of_the_gain_stands(shown: str) -> None:
    drawing = drawn_again(lens_maps, small_lens(), options=LensOptions(shown))
    assert drawing.control and "half of it stands from the attention of block 1 on" in drawing.control.text
    assert "at most +0.30" in drawing.control.text
    assert drawing.numbers["gain at the output"] == pytest.approx(2.0)
    (table,) = kind(drawing, type(drawing.parts[0]))
    assert table.rows[0][0] == "the embeddings" and table.rows[3][1] is None
    assert len(drawing.figure["data"]) == (3 if shown == "odds" else 2)  # type: ignore[index]
    assert "<b>the" not in str(drawing.figure)


def test_what_is_no_more_than_random_is_called_so() -> None:
    lens = small_lens()
    more = np.concatenate([lens.odds[:2], lens.odds[:1] + 2.5])
    assert (
        "no more than a random direction" in lens_maps.draw(small_lens(odds=more), LensOptions(), "dark").control.text
    )  # type: ignore[union-attr]
    fallen = small_lens(odds=lens.odds[[1, 0, 2, 3]])
    assert "Nothing is gained" in lens_maps.draw(fallen, LensOptions(), "dark").control.text  # type: ignore[union-attr]
    assert half_from(np.array([3.0, 0.5, 2.0])) == 2 and half_from(np.array([1.0, 1.0, 2.0])) == 0


# ---- trained lenses ----


def turning() -> tuple[Any, list[Tensor]]:
    """A model whose blocks do nothing but rotate the stream, by known matrices, and these (x goes to x @ Q)."""
    model: Any = tiny_model("llama")
    generator = torch.Generator().manual_seed(0)
    turns = [torch.linalg.qr(torch.randn(48, 48, generator=generator)).Q for _ in model.model.layers]
    for block, turn in zip(model.model.layers, turns, strict=True):
        inner = block.forward

        def rotated(hidden_states: Tensor, *args: Any, inner: Any = inner, turn: Tensor = turn, **kwargs: Any) -> Any:
            inner(hidden_states, *args, **kwargs)  # its parts run, so that what is watched of them is there
            return hidden_states @ turn

        block.forward = rotated
    return model, turns


def undoing(turns: list[Tensor]) -> list[Tensor]:
    """Of the embeddings and of each block but the last the matrix J that gives the last block's stream, J h."""
    found = [torch.eye(48)]
    for turn in reversed(turns):
        found.append(found[-1] @ turn.T)
    return found[:0:-1]


@torch.no_grad()
def agrees(loaded: Any, lens: TrainedLens | None) -> list[float]:
    stream = read_stream(loaded, IDS, 9, within=False)
    vectors = stream.vectors if lens is None else moved(lens, stream.stages, stream.vectors)
    tops = torch.cat([part.argmax(-1) for part in lens_logits(loaded, stream, vectors)])
    shares: list[float] = (tops == stream.logits.argmax(-1)).float().mean(1).tolist()
    return shares


def test_a_trained_lens_undoes_what_the_blocks_do_and_the_plain_one_does_not(tmp_path: Path) -> None:
    model, turns = turning()
    loaded, maps = loaded_of(model), undoing(turns)
    tuned = {f"{n}.weight": j - torch.eye(48) for n, j in enumerate(maps)}
    tuned |= {f"{n}.bias": torch.zeros(48) for n in range(len(maps))}
    torch.save(tuned, tmp_path / "params.pt")
    (tmp_path / "config.json").write_text('{"base_model_name_or_path": "owner/name", "d_model": 48}')
    lens = read_lens(tmp_path, "tuned", len(turns), 48)
    assert lens.hint == "owner/name" and sorted(lens.maps) == list(range(-1, len(turns) - 1))
    assert agrees(loaded, lens) == [1.0] * (len(turns) + 1)
    plain = agrees(loaded, None)
    assert max(plain[:-1]) < 0.5 and plain[-1] == 1.0
    save_file({"J": torch.stack(maps[1:])}, tmp_path / "lens.safetensors")
    again = read_lens(tmp_path / "lens.safetensors", "jacobian", len(turns), 48)
    assert agrees(loaded, again)[1:] == [1.0] * len(turns)
    (tmp_path / "config.json").write_text('{"num_hidden_layers": 12}')
    for place in (tmp_path, tmp_path / "params.pt"):
        with pytest.raises(UserError, match="a model with 12 blocks; this one has 4"):
            read_lens(place, "tuned", len(turns), 48)
    save_file({"J": torch.stack(maps[1:])}, tmp_path / "lens.safetensors", {"model": "owner/name", "d_model": "48"})
    assert read_lens(tmp_path / "lens.safetensors", "jacobian", len(turns), 48).hint == "owner/name"
    save_file({"J": torch.stack(maps[1:])}, tmp_path / "lens.safetensors", {"d_model": "64"})
    with pytest.raises(UserError, match="a model with 64 numbers in its stream; this one has 48"):
        read_lens(tmp_path / "lens.safetensors", "jacobian", len(turns), 48)


def test_a_lens_that_names_another_model_is_refused_where_the_model_has_a_name() -> None:
    default, hub = ModelSpec(), ModelSpec("EleutherAI/pythia-160m")
    for hint, spec in (("", hub), ("pythia-160m", hub), ("eleutherai/Pythia_160M/", hub), (default.label, default),
                       ("anything", ModelSpec("/models/mine")), ("x/" + default.label, default)):  # fmt: skip
        check_named(hint, spec)
    for hint, spec in (("EleutherAI/pythia-70m", hub), ("gpt2", default)):
        with pytest.raises(UserError, match=f"names the model “{hint}”, and the one in use is {spec.label}") as refused:
            check_named(hint, spec)
        assert refused.value.field == "file"


@pytest.mark.parametrize("kind", ["tuned", "jacobian"])
def test_a_lens_that_maps_nothing_is_the_plain_one_bit_for_bit(kind: str) -> None:
    x = torch.randn(5, 48) * 100
    weight = torch.zeros(48, 48) if kind == "tuned" else torch.eye(48)
    lens = TrainedLens(kind, {2: (weight, torch.zeros(48) if kind == "tuned" else None)})
    assert torch.equal(lens.moved(2, x), x) and lens.moved(3, x) is x
    assert torch.equal(lens.moved(2, x.bfloat16()), x.bfloat16())


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"0.weight": torch.zeros(48, 48)}, "has 1 maps, and a tuned lens of a model with 4 blocks has 4"),
        ({f"{n}.weight": torch.zeros(40, 40) for n in range(4)}, "is 40 x 40; for this model it would be 48 x 48"),
        ({f"{n}.weight": torch.full((48, 48), torch.inf) for n in range(4)}, "not finite"),
        ({"unembed.weight": torch.zeros(48, 48)}, "says no block"),
        ({"0.weight": torch.zeros(48, 48), "translators.0.weight": torch.zeros(48, 48)}, "two tensors of number 0"),
        ({"0.weight": torch.zeros(48, 48, dtype=torch.int32)}, "no array of floating numbers"),
        ({"0.weight": [1, 2]}, "no array of floating numbers"),
    ],
)
def test_what_is_no_lens_of_this_model_is_refused_in_words(tensors: Any, words: str, tmp_path: Path) -> None:
    torch.save(tensors, tmp_path / "lens.pt")
    with pytest.raises(UserError, match=words) as caught:
        read_sent("lens.pt", (tmp_path / "lens.pt").read_bytes(), "tuned", 4, 48)
    assert caught.value.field == "file"


def test_other_files_are_no_lens(tmp_path: Path) -> None:
    for name, body, words in (
        ("lens.pt", b"cos\nsystem\n(S'true'\ntR.", "Python objects"),
        ("lens.safetensors", b"{}", "damaged"),
        ("lens.txt", b"a", "ends in"),
    ):
        with pytest.raises(UserError, match=words):
            read_sent(name, body, "tuned", 4, 48)
    with pytest.raises(UserError, match=r"no file lens\.pt"):
        read_lens(tmp_path / "lens.pt", "tuned", 4, 48)


def test_a_trained_lens_is_named_with_the_plain_ones_agreement_beside() -> None:
    lens = small_lens(trained="params.pt (tuned)", agreement=np.array([0.2, np.nan, 0.6, np.nan, 1.0], np.float32))
    drawing = drawn_again(lens_maps, lens, options=LensOptions("odds"))
    assert "trained lens params.pt (tuned)" in drawing.caption and "plain logit lens, not" not in drawing.caption
    assert "0 · 60% (10%)" in str(drawing.figure) and drawing.control and "a trained one" in drawing.control.text
