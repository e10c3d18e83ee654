"""The machines of a cluster: what each has, which models are there, and what a question waits for."""

from __future__ import annotations

from dash import html

from analysis.status import PlaceStatus
from components.frame.model_card import size
from components.kit.panels import empty, failure, note
from components.kit.types import Node

HEADS = ("machine", "GPUs", "memory free", "models", "now")
KINDS = (("question", "questions"), ("text", "texts"), ("job", "jobs"))


def cluster_card(hosts: list[PlaceStatus], trouble: str) -> Node:
    """The card of a cluster. ``trouble``: what is wrong with it as a whole; "" for nothing."""
    head = html.Thead(html.Tr([html.Th(text, scope="col") for text in HEADS]))
    table = html.Table([head, html.Tbody([_row(place) for place in hosts])], className="attune-table")
    rows = [html.Div(table, className="attune-table-box"), note(rule_words(hosts))]
    return html.Section(
        [
            html.Div([html.H3("Cluster")], className="attune-card-head"),
            failure(trouble) if trouble else None,
            *(rows if hosts else [] if trouble else [empty("No machine of the cluster may have a worker yet.")]),
        ],
        className="attune-card",
        **{"aria-label": "Cluster"},
    )


def _row(place: PlaceStatus) -> Node:
    worker = place.worker
    name = place.host if place.name in ("", place.host) else f"{place.host} ({place.name})"
    memory = f"{size(worker.free_bytes)} of {size(worker.total_bytes)}" if worker and worker.total_bytes else ""
    models = [html.Div(model.facts.label) for model in worker.loaded] if worker else []
    return html.Tr([html.Td(name), html.Td(f"{place.gpus:g}"), html.Td(memory), html.Td(models), html.Td(now(place))])


def now(place: PlaceStatus) -> str:
    """What the worker of a place is at and how much waits for it, or why it has none."""
    worker = place.worker
    if worker is None or worker.pid is None:
        return place.text or (worker.phase if worker else "There is no worker yet.")
    if worker.loading is not None:
        share = "" if worker.loading.share is None else f" ({worker.loading.share:.0%})"
        doing = f"loads {worker.loading.spec.label}{share}"
    elif worker.phase != "ready":
        doing = worker.phase
    else:
        doing = worker.busy or "idle"
    counts = zip(worker.waiting, KINDS, strict=True)
    waiting = [f"{count} {words[count != 1]}" for count, words in counts if count]
    return doing + (f"; {', '.join(waiting)} wait{'s' if sum(worker.waiting) == 1 else ''}" if waiting else "")


def rule_words(hosts: list[PlaceStatus]) -> str:
    """Where a question goes, as it is now."""
    workers = [place.worker for place in hosts if place.worker is not None and place.worker.pid is not None]
    words = "A question goes to the machine that holds its model, and waits there for what was asked of it before."
    if workers and all(sum(not m.apart for m in worker.loaded) >= worker.limit for worker in workers):
        return f"{words} All are full: a further model takes the place of the one that was used longest ago."
    return f"{words} A further model is loaded where fewest are."
