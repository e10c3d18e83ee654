"""Presses, as one who may only look, whatever the app listens to: each callback is asked as a browser asks it, with
what stands in the pages, and with its first inputs one by one as what has changed. Prints what came of it as JSON; to
be run in an interpreter of its own, since Dash takes the callbacks of the pages once.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from multiprocessing.connection import Listener
from typing import Any

from plotly.utils import PlotlyJSONEncoder

from analysis.engine.jobs import JobBook
from analysis.engine.residents import Residents
from analysis.engine.scheduler import Scheduler
from analysis.engine.store import ResultStore
from analysis.engine.supervisor import whereabouts
from analysis.engine.worker import Server
from analysis.home import home
from app import Settings, create_app
from pages.frame.access import Door, Tokens
from pages.registry import pages

HOST = "http://127.0.0.1:8050"
CHANGES = 3
"""Of a callback with many inputs, so many are pressed: its function is the same for all."""
LONG = 120.0
"""Seconds after which nobody answers any more."""


def desk() -> Scheduler:
    """What takes questions in and answers none of those that compute: nothing may come to wait here."""
    scheduler = Scheduler(JobBook(home() / "jobs.json"), ResultStore(home() / "results"), Residents())
    key, listener = secrets.token_bytes(16), Listener(str(home() / "w.sock"))
    server = Server(scheduler, key)

    def accept() -> None:
        while True:
            threading.Thread(target=server.serve, args=(listener.accept(),), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    whereabouts(home()).write_text(json.dumps({"address": listener.address, "authkey": key.hex(), "pid": 1}))
    return scheduler


def components(tree: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The ids of a layout, and the properties beside them."""
    if isinstance(tree, list):
        for part in tree:
            yield from components(part)
    elif isinstance(tree, dict):
        properties = tree.get("props", {})
        if "id" in properties:
            yield properties["id"], properties
        for value in properties.values():
            yield from components(value)


class Browser:
    """What a browser would send: ``values``, what stands in the pages by id."""

    def __init__(self, values: dict[str, dict[str, Any]]) -> None:
        self.values = values

    def entry(self, part: dict[str, Any], *, changed: bool = False) -> Any:
        """One input or state as it is sent; those of several components as a list."""
        ids = json.loads(part["id"]) if part["id"].startswith("{") else part["id"]
        if isinstance(ids, str):
            return self._one(ids, part["property"], changed)
        several = any(value in (["ALL"], ["ALLSMALLER"]) for value in ids.values())
        alike = [json.loads(key) for key in self.values if key.startswith("{")]
        fits = [
            i for i in alike if all(isinstance(v, list) or i.get(k) == v for k, v in ids.items()) and len(i) == len(ids)
        ]
        fits = fits or [{k: 0 if isinstance(v, list) else v for k, v in ids.items()}]
        sent = [self._one(i, part["property"], changed) for i in fits]
        return sent if several else sent[0]

    def _one(self, name: Any, prop: str, changed: bool) -> dict[str, Any]:
        value = self.values.get(_key(name), {}).get(prop)
        if changed and prop.startswith("n_"):
            value = 1
        elif value is None and prop == "value":
            value = "word"
        return {"id": name, "property": prop, "value": value}


def _key(name: Any) -> str:
    return name if isinstance(name, str) else json.dumps(name, sort_keys=True, separators=(",", ":"))


def outputs(text: str) -> Any:
    """The outputs that an answer may have, as a browser names them."""
    several = text.startswith("..")
    made = []
    for name in text.strip(".").split("...") if several else [text]:
        ident, _, prop = name.rpartition(".")
        ids: Any = json.loads(ident) if ident.startswith("{") else ident
        if isinstance(ids, dict):
            many = any(value == ["ALL"] for value in ids.values())
            ids = {k: 0 if isinstance(v, list) else v for k, v in ids.items()}
            made.append([{"id": ids, "property": prop.split("@")[0]}] if many else {"id": ids, "property": prop})
        else:
            made.append({"id": ids, "property": prop.split("@")[0]})
    return made if several else made[0]


def contents() -> dict[str, bytes]:
    """All files of the data folder but the cache of answers, which reading opens, too."""
    files = (path for path in home().rglob("*") if path.is_file())
    return {
        name: path.read_bytes() for path in files if not (name := str(path.relative_to(home()))).startswith("callbacks")
    }


def main() -> None:
    """Press everything."""
    tokens = Tokens("f" * 64, "l" * 64, "o" * 64)
    app, scheduler = create_app(Settings(tokens=tokens)), desk()
    client, door = app.server.test_client(), Door(tokens, app.server.secret_key)
    client.set_cookie(door.cookie, door.sign("look", "1" * 16), domain="127.0.0.1")
    logged: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("attune.web").addHandler(handler)
    values: dict[str, dict[str, Any]] = {}
    trees = [page.layout() for page in pages()]
    for tree in [
        client.get("/_dash-layout", base_url=HOST).get_json(),
        *json.loads(json.dumps(trees, cls=PlotlyJSONEncoder)),
    ]:
        values.update((_key(name), properties) for name, properties in components(tree))
    browser, before = Browser(values), contents()
    codes: Counter[int] = Counter()
    told, waiting = 0, []

    def press(body: dict[str, Any]) -> None:
        nonlocal told
        answer = client.post("/_dash-update-component", base_url=HOST, json=body)
        codes[answer.status_code] += 1
        told += bool(re.search("You may look|may not load", answer.text))

    listed = [c for c in client.get("/_dash-dependencies", base_url=HOST).get_json() if not c["clientside_function"]]
    for callback in listed:
        for changed in callback["inputs"][:CHANGES]:
            first = browser.entry(changed)
            first = first[0] if isinstance(first, list) else first
            body = {
                "output": callback["output"],
                "outputs": outputs(callback["output"]),
                "inputs": [browser.entry(part, changed=part is changed) for part in callback["inputs"]],
                "changedPropIds": [f"{_key(first['id'])}.{changed['property']}"],
                "state": [browser.entry(part) for part in callback["state"]],
            }
            asked = threading.Thread(target=press, args=(body,), daemon=True)
            asked.start()
            asked.join(LONG)
            if asked.is_alive() or any(scheduler.waiting()):
                waiting.append(callback["output"])
    after = contents()
    json.dump(
        {
            "callbacks": len(listed), "codes": codes, "told": told, "waiting": waiting,
            "jobs": len(scheduler.book.records()),
            "files": sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name)),
            "logged": sum(line.startswith("refused in words") for line in logged),
        },
        sys.stdout,
    )  # fmt: skip


if __name__ == "__main__":
    main()
