"""One file for one artefact: every kind comes back bit for bit on an empty data folder, and what no artefact is, is
refused in a sentence and leaves the shelf as it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from safetensors.numpy import save_file as write_safetensors

from analysis import shelf as shelves
from analysis.artefacts import load_pair, pair_files
from analysis.errors import UserError
from analysis.mfa.vectors import VECTORS
from analysis.portable.file import open_file, save_file
from analysis.portable.kinds import KINDS
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.library import CONTRASTS, contrast_entry, contrast_name
from analysis.rotate.others import OtherResults
from analysis.rotate.sets import keep_set

WEIGHTS = "f" * 64


def put_contrast(fingerprint: str = WEIGHTS, seed: int = 0) -> str:
    """A fitted contrast of a model with two layers, three heads and width four, on the shelf; its name."""
    rng, spec = np.random.default_rng(seed), ContrastSpec("induction")
    grid, vectors = (2, 3), (2, 3, 2, 4)
    shapes: dict[str, tuple[int, ...]] = {
        "halves": (2, 3, 2, 4, 4), "query_mean": vectors, "key_mean": vectors, "query_gap": vectors,
        "key_mid": vectors, "null_values": (2, 3, 5, 4), "null_values_centred": (2, 3, 5, 4),
        "null_trace": (2, 3, 5), "query_sq": grid, "key_sq": grid, "trace": grid, "trace_error": grid,
        "attention": (2, 3, 2), "hits": grid, "scaling": (2,),
    }  # fmt: skip
    arrays = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    arrays["attention"][0] = np.nan  # no key in the query's own prompt
    arrays["still"] = np.zeros(2, bool)
    answer = {"layers": [0, 1], "counts": [4, 4], "name": "Induction", "still": []}
    manifest = {
        "fingerprint": fingerprint, "model": "tiny", "model_spec": {"source": "owner/tiny"}, "rotary": "post",
        "contrast": spec.to_dict(), "permutations": 20, "title": "Induction", "answer": answer,
    }  # fmt: skip
    name = contrast_name(fingerprint, spec, "post", 20)
    CONTRASTS.save(CONTRASTS.own() / name, arrays, manifest)
    return name


@pytest.fixture
def empty_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Changes to a data folder with nothing in it, on a machine where nothing comes with Attune."""

    def change() -> None:
        monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "other"))
        monkeypatch.setattr(shelves, "DATA", tmp_path / "nothing")

    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    return change


def saved(kind: str, target: Path) -> tuple[Path, str]:
    """The pair of the smallest artefact of a kind, saved to a file; its path and its name in the file."""
    if kind == "contrast":
        put_contrast()
    if kind == "vectors":
        rows = {"direction.1": np.arange(4, dtype=np.float32)}
        manifest = {
            "fingerprint": WEIGHTS,
            "model": "tiny",
            "model_spec": {},
            "origin": "a.gguf",
            "hint": "",
            "width": 4,
        }
        VECTORS.save(VECTORS.own() / "a", rows, manifest)
    if kind == "channels":
        grid = np.ones((2, 3), np.int32)
        channels = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
        results = OtherResults((4, 9), np.array([3, 2], np.int32), channels, grid / np.float32(2), grid, grid, 1, "up")
        keep_set(results, "f" * 32, "channels", label="two neurons", others=False, settings={}, model="tiny")
    shelf = KINDS[kind].shelf
    entry = min(shelf.entries(), key=lambda e: pair_files(e.path)[1].stat().st_size)
    save_file(kind, entry.name, target, str(entry.manifest[shelf.weights]))
    return entry.path, entry.name


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back_bit_for_bit(kind: str, tmp_path: Path, empty_home: Callable[[], None]) -> None:
    file, shelf = tmp_path / "a.safetensors", KINDS[kind].shelf
    path, name = saved(kind, file)
    before, manifest = load_pair(path, shelf.wording)
    body = pair_files(path)[1].read_bytes()
    empty_home()
    opened = open_file(file, kind)
    assert not opened.already and opened.name == (f"{name}-2" if name in KINDS[kind].reserved else name)
    entry = shelf.of_weights(opened.fingerprint, *KINDS[kind].inner(opened.fingerprint))[0]
    again, record = load_pair(entry.path, shelf.wording)
    assert pair_files(entry.path)[1].read_bytes() == body
    assert {k: v for k, v in record.items() if k != "file"} == {k: v for k, v in manifest.items() if k != "file"}
    assert again.keys() == before.keys() and all(again[n].tobytes() == before[n].tobytes() for n in before)
    assert open_file(file).already
    assert len(list(entry.path.parent.glob("*.json"))) == 1
    assert not list((tmp_path / "other" / "incoming").iterdir())


def test_another_one_of_that_name_stays_and_both_are_there(tmp_path: Path, empty_home: Callable[[], None]) -> None:
    name = put_contrast(seed=0)
    save_file("contrast", name, tmp_path / "a.safetensors")
    put_contrast(seed=1)
    here = CONTRASTS.own() / name
    before = pair_files(here)[1].read_bytes()
    opened = open_file(tmp_path / "a.safetensors")
    assert opened.name == f"{name}-2" and "taken" in opened.sentence
    assert pair_files(here)[1].read_bytes() == before
    newest = contrast_entry(WEIGHTS, ContrastSpec("induction"), "post", 20)
    assert newest is not None and newest.name == f"{name}-2"


def test_names_of_regions_travel_with_their_fit(tmp_path: Path, empty_home: Callable[[], None]) -> None:
    from analysis.mfa.library import labels_of, put_labels

    put_labels("block-15", {"3": "ships"})
    save_file("fit", "block-15", tmp_path / "a.safetensors")
    empty_home()
    put_labels("block-15", {"3": "mine"})  # of a fit that was deleted: what is here stays
    open_file(tmp_path / "a.safetensors")
    assert labels_of("block-15") == {"3": "mine"}


def test_presets_travel_with_their_fit_in_packs_alone(tmp_path: Path, empty_home: Callable[[], None]) -> None:
    from analysis.mfa.presets import keep_preset, presets
    from analysis.mfa.settings import RegionSetting, SteeringSettings
    from analysis.portable.file import entry_of, write

    generation = {"steer-prompt": "A secret prompt", "count": 7}
    keep_preset("Ships", SteeringSettings("block-15", (RegionSetting(3, 0.5),)), generation)
    keep_preset("Of another fit", SteeringSettings("block-10", (RegionSetting(3, 0.5),)), generation)
    save_file("fit", "block-15", tmp_path / "a.safetensors")
    assert b"A secret prompt" not in (tmp_path / "a.safetensors").read_bytes()
    with (tmp_path / "b.safetensors").open("xb") as file:
        write("fit", entry_of("fit", "block-15"), file, presets=True)
    empty_home()
    keep_preset("Ships", SteeringSettings("block-15", (RegionSetting(9, 0.1),)), {})  # stays
    opened = open_file(tmp_path / "b.safetensors")
    assert opened.presets == 1 and opened.sentence.endswith("1 preset came with it.")
    own = {p.name: p for p in presets() if p.own}
    assert list(own) == ["Ships", "Ships (2)"] and own["Ships"].steer.regions[0].region == 9
    assert own["Ships (2)"].generation == generation and own["Ships (2)"].steer.fit == opened.name
    assert open_file(tmp_path / "b.safetensors").presets == 0  # again: they are there
    body = (tmp_path / "b.safetensors").read_bytes()
    (tmp_path / "c.safetensors").write_bytes(body.replace(b'\\"strength\\": 0.5', b'\\"strength\\": 9.5'))
    with pytest.raises(UserError, match="strength of a region must be"):
        open_file(tmp_path / "c.safetensors")


def test_a_model_in_a_folder_is_named_without_its_path(tmp_path: Path, empty_home: Callable[[], None]) -> None:
    from analysis.models.spec import ModelSpec

    name = put_contrast()
    arrays, manifest = load_pair(CONTRASTS.own() / name, CONTRASTS.wording)
    CONTRASTS.save(CONTRASTS.own() / name, arrays, {**manifest, "model_spec": {"source": "/home/somebody/tiny"}})
    save_file("contrast", name, tmp_path / "a.safetensors")
    assert b"somebody" not in (tmp_path / "a.safetensors").read_bytes()
    empty_home()
    open_file(tmp_path / "a.safetensors", loaded=(WEIGHTS, ModelSpec("./elsewhere/tiny")))
    entry = CONTRASTS.entries()[0]
    assert entry.manifest["model_spec"]["source"] == "./elsewhere/tiny"
    assert CONTRASTS.listing("", lambda e: e.name, WEIGHTS) == [name]


def parts_of(file: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What the metadata of a portable file says, and its arrays, by a reader that is not the one that is tested."""
    body = file.read_bytes()
    header = json.loads(body[8 : 8 + int.from_bytes(body[:8], "little")])
    return json.loads(header["__metadata__"]["attune"]), load_file(file)


def written(file: Path, attune: Any, arrays: dict[str, np.ndarray]) -> None:
    """A file as somebody else would write it."""
    text = attune if isinstance(attune, str) else json.dumps(attune)
    write_safetensors(arrays, file, metadata={"attune": text})


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def appended(file: Path) -> None:
    file.write_bytes(file.read_bytes() + b"PK\x03\x04")


def huge_header(file: Path) -> None:
    file.write_bytes((2**62).to_bytes(8, "little") + file.read_bytes()[8:])


def bit_flipped(file: Path) -> None:
    body = bytearray(file.read_bytes())
    body[-10] ^= 1
    file.write_bytes(bytes(body))


def header_of(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Changes the header as text and leaves the arrays."""

    def spoil(file: Path) -> None:
        body = file.read_bytes()
        size = int.from_bytes(body[:8], "little")
        header = json.loads(body[8 : 8 + size])
        text = change(header)
        text = (json.dumps(header) if text is None else text).encode()
        file.write_bytes(len(text).to_bytes(8, "little") + text + body[8 + size :])

    return spoil


def manifest_of(**changes: Any) -> Callable[[Path], None]:
    """Changes entries of the manifest, or of what stands around it with names in capitals."""

    def spoil(file: Path) -> None:
        attune, arrays = parts_of(file)
        for name, value in changes.items():
            (attune if name.isupper() else attune["manifest"])[name.lower()] = value
        written(file, attune, arrays)

    return spoil


def array_of(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Changes an array, and the checksum with it: what a careful forger does."""

    def spoil(file: Path) -> None:
        from hashlib import sha256

        from safetensors.numpy import save

        attune, arrays = parts_of(file)
        arrays = {**arrays, name: change(arrays[name])}
        attune["manifest"]["sha256"] = sha256(save(arrays)).hexdigest()
        written(file, attune, arrays)

    return spoil


def _long_row(header: dict[str, Any]) -> None:
    header["trace"]["shape"] = [2**40, 2**40]


def _overlap(header: dict[str, Any]) -> None:
    header["trace"]["data_offsets"] = header["trace_error"]["data_offsets"]


def _dtype(header: dict[str, Any]) -> None:
    header["trace"]["dtype"] = "PICKLE"


def _slip(header: dict[str, Any]) -> None:
    header["../../trace"] = header.pop("trace")


def _no_metadata(header: dict[str, Any]) -> None:
    header.pop("__metadata__")


def _other_text(header: dict[str, Any]) -> None:
    header["__metadata__"] = {"attune": "[1, 2"}


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut within its arrays": (cut, "was cut off"),
    "cut within its header": (lambda file: file.write_bytes(file.read_bytes()[:200]) and None, "cut off within"),
    "empty": (lambda file: file.write_bytes(b"") and None, "no safetensors file"),
    "more than it says": (appended, "has more in it than its header names"),
    "a header longer than the file": (huge_header, "cut off within its header"),
    "a bit of an array changed": (bit_flipped, "their checksum is another"),
    "nested without end": (header_of(lambda _h: "[" * 100_000), "nested deeper"),
    "a shape beyond all memory": (header_of(_long_row), "another length than its shape"),
    "two arrays in one place": (header_of(_overlap), "overlap or leave gaps"),
    "a number type of its own": (header_of(_dtype), "number type that is not read"),
    "an array that is named as a path": (header_of(_slip), "has a name that none has"),
    "arrays without a manifest": (header_of(_no_metadata), "no file of Attune"),
    "a manifest that is no JSON": (header_of(_other_text), "cannot be read as JSON"),
    "another format": (manifest_of(FORMAT=99), "is of format 99"),
    "a kind that is none": (manifest_of(KIND="../../etc"), "This file holds a"),
    "another kind in the manifest": (manifest_of(what="study"), "its manifest says another kind"),
    "a name that leads elsewhere": (manifest_of(NAME="../../evil"), "none that an artefact can have"),
    "weights that are a path": (manifest_of(fingerprint="../../../etc/passwd"), "does not say which weights"),
    "a manifest of other types": (manifest_of(contrast=[1]), "“contrast” is of another kind"),
    "a contrast that is none": (manifest_of(contrast={"kind": "no such"}), "its contrast is none"),
    "labels that are no texts": (manifest_of(LABELS={"a": 1}), "no texts by number"),
    "numbers that are none": (array_of("trace", lambda a: a * np.float32(np.nan)), "NaN or infinite"),
    "infinite where gaps may be": (array_of("hits", lambda a: a + np.float32(np.inf)), "NaN or infinite"),
    "an array of another shape": (array_of("trace", lambda a: a[:, :1]), "another shape"),
    "an array of another model's heads": (array_of("halves", lambda a: a[..., :2]), "another shape"),
}


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Iterator[bytes]:
    """The bytes of a sound file, made once."""
    place = tmp_path_factory.mktemp("sound")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ATTUNE_HOME", str(place / "home"))
        save_file("contrast", put_contrast(), place / "a.safetensors")
        yield (place / "a.safetensors").read_bytes()


@pytest.mark.parametrize("case", HOSTILE)
def test_a_file_that_is_no_artefact_is_refused_in_a_sentence(
    case: str, sound: bytes, tmp_path: Path, empty_home: Callable[[], None]
) -> None:
    empty_home()
    file, (spoil, sentence) = tmp_path / "a.safetensors", HOSTILE[case]
    file.write_bytes(sound)
    spoil(file)
    with pytest.raises(UserError, match=sentence) as caught:
        open_file(file)
    assert caught.value.message.endswith(".") and str(tmp_path) not in caught.value.message
    assert not CONTRASTS.entries() and not list((tmp_path / "other").rglob("*.safetensors"))


def test_a_file_of_another_kind_says_what_it_is(sound: bytes, tmp_path: Path, empty_home: Callable[[], None]) -> None:
    empty_home()
    (tmp_path / "a").write_bytes(sound)
    with pytest.raises(UserError, match="This file holds a fitted contrast, and a fit of regions is opened here"):
        open_file(tmp_path / "a", "fit")
