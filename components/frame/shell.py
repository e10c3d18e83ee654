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
                            html.Button("Copy link", id="copy-link", className="attune-button", type="button"),
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
                html.Div(id="tray"), id="tray-panel", title="Jobs", placement="end", is_open=False, scrollable=True
            ),
            dbc.Toast(
                id="message", header="Attune", is_open=False, dismissable=True, duration=6000, className="attune-toast"
            ),
        ]
    )


def nav_id(path: str) -> str:
    """The id of the link to a page."""
    return f"nav-{path[1:]}"


def job_rows(jobs: list[JobRow], session: str) -> list[Any]:
    """The job tray: what runs, how far, how it ended, with a way to cancel or to go there."""
    if not jobs:
        return [html.P("No jobs yet. Reading a prompt or fitting a feature makes one.", className="attune-note")]
    return [_row(job, mine=job.session == session) for job in jobs]


def _row(job: JobRow, mine: bool) -> Any:
    state = job.state
    parts: list[Any] = [
        html.Div(
            [html.Strong(job.title), html.Span(state, className=f"attune-state attune-state-{state}")],
            className="attune-job-head",
        )
    ]
    if state in ("queued", "running"):
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
                    html.Span(job.text or "waiting for its turn"),
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
        parts.append(html.P("asked for in another window", className="attune-note"))
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
    active = [j for j in jobs if j.state in ("queued", "running")]
    if not active:
        return "Jobs"
    running = next((j for j in active if j.state == "running"), active[0])
    share = "" if running.share is None else f" {running.share:.0%}"
    return f"Jobs: {len(active)},{share or ' starting'}"


def badge(status: WorkerStatus, spec: ModelSpec) -> tuple[str, str]:
    """Text and class of the model badge: which model this window uses, and whether it is ready."""
    name = "SmolLM2-135M-Instruct" if spec.source == "default" else spec.source.rstrip("/").split("/")[-1]
    if status.loading is not None and status.loading.spec == spec:
        return f"{name}: {status.loading.text}", "attune-badge attune-waiting"
    model = status.resident(spec)
    if model is not None:
        origin = " · was 4-bit" if "4-bit" in model.facts.note else ""
        numbers = "8 bit" if model.facts.eight_bit else model.facts.dtype
        return f"{name} · {numbers} · {model.facts.device}{origin}", "attune-badge attune-ready"
    if status.pid is None or status.phase != "ready":
        return f"{name}: {status.phase}", "attune-badge attune-waiting"
    return f"{name}: not loaded yet", "attune-badge attune-waiting"
