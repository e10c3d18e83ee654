"""The keeper of a cluster without one: which workers it keeps, and whose they are."""

from __future__ import annotations

import json
import threading
from multiprocessing.connection import Listener
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.cluster import alike
from analysis.cluster import keeper as keeping
from analysis.cluster.host import WorkerHost
from analysis.engine.jobs import JobBook
from analysis.engine.scheduler import Scheduler
from analysis.engine.worker import Server

SETTINGS = {"gpus": None, "cpus": 0.0, "label": "", "preload": [], "threads": 1, "worker": "", "environment": {}}


def node(id: str, **resources: float) -> dict[str, Any]:
    """As Ray lists one."""
    names = {"NodeManagerHostname": id, "NodeManagerAddress": "127.0.0.1"}
    return {"NodeID": id, "Alive": True, "Resources": {"CPU": 1.0, **resources}, **names}


def test_a_worker_is_kept_until_it_is_idle_when_a_node_with_gpus_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [node("a")]
    context = SimpleNamespace(get_node_id=lambda: "a")
    keeper = keeping.Keeper(SimpleNamespace(nodes=lambda: nodes, get_runtime_context=lambda: context), SETTINGS)  # type: ignore[arg-type]
    busy = [True]
    monkeypatch.setattr(keeping, "idle", lambda facts: not busy[0])

    def looked() -> list[tuple[str, bool]]:
        for _ in range(2):  # the second look knows what was asked at the first
            keeper.look_at_nodes()
            keeper._asker.submit(int).result()
            for minded in keeper._minded.values():
                if minded.idle is not None:
                    minded.idle.result()
        keeper.look_at_nodes()
        return [(entry["id"], entry["able"]) for entry in keeper.state()["places"]]

    assert looked() == [("a.1", True)]
    keeper._minded["a.1"].facts = {"address": ["127.0.0.1", 1], "authkey": ""}
    nodes.append(node("g", GPU=4.0))
    assert looked() == [("a.1", True), ("g.1", True)]
    assert [(entry["leaving"], keeper._first) for entry in keeper.state()["places"]] == [(True, "g.1"), (False, "g.1")]
    busy[0] = False
    assert looked() == [("a.0", False), ("g.1", True)]
    assert not any(entry["leaving"] for entry in keeper.state()["places"])


def test_a_worker_is_asked_whether_it_is_idle(tmp_path: Path) -> None:
    key, scheduler = b"k" * 32, Scheduler(JobBook(tmp_path / "jobs.json"))
    with Listener(("127.0.0.1", 0)) as listener:
        facts = {"address": list(listener.address), "authkey": key.hex()}

        def asked() -> bool:
            server = threading.Thread(target=lambda: Server(scheduler, key).serve(listener.accept()))
            server.start()
            answer = keeping.idle(facts)
            server.join(5)
            return answer

        assert asked()
        scheduler.waiting = lambda: (0, 0, 1)  # type: ignore[method-assign]
        assert not asked()
    assert not keeping.idle(facts), "one that does not answer may be at work"


def test_a_worker_of_another_data_folder_with_the_same_path_is_nobodys_here(tmp_path: Path) -> None:
    given = {"home": str(tmp_path), "nonce": "12", "versions": alike.versions(), "environment": {}}
    with pytest.MonkeyPatch.context() as patch:
        for name in ("ATTUNE_HOME", "OMP_NUM_THREADS"):
            patch.setenv(name, "1")
        host = WorkerHost(json.dumps(given))  # it does not see the folder, so it has no worker
    assert json.loads(host.where("34")) == {
        "refused": "A worker of another data folder with the same path runs on this node.",
        "others": True,
    }
    path = alike.nonce_path(str(tmp_path), "34")
    path.parent.mkdir()
    path.write_text("34")
    assert json.loads(host.where("34"))["others"] is False, "a second web process of the same folder"


def test_a_data_folder_keeps_its_number(tmp_path: Path) -> None:
    number = keeping._id_of(tmp_path / ".id")
    assert number == keeping._id_of(tmp_path / ".id") != keeping._id_of(tmp_path / ".other")
