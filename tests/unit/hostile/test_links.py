"""A link loads nothing unasked: every page is behind its address, and only what is there may be named."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pages.frame import linked
from pages.registry import pages

PATHS = [page.path for page in pages()]

SCRIPT = """
import json, sys
from urllib.parse import urlencode
from app import create_app, Settings
from analysis.models.spec import ModelSpec
from analysis.status import Resident, WorkerStatus
from pages import common
from pages.frame import linked

class Worker:  # stands for a running worker; what a page asks of it beside its status is an error
    def status(self):
        return WorkerStatus("ready", 1, "", (Resident(ModelSpec("owner/there"), None, False),))
    def jobs(self):
        return []

linked.client = lambda: Worker()
app = create_app(Settings(model=ModelSpec("owner/first")))
app._setup_server()
browser = app.server.test_client()
browser.get("/attention")
answers = {}
for path, query in json.loads(sys.stdin.read()):
    output = "..%s.children...%s.data.." % ("_pages_content", "_pages_store")
    body = {"output": output, "outputs": [{"id": "_pages_content", "property": "children"},
            {"id": "_pages_store", "property": "data"}], "changedPropIds": ["_pages_location.pathname"],
            "inputs": [{"id": "_pages_location", "property": "pathname", "value": path},
                       {"id": "_pages_location", "property": "search", "value": "?" + urlencode(query)}]}
    answer = browser.post("/_dash-update-component", json=body)
    answers[path + json.dumps(query)] = answer.get_data(as_text=True)
print("\\n" + json.dumps(answers))
"""


def _named(source: str, **more: str) -> dict[str, str]:
    return {"model": json.dumps({"source": source, **more})}


HELD = [_named("owner/other"), _named("/somewhere/model"), _named("default", dtype="bfloat16"), _named("./x.gguf"),
        {"othello": "/somewhere/model.pth"}, {"othello": "owner/othello"}]  # fmt: skip
OPEN = [{}, _named("default"), _named("othello"), _named("owner/there"), _named("owner/first"), {"othello": "bundled"},
        {"model": "["}, _named("//host/share"), {"othello": "default"}]  # fmt: skip


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each page answers to each address, from an app in an interpreter of its own."""
    asked = [(path, query) for path in PATHS for query in (*HELD, *OPEN)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps(asked), capture_output=True, text=True, check=False,
        cwd=Path(__file__).resolve().parents[3],
        env={"ATTUNE_HOME": str(tmp_path_factory.mktemp("home")), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", HELD, ids=str)
def test_a_model_that_is_not_there_is_named_with_a_button(
    path: str, query: dict[str, str], answers: dict[str, str]
) -> None:
    answer = answers[path + json.dumps(query)]
    assert '"linked-load"' in answer and "not loaded" in answer
    assert not any(f'"id":"{name}"' in answer for name in ("read", "start-steer", "nrn-start", "mlp-start", "oth-game"))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("query", OPEN, ids=str)
def test_what_is_there_opens_and_what_is_no_model_is_for_the_page_to_say(
    path: str, query: dict[str, str], answers: dict[str, str]
) -> None:
    answer = answers[path + json.dumps(query)]
    assert '"linked-load"' not in answer and "attune-page" in answer


def test_a_checkpoint_that_someone_opened_may_be_linked_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linked, "_opened", {})
    query: dict[str, Any] = {"othello": "/somewhere/model.pth", "ply": "3"}
    card = linked.stand_in(query, "/othello")
    assert card is not None and "/othello?ply=3" in str(card)
    linked.opened("/somewhere/model.pth")
    assert linked.stand_in(query, "/othello") is None
