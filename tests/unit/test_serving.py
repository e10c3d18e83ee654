"""The server itself, bound to a port: connections that stay, text that arrives while it is made, slow strangers."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import brotli
import pytest
from dash import Dash, html
from flask import Response

from app import create_app
from pages.frame import lines as lines_of
from pages.frame.security import harden
from pages.frame.serving import YEAR, asset_address, compress, make_server

LINES: list[str] = []
GO, GONE = threading.Event(), threading.Event()


def lines() -> Iterator[str]:
    """A text that waits after its first line, and says when nobody reads it any more."""
    try:
        yield "first\n"
        GO.wait(30)
        while True:
            yield "more\n"
    finally:
        GONE.set()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Dash:
    """A small app, served as the whole one is."""
    folder = tmp_path_factory.mktemp("assets")
    (folder / "own.js").write_text("const many = 1;\n" * 500)
    app = Dash(__name__, assets_folder=str(folder))
    compress(app)
    app.layout = html.Div("here")
    app.server.add_url_rule("/lines", "lines", lambda: Response(lines(), mimetype="application/x-ndjson"))
    app.server.add_url_rule("/data", "data", lambda: {"rows": ["the same"] * 500})
    harden(app, {"127.0.0.1"})
    return app


@pytest.fixture(scope="module")
def port(app: Dash) -> Iterator[int]:
    """The port of the running server."""
    server = make_server(app, "127.0.0.1", 0)
    threading.Thread(target=server.run, daemon=True).start()
    yield server.effective_port
    server.close()


def get(
    connection: http.client.HTTPConnection, path: str, take: str = "identity"
) -> tuple[http.client.HTTPResponse, bytes]:
    """An answer whole."""
    connection.request("GET", path, headers={"Accept-Encoding": take})
    answer = connection.getresponse()
    return answer, answer.read()


def test_a_connection_stays(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    assert get(connection, "/data")[0].status == 200
    kept = connection.sock
    assert get(connection, "/data")[0].status == 200 and connection.sock is kept


def test_text_arrives_while_it_is_made_and_ends_when_nobody_reads(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/lines", headers={"Accept-Encoding": "br, gzip"})
    answer = connection.getresponse()
    assert answer.getheader("Content-Encoding") is None and answer.readline() == b"first\n"
    assert not GONE.is_set()
    answer.close()
    connection.close()
    GO.set()
    assert GONE.wait(30), "the text is still being made for nobody"


@pytest.mark.parametrize("take", ["br", "gzip, deflate, br, zstd"])
def test_what_can_be_smaller_is(port: int, take: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    whole = get(connection, "/data")[1]
    answer, packed = get(connection, "/data", take)
    assert answer.getheader("Content-Encoding") == "br" and len(packed) < len(whole) / 20
    assert brotli.decompress(packed) == whole
    assert answer.getheader("Cache-Control") == "no-store" and "Accept-Encoding" in answer.getheader("Vary", "")


def test_a_script_is_kept_for_a_year_under_the_address_of_its_version_alone(app: Dash, port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    address = asset_address(app, "own.js")
    for path, kept in (
        (address, True),
        (address + "1", False),
        ("/assets/own.js", False),
        ("/assets/own.js?m=x", False),
    ):
        for _ in range(2):  # made, then from memory
            answer, packed = get(connection, path, "br")
            assert brotli.decompress(packed) == (Path(app.config.assets_folder) / "own.js").read_bytes()
            assert (f"max-age={YEAR}" in (answer.getheader("Cache-Control") or "")) == kept, path


def test_half_open_connections_hold_nobody_up(port: int) -> None:
    held = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(200)]
    for line in held:
        line.sendall(b"GET /data HTTP/1.1\r\nHost: 127.0.0.1\r\n")  # and nothing more
    before = threading.active_count()
    assert get(http.client.HTTPConnection("127.0.0.1", port, timeout=30), "/data")[0].status == 200
    assert threading.active_count() <= before
    for line in held:
        line.close()


def test_a_body_beyond_all_files_is_refused(port: int) -> None:
    line = socket.create_connection(("127.0.0.1", port), 30)
    line.sendall(b"POST /data HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 90000000000\r\n\r\n")
    assert b" 413 " in line.recv(200)
    line.close()


def test_signs_of_life_say_what_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a worker: the web answers, and says that there is none."""
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    client = create_app().server.test_client()
    base = "http://127.0.0.1:8050"
    page = client.get("/attention", base_url=base)
    early = re.search(r'<link rel="preload" as="script" fetchpriority="low" href="([^"]+)">', page.text)
    assert page.status_code == 200 and early and client.get(early[1], base_url=base).status_code == 200
    assert "preload" not in client.get("/findings", base_url=base).text
    alive = client.get("/healthz", base_url=base)
    assert alive.status_code == 503 and alive.json == {"web": "ready", "worker": "starting"}
    told = client.get("/metrics", base_url=base).get_data(as_text=True)
    assert "attune_worker_ready 0.0" in told and 'attune_waiting{kind="live"} 0.0' in told
    assert 'attune_requests_total{method="GET",route="/<path:path>",status="200"} 2.0' in told
    assert float(told.split('attune_memory_bytes{process="web"} ')[1].split()[0]) > 1e6


def test_who_holds_most_lines_gives_back_those_on_which_nobody_is_answered(app: Dash) -> None:
    server = make_server(app, "127.0.0.1", 0)
    server.adj.connection_limit = 60
    threading.Thread(target=server.run, daemon=True).start()
    address = ("127.0.0.1", int(server.effective_port))
    neighbour = http.client.HTTPConnection(*address, timeout=30, source_address=("127.0.2.1", 0))
    assert get(neighbour, "/data")[0].status == 200
    kept, held = neighbour.sock, [socket.create_connection(address, 30) for _ in range(100)]
    for line in held:
        with contextlib.suppress(OSError):  # closed already
            line.sendall(b"GET /data HTTP/1.1\r\nHost: 127.0.0.1\r\n")
    assert get(http.client.HTTPConnection(*address, timeout=30), "/data")[0].status == 200
    assert get(neighbour, "/data")[0].status == 200 and neighbour.sock is kept, "whose line was older, and one of few"
    assert len(server.active_channels) < 60
    for line in held:
        line.close()
    server.close()


def test_the_head_of_a_request_has_a_time_of_its_own(app: Dash, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines_of, "HEAD", 0.2)
    monkeypatch.setattr(lines_of, "EVERY", 0.1)
    server = make_server(app, "127.0.0.1", 0)
    threading.Thread(target=server.run, daemon=True).start()
    with socket.create_connection(("127.0.0.1", int(server.effective_port)), 10) as line:
        began, ended = time.monotonic(), False
        line.sendall(b"GET /data HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        while not ended and time.monotonic() - began < 8:
            try:
                line.sendall(b"X")  # a byte now and then
                line.settimeout(0.1)
                ended = line.recv(1) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
    server.close()
    assert ended
