"""State of the Neurons page, in its address and in its stores.

Stores hold the questions whose answers are shown, and never the answers: what goes up at a click stays small.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from analysis.answer import extended
from analysis.engine.client import Reply
from analysis.errors import UserError
from analysis.fields import Choice, Real, Whole
from analysis.rotate.answers.channels import NeuronChannels
from analysis.rotate.answers.neurons import NeuronsKnown, Place, Token
from analysis.rotate.ops.channels import MAX_CHANNELS, MAX_EXCLUDED, OPTIMISERS, FindChannels
from analysis.rotate.ops.neurons import KINDS, NeuronVector, OfNeuron
from analysis.view_ref import QuestionRef
from components.kit.types import Json, Typed
from components.rotate.lists import ORDERS
from pages.common import reply_of
from pages.state import At, Model, Parsed, Partly, Prompt

PATH = "/neurons"
TABS = ("channels", "ablation", "geometry", "layers", "null", "lists")
SETTINGS = ("channels", "kurtosis_weight", "cosine_weight", "mask_z", "optimiser", "seed")
"""Fields of the search for channels, in the order of the form."""


def _tokens(data: Json) -> Partly:
    rows = data if isinstance(data, list) else []
    usable = list(dict.fromkeys(n for n in rows if type(n) is int and 0 <= n <= 10_000_000))
    sentence = f"Not all tokens that the address leaves out can be used: at most {MAX_EXCLUDED} different numbers."
    whole = usable == data and len(usable) <= MAX_EXCLUDED
    return Partly(tuple(usable[:MAX_EXCLUDED]), () if whole else (sentence,))


@dataclass(frozen=True)
class NeuronsState:
    """The page's state at opening. ``layer`` None: the neuron that most of the null lies below; ``channel`` None: none
    was open, so nothing is computed unasked."""

    model: Annotated[dict[str, Any] | None, Model()] = None
    layer: Annotated[int, Whole(0, 9_999)] | None = None
    vector: Annotated[str, Choice(KINDS)] | None = None
    neuron: Annotated[int, Whole(0, 10_000_000)] | None = None
    channels: Annotated[int, Whole(1, MAX_CHANNELS)] = 5
    kurtosis_weight: Annotated[float, Real(0, 100), At("lk")] = 0.3
    cosine_weight: Annotated[float, Real(0.001, 100), At("lf")] = 1.0
    mask_z: Annotated[float, Real(1, 50), At("mask")] = 4.0
    optimiser: Annotated[str, Choice(OPTIMISERS)] = "lbfgs"
    seed: Annotated[int, Whole(0, 2**31 - 1)] = 0
    excluded: Annotated[tuple[int, ...], At("without"), Parsed(_tokens, survive=((9, 4),))] = ()
    channel: Annotated[int, Whole(1, MAX_CHANNELS)] | None = None
    text: Annotated[str, Prompt()] = ""
    tab: Annotated[str, Choice(TABS)] = "channels"
    order: Annotated[str, Choice(tuple(ORDERS))] = "beyond"
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pick:
    """What a click, or the address, names of a neuron and a channel of it; None for what it leaves open. ``turn`` tells
    equal clicks apart."""

    layer: int | None = None
    vector: str | None = None
    neuron: int | None = None
    channel: int | None = None
    turn: float = 0

    def completed(self, usual: Place) -> Place:
        """The neuron, with what is open taken from another."""
        return Place(
            usual.layer if self.layer is None else self.layer,
            usual.vector if self.vector is None else self.vector,
            usual.neuron if self.neuron is None else self.neuron,
        )

    @property
    def empty(self) -> bool:
        """Whether no neuron is named at all."""
        return self.layer is None and self.vector is None and self.neuron is None


def pick_of(data: Json) -> Pick:
    """A pick from its store."""
    return Pick(**(data or {}))


@dataclass(frozen=True)
class Autostart:
    """Whether a search begins unasked for the open neuron; ``turn`` tells it from the last time."""

    place: Place
    go: bool
    turn: int

    @classmethod
    def from_dict(cls, data: Json) -> Autostart | None:
        """What the page's store holds."""
        return None if data is None else cls(Place(**data["place"]), data["go"], data["turn"])


def neuron_of(data: Json) -> NeuronVector | None:
    """The open neuron as the question of its vector."""
    return NeuronVector.from_params(data) if data else None


def place_of(neuron: OfNeuron[Any]) -> Place:
    """Where the neuron of a question is."""
    return Place(neuron.layer, neuron.vector, neuron.neuron)


def open_place(data: Json) -> Place | None:
    """Where the open neuron is."""
    neuron = neuron_of(data)
    return None if neuron is None else place_of(neuron)


def known_of(question: Json) -> NeuronsKnown | None:
    """What is known of the model's neurons."""
    known: NeuronsKnown | None = reply_of(question).answer if question else None
    return known


def tokens_of(rows: Json) -> tuple[Token, ...]:
    """The tokens that are left out of the search."""
    return tuple(Token(**row) for row in rows or ())


def search_of(neuron: NeuronVector, values: Sequence[Typed], excluded: Sequence[Token]) -> FindChannels:
    """The search for channels of a neuron, from the form's values in the order of SETTINGS. Raises UserError for what
    cannot be used: here, where it was typed, and not from a job."""
    typed = dict(zip(SETTINGS, values, strict=True))
    return extended(FindChannels, neuron, **typed, excluded=tuple(token.id for token in excluded))


def channels_of(question: Json, neuron: Json) -> Reply[NeuronChannels] | None:
    """The channels that were searched for, if they are those of the open neuron and still kept; else None."""
    if not question or not neuron:
        return None
    ref = QuestionRef.from_dict(question)
    if any(ref.params.get(name) != value for name, value in neuron.items()):
        return None
    try:
        return reply_of(ref)
    except UserError:
        return None


def question_of(reply: Reply[NeuronChannels]) -> FindChannels:
    """The search whose channels these are."""
    return FindChannels.from_params(reply.question.params)
