"""State of the Attention page: what stands in its address. Anything odd there falls back to the usual, with a word."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Any

from analysis.bridge.steers import FeatureSteer, Steer
from analysis.corpora.text_source import TextSource, source_of
from analysis.errors import UserError, empty_number, is_empty
from analysis.fields import Choice, Flag, Text, Whole
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.qk.contrasts import PRESET_PROMPTS
from analysis.qk.contrasts.spec import ContrastSpec
from analysis.qk.ops.corpus import LENGTH, LONGEST, MOST_TEXTS, TEXTS
from analysis.qk.ops.drawn import MOST_CELLS
from components.kit.types import Json, Typed
from pages.address import parse_json, recall, remember
from pages.attention.cells import read_cells, write_cells
from pages.state import At, Model, Parsed, Prompt

PATH = "/attention"
TABS = ("why", "swap", "evidence", "both", "map", "overlap", "steered")
MOST_FEATURES = 6
PATTERNS = ("previous", "diagonal", "first", "column", "block", "none")
"""Patterns that have a name; what else is drawn is written cell by cell."""
NO_PAIR = "none"
"""In place of pairs: all were taken away by hand."""
LONG_CELLS = 600
_USUAL = ContrastSpec("induction").to_dict()


@dataclass(frozen=True)
class Head:
    """A head of a layer."""

    layer: int
    head: int

    @classmethod
    def of(cls, data: Json) -> Head | None:
        """What the page's store holds, which may be nothing yet."""
        return cls(**data) if data else None


def _head(data: Json) -> dict[str, int]:
    numbers = {name: data.get(name) for name in ("layer", "head")} if isinstance(data, dict) else {}
    head = {name: value for name, value in numbers.items() if type(value) is int and value >= 0}
    if len(head) < 2:
        raise UserError("The head in the address cannot be used; the strongest one of the prompt is opened.")
    return head


def _features(text: str) -> list[dict[str, Any]]:
    data = parse_json(recall(text))
    if not isinstance(data, list):
        raise UserError("The features in the address cannot be used; the usual one is in the list.")
    return [f for f in map(_feature, data[:MOST_FEATURES]) if f]


def _feature(data: Json) -> dict[str, Any] | None:
    try:
        return ContrastSpec.from_dict(data).to_dict()
    except UserError:
        return None


def text_of(features: Json) -> str:
    """The list of features in an address: itself, or the hash of a file that holds it."""
    return remember(json.dumps(features or [], separators=(",", ":")))


def _steer(data: Json) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise UserError("The steering set-up in the address cannot be used.")
    return Steer.from_dict(data).to_dict()


def cells_text(cells: Json) -> str:
    """Drawn cells, or pairs of tokens, in an address: runs, or the hash of a file that holds them. Empty for none, for
    more than can be drawn, and for who may only look where it takes a file."""
    return remember(write_cells(cells), LONG_CELLS) if cells and len(cells) <= MOST_CELLS else ""


def drawn_cells(drawn: str) -> list[list[int]] | None:
    """The cells of a pattern that was drawn by hand; None of one that has a name, which the browser makes."""
    return read_cells(drawn) if drawn and drawn not in PATTERNS else None


def pairs_by_hand(pairs: str) -> list[list[int]] | None:
    """Pairs of tokens that were made by hand, which may be none at all; None where they are paired by slot."""
    return [] if pairs == NO_PAIR else read_cells(pairs) if pairs else None


def _drawn(text: str) -> str:
    if text in PATTERNS:
        return text
    cells = _cells(text, "The drawn pattern in the address cannot be used; draw it anew.")
    if any(key > query for query, key in cells):
        raise UserError("The drawn pattern in the address has a key after its query; draw it anew.")
    return write_cells(cells)  # type: ignore[arg-type]


def _pairs(text: str) -> str:
    if text == NO_PAIR:
        return text
    return write_cells(_cells(text, "The pairs of tokens in the address cannot be used; they are paired by slot."))  # type: ignore[arg-type]


def _cells(text: str, refusal: str) -> list[list[int]]:
    try:
        cells = read_cells(recall(text))
    except UserError:
        cells = []
    if not cells:
        raise UserError(refusal)
    return cells


def _corpus(text: str) -> str:
    source_of(text)
    return text


def _kept(text: str) -> str:
    return remember(text, LONG_CELLS)


_SETUP = SteeringSettings("block-10", (RegionSetting(3, 0.25, (1.0, -2.0)),), "add", layers=(12,)).to_dict()
_OWN_TEXTS = json.dumps(TextSource("text", "0" * 64, "notes.txt").to_dict())
_SCATTERED = write_cells((q, q // 3) for q in range(0, 900, 3))


@dataclass(frozen=True)
class AttentionState:
    """``head``: layer and head that are open, ``query`` and ``key``: positions of the chosen tokens; None: not chosen.
    ``features``: contrasts in the list, ``active`` one of them, ``rank`` used where it is set by hand (``manual``).
    ``target`` and ``over``: ids of the predicted token that is asked about and of the one beside it; -1 as of
    :class:`analysis.qk.ops.token.OnToken`.
    ``steer``: a set-up of the Steering page, a feature or an edit of the Othello board, under which *Steered by*
    reads the prompt. ``other``, ``site``, ``pairs`` and ``measured`` are of *Two prompts*, ``drawn`` is the drawn
    pattern, and ``texts``, ``length`` and ``corpus`` are the texts of scores over many; ``baseline``, ``way``,
    ``source``, ``what`` and ``at`` say how heads and MLPs are taken out, ``rotary``, ``centred``, ``orthogonalise`` and
    ``unit`` how a feature explains a logit."""

    model: Annotated[dict[str, Any] | None, Model()] = None
    text: Annotated[str, Prompt()] = PRESET_PROMPTS[0]["text"]
    chat: Annotated[bool, Flag()] = False
    generate: Annotated[int, Whole(0, 200)] = 0
    head: Annotated[dict[str, int] | None, Parsed(_head, ({"layer": 18, "head": 6}, None))] = None
    query: Annotated[int, Whole(0, 10**6)] | None = None
    key: Annotated[int, Whole(0, 10**6)] | None = None
    features: Annotated[list[dict[str, Any]], Parsed(_features, ([_USUAL], []), raw=True, form=text_of)] = field(
        default_factory=lambda: [_USUAL]
    )
    active: Annotated[int, Whole(0, MOST_FEATURES - 1)] = 0
    manual: Annotated[bool, Flag()] = False
    rank: Annotated[int, Whole(0, 4096)] = 8
    side: Annotated[str, Choice(("query", "key", "both"))] = "query"
    reference: Annotated[str, Choice(("others", "token", "none"))] = "others"
    tab: Annotated[str, Choice(TABS)] = "why"
    score: Annotated[str, Text(39)] = "falls"
    target: Annotated[int, Whole(-1, 10**7)] = -1
    over: Annotated[int, Whole(-1, 10**7)] = -1
    steer: Annotated[dict[str, Any] | None, Parsed(_steer, (_SETUP, FeatureSteer("fit", 3, -1).to_dict(), None))] = None
    other: Annotated[str, Prompt()] = ""
    site: Annotated[str, Choice(("residual", "attention", "mlp"))] = "residual"
    pairs: Annotated[str, Parsed(_pairs, ("0.0d9_10.12", NO_PAIR), raw=True, form=_kept)] = ""
    measured: Annotated[str, Choice(("nats", "kl"))] = "nats"
    drawn: Annotated[str, Parsed(_drawn, ("previous", "3.2d40_50.0", _SCATTERED), raw=True, form=_kept)] = ""
    texts: Annotated[int, Whole(2, MOST_TEXTS)] = TEXTS
    length: Annotated[int, Whole(4, LONGEST)] = LENGTH
    corpus: Annotated[str, Parsed(_corpus, (_OWN_TEXTS,), raw=True)] = "bundled"
    baseline: Annotated[str, Choice(("mean", "zero", "resampled", "patch"))] = "mean"
    way: Annotated[str, Choice(("all", "query", "key", "value"))] = "all"
    source: Annotated[str, Prompt(), At("from")] = ""
    what: Annotated[str, Choice(("output", "pattern", "query", "key", "value"))] = "output"
    at: Annotated[str, Choice(("all", "key"))] = "all"
    rotary: Annotated[str, Choice(("post", "pre"))] = "post"
    centred: Annotated[bool, Flag()] = False
    orthogonalise: Annotated[bool, Flag()] = False
    unit: Annotated[str, Choice(("nats", "raw", "writes"))] = "nats"
    problems: tuple[str, ...] = ()


def rank_of(rank: Typed, manual: bool) -> int:
    """The rank that is set by hand, or -1 for the energy rule's. Raises UserError for an emptied one."""
    if not manual:
        return -1
    if is_empty(rank):
        raise empty_number("The rank", "a whole number from 1, or let the energy rule choose it", "rank")
    return int(rank)


def features_of(data: Json) -> tuple[ContrastSpec, ...]:
    """The contrasts in the page's store."""
    return tuple(ContrastSpec.from_dict(f) for f in data or [])
