"""Who may: where the app is reached from other machines, a token is asked for, as Jupyter does it.

The token comes in a link once and stays in a cookie, which is signed and not the token itself. A second token lets its
holder look: pages, boards and kept results, and small questions to models in memory; no job, no text, nothing that
loads or writes (:mod:`analysis.asker` carries this to whatever works for the request). The cookie also tells browsers
apart, so that each sees and ends its own jobs; the holder of the third token, the owner, those of all.
Wrong tokens are counted by address, and after some of them even a right one has to wait.
"""

from __future__ import annotations

import hashlib
import hmac
import html
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlencode

from dash import Dash
from flask import Response, g, jsonify, redirect, request
from werkzeug.wrappers import Response as AnyResponse

from analysis.asker import LOOKING, NOBODY, REFUSALS, WHO
from components.kit.links import local

FULL, LOOK, OWNER = "full", "look", "owner"
OPEN = re.compile(r"/healthz|/share/[\w-]+", re.ASCII)
"""Paths for which no token is asked: a sign of life, and boards whose address is a secret of its own."""
FORM = "access"
LOOKS = ("/_dash-update-component",)
"""What the holder of the second token may post to: callbacks, whose questions are looked at one by one."""
_KEPT = 30 * 24 * 3600
_MOST, _WHILE = 10, 60.0
_PAGE = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Attune: token</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:16px/1.5 system-ui,sans-serif;margin:15vh auto;max-width:34rem;padding:0 1rem;
color-scheme:light dark}}
input,button{{font:inherit;padding:.4rem .6rem}}</style></head><body><h1>Attune asks for its token</h1><p>{said}</p>
<form method="post" action="{action}"><input type="hidden" name="next" value="{next}">
<label for="token">Token</label> <input id="token" name="token" type="password" autocomplete="current-password"
autofocus required> <button>Open</button></form></body></html>"""
_ASKED = "It stands in the link that was printed where Attune was started. Paste it here once; this browser keeps it."
_WRONG = "This is not the token. Copy it whole from the link that was printed where Attune was started."
_OFTEN = "Too many wrong tokens came from this address. Wait a minute, then try again."


SCRIPT = "script"
"""Who asks with a token in a header and no cookie."""


@dataclass(frozen=True)
class Tokens:
    """The token of those who may do everything, of those who may look, and of the owner. ``unasked``: all others have
    come through the login of a proxy, and are not asked for one."""

    full: str
    look: str
    owner: str = ""
    unasked: bool = False

    def role(self, token: str) -> str:
        """FULL, LOOK, OWNER or ""; each comparison takes the same time, whatever is compared."""
        given = token.encode("utf-8", "replace")
        kept = {FULL: self.full, LOOK: self.look, OWNER: self.owner}
        same = {role: hmac.compare_digest(given, own.encode()) for role, own in kept.items()}
        return next((role for role, own in kept.items() if own and same[role]), "")


class Attempts:
    """Wrong tokens of the last minute, by address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._wrong: dict[str, deque[float]] = {}

    def too_many(self, address: str) -> bool:
        """Whether an address has to wait."""
        with self._lock:
            return len(self._recent(address)) >= _MOST

    def wrong(self, address: str) -> None:
        """Count one."""
        with self._lock:
            if len(self._wrong) > 10_000:
                self._wrong = {a: t for a, t in self._wrong.items() if t and self._clock() - t[-1] < _WHILE}
            self._wrong.setdefault(address, deque(maxlen=_MOST)).append(self._clock())

    def _recent(self, address: str) -> deque[float]:
        times = self._wrong.get(address, deque())
        while times and self._clock() - times[0] >= _WHILE:
            times.popleft()
        return times


class Door:
    """The checks of one app. ``secret`` signs the cookies."""

    def __init__(self, tokens: Tokens, secret: str) -> None:
        self.tokens, self.attempts = tokens, Attempts()
        self._secret = secret.encode()
        # Cookies do not know ports: two apps of one machine have cookies of their own.
        self.cookie = "attune-" + hashlib.sha256(self._secret).hexdigest()[:8]

    def sign(self, role: str, who: str) -> str:
        """The cookie of a browser in a role; it is void once the token of the role has changed."""
        token = {FULL: self.tokens.full, LOOK: self.tokens.look, OWNER: self.tokens.owner}[role]
        proof = hmac.new(self._secret, f"{role}.{who}.{token}".encode(), hashlib.sha256).hexdigest()
        return f"{role}.{who}.{proof}"

    def proved(self) -> tuple[str, str]:
        """The role and the browser that the cookie of this request proves; "", "" for none."""
        kept = request.cookies.get(self.cookie, "")
        role, who, *_ = *kept.split("."), "", ""
        known = role in (FULL, LOOK, OWNER) and re.fullmatch(r"[0-9a-f]{16}", who, re.ASCII) is not None
        true = self.sign(role if known else LOOK, who if known else "").encode()
        same = hmac.compare_digest(kept.encode("utf-8", "replace"), true)
        return (role, who) if known and same else ("", "")

    def check(self) -> AnyResponse | None:
        """Before each request: None to let it in."""
        LOOKING.set(False)
        WHO.set(NOBODY)
        REFUSALS.set([])
        if OPEN.fullmatch(request.path):
            return None
        if request.path == f"/{FORM}":
            return self._form()
        shown = request.args.get("token", "") if request.method == "GET" else ""
        scheme, _, carried = request.headers.get("Authorization", "").partition(" ")
        carried = carried.strip() if scheme.lower() in ("bearer", "token") else ""
        if not shown and not carried:
            return self._admit(*self._known())
        often = self.attempts.too_many(_address())
        role = "" if often else self.tokens.role(shown or carried)
        if not role:
            if not often:
                self.attempts.wrong(_address())
            if self.tokens.unasked:  # a token of the proxy's own, which is nothing to us
                return self._admit(*self._known())
            return _refused(_OFTEN, 429) if often else _refused(_WRONG, 401)
        return self._keep(role, _here()) if shown else self._admit(role, self.proved()[1] or SCRIPT)

    def _known(self) -> tuple[str, str]:
        role, who = self.proved()
        if role or not self.tokens.unasked:
            return role, who
        g.attune_visitor = secrets.token_hex(8)  # kept in a cookie when the answer goes out
        return FULL, g.attune_visitor

    def _admit(self, role: str, who: str) -> AnyResponse | None:
        if not role:
            return _refused(_ASKED, 401)
        LOOKING.set(role == LOOK)
        WHO.set("" if role == OWNER else who)
        if role == LOOK and request.method not in ("GET", "HEAD", "OPTIONS") and request.path not in LOOKS:
            return _refused("You may look here, and this would change something. Ask for the other link.", 403)
        return None

    def _form(self) -> AnyResponse:
        if request.method != "POST":
            return _page(_ASKED, 200)
        if self.attempts.too_many(_address()):
            return _page(_OFTEN, 429)
        role = self.tokens.role(request.form.get("token", "").strip())
        if not role:
            self.attempts.wrong(_address())
            return _page(_WRONG, 401)
        return self._keep(role, request.form.get("next", "/"))

    def _keep(self, role: str, to: str) -> AnyResponse:
        inside = "/" + re.sub(r"[\x00-\x20\x7f]", "", to).lstrip("/\\")  # browsers step over control characters
        return self._with_cookie(redirect(inside, 303), role, self.proved()[1] or secrets.token_hex(8))

    def _with_cookie(self, answer: AnyResponse, role: str, who: str) -> AnyResponse:
        signed = self.sign(role, who)
        answer.set_cookie(self.cookie, signed, max_age=_KEPT, httponly=True, samesite="Lax", secure=request.is_secure)
        return answer

    def visited(self, answer: Response) -> Response:
        """After each request: a browser that no token was asked of is known again by its cookie."""
        who = g.pop("attune_visitor", "")
        if who:
            self._with_cookie(answer, FULL, who)
        return answer


def register_door(app: Dash, tokens: Tokens, secret: str) -> None:
    """Ask for a token before everything but what is in :data:`OPEN`, and tell one browser from another."""
    door = Door(tokens, secret)
    app.server.before_request(door.check)
    app.server.after_request(door.visited)


def _address() -> str:
    return request.remote_addr or ""


def _here() -> str:
    """This address without the token, as the browser has to ask for it."""
    query = urlencode([(k, v) for k, v in request.args.items(multi=True) if k != "token"])
    return local("/" + request.path.lstrip("/\\")) + ("?" + query if query else "")


def _refused(said: str, status: int) -> Response:
    if request.method == "GET" and "text/html" in request.headers.get("Accept", ""):
        return _page(said, status)
    answer = jsonify({"refused": said})
    answer.status_code = status
    return answer


def _page(said: str, status: int) -> Response:
    to = request.form.get("next", "/") if request.path == f"/{FORM}" else _here()
    text = _PAGE.format(said=html.escape(said), action=html.escape(local(f"/{FORM}")), next=html.escape(to))
    answer = Response(text, status, mimetype="text/html")
    policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    answer.headers["Content-Security-Policy"] = policy
    answer.headers["Referrer-Policy"] = "same-origin"  # with none at all, a browser posts the form as of nowhere
    return answer
