"""chat.js: a conversation in the browser, without a server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.scripts.test_kit import SERVER
from tests.browser.scripts.test_writer import Writing

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
BODY = (
    "<div id='chat-list'></div><div id='chat-branch'></div><textarea id='chat-user'></textarea>"
    "<button id='chat-new'>New</button><button id='chat-send'>Send</button>"
    "<div id='chat-base-text'></div><div id='chat-steered-text'></div>"
)


class Chat(Writing):
    """The tab, and a server that answers when it is told to."""

    def __init__(self, page: Page) -> None:
        self.page, self.prefix = page, "chat-"
        self.write, self.stop = "attune.startChat", "attune.stopChat"
        page.evaluate("() => {" + SERVER + "}")

    def send(self, text: str, system: str = "") -> dict[str, Any]:
        """Say something; the question as the server passes it back."""
        self.page.evaluate(
            "([text, system]) => { window.answer = null; const set = dash_clientside.set_props;"
            " set('chat-user', { value: text }); set('chat-system', { value: system }); }",
            [text, system],
        )
        self.page.click("#chat-send")
        wanted = dict(self.page.evaluate("() => data('chat-wanted')"))
        self.ask(**wanted)
        return wanted

    def reply(self, text: str, ids: list[int]) -> None:
        text_of = {"base": {"text": "Ho", "ids": [9]}, "steered": {"text": text, "ids": ids, "mean_kl": 0.5}}
        self.answer({"done": True, "sentence": "Done.", "notes": [], "reused": 0, "tokens": 4, **text_of})

    def nodes(self) -> Any:
        return self.page.evaluate("() => (data('conversation') || { nodes: [] }).nodes")

    def wait_for_nodes(self, count: int) -> Any:
        self.page.wait_for_function("(n) => (data('conversation') || { nodes: [] }).nodes.length === n", arg=count)
        return self.nodes()


def test_tokens_are_one_string_in_the_store_and_a_changed_instruction_is_said(scripted: Scripted) -> None:
    chat = Chat(scripted(BODY))
    chat.send("Hello", "Be brief.")
    chat.reply("Hi", [5, 6])
    (node,) = chat.wait_for_nodes(1)
    assert (node["ids"], node["base_ids"], node["system"]) == ("5 6", "9", "Be brief.")
    assert "another instruction" not in chat.page.inner_text("#chat-list")
    wanted = chat.send("And?", "Be long.")
    assert [turn.get("ids") for turn in wanted["params"]["turns"]] == [[5, 6], None]
    chat.reply("Yes", [])
    assert chat.wait_for_nodes(2)[1]["ids"] == ""
    heads = chat.page.locator("#chat-list .attune-turn-head").all_inner_texts()
    assert ["written under another instruction" in head for head in heads] == [True, False]


def test_a_reply_to_another_conversation_is_not_put_into_this_one(scripted: Scripted) -> None:
    chat = Chat(scripted(BODY))
    chat.send("Hello")
    chat.reply("Hi", [5])
    chat.wait_for_nodes(1)
    wanted = chat.send("And?")
    chat.answer({"piece": {"of": "steered", "text": "Y"}, "rate": 1.0})
    chat.wait("stream-state", "children", "1 steered tokens, 1.0 a second")
    asked = chat.page.evaluate("asked.length")
    chat.page.click("#chat-new")
    assert chat.page.evaluate("([asked[asked.length - 1][0], asked.length])") == ["/steering/stop", asked + 1]
    assert chat.prop("disabled", "stop") is True and chat.nodes() == []
    chat.ask(**wanted)  # checked by the server while the other conversation was begun
    assert chat.page.evaluate("asked.length") == asked + 1
    chat.page.evaluate("() => { window.answer = null; }")
    chat.ask(**wanted | {"parent": 7, "talk": wanted["talk"] + 1})  # a turn that is not there
    chat.reply("Yes", [6])
    chat.wait("stream-state", "children", "Done.")
    assert chat.nodes() == []
    chat.page.evaluate("() => { window.answer = null; }")
    chat.ask(**wanted | {"parent": None, "talk": wanted["talk"] + 1})
    chat.page.wait_for_function("() => window.answer")
    chat.page.evaluate("() => dash_clientside.attune.leaveChat()")  # a file is opened
    assert chat.prop("disabled", "stop") is True
