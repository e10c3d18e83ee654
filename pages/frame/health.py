"""Signs of life for those who operate this: whether it answers, and figures in Prometheus' text form.

A sign of life needs no token and says nothing else; the figures are for those who may look.
"""

from __future__ import annotations

import logging
import time

import psutil
from dash import Dash
from flask import Response, g, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from analysis.asker import REFUSALS
from analysis.cluster.link import named_cluster
from pages.common import client

log = logging.getLogger("attune.web")
REFUSED = (400, 401, 403, 404, 405, 413, 415, 429)
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")
BUCKETS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)


def register_health(app: Dash) -> None:
    """Add ``/healthz`` and ``/metrics``, and count requests by their route."""
    server = app.server
    registry = CollectorRegistry()
    asked = Counter("attune_requests", "Answers of the web server", ["route", "method", "status"], registry=registry)
    took = Histogram(
        "attune_request_seconds", "From a request to its answer, streams to their start", ["route"],
        registry=registry, buckets=BUCKETS,
    )  # fmt: skip
    waiting = Gauge("attune_waiting", "Questions that wait for the model", ["kind"], registry=registry)
    memory = Gauge("attune_memory_bytes", "Resident memory", ["process"], registry=registry)
    gpu = Gauge("attune_gpu_bytes", "Memory of GPUs that the worker has taken", registry=registry)
    models = Gauge("attune_models", "Models in memory", registry=registry)
    ready = Gauge("attune_worker_ready", "1 while there is a worker", registry=registry)
    busy = Gauge("attune_worker_busy", "1 while it computes", registry=registry)

    # Of a cluster, by the names of its places; without one they have no sample.
    place_ready = Gauge("attune_place_ready", "1 while there is a worker", ["place"], registry=registry)
    place_memory = Gauge("attune_place_memory_bytes", "Resident memory of the worker", ["place"], registry=registry)
    place_free = Gauge("attune_place_free_bytes", "Memory that a model could go to", ["place"], registry=registry)
    place_models = Gauge("attune_place_models", "Models in memory", ["place"], registry=registry)

    @server.before_request
    def begin() -> None:
        g.began = time.perf_counter()

    @server.after_request
    def count(response: Response) -> Response:
        route = str(request.url_rule) if request.url_rule is not None else "none"
        method = request.method if request.method in METHODS else "other"  # anything in capitals is a method
        asked.labels(route, method, response.status_code).inc()
        if response.status_code in REFUSED:  # by its route: an address may hold a prompt, or the secret of a board
            log.warning("refused %d: %s %s from %s", response.status_code, method, route, request.remote_addr)
        elif REFUSALS.get():
            log.warning("refused in words: %s %s from %s", method, route, request.remote_addr)
        if "began" in g:  # not where an earlier check has refused
            took.labels(route).observe(time.perf_counter() - g.began)
        return response

    @server.get("/healthz")
    def healthz() -> tuple[Response, int]:
        status = client().status()
        return jsonify({"web": "ready", "worker": "ready" if status.pid else "starting"}), 200 if status.pid else 503

    @server.get("/metrics")
    def metrics() -> Response:
        status = client().status()
        for kind, number in zip(("live", "stream", "job"), status.waiting, strict=True):
            waiting.labels(kind).set(number)
        memory.labels("web").set(psutil.Process().memory_info().rss)
        memory.labels("worker").set(status.resident_bytes)
        gpu.set(status.gpu_bytes)
        models.set(len(status.loaded))
        ready.set(status.pid is not None)
        busy.set(bool(status.busy))
        for gauge in (place_ready, place_memory, place_free, place_models):
            gauge.clear()  # a machine that left the cluster is no machine with nothing
        for place in client().hosts() if named_cluster() else []:
            name, worker = place.name or place.host, place.worker
            place_ready.labels(name).set(worker is not None and worker.pid is not None)
            if worker is not None:
                place_memory.labels(name).set(worker.resident_bytes)
                place_free.labels(name).set(worker.free_bytes)
                place_models.labels(name).set(len(worker.loaded))
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
