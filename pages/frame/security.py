"""What the web server refuses and which headers it sends, whatever the page.

Dash takes JSON posts from anywhere that can reach it, so what a browser marks as coming from elsewhere is refused, by
its Origin and by Sec-Fetch-Site; so are unknown Host names, which is how DNS rebinding reaches a local server. A body
is small unless it carries a file: brackets by the million take a hundred times their size once they are parsed.
Everything the page loads is local.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import re
import secrets
from collections.abc import Set
from pathlib import Path
from urllib.parse import urlsplit

from dash import Dash
from dash.exceptions import DependencyException
from flask import Response, abort, request

log = logging.getLogger(__name__)
MAX_UPLOAD = 48 << 20
SMALL, MARKS = 1 << 20, 200_000
"""Bytes of a JSON body up to which nothing is looked at, and the lists, objects and entries that a larger one may have:
a file that is sent along has none."""
CALLBACK = "/_dash-update-component"
_ODD = re.compile(r"[\x00-\x1f\x7f\\\ufffd]|//|/\.\.?(/|$)")
"""What no address of the app has: control characters, backslashes, bytes that are no text, ways up, empty steps."""
_KEY_LENGTH = 32


def harden(app: Dash, hosts: Set[str], *, proxies: Set[str] = frozenset(), addresses: bool = False) -> None:
    """Install the checks and headers. ``hosts``: allowed Host names without port, those of ``proxies`` in front of this
    beside them; ``addresses``: so is any numeric address, by which no other site can disguise itself."""
    app.server.config["MAX_CONTENT_LENGTH"] = MAX_UPLOAD
    through = {name.lower() for name in proxies}
    names = {name.lower() for name in hosts} | through

    @app.server.before_request
    def refuse() -> None:
        if not _known(_name(request.host), names, addresses):
            abort(403)
        if _ODD.search(request.path):
            abort(404)
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
        if request.method in ("GET", "HEAD", "OPTIONS"):
            # A link from elsewhere leads here; a script or a picture of another site is not from here.
            if site in ("cross-site", "same-site") and request.headers.get("Sec-Fetch-Mode") != "navigate":
                abort(403)
            return
        if site not in (None, "same-origin", "none") or not (origin is None or _ours(origin, through)):
            abort(403)

    @app.server.errorhandler(DependencyException)
    def no_such_script(_error: DependencyException) -> tuple[str, int]:
        return "", 404

    @app.server.after_request
    def headers(response: Response) -> Response:
        # A page that is none of the app has a policy of its own. The hashes make some 6 KB: what is no page has none.
        page = response.mimetype == "text/html"
        scripts = " ".join(f"'{h}'" if not h.startswith("'") else h for h in (app.csp_hashes() if page else ()))
        response.headers.setdefault(
            "Content-Security-Policy",
            "default-src 'none'; frame-ancestors 'none'"
            if not page
            else f"default-src 'self'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data: blob:; connect-src 'self' data: blob:; font-src 'self' data:; worker-src "
            "'self' blob:; "
            "object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'",
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Referrer-Policy", "same-origin")
        if not request.path.startswith("/share/"):  # a shared board may stand in the page of a named site
            response.headers["Cross-Origin-Resource-Policy"] = "same-origin"
        return response


def limit_bodies(app: Dash) -> None:
    """Refuse large bodies that carry no file. To be called after the door is there, so that no stranger's body is
    looked at."""

    @app.server.before_request
    def refuse() -> None:
        if request.mimetype == "application/json" and (request.content_length or 0) > SMALL:
            body = request.get_data(cache=True)
            if sum(body.count(mark) for mark in (b"[", b"{", b",")) > MARKS:
                abort(413)
        if request.path == CALLBACK and request.method == "POST":
            try:
                asked = request.get_json(force=True, silent=True)  # kept, so that Dash does not parse it again
            except RecursionError:  # brackets can be nested deeper than the parser goes
                asked = None
            if not isinstance(asked, dict):
                abort(400)


def _name(host: str) -> str:
    """A Host without its port, in small letters; an address of IPv6 without its brackets."""
    return (urlsplit("//" + host).hostname or "").rstrip(".") if "@" not in host else ""


def _known(name: str, names: Set[str], addresses: bool) -> bool:
    if name in names:
        return True
    with contextlib.suppress(ValueError):
        return addresses and bool(ipaddress.ip_address(name))
    return False


def _ours(origin: str, proxies: Set[str]) -> bool:
    """Whether a page of this app asks: from the very host and port that is asked, or through a proxy of that name,
    which may ask under a Host of its own."""
    try:
        parts = urlsplit(origin)
        if parts.scheme not in ("http", "https"):
            return False
        return parts.netloc.lower() == request.host.lower() or (parts.hostname or "") in proxies
    except ValueError:
        return False


def kept_secret(folder: Path, name: str, variable: str) -> str:
    """A secret: from a variable of the environment, else kept in a file of that name, of mode 0600.

    Written aside and linked into place, so that nobody reads half a key or an empty one; where nothing can be written,
    a key of this process alone.
    """
    named = os.environ.get(variable)
    if named:
        return named
    path = folder / name
    for _ in range(3):
        kept = _key_in(path)
        if kept:
            return kept
        made = secrets.token_hex(32)
        scratch = path.with_name(f".secret-{secrets.token_hex(8)}")
        try:
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(made)
                file.flush()
                os.fsync(file.fileno())
            os.link(scratch, path)
        except FileExistsError:
            continue  # the first of several processes wins, and the others read its key
        except OSError as error:
            log.warning("no key could be kept, so this process has one of its own: %s", error)
            return made
        finally:
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)
    return made


def secret_key(folder: Path) -> str:
    """The key that signs job handles and cookies."""
    return kept_secret(folder, "secret_key", "SECRET_KEY")


def _key_in(path: Path) -> str:
    """The key in a file, or "" without one; a file that holds none (cut off, empty) is removed."""
    try:
        kept = path.read_bytes().strip()
        if len(kept) >= _KEY_LENGTH and kept.isalnum():
            path.chmod(0o600)
            return kept.decode("ascii")
        path.unlink()
    except (OSError, UnicodeError):
        pass
    return ""
