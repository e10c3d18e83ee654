"""othello.js: boards are drawn once, pressed, walked and lit; slider, buttons and moves follow the game."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page

from components.othello.board import board_data

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
EMPTY = [0] * 64
EVIL = '<img src=x onerror="alert(1)">'
BOARDS = """<div id="play" class="attune-board" data-queue="clicks" data-edits="edits"></div>
<div id="plain" class="attune-board"></div><p>beside</p><style>.attune-square { display: inline-block; width: 30px;
height: 30px; border: 0; padding: 0; }</style>"""
DRAW = "(boards) => dash_clientside.attune_othello.drawAll(boards)"
PRESSES = """put.filter(([id]) => id.endsWith('-presses')).map(([id, p]) => {
  const { n, seed, ...what } = p.data.list.at(-1); return [id, what]; })"""


def square(board: str, number: int) -> str:
    return f'#{board} .attune-square[data-square="{number}"]'


@pytest.fixture
def page(scripted: Scripted) -> Page:
    """Two empty boards, of which one is played on."""
    made = scripted(BOARDS)
    made.evaluate(DRAW, {"play": board_data(EMPTY), "plain": board_data(EMPTY)})
    return made


def test_boards_are_drawn_once_and_then_changed(page: Page) -> None:
    page.evaluate("() => { window.first = document.querySelector('#play .attune-square'); }")
    texts = [EVIL if s == 26 else "" for s in range(64)]
    page.evaluate(DRAW, {"play": board_data(EMPTY, texts=texts, labels=[EVIL] * 64, wrong=[26])})
    cell = page.locator(square("play", 26))
    assert page.evaluate("window.first === document.querySelector('#play .attune-square')"), "no new elements"
    assert page.locator("#play .attune-square").count() == 64 and page.locator("img").count() == 0
    assert cell.get_attribute("aria-label") == cell.inner_text() == EVIL
    assert "attune-wrong" in (cell.get_attribute("class") or "")
    plain = page.locator(square("plain", 26))
    assert plain.get_attribute("aria-label") == "D3, empty" and plain.get_attribute("role") == "img"
    assert [page.locator(square(b, 26)).evaluate("e => e.tagName") for b in ("play", "plain")] == ["BUTTON", "DIV"]


def test_squares_are_pressed_and_edited_where_the_board_is_played_on(page: Page) -> None:
    page.click(square("play", 26))
    page.locator(square("play", 26) + " .attune-disc").dispatch_event("click")
    page.click(square("plain", 26))
    page.click(square("play", 26), button="right")
    page.focus(square("play", 8))
    page.keyboard.press("Shift+Enter")
    assert page.evaluate(PRESSES) == [
        ["clicks-presses", {"kind": "square", "square": 26}],
        ["clicks-presses", {"kind": "square", "square": 26}],
        ["edits-presses", {"kind": "edit", "square": 26}],
        ["edits-presses", {"kind": "edit", "square": 8}],
    ]


def test_keys_walk_over_a_board_whose_edges_hold(page: Page) -> None:
    page.focus(square("play", 19))
    for key in ("Left", "Up", "Up", "Up"):
        page.keyboard.press("Arrow" + key)
    page.keyboard.press("End")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.square") == "8"
    assert page.locator("#play button[tabindex='0']").count() == 1, "one square is a stop of the tabulator"


def test_a_square_is_lit_on_all_boards(page: Page) -> None:
    lit = "[...document.querySelectorAll('.attune-square-lit')].map((e) => [e.parentElement.id, e.dataset.square])"
    page.hover(square("plain", 5))
    assert page.evaluate(lit) == [["play", "5"], ["plain", "5"]]
    page.hover("p")
    assert page.evaluate(lit) == []


def test_a_board_that_comes_later_is_drawn_when_it_comes(page: Page) -> None:
    page.evaluate(DRAW, {"late": board_data(EMPTY)})
    page.evaluate("() => document.body.insertAdjacentHTML('beforeend', '<div id=late class=attune-board></div>')")
    page.wait_for_selector(square("late", 63))


def test_heat_has_a_legend_and_a_colour_on_which_text_reads(page: Page) -> None:
    heat = [1.0] + [0.0] * 63
    page.evaluate(DRAW, {"plain": board_data(EMPTY, heat=heat, legend="% of all")})
    style = "(e) => [e.style.getPropertyValue('--heat'), e.style.getPropertyValue('--ink')]"
    assert page.locator(square("plain", 0)).evaluate(style) == ["rgb(254,232,56)", "#000000"]
    assert page.locator(square("plain", 1)).evaluate(style)[1] == "#ffffff"
    assert page.locator("#plain .attune-legend span").all_inner_texts() == ["0 %", "100 % · % of all"]


FOLLOW = """(waiting) => { const set = dash_clientside.set_props, game = { ply: 2, moves: [1, 2, 3] };
  set("oth-game", { data: game }); set("oth-ply", { value: 0 });
  waiting.forEach((p) => dash_clientside.attune.press("oth-game", p));
  return [props["oth-undo"].disabled, props["oth-redo"].disabled]; }"""


@pytest.mark.parametrize(
    ("presses", "ends"),
    [
        ([{"kind": "undo"}], [False, False]),
        ([{"kind": "undo"}, {"kind": "undo"}], [True, False]),
        ([{"kind": "last"}], [False, True]),
        ([{"kind": "ply", "ply": 3}], [False, True]),
        ([{"kind": "clear"}], [True, True]),
    ],
)
def test_the_buttons_at_the_ends_follow_presses_that_wait(
    scripted: Scripted, presses: list[object], ends: list[bool]
) -> None:
    page = scripted()
    page.evaluate("() => ['oth-undo', 'oth-redo'].forEach((id) => dash_clientside.set_props(id, { disabled: null }))")
    assert page.evaluate(FOLLOW, presses) == ends


def test_the_slider_is_a_press_only_where_a_hand_moved_it(scripted: Scripted) -> None:
    told = scripted().evaluate(
        """() => { const { slide } = dash_clientside.attune_othello, attune = dash_clientside.attune;
        dash_clientside.set_props("oth-game", { data: { ply: 2, moves: [1, 2, 3] } });
        attune.fresh("oth-game");
        const told = [props["oth-ply"].value, props["oth-ply"].max];
        slide(2); told.push(attune.pressed("oth-game").length);
        slide(3); slide(1); told.push(attune.pressed("oth-game").map((p) => p.ply));
        return told; }"""
    )
    assert told == [2, 3, 0, [1]]


def test_a_list_of_moves_that_is_being_typed_is_left_alone(scripted: Scripted) -> None:
    page = scripted("<input id='oth-text' value='F5'><button>x</button>")
    assert page.evaluate("dash_clientside.attune_othello.line('F5')") == "F5"
    page.fill("#oth-text", "F5 D")
    assert page.evaluate("dash_clientside.attune_othello.line('F5 D6')") == "unchanged"
    page.focus("button")
    assert page.evaluate("dash_clientside.attune_othello.line('F5 D6')") == "F5 D6"


def test_texts_and_stories_go_into_the_queue_of_the_game(scripted: Scripted) -> None:
    page = scripted()
    page.evaluate(
        """() => { const { enter, story } = dash_clientside.attune_othello;
        const set = dash_clientside.set_props;
        set("oth-text", { value: "F5" }); set("oth-notation", { value: "a1" });
        enter(0); story(""); enter(1); story("edge"); }"""
    )
    assert page.evaluate(PRESSES) == [
        ["oth-game-presses", {"kind": "paste", "text": "F5", "notation": "a1"}],
        ["oth-game-presses", {"kind": "story", "story": "edge"}],
    ]


def test_remixing_counts_presses_however_they_come(scripted: Scripted) -> None:
    told = scripted().evaluate(
        """() => { const g = dash_clientside.attune_othello.gauge;
        return [g(1, 0, 0), g(3, 0, 1), g(3, 1, 3), g(1, 0, 0)]; }"""
    )
    assert told == [1, 3, 0, 1], "the last: a page that was opened anew counts from nothing"
