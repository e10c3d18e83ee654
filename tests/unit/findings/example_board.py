"""A board of a few findings with a prompt in every place where one can stand, made without a model."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import numpy as np

from analysis.engine.keys import hash_of
from analysis.engine.question import Result
from analysis.findings.export.handover import Exhibit, Handover
from analysis.findings.records import Board, BoardContent, Check, Item, Pin, QuestionStamp

SECRET = "The zebra of Quxford paid <b>1984</b> & “Ölmühle” twice"
TOKENS = [
    "The",
    " ze",
    "bra",
    " of",
    " Qux",
    "ford",
    " paid",
    " <b>",
    "1984",
    "</b>",
    " &",
    " “",
    "Öl",
    "mühle",
    "”",
    " twice",
]
PUBLIC = "A quiet sentence about nothing"


def pin(
    name: str, prompt: str, tokens: list[str], first: int, theme: str = "light"
) -> tuple[Pin, Result, dict[str, Any]]:
    """A pin of the view that these tests draw, with its answer and its figure."""
    labels = [f"{i} {token.strip()}" for i, token in enumerate(tokens)]
    figure = {
        "data": [
            {
                "type": "heatmap",
                "mode": "lines",
                "x": labels,
                "z": [[0.5] * len(labels)],
                "customdata": [[first + i, t] for i, t in enumerate(tokens)],
                "hovertemplate": "%{x} %{customdata[1]}<extra>" + prompt[:12] + "…</extra>",
            }
        ],
        "layout": {"title": {"text": f"Attention in “{prompt}”"}, "paper_bgcolor": "#fff"},
    }
    ids = list(range(first, first + len(tokens)))
    result = Result({"labels": tokens, "ids": ids, "sentence": f"From {tokens[2]}."})
    result.arrays["scores"] = np.ones(len(tokens), dtype=np.float32)
    made = Pin(
        id=name,
        title=f"Row of {tokens[2].strip()}",
        ref={
            "view": "attention/row",
            "questions": [
                {
                    "operation": "AttentionRow",
                    "params": {"text": prompt, "layer": 3, "tokens": ids},
                    "key": "ab" * 32,
                }
            ],
            "options": {"theme": "plain"},
        },
        address="/attention?text=" + quote(prompt),
        caption=f"43 % of the attention goes to {tokens[4].strip()}, in JSON {json.dumps(prompt)}.",
        theme="light",
        made=1.0,
        answers=(hash_of(result.data),),
        figure=hash_of(figure),
        height=320,
        parts=(
            {
                "kind": "table",
                "title": "Keys",
                "columns": ["key", "share", "id"],
                "rows": [[t, 0.25, first] for t in tokens],
            },
            {
                "kind": "texts",
                "title": "Texts",
                "texts": [
                    {
                        "title": "plain",
                        "text": prompt + " and then",
                        "prompt": prompt,
                        "tokens": [[t, 0.5] for t in [*tokens, " and", " then"]],
                        "numbers": {"KL of " + tokens[4]: 0.5},
                    }
                ],
            },
        ),
        control={"name": "shuffled labels", "text": f"Shuffled, {tokens[2]} has 0.1.", "numbers": {"null": 0.1}},
        numbers={f"share of {tokens[4].strip()}": 0.43, "entropy": 1.5, "ids.0": first, "next.ids.1": first + 1},
        facts={"prompt": prompt, "rank": 4, "token_id": first + 2},
        picture="cd" * 32 if prompt == SECRET else "",
        models=(
            {"label": "SmolLM2", "source": "default", "revision": "", "dtype": "float32", "fingerprint": "ff" * 8},
        ),
        stamps=(QuestionStamp("AttentionRow", "model-1", "code-1", ""),),
        version="0.1.0",
    )
    return made, result, figure


def exhibit(made: Pin, figure: dict[str, Any], theme: str) -> Exhibit:
    """The pin as it is drawn (components/findings/exhibit.py), in a theme."""
    return {
        "id": made.id,
        "title": made.title,
        "caption": made.caption,
        "figure": figure | {"layout": figure["layout"] | {"font": {"color": "#000" if theme == "light" else "#fff"}}},
        "height": made.height,
        "parts": list(made.parts),
        "control": made.control,
        "numbers": made.numbers,
        "settings": {
            "view": made.ref["view"],
            "text": made.facts["prompt"],
            "layer": 3,
            "token_id": made.facts["token_id"],
        },
        "facts": made.facts,
        "address": made.address,
        "models": list(made.models),
        "date": "2026-01-01",
        "check": None,
        "stale": None,
    }


def handover() -> Handover:
    """Two findings, one with the secret prompt, one without, and notes that quote it."""
    secret, one, figure = pin("pin-a", SECRET, TOKENS, 40_101)
    public, two, plain = pin("pin-b", PUBLIC, ["A", " quiet", " sentence", " about", " nothing"], 70_101)
    address = f"/steering?text={quote(SECRET)}"
    items = (
        Item("i0", "b", "section", 0.0, 1, {"title": "First part"}, 1.0),
        Item(
            "i1",
            "b",
            "finding",
            1.0,
            1,
            {
                "claim": "It looks at Quxford.",
                "pins": ["pin-a"],
                "note": f"See [there]({address}), where *{SECRET}* is {{{{share of Qux}}}}.",
                "speaker": "Say slowly: zebra!",
                "counter": "None.",
            },
            1.0,
        ),
        Item("i2", "b", "finding", 2.0, 1, {"claim": "Nothing here.", "pins": ["pin-b"], "note": "A plain note."}, 1.0),
        Item("i3", "b", "step", 3.0, 1, {"address": address, "card": "row", "note": "Look."}, 1.0),
    )
    checks = {
        "pin-a": Check(
            "pin-a", 2.0, "moved", "The share of Quxford moved by 0.1.", ("ef" * 32,), {"x": 1.0, "ids.0": 40106.0}
        )
    }
    board = Board("b", "The zebra board", "board", 1.0, 2.0, 7, "never-in-a-file")
    return Handover(
        BoardContent(board, items, {"pin-a": secret, "pin-b": public}, checks),
        {hash_of(one.data): one, hash_of(two.data): two},
        {hash_of(figure): figure, hash_of(plain): plain},
        {"cd" * 32: b"\x89PNG\r\n\x1a\n" + SECRET.encode()},
        {p.id: {t: exhibit(p, f, t) for t in ("light", "dark")} for p, f in ((secret, figure), (public, plain))},
    )
