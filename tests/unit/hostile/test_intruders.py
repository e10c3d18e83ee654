"""Who is not let in, and what the second token does not open: refused, and nothing of a page in the answer.

Each attempt goes to the whole app through Flask's own client, so that it passes every check in its order.
"""

from __future__ import annotations

import contextvars
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from analysis.artefacts import write_whole
from analysis.asker import LOOKING, NOBODY, WHO
from analysis.errors import UserError
from analysis.mfa.presets import delete_preset, keep_preset, presets
from analysis.mfa.settings import SteeringSettings
from analysis.models.spec import ModelSpec
from analysis.prepare.ops.prepare import PrepareModel
from app import Settings, create_app, greeting, tokens_for
from pages.address import remember
from pages.frame.access import SCRIPT, Attempts, Door, Tokens
from pages.frame.prepare_runs import begin_run
from pages.registry import pages

FULL, LOOK, OWNER = "f" * 64, "l" * 64, "o" * 64
HOME = "http://lab-host:8050"
HTML = {"Accept": "text/html"}
CALLBACK = "/_dash-update-component"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    """The app as others reach it: bound to all addresses, with both tokens."""
    patch = pytest.MonkeyPatch()
    patch.setenv("ATTUNE_HOME", str(tmp_path_factory.mktemp("home")))
    settings = Settings(host="0.0.0.0", names=("lab-host",), tokens=Tokens(FULL, LOOK, OWNER))  # noqa: S104
    yield create_app(settings).server
    patch.undo()


@pytest.fixture
def client(server: Flask) -> Iterator[FlaskClient]:
    """A browser that was never here, of an address of its own."""
    made = server.test_client()
    made.environ_base["REMOTE_ADDR"] = f"10.0.0.{next(_numbers)}"
    yield made
    WHO.set("")
    LOOKING.set(False)  # requests of a test run in its own thread


_numbers = iter(range(1, 250))


def enter(client: FlaskClient, token: str) -> None:
    """Open the link once."""
    answer = client.get(f"/steering?tab=region&token={token}", base_url=HOME, headers=HTML)
    assert answer.status_code == 303 and answer.location == "/steering?tab=region", "the token leaves the address"
    assert "HttpOnly" in answer.headers["Set-Cookie"] and "SameSite=Lax" in answer.headers["Set-Cookie"]
    assert token not in answer.headers["Set-Cookie"]


def routes(server: Flask, method: str) -> list[str]:
    """Every address of the app that takes a method, with something in place of what it leaves open."""
    rules = [r for r in server.url_map.iter_rules() if method in (r.methods or ())]
    return sorted({re.sub(r"<[^>]+>", "a", r.rule) for r in rules})


def test_without_a_token_no_address_says_anything(server: Flask, client: FlaskClient) -> None:
    tried = 0
    for method in ("GET", "POST", "PUT", "DELETE"):
        for path in routes(server, method):
            if path in ("/healthz", "/access") or path.startswith("/share/"):
                continue
            answer = client.open(path, method=method, base_url=HOME, headers=HTML, json=None)
            assert answer.status_code == 401, (method, path)
            assert "attune-header" not in answer.text and "DashRenderer" not in answer.text
            tried += 1
    assert tried >= 45
    for page in pages():
        assert client.get(page.path, base_url=HOME).status_code == 401


@pytest.mark.parametrize(
    "given",
    ["", " ", "f", FULL[:-1], FULL + "f", FULL.upper(), "é" * 32, "f" * 100_000, "null", "*", "' or 1=1 --", "%00"],
)
def test_a_wrong_token_opens_nothing(client: FlaskClient, given: str) -> None:
    for ask in (
        {"query_string": {"token": given}},
        {"headers": {"Authorization": f"Bearer {given}".encode().decode("latin-1")}},
    ):
        assert client.get("/attention", base_url=HOME, **ask).status_code == 401  # type: ignore[arg-type]
    assert client.post("/access", base_url=HOME, data={"token": given}).status_code == 401


def test_the_form_takes_the_token_and_leads_only_within_the_app(client: FlaskClient) -> None:
    for to in ("//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example"):
        answer = client.post("/access", base_url=HOME, data={"token": FULL, "next": to})
        assert answer.status_code == 303
        assert answer.location.startswith("/") and not answer.location.startswith(("//", "/\\"))
    client.delete_cookie(_cookie(client)[0], domain="lab-host")
    page = client.get('/?next="><script>alert(1)</script>', base_url=HOME, headers=HTML)
    assert "<script>" not in page.text


def test_a_cookie_is_signed_and_of_one_role(server: Flask, client: FlaskClient) -> None:
    enter(client, LOOK)
    name, value = _cookie(client)
    role, who, sign = value.split(".")
    assert role == "look"
    others = (f"full.{who}.{sign}", f"owner.{who}.{sign}", f"look.{'0' * 16}.{sign}", f"look..{sign}", f"owner.{who}.")
    for forged in (*others, "full.", "full", sign, "look." + "0" * 64, "", "full." + "é" * 20, value[:-1]):
        stranger = server.test_client()
        stranger.set_cookie(name, forged, domain="lab-host")
        assert stranger.get("/attention", base_url=HOME).status_code == 401, forged


def test_each_browser_is_told_apart_and_the_owner_is_nobody_else(server: Flask) -> None:
    tokens = {"one": FULL, "two": FULL, "look": LOOK, "owner": OWNER}
    seen = {}
    for name, token in tokens.items():
        browser = server.test_client()
        enter(browser, token)
        browser.get("/healthz", base_url=HOME)
        assert browser.get("/attention", base_url=HOME).status_code == 200
        seen[name] = WHO.get()
        enter(browser, token)  # the link opened again leaves it who it was
        browser.get("/attention", base_url=HOME)
        assert WHO.get() == seen[name]
    assert seen["owner"] == "" and len(set(seen.values())) == 4
    stranger = server.test_client()
    stranger.get("/attention", base_url=HOME)
    assert WHO.get() == NOBODY
    stranger.get("/attention", base_url=HOME, headers={"Authorization": f"Bearer {FULL}"})
    assert WHO.get() == SCRIPT
    WHO.set("")


def test_behind_the_login_of_a_proxy_browsers_are_told_apart_without_a_token() -> None:
    app = Flask("behind")
    app.add_url_rule("/", view_func=lambda: WHO.get())
    door = Door(Tokens("", "", OWNER, unasked=True), "secret")
    app.before_request(door.check)
    app.after_request(door.visited)
    one, two, owner = (app.test_client() for _ in range(3))
    names = [browser.get("/").text for browser in (one, two, one, two)]
    assert names[:2] == names[2:] and len(set(names)) == 2 and "" not in names
    for _ in range(12):  # a token that is the proxy's own
        assert one.get("/", headers={"Authorization": "Bearer of.the.proxy"}).text == names[0]
    owner.environ_base["REMOTE_ADDR"] = "10.0.1.1"
    assert owner.get(f"/?token={OWNER}").status_code == 303 and owner.get("/").text == ""
    WHO.set("")


def _cookie(client: FlaskClient) -> tuple[str, str]:
    """Name and value of the one cookie that a browser holds."""
    kept = next(iter(client._cookies.values()))
    return kept.key, kept.value


def test_after_some_wrong_tokens_a_right_one_waits() -> None:
    now = [0.0]
    attempts = Attempts(lambda: now[0])
    for _ in range(10):
        assert not attempts.too_many("a")
        attempts.wrong("a")
    assert attempts.too_many("a") and not attempts.too_many("b")
    now[0] = 61.0
    assert not attempts.too_many("a")


def test_guessing_is_slowed_down(client: FlaskClient) -> None:
    told = [client.get(f"/?token=guess{n}", base_url=HOME).status_code for n in range(12)]
    assert told == [401] * 10 + [429] * 2
    assert client.get(f"/?token={FULL}", base_url=HOME).status_code == 429


def test_who_may_look_changes_nothing(server: Flask, client: FlaskClient) -> None:
    enter(client, LOOK)
    assert client.get("/attention", base_url=HOME, headers=HTML).status_code == 200
    tried = 0
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in routes(server, method):
            if path in (CALLBACK, "/access"):
                continue
            answer = client.open(path, method=method, base_url=HOME, json={})
            assert answer.status_code == 403 and "You may look" in answer.json["refused"], (method, path)  # type: ignore[index]
            tried += 1
    assert tried >= 25
    layout = client.get("/_dash-layout", base_url=HOME).text
    assert '"hidden":false' in layout.replace(" ", "").split("Youmaylook")[1][:300]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://lab-host:9999"},  # another program of this machine
        {"Origin": "http://localhost:3000"},
        {"Origin": "file://"},
        {"Origin": "http://lab-host:8050.evil.example"},
        {"Origin": "http://lab-host:8050@evil.example"},
        {"Origin": "http://[half"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
    ],
)
def test_pages_of_others_cannot_ask(client: FlaskClient, headers: dict[str, str]) -> None:
    enter(client, FULL)
    for path in (CALLBACK, "/steering/stream", "/steering/stop", "/findings/api/pin"):
        assert client.post(path, base_url=HOME, json={}, headers=headers).status_code == 403, path


@pytest.mark.parametrize(
    "host", ["evil.example", "lab-host.evil.example", "evil.example:8050", "lab-host@evil.example", "", "[::1", "a b"]
)
def test_other_hosts_are_refused(client: FlaskClient, host: str) -> None:
    answer = client.get(f"/?token={FULL}", base_url=HOME, headers={"Host": host})
    assert answer.status_code in (400, 403) and "Set-Cookie" not in answer.headers


def test_an_address_in_numbers_and_the_own_names_are_let_in(client: FlaskClient) -> None:
    for host in ("127.0.0.1:8050", "192.168.1.7", "[fe80::1]:8050", "lab-host", "LAB-HOST:8050", "localhost"):
        assert client.get("/attention", headers={"Host": host}).status_code == 401, host  # asked for the token


@pytest.mark.parametrize("opened", ["[", "{", '{"a":['])
def test_brackets_by_the_million_are_not_parsed(client: FlaskClient, opened: str) -> None:
    enter(client, FULL)
    body = opened * (3_000_000 // len(opened))
    answer = client.post(CALLBACK, base_url=HOME, data=body, content_type="application/json")
    assert answer.status_code == 413


def test_a_file_is_let_through(client: FlaskClient) -> None:
    enter(client, FULL)
    body = json.dumps({"contents": "data:;base64," + "A" * 3_000_000})
    answer = client.post("/findings/api/pin", base_url=HOME, data=body, content_type="application/json")
    assert answer.status_code == 200  # refused in words: it is no pin


@pytest.mark.parametrize("path", ["/assets/../app.py", "/assets/%2e%2e/app.py", "/share/../attention", "//attention"])
def test_no_path_leads_around_the_door(client: FlaskClient, path: str) -> None:
    answer = client.get(path, base_url=HOME, headers=HTML)
    assert answer.status_code in (308, 401, 404) and "attune-header" not in answer.text


def test_answers_carry_what_keeps_them_from_others(client: FlaskClient) -> None:
    enter(client, FULL)
    page = client.get("/attention", base_url=HOME, headers=HTML)
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]
    for answer in (page, client.get("/_dash-layout", base_url=HOME)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_token_comes_from_the_environment_or_the_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    monkeypatch.delenv("ATTUNE_TOKEN", raising=False)
    assert tokens_for("127.0.0.1") is None
    made = tokens_for("0.0.0.0")  # noqa: S104
    assert made is not None and len(made.full) == 64 and made.full != made.look
    assert tokens_for("0.0.0.0") == made, "kept"  # noqa: S104
    assert (tmp_path / "token").stat().st_mode & 0o077 == 0
    monkeypatch.setenv("ATTUNE_TOKEN", "of the lab")
    own = tokens_for("127.0.0.1")
    assert own is not None and own.full == "of the lab"
    said = greeting(Settings(host="10.1.2.3", tokens=own), 8050).splitlines()
    assert said[0].startswith("Attune is at http://10.1.2.3:8050/?token=of the lab") and own.look in said[1]
    assert own.owner in said[2] and len({own.full, own.look, own.owner}) == 3
    proxied = tokens_for("0.0.0.0", unasked=True)  # noqa: S104
    assert proxied == Tokens("", "", own.owner, unasked=True)
    said = greeting(Settings(host="10.1.2.3", tokens=proxied), 8050).splitlines()
    assert said[0] == "Attune is at http://10.1.2.3:8050 (stop with Ctrl-C)" and proxied.owner in said[1]


def test_an_empty_token_is_no_token() -> None:
    assert Tokens("", "").role("") == ""


def test_the_proxy_may_ask_under_another_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    client = create_app(Settings(proxies=("lab.example",))).server.test_client()
    for origin, status in (("https://lab.example", 200), ("https://evil.example", 403)):
        answer = client.post("/findings/api/pin", base_url="http://127.0.0.1:8050", json={}, headers={"Origin": origin})
        assert answer.status_code == status, origin


def test_callbacks_change_nothing_for_who_may_look(
    server: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the web process itself keeps or begins: presets, long texts, runs of Prepare; and in threads it begins."""
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))
    keep_preset("mine", SteeringSettings("block-10"), {})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    context = contextvars.copy_context()
    context.run(LOOKING.set, True)
    assert context.run(remember, "long " * 1_000) == ""
    for change in (
        lambda: keep_preset("mine", SteeringSettings("block-15"), {}),
        lambda: delete_preset(next(p.key for p in presets() if p.own)),
        lambda: begin_run(PrepareModel(ModelSpec(), (), 60.0), "s", "/steering"),
        lambda: write_whole(tmp_path / "any", b"x"),
    ):
        with pytest.raises(UserError, match="You may look here"):
            context.run(change)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
