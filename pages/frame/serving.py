"""How the app is served: on a server that keeps connections alive and streams, compressed, and cached where that is
safe.

waitress reads requests and writes answers without holding a thread for a slow line, so that many half-open connections
cost little; only what is being answered has a thread (pages/frame/lines.py, with certificates tls.py).
What carries its version in its address (scripts of Dash by version, our own by the time they were written) may be kept
for a year, and is compressed once; an answer is kept nowhere.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import partial
from pathlib import Path
from ssl import SSLContext
from typing import Any

from dash import Dash
from flask import Request, Response, request
from flask_compress import Compress
from waitress import create_server

from analysis.portable.pack import MAX_PACK
from components.kit.links import local
from pages.frame.bundle import TOGETHER
from pages.frame.lines import Line, watch
from pages.frame.tls import SecureLine

THREADS = 64
"""Answers at once; a text that is being written, and a question that waits for the model, hold one each."""
CONNECTIONS, IDLE = 1_000, 60
"""Connections at most, and seconds after which one is closed on which nothing happens."""
FROM_AFAR = 1 << 30
"""Bytes of a body from another machine: it lies on this disk before anybody can ask for a token."""
YEAR = 365 * 24 * 3600
STATIC = ("/_dash-component-suites/", "/assets/", TOGETHER)
OLD = re.compile(r'<script src="[^"]*/deps/polyfill@[^"]*"></script>')
MOST = 32 << 20
"""Bytes of compressed files in memory."""


class Packed:
    """The compressed forms of static files, in memory; other answers are not kept."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def get(self, key: str) -> bytes | None:
        """The form of that key, if it was made."""
        return self._kept.get(key)

    def set(self, key: str, value: bytes) -> None:
        """Keep a form of what is static. Addresses can be made up, so that all are forgotten when they are too many."""
        if key.endswith(";") or key in self._kept:
            return
        if sum(map(len, self._kept.values())) + len(value) > MOST:
            self._kept.clear()
        self._kept[key] = value


def compress(app: Dash) -> None:
    """Compress what goes out, by what the browser takes, and say how long it may be kept. To be called before other
    functions are registered that change answers: those registered first run last."""
    server, assets = app.server, Path(app.config.assets_folder)
    server.config.update(
        COMPRESS_ALGORITHM=["br", "gzip"],
        COMPRESS_ALGORITHM_STREAMING=["br"],
        COMPRESS_BR_LEVEL=5,
        COMPRESS_CACHE_BACKEND=Packed,
        COMPRESS_CACHE_KEY=lambda asked: asked.full_path if asked.path.startswith(STATIC) else "",
    )
    Compress(server)

    @server.after_request
    def kept(response: Response) -> Response:
        if not request.path.startswith(STATIC):
            response.headers.setdefault("Cache-Control", "no-store")
        elif response.status_code == 200 and _versioned(request, assets):
            response.headers["Cache-Control"] = f"public, max-age={YEAR}, immutable"
            if response.is_streamed:
                response.direct_passthrough = False
                response.set_data(response.get_data())  # a whole file is compressed once, a stream each time
        return response


def asset_address(app: Dash, name: str) -> str:
    """The address of a file of the assets, which says of when it is, as Dash gives it to those that it finds itself."""
    return f"{app.get_asset_url(name)}?m={(Path(app.config.assets_folder) / name).stat().st_mtime}"


def fetch_early(app: Dash, name: str, without: Collection[str]) -> None:
    """Let pages fetch a large script of Dash's suites while the small ones are still on their way, instead of after the
    first figure asks for it: all but those at the paths ``without``. And leave out Dash's script for browsers that are
    ten years old, which all others have to read: what it has beside, the runtime of generators, comes with bootstrap's
    components, too."""
    whole, address = app.interpolate_index, local(STATIC[0] + name)
    link = f'<link rel="preload" as="script" fetchpriority="low" href="{address}">'

    def interpolate(**parts: str) -> str:
        if request.path not in without:
            parts["metas"] += link
        parts["scripts"] = OLD.sub("", parts["scripts"])
        return str(whole(**parts))

    app.interpolate_index = interpolate  # type: ignore[method-assign]


def _versioned(asked: Request, assets: Path) -> bool:
    """Whether the address of a file says of which version it is, and of that which is there."""
    suite, own, together = STATIC
    if asked.path.startswith(together):
        return True
    if asked.path.startswith(suite):
        return ".v" in asked.path
    try:
        return asked.args.get("m") == str((assets / asked.path.removeprefix(own)).stat().st_mtime)
    except (OSError, ValueError):
        return False


def make_server(
    app: Dash, host: str, port: int, *, local: bool = True, proxied: bool = False, tls: SSLContext | None = None
) -> Any:
    """The server, bound and not yet running: ``run()``, ``close()`` and ``effective_port`` are its interface. ``tls``:
    what encrypts its connections.

    Raises OSError where the port is taken.
    """
    server = create_server(
        app.server,
        host=host,
        port=port,
        threads=THREADS,
        connection_limit=CONNECTIONS,
        max_request_body_size=MAX_PACK if local else FROM_AFAR,  # routes have limits of their own, lower but for packs
        channel_request_lookahead=1,  # so that a browser that has gone is noticed while its answer is written
        url_scheme="http" if tls is None else "https",
        asyncore_use_poll=True,  # select knows no more than 1,024 files
        ident=None,
        clear_untrusted_proxy_headers=True,
        # Whose address it is, and whether by TLS, is believed of a proxy on this machine alone.
        trusted_proxy="127.0.0.1" if proxied else None,
        trusted_proxy_headers={"x-forwarded-for", "x-forwarded-proto"} if proxied else set(),
    )
    watch(server, IDLE, Line if tls is None else partial(SecureLine, tls))
    return server
