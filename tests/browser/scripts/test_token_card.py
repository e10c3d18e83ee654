"""frame/token_card.js: which token is asked about, what opens and closes the card, and where the focus goes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
BODY = """
<header class="attune-header" style="height: 40px"><button id="card-tok-open">Token card</button></header>
<p class="attune-tok" id="alone" tabindex="0">alone</p>
<div data-token-text="a text" data-token-chat="1" data-token-generate="3">
  <button class="attune-tok" id="placed" data-token-position="2">in</button>
  <button class="attune-tok" id="soft" data-token-position="0" data-token-soft="">soft</button>
</div>
<div data-token-ids="5,6,7"><span class="attune-tok" id="listed" data-token-position="1">listed</span></div>
<div class="mlp-context"><span class="attune-tok" data-token-id="8">x</span>
  <span class="attune-tok" id="running" data-token-id="9">y</span></div>
<aside id="card-tok" tabindex="-1" style="position: fixed; right: 0">
  <form id="card-tok-form"><input id="card-tok-input"></form><button id="card-tok-close">x</button>
</aside>"""
# Props of the card are laid on its element, as React would.
CARD = """() => { const set = dash_clientside.set_props, card = document.querySelector("#card-tok");
card.hidden = true;
dash_clientside.set_props = (id, more) => { set(id, more); if (id === "card-tok") card.hidden = more.hidden; }; }"""


@pytest.fixture
def page(scripted: Scripted) -> Page:
    """A page with tokens of each kind, and a card that is closed."""
    made = scripted(BODY)
    made.evaluate(CARD)
    return made


def asked(page: Page) -> Any:
    question = page.evaluate("data('card-tok-ask')")
    return question and {k: v for k, v in question.items() if k != "turn"}


DRAWN = "() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))"


@pytest.mark.parametrize(
    ("token", "question"),
    [
        ("#alone", {"id": None, "token": "alone"}),
        ("#placed", {"id": None, "position": 2, "text": "a text", "chat": True, "generate": 3}),
        ("#listed", {"id": None, "position": 1, "text": "", "chat": False, "generate": 0, "ids": [5, 6, 7]}),
        ("#running", {"id": 9, "ids": [8, 9], "position": 1}),
    ],
)
def test_a_token_says_which_it_is(page: Page, token: str, question: dict[str, Any]) -> None:
    page.click(token)
    assert asked(page) == question and not page.is_hidden("#card-tok")
    assert page.evaluate("props['card-tok-word'].children") == page.inner_text(token)
    assert page.evaluate("document.querySelector('#card-tok').style.top") == "40px"


def test_a_token_whose_press_means_something_else_opens_by_two_or_by_a_key(page: Page) -> None:
    page.click("#soft")
    assert asked(page) is None
    page.dblclick("#soft")
    assert asked(page)["position"] == 0
    for key, opens in (("Enter", False), ("c", True), ("Shift+Enter", True), ("Control+c", False)):
        page.evaluate("() => dash_clientside.attune_kit.save('card-tok-ask', null)")
        page.evaluate(DRAWN)  # the card that was opened before takes the focus in a frame to come
        page.focus("#soft")
        page.keyboard.press(key)
        assert bool(asked(page)) is opens, key


def test_a_written_token_is_asked_about_in_its_whole_text_and_with_its_own_set_up(page: Page) -> None:
    """As the writer of a page keeps it: the prompt's ids, the written ones, and what the text was written under."""
    for name, steer, question in (
        ("steered", {"fit": "f"}, {"steer": {"fit": "f"}}),
        ("control", {"fit": "f"}, {"steer": None}),
    ):
        page.evaluate(
            """([of, steer]) => {
              document.querySelector(`#x-${of}-text`)?.remove();
              const host = document.createElement("div");
              Object.assign(host, { className: "attune-written", id: `x-${of}-text`, tabIndex: 0 });
              host.style.cssText = "position: relative; z-index: 9";
              document.body.prepend(host);
              const { colours, tokensOf } = dash_clientside.attune;
              const colour = colours("x-", () => host);
              tokensOf({ prefix: "x-", colours: colour, boxes: { [host.id]: of } });
              colour.follows([7, 8], { params: { steer } });
              [4, 5, 6].forEach((id) => {
                const span = document.createElement("span");
                Object.assign(span, { className: "attune-piece attune-tok", textContent: " w" + id });
                span.dataset.tokenSoft = "";
                host.append(span);
                colour.add(of, id, span);
              });
            }""",
            [name, steer],
        )
        page.dblclick(f"#x-{name}-text span:nth-child(2)")
        assert asked(page) == {"id": None, "ids": [7, 8, 4, 5, 6], "position": 3, **question}
        page.evaluate("() => dash_clientside.attune_kit.save('card-tok-ask', null)")
    page.evaluate("() => document.querySelector('#x-control-text').children[0].classList.add('attune-here')")
    page.evaluate(DRAWN)
    page.focus("#x-control-text")
    page.keyboard.press("c")
    assert asked(page)["position"] == 2


def test_the_focus_goes_into_the_card_and_comes_back(page: Page) -> None:
    page.focus("#alone")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.activeElement.id === 'card-tok'")
    page.keyboard.press("Escape")
    assert page.is_hidden("#card-tok") and asked(page) is None
    assert page.evaluate("document.activeElement.id") == "alone"
    page.click("#card-tok-open")
    page.wait_for_function("() => document.activeElement.id === 'card-tok-input'")
    page.click("#card-tok-close")
    assert page.is_hidden("#card-tok") and page.evaluate("document.activeElement.id") == "card-tok-open"


def test_a_typed_token_is_asked_about(page: Page) -> None:
    page.click("#card-tok-open")
    page.fill("#card-tok-input", " <b>")
    page.keyboard.press("Enter")
    assert asked(page) == {"token": " <b>"} and page.url == "http://localhost/"


def test_a_click_in_a_figure_asks_about_its_token(page: Page) -> None:
    call = "(click) => dash_clientside.attune_token.clicked(click)"
    page.evaluate(call, {"points": [{"customdata": [42, "x"]}]})
    assert asked(page) == {"id": 42}
    page.evaluate(call, {"points": [{"customdata": "no id"}]})
    assert asked(page) == {"id": 42}
