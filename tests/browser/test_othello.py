"""The Othello page as a user has it: playing by mouse and keyboard, reading, re-mixing, editing, bad input."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route

from tests.browser.conftest import shot

pytestmark = pytest.mark.browser

GAME = "C4C3D3E3F5C5F3D6B5F6E2B4B6G5H5F1A4"
CELL = '#oth-play [data-square="{}"]'


def opened(open_page: Callable[..., Page], query: str = "", theme: str = "light") -> Page:
    page = open_page(f"/othello?moves={GAME}{query}", theme=theme)
    page.wait_for_function("() => document.querySelector('#oth-right-tpr')?.innerText.includes('of 64 right')")
    return page


def says(page: Page, where: str, what: str) -> None:
    page.wait_for_function("([w, s]) => document.querySelector(w)?.innerText.includes(s)", arg=[where, what])


def test_play_by_mouse_and_keyboard(open_page: Callable[..., Page]) -> None:
    page = opened(open_page)
    says(page, "#oth-status", "Ply 17 of 17")
    page.click(CELL.format(0))
    says(page, "#oth-play-error", "A1 would turn nothing")
    page.click(CELL.format(35))
    says(page, "#oth-play-error", "already has a disc")
    first = page.locator("#oth-play .attune-legal").first
    name = first.get_attribute("aria-label") or ""
    first.click()
    says(page, "#oth-status", "Ply 18 of 18")
    says(page, "#oth-status", f"White played {name[:2]}")
    page.click("#oth-undo")
    says(page, "#oth-status", "Ply 17 of 18")
    page.click("#oth-redo")
    says(page, "#oth-status", "Ply 18 of 18")
    page.wait_for_function("() => location.search.includes('ply=18') && location.search.includes('moves=')")
    # The board is one stop of the tabulator; arrows walk on it and Enter plays.
    page.click("#oth-undo")
    says(page, "#oth-status", "Ply 17 of 18")
    page.locator('#oth-play [tabindex="0"]').focus()
    page.keyboard.press("Home")
    for _ in range(8):
        page.keyboard.press("ArrowUp")
    assert page.evaluate("() => document.activeElement.dataset.square") == "0"
    target = int(page.locator("#oth-play .attune-legal").last.get_attribute("data-square") or -1)
    for _ in range(target // 8):
        page.keyboard.press("ArrowDown")
    for _ in range(target % 8):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    says(page, "#oth-status", "Ply 18 of 18")
    for name in ["#oth-undo"] * 4 + ["#oth-redo"] * 3:  # quick presses: none is taken back by the slider's echo
        page.click(name)
    says(page, "#oth-status", "Ply 17 of 18")
    page.click("#oth-random-end")
    says(page, "#oth-status", "The game is over")
    page.click("#oth-random")
    says(page, "#oth-play-error", "The game is over")
    page.click("#oth-clear")
    says(page, "#oth-next-said", "no token for the empty board")
    page.click("#oth-best")
    says(page, "#oth-play-error", "needs at least one move")


def test_move_lists_are_read_or_explained(open_page: Callable[..., Page]) -> None:
    page = opened(open_page)
    for text, words in (
        ("F5 A1", "Move 2"),
        ("e2e4 K10", "Move 1"),
        ("K10", "not a square"),
        ("Nf3", "not a square"),
        ("   ", "no move in this text"),
    ):
        page.fill("#oth-text", text)
        page.click("#oth-paste")
        says(page, "#oth-play-error", words)
    says(page, "#oth-status", "Ply 17 of 17")  # nothing is lost
    page.fill("#oth-text", "f5d6c3")
    page.press("#oth-text", "Enter")
    says(page, "#oth-status", "Ply 3 of 3")


def test_the_boards_are_said_in_words(open_page: Callable[..., Page]) -> None:
    page = opened(open_page)
    labels = page.eval_on_selector_all(
        "#oth-belief-linear .attune-square", "e => e.map(x => x.getAttribute('aria-label'))"
    )
    assert len(labels) == 64 and all("read as" in x for x in labels)
    assert page.locator("#oth-play button").count() == 64
    right = page.inner_text("#oth-right-linear")
    wrong = sum("wrong" in x for x in labels)
    assert right.startswith(f"{64 - wrong} of 64 right")
    assert page.locator("#oth-belief-linear .attune-wrong").count() == wrong
    page.hover('#oth-belief-truth [data-square="18"]')
    assert page.locator(".attune-square-lit").count() >= 5
    says(page, "#oth-hover", "C3")


def test_remixing_keeps_predictions_and_changes_pictures(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "&tab=roles")
    page.wait_for_selector("#oth-geometry-table table")
    before = page.inner_text("#oth-geometry-table")
    page.click("#oth-remix")
    says(page, "#oth-roles-said", "Coordinates re-mixed (seed 1)")
    said = page.inner_text("#oth-roles-said")
    change = float(re.search(r"this game: ([\d.e+-]+);", said)[1])  # type: ignore[index]
    assert change < 1e-8
    after = page.inner_text("#oth-geometry-table")
    changed = [a != b for a, b in zip(before.splitlines(), after.splitlines(), strict=True)]
    assert changed == [False, True, False, False, False, False]
    page.click("#oth-unmix")
    page.wait_for_function("t => document.querySelector('#oth-geometry-table').innerText === t", arg=before)


def attention_on_the_board(page: Page) -> None:
    """A square is pressed, then a head; the row, the position without the head and the edit follow."""
    says(page, "#oth-edited-looks-caption", "random edits")
    page.click('#oth-look-board [data-square="27"]')
    says(page, "#oth-look-press-error", "D4 is filled from the start")
    page.click('#oth-look-board [data-square="33"]')
    says(page, "#oth-lookers-said", "at move 11 (E2)")
    second = page.locator("#oth-lookers-list button").nth(1)
    block, number, share, _ = second.inner_text().split()
    name = f"{block} {number}"
    second.click()
    page.wait_for_selector(f'#oth-lookers-list .attune-chosen:has-text("{name}")')
    says(page, "#oth-look-said", f"{name}: most at")
    label = page.locator('#oth-look-board [data-square="33"]').get_attribute("aria-label") or ""
    exact = float(re.search(r"attention ([\d.]+)%", label)[1])  # type: ignore[index]
    assert abs(exact - float(share.rstrip("%"))) <= 0.55
    says(page, "#oth-without-said", f"Without {name} (its mean")
    says(page, "#oth-without-said", "other heads drawn at random")
    says(page, "#oth-title-without-next", name)
    page.wait_for_function("() => decodeURIComponent(location.search).includes('look=[33,')")


def report_of_the_game(page: Page) -> None:
    """A point of the report leads to its ply, and back."""
    page.locator(".nav-link", has_text="Game report").click()
    says(page, "#oth-report-caption", "random games")
    squares = page.locator('#oth-report .nsewdrag[data-subplot="xy"]')
    for ply in (5, 17):
        x, y = page.evaluate(
            """ply => {
              const plot = document.querySelector('#oth-report .js-plotly-plot');
              const { xaxis: x, yaxis: y } = plot._fullLayout;
              const line = plot.data.find((t) => t.yaxis === 'y' && t.customdata);
              return [x.l2p(ply), y.l2p(line.y[ply - 1])]; }""",
            ply,
        )
        squares.hover(position={"x": x, "y": y})
        page.wait_for_selector("#oth-report .hovertext")
        squares.click(position={"x": x, "y": y})
        says(page, "#oth-status", f"Ply {ply} of 17")


def test_an_edit_changes_the_models_moves(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "&tab=edit")
    says(page, "#oth-edit-said", "Press one to four squares")
    page.click('#oth-edit-board [data-square="12"]')
    says(page, "#oth-edit-said", "without the edit")
    fixed = page.inner_text("#oth-edit-said")
    page.click("section:has(#oth-choose) .attune-popup > summary")
    page.click("#oth-choose label >> nth=1")
    says(page, "#oth-edit-bars-caption", "looking at the answer")
    count = lambda text: int(re.search(r"edit, (\d+) with it", text)[1])  # type: ignore[index]  # noqa: E731
    assert count(page.inner_text("#oth-edit-said")) <= count(fixed)
    for chosen, square in enumerate((11, 13, 18, 20), 2):
        page.click(f'#oth-edit-board [data-square="{square}"]')
        page.wait_for_function(
            "n => document.querySelectorAll('#oth-edit-board .attune-selected').length === n", arg=min(chosen, 4)
        )
    says(page, "#oth-edit-press-error", "At most four squares")
    page.locator(".nav-link", has_text="Attention").last.click()
    attention_on_the_board(page)
    report_of_the_game(page)
    page.locator(".nav-link", has_text="Edit").click()
    page.click("#oth-edit-clear")
    says(page, "#oth-edit-said", "Press one to four squares")
    page.fill("#oth-cases", "20")
    page.click("#oth-trials")
    page.wait_for_selector("#oth-trials-table table")
    assert page.locator("#oth-trials-table tbody tr").count() == 12
    shot(page, "othello-edit")


def test_stories_directions_figures_and_another_model(open_page: Callable[..., Page]) -> None:
    page = opened(open_page, "&tab=directions", theme="dark")
    says(page, "#oth-cosine-caption", "Cosine of each direction")
    shot(page, "othello-dark")
    page.click("#oth-story")
    page.get_by_text("An edit makes a new move legal").click()
    says(page, "#oth-edit-said", "0 with it")  # what the story tells is what the edit on the first screen does
    says(page, "#oth-story-text", "0 with it")
    inside = "document.querySelector('#oth-clear').getBoundingClientRect().bottom <= innerHeight"
    page.wait_for_function(f"() => {inside}")
    page.click("#oth-story-text [data-leads]")
    page.wait_for_function("() => document.querySelector('#oth-tab').getBoundingClientRect().top < 100")
    page.click("#oth-story")
    page.get_by_text("After a pass, the model goes on counting moves").click()
    says(page, "#oth-story-text", "has moved twice in a row")
    says(page, "#oth-right-truth", "says the opposite")
    page.locator(".nav-link", has_text="Figures").click()
    says(page, "#oth-card", "fresh random games")
    page.locator(".nav-link", has_text="Model and probes").click()
    page.wait_for_selector("#oth-probe-table table")
    for text, words in (
        ("/nowhere/at/all.pth", "nothing named"),
        ("../..", "holds no saved OthelloGPT"),
        ("", "Name a model"),
    ):
        page.fill("#oth-source-text", text)
        page.click("#oth-open")
        says(page, "#oth-source-error", words)
    page.click("#oth-bundled")
    says(page, "#oth-source-said", "its first choice is illegal")


def test_a_figure_that_was_asked_for_before_the_theme_changed_has_the_new_colours(
    open_page: Callable[..., Page],
) -> None:
    page = opened(open_page)
    held: list[Route] = []

    def hold(route: Route) -> None:
        asks = "..oth-reading.data" in (route.request.post_data or "")
        held.append(route) if asks else route.continue_()

    page.route("**/_dash-update-component*", hold)
    page.click("#oth-undo")
    page.wait_for_timeout(500)
    page.click("#theme-toggle")
    page.wait_for_timeout(500)
    assert held, "nothing was asked before the theme changed"
    for route in held:
        route.continue_()
    page.unroute("**/_dash-update-component*", hold)
    says(page, "#oth-bars-caption", "After ply 16")
    colour = "document.querySelector('#oth-bars .js-plotly-plot')._fullLayout.font.color"
    page.wait_for_function(f"() => {colour} === '#e6edf3'")
