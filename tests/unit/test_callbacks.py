"""Every callback names components that a page really has; pages and frame are taken together, as the browser does.

The app is built in a fresh interpreter: Dash takes the callbacks of the pages once, at their first import, so a second
app in this process would have none of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pages.controls import CONTROLS

SCRIPT = """
import json
from app import create_app
from analysis.qk.contrasts import CONTRAST_KINDS
from analysis.qk.contrasts.spec import ContrastSpec
from components.qk.contrast_form import contrast_form
from components.qk.heads import HeadScore
from analysis.status import JobRow
from components.frame.shell import job_rows, shell

app = create_app()
assert app.server.test_client().get("/attention").status_code == 200
app._setup_server()
from pages.frame import linked
from pages.attention import features, heads, steered
from pages.registry import pages
from components.mfa.card import region_effects
from components.mfa.sliders import region_sliders, usual_zone
from analysis.mfa.answers.regions import Effects, Factor, RegionFacts
import numpy as np

def ids(component):
    here = [getattr(component, "id", None)] if hasattr(component, "id") else []
    inner = component._traverse() if hasattr(component, "_traverse") else []
    return [i for i in [*here, *(getattr(c, "id", None) for c in inner)] if i]

def tabs(component):
    # each tab of a page, and the one that is open when the address names it
    def parts(c):
        return [x for x in c._traverse() if type(x).__name__ == "Tabs"]
    names = [t.tab_id for part in parts(component()) for t in part.children]
    return [[name, [part.active_tab for part in parts(component(tab=name))]] for name in names]

frame = shell([(page.name, page.path) for page in pages()], {})
layouts = {page.path: page.layout() for page in pages()}
job = JobRow("1", "Op", "t", "", "", "running", 0.5)
made = [linked.stand_in({"othello": "./x.pth"}, "/othello"),
        features._chip(0, ContrastSpec("induction"), True),
        *heads.best_heads(HeadScore(np.zeros((2, 2)), "s", False), None)[1:],
        *steered.head_buttons([(0, 0, 0.5)], None),
        region_sliders(RegionFacts(1, "l", "", {}, "", (), (), (Factor(1.0, 1.0, "a", "b", "", "", (), ()),), ()),
                       0.5, (), usual_zone("add")), region_effects(Effects((), ())),
        *job_rows([job], ""), *[contrast_form(kind) for kind in CONTRAST_KINDS]]
from components.kit.card import CARDS, PANELS

def pins(component):
    # the names of the cards with a button Pin
    return [c.to_plotly_json()["props"].get("data-pin") for c in component._traverse() if type(c).__name__ == "Button"]

print(json.dumps({
    "panels": list(PANELS),
    "cards": list(CARDS),
    "pins": [name for part in (frame, *layouts.values(), *made) for name in pins(part) if name],
    "fixed": [i for part in (frame, *layouts.values()) for i in ids(part)],
    "pages": {name: ids(layout) for name, layout in layouts.items()},
    "tabs": {page.path: [page.tabs, tabs(page.layout)] for page in pages()},
    "made": [i for part in made for i in ids(part)],
    "listed": app.server.test_client().get("/_dash-dependencies").get_json(),
    "callbacks": [{"inputs": c["inputs"], "state": c["state"], "output": o} for o, c in app.callback_map.items()],
}))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        cwd=Path(__file__).resolve().parents[2],
        env={"ATTUNE_HOME": str(tmp_path_factory.mktemp("home")), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _outputs(name: str) -> list[str]:
    """The ids in Dash's name of a callback: ``..a.children...b.data@hash..``, or one ``a.children`` alone."""
    several = name[2:-2].split("...") if name.startswith("..") else [name]
    return [part.replace("\\.", "\0").rpartition(".")[0].replace("\0", ".") for part in several]


def test_there_are_callbacks_to_look_at(found: dict) -> None:
    assert len(found["callbacks"]) >= 40 and len(found["fixed"]) > 100


def test_every_id_of_every_callback_is_on_a_page(found: dict) -> None:
    plain = {i for i in found["fixed"] + found["made"] if isinstance(i, str)}
    # The rest is made by a page that has something loaded: models in memory, tokens of a text, kept presets.
    kinds = {tuple(sorted(i)) for i in found["fixed"] + found["made"] if isinstance(i, dict)} | {
        ("use",),
        ("part",),
        ("preset-use",),
        ("preset-delete",),
        ("vector",),
        ("ask-token",),
        ("pair-heads",),
        ("look-here",),
        ("patch-here",),
    }
    unknown = []
    for callback in found["callbacks"]:
        for name in [d["id"] for d in callback["inputs"] + callback["state"]] + _outputs(callback["output"]):
            known = tuple(sorted(json.loads(name))) in kinds if name.startswith("{") else name in plain
            if not (known or name.startswith("_pages_")):
                unknown.append((name, callback["output"][:80]))
    assert not unknown, unknown


def test_pages_have_no_id_in_common(found: dict) -> None:
    """Dash runs a callback on any page that has its outputs, so an id of two pages mixes their callbacks."""
    seen: dict[str, str] = {}
    for name, ids in found["pages"].items():
        for one in {json.dumps(i, sort_keys=True) for i in ids}:
            assert one not in seen, f"{one} is on the pages {seen[one]} and {name}"
            seen[one] = name


def test_every_figure_that_can_be_exported_comes_with_its_settings(found: dict) -> None:
    stores = {i["settings"] for i in found["fixed"] + found["made"] if isinstance(i, dict) and "settings" in i}
    cards = stores - set(found["panels"])  # these have no graph
    assert len(cards) > 60
    made = [({o.partition("@")[0] for o in c["output"].strip(".").split("...")}, c) for c in found["callbacks"]]
    bare = set(cards)
    for outputs, callback in made:
        # Drawn on the server, or in the browser from a store that the server wrote together with the settings.
        sources = {f"{i['id']}.{i['property']}" for i in callback["inputs"]}
        for card in cards:
            name = f'{{"settings":"{card}"}}.data'
            again = f'{{"settings":"{card}"}}' in {s["id"] for s in callback["state"]}  # drawn from its own settings
            drawn = f"{card}.figure" in outputs and not again
            if drawn and (name in outputs or any(name in o and sources & o for o, _ in made)):
                bare.discard(card)
            elif drawn:
                bare.add(f"{card}: {callback['output'][:80]}")
    assert bare == set()


def test_every_card_and_panel_has_a_pin_and_holds_what_it_shows(found: dict) -> None:
    """Pin takes the ViewRef from the card's store: each has the button, and some callback writes that store."""
    names = [*found["cards"], *found["panels"]]
    assert sorted(found["pins"]) == sorted(names) and len(names) > 60
    written = {name for callback in found["callbacks"] for name in _outputs(callback["output"])}
    assert [name for name in names if f'{{"settings":"{name}"}}' not in written] == []


def test_the_controls_that_refusals_mark_are_on_one_page(found: dict) -> None:
    pages = {name: {i if isinstance(i, str) else json.dumps(i, separators=(",", ":")) for i in ids}
             for name, ids in found["pages"].items()}  # fmt: skip
    pages["/attention"] |= {i if isinstance(i, str) else json.dumps(i, separators=(",", ":")) for i in found["made"]}
    for operation, table in CONTROLS.items():
        controls = {control for control in table.values() if control is not None}
        assert any(controls <= ids for ids in pages.values()), (operation, controls)


def test_every_tab_of_every_page_can_be_linked(found: dict) -> None:
    opened = [(page, name, active) for page, (_, rows) in found["tabs"].items() for name, active in rows]
    assert len(opened) > 30
    assert [page for page, (declared, rows) in found["tabs"].items() if declared != [name for name, _ in rows]] == []
    assert [row for row in opened if row[2] != [row[1]]] == []


def test_what_was_said_of_computing_an_item_goes_with_it(found: dict) -> None:
    clears = [c for c in found["listed"] if c["output"].startswith("fth-full-error.children@")]
    assert [[i["id"] for i in c["inputs"]] for c in clears] == [["fth-item"]]


def test_the_numbers_of_an_item_are_dimmed_while_they_are_computed(found: dict) -> None:
    (anew,) = [c for c in found["listed"] if c["output"].startswith("..fth-full.data")]
    assert "fth-numbers-card" in json.dumps(anew["running"]["running"])
    assert "fth-numbers-card" in found["pages"]["/faithfulness"]
