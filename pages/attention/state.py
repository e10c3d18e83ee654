"""State of the Attention page: what stands in its address. Anything odd there falls back to the usual, with a word."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Any

from analysis.bridge.steers import FeatureSteer, Steer
from analysis.errors import UserError, empty_number, is_empty
from analysis.fields import Choice, Flag, Text, Whole
from analysis.mfa.settings import RegionSetting, SteeringSettings
from analysis.qk.contrasts import PRESET_PROMPTS
from analysis.qk.contrasts.spec import ContrastSpec
from components.kit.types import Json, Typed
from pages.address import parse_json, recall, remember
from pages.state import Model, Parsed, Prompt

PATH = "/attention"
TABS = ("why", "swap", "evidence", "both", "map", "overlap", "steered")
MOST_FEATURES = 6
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


_SETUP = SteeringSettings("block-10", (RegionSetting(3, 0.25, (1.0, -2.0)),), "add", layers=(12,)).to_dict()


@dataclass(frozen=True)
class AttentionState:
    """``head``: layer and head that are open, ``query`` and ``key``: positions of the chosen tokens; None: not chosen.
    ``features``: contrasts in the list, ``active`` one of them, ``rank`` used where it is set by hand (``manual``).
    ``target`` and ``over``: ids of the predicted token that is asked about and of the one beside it; -1 as of
    :class:`analysis.qk.ops.token.OnToken`.
    ``steer``: a set-up of the Steering page, a feature or an edit of the Othello board, under which *Steered by*
    reads the prompt."""

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
