"""The grid on which a pattern is drawn (assets/drawn.js), run without a browser."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from playwright._impl._driver import compute_driver_executable

SCRIPT = Path(__file__).resolve().parents[2] / "assets" / "drawn.js"
AROUND = """
const made = {}, saved = [], none = () => "none", nodes = {};
const ink = new Proxy({}, { get: () => () => 0, set: () => true });
for (const id of ["drawn-canvas", "drawn-at", "drawn-long"]) nodes[id] = { getContext: () => ink };
globalThis.getComputedStyle = () => ({ getPropertyValue: () => "", color: "" });
globalThis.window = { devicePixelRatio: 1, dash_clientside: {
  attune_kit: { set: (id, props) => saved.push([id, props.value]),
    byId: (id) => nodes[id], none, save: (id, data) => saved.push([id, data]),
    register: (_name, all) => Object.assign(made, all) } } };
"""
STEPS = """
const of = (n) => ({ labels: Array.from({ length: n }, (_, i) => "t" + i) });
const press = (key) => nodes["drawn-canvas"].onkeydown({ key, preventDefault: () => 0 });
const out = {};
made.drawing(of(5), []);
press("ArrowDown"); press("ArrowDown"); press(" ");
out.first = saved.splice(0);
made.drawing(of(5), out.first[1][1]);
press("ArrowDown"); press(" ");
out.second = saved.splice(0);
made.drawing(of(6), []);
press(" ");
out.anew = saved.splice(0);
out.column = made.pattern("column", of(5), 1, []);
out.other_key = made.pattern("column", of(5), 3, out.column);
out.longer = made.pattern("column", of(6), 3, out.other_key);
out.same = made.pattern("column", of(6), 3, out.longer);
out.painted = made.pattern(null, of(6), 3, [[1, 1]]);
out.moved = made.pattern(null, of(7), 3, [[1, 1]]);
console.log(JSON.stringify(out));
"""


def test_painting_keeps_its_place_and_a_named_pattern_stays_what_its_name_says() -> None:
    node = compute_driver_executable()[0]
    run = [str(node), "-e", AROUND + SCRIPT.read_text(encoding="utf-8") + STEPS]
    out = json.loads(subprocess.run(run, capture_output=True, text=True, check=True, timeout=30).stdout)
    assert out["first"] == [["drawn-named", None], ["drawn-cells", [[2, 0]]]]  # no longer a pattern of the list
    assert out["second"][-1] == ["drawn-cells", [[2, 0], [3, 0]]]  # from where the keyboard was
    assert out["anew"][-1] == ["drawn-cells", [[0, 0]]]  # another prompt begins at its first token
    assert out["column"] == [[2, 1], [3, 1], [4, 1]] and out["other_key"] == [[4, 3]]
    assert out["longer"] == [[4, 3], [5, 3]] and out["same"] == "none"
    assert out["painted"] == "none" and out["moved"] == []
