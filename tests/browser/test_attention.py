"""A newcomer on the Attention page: reads, opens heads, asks about tokens, fits, swaps, tests, exports, shares."""

from __future__ import annotations

import csv
import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import DRAWN, FITS, QUIET, Server, read, shot

pytestmark = pytest.mark.browser


def answer(page: Page) -> str:
    """The answer line."""
    return page.inner_text("#answer").strip()


def changed(page: Page, before: str) -> str:
    """Wait until the answer line says something else."""
    page.wait_for_function(
        "b => { const t = document.querySelector('#answer').innerText.trim(); return t && t !== b; }", arg=before
    )
    return answer(page)


def graph(page: Page, name: str) -> dict:
    """What plotly holds of a figure: names, kinds and lengths of its traces, read from the drawn page."""
    page.wait_for_function("n => dash_clientside.attune.isDrawn(document.getElementById(n))", arg=name)
    return page.evaluate(
        """n => { const g = document.querySelector('#' + n + ' .js-plotly-plot'); return g ? {
        traces: g.data.map(t => ({name: t.name, type: t.type, points: (t.y || t.z || []).length})),
        shapes: (g.layout.shapes || []).length } : {traces: [], shapes: 0}; }""",
        name,
    )


def fit(page: Page) -> None:
    """Press Fit and wait for the end."""
    page.click("#fit")
    page.wait_for_selector("#fit-error :text('Fitted')")
    page.wait_for_function("() => document.querySelectorAll('.attune-unfitted').length === 0")


def test_the_first_page_comes_while_the_model_loads_and_then_answers(
    server: Server, open_page: Callable[..., Page]
) -> None:
    assert server.first_page_s < 20, "benchmarks hold the figure; here it only must not wait for the model"
    page = open_page()
    page.wait_for_selector("#prompt")
    cards = (
        "() => [...document.querySelectorAll('.attune-card')].slice(0, 4).map(c => "
        "Math.round(c.getBoundingClientRect().top))"
    )
    before = page.evaluate(cards)
    page.wait_for_selector(".attune-answer p")
    page.evaluate(QUIET)
    text = answer(page)
    assert (
        re.search(r"gives .* [\d.]+% of its attention", text) and "nats above the mean of the other candidates" in text
    )
    assert "was 4-bit" in page.inner_text("#model-badge")
    after = page.evaluate(cards)
    assert abs(after[1] - before[1]) <= 2, "the card of the heads jumped"
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    shot(page, "attention-light")


def test_heads_and_tokens_answer_clicks_and_keys(page: Page) -> None:
    first = answer(page)
    page.locator(".attune-top button").nth(2).click()
    second = changed(page, first)
    page.locator("#query-strip button").nth(12).click()
    third = changed(page, second)
    page.locator("#key-strip button").nth(6).click()
    fourth = changed(page, third)
    assert page.locator("#key-strip button").nth(6).get_attribute("class").find("attune-picked") >= 0
    page.locator("#key-strip button").nth(20).click()
    assert "is masked" in changed(page, fourth)
    page.locator("#query-strip button").nth(25).focus()
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('#query-strip button.attune-picked').dataset.index === '27'")
    before = page.inner_text("#tokens-title")
    page.locator("#grid").scroll_into_view_if_needed()
    page.wait_for_function(FITS, arg="grid")
    page.evaluate(DRAWN)
    box = page.locator("#grid .nsewdrag").first.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] * 11.5 / 30, box["y"] + box["height"] * 1.5 / 9)
    page.wait_for_function("b => document.querySelector('#tokens-title').innerText !== b", arg=before)
    assert page.inner_text("#tokens-title") == "Tokens, layer 11, head 1"
    page.locator("#matrix").scroll_into_view_if_needed()
    page.evaluate(QUIET)
    page.wait_for_function(FITS, arg="matrix")
    cell = page.locator("#matrix .nsewdrag").first.bounding_box()
    assert cell is not None
    page.mouse.click(cell["x"] + cell["width"] * 3.5 / 29, cell["y"] + cell["height"] * 20.5 / 29)
    page.wait_for_function("() => document.querySelector('#query-strip button.attune-picked').dataset.index === '20'")
    assert page.locator("#key-strip button").nth(3).get_attribute("class").find("attune-picked") >= 0
    why = "() => document.querySelector('#head-why').innerText"
    page.locator("#next-tokens button").nth(1).click()
    page.wait_for_function(f"() => ({why})().includes('without it “␣Rocks”') && ({why})().includes('first of 270')")
    assert page.inner_text("#tokens-title").split("layer ")[1] in page.evaluate(why).replace("Layer ", "")
    page.locator("section:has(#grid) .attune-popup > summary").click()
    page.locator("#grid-mode label:has-text('patterns')").click()
    page.wait_for_function("() => document.querySelector('#grid-caption').innerText.includes('max-pooled')")
    page.locator("#grid-ranked").click()
    page.evaluate(QUIET)
    shot(page, "heads-patterns-ranked-light")


def test_fit_explain_swap_evidence_held_out_overlap(page: Page) -> None:
    fit(page)
    page.wait_for_function("() => document.querySelector('#answer').innerText.includes('from Induction')")
    page.wait_for_function("() => document.querySelector('#top-heads').innerText.includes('L17 H5 0')")
    best = re.findall(r"L(\d+) H(\d+)", page.inner_text("#top-heads"))[:4]
    assert {(int(a), int(b)) for a, b in best} == {(17, 3), (17, 4), (17, 5), (18, 6)}
    check = re.search(r"at most ([\d.e+-]+)\.", page.inner_text("#bars-caption"))
    assert check and float(check[1]) < 1e-10
    # The page had opened the head that writes the token; now it is the feature's best.
    assert page.inner_text("#tokens-title") in ("Tokens, layer 17, head 5", "Tokens, layer 18, head 6")
    assert "Induction" in [t["name"] for t in graph(page, "bars")["traces"]]
    shot(page, "attribution-light")

    page.click(".nav-tabs >> text=What if")
    page.wait_for_function("() => document.querySelector('#swap-caption').innerText.includes('random subspaces')")
    ruled = page.inner_text("#swap-caption")
    page.click("summary:has-text('For experts')")
    page.click("label:has-text('set the rank by hand')")
    page.wait_for_function("b => document.querySelector('#swap-caption').innerText.includes('rank 8 (')", arg=ruled)
    page.click("#ask-model")
    page.wait_for_function("() => document.querySelector('#prediction-caption').innerText.includes('KL')")
    assert len(graph(page, "prediction")["traces"]) == 2
    shot(page, "what-if-light")
    page.click("summary:has-text('For experts')")
    page.click("label:has-text('set the rank by hand')")

    page.click(".nav-tabs >> text=Evidence")
    page.wait_for_selector("#evidence-text .attune-facts")
    words = page.inner_text("#evidence-text")
    assert "With shuffled labels" in words and "the rank alone is no evidence" in words and "Sampling noise" in words
    assert any("shuffled labels" in (t["name"] or "") for t in graph(page, "spectrum")["traces"])
    shot(page, "evidence-light")
    page.click("#patch-start")
    page.wait_for_function(
        "() => document.querySelector('#patch-claim').innerText.includes('this head’s query carries')"
    )
    assert "random ones of that rank" in page.inner_text("#patch-claim")
    page.wait_for_function("() => document.querySelector('#patch-ranks .js-plotly-plot')?.data?.length === 3")
    shot(page, "patch-light")

    page.click(".nav-tabs >> text=Map")
    page.click("#held-out")
    page.wait_for_function("() => document.querySelector('#by-rank-caption').innerText.includes('held-out gap')")
    assert len(graph(page, "map")["traces"]) >= 5, "queries, two kinds of keys, and the prompt's own"
    page.click("label:has-text('3-D')")
    page.wait_for_function("() => document.querySelector('#map .js-plotly-plot').data[0].type === 'scatter3d'")
    shot(page, "map-light")

    page.click(".nav-tabs >> text=Alignment and overlap")
    page.wait_for_function("() => document.querySelector('#alignment-caption').innerText.includes('rank')")
    page.wait_for_function(FITS, arg="alignment")
    assert graph(page, "alignment")["traces"][0]["points"] == 29
    shot(page, "overlap-light")


def test_exports_hold_the_numbers_and_the_settings(page: Page, tmp_path: Path) -> None:
    page.evaluate(QUIET)
    found: dict[str, bytes] = {}
    for kind in ("png", "svg", "html", "csv", "json"):
        page.locator("section:has(#bars) >> text=Export").first.click()
        with page.expect_download() as waiting:
            page.locator(
                f"section:has(#bars) .dropdown-item >> nth={['png', 'svg', 'html', 'csv', 'json'].index(kind)}"
            ).click()
        target = tmp_path / f"figure.{kind}"
        waiting.value.save_as(target)
        found[kind] = target.read_bytes()
        page.wait_for_selector("section:has(#bars) .dropdown-menu.show", state="hidden")
    assert found["png"][:8] == b"\x89PNG\r\n\x1a\n"
    svg = found["svg"].decode()
    assert svg.startswith("<svg") and "default" in svg and "view: attention/bars" in svg
    html = found["html"].decode()
    assert (
        "Plotly.newPlot" in html
        and len(html) > 1_000_000
        and not re.search(r"<(script|link)[^>]+(src|href)=.https?:", html)
    )
    data = json.loads(found["json"])
    layer, head = map(int, re.findall(r"\d+", page.inner_text("#tokens-title")))
    assert data["settings"]["layer"] == layer and data["settings"]["head"] == head and data["settings"]["text"]
    total = next(t for t in data["traces"] if t["name"] == "total")
    shown = page.evaluate("() => Array.from(document.querySelector('#bars .js-plotly-plot').data.at(-1).y)")
    assert total["y"] == pytest.approx(shown)
    rows = list(csv.reader(io.StringIO(found["csv"].decode())))
    # The settings hold the prompt: they are one quoted cell, so that nothing in them begins another.
    assert len(rows[0]) == 1 and json.loads(rows[0][0].removeprefix("# "))["layer"] == layer
    assert rows[1] == ["trace", "x", "y", "value"]
    assert len(rows) - 2 == sum(len(t["y"]) for t in data["traces"])


def test_a_copied_link_reopens_the_view(page: Page, open_page: Callable[..., Page]) -> None:
    page.locator(".attune-top button").nth(1).click()
    page.evaluate(QUIET)
    page.locator("#query-strip button").nth(23).click()
    page.evaluate(QUIET)
    page.locator("#key-strip button").nth(4).click()
    page.evaluate(QUIET)
    page.click(".nav-tabs >> text=Evidence")
    page.wait_for_function("() => location.search.includes('tab=')")
    said, title, url = answer(page), page.inner_text("#tokens-title"), page.url
    other = open_page(url)
    other.wait_for_selector(".attune-answer p")
    other.wait_for_function("t => document.querySelector('#answer').innerText.trim() === t", arg=said)
    assert other.inner_text("#tokens-title") == title
    assert other.locator(".nav-tabs .active").inner_text() == "Evidence"


def test_two_people_never_see_each_others_prompts(open_page: Callable[..., Page]) -> None:
    first, second = open_page(), open_page()
    for page in (first, second):
        page.wait_for_selector(".attune-answer p")
    read(first, "Red apples and green apples and red", wait=False)
    read(second, "One wolf, two wolves, one", wait=False)
    for page, word, other in ((first, "apples", "wolf"), (second, "wolf", "apples")):
        page.wait_for_function("w => document.querySelector('#query-strip').innerText.includes(w)", arg=word)
        page.evaluate(QUIET)
        strip = page.inner_text("#query-strip")
        assert other not in strip
        quoted = re.findall("“(.*?)”", answer(page))
        assert quoted and all(q in strip for q in quoted)


def test_generated_tokens_and_chat_template(page: Page) -> None:
    page.fill("#generate", "6")
    page.locator("label:has-text('Chat template')").click()
    page.click("#read")
    page.wait_for_function("() => document.querySelector('#prompt-notes').innerText.includes('generated')")
    page.wait_for_function("() => document.querySelector('#query-strip').innerText.includes('im_start')")


def test_dark_theme_is_readable_and_reaches_the_figures(open_page: Callable[..., Page]) -> None:
    page = open_page(theme="dark")
    page.wait_for_selector(".attune-answer p")
    page.evaluate(QUIET)
    contrast = """() => {
      const lum = c => { const [r, g, b] = c.match(/[\\d.]+/g).slice(0, 3).map(v => { v /= 255;
        return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
      const back = e => { while (e) { const c = getComputedStyle(e).backgroundColor;
        if (/^rgb\\(/.test(c)) return c; e = e.parentElement; } return 'rgb(255,255,255)'; };
      return ['#answer p', '.attune-note', '.attune-caption', '#prompt', '.attune-button', '.nav-link',
        '#active'].map(s => {
        const e = document.querySelector(s); const a = lum(getComputedStyle(e).color), b = lum(back(e));
        return [s, (Math.max(a, b) + .05) / (Math.min(a, b) + .05)]; }); }"""
    for where, ratio in page.evaluate(contrast):
        assert ratio >= 4.5, f"{where}: contrast {ratio:.1f} in the dark theme"
    font = "() => document.querySelector('#bars .js-plotly-plot')._fullLayout.font.color"
    dark = page.evaluate(font)
    shot(page, "attention-dark")
    page.click("#theme-toggle")
    page.evaluate(QUIET)
    for where, ratio in page.evaluate(contrast):
        assert ratio >= 4.5, f"{where}: contrast {ratio:.1f} in the light theme"
    assert page.evaluate(font) != dark


def test_markup_in_a_prompt_stays_text(page: Page) -> None:
    read(page, "<img src=x onerror=alert(1)> and <b>bold</b> and <img src=x onerror=alert(1)> and <b>")
    page.wait_for_function("() => document.querySelector('#query-strip').textContent.includes('onerror')")
    page.evaluate(QUIET)
    assert page.locator("img[src='x']").count() == 0
    ticks = page.evaluate(
        "() => [...document.querySelectorAll('#matrix .ytick text')].map(t => t.textContent).join(' ')"
    )
    assert "<" in ticks


def test_a_long_prompt_opens_at_once(page: Page) -> None:
    began = time.perf_counter()
    read(page, "river stone lantern copper window signal " * 80)
    page.wait_for_function("() => document.querySelectorAll('#query-strip button').length > 450")
    before = answer(page)
    clicked = time.perf_counter()
    page.locator(".attune-top button").nth(1).click()
    changed(page, before)
    assert time.perf_counter() - clicked < 60, "benchmarks hold the figure; here it only must not hang"
    assert clicked > began
    page.evaluate(QUIET)
    shot(page, "long-prompt-light")
