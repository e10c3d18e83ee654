"""Residual stream, attention and MLP of one block at one token as in another prompt: against slow whole passes in which
the modules of each architecture are changed where they hand on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.errors import Cancelled, UserError
from analysis.models.ablation import _batch as one_head
from analysis.models.ablation import plain_logits
from analysis.models.hooks import layout
from analysis.models.loaded_model import LoadedModel
from analysis.models.midway import last_logits
from analysis.models.pairing import beyond_start, check_pairs, paired, shared_start
from analysis.models.pass_cost import token_seconds
from analysis.models.patches import WHATS, Patch
from analysis.models.site_patches import ALL, SITE_KINDS, _batch, _given, site_patches
from analysis.qk.ops.sites import PairTokens, PatchSites
from components.qk.site_view import SiteOptions, claim, sites_patched
from tests.unit.test_token_heads import IDS, NAMES, PROJECTION, TEXT, context, loaded  # noqa: F401

OTHER = [*IDS[:3], 50, 51, IDS[4], *IDS[5:10], 60, IDS[11]]  # a token of it is two here, and one is another
PAIRS = paired(IDS, OTHER)


def module_of(one: LoadedModel, name: str, kind: str, layer: int) -> nn.Module:
    """What hands on a site's activation: the block, its output projection (patched behind it), its MLP."""
    block: Any = layout(one).blocks[layer]
    if kind == "residual":
        return block
    return block.mlp if kind == "mlp" else block.get_submodule(PROJECTION.get(name, "self_attn.o_proj"))


def hidden(out: Any) -> Tensor:
    return out[0] if isinstance(out, tuple) else out


def slow(one: LoadedModel, name: str, kind: str, layer: int, pairs: list[tuple[int, int]]) -> Tensor:
    """Logits (V,) of a whole pass over IDS with what the module gave on OTHER at the paired tokens."""
    module, theirs = module_of(one, name, kind, layer), []
    handle = module.register_forward_hook(lambda _m, _a, out: theirs.append(hidden(out).clone()))
    one.model(torch.tensor([OTHER]), use_cache=False)
    handle.remove()

    def put(_module: nn.Module, _args: Any, out: Any) -> Any:
        x = hidden(out).clone()
        for mine, other in pairs:
            x.view(len(IDS), -1)[mine] = theirs[0].view(len(OTHER), -1)[other]
        return (x, *out[1:]) if isinstance(out, tuple) else x

    handle = module.register_forward_hook(put)
    logits = one.model(torch.tensor([IDS]), use_cache=False).logits[0, -1]
    handle.remove()
    return logits


@pytest.mark.parametrize("name", NAMES)
def test_each_patch_is_what_a_whole_pass_with_the_module_changed_says(name):
    one = loaded(name)
    before, answer = plain_logits(one, IDS), plain_logits(one, OTHER)
    near = 1e-4 * max(1, float(before.abs().max()))
    tried = [PAIRS[3], PAIRS[-1]]
    for kind in SITE_KINDS:
        found = {(p.layer, p.at): p.logits for batch in site_patches(one, IDS, OTHER, tried, kind) for p in batch}
        assert list(found) == [(n, at) for n in range(4) for at in (tried[0][0], tried[1][0], ALL)]
        for layer, at, pairs in ((0, tried[0][0], tried[:1]), (2, tried[1][0], tried[1:]), (3, ALL, tried)):
            want = slow(one, name, kind, layer, list(pairs))
            assert (found[layer, at] - want).abs().max() < near, (kind, layer)
        # What a pair of the last tokens hands on behind the last block is the other prompt's answer.
        if kind == "residual":
            assert (found[3, tried[1][0]] - answer).abs().max() < near
            assert (found[3, tried[0][0]] - before).abs().max() < near
        assert (found[1, tried[1][0]] - before).abs().max() > 2 * near
    assert torch.equal(plain_logits(one, IDS), before)


@pytest.mark.parametrize("name", NAMES)
def test_everything_patched_is_the_other_answer_and_nothing_patched_is_bit_for_bit_the_own(name):
    one = loaded(name)
    same = [5, *IDS[1:]]  # of the same length, so every token has a partner at its own place
    answer = plain_logits(one, same)
    every = [(n, n) for n in range(len(IDS))]
    whole = [p for batch in site_patches(one, IDS, same, every, "residual") for p in batch if p.at == ALL]
    assert len(whole) == 4
    for patch in whole:
        assert (patch.logits - answer).abs().max() < 1e-4 * max(1, float(answer.abs().max()))
    bare = last_logits(one, torch.tensor([IDS] * 4))
    for kind in SITE_KINDS:
        given = _given(one, IDS, kind, [2])[2]
        nothing = _batch(one, IDS, 2, kind, given, [(0, [])] * 4, None)
        assert torch.equal(torch.stack([row.logits for row in nothing]), bare)
        # From its own run it is what it was, but for the rounding of another number of rows.
        own = _batch(one, IDS, 2, kind, given, [(0, [(0, 0)]), (5, [(5, 5)]), (ALL, every), (7, [])], None)
        assert (torch.stack([row.logits for row in own]) - bare).abs().max() < 1e-4 * max(1, float(bare.abs().max()))


def test_tokens_are_paired_by_slot_and_what_has_no_partner_is_left():
    assert paired([1, 2, 3, 4], [1, 9, 3, 4]) == ((0, 0), (1, 1), (2, 2), (3, 3))
    # Two tokens in place of one: the last of them stands for both.
    assert paired([1, 2, 3, 4], [1, 8, 9, 3, 4]) == ((0, 0), (1, 2), (2, 3), (3, 4))
    assert paired([1, 2, 3, 4], [1, 3, 4]) == ((0, 0), (2, 1), (3, 2))
    assert paired([1, 2], [3, 4, 5])[-1] == (1, 2)  # the last tokens ask, whatever they are
    # Words that change places are paired with what stands in their place, not with themselves.
    the, mary, and_, john, gave, ann = range(6)
    first, exchanged = [the, mary, and_, john, the, john, gave], [the, john, and_, mary, the, mary, gave]
    assert paired(first, exchanged) == tuple((n, n) for n in range(7))
    assert paired([2, 7, 5, 9], [5, 7, 2, 9]) == ((0, 0), (1, 1), (2, 2), (3, 3))
    # So too where one of them is longer there; its last token stands for it.
    longer = [the, john, and_, mary, ann, the, mary, ann, gave]
    assert paired(first, longer) == ((0, 0), (1, 1), (2, 2), (3, 4), (4, 5), (5, 7), (6, 8))
    assert paired(longer, first) == tuple((b, a) for a, b in paired(first, longer))
    # A token before all of them moves the others along, and what is equal at both ends is never parted.
    assert paired([1, 2, 1, 2], [9, 1, 2, 1, 2]) == ((0, 1), (1, 2), (2, 3), (3, 4))
    assert paired([1, 2, 3, 4, 5, 6], [1, 3, 4, 5, 7, 8, 6]) == ((0, 0), (2, 1), (3, 2), (4, 3), (5, 6))
    assert paired([4], [1, 4]) == ((0, 1),) and paired([1, 4], [4]) == ((1, 0),)
    assert beyond_start([(0, 0), (1, 1), (2, 3), (4, 4)], 2) == [(2, 3), (4, 4)]
    assert shared_start([1, 2, 3], [1, 2, 4]) == 2 and shared_start([1, 2], [1, 2, 3]) == 2
    assert dict(PAIRS)[3] == 4 and PAIRS[-1] == (11, 12)
    check_pairs(PAIRS, 12, 13)
    for pairs, said in (([(12, 0)], "Pair them anew"), ([(1, 1), (1, 2)], "two partners"), ([(1, 3), (2, 3)], "other")):
        with pytest.raises(UserError, match=said):
            check_pairs(pairs, 12, 13)


def test_it_ends_between_two_batches_and_leaves_nothing_behind():
    one = loaded("llama")
    runs = site_patches(one, IDS, OTHER, PAIRS, "mlp")
    with pytest.raises(Cancelled):
        for _ in runs:
            raise Cancelled
    runs.close()
    assert not any("forward" in vars(block) for block in layout(one).blocks)


def test_the_operation_pairs_by_slot_or_by_hand_and_refuses_in_words(context):  # noqa: F811
    other = TEXT.replace("lamp", "lantern").replace("key", "coin")
    pairs = PairTokens(text=TEXT, other=other).run(context)
    assert (
        pairs.pairs[-1] == (len(pairs.labels) - 1, len(pairs.others) - 1)
        and pairs.cost.seconds > 0
        and pairs.cost.words.startswith("about")
    )
    # The time is that of what is run: more tokens that are the same in both cost nothing more but their length.
    one = context.model(PairTokens(text=TEXT).model)
    run = len(beyond_start(pairs.pairs, shared_start(pairs.labels, pairs.others))) + 1  # type: ignore[arg-type]
    assert run == len(pairs.pairs)  # the first token is the same in both; and one is all at once
    passes = run * (4 + 3 + 2 + 1) / 4 + 2
    assert pairs.cost.seconds == pytest.approx(passes * len(pairs.labels) * token_seconds(one, 1, 0.0))
    told: list[str] = []
    context.on_progress = lambda facts: told.append(facts["text"])
    found = PatchSites(text=TEXT, other=other).run(context)
    assert found.pairs == pairs.pairs and found.falls.shape == (4, len(found.pairs)) and told[-1].startswith("64 of 64")
    alike = [n for n, (a, b) in enumerate(found.pairs) if a == b < found.same]
    assert found.same > 0 and not found.falls[:, alike].any() and np.isfinite(found.falls).all()
    gap = found.total - found.other_total
    assert found.falls[3, -1] == pytest.approx(gap, abs=1e-4) and found.kl[3, -1] > 0
    by_hand = ((5, 6), (len(pairs.labels) - 1, len(pairs.others) - 1))
    one = PatchSites(text=TEXT, other=other, site="mlp", pairs=by_hand).run(context)
    assert one.pairs == by_hand and one.falls.shape == (4, 2)
    assert (
        "Without a partner, so left as they are: of this prompt 0" in sites_patched(one, SiteOptions(), "light").caption
    )
    assert "of what the prompts differ by" in claim(found)
    # Asked within the prompt, the other is cut at the partner of the query.
    early = PairTokens(text=TEXT, other=other, query=3).run(context)
    assert len(early.labels) == 4 and early.others == pairs.others[: dict(pairs.pairs)[3] + 1]
    # A generated token has nothing in the other prompt that stands for it; asked within the prompt nothing changes.
    count = len(pairs.labels)
    grown = {"text": TEXT, "other": other, "generate": 2}
    assert PairTokens(**grown, query=count - 1).run(context).pairs == pairs.pairs
    for kind in (PairTokens, PatchSites):
        with pytest.raises(UserError, match=f"Token {count} is one that the model has generated.*0 to {count - 1}"):
            kind(**grown, query=count).run(context)
    for asked, said in (
        (PatchSites(text=TEXT), "Write the other prompt"),
        (PatchSites(text=TEXT, other=TEXT), "are the same"),
        (PatchSites(text=TEXT, other=other, pairs=((0, 0),)), "Pair later ones"),
        (PatchSites(text=TEXT, other=other, pairs=((1, 1), (1, 2))), "two partners"),
        (PatchSites(text=TEXT, other=other, query=3, pairs=((5, 6),)), "has no partner"),
    ):
        with pytest.raises(UserError, match=said):
            asked.run(context)


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt_oss", "qwen3"])
def test_a_head_made_as_it_is_in_its_own_run_changes_no_bit(name):
    one = loaded(name)
    before = plain_logits(one, IDS)
    for what in WHATS:
        change = Patch(one, IDS, what)
        with change.ready(range(4)):
            pass
        [found] = one_head(one, IDS, 2, [3], change, None)
        assert torch.equal(found.logits, before), what


def test_the_sentence_names_no_place_that_is_so_by_construction(context):  # noqa: F811
    other = TEXT.replace("lamp", "lantern").replace("key", "coin")
    found = PatchSites(text=TEXT, other=other).run(context)
    gap, ask = found.total - found.other_total, len(found.pairs) - 1
    assert found.falls[-1, ask] == pytest.approx(gap, abs=1e-4)  # so it is in every model
    # Made of the same pairs: a token carries all of it up to block 1, the one that asks from block 2 on.
    falls, one = np.zeros_like(found.falls), next(n for n, (a, b) in enumerate(found.pairs) if not a == b < found.same)
    falls[:2, one], falls[2:, ask], falls[0, one] = 0.8 * gap, gap, 0.9 * gap
    said = claim(replace(found, falls=falls))
    mine = f"{found.pairs[one][0]} {found.labels[found.pairs[one][0]]}"
    assert f"carries most at {mine}" in said and "block 0: as in" in said and "90% of what" in said
    assert len(said) < 260, "two lines at 1280 pixels"
    drawing = sites_patched(replace(found, falls=falls), SiteOptions(), "light")
    rest = drawing.caption
    assert f"Half of it or more: {mine}" in rest and "up to block 1." in rest and "from block 2 on" in rest
    assert drawing.numbers["largest"] == pytest.approx(0.9 * gap, rel=1e-5)
    assert drawing.control is not None and set(drawing.control.numbers) == {"5 % of places", "95 % of places"}
    # At another site the token that asks is a place like others.
    assert f"carries most at {found.pairs[ask][0]} " in claim(replace(found, site="mlp", falls=falls))
    # Where nothing falls no place is named, least of all one that was not run.
    away = claim(replace(found, falls=-np.sign(gap) * abs(falls) - 0 * falls))
    assert "No single token’s residual stream" in away and "carries most" not in away
    still = replace(found, pairs=found.pairs[-1:], falls=falls[:, -1:])
    assert (
        "Only the token that asks differs" in claim(still)
        and "largest" not in sites_patched(still, SiteOptions(), "light").numbers
    )
    assert "hardly differ" in claim(replace(found, other_total=found.total + 0.01))


def test_the_picture_goes_when_what_it_was_asked_with_is_no_longer_on_the_page():
    from pages.attention import sites as page

    chosen = page._asked(3, 7, None, "the coin", "mlp", [[1, 2], [3, 4]])
    question = PatchSites(text=TEXT, **chosen)
    asked = {"operation": "PatchSites", "params": question.to_params()}
    prompt = {"params": {name: asked["params"][name] for name in ("model", "text", "chat", "generate")}}
    assert PatchSites.from_params(question.to_params()) == question  # so the fields compare as they were asked
    now = {"query": 3, "token": 7, "over": None, "other": "the coin", "site": "mlp", "by_hand": [[1, 2], [3, 4]]}
    for name, value, words in (
        ("query", 4, "another query"),
        ("token", 8, "another predicted token"),
        ("over", 2, "another token beside it"),
        ("other", "the key", "a different other prompt"),
        ("site", "residual", "another site"),
        ("by_hand", None, "other pairs"),
    ):
        shown = page.show_sites(asked, prompt, **(now | {name: value}), unit="nats", theme="light")
        assert shown["claim"] is None and words in str(shown["card"]), name
    # With all as it was nothing is said; no pair at all by hand is not the same as pairs by slot.
    assert page._changed(asked, prompt["params"] | chosen) == ""
    by_slot = {"params": asked["params"] | {"pairs": []}}
    assert page._changed(by_slot, page._asked(3, 7, None, "the coin", "mlp", None)) == ""
    assert page._changed(by_slot, page._asked(3, 7, None, "the coin", "mlp", [])) == "other pairs of tokens"
