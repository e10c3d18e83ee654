"""Behind a proxy that serves the app under a prefix, every address that the browser is given carries it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from components.frame.shell import job_rows
from components.kit.links import local

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "/lab/user/proxy/8050/"
# An app of its own, as the variable is read when Dash is imported.
LOOK = """
import json
import dash
from app import create_app
from analysis.status import JobRow
from components.frame.shell import job_rows
app = create_app()
client = app.server.test_client()
base = "http://127.0.0.1:8050"
job = JobRow("1", "Op", "t", "/steering?tab=region", "s", "done", 1)
home = next(page for page in dash.page_registry.values() if page["path"] == "/")["layout"]()
whole = {"home": json.dumps(home.to_plotly_json(), default=lambda part: part.to_plotly_json()),
         "page": client.get("/attention", base_url=base).get_data(as_text=True),
         "frame": json.dumps(app.layout().to_plotly_json(), default=lambda part: part.to_plotly_json()),
         "job": json.dumps(job_rows([job], "s")[-1].to_plotly_json(), default=lambda part: part.to_plotly_json())}
print(json.dumps(whole))
"""


def test_every_path_in_the_page_and_its_frame_carries_the_prefix(tmp_path):
    environment = {**os.environ, "DASH_REQUESTS_PATHNAME_PREFIX": PREFIX, "ATTUNE_HOME": str(tmp_path)}
    run = subprocess.run([sys.executable, "-c", LOOK], cwd=ROOT, env=environment, capture_output=True, timeout=300)
    whole = json.loads(run.stdout.decode().splitlines()[-1])
    paths = re.findall(r'(?:src|href)="(/[^"]*)"', whole["page"]) + re.findall(
        r'"href": "(/[^"]*)"', whole["frame"] + whole["home"]
    )
    assert len(paths) > 20 and all(path.startswith(PREFIX) for path in paths)
    assert re.findall(r'"href": "([^"]*)"', whole["job"]) == [PREFIX + "steering?tab=region"]


def test_without_a_prefix_a_path_is_as_it_is():
    assert local("/steering?tab=region") == "/steering?tab=region"
    assert job_rows([], "s")


def test_no_script_asks_for_a_path_without_the_prefix():
    for script in (ROOT / "assets").rglob("*.js"):
        assert not re.findall(r"""fetch\(\s*["'`]/""", script.read_text(encoding="utf-8")), script.name
