"""Activations on disk against those in memory: order, resuming, damage, limits; collecting against a slow run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.activations import collect as collecting
from analysis.activations import reading, room
from analysis.activations.collect import (
    collect,
    collect_each,
    estimate,
    passage_order,
    recipe_of,
    start_tokens,
    tokens_of,
)
from analysis.activations.recipe import Recipe
from analysis.activations.room import require_room
from analysis.activations.store import ActivationStore, site_key
from analysis.corpora.passages import Passage
from analysis.errors import Cancelled, UserError
from analysis.models.capture import Captured
from analysis.models.loaded_model import LoadedModel
from analysis.models.sites import Site
from analysis.spoken import counted, duration
from tests.unit.lossy import Lossy
from tests.unit.test_fit import loaded_tiny
from tests.unit.wired import Wired

STREAM, HIDDEN = Site(1), Site(0, "mlp_hidden")
RECIPE = Recipe("Tiny", "f" * 20, "float32", (HIDDEN, STREAM), "c" * 20)
WORDS = [f"w{i}" for i in range(90)]


class Tokenizer:
    """Words to numbers, with or without a start token."""

    pad_token_id = 0

    def __init__(self, start: bool) -> None:
        self.start = start

    def __call__(self, text: str | list[str], add_special_tokens: bool = True) -> dict[str, Any]:
        if isinstance(text, list):
            return {"input_ids": [self(t, add_special_tokens)["input_ids"] for t in text]}
        ids = [int(w[1:]) + 3 if w[1:].isdigit() else 95 for w in text.split()]
        return {"input_ids": [1, *ids] if self.start and add_special_tokens else ids}


@cache
def loaded(start: bool = False) -> LoadedModel:
    return replace(loaded_tiny("llama"), tokenizer=Tokenizer(start))  # type: ignore[arg-type]


def texts(count: int = 40, seed: int = 0, longest: int = 40) -> list[Passage]:
    rng = np.random.default_rng(seed)
    return [Passage(" ".join(rng.choice(WORDS, rng.integers(1, longest)))) for _ in range(count)]


def rows(count: int, seed: int, scale: float = 1.0, document: int = 0, dropped: int = 0) -> Captured:
    g = torch.Generator().manual_seed(seed)
    activations = {HIDDEN: torch.randn(count, 6, generator=g), STREAM: scale * torch.randn(count, 4, generator=g)}
    number = torch.arange(count, dtype=torch.int32)
    return Captured(activations, number + 100 * seed, torch.full_like(number, document), number, dropped)


def filled(path: Path, counts: list[int], shard_rows: int = 50, scale: float = 1.0) -> tuple[ActivationStore, Tensor]:
    """A store with one passage of each of these lengths, and what should be in it at STREAM."""
    store = ActivationStore(path, RECIPE, shard_rows=shard_rows)
    parts = [rows(count, i, scale, document=i, dropped=1) for i, count in enumerate(counts)]
    with store.writing():
        for i, part in enumerate(parts):
            store.append(part)
            store.commit(i + 1)
    return store, torch.cat([p.activations[STREAM] for p in parts])


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv(room.VARIABLE, raising=False)
    return tmp_path / "home"


# The store


@pytest.mark.parametrize("size", [1, 7, 50, 64, 1000])
def test_batches_are_the_rows_in_order_and_can_be_gone_through_again(tmp_path: Path, size: int) -> None:
    store, expected = filled(tmp_path / "a", [30, 30, 1, 70, 20, 49])
    assert [e["rows"] for e in store.shards.entries] == [60, 71, 69] and store.rows == 200
    store = ActivationStore(tmp_path / "a")
    found = store.batches(STREAM, size)
    for _ in range(2):
        parts = list(found)
        assert [len(p) for p in parts] == [size] * (200 // size) + [200 % size] * (200 % size > 0)
        assert all(p.dtype == torch.float32 for p in parts) and len(found) == len(parts)
        assert torch.equal(torch.cat(parts), expected.half().float())
    assert torch.equal(store.read(STREAM), expected.half().float())
    assert store.width(STREAM) == 4 and store.width(HIDDEN) == 6 and store.dropped == 6


def test_masks_and_first_rows_choose_rows(tmp_path: Path) -> None:
    store, expected = filled(tmp_path / "a", [30, 30, 40, 30, 20])
    mask = torch.rand(150, generator=torch.Generator().manual_seed(1)) < 0.3
    mask[60:100] = False
    found = store.batches(STREAM, 16, rows=mask)
    assert torch.equal(torch.cat(list(found)), expected[mask].half().float()) and found.rows == int(mask.sum())
    assert torch.equal(store.read(STREAM, 77), expected[:77].half().float())
    assert torch.equal(store.read(STREAM, mask[:40]), expected[:40][mask[:40]].half().float())
    assert list(store.batches(STREAM, 16, rows=0)) == [] and store.read(STREAM, 0).shape == (0, 4)
    with pytest.raises(ValueError, match="a mask of 151 rows"):
        store.batches(STREAM, 16, rows=torch.ones(151))
    with pytest.raises(UserError, match="no activations of the residual stream after block 7 here"):
        store.batches(Site(7))


def test_the_index_says_which_token_each_row_is(tmp_path: Path) -> None:
    store, _ = filled(tmp_path / "a", [60, 30, 40])
    tokens, documents, positions = ActivationStore(tmp_path / "a").index()
    assert tokens.dtype == documents.dtype == positions.dtype == torch.int32
    assert documents.tolist() == [0] * 60 + [1] * 30 + [2] * 40
    assert positions.tolist() == [*range(60), *range(30), *range(40)]
    assert tokens.tolist() == [d * 100 + p for d, p in zip(documents.tolist(), positions.tolist(), strict=True)]
    assert [len(part) for part in store.index(70)] == [70] * 3


def test_values_beyond_float16_are_kept_in_float32(tmp_path: Path) -> None:
    store = ActivationStore(tmp_path / "a", RECIPE, shard_rows=10)
    parts = [rows(10, 0), rows(10, 1, 1e6), rows(10, 2)]
    with store.writing():
        for i, part in enumerate(parts):
            store.append(part)
            store.commit(i + 1)
    kinds = [[store.shards.array(i, site_key(s)).dtype for i in range(3)] for s in (STREAM, HIDDEN)]
    assert kinds == [[torch.float16, torch.float32, torch.float16], [torch.float16] * 3]
    read = store.read(STREAM)
    assert torch.equal(read[10:20], parts[1].activations[STREAM])
    assert torch.equal(read[20:], parts[2].activations[STREAM].half().float())
    assert next(iter(store.batches(STREAM, 25))).isfinite().all()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_activations_that_are_no_numbers_are_refused_and_what_came_before_stays(tmp_path: Path, value: float) -> None:
    store = ActivationStore(tmp_path / "a", RECIPE)
    bad = rows(5, 1)
    bad.activations[HIDDEN][3, 2] = value
    with pytest.raises(UserError, match="hidden layer of the MLP of block 0 hold values that are not numbers"):
        with store.writing():
            store.append(rows(5, 0))
            store.commit(1)
            store.append(bad)
    assert ActivationStore(tmp_path / "a").rows == 5 and store.next_passage == 1


def test_only_finished_passages_count_after_a_run_was_cut_off(tmp_path: Path) -> None:
    store = ActivationStore(tmp_path / "a", RECIPE, shard_rows=1000)
    with pytest.raises(Cancelled), store.writing():
        store.append(rows(20, 0))
        store.commit(3)
        store.append(rows(20, 1))
        raise Cancelled
    again = ActivationStore(tmp_path / "a")
    assert again.rows == 20 and again.next_passage == 3 and not again.complete
    with again.writing():
        again.append(rows(20, 2))
        again.commit(5)
        again.finish()
    last = ActivationStore(tmp_path / "a")
    assert last.rows == 40 and last.next_passage == 5 and last.complete and last.waiting == 0
    assert last.index()[0].tolist() == [*range(20), *range(200, 220)]


def test_a_process_that_is_killed_leaves_whole_shards_and_no_rubbish(tmp_path: Path) -> None:
    code = (
        "import os, sys, torch; from pathlib import Path; from types import SimpleNamespace\n"
        "from analysis.activations.store import ActivationStore, Recipe, Site\n"
        "def rows(count, i):\n"
        "    n = torch.arange(count, dtype=torch.int32)\n"
        "    values = {Site(0, 'mlp_hidden'): torch.zeros(count, 6), Site(1): torch.zeros(count, 4)}\n"
        "    return SimpleNamespace(activations=values, tokens=n + 100 * i, documents=n, positions=n, dropped=0)\n"
        "recipe = Recipe('Tiny', 'f' * 20, 'float32', (Site(0, 'mlp_hidden'), Site(1)), 'c' * 20)\n"
        "store = ActivationStore(Path(sys.argv[1]), recipe, shard_rows=10)\n"
        "with store.writing():\n"
        "    for i in range(3):\n"
        "        store.append(rows(10, i)); store.commit(i + 1)\n"
        "    (store.path / '.00003.safetensors.part').write_bytes(b'half')\n"
        "    (store.path / '00003.safetensors').write_bytes(b'not in the manifest')\n"
        "    store.append(rows(5, 3)); store.commit(4)\n"
        "    os._exit(9)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "a")], env=environment, check=False)
    assert done.returncode == 9
    store = ActivationStore(tmp_path / "a")
    assert store.rows == 30 and store.next_passage == 3
    with store.writing():
        names = sorted(p.name for p in store.path.iterdir())
        store.append(rows(10, 3))
        store.commit(4)
    assert names == [".lock", "00000.safetensors", "00001.safetensors", "00002.safetensors", "manifest.json"]
    assert ActivationStore(tmp_path / "a").index()[0].tolist() == [100 * i + j for i in range(4) for j in range(10)]


def test_two_writers_are_refused(tmp_path: Path) -> None:
    first, second = (ActivationStore(tmp_path / "a", RECIPE, shard_rows=10) for _ in range(2))
    with first.writing():
        with pytest.raises(UserError, match="Another Attune is collecting"), second.writing():
            pass
        first.append(rows(10, 0))
        first.commit(1)
    # The second one sees what the first has written before it goes on.
    with second.writing():
        assert second.rows == 10 and second.next_passage == 1


def damage_value(path: Path) -> None:
    body = bytearray(path.read_bytes())
    body[-3] ^= 1
    path.write_bytes(body)


def damage_length(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


@pytest.mark.parametrize("damage", [damage_value, damage_length, Path.unlink])
def test_a_damaged_shard_ends_the_store_before_it(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    _, expected = filled(tmp_path / "a", [50, 50, 50, 50])
    damage(tmp_path / "a" / "00002.safetensors")
    store = ActivationStore(tmp_path / "a")
    if damage is damage_value:
        assert store.rows == 200
        with pytest.raises(UserError, match="damaged on disk and has been left out; 100 are whole"):
            store.read(STREAM)
    assert store.rows == 100 and store.next_passage == 2 and not store.complete
    assert torch.equal(store.read(STREAM), expected[:100].half().float())
    with store.writing():
        for i in (2, 3):
            store.append(rows(50, i, document=i, dropped=1))
            store.commit(i + 1)
    assert torch.equal(ActivationStore(tmp_path / "a").read(STREAM), expected.half().float())
    assert store.dropped == 4


@pytest.mark.parametrize(
    "body", ["", "{", "[]", '{"head": {}, "shards": []}', '{"head": 1, "shards": 2, "complete": 3}']
)
def test_a_manifest_that_cannot_be_read_is_as_none(tmp_path: Path, body: str) -> None:
    filled(tmp_path / "a", [50])
    (tmp_path / "a" / "manifest.json").write_text(body)
    with pytest.raises(UserError, match="no longer in the data folder"):
        ActivationStore(tmp_path / "a")
    store, expected = filled(tmp_path / "a", [20])
    assert torch.equal(store.read(STREAM), expected.half().float())


def test_a_recipe_names_its_store_and_no_other_recipe_is_taken_for_it(tmp_path: Path) -> None:
    changed = [
        replace(RECIPE, **{name: value})  # type: ignore[arg-type]
        for name, value in {
            "fingerprint": "e" * 20,
            "dtype": "bfloat16",
            "sites": (STREAM,),
            "corpus": "d" * 20,
            "seed": 1,
            "window": 64,
            "skip_first": 1,
            "norm_guard": 0.0,
        }.items()
    ]
    assert len({r.key for r in (RECIPE, *changed)}) == 9
    assert replace(RECIPE, model="renamed").key == RECIPE.key
    assert Recipe.from_dict(json.loads(json.dumps(RECIPE.to_dict()))) == RECIPE
    filled(tmp_path / "a", [5])
    with pytest.raises(ValueError, match="another recipe"):
        ActivationStore(tmp_path / "a", changed[0])
    with pytest.raises(UserError, match="no longer in the data folder"):
        ActivationStore(tmp_path / "nothing")
    store = ActivationStore(tmp_path / "a")
    store.delete()
    assert not (tmp_path / "a").exists() and store.rows == 0


def test_the_split_divides_no_document_and_is_stable_while_the_store_grows(tmp_path: Path) -> None:
    counts = [10 + i % 7 for i in range(120)]
    short, _ = filled(tmp_path / "a", counts[:60])
    long, _ = filled(tmp_path / "b", counts)
    for seed in range(3):
        train, held = long.split(0.2, seed)
        documents = long.index()[1]
        assert torch.equal(train, ~held) and not set(documents[train].tolist()) & set(documents[held].tolist())
        assert 0.1 < len(documents[held].unique()) / 120 < 0.3
        assert torch.equal(short.split(0.2, seed)[1], held[: short.rows])
        assert torch.equal(long.split(0.2, seed, short.rows)[1], held[: short.rows])
    assert not torch.equal(long.split(0.2, 0)[1], long.split(0.2, 1)[1])


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.999, 1.0])
def test_both_sides_of_a_split_have_documents(tmp_path: Path, fraction: float) -> None:
    store, _ = filled(tmp_path / "a", [5] * 4)
    train, held = store.split(fraction)
    assert bool(train.any()) and bool(held.any())
    single, _ = filled(tmp_path / "b", [5])
    with pytest.raises(UserError, match="All activations come from one passage"):
        single.split(0.2)


# Room


def test_the_limit_counts_all_stores_and_keeps_what_was_written(tmp_path: Path, monkeypatch: Any) -> None:
    filled(tmp_path / "all" / "old", [400])
    used = room.used(tmp_path / "all")
    assert used == sum(p.stat().st_size for p in (tmp_path / "all").rglob("*") if p.is_file()) > 400 * 20
    monkeypatch.setenv(room.VARIABLE, str(used + 6000))
    store = ActivationStore(tmp_path / "all" / "new", RECIPE, shard_rows=50)
    with pytest.raises(UserError) as caught, store.writing():
        for i in range(20):
            store.append(rows(50, i))
            store.commit(i + 1)
    assert "Tiny" in caught.value.message and "activations/old" in caught.value.message
    assert room.VARIABLE in caught.value.message and "activations/new" not in caught.value.message
    assert 0 < store.rows < 1000 and ActivationStore(tmp_path / "all" / "new").rows == store.rows
    monkeypatch.setenv(room.VARIABLE, "1e9")
    with store.writing():
        store.append(rows(50, store.next_passage))
        store.commit(store.next_passage + 1)
    assert store.index()[0][::50].tolist() == [100 * i for i in range(store.rows // 50)]


def test_room_is_asked_for_in_words(tmp_path: Path, monkeypatch: Any) -> None:
    require_room(tmp_path, 4 << 30 if room.shutil.disk_usage(tmp_path).free > 5e9 else 0)
    with pytest.raises(UserError, match=r"need 5.0 GB more, and 0 kB of the 4.3 GB allowed .* are in use. Take fewer"):
        require_room(tmp_path, 5_000_000_000)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda path: SimpleNamespace(free=300_000_000))
    with pytest.raises(UserError, match=r"need 150\.0 MB, and the disk has 300\.0 MB free"):
        require_room(tmp_path, 150_000_000)
    for bad in ("none", "-1", "0", "nan", "inf"):
        monkeypatch.setenv(room.VARIABLE, bad)
        with pytest.raises(UserError, match="must be a number of bytes above zero"):
            room.limit()


def test_a_disk_that_is_full_is_a_sentence(tmp_path: Path, monkeypatch: Any) -> None:
    store = ActivationStore(tmp_path / "a", RECIPE, shard_rows=10)

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left on device"), store.writing():
        store.append(rows(10, 0))
        store.commit(1)
        monkeypatch.setattr(os, "fsync", full)
        store.append(rows(10, 1))
        store.commit(2)
    assert ActivationStore(tmp_path / "a").rows == 10 and not list((tmp_path / "a").glob("*.part"))


# Collecting


def slowly(model: LoadedModel, passages: list[Passage], window: int, skip: int) -> dict[tuple[int, int], Tensor]:
    """(document, position) -> activation at STREAM: each piece of each passage alone, from the model's own states."""
    found = {}
    prefix = start_tokens(model)
    for document, ids in enumerate(tokens_of(model, passages)):
        pieces = -(-len(ids) // (window - len(prefix)))
        for i in range(pieces):
            first, last = len(ids) * i // pieces, len(ids) * (i + 1) // pieces
            states = model.model(
                torch.tensor([prefix + ids[first:last]]), output_hidden_states=True, use_cache=False
            ).hidden_states[STREAM.layer + 1][0]
            for place in range(max(skip, len(prefix)), len(states)):
                found[document, first + place - len(prefix)] = states[place]
    return found


def hooks_in(model: LoadedModel) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.model.modules())


@pytest.mark.parametrize(("start", "skip"), [(False, 2), (True, 2), (True, 0), (False, 0)])
def test_collected_rows_are_those_of_each_passage_alone(start: bool, skip: int, monkeypatch: Any) -> None:
    monkeypatch.setattr(collecting, "CHUNK_CHARACTERS", 400)
    model, passages = loaded(start), [*texts(), Passage(""), Passage("w1")]
    store = collect(
        model, passages, [STREAM], max_tokens=10**6, window=16, batch_tokens=64, skip_first=skip, norm_guard=0
    )
    expected = slowly(model, passages, 16, skip)
    tokens, documents, positions = (part.tolist() for part in store.index())
    assert store.complete and len(set(zip(documents, positions, strict=True))) == store.rows == len(expected)
    ids = tokens_of(model, passages)
    found = store.read(STREAM)
    for row, (token, document, position) in enumerate(zip(tokens, documents, positions, strict=True)):
        assert ids[document][position] == token
        error = (found[row] - expected[document, position]).abs().max()
        assert error < 2e-3 * expected[document, position].abs().max() + 1e-3


def test_a_run_that_goes_on_gives_what_an_uninterrupted_one_gives(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(collecting, "CHUNK_CHARACTERS", 300)
    model, passages, sites = loaded(True), texts(60), [STREAM, HIDDEN]
    options: dict[str, Any] = {"window": 16, "batch_tokens": 64}
    recipe = recipe_of(model, passages, sites, window=16)
    whole = collect(model, passages, sites, ActivationStore(tmp_path / "a", recipe), max_tokens=10**6, **options)
    parts = ActivationStore(tmp_path / "b", recipe, shard_rows=100)
    calls, hooks = 0, hooks_in(model)

    def check() -> None:
        nonlocal calls
        calls += 1
        assert hooks_in(model) == hooks
        if calls % 5 == 0:
            raise Cancelled

    sizes = []
    for _ in range(50):
        try:
            collect(model, passages, sites, parts, max_tokens=10**6, check=check, **options)
            break
        except Cancelled:
            sizes.append(parts.rows)
    assert parts.complete and len(sizes) > 2 and sizes == sorted(set(sizes)) and sizes[0] > 0
    again = ActivationStore(tmp_path / "b", shard_rows=100)
    assert all(torch.equal(x, y) for x, y in zip(again.index(), whole.index(), strict=True))
    for site in sites:
        assert torch.equal(again.read(site), whole.read(site))
    assert again.dropped == whole.dropped


def test_more_activations_extend_the_store_and_fewer_are_there_already(monkeypatch: Any, home: Path) -> None:
    monkeypatch.setattr(collecting, "CHUNK_CHARACTERS", 300)
    model, passages = loaded(), texts(60)
    first = collect(model, passages, [STREAM], max_tokens=200)
    count, values = first.rows, first.read(STREAM)
    assert 200 <= count < 400 and not first.complete
    assert first.path == home / "activations" / first.recipe.key
    more = collect(model, passages, [STREAM], max_tokens=600)
    assert more.rows >= 600 and torch.equal(more.read(STREAM, count), values)

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the model ran")

    with monkeypatch.context() as patch:
        patch.setattr(reading, "capture", never)
        assert collect(model, passages, [STREAM], max_tokens=300).rows == more.rows
    documents = set(more.index()[1].tolist())
    assert documents <= set(passage_order(60, 0)[: more.next_passage])
    with pytest.raises(ValueError, match="another recipe"):
        collect(model, passages[:-1], [STREAM], more, max_tokens=10**4)


def test_progress_ends_at_one_and_speaks(monkeypatch: Any) -> None:
    monkeypatch.setattr(collecting, "CHUNK_CHARACTERS", 300)
    said: list[tuple[float, str]] = []
    collect(loaded(), texts(60), [STREAM], max_tokens=300, progress=lambda *said_now: said.append(said_now))
    shares = [share for share, _ in said]
    assert shares == sorted(shares) and shares[-1] == 1.0 and 0 < shares[0] < 1
    assert "of 300 activations" in said[0][1] and "tokens per second" in said[1][1] and said[1][1].endswith("left")
    assert [duration(s) for s in (0.2, 80, 100, 3600, 9000)] == ["1 s", "80 s", "2 min", "60 min", "2.5 h"]


def test_passages_are_read_in_a_seeded_order() -> None:
    assert sorted(passage_order(50, 3)) == list(range(50)) and passage_order(50, 3) == passage_order(50, 3)
    assert passage_order(50, 3) != passage_order(50, 4) != list(range(50)) and passage_order(0, 1) == []


def test_norms_far_from_the_median_are_left_out_and_counted(monkeypatch: Any) -> None:
    model, passages = loaded(), texts(30)
    everything = collect(model, passages, [STREAM], max_tokens=10**6, norm_guard=0)
    strict = collect(model, passages, [STREAM], max_tokens=10**6, norm_guard=1.05)
    assert everything.dropped == 0 and 0 < strict.dropped == everything.rows - strict.rows


def test_sites_read_in_one_pass_have_the_stores_of_their_own(monkeypatch: Any, home: Path, tmp_path: Path) -> None:
    model, passages = loaded(), texts(60)
    # A guard that leaves rows out, others at each site: what one site lacks must not be lacking at the other.
    guard = {"norm_guard": 1.2}
    passes: list[int] = []
    capture = reading.capture

    def counted(loaded: Any, batches: Any, sites: Any, **options: Any) -> Any:
        passes.append(len(sites))
        return capture(loaded, batches, sites, **options)

    monkeypatch.setattr(reading, "capture", counted)
    monkeypatch.setattr(collecting, "CHUNK_CHARACTERS", 200)
    both = collect_each(model, passages, {STREAM: 300, HIDDEN: 150}, **guard)
    assert passes[0] == 2 and set(passes) == {1, 2}  # the one that has enough is not read on
    for site, tokens in ((STREAM, 300), (HIDDEN, 150)):
        alone = ActivationStore(tmp_path / site.kind, recipe_of(model, passages, [site], **guard))
        collect(model, passages, [site], alone, max_tokens=tokens, **guard)  # type: ignore[arg-type]
        assert both[site].rows == alone.rows >= tokens and both[site].dropped == alone.dropped > 0
        assert torch.equal(both[site].read(site), alone.read(site))
        assert all(map(torch.equal, both[site].index(), alone.index()))
    # A longer one goes on where it was, and what is there is not read again.
    passes.clear()
    more = collect_each(model, passages, {STREAM: 500, HIDDEN: 150}, **guard)
    assert set(passes) == {1} and more[STREAM].rows >= 500 and more[HIDDEN].rows == both[HIDDEN].rows
    passes.clear()
    collect_each(model, passages, {STREAM: 500, HIDDEN: 150}, **guard)
    assert not passes


class Ahead(Wired):
    """All shards before the first part is taken, as hands that are faster than who asks."""

    def __call__(self, *shards: Any, **options: Any) -> Any:
        """As :class:`Wired`."""
        yield from list(super().__call__(*shards, **options))


@pytest.mark.parametrize("way", [Wired, Ahead, Lossy])
def test_chunks_that_were_read_elsewhere_make_the_same_stores(way: Any, monkeypatch: Any, tmp_path: Path) -> None:
    model, passages = loaded(True), texts(60)
    monkeypatch.setattr(collecting, "CHUNK_CHARACTERS", 200)
    bodies = []
    for spread in (None, way(model)):
        monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / str(len(bodies))))
        wants = {STREAM: 300, HIDDEN: 150}
        for tokens in (100, 300):  # it goes on where it was
            wants |= {STREAM: tokens}
            stores = collect_each(model, passages, wants, norm_guard=1.2, spread=spread)
        bodies.append([[e["sha256"] for e in stores[site].shards.entries] for site in wants])
    assert bodies[0] == bodies[1] and all(bodies[0])
    assert not isinstance(spread, Lossy) or spread.lost == ["read_chunk"]


def test_what_cannot_be_collected_is_refused_before_the_model_runs(monkeypatch: Any, home: Path) -> None:
    model, passages = loaded(), texts(5)

    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("the model ran")

    monkeypatch.setattr(reading, "capture", never)
    for arguments, options, field in (
        (([], [STREAM]), {}, "texts"),
        ((passages, []), {}, "site"),
        ((passages, [Site(99)]), {}, "layer"),
        ((passages, [STREAM]), {"max_tokens": 0}, "tokens"),
        ((passages, [STREAM]), {"window": 4}, "window"),
        ((passages, [STREAM]), {"skip_first": 128}, "window"),
        ((passages, [STREAM]), {"norm_guard": float("nan")}, "norm_guard"),
        ((passages, [STREAM]), {"max_tokens": 10**9}, "tokens"),
    ):
        with pytest.raises(UserError) as caught:
            collect(model, *arguments, **{"max_tokens": 100, **options})  # type: ignore[arg-type]
        assert caught.value.field == field, caught.value.message
    assert not list((home / "activations").glob("*/*")) if home.exists() else True


def test_passages_that_leave_nothing_are_refused() -> None:
    with pytest.raises(UserError, match="not one activation was left"):
        collect(loaded(), [Passage("w1 w2"), Passage("w3")], [STREAM], max_tokens=10)


def test_the_estimate_follows_depth_width_and_number() -> None:
    facts = replace(loaded().facts, layers=10, hidden=100, seconds_per_token=0.01)
    one = estimate(facts, [Site(4)], 1000)
    assert one["seconds"] == pytest.approx(5.0) and one["bytes"] == 1000 * 212
    assert one["sentence"] == "Collecting 1,000 activations takes about 5 s and 212 kB of disk."
    both = estimate(facts, [Site(4), Site(9, "mlp_hidden")], 1000, {Site(9, "mlp_hidden"): 300})
    assert both["seconds"] == pytest.approx(10.0) and both["bytes"] == 1000 * 812


def test_the_estimated_bytes_are_those_on_disk() -> None:
    store = collect(loaded(), texts(80), [STREAM, HIDDEN], max_tokens=10**6)
    widths = {site: store.width(site) for site in (STREAM, HIDDEN)}
    expected = estimate(loaded().facts, [STREAM, HIDDEN], store.rows, widths)["bytes"]
    assert room.used(store.path) == pytest.approx(expected, abs=4000)


def test_one_thing_is_counted_as_one() -> None:
    assert [counted(n, "token") for n in (0, 1, 2000)] == ["0 tokens", "1 token", "2,000 tokens"]
