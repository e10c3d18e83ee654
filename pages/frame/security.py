"""What the web server refuses and which headers it sends, whatever the page.

Dash takes JSON posts from anywhere that can reach it, so requests that a browser marks as cross-site are refused, and
so are unknown Host names, which is how DNS rebinding reaches a loopback server. Everything the page loads is local.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from pathlib import Path

from dash import Dash
from flask import Response, abort, request

log = logging.getLogger(__name__)
MAX_UPLOAD = 48 << 20
_KEY_LENGTH = 32


def harden(app: Dash, hosts: set[str] | None) -> None:
    """Install the checks and headers. ``hosts``: allowed Host names without port; None allows any."""
    app.server.config["MAX_CONTENT_LENGTH"] = MAX_UPLOAD

    @app.server.before_request
    def refuse() -> None:
        if request.headers.get("Sec-Fetch-Site") == "cross-site" and request.method != "GET":
            abort(403)
        if hosts is not None and request.host.rsplit(":", 1)[0].strip("[]") not in hosts:
            abort(403)

    @app.server.after_request
    def headers(response: Response) -> Response:
        scripts = " ".join(f"'{h}'" if not h.startswith("'") else h for h in app.csp_hashes())
        response.headers.setdefault(  # a page that is no page of the app has a policy of its own
            "Content-Security-Policy",
            f"default-src 'self'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data: blob:; connect-src 'self' data: blob:; font-src 'self' data:; worker-src "
            "'self' blob:; "
            "object-src 'none'; base-uri 'self'; frame-ancestors 'self'",
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Referrer-Policy", "same-origin")
        return response


def secret_key(folder: Path) -> str:
    """The key that signs job handles: SECRET_KEY from the environment, else one kept in a file of mode 0600.

    Written aside and linked into place, so that nobody reads half a key or an empty one; where nothing can be written,
    a key of this process alone.
    """
    named = os.environ.get("SECRET_KEY")
    if named:
        return named
    path = folder / "secret_key"
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
