"""Tokens as vectors of the stream: where embeddings are narrower than it, against what the model itself computes; and
lists of vocabularies that are shorter than a list."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from analysis.corpora.write import _sample
from analysis.errors import UserError
from analysis.models.facts import describe
from analysis.models.loaded_model import LoadedModel
from analysis.models.recording import IMPLEMENTATION
from analysis.models.spec import ModelSpec
from analysis.rotate.channels import VocabularyChannels
from analysis.rotate.objective import z_scores
from analysis.rotate.reading import vector_card
from analysis.rotate.removal import other_tokens
from analysis.rotate.vectors import NeuronVectors
from analysis.steering.prompt import next_token_shift
from tests.unit.rotate.test_vectors import Sized


def narrow_model() -> LoadedModel:
    """OPT with embeddings of 24 dimensions in a stream of 48, as its 350m version has them (512 in 1,024)."""
    config = CONFIG_MAPPING["opt"](
        vocab_size=96, hidden_size=48, word_embed_proj_dim=24, num_hidden_layers=4, num_attention_heads=4, ffn_dim=64,
        max_position_embeddings=64, pad_token_id=1,
    )  # fmt: skip
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(config, attn_implementation=IMPLEMENTATION, dtype=torch.float32).eval()
    ids = torch.randint(3, 96, (1, 12), generator=torch.Generator().manual_seed(1))
    spec = ModelSpec("default")
    return LoadedModel(model, Sized(False), spec, describe(model, ids, None, spec, ""))  # type: ignore[arg-type]


def test_narrow_embeddings_are_read_through_the_models_own_maps() -> None:
    loaded = narrow_model()
    v, model = NeuronVectors(loaded), loaded.model
    seen: dict[str, torch.Tensor] = {}
    core: Any = model.base_model.decoder
    handles = [
        core.project_in.register_forward_hook(lambda _m, _a, y: seen.update(stream=y)),
        core.project_out.register_forward_hook(lambda _m, a, _y: seen.update(last=a[0])),
    ]
    ids = torch.tensor([[5, 9, 40]])
    logits = model(ids).logits[0]
    for handle in handles:
        handle.remove()
    assert v.projection(0).shape == v.projection(3).shape == (94, 48) and not v.tied
    assert torch.allclose(v.projection(0)[ids[0]], seen["stream"][0], atol=1e-5)
    assert torch.allclose(seen["last"][0] @ v.projection(3).T, logits[:, :94], atol=1e-4)
    assert "through the model's own maps" in v.said()


@pytest.mark.parametrize("way", ["two maps", "something between"])
def test_maps_that_cannot_be_told_are_refused_in_a_sentence(way: str) -> None:
    loaded = narrow_model()
    core: Any = loaded.model.base_model.decoder
    if way == "two maps":  # the tokens' vectors do not go straight into the stream
        core.project_in = nn.Sequential(nn.Linear(24, 24), nn.Linear(24, 48))
    else:
        core.project_out = nn.Sequential(nn.Linear(48, 24), nn.Tanh())
    with pytest.raises(UserError, match="no one linear map") as refused:
        NeuronVectors(loaded)
    assert refused.value.field == "model"


@pytest.mark.parametrize("tokens", [2, 3, 7, 20, 61])
def test_vocabularies_shorter_than_a_list(tokens: int) -> None:
    """Othello has 61 tokens, a model of letters fewer."""
    generator = torch.Generator().manual_seed(tokens)
    U, w = torch.randn(tokens, 8, generator=generator), torch.randn(8, generator=generator)
    names: Any = SimpleNamespace(convert_ids_to_tokens=lambda ids: [f"t{i}" for i in ids], all_special_ids=[])
    labels = SimpleNamespace(tokenizer=names)
    base, steered = torch.randn(2, tokens, generator=generator)
    with pytest.MonkeyPatch.context() as patch:
        for place in ("analysis.rotate.reading.token_labels", "analysis.models.prompts.token_labels"):
            patch.setattr(place, lambda _tokenizer, ids: [f"t{i}" for i in ids])
        card = vector_card(names, w, U, None, None)
        shown = next_token_shift(labels, base, steered)  # type: ignore[arg-type]
    high, low = ([row.id for row in rows] for rows in (card.high, card.low))
    order = (U @ w).argsort(descending=True).tolist()
    assert high == order[: len(high)] and low == order[::-1][: len(low)]
    assert len(high) == len(low) == min(15, max(1, tokens // 2)) and not set(high) & set(low)
    assert len(set(shown.labels)) == len(shown.labels) <= 12
    assert (sum(shown.base) == pytest.approx(1)) == (len(shown.labels) == tokens)
    assert (len(shown.labels) == tokens) == (tokens <= 8)
    found = VocabularyChannels(2).fit(w[None], U)
    assert found.top_.shape == (1, 2, min(20, tokens))
    assert int(_sample(base[None], generator)) in range(tokens)


def test_other_tokens_are_never_those_of_the_channel() -> None:
    generator = torch.Generator().manual_seed(0)
    U, w = torch.randn(24, 8, generator=generator), torch.randn(8, generator=generator)
    channel = torch.randn(8, generator=generator)
    own = (z_scores(channel @ U.T) > 0.5).nonzero()[:, 0].tolist()
    others = other_tokens(w, U, channel, 1, mask_z=1.0)
    assert len(own) > 4 and len(others) == min(20, 24 - len(own)) and not set(own) & set(others)
    with pytest.raises(UserError, match="none to compare") as refused:
        other_tokens(w, U, channel, 1, usable=torch.zeros(24, dtype=torch.bool))
    assert refused.value.field == "channel"
