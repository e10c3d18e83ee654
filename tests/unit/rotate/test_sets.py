"""Sets of channels: results of others written independently and read back, a run over a list, comparison, refusals."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.rotate.answers.sets import ChannelSetCard
from analysis.rotate.library import NeuronLibrary
from analysis.rotate.many import list_weights
from analysis.rotate.null import ChannelNull
from analysis.rotate.objective import kurtosis
from analysis.rotate.ops.neurons import vectors_of
from analysis.rotate.ops.sets import (
    FindMany,
    KeepTokens,
    KnownChannelSets,
    OpenChannels,
    ReadChannels,
    ReadNeuronList,
    WriteChannels,
)
from analysis.rotate.others import read_numbers, read_results
from analysis.rotate.sets import CHANNEL_SETS
from components.rotate.sets import channel_set, set_table
from tests.service.test_neuron_operations import context_of, tiny
from tests.unit.drawn_again import drawn_again

NEURONS = (3, 7, 20)


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def coded(*pairs: tuple[str, bytes]) -> tuple[tuple[str, str], ...]:
    return tuple((name, base64.b64encode(body).decode()) for name, body in pairs)


def iteration(vector: torch.Tensor, kurt: float, step: int = 100, masked: int = 4) -> dict[str, Any]:
    """A channel as the official code saves it: among other things the kurtosis as a tensor."""
    return {
        "rotated_vector_best": vector, "rotated_kurtosis": torch.tensor(kurt), "best_epoch": step,
        "residual_masked_token_count": masked, "loss_history": [1.0, 0.5],
    }  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Context, Any]]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_HOME", str(tmp_path_factory.mktemp("home")))
        loaded = tiny()
        vectors = vectors_of(loaded)
        measured(vectors).save()
        yield context_of(loaded, tmp_path_factory.mktemp("results")), vectors


def measured(vectors: Any) -> NeuronLibrary:
    """Measurements as they are kept, with a null of twenty vectors and no token left out."""
    rng = np.random.default_rng(0)
    null = ChannelNull(*(torch.from_numpy(rng.random((20, 2))) for _ in range(4)), torch.zeros(20, 2, 20))
    grid = (len(vectors.layers), len(vectors.kinds), vectors.neurons)
    arrays = {f"unembedding.null.{name}": value.numpy() for name, value in null.arrays().items()}
    arrays |= {name: np.zeros(grid, np.float32) for name in ("kurtosis", "skewness")}
    arrays |= {f"unembedding.{name}": np.zeros(0, np.int32) for name in ("zero", "low")}
    manifest = {
        "fingerprint": vectors.loaded.facts.fingerprint, "model": "tiny", "layers": vectors.layers,
        "vectors": list(vectors.kinds), "embedding_layers": [], "projections": {"unembedding": {"zero": 0, "low": 0}},
        "shares": [], "neurons": [],
    }  # fmt: skip
    return NeuronLibrary(manifest, arrays | {"unembedding.band": np.zeros(3, np.float32)})


def theirs(vectors: Any, layer: int = 1, kind: str = "up") -> dict[Any, Any]:
    """Channels near the neurons, with their true kurtosis, three of the last neuron and two of the others."""
    torch.manual_seed(1)
    U, data = vectors.projection(layer), {}
    for neuron in NEURONS:
        w = vectors.read(layer, kind, neuron)
        rows = [w + 0.5 * w.norm() / len(w) ** 0.5 * torch.randn(len(w)) for _ in range(3 if neuron == 20 else 2)]
        data[neuron] = {"iterations": [iteration(r, float(kurtosis(r @ U.T))) for r in rows]}
    return data


def test_results_of_others_open_are_read_and_go_out_as_they_came(bench: tuple[Context, Any]) -> None:
    context, vectors = bench
    data = theirs(vectors)
    notes = json.dumps({"config": {"layer": 1, "mask_type": "in"}, "rate": 8e-4}).encode()
    files = coded(("results.pt", saved(data)), ("metadata.json", notes))
    opened = OpenChannels.answer_from(context.perform(OpenChannels(files=files, layer=3)))
    assert "block 1" in opened.sentence and "3 neurons with up to 3 channels" in opened.sentence
    assert "seem" not in opened.sentence
    known = KnownChannelSets.answer_from(context.perform(KnownChannelSets())).sets[0]
    assert (known.name, known.layer, known.vector, known.neurons, known.others) == (opened.name, 1, "up", NEURONS, True)
    card: ChannelSetCard = ReadChannels.answer_from(context.perform(ReadChannels(name=opened.name)))
    assert [(r.neuron, r.channels) for r in card.rows] == [(3, 2), (7, 2), (20, 3)] and card.counted == 2
    assert card.kurtosis_error is not None and card.kurtosis_error < 1e-3 and "agrees within 0.0%" in card.sentence
    for row in card.rows:
        rows = [one["rotated_vector_best"] for one in data[row.neuron]["iterations"]]
        w = vectors.read(1, "up", row.neuron)
        assert row.cosine == pytest.approx(float(torch.cosine_similarity(w[None], torch.stack(rows)).mean()), abs=1e-5)
        assert row.p is not None and 0 < row.p <= 1 and row.nearest is None
    out = WriteChannels.answer_from(context.perform(WriteChannels(name=opened.name)))
    again = torch.load(io.BytesIO(base64.b64decode(out.content)), weights_only=True)
    assert list(again) == list(NEURONS) and out.metadata["layer"] == 1 and out.metadata["vector"] == "up"
    for neuron in NEURONS:
        for one, two in zip(data[neuron]["iterations"], again[neuron]["iterations"], strict=True):
            assert torch.equal(one["rotated_vector_best"], two["rotated_vector_best"])
            assert two["rotated_kurtosis"] == pytest.approx(float(one["rotated_kurtosis"]))
            assert (two["best_epoch"], two["residual_masked_token_count"]) == (100, 4)


def test_a_run_over_their_neurons_stands_beside_theirs(bench: tuple[Context, Any]) -> None:
    context, _ = bench
    run = FindMany(layer=1, vector="up", neurons=NEURONS, channels=2)
    ours = FindMany.answer_from(context.perform(run))
    found = CHANNEL_SETS.read(CHANNEL_SETS.own() / ours.name).results
    first = [torch.from_numpy(found.channels[i, 0].copy()) for i in range(len(NEURONS))]
    data = {n: {"iterations": [iteration(vector, 0.0)]} for n, vector in zip(NEURONS, first, strict=True)}
    files = coded(("layer_1_mask_in.pt", saved(data)))
    opened = OpenChannels.answer_from(context.perform(OpenChannels(files=files)))
    card: ChannelSetCard = ReadChannels.answer_from(context.perform(ReadChannels(name=opened.name, against=ours.name)))
    assert all(r.nearest == pytest.approx(1.0, abs=1e-5) and r.shared == 20 for r in card.rows)
    assert card.against == "3 neurons, block 1, up, lbfgs" and card.kurtosis_error is None
    drawing = drawn_again(channel_set, card)
    assert len(drawing.parts[0].rows) == 3 and drawing.control is not None  # type: ignore[union-attr]
    assert len(set_table(card).children[0].children.children) == 10
    # The same question again makes no second set.
    assert FindMany.answer_from(context.perform(run)).name == ours.name


def test_a_folder_of_the_official_layout_names_block_and_vector(bench: tuple[Context, Any], tmp_path: Path) -> None:
    context, vectors = bench
    folder = tmp_path / "results" / "model" / "layer_2" / "0101_mask_out_iter_C_2"
    folder.mkdir(parents=True)
    (folder / "results.pt").write_bytes(saved(theirs(vectors, 2, "down")))
    for path in (folder, folder / "results.pt"):
        opened = OpenChannels.answer_from(context.perform(OpenChannels(path=str(path), layer=0, vector="gate")))
        assert opened.name.startswith("opened-results-2-down") and "down vectors of block 2" in opened.sentence
    with pytest.raises(UserError, match="There is no file"):
        context.perform(OpenChannels(path=str(tmp_path / "gone.pt")))


def test_channels_of_other_vectors_are_said_to_be(bench: tuple[Context, Any]) -> None:
    context, vectors = bench
    files = coded(("results.pt", saved(theirs(vectors, 2, "gate"))))
    sentence = OpenChannels.answer_from(context.perform(OpenChannels(files=files, layer=2, vector="up"))).sentence
    assert "they seem to be of those. Open them as such" in sentence and "gate" in sentence
    sentence = OpenChannels.answer_from(context.perform(OpenChannels(files=files, layer=0, vector="gate"))).sentence
    assert "of another block or model" in sentence


def test_a_list_of_tokens_takes_the_place_of_ours(bench: tuple[Context, Any]) -> None:
    context, vectors = bench
    U = vectors.projection(1)
    tokens = torch.tensor([5, 9, 9, 2])
    content = base64.b64encode(saved(tokens)).decode()
    kept = KeepTokens.answer_from(context.perform(KeepTokens("outliers.pt", content)))
    weights = list_weights(U, [2, 5, 9])
    norms = U.norm(dim=1)
    long = norms > norms.quantile(0.99)
    assert (weights[long] == 1e-4).all() and (weights[[2, 5, 9]][~long[[2, 5, 9]]] == 0).all()
    base = {"layer": 1, "vector": "up", "neurons": (3,), "channels": 1}
    one = FindMany.answer_from(context.perform(FindMany(**base, outliers=kept.key)))
    two = FindMany.answer_from(context.perform(FindMany(**base)))
    ours, others = (CHANNEL_SETS.read(CHANNEL_SETS.own() / s.name).results.channels for s in (one, two))
    assert not np.allclose(ours, others)
    with pytest.raises(UserError, match="leaves out token"):
        list_weights(U, [len(U)])


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a.json", b"[9, 3, 3]"),
        ("a.json", b'{"indices": [3, 9]}'),
        ("a.txt", b"3\n9\n"),
        ("a.csv", b"3, 9; 3"),
        ("a.pt", saved(torch.tensor([9, 3]))),
        ("a.pt", saved([9, 3])),
        ("a.pt", saved({"indices": torch.tensor([9, 3])})),
    ],
)
def test_lists_of_neurons_come_in_several_forms(bench: tuple[Context, Any], name: str, body: bytes) -> None:
    answer = bench[0].perform(ReadNeuronList(name, base64.b64encode(body).decode()))
    assert ReadNeuronList.answer_from(answer).numbers == (3, 9)


@pytest.mark.parametrize(
    ("name", "body", "word"),
    [
        ("a.txt", b"three", "whole numbers only"),
        ("a.txt", b"\xff\xfe", "no text"),
        ("a.json", b"[1.5]", "list of whole numbers"),
        ("a.json", b"[-1]", "list of whole numbers"),
        ("a.json", b"[", "cannot be read as JSON"),
        ("a.pt", saved(torch.randn(3)), "whole numbers"),
        ("a.pt", saved(Path("x")), "Python objects"),
        ("a.txt", b" ".join(b"%d" % i for i in range(501)), "at most 500"),
    ],
)
def test_what_is_no_list_is_refused_in_a_sentence(name: str, body: bytes, word: str) -> None:
    with pytest.raises(UserError, match=word) as error:
        read_numbers(name, body, 500, "neurons")
    assert error.value.field == "neurons"


def one(vector: Any) -> dict[Any, Any]:
    return {0: {"iterations": [{"rotated_vector_best": vector}]}}


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"PK\x03\x04", "damaged"),
        ({"0": {"iterations": [], "x": Path("x")}}, "Python objects"),
        ([1, 2], "holds no results"),
        ({}, "holds no results"),
        ({"model": {}}, "no number of one"),
        ({0: {"iterations": []}}, "no “iterations”"),
        ({0: one(torch.ones(4))[0], "0": one(torch.ones(4))[0]}, "one neuron twice"),
        (one([1.0, 2.0]), "no vector"),
        (one(torch.ones(3, 3)), "no vector"),
        (one(torch.full((4,), torch.inf)), "no finite numbers"),
        (one(torch.zeros(4)), "all zero"),
        ({0: one(torch.ones(4))[0], 1: one(torch.ones(5))[0]}, "several widths"),
        ({0: {"iterations": [{"rotated_vector_best": torch.ones(4), "best_epoch": "x"}]}}, "“best_epoch” is no number"),
        ({0: {"iterations": [{"rotated_vector_best": torch.ones(2)}] * 201}}, "at most 200"),
    ],
)
def test_files_that_hold_no_results_are_refused_in_a_sentence(data: Any, word: str) -> None:
    with pytest.raises(UserError, match=word) as error:
        read_results("results.pt", data if isinstance(data, bytes) else saved(data))
    assert error.value.field == "results"


def test_results_of_another_model_are_named_as_such(bench: tuple[Context, Any]) -> None:
    context, vectors = bench
    width = vectors.loaded.facts.hidden
    for data, word in (
        (one(torch.ones(width + 1)), "another model"),
        ({9_999: one(torch.ones(width))[0]}, "neuron 9,999"),
    ):
        with pytest.raises(UserError, match=word):
            context.perform(OpenChannels(files=coded(("r.pt", saved(data)))))
    for names in (("a.pt", "b.pt"), ("metadata.json",)):
        with pytest.raises(UserError, match="Choose one results"):
            context.perform(OpenChannels(files=coded(*((n, saved(one(torch.ones(width)))) for n in names))))
    with pytest.raises(UserError, match="not there any more"):
        context.perform(ReadChannels(name="gone"))
