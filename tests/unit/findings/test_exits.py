"""The ways out, as a browser asks for them: files without what is hidden, links, bundles back in."""

from __future__ import annotations

import argparse
import dataclasses
import gzip
import io
import json
import re
import zipfile
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient

from analysis.answer import to_wire
from analysis.engine.question import Result
from analysis.findings.export.texts import text_id
from analysis.findings.store import findings
from analysis.home import home
from analysis.mfa.answers.steering import SetupFile
from analysis.mfa.ops.steer import SteerText
from analysis.mfa.settings import SteeringSettings
from analysis.models.spec import ModelSpec
from analysis.status import Resident, WorkerStatus
from analysis.view_ref import QuestionRef, ViewRef
from app import Settings, create_app, origin
from pages.findings import exits, handovers, paper
from pages.findings.handovers import EXITS
from tests.unit.findings.example_board import PUBLIC, SECRET, handover
from tests.unit.findings.test_bundle import whole
from tests.unit.findings.test_redact import PIECES, WORDS

API = "/findings/api"
HIDE = {"choices": {text_id(SECRET): ""}}
FILES = [name for name in EXITS if name != "pdf"]


@pytest.fixture
def board(client: FlaskClient) -> str:
    """A board that came as a bundle."""
    answer = client.post(f"{API}/boards/from-bundle", data=whole(), content_type="application/zip")
    return str(answer.get_json()["board"]["id"])


def text_in(body: bytes) -> str:
    """All text of a file, of a zip that of its members."""
    if not body.startswith(b"PK"):
        return body.decode("utf-8", "replace")
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        return "\n".join(name + archive.read(name).decode("utf-8", "replace") for name in archive.namelist())


def without_scripts(text: str) -> str:
    """A page without its scripts, its style and its digests, whose words are nobody's: of 2,500 random hex digits, four
    in a row are 1984 once in 26 runs."""
    text = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)
    return re.sub(r"(?<![0-9a-zA-Z])[0-9a-f]{12,64}(?![0-9a-zA-Z])", "", text)


def test_the_dialog_gets_exits_sizes_and_texts(client: FlaskClient, board: str) -> None:
    told = client.get(f"{API}/export/{board}").get_json()
    assert [way["name"] for way in told["exits"] if way["name"] != "pdf"] == FILES
    assert {SECRET, PUBLIC} <= {text["text"] for text in told["texts"]} and told["link"] == ""
    sizes = client.post(f"{API}/export/{board}/sizes", json={}).get_json()["sizes"]
    assert sizes.keys() == set(FILES) and sizes["page"] > 4_000_000 > sizes["notebook"] > 1_000


@pytest.mark.parametrize("name", FILES)
def test_nothing_hidden_is_in_any_file(client: FlaskClient, board: str, name: str) -> None:
    path = f"{API}/export/{board}/file/{name}"
    shown, hidden = (client.post(path, json=data) for data in ({}, HIDE))
    assert hidden.mimetype == EXITS[name].mime and "attachment" in hidden.headers["Content-Disposition"]
    text = without_scripts(text_in(hidden.data))
    assert [word for word in WORDS if word.casefold() in text.casefold()] == []
    assert [piece for piece in PIECES if piece in text.casefold()] == []
    assert "zebra" not in hidden.headers["Content-Disposition"]
    if name not in ("methods", "references"):
        assert any(word.casefold() in text_in(shown.data).casefold() for word in WORDS)


def test_a_link_shows_the_board_until_it_is_withdrawn(client: FlaskClient, board: str) -> None:
    link = client.post(f"{API}/export/{board}/share", json={}).get_json()["link"]
    assert len(link.removeprefix("/share/")) >= 32
    page = client.get(link, headers={"Accept-Encoding": "gzip"})
    assert page.status_code == 200 and "dash" not in gzip.decompress(page.data).decode()[:2000]
    policy = page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy and "'self'" not in policy
    assert client.get(link).data == gzip.decompress(page.data)
    again = create_app().server.test_client()  # another process would find the same files
    assert again.get(link).data == client.get(link).data
    client.post(f"{API}/export/{board}/withdraw", json={})
    gone = client.get(link)
    assert gone.status_code == 404 and "This link leads nowhere" in gone.text
    assert client.get("/share/" + "x" * 32).text == gone.text
    assert client.post(f"{API}/export/{board}/share", json={}).get_json()["link"] != link


def test_a_link_follows_its_board_but_not_where_texts_are_hidden(client: FlaskClient, board: str) -> None:
    store = findings()
    link = client.post(f"{API}/export/{board}/share", json={}).get_json()["link"]
    store.add(board, "note", {"note": "A later remark."})
    assert "A later remark." in client.get(link).text
    client.post(f"{API}/export/{board}/share", json=HIDE)
    assert "quxford" not in without_scripts(client.get(link).text).casefold()
    store.add(board, "note", {"note": "Quxford once more."})
    assert "quxford" not in without_scripts(client.get(link).text).casefold()
    assert client.get(f"{API}/export/{board}").get_json()["hidden"] == 1
    client.post(f"{API}/export/{board}/share", json=HIDE)
    assert "[…] once more" in client.get(link).text


def test_a_link_never_shows_more_than_was_chosen(
    client: FlaskClient, board: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"{API}/export/{board}/share"
    link = client.post(path, json={}).get_json()["link"]
    assert "quxford" in client.get(link).text.casefold()
    failing = dataclasses.replace(EXITS["page"], make=lambda handover: 1 / 0)
    monkeypatch.setitem(EXITS, "page", failing)
    client.post(path, json=HIDE)
    monkeypatch.undo()  # it failed half-way: by now the link hides what was chosen, or shows nothing
    assert "quxford" not in without_scripts(client.get(link).text).casefold()
    for file in (home() / "findings" / "shared").glob("*.json"):
        file.write_text("{")
    assert client.get(link).status_code == 404


def test_what_nobody_has_looked_at_does_not_leave(client: FlaskClient, board: str) -> None:
    api, listed = f"{API}/export/{board}", client.get(f"{API}/export/{board}").get_json()["stamp"]
    shared = client.post(f"{api}/share", json=HIDE | {"stamp": listed}).get_json()
    asked = HIDE | {"stamp": shared["stamp"]}
    assert client.post(f"{api}/file/page", json=asked).mimetype == "text/html"
    findings().add(board, "note", {"note": "Somebody else's secret."})
    for path in ("file/page", "print", "share"):
        assert "has changed since" in client.post(f"{api}/{path}", json=asked).get_json()["refused"]
    assert "Somebody" not in client.get(shared["link"]).text


def test_a_page_for_print_is_opened_with_its_own_policy(client: FlaskClient, board: str) -> None:
    address = client.post(f"{API}/export/{board}/print", json=HIDE).get_json()["address"]
    page = client.get(address)
    assert page.status_code == 200 and "script-src 'sha256-" in page.headers["Content-Security-Policy"]
    assert "quxford" not in page.text.casefold()
    assert client.get("/findings/print/none").status_code == 404


def test_only_named_sites_may_embed_a_shared_board(client: FlaskClient, board: str) -> None:
    link = client.post(f"{API}/export/{board}/share", json={}).get_json()["link"]
    other = create_app(Settings(embed=("https://lab.example",))).server.test_client()
    assert other.get(link).headers["Content-Security-Policy"].endswith("frame-ancestors https://lab.example")
    assert "lab.example" not in other.get("/attention").headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "text", ["*", "https://lab.example/", "lab.example", "https://a; script-src *", "javascript:x"]
)
def test_an_origin_is_no_pattern(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        origin(text)
    assert origin("http://localhost:8888") == "http://localhost:8888"


def test_a_form_of_another_site_can_send_nothing(client: FlaskClient, board: str) -> None:
    for path in ("file/page", "share", "withdraw", "print", "sizes"):
        assert client.post(f"{API}/export/{board}/{path}", data={"choices": ""}).status_code == 415
    for kind in ("multipart/form-data", "text/plain", "application/x-www-form-urlencoded"):
        assert client.post(f"{API}/boards/from-bundle", data=whole(), content_type=kind).status_code == 415


@pytest.mark.parametrize(
    "choices", [["x"], {"x": ""}, {"0" * 16: 1}, {"0" * 16: "y" * 300}, {f"{n:016x}": "" for n in range(600)}]
)
def test_choices_that_are_none_are_refused(client: FlaskClient, board: str, choices: Any) -> None:
    answer = client.post(f"{API}/export/{board}/file/page", json={"choices": choices})
    assert answer.status_code == 200 and answer.get_json()["refused"].endswith(".")


def test_a_hostile_bundle_is_a_sentence_and_makes_no_board(client: FlaskClient) -> None:
    before = len(findings().boards())
    for body in (b"PK\x03\x04", b"", b"<svg onload=alert(1)>"):
        answer = client.post(f"{API}/boards/from-bundle", data=body, content_type="application/zip").get_json()
        assert "damaged or no zip" in answer["refused"]
    assert len(findings().boards()) == before


def test_a_file_of_a_board_is_made_once(client: FlaskClient, board: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = f"{API}/export/{board}/file/page"
    first = client.post(path, json=HIDE).data
    remade = dataclasses.replace(EXITS["page"], make=lambda _: pytest.fail("made again"))
    monkeypatch.setitem(EXITS, "page", remade)
    assert client.post(path, json=HIDE).data == first


def test_without_chromium_a_pdf_is_refused_in_words(
    client: FlaskClient, board: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (paper, exits):
        monkeypatch.setattr(module, "chromium", lambda: None)
    assert "pdf" not in {way["name"] for way in client.get(f"{API}/export/{board}").get_json()["exits"]}
    answer = client.post(f"{API}/export/{board}/file/pdf", json={}).get_json()
    assert "Print the page from your own browser" in answer["refused"]


def test_a_bundle_has_the_set_ups_of_steered_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The set-up of a pinned text is what the Steering page saves: its vectors, its prompt, its seed."""
    steered = SteerText(ModelSpec(), "A prompt", steer=SteeringSettings("block-10", mode="add"), seed=7)
    held = handover()
    pin = replace(held.content.pins["pin-b"], ref=ViewRef("steering/texts", (_question(steered),), {}).to_dict())
    held.content.pins["pin-b"] = pin
    asked: list[Any] = []

    class Worker:
        def status(self) -> WorkerStatus:
            facts: Any = None
            return WorkerStatus("ready", loaded=(Resident(ModelSpec(), facts, False),))

        def ask(self, operation: Any) -> Result:
            asked.append(operation)
            return Result(*to_wire(SetupFile("block-10.attune.safetensors", 1, np.arange(3, dtype=np.uint8))))

    monkeypatch.setattr(handovers, "client", Worker)
    with zipfile.ZipFile(io.BytesIO(EXITS["bundle"].make(held))) as archive:
        assert archive.read("setups/view-2.attune.safetensors") == bytes([0, 1, 2])
    assert asked[0].steer == steered.steer and asked[0].model == steered.model
    assert json.loads(asked[0].generation) == {
        "steer-prompt": "A prompt", "steer-chat": False, "count": 40, "temperature": 0.7, "top-p": 0.95, "seed": 7,
    }  # fmt: skip


def _question(operation: Any) -> QuestionRef:
    return QuestionRef(type(operation).__name__, operation.to_params())


def test_files_that_are_kept_have_room_in_memory(
    client: FlaskClient, board: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handovers, "KEPT_BYTES", 4_000_000)  # less than one page
    for name in ("methods", "notebook", "page", "references"):
        client.post(f"{API}/export/{board}/file/{name}", json={})
    assert [len(body) < 4_000_000 for body in handovers._made.values()] == [True]
