"""kit.js: what every script builds on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Page

from components.kit.cells import pack_cells

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
EVIL = "<img src=x onerror=\"alert('no')\">"
# A POST that answers in pieces, which need not end where lines end; the page sees `asked` and can end the answer.
SERVER = """
window.asked = [];
window.fetch = async (path, options) => {
  asked.push([path, JSON.parse(options.body)]);
  const text = new TextEncoder();
  return new Response(new ReadableStream({ start(out) {
    window.answer = (piece) => out.enqueue(text.encode(piece));
    window.end = () => out.close();
    if (options.signal) options.signal.addEventListener("abort", () => out.error(new DOMException("", "AbortError")));
  } }), { status: window.status || 200 });
};
"""


def test_elements_take_text_only_as_text(scripted: Scripted) -> None:
    page = scripted()
    told = page.evaluate(
        """(evil) => {
        const { element, grown } = dash_clientside.attune_kit;
        const made = element("p", { title: evil, id: null, style: { "--shade": 0.5 } }, evil, 3, null, [[evil]]);
        const tree = grown({ t: "div", a: { "data-x": evil }, s: { color: "red" }, c: [evil, { t: "b" }] });
        document.body.append(made, tree);
        return [made.outerHTML.includes("<img"), made.textContent, made.children.length, made.title,
          made.hasAttribute("id"), made.style.getPropertyValue("--shade"), document.querySelectorAll("img").length,
          tree.querySelector("b").previousSibling.textContent, tree.style.color];
        }""",
        EVIL,
    )
    assert told == [False, EVIL + "3" + EVIL, 0, EVIL, False, "0.5", 0, EVIL, "red"]


def test_text_is_escaped_for_figures_and_cut(scripted: Scripted) -> None:
    kit = "dash_clientside.attune_kit"
    page = scripted()
    assert page.evaluate(f"{kit}.escape('a & <b>')") == "a &amp; &lt;b&gt;"
    assert page.evaluate(f"[{kit}.short('abcdef', 4), {kit}.short('abcd', 4)]") == ["abc…", "abcd"]


LIST = """
const { element, list } = dash_clientside.attune_kit, host = document.querySelector("#host");
host.style.cssText = "height: 100px; overflow-y: auto";
const row = (n, current) => element("button", { style: { display: "block", height: "30px" }, "data-n": n,
  "aria-current": n === current ? "true" : "false" }, "row " + n);
const draw = (current) => list(host, Array.from({ length: 40 }, (_, n) => row(n, current)), (r) => r && r.dataset.n);
"""


def test_a_list_that_is_drawn_anew_keeps_scroll_and_focus_and_shows_what_was_opened(scripted: Scripted) -> None:
    page = scripted("<div id='host'></div>")
    told = page.evaluate(
        "() => {"
        + LIST
        + """
        draw(0); host.children[20].focus(); host.scrollTop = 500; draw(0);
        const told = [host.scrollTop, document.activeElement.dataset.n];
        draw(39); told.push(host.scrollTop > 1000, document.activeElement.dataset.n);
        host.scrollTop = 0; draw(39); told.push(host.scrollTop);
        return told; }"""
    )
    assert told == [500, "20", True, "20", 0]


def test_keys_walk_through_a_list_and_stop_at_its_ends(scripted: Scripted) -> None:
    page = scripted("<div class='list'><button>a</button><button>b</button><button>c</button></div>")
    page.evaluate("() => dash_clientside.attune_kit.walk('.list', 'button')")
    page.focus("button")
    focused = []
    for key in ("ArrowUp", "ArrowDown", "ArrowDown", "ArrowDown", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
        focused.append(page.evaluate("document.activeElement.textContent"))
    assert focused == ["a", "b", "c", "c", "c", "b"]


def test_one_listener_hears_presses_inside_what_it_names(scripted: Scripted) -> None:
    page = scripted("<button data-x='1'><b>in</b></button><p>out</p>")
    page.evaluate("() => dash_clientside.attune_kit.on('click', '[data-x]', (e) => { window.heard = e.dataset.x; })")
    page.click("p")
    assert page.evaluate("window.heard") is None
    page.click("b")
    assert page.evaluate("window.heard") == "1"


def test_stores_are_saved_and_read_and_no_two_turns_are_alike(scripted: Scripted) -> None:
    told = scripted().evaluate(
        """() => { const kit = dash_clientside.attune_kit;
        kit.save("a", { x: 1 }); kit.set("b", { disabled: true });
        return [put, kit.read("a", "data"), kit.read("none", "data") === undefined, kit.turn() === kit.turn(),
          kit.same({ x: [1] }, { x: [1] }), kit.same(1, "1")]; }"""
    )
    assert told == [[["a", {"data": {"x": 1}}], ["b", {"disabled": True}]], {"x": 1}, True, False, True, False]


@pytest.mark.parametrize(
    ("click", "data", "first"),
    [
        ("{ points: [{ customdata: [3, 'a'] }] }", [3, "a"], 3),
        ("{ points: [{ customdata: 0 }] }", 0, 0),
        ("{ points: [{}] }", None, None),
        ("{ points: [] }", None, None),
        ("null", None, None),
    ],
)
def test_what_a_clicked_point_carries(scripted: Scripted, click: str, data: object, first: object) -> None:
    kit = "dash_clientside.attune_kit"
    told = scripted().evaluate(f"[{kit}.picked({click}) ?? null, {kit}.pickedFirst({click}) ?? null]")
    assert told == [data, first]


def test_paths_carry_the_prefix_of_the_proxy(scripted: Scripted) -> None:
    config = json.dumps({"requests_pathname_prefix": "/lab/"})
    page = scripted(f"<script id='_dash-config' type='application/json'>{config}</script>")
    kit = "dash_clientside.attune_kit"
    assert page.evaluate(f"[{kit}.local('/x'), {kit}.bare('/lab/x'), {kit}.bare('/other')]") == [
        "/lab/x",
        "/x",
        "/other",
    ]
    assert scripted().evaluate(f"[{kit}.local('/x'), {kit}.bare('/x')]") == ["/x", "/x"]


def test_an_answer_comes_line_by_line_however_it_is_cut(scripted: Scripted) -> None:
    page = scripted()
    page.evaluate("() => {" + SERVER + "}")
    page.evaluate(
        """() => { window.lines = []; window.stop = new AbortController();
        window.over = dash_clientside.attune_kit.stream("/s", { a: 1 }, (line) => lines.push(line), stop.signal)
          .then(() => "ended", (error) => error.name); }"""
    )
    page.wait_for_function("() => window.answer")
    page.evaluate("""() => { answer('{"n": 1}\\n{"n"'); answer(': "é"}\\n\\n{"n": 3}\\n'); }""")
    page.wait_for_function("() => lines.length === 3")
    assert page.evaluate("[lines, asked]") == [[{"n": 1}, {"n": "é"}, {"n": 3}], [["/s", {"a": 1}]]]
    page.evaluate("() => stop.abort()")
    assert page.evaluate("over") == "AbortError"


def test_a_refused_question_throws_in_words(scripted: Scripted) -> None:
    page = scripted()
    page.evaluate("() => {" + SERVER + " window.status = 503; }")
    said = page.evaluate(
        "dash_clientside.attune_kit.stream('/s', {}, () => {}, new AbortController().signal).catch((e) => e.message)"
    )
    assert said == "The server answered 503."


def test_files_reach_the_downloads(scripted: Scripted) -> None:
    page = scripted()
    with page.expect_download() as made:
        page.evaluate(
            "const kit = dash_clientside.attune_kit; kit.download('a.bin', 'text/plain', kit.bytesOf('aGk='));"
        )
    assert made.value.suggested_filename == "a.bin" and Path(made.value.path()).read_text() == "hi"
    assert page.locator("a").count() == 0


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_packed_cells_are_unpacked_as_they_were(scripted: Scripted, kind: type) -> None:
    rng = np.random.default_rng(0)
    cells = np.tril(rng.integers(0 if kind is np.uint8 else -127, 127, (5, 5))).astype(kind)
    if kind is np.int8:
        cells[3, 1] = -128
    packed = pack_cells(cells) | {"max": 2.0}
    rows = scripted().evaluate(
        "(p) => dash_clientside.attune_kit.unpack(p).then((rows) => rows.map((r) => Array.from(r, (v) => "
        "(Number.isNaN(v) ? null : v))))",
        packed,
    )
    for i in range(5):
        for j in range(5):
            lost = j > i or cells[i, j] == -128
            want = None if lost else pytest.approx(cells[i, j] / (127 if kind is np.int8 else 255) * 2, abs=1e-6)
            assert rows[i][j] == want
