"""Attune's door: settings, the Dash app, the worker's supervisor, the server. Nothing else.

``create_app`` builds the app without starting anything, for tests and for WSGI servers; ``main`` is what ``make run``
calls. The web process never imports torch.
"""

from __future__ import annotations

import argparse
import importlib.util
import logging
import os
import re
import signal
import socket
import ssl
import sys
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dash import Dash, no_update, set_props

from analysis.asker import LOOKING
from analysis.cluster.link import VARIABLE as CLUSTER
from analysis.cluster.places import ClusterPlaces, cluster_places
from analysis.cluster.seats import LABEL
from analysis.cluster.settings import GPUS, settings_here
from analysis.disk import disk_refusal
from analysis.engine.client import Client, OperationFailed, WorkerGone
from analysis.engine.supervisor import Supervisor
from analysis.errors import UserError
from analysis.home import folder, home
from analysis.logs import log_to
from analysis.models.spec import DTYPES, ModelSpec
from analysis.quota import quota
from analysis.shares import each
from components.frame.shell import shell
from pages.frame.access import Tokens, register_door
from pages.frame.background import RelayManager, open_cache
from pages.frame.bundle import bundle, files_of, register_missing
from pages.frame.files import register_files
from pages.frame.health import register_health
from pages.frame.linked import register_linked
from pages.frame.pins import register_pins
from pages.frame.prepare import register_prepare
from pages.frame.prepare_runs import take_up_runs
from pages.frame.security import harden, kept_secret, limit_bodies, secret_key
from pages.frame.serving import asset_address, compress, fetch_early, make_server
from pages.frame.shell import register_frame
from pages.frame.streams import register_routes
from pages.frame.tls import certified
from pages.frame.tours import register_tours
from pages.registry import register_pages
from pages.talk.routes import register_talk

log = logging.getLogger("attune")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """How to serve: address, port, first model, threads of the worker (0: all cores), further ``names`` by which
    others reach this machine, ``proxies`` in front of it by name, origins that may ``embed`` a shared board in a page
    of theirs (such as "https://lab.example"), the ``tokens`` that are asked for, and ``tls``, what encrypts."""

    host: str = "127.0.0.1"
    port: int = 8050
    model: ModelSpec = field(default_factory=ModelSpec)
    threads: int = 0
    names: tuple[str, ...] = ()
    proxies: tuple[str, ...] = ()
    embed: tuple[str, ...] = ()
    tokens: Tokens | None = None
    tls: ssl.SSLContext | None = None

    @property
    def local(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in LOOPBACK


PLOTTING = "plotly/package_data/plotly.min.js"
"""The script that draws figures, two thirds of what comes down at the first opening."""
INDEX = """<!DOCTYPE html>
<html lang="en">
<head>{%metas%}<title>{%title%}</title>{%favicon%}{%css%}<link rel="stylesheet" href="STYLES">
<script src="THEME"></script></head>
<body>{%app_entry%}<footer>{%config%}<script src="SCRIPTS"></script>{%scripts%}{%renderer%}</footer></body>
</html>"""
RENDERER = """var renderer = new DashRenderer({
  request_pre: (question) => {
    question.asked = performance.timeOrigin + performance.now();
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


ASSETS = Path(__file__).resolve().parent / "assets"


def own_scripts() -> list[str]:
    """The scripts of every page in their order: the kit, the frame's, those of pages. A talk has a page of its own, and
    theme.js comes before anything is painted."""
    frame = [f"frame/{path.name}" for path in sorted((ASSETS / "frame").glob("*.js"))]
    return ["kit.js", *frame, *files_of(ASSETS, "js", ("theme.js", "kit.js", "frame", "talk"))]


def create_app(settings: Settings | None = None) -> Dash:
    """The Dash app with all pages and callbacks; starts no process."""
    settings = settings or Settings()
    client = Client(places=cluster_places())
    cache = open_cache(folder("callbacks"))
    app = Dash(
        __name__,
        title="Attune",
        update_title="",
        use_pages=True,
        pages_folder="",
        assets_ignore=r"\.(js|css)$",  # they go down together
        background_callback_manager=RelayManager(cache, client.cancel),
        on_error=_on_error,
        enable_mcp=False,
        suppress_callback_exceptions=True,
    )
    compress(app)
    app.renderer = RENDERER
    parts = {
        "STYLES": bundle(app, "css", files_of(ASSETS, "css", ("talk",))),
        "SCRIPTS": bundle(app, "js", own_scripts()),
        "THEME": asset_address(app, "theme.js"),
    }
    register_missing(app)
    app.index_string = INDEX
    for name, address in parts.items():
        app.index_string = app.index_string.replace(name, address)
    fetch_early(app, PLOTTING, without=("/", "/findings"))
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
    links = [(page.name, page.path) for page in navigation]
    app.layout = lambda: shell(links, settings.model.to_dict(), looking=LOOKING.get())

    names = {*LOOPBACK, *settings.names, *(() if settings.local else own_names())}
    harden(app, names, proxies=set(settings.proxies), addresses=not settings.local)
    register_health(app)
    if settings.tokens is not None:
        register_door(app, settings.tokens, app.server.secret_key)
    limit_bodies(app)
    return app


def own_names() -> set[str]:
    """The names by which other machines may know this one."""
    name = socket.gethostname().lower()
    return {name, name.partition(".")[0], socket.getfqdn().lower()}


def _on_error(error: Exception) -> object:
    """A callback raised what nobody caught: log it under a number, and say so on the page."""
    if isinstance(error, UserError):
        text = error.message
    elif isinstance(error, (WorkerGone, OperationFailed)):
        text = str(error)
    elif refusal := disk_refusal(error):
        text = refusal
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
    """The command ``attune``: ``run`` (also where no command is named), ``prepare`` or ``doctor``."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    command = words.pop(0) if words[:1] and words[0] in COMMANDS else "run"
    COMMANDS[command](words)


def prepare(arguments: list[str]) -> None:
    """Make what the pages need for a model."""
    from analysis.engine.supervisor import QUIET_HUB
    from analysis.prepare.command import main as command

    os.environ |= QUIET_HUB
    os.umask(0o077)
    sys.exit(command(arguments, prog="attune prepare"))


def doctor(arguments: list[str]) -> None:
    """Say what of this machine Attune needs, and what is wrong with it."""
    from analysis.doctor import main as command

    sys.exit(command(arguments))


def serve(arguments: list[str]) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="attune [run]",
        description="Serve the dashboard: why did it attend there, and what if it is steered.",
        epilog="Further commands: attune prepare [MODEL] makes what the pages need for a model; attune doctor looks at "
        "this machine. Each has --help.",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (default: loopback only)")
    parser.add_argument("--port", type=int, default=8050)
    parser.add_argument("--model", default="default", help="hub id, folder, GGUF file, or 'default'")
    parser.add_argument("--dtype", default="auto", choices=DTYPES)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--device-map", default="none", choices=["none", "auto"], help="auto spreads over all GPUs")
    parser.add_argument("--threads", type=int, default=0, help="threads of the worker (default: all cores)")
    parser.add_argument("--name", action="append", default=[], metavar="HOST", help="a further name of this machine")
    parser.add_argument(
        "--proxy", action="append", default=[], metavar="HOST", help="the name of a proxy in front of this one"
    )
    parser.add_argument("--exposed", action="store_true", help="ask for no token: the login is that of --proxy")
    parser.add_argument(
        "--embed", action="append", default=[], metavar="ORIGIN", type=origin, help="a site that may show shared boards"
    )
    parser.add_argument("--ray", default="", metavar="ADDRESS", help="workers on a Ray cluster: auto, or host:port")
    parser.add_argument(
        "--worker-gpus", default="", metavar="N", help="with --ray: GPUs of a worker (default: a node's)"
    )
    parser.add_argument("--worker-label", default="", metavar="NAME=VALUE", help="with --ray: nodes that get a worker")
    parser.add_argument("--certificate", type=Path, metavar="FILE", help="serve by TLS: the certificate chain, as PEM")
    parser.add_argument("--key", type=Path, metavar="FILE", help="and its key, as PEM without a password")
    options = parser.parse_args(arguments)
    if (options.certificate is None) != (options.key is None):
        sys.exit("A certificate and its key belong together: name both, --certificate and --key, or neither.")
    if options.exposed and not options.proxy:
        sys.exit("--exposed asks nobody for a token. Name the proxy that has a login with --proxy, or leave it out.")
    named = {CLUSTER: options.ray, GPUS: options.worker_gpus, LABEL: options.worker_label}
    os.environ |= {name: value for name, value in named.items() if value}
    if os.environ.get(CLUSTER) and importlib.util.find_spec("ray") is None:
        sys.exit("A cluster needs Ray, which is not installed: pip install 'attune[cluster]'.")
    try:
        quota()
        each()
        model = ModelSpec(options.model, None, options.dtype, options.device, options.device_map)
        tls = None if options.certificate is None else certified(options.certificate, options.key)
        supervisor = _minder(options, model)
    except UserError as error:
        sys.exit(error.message)
    os.umask(0o077)  # whatever is written below the data folder is for its user alone
    log_to(folder("logs") / "web.log")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    settings = Settings(
        options.host, options.port, model, options.threads, tuple(options.name), tuple(options.proxy),
        tuple(options.embed), tokens_for(options.host, unasked=options.exposed), tls,
    )  # fmt: skip
    supervisor.start()
    try:
        app = create_app(settings)
    except Exception as error:
        supervisor.stop()
        if refusal := disk_refusal(error):
            sys.exit(refusal)
        raise
    try:
        server = make_server(
            app, settings.host, settings.port,
            local=settings.local, proxied=bool(settings.proxies), tls=settings.tls,
        )  # fmt: skip
    except (OSError, ValueError):
        supervisor.stop()
        sys.exit(f"{settings.host}:{settings.port} cannot be used. Stop what uses it, or choose another with --port.")
    signal.signal(signal.SIGTERM, _end)
    print(greeting(settings, server.effective_port), flush=True)
    take_up_runs()
    try:
        server.run()
    finally:
        server.close()
        supervisor.stop()


def _minder(options: argparse.Namespace, model: ModelSpec) -> Supervisor | ClusterPlaces:
    """What starts workers and ends them: of this machine, or of a cluster if one is named. UserError for settings of
    the cluster that say nothing."""
    places = cluster_places()
    if places is None:
        return Supervisor([model], options.threads)
    settings_here()
    places.preload, places.threads = [model], options.threads
    return places


def _end(*_signal: object) -> None:
    raise SystemExit  # as Ctrl-C does: the server ends its answers, the worker writes down what it was doing


def tokens_for(host: str, *, unasked: bool = False) -> Tokens | None:
    """What is asked for: nothing on this machine alone, unless the environment names a token; else the tokens of the
    environment, or of the data folder, where they are made if need be. ``unasked``: of the owner alone."""
    if not unasked and host in LOOPBACK and not os.environ.get("ATTUNE_TOKEN"):
        return None
    owner = kept_secret(home(), "owner-token", "ATTUNE_OWNER_TOKEN")
    if unasked:
        return Tokens("", "", owner, unasked=True)
    full = kept_secret(home(), "token", "ATTUNE_TOKEN")
    return Tokens(full, kept_secret(home(), "look-token", "ATTUNE_LOOK_TOKEN"), owner)


def greeting(settings: Settings, port: int) -> str:
    """What is printed once others can ask. The first line says where; a token stands in a link."""
    host = socket.gethostname() if settings.host in ("0.0.0.0", "::") else settings.host  # noqa: S104
    at = f"http{'' if settings.tls is None else 's'}://{f'[{host}]' if ':' in host else host}:{port}"
    tokens = settings.tokens
    if tokens is None:
        return f"Attune is at {at} (stop with Ctrl-C)"
    here = at if tokens.unasked else f"{at}/?token={tokens.full}"
    lines = [f"Attune is at {here} (stop with Ctrl-C)"]
    if not tokens.unasked:
        lines.append(f"Who may only look goes to {at}/?token={tokens.look}")
    lines.append(f"Who sees and may end the jobs of all goes to {at}/?token={tokens.owner}")
    return "\n".join(lines)


COMMANDS: dict[str, Callable[[list[str]], None]] = {"run": serve, "prepare": prepare, "doctor": doctor}


if __name__ == "__main__":
    main()
