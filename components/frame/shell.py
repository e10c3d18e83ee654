"""The frame around every page: navigation, the model in use, theme, job tray, messages."""

from __future__ import annotations

import uuid
from typing import Any

import dash
import dash_bootstrap_components as dbc
from dash import dcc, html

from analysis.models.spec import ModelSpec
from analysis.status import JobRow, WorkerStatus
from components.frame.prepare_card import prepare_card
from components.frame.token_card import token_drawer
from components.kit.links import local
from components.kit.theme import TEMPLATES

ACTIVE = ("queued", "running")
LOOKING = (
    "You may look here: pages, boards and kept results answer, also small questions to the models in memory. Jobs and "
    "texts are not started, and nothing is changed."
)


def shell(pages: list[tuple[str, str]], default_model: dict[str, Any], *, looking: bool = False) -> Any:
    """The layout of the app; built anew for each browser tab, so that each has a session of its own.

    ``pages``: name and path of each page that the header leads to, in order. The brand leads home. ``looking``: for
    one who may only look.
    """
    # Until the callback of the way back has answered, a link compares its path with the address by itself.
    links = [
        dbc.NavLink(name, href=local(path), active="partial", className="attune-nav", id=nav_id(path))
        for name, path in pages
    ]
    return html.Div(
        [
            dcc.Store(id="session", data=uuid.uuid4().hex),
            dcc.Store(id="model", data=default_model, storage_type="session"),
            dcc.Store(id="theme"),
            dcc.Store(id="templates", data=TEMPLATES),
            dcc.Store(id="address", data=""),
            dcc.Store(id="paths", data=[path for _, path in pages]),
            dcc.Store(id="files-opened"),
            dcc.Store(id="busy"),
            dcc.Store(id="tray-cleared", data=0, storage_type="local"),
            dcc.Interval(id="pulse", interval=1500),
            html.A("Skip to content", href="#content", className="attune-skip"),
            html.Header(
                [
                    html.Div(
                        [dcc.Link("Attune", href=local("/"), className="attune-brand"), html.Nav(links)],
                        className="attune-left",
                    ),
                    html.Div(
                        [
                            dcc.Link(
                                id="model-badge", href=local("/model"), className="attune-badge", children="model …"
                            ),
                            html.Button(
                                "Token card",
                                id="card-tok-open",
                                className="attune-button",
                                type="button",
                                title="One token in all four decompositions",
                            ),
                            html.Button(
                                "Stage",
                                id="stage",
                                className="attune-button",
                                type="button",
                                title="This page alone and large, for a projector (key f)",
                                **{"data-stage-go": "", "aria-keyshortcuts": "f"},
                            ),
                            html.Button(
                                "Copy link",
                                id="copy-link",
                                className="attune-button",
                                type="button",
                                title="This view, on this server while it runs; for others, Export or Findings",
                            ),
                            html.Button("Jobs", id="tray-open", className="attune-button attune-tray", type="button"),
                            html.Button(
                                "◐",
                                id="theme-toggle",
                                className="attune-button",
                                type="button",
                                title="Dark or light",
                                **{"aria-label": "Switch between dark and light"},
                            ),
                        ],
                        className="attune-right",
                    ),
                ],
                className="attune-header",
            ),
            html.Main(
                [
                    html.P(LOOKING, className="attune-note attune-looking", role="note", hidden=not looking),
                    prepare_card(),
                    dash.page_container,
                ],
                id="content",
            ),
            token_drawer(),
            dbc.Offcanvas(
                [
                    html.Button("Clear finished", id="tray-clear", className="attune-button mb-2", type="button"),
                    html.Div(id="tray"),
                ],
                id="tray-panel",
                title="Jobs",
                placement="end",
                is_open=False,
                scrollable=True,
            ),
            dbc.Toast(
                id="message", header="Attune", is_open=False, dismissable=True, duration=6000, className="attune-toast"
            ),
        ]
    )


def nav_id(path: str) -> str:
    """The id of the link to a page."""
    return f"nav-{path[1:]}"


def job_rows(jobs: list[JobRow], session: str, cleared: float = 0.0, now: float = 0.0) -> list[Any]:
    """The job tray: what runs, how far, how it ended, with a way to cancel or to go there. ``cleared``: jobs that had
    ended by then are not shown; ``now``: to say how long ago one ended; both in seconds since 1970."""
    shown = [job for job in jobs if job.state in ACTIVE or job.changed > cleared or not cleared]
    long, quick = [job for job in shown if not job.quick], [job for job in shown if job.quick]
    rows = [_row(job, job.session == session, now) for job in long]
    if not rows:
        rows = [html.P("No jobs. Fitting a feature or a long reading makes one.", className="attune-note", key="none")]
    if quick:  # not folded: the tray is drawn anew at every pulse, which would close a fold
        rows.append(html.H3(f"Done at once: {len(quick)}", className="attune-note mt-3", key="quick"))
        rows += [_row(job, job.session == session, now) for job in quick]
    return rows


def _when(job: JobRow, now: float) -> str:
    """How long it took, and how long ago that was."""
    if not now or job.state in ACTIVE:
        return ""
    took, ago = job.changed - job.started, max(0.0, now - job.changed)
    return f"{_span(took)}, {'just now' if ago < 60 else f'{_span(ago)} ago'}"


def _span(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _row(job: JobRow, mine: bool, now: float) -> Any:
    state, when = job.state, _when(job, now)
    parts: list[Any] = [
        html.Div(
            [html.Strong(job.title), html.Span(state, className=f"attune-state attune-state-{state}")],
            className="attune-job-head",
        )
    ]
    if when or job.host:
        parts.append(html.P(", ".join(words for words in (when, job.host) if words), className="attune-note"))
    if state in ACTIVE:
        share = job.share
        parts.append(
            dbc.Progress(
                value=100 * (share or 0),
                striped=share is None,
                animated=share is None,
                label=job.title,
                hide_label=True,
                className="mb-1",
            )
        )
        parts.append(
            html.Div(
                [
                    html.Span(job.text or ("begins" if state == "running" else "waiting for its turn")),
                    html.Button("Cancel", id={"cancel-job": job.id}, className="attune-button", type="button"),
                ],
                className="attune-job-foot",
            )
        )
    elif job.reason and state != "done":
        parts.append(html.P(job.reason, className="attune-note"))
    if state == "done" and job.gone:
        parts.append(html.P("What it made was deleted since; asked again, it is made again.", className="attune-note"))
    elif state == "done" and is_own_path(job.link):
        parts.append(dcc.Link("Open the result", href=local(job.link), refresh=True))
    if not mine:
        parts.append(html.P("asked for in another window, or before a reload", className="attune-note"))
    return html.Div(parts, className="attune-job", key=job.id)


def is_own_path(link: Any) -> bool:
    """Whether a job's link is a path of this app: not another site's address, a script, or one in disguise."""
    return (
        isinstance(link, str)
        and link.startswith("/")
        and link[1:2] not in ("/", "\\")
        and "\\" not in link.partition("?")[0]
        and link.isprintable()
    )


def tray_label(jobs: list[JobRow]) -> str:
    """The tray's button: how many run, and how far the first is."""
    active = [j for j in jobs if j.state in ACTIVE]
    if not active:
        return "Jobs"
    running = next((j for j in active if j.state == "running"), active[0])
    share = "" if running.share is None else f" {running.share:.0%}"
    return f"Jobs: {len(active)},{share or ' starting'}"


def busy_words(jobs: list[JobRow], status: WorkerStatus) -> str:
    """What the model is at, for those who wait for it; "" for nothing."""
    running = next((job for job in jobs if job.state == "running"), None)
    if running is not None:
        return running.title + ("" if running.share is None else f" ({running.share:.0%})")
    return f"{status.loading.text} ({status.loading.spec.source})" if status.loading is not None else ""


def badge(status: WorkerStatus, spec: ModelSpec) -> tuple[list[Any], str, str]:
    """The model badge: which model this window uses, and whether it is ready. Its parts, all of it as one text, and its
    class. In a narrow header the name gives way, and how the numbers are kept is left out; whether they were rounded
    before is not."""
    name = "SmolLM2-135M-Instruct" if spec.source == "default" else spec.source.rstrip("/").split("/")[-1]
    if status.loading is not None and status.loading.spec == spec:
        return _badge(name, "", f": {status.loading.text}", "attune-waiting")
    model = status.resident(spec)
    if model is not None:
        origin = " · was 4-bit" if "4-bit" in model.facts.note else ""
        numbers = "8 bit" if model.facts.eight_bit else model.facts.dtype
        return _badge(name, f" · {numbers} · {model.facts.device}", origin, "attune-ready")
    if status.pid is None or status.phase != "ready":
        return _badge(name, "", f": {status.phase}", "attune-waiting")
    return _badge(name, "", ": not loaded yet", "attune-waiting")


def _badge(name: str, numbers: str, state: str, look: str) -> tuple[list[Any], str, str]:
    parts = {"attune-badge-name": name, "attune-badge-numbers": numbers, "attune-badge-state": state}
    spans = [html.Span(text, className=part) for part, text in parts.items() if text]
    return spans, f"{name}{numbers}{state}", f"attune-badge {look}"
