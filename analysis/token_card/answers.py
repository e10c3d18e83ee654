"""What a token card says: one token, its text, and its rows in four decompositions, each number beside its null."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

from analysis.answer import Absent
from analysis.models.token_name import TokenName


@dataclass(frozen=True)
class Place:
    """Where a row leads: the path of a page, and the entries of its address."""

    path: str
    query: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TokenContext:
    """The tokens around the one asked about: ``tokens`` from position ``first`` on, of ``count``; the one itself is at
    ``at``. The text is a prompt (``text``, ``chat``, ``generate``) or the tokens ``ids``."""

    tokens: tuple[TokenName, ...]
    first: int
    at: int
    count: int
    text: str
    chat: bool
    generate: int
    ids: Annotated[tuple[int, ...] | None, Absent()] = None


@dataclass(frozen=True)
class SubspaceRow:
    """A head of a fitted feature: shares in [0, 1] of the token's query and key in the feature's subspace, what a
    random subspace of that ``rank`` holds (``expected``), and the medians of the text's tokens; ``trace`` in nats, with
    mean and standard deviation under relabelled examples."""

    feature: str
    layer: int
    head: int
    trace: float
    null_trace: tuple[float, float] | None
    rank: int
    width: int
    expected: float
    query: float
    key: float
    query_typical: float
    key_typical: float
    link: Place


@dataclass(frozen=True)
class NamedRegion:
    """A region of a fit: where the fit reads, and what the region is called."""

    fit: str
    where: str
    layer: int
    region: int
    label: str
    theme: str
    purity: float
    link: Place


@dataclass(frozen=True)
class RegionRow(NamedRegion):
    """The region that the token lies in: its ``responsibility``, the median of the text's tokens (``typical``) and the
    share of all tokens in it (``expected``); the region after it; ``local``: the offset within the region as a share of
    the distance from the mean; ``outside``: the fit has not seen such a position."""

    responsibility: float
    typical: float
    expected: float
    second: int
    second_label: str
    second_share: float
    local: float
    outside: bool


@dataclass(frozen=True)
class LeadingRegionRow(NamedRegion):
    """A region among whose leading tokens this one is, of rank ``rank``; ``why`` it is one of them."""

    why: str
    rank: int


@dataclass(frozen=True)
class ChannelRow:
    """A channel with a form of the token among its 20: its percentile among channels of random vectors with the p-value
    ``p``, the token's z-score on it, and the neuron's own."""

    layer: int
    vector: str
    neuron: int
    channel: int
    z: float
    own_z: float
    p: float
    percentile: float
    cosine: float
    id: int
    token: str
    beyond: bool
    link: Place


@dataclass(frozen=True)
class NamedFeature:
    """A feature of a factorization: where it reads, what it is called, ``how`` the token meets it, and on which share
    of all tokens it is active."""

    fit: str
    where: str
    layer: int
    feature: int
    label: str
    how: str
    active: float
    link: Place


@dataclass(frozen=True)
class UsedFeatureRow(NamedFeature):
    """A feature that the token uses: ``value`` relative to its usual activation, the ``share`` of tokens on which it is
    at least as active, and the share at which one feature of the fit is to be expected by chance."""

    value: float
    share: float
    expected: float


@dataclass(frozen=True)
class PromotingFeatureRow(NamedFeature):
    """A feature with the token among the 20 that it pushes up: of rank ``rank``, with the logit ``value``."""

    rank: int
    value: float


Row = SubspaceRow | RegionRow | LeadingRegionRow | ChannelRow | UsedFeatureRow | PromotingFeatureRow


@dataclass(frozen=True)
class TokenPart:
    """One decomposition: its rows, the sentence that says how to read them, and where it is shown."""

    title: str
    rows: tuple[Row, ...]
    sentence: str
    link: Place


@dataclass(frozen=True)
class LensRow:
    """What the plain logit lens says of the token at the place before it, behind the embeddings and each block: its
    ``ranks``, 1 the first of all tokens, and ``chances``; the same ``steered``, empty without a set-up; ``how`` that
    steers, in words; ``agreement``: how often the lens puts the model's own next token first there; a ``sentence`` on
    how to read it."""

    ranks: tuple[int, ...]
    chances: tuple[float, ...]
    steered_ranks: tuple[int, ...]
    steered_chances: tuple[float, ...]
    agreement: tuple[float, ...]
    how: str
    sentence: str


@dataclass(frozen=True)
class TokenCardAnswer:
    """A token with its forms, its text and its parts; or, with no ``id``, the ``pieces`` of a typed text that is
    several tokens, of which one is to be chosen. ``why``: where it is asked why it stands there, and ``why_note``, what
    of that cannot be asked; both None without a text before it."""

    id: int | None
    token: str
    forms: tuple[TokenName, ...]
    context: TokenContext | None = None
    note: str = ""
    parts: tuple[TokenPart, ...] = ()
    text: str = ""
    pieces: tuple[TokenName, ...] = ()
    sentence: str = ""
    lens: LensRow | None = None
    why: Annotated[Place | None, Absent()] = None
    why_note: Annotated[str | None, Absent()] = None
