"""Attune's door: settings, the Dash app, the worker's supervisor, the server. Nothing else.

``create_app`` builds the app without starting anything, for tests and for WSGI servers; ``main`` is what ``make run``
calls. The web process never imports torch.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from dash import Dash, no_update, set_props

from analysis.disk import FULL, full_disk
from analysis.engine.client import Client, OperationFailed, WorkerGone
from analysis.engine.supervisor import Supervisor
from analysis.errors import UserError
from analysis.home import folder, home
from analysis.logs import log_to
from analysis.models.spec import DTYPES, ModelSpec
from components.frame.shell import shell
from pages.frame.background import RelayManager, open_cache
from pages.frame.files import register_files
from pages.frame.linked import register_linked
from pages.frame.pins import register_pins
from pages.frame.prepare import register_prepare
from pages.frame.security import harden, secret_key
from pages.frame.shell import register_frame
from pages.frame.streams import register_routes
from pages.frame.tours import register_tours
from pages.registry import register_pages
from pages.talk.routes import register_talk

log = logging.getLogger("attune")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """How to serve: address, port, first model, threads of the worker (0: all cores), extra Host names allowed, and
    origins that may ``embed`` a shared board in a page of theirs (such as "https://lab.example")."""

    host: str = "127.0.0.1"
    port: int = 8050
    model: ModelSpec = field(default_factory=ModelSpec)
    threads: int = 0
    hosts: tuple[str, ...] = ()
    embed: tuple[str, ...] = ()


INDEX = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title>{%favicon%}{%css%}<script src="THEME"></script></head>
<body>{%app_entry%}<footer>{%config%}SCRIPTS{%scripts%}{%renderer%}</footer></body>
</html>"""
RENDERER = """var renderer = new DashRenderer({
  request_pre: (question) => {
    dash_clientside.attune.asked(question);
    dash_clientside.attune.pressesAsked(question);
    dash_clientside.attune_waiting.asked(question);
  },
  request_post: (question, answer) => {
    dash_clientside.attune_waiting.answered(question);
    dash_clientside.attune.answered(question, answer);
  },
  callback_resolved: (callback, result) => dash_clientside.attune.pressesResolved(callback, result),
});"""
"""What a hand has changed meanwhile is not overwritten by an older answer (assets/frame/answers.js); a press that was
not answered does not wait for the next (assets/frame/presses.js); one that waits says so (assets/frame/waiting.js)."""


def first_scripts() -> list[str]:
    """The scripts that those of pages build on, in their order: Dash itself would load them after the pages' own."""
    frame = Path(__file__).resolve().parent / "assets" / "frame"
    return ["kit.js", *(f"frame/{path.name}" for path in sorted(frame.glob("*.js")))]


def create_app(settings: Settings | None = None) -> Dash:
    """The Dash app with all pages and callbacks; starts no process."""
    settings = settings or Settings()
    client = Client()
    cache = open_cache(folder("callbacks"))
    app = Dash(
        __name__,
        title="Attune",
        update_title="",
        use_pages=True,
        pages_folder="",
        assets_ignore=r"(theme|kit)\.js",  # these and the frame's come before the scripts of pages
        assets_path_ignore=["frame", "talk"],  # a talk has a page of its own
        background_callback_manager=RelayManager(cache, client.cancel),
        on_error=_on_error,
        enable_mcp=False,
        suppress_callback_exceptions=True,
    )
    app.renderer = RENDERER
    first = "".join(f'<script src="{app.get_asset_url(name)}"></script>' for name in first_scripts())
    app.index_string = INDEX.replace("THEME", app.get_asset_url("theme.js")).replace("SCRIPTS", first)
    app.server.secret_key = secret_key(home())
    app.server.json.sort_keys = False  # numbers and settings stand in the order that their view gives
    app.server.config["ATTUNE_EMBED"] = settings.embed
    pages = register_pages()
    navigation = [page for page in pages if page.navigation]
    register_frame(app, navigation)
    register_routes(app)
    register_pins(app)
    register_files(app)
    register_tours(app)
    register_prepare(app, pages)
    register_talk(app)
    for page in pages:
        if page.routes is not None:
            page.routes(app)
    register_linked(app, settings.model)
    app.layout = lambda: shell([(page.name, page.path) for page in navigation], settings.model.to_dict())

    hosts = None if settings.host not in LOOPBACK else {*LOOPBACK, *settings.hosts}
    harden(app, hosts)
    return app


def _on_error(error: Exception) -> object:
    """A callback raised what nobody caught: log it under a number, and say so on the page."""
    if isinstance(error, UserError):
        text = error.message
    elif isinstance(error, (WorkerGone, OperationFailed)):
        text = str(error)
    elif full_disk(error):
        text = FULL
    else:
        number = uuid.uuid4().hex[:8]
        log.error("failure %s in a callback", number, exc_info=error)
        text = f"Something failed inside Attune ({number}, {type(error).__name__}). The log has the details."
    set_props("message", {"children": text, "is_open": True, "icon": "danger"})
    return no_update


def origin(text: str) -> str:
    """The origin of a site, for the command line. ArgumentTypeError for a path, a pattern or anything else."""
    if not re.fullmatch(r"https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d{1,5})?", text, re.ASCII | re.IGNORECASE):
        raise argparse.ArgumentTypeError(f"{text!r} is no origin such as https://lab.example, without a path.")
    return text


def main(arguments: list[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="attune", description="Why did it attend there, and what if it is steered.")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: loopback only)")
    parser.add_argument("--port", type=int, default=8050)
    parser.add_argument("--model", default="default", help="hub id, folder, GGUF file, or 'default'")
    parser.add_argument("--dtype", default="auto", choices=DTYPES)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--device-map", default="none", choices=["none", "auto"], help="auto spreads over all GPUs")
    parser.add_argument("--threads", type=int, default=0, help="threads of the worker (default: all cores)")
    parser.add_argument(
        "--exposed", action="store_true", help="allow an address other than loopback; there is no login"
    )
    parser.add_argument(
        "--embed", action="append", default=[], metavar="ORIGIN", type=origin, help="a site that may show shared boards"
    )
    options = parser.parse_args(arguments)
    if options.host not in LOOPBACK and not options.exposed:
        sys.exit(
            f"{options.host} can be reached from other machines, and Attune has no login. Add --exposed if a proxy "
            "in front of it has one."
        )
    try:
        model = ModelSpec(options.model, None, options.dtype, options.device, options.device_map)
    except UserError as error:
        sys.exit(error.message)
    os.umask(0o077)  # whatever is written below the data folder is for its user alone
    log_to(folder("logs") / "web.log")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    settings = Settings(options.host, options.port, model, options.threads, embed=tuple(options.embed))
    supervisor = Supervisor([model], options.threads)
    supervisor.start()
    try:
        app = create_app(settings)
    except Exception as error:
        supervisor.stop()
        if full_disk(error):
            sys.exit(FULL)
        raise
    from werkzeug.serving import make_server

    try:
        server = make_server(settings.host, settings.port, app.server, threaded=True)
    except (OSError, SystemExit):
        supervisor.stop()
        sys.exit(f"Port {settings.port} is taken. Stop what uses it, or choose another with --port.")
    print(f"Attune is at http://{settings.host}:{server.server_port} (stop with Ctrl-C)", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        supervisor.stop()


if __name__ == "__main__":
    main()
