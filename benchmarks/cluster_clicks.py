"""What a click costs where the worker is reached through a cluster, against a worker of this machine, in one run.

``python -m benchmarks.cluster_clicks``: both workers hold the default model; clicks alternate between them, so that
what else the machine does meets both. The baseline is the socket within the machine; in the cluster the same bytes go
by TCP to a worker that Ray's actor minds. Start-up is from nothing to the answer of a first small question.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from typing import Any

from benchmarks.clicks import _matrix, _own_home, _reply, _text


def run(clicks: int = 60) -> dict[str, float]:
    """Medians in ms of opening a head at 128 tokens and of a question that computes nothing, and their ratios; seconds
    until the first answer; seconds until a cluster of one node is there."""
    from analysis.cluster.link import VARIABLE
    from analysis.cluster.places import cluster_places
    from analysis.engine.client import Client
    from analysis.engine.loading import DescribeModel, EstimateModel
    from analysis.engine.supervisor import Supervisor
    from analysis.models.spec import ModelSpec
    from analysis.qk.ops.prompt import TracePrompt

    os.environ["ATTUNE_HOME"] = _own_home()
    temporary = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    report: dict[str, float] = {}
    began = time.perf_counter()
    supervisor = Supervisor([ModelSpec()], 1)
    supervisor.start()
    here = Client()
    try:
        here.ask(EstimateModel())
        report["one machine: first answer, s"] = time.perf_counter() - began
        here.ask(DescribeModel())
        from ray.cluster_utils import Cluster

        began = time.perf_counter()
        cluster = Cluster(
            initialize_head=True,
            head_node_args={"include_dashboard": False, "object_store_memory": 80 << 20, "temp_dir": temporary},
        )
        report["a cluster of one node is there, s"] = time.perf_counter() - began
        os.environ[VARIABLE] = cluster.address
        places = cluster_places()
        assert places is not None
        places.preload, places.threads = [ModelSpec()], 1
        began = time.perf_counter()
        places.start()
        there = Client(60.0, places)
        try:
            there.ask(EstimateModel())
            report["cluster: first answer, s"] = time.perf_counter() - began
            text = _text(128)
            readings = [_reply(client, TracePrompt(text=text)) for client in (here, there)]
            for name, click in (("open a head", _matrix_of(text, readings)), ("describe the model", _describe)):
                report |= _alternate(name, (here, there), click, clicks)
        finally:
            places.stop()
            cluster.shutdown()  # type: ignore[no-untyped-call]
    finally:
        supervisor.stop()
        shutil.rmtree(temporary, ignore_errors=True)
    return report


def _matrix_of(text: str, readings: list[Any]) -> Any:
    return lambda client, side, i: _matrix(client, text, readings[side], i % 30, i % 9)


def _describe(client: Any, _side: int, _i: int) -> None:
    from analysis.engine.loading import DescribeModel

    client.ask(DescribeModel())


def _alternate(name: str, clients: tuple[Any, Any], click: Any, clicks: int) -> dict[str, float]:
    seconds: tuple[list[float], list[float]] = ([], [])
    for i in range(clicks + 3):
        for side, client in enumerate(clients):
            began = time.perf_counter()
            click(client, side, i)
            if i >= 3:
                seconds[side].append(time.perf_counter() - began)
    here, there = (1000 * statistics.median(part) for part in seconds)
    return {f"{name}: one machine, ms": here, f"{name}: cluster, ms": there, f"{name}: ratio": there / here}


if __name__ == "__main__":
    for name, value in run().items():
        print(f"{name}: {value:.2f}")
