"""The web process: fast, without torch, refusing what it should; and the address of a page, read defensively."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from plotly.utils import PlotlyJSONEncoder

from app import main
from components.frame.shell import shell
from pages.address import LONG_TEXT, recall, remember
from pages.attention import page as attention
from pages.attention.state import AttentionState
from pages.registry import pages
from pages.state import read as read_state


def test_the_web_process_never_imports_torch_and_answers_fast(tmp_path: Path) -> None:
    code = (
        "import sys; from app import create_app; c = create_app().server.test_client(); "
        "assert c.get('/attention').status_code == 200; "
        "bad = {'torch', 'transformers'} & set(sys.modules); assert not bad, bad"
    )
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).resolve().parents[2],
        env={"ATTUNE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert time.perf_counter() - began < 15


def test_headers_allow_nothing_from_elsewhere(client: FlaskClient) -> None:
    policy = client.get("/attention").headers["Content-Security-Policy"]
    assert "http:" not in policy and "https:" not in policy and "object-src 'none'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]


def test_cross_site_posts_and_strange_hosts_are_refused(client: FlaskClient) -> None:
    assert client.post("/_dash-update-component", json={}, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 403
    assert client.get("/attention", headers={"Host": "evil.example"}).status_code == 403
    assert client.get("/attention", headers={"Host": "127.0.0.1:8050"}).status_code == 200
    assert (
        client.post("/_dash-update-component", data=b"x" * (49 << 20), content_type="application/json").status_code
        == 413
    )


def test_the_root_is_a_page_that_says_what_every_page_answers(client: FlaskClient) -> None:
    assert client.get("/").status_code == 200
    home = json.dumps(next(p for p in pages() if p.path == "/").layout().to_plotly_json(), cls=PlotlyJSONEncoder)
    for page in pages():
        assert not page.navigation or page.path == "/model" or page.question in home, page.name


def test_an_address_other_than_loopback_needs_a_word_more() -> None:
    with pytest.raises(SystemExit) as refused:
        main(["--host", "0.0.0.0", "--exposed"])  # noqa: S104
    assert "--proxy" in str(refused.value)


def _ids(component: Any) -> list[str]:
    found = [json.dumps(component.id, sort_keys=True)] if getattr(component, "id", None) else []
    return found + [json.dumps(c.id, sort_keys=True) for c in component._traverse() if getattr(c, "id", None)]


def test_ids_are_unique_on_every_page() -> None:
    found = pages()
    frame = _ids(shell([(page.name, page.path) for page in found if page.navigation], {}))
    for page in found:
        ids = [*frame, *_ids(page.layout())]
        assert len(ids) == len(set(ids)), sorted(i for i in ids if ids.count(i) > 1)


@pytest.mark.parametrize(
    "query",
    [
        {"head": "{", "query": "-7", "features": "[[[", "model": "7", "tab": "nowhere", "side": "<b>"},
        {"head": '{"layer": -1, "head": 0}', "features": '[{"kind": "nothing"}, 3]', "rank": "1e9", "key": "x"},
        {"model": '{"source": "../../x\\u0000"}', "text": "@" + "0" * 64, "generate": "100000"},
        {"text": "@../../etc/passwd", "score": "x" * 100, "chat": "maybe", "unknown": "1"},
    ],
)
def test_broken_addresses_open_the_default_view(query: dict[str, str]) -> None:
    view = read_state(AttentionState, query)
    assert view.head is None and view.tab == "why" and view.side == "query" and view.model is None
    assert 0 <= view.generate <= 200 and not view.chat and len(view.score) < 40
    attention.layout(**query)


def test_a_long_prompt_is_kept_by_its_hash(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    text = "a long prompt " * LONG_TEXT
    name = remember(text)
    assert len(name) == 65 and recall(name) == text and read_state(AttentionState, {"text": name}).text == text
    assert remember("short") == "short" and recall(remember("@looks like a name")) == "@looks like a name"
    for hostile in ("@../secret", "@" + "g" * 64, "@/etc/passwd"):
        assert recall(hostile) == hostile, "only a hash is ever looked up"


def test_a_view_survives_its_address() -> None:
    feature = {"kind": "order", "n_examples": 50, "seed": 3, "options": {}}
    view = read_state(
        AttentionState,
        {
            "head": '{"layer": 18, "head": 6}',
            "query": "20",
            "key": "4",
            "features": json.dumps([feature]),
            "active": "0",
            "tab": "map",
            "side": "both",
            "reference": "token",
            "manual": "true",
            "rank": "5",
            "text": "hello there",
        },
    )
    assert view.head == {"layer": 18, "head": 6} and (view.query, view.key, view.rank, view.manual) == (20, 4, 5, True)
    assert view.features[0]["kind"] == "order" and view.features[0]["n_examples"] == 50
    assert (view.tab, view.side, view.reference, view.text) == ("map", "both", "token", "hello there")
