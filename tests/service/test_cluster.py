"""Workers on the nodes of a Ray cluster: two models at two places, and what becomes of questions when a worker, the
process that minds it, or its node dies.

The cluster is two nodes on this machine. The tests build on each other's workers, and the last one takes a node away.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from analysis.cluster import link
from analysis.cluster.places import ClusterPlaces, cluster_places
from analysis.engine.client import Client, WorkerGone
from analysis.engine.operation import Operation
from analysis.engine.question import Result
from analysis.errors import Cancelled
from analysis.models.loader import load_model
from analysis.models.spec import ModelSpec
from analysis.status import JobRow, PlaceStatus
from benchmarks.architectures import saved, tiny
from tests.service.conftest import dead, lines, settings_for_tests, until
from tests.service.operations_for_tests import Echo, LastLogits, SayLinesOn, UseModel, _logits

pytest.importorskip("ray")


class Lab:
    """A cluster, its places, a client, and the folders of two models."""

    def __init__(self, cluster: Any, second: Any, places: ClusterPlaces, root: Path) -> None:
        self.cluster, self.second, self.places, self.root = cluster, second, places, root
        self.client = Client(40.0, places)
        self.models = [ModelSpec(str(saved(tiny("llama", seed), root / f"m{seed}")), device="cpu") for seed in (1, 2)]
        self._threads = ThreadPoolExecutor(16)

    def ask(self, operation: Operation, **options: Any) -> Future[Result]:
        """Ask in a thread."""
        return self._threads.submit(self.client.ask, operation, **options)

    def host_of(self, model: ModelSpec) -> PlaceStatus:
        """The place that holds a model."""
        return until(lambda: next((h for h in self.client.hosts() if h.worker and h.worker.resident(model)), None))

    def pid_of(self, model: ModelSpec) -> int:
        """Its worker's process."""
        worker = self.host_of(model).worker
        assert worker is not None and worker.pid is not None
        return worker.pid

    def row(self, token: str) -> JobRow | None:
        """A job as it is listed."""
        return next((row for row in self.client.jobs() if row.id == token), None)

    def gate(self, name: str) -> Path:
        """A file that a test makes."""
        return self.root / f"gate-{name}"

    def begin(self, name: str, model: ModelSpec) -> Future[Result]:
        """Ask a job that waits for its gate, and wait until it runs."""
        asked = self.ask(LastLogits(name, str(self.gate(name)), model=model), token=name)
        until(lambda: (row := self.row(name)) is not None and row.state == "running", what=f"{name} runs")
        return asked


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Two nodes, with a ready worker each."""
    from ray.cluster_utils import Cluster

    temporary = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # paths of sockets are short
    root = tmp_path_factory.mktemp("lab")
    node = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        settings_for_tests(patch, root / "home")
        cluster = Cluster(initialize_head=True, head_node_args={**node, "temp_dir": temporary})
        try:
            second = cluster.add_node(**node)
            patch.setenv(link.VARIABLE, cluster.address)
            places = cluster_places()
            assert places is not None
            places.threads = 1
            places.start()
            made = Lab(cluster, second, places, root)
            until(lambda: [h.worker.phase for h in made.client.hosts() if h.worker] == ["ready"] * 2, 90, "two workers")
            yield made
            made.client.patience = 0.0
            places.stop()
        finally:
            cluster.shutdown()
            shutil.rmtree(temporary, ignore_errors=True)


def test_two_models_are_at_two_places_at_once_and_answer_right(lab: Lab) -> None:
    one, two = lab.models
    quick = [lab.ask(UseModel(one)) for _ in range(4)]  # at once, and the model is loaded in one place
    assert len({asked.result(60).data["layers"] for asked in quick}) == 1
    jobs = [lab.begin("j1", one), lab.begin("j2", two)]
    hosts = [lab.host_of(model) for model in lab.models]
    assert hosts[0].name != hosts[1].name, "the second went where more room was"
    assert sum(len(h.worker.loaded) for h in lab.client.hosts() if h.worker) == 2, "none is there twice"
    assert {row.id: row.state for row in lab.client.jobs()} == {"j1": "running", "j2": "running"}
    status = lab.client.status()
    assert status.resident(one) and status.resident(two) and len(status.busy.split("; ")) == 2
    for name in ("j1", "j2"):
        lab.gate(name).touch()
    answers = [job.result(30).data for job in jobs]
    assert answers[0]["pid"] != answers[1]["pid"]
    for model, answer in zip(lab.models, answers, strict=True):
        assert answer["logits"] == pytest.approx(_logits(load_model(model).model), abs=1e-6)
    assert answers[0]["logits"] != pytest.approx(answers[1]["logits"], abs=1e-3)
    assert lab.client.store.get(jobs[1].result().key) is not None, "kept in the shared folder"
    assert not list((lab.root / "home").glob("worker.*")), "no key lies in a file"


def test_a_cancel_reaches_the_place_where_the_job_is(lab: Lab) -> None:
    jobs = [lab.begin(f"c{n}", model) for n, model in enumerate(lab.models)]
    assert lab.client.cancel("c1") and not lab.client.cancel("nobody's")
    with pytest.raises(Cancelled):
        jobs[1].result(20)
    row, other = lab.row("c1"), lab.row("c0")
    assert row is not None and row.state == "cancelled" and other is not None and other.state == "running"
    assert row.host == lab.host_of(lab.models[1]).host
    lab.gate("c0").touch()
    assert jobs[0].result(20)


def test_a_killed_worker_ends_what_it_had_begun_and_nothing_else(lab: Lab) -> None:
    one, two = lab.models
    job, beside = lab.begin("job", one), lab.begin("beside", two)
    waiting = lab.ask(LastLogits("waiting", "", str(lab.root / "ran"), model=one), token="waiting")
    until(lambda: lab.row("waiting"), what="it waits")
    stream = lab.client.stream(SayLinesOn("s", 4000, 0.01, model=one))
    assert next(stream) == {"n": 0}
    killed = lab.pid_of(one)
    os.kill(killed, signal.SIGKILL)
    with pytest.raises(WorkerGone, match="killed by SIGKILL"):
        list(stream)
    with pytest.raises(WorkerGone, match="killed by SIGKILL"):
        job.result(20)
    lab.gate("beside").touch()
    assert beside.result(20) and dead(killed)
    assert waiting.result(60) and lines(lab.root / "ran") == ["waiting"], "not begun: asked again elsewhere"
    until(lambda: (row := lab.row("job")) is not None and row.state == "failed" and "SIGKILL" in row.reason)


def test_the_process_that_minds_a_worker_comes_back_with_another_one(lab: Lab) -> None:
    two = lab.models[1]
    worker, job = lab.pid_of(two), lab.begin("minded", two)
    psutil.Process(worker).parent().kill()  # type: ignore[union-attr]
    with pytest.raises(WorkerGone, match="minds the worker has stopped"):
        job.result(60)
    until(lambda: dead(worker), 60, "a worker that nobody minds ends")
    assert lab.ask(UseModel(two)).result(60)
    until(lambda: len([h for h in lab.client.hosts() if h.worker]) == 2, 180, "Ray has started it again")
    until(lambda: (row := lab.row("minded")) is not None and row.state == "failed")


def test_what_ran_on_a_node_that_leaves_is_failed_and_the_rest_goes_elsewhere(lab: Lab) -> None:
    there = {place.name: place.seen.id for place in lab.places.all()}  # type: ignore[attr-defined]
    far = next(name for name, id in there.items() if id.startswith(lab.second.node_id))
    lost = next((m for m in lab.models if lab.host_of(m).name == far), ModelSpec(lab.models[0].source, dtype="float32"))
    assert lab.ask(UseModel(lost)).result(60) and lab.host_of(lost).name == far, "if it was nowhere: most room is there"
    running, waiting = lab.begin("running", lost), lab.ask(LastLogits("next", model=lost), token="next")
    until(lambda: lab.row("next"), what="it waits")
    lab.cluster.remove_node(lab.second)
    with pytest.raises(WorkerGone, match=r"left the cluster|stopped"):
        running.result(40)
    until(lambda: len(lab.client.hosts()) == 1, 40, "the node is gone")
    row = until(lambda: lab.row("running"))
    assert row.state == "failed" and "left the cluster before this job had ended" in row.reason
    assert waiting.result(60).data["logits"] and lab.host_of(lost).name != far
    assert lab.client.ask(Echo("still")).data["echo"] == "still"
