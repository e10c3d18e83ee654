"""A method is added by its own package alone, as docs/adding-a-method.md says: page, navigation, address, form, view,
export and job line are found, in the app and on the default model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from analysis.models.default import prepare_default

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = r"""
import json, sys
from app import Settings, create_app
from analysis.engine.client import Client
from analysis.engine.supervisor import Supervisor
from analysis.models.spec import ModelSpec
from analysis.view_ref import ViewRef

supervisor = Supervisor(preload=[], threads=1)
supervisor.start()
try:
    app = create_app(Settings())
    browser = app.server.test_client()
    browser.get("/norms")
    from components.frame.shell import job_rows
    from components.kit.view import VIEWS
    from pages import cards, state
    from pages.registry import pages
    from tests.small_method.page import NormState, layout

    def texts(component):
        return json.dumps(component.to_plotly_json(), default=lambda c: c.to_plotly_json())

    def press(**values):
        outputs = next(k for k in app.callback_map if "norms-error.children" in k)
        spec = app.callback_map[outputs]
        given = {"norms-go": 1, "norms-text": "One small text", "norms-most": 2, "norms-order": "norm", "model": None,
                 "theme": "light", "session": "s", **values}
        def entry(d):
            return {**d, "value": given[d["id"]]}
        outs = [dict(zip(("id", "property"), o.rsplit(".", 1))) for o in outputs.strip(".").split("...")]
        for o in outs:
            o["property"] = o["property"].partition("@")[0]
            if o["id"].startswith("{"):
                o["id"] = json.loads(o["id"])
        body = {"output": outputs, "outputs": outs, "inputs": [entry(d) for d in spec["inputs"]],
                "state": [entry(d) for d in spec["state"]], "changedPropIds": ["norms-go.n_clicks"]}
        answer = browser.post("/_dash-update-component", json=body, headers={"Sec-Fetch-Site": "same-origin"})
        assert answer.status_code == 200, answer.get_data(as_text=True)[:500]
        return answer.get_json()["response"]

    shown = press()
    ref = shown['{"settings":"norms-bars"}']["data"]
    again = cards.render(ViewRef.from_dict(json.loads(json.dumps(ref))), "light")
    from plotly.utils import PlotlyJSONEncoder
    same = json.loads(json.dumps(again.figure, cls=PlotlyJSONEncoder)) == shown["norms-bars"]["figure"]
    refused = press(**{"norms-most": 300})
    page = layout(**state.write(NormState(text="Other words", most=3, order="norm")))
    jobs = Client().jobs()
    print(json.dumps({
        "navigation": [p.path for p in pages()],
        "shell": texts(app.layout()),
        "page": texts(page),
        "ref": ref,
        "caption": shown["norms-bars-caption"]["children"],
        "same": same,
        "refused": json.dumps(refused["norms-error"]["children"]),
        "kept": "norms-bars" not in refused,
        "jobs": [[j.title, j.state, j.link] for j in jobs],
        "row": texts(job_rows(jobs, "s")[0]),
        "view": "norms/bars" in VIEWS,
        "torch": "torch" in sys.modules,
    }))
finally:
    supervisor.stop()
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the app shows of the small method, in an interpreter of its own."""
    home = tmp_path_factory.mktemp("home")
    (home / "models").symlink_to(prepare_default().parent)
    more = {
        "ATTUNE_HOME": str(home),
        "ATTUNE_EXTRA_OPERATIONS": "tests.small_method.ops",
        "ATTUNE_EXTRA_PAGES": "tests.small_method.page",
    }
    command = [sys.executable, "-c", SCRIPT]
    run = subprocess.run(command, cwd=ROOT, env={**os.environ, **more}, capture_output=True, text=True, timeout=240)
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


def test_its_page_is_found_and_stands_in_the_navigation(seen: Any) -> None:
    assert seen["navigation"][-1] == "/norms" and {"/attention", "/model"} < set(seen["navigation"])
    assert "nav-norms" in seen["shell"] and "Norms" in seen["shell"]
    assert not seen["torch"]


def test_its_form_and_address_follow_from_its_fields(seen: Any) -> None:
    page = seen["page"]
    assert "Other words" in page and '"value": 3' in page and "longest first" in page and '"maxLength": 2000' in page
    assert "The number of tokens must be a whole number from 1 to 100, not 300." in seen["refused"] and seen["kept"]


def test_its_figure_stands_on_a_card_that_can_be_drawn_again_and_exported(seen: Any) -> None:
    assert seen["view"] and seen["same"] and seen["caption"] == "2 tokens."
    (question,) = seen["ref"]["questions"]
    assert question["operation"] == "MeasureNorms" and question["params"]["most"] == 2 and len(question["key"]) == 64
    assert seen["ref"]["options"] == {"order": "norm"}
    assert '"data-export": "norms-bars"' in seen["page"]


def test_its_job_stands_in_the_tray_and_leads_back(seen: Any) -> None:
    assert ["Measure norms of embeddings", "done", "/norms"] in seen["jobs"]
    assert "Open the result" in seen["row"] and "/norms" in seen["row"]
