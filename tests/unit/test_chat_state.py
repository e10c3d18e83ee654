"""A conversation as the browser and its address keep it: checked, and kept turn by turn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis.asker import LOOKING
from analysis.errors import UserError
from analysis.home import folder
from pages.frame.security import MARKS
from pages.steering.chat import keep
from pages.steering.chat_state import MAX_NODES, Talk, conversation_of, kept


def held(count: int, tokens: int = 5) -> Any:
    """A conversation of turns with replies of so many tokens, as the browser has it."""
    ids = " ".join(map(str, range(1000, 1000 + tokens)))
    turn = {"user": "Which box?", "reply": "word " * tokens, "ids": ids, "base": "w", "base_ids": ids}
    nodes = [{**turn, "id": n, "parent": n - 1 if n else None} for n in range(count)]
    return {"nodes": nodes, "leaf": count - 1, "other": None, "system": ""}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A data folder without the texts of other tests."""
    monkeypatch.setenv("ATTUNE_HOME", str(tmp_path))


def test_a_longer_conversation_adds_a_turn_and_a_list_and_no_copy() -> None:
    names = [kept(conversation_of(held(30, 400)))]
    before = {path.name: path.stat().st_size for path in folder("texts").iterdir()}
    names.append(kept(conversation_of(held(31, 400))))
    added = {path.name: path.stat().st_size for path in folder("texts").iterdir() if path.name not in before}
    turn = len(json.dumps(conversation_of(held(31, 400))["nodes"][-1]))
    assert len(added) == 2 and sum(added.values()) < turn + 31 * 70 + 100
    assert [Talk().load(name) for name in names] == [conversation_of(held(n, 400)) for n in (30, 31)]
    # The file of one turn is gone: the conversation is not opened with a hole in it.
    (folder("texts") / min(added, key=lambda name: -added[name])).unlink()
    assert Talk().load(names[0])["leaf"] == 29
    with pytest.raises(UserError, match="is not in this data folder"):
        Talk().load(names[1])


def test_a_conversation_of_the_most_turns_is_small_enough_to_be_sent_whole() -> None:
    body = json.dumps(conversation_of(held(MAX_NODES, 800)))
    assert len(body) > 1 << 20, "large enough that its marks are counted"
    assert sum(body.count(mark) for mark in "[{,") < MARKS / 2


def test_what_is_not_in_the_address_is_said() -> None:
    name, said = keep(held(2))
    assert name and said == ""
    name, said = keep(held(MAX_NODES + 1))
    assert name == "" and said.startswith("Not in the address: A conversation has at most 300 turns")
    assert keep(None) == ("", "")
    looking = LOOKING.set(True)
    try:
        name, said = keep(held(30, 400))
    finally:
        LOOKING.reset(looking)
    assert name == "" and "who may only look" in said


def test_ids_come_as_a_string_or_as_a_list_and_nothing_else() -> None:
    chat = held(1)
    chat["nodes"][0] |= {"ids": [3, 4], "base_ids": [], "system": "Be brief."}  # as older addresses and files have it
    (node,) = conversation_of(chat)["nodes"]
    assert (node["ids"], node["base_ids"], node["system"]) == ("3 4", "", "Be brief.")
    for name, value in (("ids", "3  4"), ("ids", "-1"), ("ids", "3,4"), ("ids", "1 " * 30_000 + "1"), ("ids", {"a": 1}),
                        ("base_ids", "٣"), ("system", 3), ("system", "x" * 5_001)):  # fmt: skip
        with pytest.raises(UserError):
            conversation_of({**chat, "nodes": [{**chat["nodes"][0], name: value}]})
