"""The contract of RelayManager with Dash: the six overridden methods, many jobs at once, equal inputs, failures.

A small stand-in for Dash's renderer posts a callback, polls with the keys that it was given, and takes the answer.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from dash import Dash, Input, Output, dcc, html

from pages.frame.background import RelayManager, open_cache
from pages.job import current_job


class App:
    """A Dash app with one background callback per behaviour, and a renderer's view of it."""

    def __init__(self, folder: Path) -> None:
        self.cancelled: list[str] = []
        self.released = threading.Event()
        self.seen_jobs: list[str] = []
        manager = RelayManager(open_cache(folder), self._cancel)
        self.manager = manager
        app = Dash("relay", background_callback_manager=manager, enable_mcp=False)
        app.server.secret_key = "for tests"
        names = ("echo", "slow", "raise", "component", "unsendable")
        app.layout = html.Div(
            [*[dcc.Store(id=n) for n in names], *[html.Div(id=f"{n}-out") for n in names], html.Div(id="bar")]
        )

        @app.callback(Output("echo-out", "children"), Input("echo", "data"), background=True)
        def echo(data: Any) -> str:
            self.seen_jobs.append(current_job.get())
            time.sleep(0.02)
            return f"answer to {data}"

        @app.callback(
            Output("slow-out", "children"), Input("slow", "data"), background=True, progress=Output("bar", "children")
        )
        def slow(set_progress: Any, data: Any) -> str:
            set_progress("half")
            self.seen_jobs.append(current_job.get())
            self.released.wait(10)
            return "released"

        @app.callback(Output("raise-out", "children"), Input("raise", "data"), background=True)
        def fail(data: Any) -> str:
            raise RuntimeError("the body failed")

        @app.callback(Output("component-out", "children"), Input("component", "data"), background=True)
        def component(data: Any) -> Any:
            return html.P(["text ", html.B("inside")])

        @app.callback(Output("unsendable-out", "children"), Input("unsendable", "data"), background=True)
        def unsendable(data: Any) -> Any:
            return object()

        self.app = app
        self.client = app.server.test_client
        page = self.client().get("/").get_data(as_text=True)
        config = json.loads(page.split('id="_dash-config" type="application/json">')[1].split("</script>")[0])
        self.end_id = config.get("background_end_id") or config.get("end_id")

    def _cancel(self, token: str) -> None:
        self.cancelled.append(token)
        self.released.set()

    def start(self, name: str, value: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        body = {
            "output": f"{name}-out.children",
            "outputs": {"id": f"{name}-out", "property": "children"},
            "inputs": [{"id": name, "property": "data", "value": value}],
            "changedPropIds": [f"{name}.data"],
        }
        answer = self.post(body, "")
        return body, answer

    def post(self, body: dict[str, Any], query: str) -> dict[str, Any]:
        suffix = f"{'&' if query else '?'}endId={self.end_id}" if self.end_id else ""
        answer = self.client().post("/_dash-update-component" + query + suffix, json=body)
        if answer.status_code == 204:
            return {"empty": True}
        data = answer.get_json(silent=True)
        return {"status": answer.status_code, **(data or {})}

    def ask(self, name: str, value: Any, patience: float = 20) -> dict[str, Any]:
        body, handle = self.start(name, value)
        query = f"?cacheKey={handle['cacheKey']}&job={handle['job']}"
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            answer = self.post(body, query)
            if "response" in answer or answer.get("status", 200) >= 400:
                return answer
            time.sleep(0.02)
        return {"late": True}


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    made = App(tmp_path / "callbacks")
    yield made
    made.released.set()


def _text(answer: dict[str, Any], name: str) -> Any:
    return answer["response"][f"{name}-out"]["children"]


def _in_threads(count: int, work: Any) -> list[Any]:
    results: list[Any] = [None] * count
    threads = [threading.Thread(target=lambda i=i: results.__setitem__(i, work(i))) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_eighty_jobs_of_four_clients_all_come_back(app: App) -> None:
    answers = _in_threads(4, lambda c: [_text(app.ask("echo", f"{c}-{i}"), "echo") for i in range(20)])
    assert answers == [[f"answer to {c}-{i}" for i in range(20)] for c in range(4)]
    assert len(set(app.seen_jobs)) == 80, "each body knows the id of its own job"


def test_equal_inputs_of_twelve_users_all_get_their_answer(app: App) -> None:
    assert [_text(a, "echo") for a in _in_threads(12, lambda _: app.ask("echo", "same"))] == ["answer to same"] * 12


def test_components_travel_as_plain_json(app: App) -> None:
    children = _text(app.ask("component", 1), "component")
    assert children["type"] == "P" and children["props"]["children"][1]["props"]["children"] == "inside"


def test_a_body_that_raises_or_cannot_be_sent_is_an_answer_not_a_silence(app: App) -> None:
    assert app.ask("raise", 1)["status"] == 500
    assert app.ask("unsendable", 1)["status"] == 500


def test_cancel_reaches_the_worker_under_the_id_of_the_job(app: App) -> None:
    app.start("slow", 1)
    deadline = time.monotonic() + 5
    while not app.seen_jobs and time.monotonic() < deadline:
        time.sleep(0.01)
    (job,) = app.seen_jobs
    assert app.manager.job_running(job) and not app.manager.terminate_unhealthy_job(job)
    app.manager.terminate_job(job)
    assert app.cancelled == [job]
    app.manager.terminate_job(job)
    app.manager.terminate_job(None)
    assert app.cancelled == [job], "a job is cancelled once"
    deadline = time.monotonic() + 5
    while app.manager.job_running(job) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not app.manager.job_running(job)


def test_keys_are_never_shared_and_the_folder_is_private(app: App, tmp_path: Path) -> None:
    keys = {app.manager.build_cache_key(lambda: None, ["same"], [], []) for _ in range(5)}
    assert len(keys) == 5
    assert (tmp_path / "callbacks").stat().st_mode & 0o777 == 0o700
    assert all(p.stat().st_mode & 0o777 == 0o700 for p in (tmp_path / "callbacks").iterdir())


def test_folders_of_dead_processes_are_removed(tmp_path: Path) -> None:
    (tmp_path / "999999999-dead").mkdir()
    open_cache(tmp_path)
    assert not (tmp_path / "999999999-dead").exists() and len(list(tmp_path.iterdir())) == 1
