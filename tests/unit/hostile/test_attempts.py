"""Attempts of people who are not let in, or who want more than they may, byte by byte over a socket: each is refused by
the right code, is logged with its route and the address that it came from, and has nothing of a page in its answer.

What is asked for lies there: a board, its shared page, a file that waits to be fetched, a job of another browser.
"""

from __future__ import annotations

import io
import json
import logging
import re
import secrets
import socket
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Listener
from typing import Any
from urllib.parse import quote

import pytest
from flask import Flask

from analysis.engine.jobs import JobBook
from analysis.engine.loading import LoadModel
from analysis.engine.operation import REGISTRY
from analysis.engine.residents import Residents
from analysis.engine.scheduler import Scheduler
from analysis.engine.store import ResultStore
from analysis.engine.supervisor import whereabouts
from analysis.engine.worker import Server
from analysis.errors import UserError
from analysis.findings.store import findings
from app import Settings, create_app
from pages import common
from pages.frame.access import Door, Tokens
from pages.frame.serving import make_server

FULL, LOOK, OWNER = "f" * 64, "l" * 64, "o" * 64
ONE, TWO = "1" * 16, "2" * 16
CANARY = "canary-in-the-board"
"""Stands in every place that holds something of somebody."""
INSIDE = (CANARY, "DashRenderer", "attune-header", "_dash-config", "root:x:0", "[build-system]")
"""Of these nothing is in an answer to somebody who is refused."""
HOST = "lab-host:8050"
HELD = "ab" * 16
"""The token of a file that waits."""
LINKED = "cd" * 16
CALLBACK = "/_dash-update-component"
JSON = "application/json"
OTHERS_JOB = "e" * 32


@dataclass(frozen=True)
class House:
    """The served app: its port, its server, how to sign cookies, the desk of a worker without a model."""

    port: int
    flask: Flask
    door: Door
    scheduler: Scheduler
    board: str

    def cookie(self, role: str, who: str = ONE) -> str:
        return f"{self.door.cookie}={self.door.sign(role, who)}"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """The whole app on a port, all tokens asked for, and a worker that takes questions in and computes none."""
    patch, home = pytest.MonkeyPatch(), tmp_path_factory.mktemp("home")
    patch.setenv("ATTUNE_HOME", str(home))
    common.client.cache_clear()  # another test's client knows another data folder
    tokens = Tokens(FULL, LOOK, OWNER)
    app = create_app(Settings(host="0.0.0.0", names=("lab-host",), tokens=tokens))  # noqa: S104
    board = findings().new_board(CANARY)
    (home / "secret.txt").write_text(CANARY)
    (home / "outgoing").mkdir(exist_ok=True)
    (home / "outgoing" / LINKED).symlink_to(home / "secret.txt")
    key = secrets.token_bytes(16)
    scheduler = Scheduler(JobBook(home / "jobs.json"), ResultStore(home / "results"), Residents())
    desk, listener = Server(scheduler, key), Listener(str(home / "w.sock"))

    def accept() -> None:
        while True:
            try:
                line = listener.accept()
            except OSError:
                return
            threading.Thread(target=desk.serve, args=(line,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    whereabouts(home).write_text(json.dumps({"address": listener.address, "authkey": key.hex(), "pid": 1}))
    scheduler.submit(LoadModel(), OTHERS_JOB, lambda *_: None, ("of two", ""), "", who=TWO)
    server = make_server(app, "127.0.0.1", 0, local=False)
    threading.Thread(target=server.run, daemon=True).start()
    yield House(server.effective_port, app.server, Door(tokens, app.server.secret_key), scheduler, board.id)
    server.close()
    listener.close()
    common.client.cache_clear()
    patch.undo()


@dataclass(frozen=True)
class Attempt:
    """What is sent, by whom, and the codes of which one is right. ``who``: a role, or a cookie as it is."""

    name: str
    path: str
    codes: tuple[int, ...]
    method: str = "GET"
    who: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    host: str = HOST
    raw: bytes = b""
    """The whole request, where it is none that can be put together."""


_addresses = iter(range(2, 60_000))


def sent(house: House, attempt: Attempt) -> tuple[int, str, str]:
    """Code and text of the answer, and the address it was asked from: each attempt has one of its own."""
    n = next(_addresses)
    address = f"127.1.{n // 250}.{n % 250 + 1}"
    raw = attempt.raw
    if not raw:
        cookie = house.cookie(attempt.who) if attempt.who in ("full", "look", "owner") else attempt.who
        headers = {"Host": attempt.host, **({"Cookie": cookie} if cookie else {}), **attempt.headers}
        if attempt.body or attempt.method not in ("GET", "HEAD"):
            headers.setdefault("Content-Length", str(len(attempt.body)))
        lines = [f"{attempt.method} {attempt.path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
        raw = "\r\n".join(lines).encode("utf-8") + b"\r\nConnection: close\r\n\r\n" + attempt.body
    with socket.create_connection(("127.0.0.1", house.port), 20, (address, 0)) as line:
        line.settimeout(4)
        answer = b""
        try:
            line.sendall(raw)
        except OSError:  # refused before all of it was read
            pass
        try:
            while piece := line.recv(1 << 16):
                answer += piece
        except OSError:
            pass
    found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    assert found, f"{attempt.name}: no answer"
    return int(found[1]), answer.decode("utf-8", "replace"), address


def routes(house: House) -> list[tuple[str, str]]:
    """Every method and address of the app, with something in place of what it leaves open."""
    return sorted(
        {
            (method, re.sub(r"<[^>]+>", "a", rule.rule))
            for rule in house.flask.url_map.iter_rules()
            for method in (rule.methods or set()) - {"OPTIONS", "HEAD"}
        }
    )


def of_strangers(house: House) -> Iterator[Attempt]:
    """Without a token, with a wrong one, with a cookie that is none of ours."""
    for method, path in routes(house):
        if path in ("/healthz", "/access") or path.startswith("/share/"):
            continue
        yield Attempt(f"no token {method} {path}", path, (401,), method, headers={"Content-Type": JSON}, body=b"{}")
    for method in ("HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PATCH", "CONNECT", "PROPFIND"):
        yield Attempt(f"no token {method}", "/attention", (401, 400, 405), method)
    for path in ("//attention", "/share/../attention", "/share/%2e%2e/attention", "/healthz/../attention", "/healthz/",
                 "/HEALTHZ", "/share/a/../../_dash-layout", "/share/a%0a", "/share/a/b", "/access/x",
                 "/;/_dash-layout", "/healthz;/../_dash-layout"):  # fmt: skip
        yield Attempt(f"around the door {path}", path, (401, 404))
    for token in ("", "wrong", FULL[:-1], FULL + "f", FULL.upper(), "x" * 20_000, "%00", "%0d%0aSet-Cookie:%20a=b",
                  "[]", "{}", "' or 1=1 --".replace(" ", "+")):  # fmt: skip
        yield Attempt(f"wrong token {token[:20]}", f"/attention?token={token}", (401,))
        header = {"Authorization": f"Bearer {token[:4_000]}"}
        yield Attempt(f"wrong bearer {token[:20]}", "/attention", (401,), headers=header)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for text in ("token=wrong", "token=", "token[]=a&token=b", "next=//evil.example", "token=%00"):
        yield Attempt(f"form {text}", "/access", (401,), "POST", headers=form, body=text.encode())
    yield Attempt("basic", "/attention", (401,), headers={"Authorization": "Basic " + "QTpC" * 8})
    role, who, sign = house.door.sign("look", ONE).split(".")
    other = Door(Tokens("a" * 64, LOOK, OWNER), house.flask.secret_key)  # type: ignore[arg-type]
    name, stranger = house.door.cookie, Door(house.door.tokens, "of another installation")
    for what, value in {
        "another role": f"full.{who}.{sign}",
        "the owner's role": f"owner..{sign}",
        "another browser": f"{role}.{TWO}.{sign}",
        "no proof": f"full.{ONE}.",
        "cut off": f"{role}.{who}.{sign[:-1]}",
        "longer": f"{role}.{who}.{sign}.x",
        "the token itself": FULL,
        "of another installation": stranger.sign("full", ONE),
        "from before the token was changed": other.sign("full", ONE),
        "two in one": f"{role}.{who}.{sign},full",
        "not text": "full.\u00e9.\u00e9",
    }.items():
        yield Attempt(f"cookie {what}", "/_dash-layout", (401,), who=f"{name}={value}")
    yield Attempt("a cookie under another name", "/attention", (401,), who=f"x{house.cookie('full')}")
    for guess in ("a", "0" * 22, house.board, "..", "%2e%2e", "A" * 43, "null", "-", "_"):
        yield Attempt(f"guessed share {guess}", f"/share/{guess}", (401, 404))


def of_other_pages(house: House) -> Iterator[Attempt]:
    """With a cookie that is right, but from a page of another site, or under a name that is not this machine's."""
    for host in ("evil.example", "lab-host.evil.example", "evil.example:8050", "lab-host@evil.example", "lab-hostx",
                 "lab-host:8050,evil.example", "[::1", "", "0x7f.1.evil"):  # fmt: skip
        yield Attempt(f"host {host}", "/attention", (400, 403), who="full", host=host)
    posts = (CALLBACK, "/steering/stream", "/steering/stop", "/findings/api/pin", "/files/api/save", "/files/api/open",
             f"/findings/api/boards/{house.board}/drop")  # fmt: skip
    for path in posts:
        for headers in (
            {"Origin": "http://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://lab-host:9999"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site", "Origin": f"http://{HOST}"},
            {"Sec-Fetch-Site": "same-origin", "Origin": f"http://{HOST}.evil.example"},
        ):
            yield Attempt(
                f"post {path} {headers}", path, (403,), "POST", "full", {"Content-Type": JSON, **headers}, b"{}"
            )
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
            if path != CALLBACK:  # which reads what it is sent as JSON, whatever it says, and is behind Origin alone
                yield Attempt(f"form {path} {kind}", path, (415, 200), "POST", "full", {"Content-Type": kind}, b"{}")
    for path in ("/_dash-layout", "/findings/api/boards", f"/findings/api/boards/{house.board}", "/metrics"):
        for mode in ("no-cors", "cors"):
            headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": mode, "Referer": "http://evil.example/"}
            yield Attempt(f"read {path} {mode}", path, (403,), who="full", headers=headers)


def of_who_may_look(house: House) -> Iterator[Attempt]:
    """With the second token: whatever is no question of a page."""
    for method, path in routes(house):
        if method == "POST" and path not in (CALLBACK, "/access"):
            yield Attempt(f"look {path}", path, (403,), method, "look", {"Content-Type": JSON}, b"{}")
    yield Attempt("look drops a board", f"/findings/api/boards/{house.board}/drop", (403,), "POST", "look",
                  {"Content-Type": JSON}, b"{}")  # fmt: skip
    for method in ("PUT", "DELETE", "PATCH"):
        yield Attempt(f"look {method}", f"/findings/api/boards/{house.board}", (403,), method, "look")


def of_paths(house: House) -> Iterator[Attempt]:
    """By names that lead elsewhere, from one who may do everything."""
    out = (
        *("..%2f..%2fsecret.txt", "%2e%2e/%2e%2e/secret.txt", "..%5c..%5csecret.txt", "%2fetc%2fpasswd", "%00"),
        *("a%00b", "....//....//etc/passwd", "%252e%252e%252fsecret.txt", "%c0%ae%c0%ae/secret.txt", "C:%5cwindows"),
    )
    for place in ("/assets/", "/static/", "/_dash-component-suites/dash/", "/_dash-component-suites/os/",
                  "/files/api/file/", "/findings/print/", "/share/"):  # fmt: skip
        for name in out:
            yield Attempt(f"path {place}{name}", place + name, (404,), who="full")
    yield Attempt("a link out of the folder", f"/files/api/file/{LINKED}", (404,), who="full")
    yield Attempt("a guessed file", f"/files/api/file/{'0' * 32}", (404,), who="full")
    for method, path in (("PUT", "/findings/api/boards"), ("DELETE", "/attention"), ("TRACE", "/findings/api/boards"),
                         ("PUT", "/assets/kit.js"), ("POST", "/healthz"), ("PROPFIND", "/files/api/save")):  # fmt: skip
        yield Attempt(f"method {method} {path}", path, (405,), method, "full")
    hidden = {"Content-Type": JSON, "X-HTTP-Method-Override": "DELETE"}
    yield Attempt("a method in a header", "/findings/talk", (405,), "POST", "full", hidden, b"{}")


def of_bodies(house: House) -> Iterator[Attempt]:
    """By bodies that are too much, or not what they say."""
    json_posts = [path for method, path in routes(house) if method == "POST" and path not in ("/files/api/open",)]
    brackets = b"[" * 1_100_000
    for path in json_posts:
        if path != "/findings/api/boards/from-bundle":
            yield Attempt(f"brackets {path}", path, (413,), "POST", "full", {"Content-Type": JSON}, brackets)
    for path in json_posts:
        for what, body in (("nested", b'{"a":' * 50_000), ("list", b"[" * 100_000 + b"]" * 100_000), ("no JSON", b"{'"),
                           ("number", b"1" * 5_000), ("null", b"null")):  # fmt: skip
            if path in ("/findings/api/boards/from-bundle", "/steering/stop", "/steering/stream"):
                continue
            yield Attempt(f"{what} {path}", path, (400,), "POST", "full", {"Content-Type": JSON}, body)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as pack:
        pack.writestr("board.json", b"0" * (64 << 20))
    yield Attempt("packed zeros", "/findings/api/boards/from-bundle", (200,), "POST", "full",
                  {"Content-Type": "application/zip"}, bomb.getvalue())  # fmt: skip
    yield Attempt("gzip that is not undone", "/findings/api/boards", (400,), "POST", "full",
                  {"Content-Type": JSON, "Content-Encoding": "gzip"}, bomb.getvalue()[:2_000])  # fmt: skip


def of_lines(house: House) -> Iterator[Attempt]:
    """By heads and bodies about whose end two readers would not agree."""
    top = f"POST /findings/api/boards HTTP/1.1\r\nHost: {HOST}\r\nCookie: {house.cookie('full')}\r\n"
    top += "Connection: close\r\n"
    second = f"GET /_dash-layout HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()
    heads = {
        "two lengths": b"Content-Length: 0\r\nContent-Length: 50\r\n\r\n" + second,
        "a list of lengths": b"Content-Length: 0, 50\r\n\r\n" + second,
        "a length with a sign": b"Content-Length: +5\r\n\r\nhello",
        "a length below nothing": b"Content-Length: -1\r\n\r\n",
        "a length in sixteens": b"Content-Length: 0x5\r\n\r\nhello",
        "a length beyond all": b"Content-Length: 99999999999999999999\r\n\r\n",
        "pieces of an unknown kind": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "pieces, and something else": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + second,
        "pieces of no size": b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
        "pieces of less than nothing": b"Transfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
        "a space before the colon": b"Content-Length : 0\r\n\r\n",
        "a header on two lines": b"X-A: b\r\n Content-Length: 5\r\n\r\nhello",
        "a bare end of line": b"X-A: b\nX-Forwarded-For: 1.1.1.1\r\n\r\n",
        "a zero in a header": b"X-A: b\x00c\r\n\r\n",
        "a head without end": b"X-A: " + b"a" * 300_000 + b"\r\n\r\n",
    }
    for name, rest in heads.items():
        yield Attempt(name, "", (400, 411, 413, 415, 431, 501), raw=top.encode() + rest)
    yield Attempt("no version", "", (400, 401, 403, 505), raw=f"GET /_dash-layout\r\nHost: {HOST}\r\n\r\n".encode())
    yield Attempt(
        "a name in the address",
        "",
        (401, 403, 400),
        raw=f"GET http://evil.example/_dash-layout HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n".encode(),
    )
    yield Attempt("not HTTP", "", (400, 401, 403), raw=b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n")


GROUPS = (of_strangers, of_other_pages, of_who_may_look, of_paths, of_bodies, of_lines)


@pytest.mark.parametrize("group", GROUPS, ids=lambda group: group.__name__)
def test_each_attempt_is_refused_logged_and_told_nothing(
    house: House, group: Any, caplog: pytest.LogCaptureFixture
) -> None:
    wrong, tried = [], 0
    for attempt in group(house):
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            code, text, address = sent(house, attempt)
        tried += 1
        if code not in attempt.codes:
            wrong.append(f"{attempt.name}: {code}, not {attempt.codes} {text[-200:]!r}")
        if found := [word for word in INSIDE if word in text]:
            wrong.append(f"{attempt.name}: {code} tells {found}")
        if code == 200 and '"refused"' not in text:
            wrong.append(f"{attempt.name}: let in {text[-200:]!r}")
        if code >= 400 and not any(
            f"refused {code}: " in line and line.endswith(f" from {address}") for line in caplog.messages
        ):
            wrong.append(f"{attempt.name}: {code} is not logged: {caplog.messages}")
        if "\r\nset-cookie:" in text.lower():
            wrong.append(f"{attempt.name}: gets a cookie")
    assert not wrong, f"{len(wrong)} of {tried}:\n" + "\n".join(wrong)
    assert tried >= 15
    assert [b.title for b in findings().boards() if b.id == house.board] == [CANARY], "the board is as it was"


def test_what_another_browser_asked_for_is_not_ended(house: House) -> None:
    stop = Attempt("stop", "/steering/stop", (200,), "POST", "full", {"Content-Type": JSON},
                   json.dumps({"token": OTHERS_JOB}).encode())  # fmt: skip
    part = replace(stop, body=json.dumps({"token": OTHERS_JOB, "part": "a"}).encode())
    for attempt in (stop, part):
        code, text, _ = sent(house, attempt)
        assert code == 200 and '"found":false' in text.replace(" ", "")
    assert house.scheduler.waiting() == (0, 0, 1)
    own = replace(stop, who=house.cookie("full", TWO))
    assert '"found":true' in sent(house, own)[1].replace(" ", "") and house.scheduler.waiting() == (0, 0, 0)


def test_a_name_cannot_add_a_header(house: House) -> None:
    for name in ("a%0d%0aSet-Cookie:%20x=y", "a%22;%20b=%22c%0aX-B:%20d", "%00", "\u00e9" * 200):
        (findings().root.parent / "outgoing" / HELD).write_bytes(b"of the asker")
        asked = Attempt("name", f"/files/api/file/{HELD}?name={quote(name, safe='%;')}", (200,), who="full")
        code, text, _ = sent(house, asked)
        head = text.split("\r\n\r\n")[0].lower()
        assert code == 200 and text.endswith("of the asker")
        assert "\r\nset-cookie" not in head and "\nx-b:" not in head and "\x00" not in head
        assert sent(house, asked)[0] == 404, "once"


def test_no_operation_that_starts_or_changes_is_taken_in_for_who_may_look(house: House) -> None:
    refused = 0
    for name, operation in sorted(REGISTRY.items()):
        if not name.startswith("Test") and (operation.writes or operation.kind in ("job", "stream")):
            try:
                asked = operation()
            except (TypeError, ValueError, UserError):  # one that cannot be asked without a value
                continue
            with pytest.raises(UserError):
                house.scheduler.submit(asked, name, lambda *_: None, None, "", looking=True)
            refused += 1
    assert refused >= 20 and house.scheduler.waiting()[1:] == (0, 0)
