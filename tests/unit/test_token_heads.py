"""Which heads and MLPs matter for a predicted token: against slow versions that know each architecture's modules."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from analysis.engine.context import Context
from analysis.engine.residents import Residents
from analysis.engine.store import ResultStore
from analysis.errors import Cancelled, UserError
from analysis.models import first_order, pass_cost
from analysis.models.ablation import MLP, TakenOut, ablations, parts_of, plain_logits
from analysis.models.facts import describe
from analysis.models.first_order import estimated_falls
from analysis.models.hooks import hooked, layout
from analysis.models.loaded_model import LoadedModel
from analysis.models.patches import patches
from analysis.models.paths import paths
from analysis.models.recording import IMPLEMENTATION, tapped
from analysis.models.sites import Site
from analysis.models.spec import ModelSpec
from analysis.models.stream import take_apart
from analysis.models.trace import trace_prompt
from analysis.qk.contributions import contributions, pair_values, sources
from analysis.qk.ops.parts import AblateParts, PartsCost, PatchParts, PathParts, other_texts
from analysis.qk.ops.prompt import ReadingCost
from analysis.qk.ops.token import EstimateFalls, WritingHeads, WritingSources
from tests.unit.test_contrasts import _byte_level
from tests.unit.tiny_models import tiny_model

IDS = torch.randint(3, 96, (12,), generator=torch.Generator().manual_seed(1)).tolist()
TARGET, OTHER, KEY = 5, 9, 4
# Grouped keys, sliding windows, scaled rotary, soft-caps of attention and of logits with norms behind both parts,
# per-head norms, learned sinks with experts, parallel blocks, biases, norms behind only, multiplied parts.
NAMES = ["llama", "mistral", "qwen2", "qwen3", "gemma2", "gpt2", "gpt_neox", "olmo2", "gpt_oss", "granite", "cohere"]
PROJECTION = {"gpt2": "attn.c_proj", "gpt_neox": "attention.dense"}


@cache
def loaded(name: str) -> LoadedModel:
    changes: dict[str, Any] = {"residual_multiplier": 0.22, "logits_scaling": 8.0} if name == "granite" else {}
    model = tiny_model(name, **changes)
    generator = torch.Generator().manual_seed(3)
    for part in model.modules():
        for parameter in part.parameters(recurse=False):  # gains of norms and biases that are not all alike
            if parameter.ndim == 1:
                parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    return _loaded(model)


def _loaded(model: Any) -> LoadedModel:
    spec = ModelSpec("default")
    return LoadedModel(model, _byte_level(), spec, describe(model, torch.tensor([IDS]), None, spec, ""))


def norms(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if "norm" in type(m).__name__.lower() and next(m.children(), None) is None]


def exactly(module: Any) -> Any:
    """The forward of a norm in the dtype of what it is given: the library's own computes in float32."""
    if isinstance(module, nn.LayerNorm):
        return module.forward
    centred = "Cohere" in type(module).__name__
    epsilon = next(getattr(module, name) for name in ("variance_epsilon", "eps") if hasattr(module, name))
    gain = 1 + module.weight if "Gemma" in type(module).__name__ else module.weight

    def forward(x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True) if centred else x
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon) * gain

    return forward


def held(module: Any, forward: Any) -> Any:
    """A norm whose length is a constant for autograd: what it multiplies each number by is taken off its output."""
    bias = getattr(module, "bias", None)
    centred = isinstance(module, nn.LayerNorm) or "Cohere" in type(module).__name__

    def fixed(x: Tensor) -> Tensor:
        with torch.no_grad():
            offset = 0 if bias is None else bias
            ratio = (forward(x) - offset) / (x - x.mean(-1, keepdim=True) if centred else x)
        return (x - x.mean(-1, keepdim=True) if centred else x) * ratio + offset

    return fixed


def by_autograd(one: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    """(heads (L, H), MLPs (L,)): what a small change of each part's output does to the difference of two logits before
    any bound, times that output, with every later part and the length of every norm held."""
    model: Any = one.model
    found: dict[str, dict[int, tuple[Tensor, Tensor]]] = {"head": {}, "mlp": {}}
    rows: list[Tensor] = []

    def leaf(kind: str, layer: int, x: Tensor) -> Tensor:
        x = x.detach()
        found[kind][layer] = (x, torch.zeros_like(x, requires_grad=True))
        return x + found[kind][layer][1]

    def mlp(layer: int) -> Any:
        def hook(_module: nn.Module, _args: Any, out: Any) -> Any:
            return (leaf("mlp", layer, out[0]), *out[1:]) if isinstance(out, tuple) else leaf("mlp", layer, out)

        return hook

    handles = [b.mlp.register_forward_hook(mlp(n)) for n, b in enumerate(layout(one).blocks)]
    handles.append(model.get_output_embeddings().register_forward_hook(lambda _m, _a, out: rows.append(out)))
    with monkeypatch.context() as patch, torch.enable_grad():
        for module in norms(model):
            patch.setattr(module, "forward", held(module, module.forward))
        with tapped(lambda record, out: leaf("head", record.layer, out)):
            model(torch.tensor([IDS]), use_cache=False)
    for handle in handles:
        handle.remove()
    (rows[0][0, -1, TARGET] - rows[0][0, -1, OTHER]).backward()
    layers = range(one.facts.layers)
    parts = {k: [(v[n][0][0, -1] * v[n][1].grad[0, -1]).sum(-1) for n in layers] for k, v in found.items()}  # type: ignore[index]
    return torch.stack(parts["head"]), torch.stack(parts["mlp"])


@pytest.mark.parametrize("name", NAMES)
def test_parts_sum_to_the_logit_difference_and_each_is_what_autograd_gives(name, monkeypatch):
    one = loaded(name)
    stream = take_apart(one, IDS)
    parts = contributions(stream, TARGET, OTHER)
    logits = one.model(torch.tensor([IDS]), use_cache=False).logits[0, -1].double()
    if name not in ("gemma2", "granite", "cohere"):  # which bound or scale their logits last
        assert parts.total == pytest.approx(float(logits[TARGET] - logits[OTHER]), abs=1e-5)
    assert abs(parts.remainder) < 1e-4 * max(1, abs(parts.total))
    heads, mlps = by_autograd(one, monkeypatch)
    scale = float(heads.abs().max())
    assert (parts.heads - heads).abs().max() < 1e-4 * scale
    # The bias of a projection behind a norm or a factor is the constant's, and no MLP has one beside its own.
    assert (parts.mlps - mlps).abs().max() < 1e-4 * max(scale, float(mlps.abs().max()))


@pytest.mark.parametrize("name", [n for n in NAMES if n != "gpt_oss"])  # torch has no experts in float64
def test_in_float64_the_remainder_is_rounding(name, monkeypatch):
    model = loaded(name).model.double()
    try:
        for module in norms(model):
            monkeypatch.setattr(module, "forward", exactly(module))
        parts = contributions(take_apart(loaded(name), IDS), TARGET, None)
    finally:
        model.float()
    assert abs(parts.remainder) < 1e-10 * max(1, abs(parts.total)) and abs(parts.total) > 1e-2


@pytest.mark.parametrize("name", ["llama", "mistral", "gemma2", "gpt_oss", "gpt2"])
def test_what_a_head_writes_is_the_sum_over_its_source_tokens(name):
    one = loaded(name)
    stream, (trace, _) = take_apart(one, IDS), trace_prompt(one, IDS, overview=False)
    heads = contributions(stream, TARGET, OTHER).heads
    weighted, writes = pair_values(stream, trace, KEY, TARGET, OTHER, 6)
    for layer, head in ((0, 1), (2, 4), (3, 5)):
        found = sources(stream, trace, layer, head, TARGET, OTHER)
        assert float(found.writes.sum()) == pytest.approx(float(heads[layer, head]), abs=1e-4)
        assert float(found.writes[KEY]) == pytest.approx(float(writes[layer, head]), abs=1e-4)
        assert float(found.weighted[KEY]) == pytest.approx(float(weighted[layer, head]), abs=1e-4)
        # A length by hand: what the head adds to the stream from one token, through its slice of the projection.
        record, block = trace.layers[layer], stream.blocks[layer]
        vectors = record.values[0, head // record.group].double() @ block.writing()[head].double()
        lengths = found.attention * vectors.norm(dim=1)
        assert torch.allclose(found.weighted, lengths / lengths.sum(), atol=1e-5)


def without(one: LoadedModel, name: str, layer: int, head: int, baseline: str) -> Tensor:
    """Logits (V,) of a whole pass with one part's output replaced where its own module hands it on."""
    block: Any = layout(one).blocks[layer]
    width = one.facts.head_width
    part = slice(head * width, (head + 1) * width)

    def changed(x: Tensor) -> Tensor:
        x = x.clone()
        x[0, 1:] = x[0, 1:].mean(0) if baseline == "mean" else 0
        if baseline == "zero":
            x[0, 0] = 0
        return x

    def before(_module: nn.Module, args: tuple[Tensor]) -> tuple[Tensor]:
        x = args[0].clone()
        x[..., part] = changed(x)[..., part]
        return (x,)

    def after(_module: nn.Module, _args: Any, out: Any) -> Any:
        return (changed(out[0]), *out[1:]) if isinstance(out, tuple) else changed(out)

    if head == MLP:
        handle = block.mlp.register_forward_hook(after)
    else:
        projection = block.get_submodule(PROJECTION.get(name, "self_attn.o_proj"))
        handle = projection.register_forward_pre_hook(before)
    logits = one.model(torch.tensor([IDS]), use_cache=False).logits[0, -1]
    handle.remove()
    return logits


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_taking_out_a_part_says_what_a_whole_pass_without_it_says(name, baseline):
    one = loaded(name)
    before = plain_logits(one, IDS)
    parts = [p for p in parts_of(one) if p[1] in (1, 4, MLP)]
    assert len(parts) == 12
    found = [part for batch in ablations(one, IDS, parts, baseline) for part in batch]
    assert [(p.layer, p.head) for p in found] == parts
    for part in found:
        want = without(one, name, part.layer, part.head, baseline)
        assert (part.logits - want).abs().max() < 1e-4 * max(1, float(want.abs().max()))
        assert (part.logits - before).abs().max() > 1e-4
    # Nothing is left behind.
    assert torch.equal(plain_logits(one, IDS), before)
    assert not any("forward" in vars(block) for block in layout(one).blocks)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "gpt_oss"])
@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_the_estimate_is_the_slope_of_what_is_left_of_an_output(name, baseline):
    one = loaded(name)
    heads, mlps = estimated_falls(one, IDS, TARGET, OTHER, baseline)
    step = 1e-2

    def moved(layer: int, head: int, way: float) -> float:
        """The difference with an output moved a little towards its baseline, or away from it."""

        def less(x: Tensor) -> Tensor:
            x = x.clone()
            to = x[:, 1:].mean(1, keepdim=True) if baseline == "mean" else torch.zeros_like(x[:, :1])
            rows = slice(1, None) if baseline == "mean" else slice(None)
            x[:, rows] += way * (to - x[:, rows])
            return x

        def tap(record: Any, output: Tensor) -> Tensor | None:
            if record.layer != layer or head == MLP:
                return None
            output = output.clone()
            output[:, :, head] = less(output[:, :, head])
            return output

        hooks = {Site(layer, "mlp_output"): less} if head == MLP else {}
        with torch.no_grad(), tapped(tap), hooked(one, hooks):
            logits = one.model(torch.tensor([IDS]), use_cache=False).logits[0, -1]
        return float(logits[TARGET] - logits[OTHER])

    for layer, head in ((1, 2), (3, 4), (2, MLP)):
        slope = (moved(layer, head, -step) - moved(layer, head, step)) / (2 * step)
        found = mlps[layer] if head == MLP else heads[layer, head]
        assert float(found) == pytest.approx(slope, abs=2e-2 * max(1, float(heads.abs().max())))


def test_a_prompt_too_long_for_a_pass_back_is_refused_beforehand(monkeypatch):
    monkeypatch.setattr(first_order, "_BYTES", 4 * 48 * 20 * 4 * 11)
    with pytest.raises(UserError, match=r"12 tokens are too many .* \(at most 11\)") as caught:
        estimated_falls(loaded("llama"), IDS, TARGET, OTHER, "zero")
    assert caught.value.field == "prompt"


def test_blocks_before_the_one_that_is_changed_are_not_run_again():
    one, runs = loaded("llama"), []
    inner = layout(one).blocks[0].mlp
    handle = inner.register_forward_hook(lambda _m, _a, out: runs.append(out.shape[0]))
    list(ablations(one, IDS, parts_of(one), "zero"))
    handle.remove()
    assert runs == [1, 7]  # the plain pass, and the rows of the first block


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("bitnet", {"num_key_value_heads": 2, "intermediate_size": 64}),
        ("opt", {"ffn_dim": 64, "do_layer_norm_before": False, "word_embed_proj_dim": 48}),
    ],
)
def test_a_model_whose_stream_is_no_plain_sum_is_refused_in_words(kind, settings):
    config = CONFIG_MAPPING[kind](
        vocab_size=96,
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=6,
        max_position_embeddings=64,
        **settings,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=IMPLEMENTATION, dtype=torch.float32).eval()
    with pytest.raises(UserError, match="cannot be split into what its heads and MLPs write") as caught:
        take_apart(_loaded(model.requires_grad_(False)), IDS)
    assert caught.value.field == "model"


# The operations

TEXT = "the lamp is kept in Box A, the key is kept in Box B."


@cache
def reader() -> LoadedModel:
    tokenizer, spec = _byte_level(), ModelSpec("default")
    model = tiny_model("llama", vocab_size=4000)
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    return LoadedModel(model, tokenizer, spec, describe(model, ids, tokenizer, spec, ""))


@pytest.fixture
def context(tmp_path: Path) -> Context:
    residents = Residents(limit=1)
    residents.put(reader())
    return Context(residents, ResultStore(tmp_path))


def test_a_token_is_asked_about_over_another_one_or_the_mean_of_all(context):
    over_all = WritingHeads(text=TEXT, key=3).run(context)
    split, target = over_all.split, over_all.target
    assert target.token == target.likely.ids[0] and target.against == -1 and target.words.endswith("the mean of all")
    parts = float(np.nansum(over_all.writes)) + float(over_all.mlps.sum()) + split.embedding + split.constant
    assert split.total == pytest.approx(parts + split.remainder, abs=1e-4) and abs(split.remainder) < 1e-4
    assert split.chance_heads > 0 and 0 < np.nansum(over_all.attention) and over_all.refused == "" and split.note == ""
    one, other = target.likely.ids[:2]
    pair = WritingHeads(text=TEXT, token=one, against=other).run(context)
    back = WritingHeads(text=TEXT, token=other, against=one).run(context)
    assert np.allclose(pair.writes, -back.writes, atol=1e-5) and np.isnan(pair.attention).all()
    source = WritingSources(text=TEXT, layer=2, head=3).run(context)
    assert source.error < 1e-5 and source.head_writes == pytest.approx(float(over_all.writes[2, 3]), abs=1e-5)
    assert float(source.writes[3]) == pytest.approx(float(over_all.from_key[2, 3]), abs=1e-5)


def test_what_falls_is_the_difference_of_two_answers_and_a_cancelled_job_ends_between_batches(context, monkeypatch):
    found = AblateParts(text=TEXT, query=9, baseline="zero").run(context)
    assert (
        found.heads.shape == (4, 6) == found.heads_kl.shape
        and np.isfinite(found.heads).all()
        and (found.mlps_kl > 0).all()
    )
    ids = reader().tokenizer(TEXT)["input_ids"][:10]
    plain = plain_logits(reader(), ids).double()
    [[one]] = list(ablations(reader(), ids, [(2, 3)], "zero"))
    fall = (plain - one.logits.double())[found.target.token] - (plain - one.logits.double()).mean()
    assert float(found.heads[2, 3]) == pytest.approx(float(fall), abs=1e-4)
    guess = EstimateFalls(text=TEXT, query=9, baseline="zero").run(context)
    assert guess.estimated and not found.estimated and guess.total == pytest.approx(found.total, abs=1e-5)
    assert guess.baseline == found.baseline and np.isnan(guess.heads_kl).all() and np.isfinite(guess.heads).all()
    seen: list[str] = []

    def stop(share: float | None, text: str = "", **_facts: Any) -> None:
        seen.append(text)
        if "heads and MLPs" in text:
            raise Cancelled

    monkeypatch.setattr(context, "progress", stop)
    with pytest.raises(Cancelled):
        AblateParts(text=TEXT, query=8).run(context)
    assert sum("heads and MLPs" in text for text in seen) == 1
    assert torch.equal(plain_logits(reader(), ids).double(), plain)


def test_parts_are_made_as_in_another_prompt(context):
    settings = {"text": TEXT, "other": TEXT.replace("lamp", "rope"), "query": 9, "what": "value"}
    found = PatchParts(**settings).run(context)
    ids, other = (reader().tokenizer(text)["input_ids"][:10] for text in (TEXT, settings["other"]))
    assert found.differ == tuple(i for i in range(10) if ids[i] != other[i]) and len(found.others) == len(found.differ)
    plain = plain_logits(reader(), ids).double()
    [[one]] = list(patches(reader(), ids, other, [(2, 3)], "value"))
    fall = (plain - one.logits.double())[found.target.token] - (plain - one.logits.double()).mean()
    assert float(found.heads[2, 3]) == pytest.approx(float(fall), abs=1e-4) and np.isnan(found.mlps).all()
    theirs = plain_logits(reader(), other).double()
    assert found.other_total == pytest.approx(float(theirs[found.target.token] - theirs.mean()), abs=1e-5)
    before = PatchParts(**settings | {"at": 0}).run(context)
    assert np.abs(before.heads).max() < 1e-4  # the first token is the same in both


def test_ways_lead_into_a_later_head_only(context):
    settings = {"text": TEXT, "query": 9, "layer": 2, "head": 1, "side": "value"}
    found = PathParts(**settings, baseline="zero").run(context)
    assert np.isfinite(found.heads[:2]).all() and np.isnan(found.heads[2:]).all() and np.isnan(found.mlps[2:]).all()
    ids = reader().tokenizer(TEXT)["input_ids"][:10]
    plain = plain_logits(reader(), ids).double()
    [[one]] = list(paths(reader(), ids, [(1, 3)], TakenOut(reader(), "zero"), (2, 1), "value"))
    change = plain - one.logits.double()
    fall = float(change[found.target.token] - change.mean())
    assert float(found.heads[1, 3]) == pytest.approx(fall, abs=1e-4) and found.other_total is None
    other = PathParts(**settings, baseline="other", other=TEXT.replace("lamp", "rope")).run(context)
    assert other.other_total is not None and float(np.nanmax(np.abs(other.heads))) > 0


def test_a_resampled_part_is_the_mean_of_what_falls_with_other_texts(context):
    found = AblateParts(text=TEXT, query=9, baseline="resampled").run(context)
    ids, falls = reader().tokenizer(TEXT)["input_ids"][:10], []
    plain = plain_logits(reader(), ids).double()
    for other in other_texts(reader(), 10):
        [[one]] = list(patches(reader(), ids, other, [(1, 2)], "output", range(1, 10)))
        change = plain - one.logits.double()
        falls.append(float(change[found.target.token] - change.mean()))
    assert len(falls) == 3 and float(found.heads[1, 2]) == pytest.approx(np.mean(falls), abs=1e-4)
    assert np.isfinite(found.mlps).all() and (found.mlps_kl > 0).all()


def test_a_model_that_cannot_be_split_still_says_where_its_heads_look(context, monkeypatch):
    import analysis.models.stream as stream

    def refuse(*_: Any) -> None:
        raise UserError("The logits of this model cannot be split.", "model")

    monkeypatch.setattr(stream, "take_apart", refuse)
    found = WritingHeads(text=TEXT, query=7, key=2).run(context)
    assert found.split is None and "cannot be split" in found.refused
    assert np.isnan(found.writes).all() and np.isfinite(found.attention).all()


@pytest.mark.parametrize(
    ("operation", "field"),
    [
        (WritingHeads(text=TEXT, query=500), "token"),
        (WritingHeads(text=TEXT, query=3, key=5), "key"),
        (WritingHeads(text=TEXT, token=4000), "token"),
        (WritingHeads(text=TEXT, token=7, against=7), "against"),
        (AblateParts(text=TEXT, query=0, baseline="mean"), "baseline"),
        (PatchParts(text=TEXT), "other"),
        (PathParts(text=TEXT, layer=1, baseline="other"), "other"),
        (PathParts(text=TEXT, layer=1, baseline="other", other=TEXT + " more"), "other"),
        (PathParts(text=TEXT, layer=0), "layer"),
        (PathParts(text=TEXT, layer=1, head=9), "head"),
        (PatchParts(text=TEXT, other=TEXT), "other"),
        (PatchParts(text=TEXT, other=TEXT + " more"), "other"),
        (PatchParts(text=TEXT, other="x", query=3, at=5), "at"),
    ],
)
def test_what_is_not_there_is_refused(operation, field, context):
    with pytest.raises(UserError) as caught:
        operation.run(context)
    assert caught.value.field == field


def test_what_a_run_takes_is_said_before_it_and_too_much_is_refused(context, monkeypatch):
    one = context.model(ModelSpec("default"))
    monkeypatch.setitem(one.extras, "seconds of a batch", 0.01)  # of a token
    count = len(reader().tokenizer(TEXT)["input_ids"])
    # Six heads and an MLP in each of four blocks, from which a pass begins; and two whole passes before them.
    passes = 7 * (4 + 3 + 2 + 1) / 4 + 2
    cost = PartsCost(text=TEXT).run(context)
    assert cost.seconds == pytest.approx(passes * count * 0.01) and cost.tokens == count and cost.refused == ""
    assert cost.words.startswith("about ") and cost.words.endswith(" MB")
    early = PartsCost(text=TEXT, query=4).run(context)
    assert early.seconds == pytest.approx(passes * 5 * 0.01) and early.bytes < cost.bytes
    into = PartsCost(text=TEXT, side="key", layer=2).run(context)
    assert into.seconds == pytest.approx((7 * (4 + 3) / 4 + 2) * count * 0.01)
    thrice = PartsCost(text=TEXT, baseline="resampled").run(context)
    assert thrice.seconds == pytest.approx((3 * (passes - 2) + 2) * count * 0.01) and thrice.bytes > cost.bytes
    looks = PartsCost(text=TEXT, baseline="other", what="pattern").run(context)
    assert looks.seconds == pytest.approx((6 * 10 / 4 + 2) * count * 0.01) and looks.bytes > cost.bytes
    # What stands in a block at a time, seen on a pass: the widths of its projections and of its MLP at least.
    assert pass_cost.block_numbers(one) > 3 * 64 + 2 * 48
    reading = ReadingCost(text=TEXT).run(context)
    assert reading.tokens == count and reading.seconds > count * 0.01 and reading.bytes > pass_cost.PIECE
    monkeypatch.setattr(pass_cost, "MOST_SECONDS", 0.9 * cost.seconds)
    for asked in (AblateParts(text=TEXT), PatchParts(text=TEXT, other=TEXT.replace("lamp", "lime"))):
        with pytest.raises(UserError, match="rank heads by what they write") as caught:
            asked.run(context)
        assert caught.value.field == "prompt" and "at most" in caught.value.message
    assert "are begun" in PartsCost(text=TEXT).run(context).words
