"""Pages are declared once: what a package declares is found, registered, guarded, navigated to and judged by needs."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from analysis.models.capabilities import capability
from analysis.models.model_facts import ModelFacts
from pages.registry import pages

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("analysis/token_card", "components", "pages")

EXTRA = """
from dash import html
from pages.manifest import PageManifest

MANIFEST = PageManifest("Guests", "/guests", order=25, layout=lambda **query: html.P("at the guests'", id="guests"),
                        needs="residual stream")
"""


def no_attention() -> ModelFacts:
    """Facts of a model whose attention cannot be recorded."""
    sizes = {"parameters": 1, "layers": 2, "heads": 4, "key_heads": 4, "head_width": 4, "hidden": 8, "vocabulary": 9}
    lists = {n: [] for n in ("sliding_windows", "attention_layers", "missing_layers", "other_layers")}
    return ModelFacts("m", "m", "gpt2", "GPT2", **sizes, max_positions=9, dtype="float32", device="cpu",
                      chat_template=False, softcap=None, **lists, recording_error=None, probe_tokens=3,
                      fingerprint="f", seconds_per_token=0.1)  # type: ignore[arg-type]  # fmt: skip


LOOK = """
import json
from app import create_app
import dash
from analysis.models.spec import ModelSpec
from analysis.status import Resident, WorkerStatus
from tests.unit.test_pages import no_attention
from pages.model import page as model

class Worker:
    def status(self):
        return WorkerStatus("ready", 1, "", (Resident(ModelSpec("m"), no_attention(), False),))

app = create_app()
browser = app.server.test_client()
browser.get("/attention")
def ask(search):
    output = "..%s.children...%s.data.." % ("_pages_content", "_pages_store")
    body = {"output": output, "outputs": [{"id": "_pages_content", "property": "children"},
            {"id": "_pages_store", "property": "data"}], "changedPropIds": ["_pages_location.pathname"],
            "inputs": [{"id": "_pages_location", "property": "pathname", "value": "/guests"},
                       {"id": "_pages_location", "property": "search", "value": search}]}
    return browser.post("/_dash-update-component", json=body).get_json()["response"]
model.client = lambda: Worker()
(card,), _, _ = model.show_residents(0, None, None)
navigation = [c for c in browser.get("/_dash-dependencies").get_json() if "..nav-attention.href" in c["output"]]
print(json.dumps({
    "layout": json.dumps(browser.get("/_dash-layout").get_json()),
    "page": ask(""), "held": ask('?model={"source": "owner/other"}'),
    "outputs": [c["output"] for c in navigation],
    "card": json.dumps(card.to_plotly_json(), default=lambda c: c.to_plotly_json()),
}))
"""


def test_a_page_of_another_package_is_a_page_like_all_others(tmp_path: Path) -> None:
    (tmp_path / "guests.py").write_text(EXTRA, encoding="utf-8")
    more = {"ATTUNE_HOME": str(tmp_path / "home"), "ATTUNE_EXTRA_PAGES": "guests", "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=ROOT, env={"PATH": os.environ["PATH"], **more}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout.splitlines()[-1])
    links = re.findall(r'"children": "([^"]*)", "id": "nav-([a-z-]*)"', answers["layout"])
    usual = [(page.name, page.path[1:]) for page in pages() if page.navigation]
    assert links == [*usual[:2], ("Guests", "guests"), *usual[2:]]
    assert '"data": ["/attention", "/steering", "/guests", "/othello"' in answers["layout"]
    (outputs,) = answers["outputs"]
    assert outputs.startswith(
        "..nav-attention.href...nav-attention.active...nav-steering.href...nav-steering.active..."
    )
    assert "...nav-guests.href...nav-guests.active...nav-othello.href..." in outputs
    assert answers["page"]["_pages_content"]["children"]["props"]["id"] == "guests"
    assert answers["page"]["_pages_store"]["data"]["title"] == "Guests · Attune"
    assert answers["held"]["_pages_content"]["children"]["props"]["id"] == "linked"  # a link loads nothing unasked
    works = re.findall(r'"children": "([\w ]+): (works|does not work)[,.] ', answers["card"])
    assert works == [
        ("Attention", "does not work"),
        ("Steering", "works"),
        ("Guests", "works"),
        *[(page.name, "works") for page in pages() if page.path in ("/othello", "/neurons", "/mlp-features")],
        ("Faithfulness", "works"),
        ("Validation", "does not work"),
    ]


def test_a_module_that_is_named_as_a_page_must_hold_a_manifest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATTUNE_EXTRA_PAGES", " pages.address ,")
    with pytest.raises(ValueError, match=r"pages\.address is named as a page"):
        pages()


def test_every_package_with_a_layout_is_a_page_and_only_the_registry_registers() -> None:
    files = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in ROOT.glob("pages/**/*.py")}
    layouts = {name for name, text in files.items() if re.search(r"^def layout\(", text, re.MULTILINE)}
    assert len(layouts) >= 8 and {page.layout.__module__.replace(".", "/") + ".py" for page in pages()} == layouts
    assert [name for name, text in files.items() if "register_page(" in text] == ["pages/registry.py"]


def test_what_manifests_say_fits_together() -> None:
    found = pages()
    for values in ([page.path for page in found], [page.name for page in found], [page.order for page in found]):
        assert len(set(values)) == len(values)
    facts = no_attention()
    for page in found:
        assert re.fullmatch(r"/([a-z][a-z-]*(/[a-z-]+)?)?", page.path)
        assert (page.state is None) == (page.read_address is None)
        assert not page.navigation or re.fullmatch(r"[A-Z].{20,90}\?", page.question), page.name
        if page.needs is not None:
            assert capability(page.needs, facts).reason.endswith(".")
        if page.read_address is None or page.state is None:
            assert not page.address and not page.tabs
            continue
        assert is_dataclass(page.state) and page.read_address({}) == page.state(**vars(page.read_address({})))
        assert len(set(page.address)) == len(page.address) and ("tab" in page.address or not page.tabs)
        for tab in page.tabs:
            assert page.read_address({"tab": tab}).tab == tab


def test_every_link_in_the_code_leads_to_a_page(client: FlaskClient) -> None:
    """To a page, or to a route beside them: modules write those in parts."""
    linked = {(name, path.partition("?")[0]) for name, path in _paths()}
    assert len(linked) > 12
    rules = [f"{rule.rule}/" for rule in client.application.url_map.iter_rules()]
    known = {page.path for page in pages()} | {path for _, path in linked if any(f"{path}/" in rule for rule in rules)}
    assert {(name, path) for name, path in linked if path not in known} == set()


def _paths() -> Iterator[tuple[str, str]]:
    """Each string in the product that is a path of this app, perhaps with a query, with the file that it stands in."""
    for room in ROOMS:
        for file in (ROOT / room).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Constant) and re.fullmatch(r"/[a-z][a-z-]+(/[a-z]+)?(\?.*)?", str(node.value)):
                    yield file.relative_to(ROOT).as_posix(), node.value


def test_the_law_on_pages_spares_none_of_them() -> None:
    laws = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
    (law,) = [law for law in laws if law.get("modules") == ["pages.*"]]
    packages = {page.layout.__module__.removesuffix(".page") for page in pages()}
    spared = [line for line in law["ignore_imports"] if ".".join(line.split()[-1].split(".")[:2]) in packages]
    assert spared == ["pages.frame.token_card -> pages.attention.state"]
