"""All that belongs to a model in one zip: there and back, on a machine without the model, over a hub; and zips that
someone made to do harm."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from analysis import shelf as shelves
from analysis.engine.context import Context
from analysis.errors import UserError
from analysis.models.spec import ModelSpec
from analysis.portable import hub
from analysis.portable import pack as packs
from analysis.portable.__main__ import main
from analysis.portable.belonging import Weights, all_entries
from analysis.portable.ops.files import (
    DeleteArtefact,
    ListShelf,
    OpenArtefact,
    SaveArtefact,
    SavePack,
    new_place,
    open_any,
    waiting,
)
from analysis.portable.pack import open_pack, read_pack, write_pack
from analysis.qk.library import CONTRASTS
from analysis.snmf.library import FACTORIZATIONS
from tests.unit.portable.hub_server import TOKEN, hub_server
from tests.unit.portable.test_files import WEIGHTS, put_contrast

DEFAULT = FACTORIZATIONS.entries()[0].manifest["fingerprint"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another machine, where nothing comes with Attune."""
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path / "other"))
    monkeypatch.setattr(shelves, "DATA", tmp_path / "nothing")


def packed(target: Path) -> Path:
    """The pack of a model of which there is one fitted contrast."""
    put_contrast()
    weights = Weights(ModelSpec("owner/tiny"), "tiny", {"": WEIGHTS})
    with target.open("xb") as file:
        write_pack(weights, list(all_entries(weights)), file)
    return target


def test_artefacts_of_many_kinds_travel_together(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_contrast(DEFAULT)
    weights = Weights(ModelSpec(), "SmolLM2", {"": DEFAULT})
    last = {kind.name: (kind, entry) for kind, entry in all_entries(weights)}
    entries = [pair for name, pair in last.items() if name != "neurons"]  # which takes a second to decode
    with (tmp_path / "a.zip").open("xb") as file:
        manifest = write_pack(weights, entries, file)
    before = {(kind.name, entry.name): entry.checksum for kind, entry in entries}
    assert {kind for kind, _ in before} == {"fit", "factorization", "study", "contrast"}
    assert manifest.loadable and manifest.source == "default"
    moved(tmp_path, monkeypatch)
    assert open_pack(tmp_path / "a.zip").refused == ()
    after = {(kind.name, entry.name): entry.checksum for kind, entry in all_entries(weights)}
    before["study", "default-2"] = before.pop(("study", "default"))  # a name that means the bundled one
    assert after == before


def test_a_pack_names_a_model_that_is_not_there_and_offers_to_load_it(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed(tmp_path / "a.zip")
    moved(tmp_path, monkeypatch)
    opened = open_any(Context(), ModelSpec(), tmp_path / "a.zip")
    assert opened.model == "owner/tiny" and opened.loadable and not opened.ours
    assert opened.sentence == ("Opened the pack of tiny: 1 new on the shelf. The model in use is not loaded yet.")
    assert "1 were here already" in open_any(Context(), ModelSpec(), tmp_path / "a.zip").sentence


def test_the_operations_list_save_open_and_delete(home: Path) -> None:
    context, model = Context(), ModelSpec("owner/tiny")
    name = put_contrast()
    shelf = ListShelf(model).run(context)
    rows = [(row.kind, row.name, row.title, row.bundled) for row in shelf.rows]
    assert rows == [("contrast", name, "Induction", False)]
    assert not shelf.complete and shelf.rows[0].size > 1_000 and shelf.rows[0].page == "/attention"
    saved = SaveArtefact(model, "contrast", name).run(context)
    body = waiting("outgoing", saved.token).read_bytes()
    assert saved.size == len(body) and saved.name == f"{name}.attune.safetensors"
    assert "Deleted" in DeleteArtefact(model, "contrast", name).run(context).sentence
    assert ListShelf(model).run(context).rows == () and not list(CONTRASTS.own().iterdir())
    place = new_place("incoming")
    place.write_bytes(body)
    opened = OpenArtefact(model, place.name).run(context)
    assert opened.artefacts[0].name == name and opened.artefacts[0].contrast is not None and not place.exists()
    for question, sentence in (
        (DeleteArtefact(ModelSpec(), "fit", "block-10"), "What comes with Attune stays"),
        (SaveArtefact(model, "fit", "none"), "There is no fit of regions “none”"),
        (SavePack(model), "is not loaded yet"),
        (OpenArtefact(model, "../../etc/passwd"), "not there any more"),
    ):
        with pytest.raises(UserError, match=sentence):
            question.run(context)


def test_a_shell_opens_what_it_is_given(tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    packed(tmp_path / "a.zip")
    assert main(["open", str(tmp_path / "a.zip")]) == 0 and "Opened the pack of tiny" in capsys.readouterr().out
    (tmp_path / "b.zip").write_bytes(b"PK\x03\x04")
    assert main(["open", str(tmp_path / "b.zip")]) == 1 and "damaged or no zip" in capsys.readouterr().err


# ---- the hub ----
@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The small hub, as the only one that its client knows."""
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with hub_server() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield server


def test_a_pack_is_pushed_and_opened_by_its_id(
    tmp_path: Path, home: Path, endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed = hub.push(packed(tmp_path / "a.zip"), "somebody/artefacts")
    assert pushed.repository == "somebody/artefacts" and "Pushed 1 artefact of tiny" in pushed.sentence
    files = endpoint.repositories["somebody/artefacts"]
    assert files[hub.FILE] == (tmp_path / "a.zip").read_bytes() and endpoint.private["somebody/artefacts"]
    card = files["README.md"].decode()
    assert "base_model: owner/tiny" in card and "| fitted contrast |" in card and WEIGHTS in card
    hub.push(tmp_path / "a.zip", "somebody/artefacts")  # again: the card was ours
    assert endpoint.commits == 2
    files["README.md"] = b"my own words"
    endpoint.commits += 1  # by its owner
    assert "stays" in hub.push(tmp_path / "a.zip", "somebody/artefacts").sentence
    assert files["README.md"] == b"my own words"
    moved(tmp_path, monkeypatch)
    assert open_pack(hub.fetch("somebody/artefacts")).artefacts[0].already is False


def test_what_the_hub_refuses_is_a_sentence(
    tmp_path: Path, home: Path, endpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = packed(tmp_path / "a.zip")
    endpoint.repositories["somebody/empty"] = {}
    for act, sentence in (
        (lambda: hub.push(file, "others/artefacts"), "does not let this token write"),
        (lambda: hub.push(file, "../evil"), "named owner/name"),
        (lambda: hub.fetch("somebody/none"), "has no repository somebody/none"),
        (lambda: hub.fetch("somebody/empty"), "there is no pack of Attune in it"),
        (lambda: hub.fetch("somebody/none", "../x"), "A revision is a branch"),
    ):
        with pytest.raises(UserError, match=sentence):
            act()
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(UserError, match="asks for a token"):
        hub.push(file, "somebody/artefacts")


def test_a_card_holds_nothing_but_text() -> None:
    row = {"file": "fit/a", "kind": "fit", "name": "a", "title": "x | <script>\n# y", "size": 1, "sha256": "0" * 64}
    manifest = packs.PackManifest("m](http://evil) `x`", "owner/tiny", "", {"": "<b>"}, (row,))
    card = hub.card(manifest)
    assert "<" not in card and "](" not in card and "\n# y" not in card


# ---- hostile packs ----
def members_of(body: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return out.getvalue()


def manifest_with(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    def spoil(body: bytes) -> bytes:
        members = members_of(body)
        record = json.loads(members["manifest.json"])
        change(record)
        return zip_of({**members, "manifest.json": json.dumps(record).encode()})

    return spoil


def with_member(name: str, content: bytes = b"x") -> Callable[[bytes], bytes]:
    return lambda body: zip_of({**members_of(body), name: content})


def linked(body: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members_of(body).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(info, content)
    return out.getvalue()


def bomb(body: bytes) -> bytes:
    members = members_of(body)
    name = next(n for n in members if n.startswith("contrast/"))
    return zip_of({**members, name: bytes(8 << 20)}, zipfile.ZIP_DEFLATED)


def forged(body: bytes) -> bytes:
    """Another artefact under the name of one, its checksum not mended."""
    members = members_of(body)
    name = next(n for n in members if n.startswith("contrast/"))
    return zip_of({**members, name: members[name][:-8] + bytes(8)})


HOSTILE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no zip at all": (lambda _b: b"PK\x03\x04" + b"no zip" * 50, "damaged or no zip"),
    "cut in half": (lambda body: body[: len(body) // 2], "damaged or no zip"),
    "a member that leads elsewhere": (with_member("../../../etc/cron.d/evil"), "has a member that a pack has not"),
    "a member with a path of a disk": (with_member("/etc/passwd"), "has a member that a pack has not"),
    "a pickle beside the rest": (with_member("fit/a.pkl"), "has a member that a pack has not"),
    "a member that is not named": (with_member("fit/a.attune.safetensors"), "not those that its manifest names"),
    "links": (linked, "is a link or no file"),
    "a bomb": (bomb, "unfolds to more than data do"),
    "a forged member": (forged, "was changed after it was written"),
    "a bundle of findings": (manifest_with(lambda r: r.update(kind="bundle")), "is no pack of Attune"),
    "another format": (manifest_with(lambda r: r.update(format=7)), "is of format 7"),
    "weights that are a path": (
        manifest_with(lambda r: r["model"].update(fingerprints={"": "../x"})), "does not say which weights"
    ),
    "members that are no rows": (manifest_with(lambda r: r.update(members=["a"])), "is no list of rows"),
    "a member without its checksum": (manifest_with(lambda r: r["members"][0].pop("sha256")), "“sha256” is missing"),
    "no manifest": (lambda _b: zip_of({"README.txt": b"x"}), "it has no manifest.json"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_pack_that_was_made_to_do_harm_is_refused(
    case: str, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = packed(tmp_path / "a.zip").read_bytes()
    moved(tmp_path, monkeypatch)
    spoil, sentence = HOSTILE[case]
    (tmp_path / "b.zip").write_bytes(spoil(body))
    with pytest.raises(UserError, match=sentence):
        open_pack(tmp_path / "b.zip")
    assert not CONTRASTS.entries() and not [p for p in (tmp_path / "other").rglob("*") if p.is_file()]


def test_a_member_that_is_no_artefact_is_refused_alone(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = packed(tmp_path / "a.zip").read_bytes()
    junk = b"\x00" * 100

    def add(record: dict[str, Any]) -> None:
        record["members"].append(
            {"file": "fit/a.attune.safetensors", "kind": "fit", "name": "a", "title": "", "size": 100,
             "sha256": sha256(junk).hexdigest()}
        )  # fmt: skip

    (tmp_path / "b.zip").write_bytes(with_member("fit/a.attune.safetensors", junk)(manifest_with(add)(body)))
    moved(tmp_path, monkeypatch)
    opened = open_pack(tmp_path / "b.zip")
    assert len(opened.artefacts) == 1 and "no safetensors file" in opened.refused[0]
    assert read_pack(tmp_path / "b.zip").label == "tiny" and len(CONTRASTS.entries()) == 1
