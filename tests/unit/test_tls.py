"""Served by TLS: the same answers, whole, from many threads at once, and no word to who does not speak it."""

from __future__ import annotations

import contextlib
import http.client
import logging
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from dash import Dash, html
from flask import Response, request

from analysis.errors import UserError
from app import Settings, greeting, main
from pages.frame.access import Tokens, register_door
from pages.frame.serving import make_server
from pages.frame.tls import certified

TOKEN = "t" * 64
BLOCK = bytes(range(256)) * 4_096
"""A megabyte of which no two places look alike at a wrong offset."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for this machine, and its key."""
    made = shutil.which("openssl")
    if made is None:
        pytest.skip("openssl, which makes the certificate of this test, is not here")
    place = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [made, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", place / "key.pem", "-out", place / "certificate.pem", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return place / "certificate.pem", place / "key.pem"


@pytest.fixture(scope="module")
def server(files: tuple[Path, Path]) -> Iterator[Any]:
    """The server of a small app, by TLS with a token."""
    app = Dash(__name__)
    app.layout = html.Div("here")
    app.server.add_url_rule("/block", "block", lambda: Response(iter([BLOCK[:100_001]] * 40)))
    app.server.add_url_rule("/sent", "sent", lambda: request.get_data()[::-1], methods=["POST"])
    register_door(app, Tokens(TOKEN, "look", "owner"), "secret")
    server = make_server(app, "127.0.0.1", 0, tls=certified(*files))
    threading.Thread(target=server.run, daemon=True).start()
    yield server
    server.close()


@pytest.fixture
def port(server: Any) -> int:
    """Where it listens."""
    return int(server.effective_port)


@pytest.fixture
def line(port: int, files: tuple[Path, Path]) -> http.client.HTTPSConnection:
    """A connection whose certificate is verified."""
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=trusting(files))


def trusting(files: tuple[Path, Path]) -> ssl.SSLContext:
    """What a browser has that knows the certificate."""
    return ssl.create_default_context(cafile=str(files[0]))


def test_many_at_once_get_theirs_whole_on_lines_that_stay(port: int, files: tuple[Path, Path]) -> None:
    def talk(number: int) -> None:
        line = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=trusting(files))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        for turn in range(3):
            body = BLOCK[: 300_000 + 7_001 * number + turn]
            line.request("POST", "/sent", body, headers)
            assert line.getresponse().read() == body[::-1]
            assert line.sock is not None, "the line stays"
            line.request("GET", "/block", headers=headers)
            assert line.getresponse().read() == BLOCK[:100_001] * 40
        line.close()

    with ThreadPoolExecutor(8) as people:
        list(people.map(talk, range(8)))


def test_the_cookie_is_for_tls_alone(line: http.client.HTTPSConnection) -> None:
    line.request("GET", f"/?token={TOKEN}")
    kept = line.getresponse().getheader("Set-Cookie") or ""
    assert "Secure" in kept and "HttpOnly" in kept


def test_who_does_not_speak_it_is_told_nothing_and_holds_nobody_up(
    port: int, line: http.client.HTTPSConnection, caplog: pytest.LogCaptureFixture
) -> None:
    held = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(50)]
    for stranger in held[:25]:
        stranger.sendall(b"\x16\x03\x01")  # the beginning of a handshake
    plain = socket.create_connection(("127.0.0.1", port), 10)
    with caplog.at_level(logging.WARNING):
        plain.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        told = b""
        with contextlib.suppress(ConnectionResetError):
            while piece := plain.recv(1_000):
                told += piece
        assert b"HTTP" not in told
    assert any("no TLS from 127.0.0.1" in text for text in caplog.messages)
    line.request("GET", "/block")
    assert line.getresponse().status == 401
    for stranger in (*held, plain):
        stranger.close()


def test_who_leaves_while_a_thread_writes_stops_nobody(port: int, server: Any, files: tuple[Path, Path]) -> None:
    """Two locks in two orders once stopped the loop for everybody: closing waits for what is being written."""
    before = set(server.active_channels.values())
    with socket.create_connection(("127.0.0.1", port), 10) as plain:
        secure = trusting(files).wrap_socket(plain, server_hostname="127.0.0.1")
        secure.sendall(b"GET / HT")
        (written,) = set(server.active_channels.values()) - before
        with written.outbuf_lock:  # as the thread holds it that answers
            secure.close()
            with contextlib.suppress(TimeoutError):
                _until(lambda: not written.connected, 0.3)
            writer = threading.Thread(target=written.send, args=(b"too late", False), daemon=True)
            writer.start()
            writer.join(10)
            assert not writer.is_alive()
    _until(lambda: written not in server.active_channels.values(), 10)


def _until(holds: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.01)


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_an_old_version_is_refused(port: int, files: tuple[Path, Path]) -> None:
    old = trusting(files)
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError), socket.create_connection(("127.0.0.1", port), 10) as plain:
        old.wrap_socket(plain, server_hostname="127.0.0.1")


def test_files_that_are_none_are_a_sentence(files: tuple[Path, Path], tmp_path: Path) -> None:
    certificate, key = files
    (tmp_path / "none.pem").write_text("nothing of the kind")
    for pair in ((key, key), (certificate, certificate), (tmp_path / "none.pem", key), (tmp_path / "gone.pem", key)):
        with pytest.raises(UserError, match=r"no certificate and its key|cannot be read"):
            certified(*pair)
    with pytest.raises(SystemExit, match="name both"):
        main(["run", "--certificate", str(certificate)])
    assert greeting(Settings(tls=certified(*files)), 8050).startswith("Attune is at https://127.0.0.1:8050")
