"""What the web server refuses and which headers it sends, whatever the page.

Dash takes JSON posts from anywhere that can reach it, so requests that a browser marks as cross-site are refused, and
so are unknown Host names, which is how DNS rebinding reaches a loopback server. Everything the page loads is local.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from dash import Dash
from flask import Response, abort, request

MAX_UPLOAD = 48 << 20


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
        response.headers["Content-Security-Policy"] = (
            f"default-src 'self'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
            "img-src 'self' data: blob:; connect-src 'self' data: blob:; font-src 'self' data:; worker-src "
            "'self' blob:; "
            "object-src 'none'; base-uri 'self'; frame-ancestors 'none'"
        )
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "same-origin"
        return response


def secret_key(folder: Path) -> str:
    """The key that signs job handles: SECRET_KEY from the environment, else one kept in a file of mode 0600."""
    named = os.environ.get("SECRET_KEY")
    if named:
        return named
    path = folder / "secret_key"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    except FileExistsError:
        pass
    return path.read_text()
