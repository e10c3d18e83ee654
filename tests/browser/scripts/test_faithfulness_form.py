"""pages/faithfulness/form.js: what the form of interventions lets one apply, and what stays when the item changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Scripted = Callable[..., Page]
BODY = "<div id='fth-form'></div><button id='fth-apply'></button>"
FORM = """
const page = dash_clientside.attune_faith, { byId } = dash_clientside.attune_kit;
const last = (id) => put.filter(([to]) => to === id).map(([, props]) => props).pop() || null;
const type = (value) => {
  const entry = byId("fth-key-entry");
  entry.value = value;
  entry.dispatchEvent(new Event("input"));
};
const edit = (k, value) => {
  const choice = byId("fth-form").querySelector(`select[data-at="${k}"]`);
  choice.value = value;
  choice.dispatchEvent(new Event("change"));
};
const said = () => byId("fth-key-said").textContent;
const item = (name, twin, key) => ({ item: name, study: "", tier: "1", steps: [" a.", " b."], key,
  twins: [{ item: name }, { item: twin }] });
const out = [], tell = (...what) => out.push(what);
"""
"""``tell`` gathers what the test looks at."""


def played(page: Page, scene: str) -> list[Any]:
    """What a scene told."""
    return list(page.evaluate("() => {" + FORM + scene + "; return JSON.parse(JSON.stringify(out)); }"))


def test_an_empty_key_is_refused_in_the_form(scripted: Scripted) -> None:
    told = played(
        scripted(BODY),
        """
      page.form(item("R", "K", "4"), null);
      type("7"); tell(last("fth-apply").disabled, said());
      type("  "); tell(last("fth-apply").disabled, said());
      edit(0, "delete"); tell(last("fth-apply").disabled);
      type("4"); tell(last("fth-apply").disabled, said());
      type(""); page.form(item("K", "R", "4"), null);
      tell(byId("fth-key-entry").value, last("fth-apply").disabled);
    """,
    )
    refusal = told[1][1]
    assert told[0] == [False, ""] and told[1][0] is True and "another key" in refusal and refusal.endswith(".")
    assert told[2] == [True] and told[3] == [False, ""]
    assert told[4] == ["4", False]  # under the next mechanism the key is the item's again, and the edits stay


def test_what_could_not_be_applied_can_be_tried_again(scripted: Scripted) -> None:
    told = played(
        scripted(BODY),
        """
      page.form(item("R", "K", "4"), null);
      edit(1, "corrupt"); tell(last("fth-apply").disabled);
      const [asked, off] = page.apply(1); tell(asked.edits, off);
      page.failed("panel"); tell(last("fth-apply").disabled);
      page.apply(2); page.failed(null);
      edit(1, "corrupt"); tell(last("fth-apply").disabled);
      page.apply(3); page.failed("panel");
      page.form(item("K", "R", "4"), null);
      tell(last("fth-asked"), last("fth-apply").disabled);
    """,
    )
    assert told[:3] == [[False], [["keep", "corrupt"], True], [False]]
    assert told[3] == [True]  # it went well: the same once more would say the same
    assert told[4] == [{"data": None}, False]  # what was said of the last item goes, the edits stay


def test_what_the_form_holds_is_in_the_pages_store(scripted: Scripted) -> None:
    told = played(
        scripted(BODY),
        """
      page.form(item("R", "K", "4"), null);
      edit(1, "text"); type("7");
      const own = byId("fth-form").querySelectorAll("textarea")[1];
      own.value = "So 5."; own.dispatchEvent(new Event("input"));
      tell(data("fth-draft").edits, data("fth-draft").texts, data("fth-draft").key);
      page.reset(1); tell(data("fth-draft").edits, data("fth-draft").key, said(), last("fth-apply").disabled);
      page.form(null, null); tell(byId("fth-form").children.length, page.apply(1)[0]);
    """,
    )
    assert told[0] == [["keep", "text"], ["a.", "So 5."], "7"]
    assert told[1] == [["keep", "keep"], "4", "", True] and told[2] == [0, "unchanged"]


def test_a_page_that_is_opened_begins_with_the_edits_of_its_address_once(scripted: Scripted) -> None:
    told = played(
        scripted(BODY),
        """
      const start = { item: "R", edits: ["text:x", "delete"], key: "9" };
      page.failed(null); page.form(null, start);
      page.form(item("R", "K", "4"), start); tell(last("fth-asked").data.edits, data("fth-draft").key);
      page.form(item("S", "T", "4"), start); tell(last("fth-asked").data, data("fth-draft").edits);
      page.form(item("R", "K", "4"), start); tell(last("fth-asked").data, data("fth-draft").edits);
    """,
    )
    assert told[0] == [["text:x", "delete"], "9"]
    assert told[1] == told[2] == [None, ["keep", "keep"]]


def test_edits_go_along_to_the_same_text_under_another_mechanism_only(scripted: Scripted) -> None:
    told = played(
        scripted(BODY),
        """
      page.form(item("R", "K", "4"), null); edit(0, "delete"); page.apply(1);
      page.form(item("K", "R", "5"), null);
      tell(last("fth-asked").data.item, data("fth-draft").edits, data("fth-draft").key);
      page.form(item("Z", "Y", "5"), null); tell(last("fth-asked").data, data("fth-draft").edits);
    """,
    )
    assert told == [["K", ["delete", "keep"], "5"], [None, ["keep", "keep"]]]


def test_the_address_names_edits_of_the_open_item_only(scripted: Scripted) -> None:
    call = """([item, asked]) => dash_clientside.attune_faith.address(item, "intervene", "1", "", asked, null,
      ["model", "study", "item", "tab", "tier", "measure", "edits", "key"])"""
    page = scripted()
    open_, asked = {"item": "i", "study": "s"}, {"item": "i", "study": "s", "edits": ["keep", "delete"], "key": "k"}
    assert page.evaluate(call, [open_, asked]).endswith("&edits=%5B%22keep%22%2C%22delete%22%5D&key=k")
    assert page.evaluate(call, [open_, asked | {"item": "j"}]) == "/?study=s&item=i&tab=intervene&tier=1"
    assert page.evaluate(call, [None, asked]) == "unchanged"
