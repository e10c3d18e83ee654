"""The cards of the Neurons page that have no graph, as plain values: lists of neurons, tokens, channels, an ablation.

The page lays them out with :mod:`components.rotate.cards` and :mod:`components.rotate.lists`; what leaves the page is
drawn from these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.rotate.answers.channels import Ablation, Channel, NeuronChannels
from analysis.rotate.answers.neurons import NeuronsKnown, TokenScore, VectorCard
from components.kit.part import Facts, Part, Table, Text, Texts
from components.kit.view import Drawing, NoOptions, view
from components.rotate.ablation_figures import ARMS, in_order
from components.rotate.channel_figures import OpenChannel
from components.rotate.evidence import (
    ablation_control,
    ablation_numbers,
    band_control,
    channels_numbers,
    known_control,
    null_control,
    vector_numbers,
)
from components.rotate.lists import ORDERS, with_words
from components.rotate.lists import in_order as neurons_in_order

LISTED = 150
"""Rows of the list of neurons, as many as the page shows."""
GROUPS = 40
"""Groups of tokens on which random vectors land, as many as the page shows."""


@dataclass(frozen=True)
class ListOptions:
    """``order`` and ``words`` of the search, as on the page."""

    order: str = "beyond"
    words: str = ""


@view("neurons/ready", NeuronsKnown, options=ListOptions)
def ready_neurons(known: NeuronsKnown, options: ListOptions, theme: str) -> Drawing:
    """The list of neurons whose channels are ready."""
    rows = with_words(neurons_in_order(known.bundled, options.order), options.words)
    columns = ("layer", "vector", "neuron", "tokens", "kurtosis", "own z", "percentile", "beyond", "channels")
    listed = tuple(
        (r.layer, r.vector, r.neuron, " ".join(t.strip() for t in r.top), r.kurtosis, r.own_z, r.percentile, r.beyond,
         r.channels)
        for r in rows[:LISTED]
    )  # fmt: skip
    searched = f" that hold “{options.words}”" if options.words.strip() else ""
    order = ORDERS.get(options.order, ORDERS["beyond"])
    something = sum(not r.nothing for r in known.bundled)
    return Drawing(
        caption=f"{len(rows)} of {len(known.bundled)} neurons{searched}, {order}. {something} of all hold something "
        "beyond the null.",
        parts=(Table("Neurons whose channels are ready", columns, listed),),
        control=known_control(known.null),
        numbers={"neurons": float(len(known.bundled)), "neurons with something": float(something)},
    )


@view("neurons/ends", VectorCard)
def token_ends(card: VectorCard, options: NoOptions, theme: str) -> Drawing:
    """The tokens at both ends of a weight vector."""
    return Drawing(
        caption=card.sentence,
        parts=(_scores("High end", card.high), _scores("Low end", card.low)),
        control=band_control(card.band),
        numbers=vector_numbers(card),
    )


def _scores(title: str, rows: Sequence[TokenScore]) -> Table:
    return Table(title, ("token", "z"), tuple((row.token, row.z) for row in rows))


@view("neurons/channels", NeuronChannels, options=OpenChannel)
def neuron_channels(answer: NeuronChannels, options: OpenChannel, theme: str) -> Drawing:
    """The verdict on a neuron, its channels beside the null, and the tokens of each."""
    columns = ("channel", "standing", "own z", "percentile", "p", "cosine", "kurtosis", "pole", "first tokens")
    rows = tuple(
        (c.number, standing(c), c.own_z, c.percentile, c.p, c.cosine, c.kurtosis, "+" if c.pole > 0 else "−",
         " ".join(t.token.strip() for t in c.tokens[:5]))
        for c in answer.channels
    )  # fmt: skip
    parts: list[Part] = [Table("Channels", columns, rows)]
    if answer.left_out:
        parts.append(_scores("Left out of the search", answer.left_out))
    parts += [
        Table(f"Channel {c.number}", ("token", "z in the channel", "z in the neuron"), tuple(
            (t.token, t.z, t.own) for t in c.tokens
        ))
        for c in answer.channels
    ]  # fmt: skip
    source = f"{answer.source[:1].upper()}{answer.source[1:]}."
    return Drawing(
        caption=" ".join(filter(None, (answer.verdict, answer.recipe, source))),
        facts=answer.settings | {"source": answer.source},
        parts=tuple(parts),
        control=null_control(answer.null, "own_z", "cosine", "kurtosis"),
        numbers=channels_numbers(answer, options.channel),
    )


def standing(channel: Channel) -> str:
    """How a channel stands, in words."""
    words = "beyond the null" if channel.beyond else "like a random vector"
    return f"{words}, attractor" if channel.attractor else words


@view("neurons/ablation", Ablation)
def ablation_parts(answer: Ablation, options: NoOptions, theme: str) -> Drawing:
    """What falls without the channel, in words, over the text that was read, and arm by arm."""
    top = max((abs(v) for v in answer.activation), default=1.0) or 1.0
    tokens = tuple(
        (label.replace("␣", " "), value / top) for label, value in zip(answer.labels, answer.activation, strict=True)
    )
    text = Text("Shaded by the neuron's activation", "".join(label for label, _ in tokens), tokens=tokens)
    return Drawing(
        caption=answer.sentence,
        parts=(Texts("Text", (text,)), _arms(answer)),
        control=ablation_control(answer),
        numbers=ablation_numbers(answer),
    )


@view("neurons/arms-table", Ablation)
def arm_rows(answer: Ablation, options: NoOptions, theme: str) -> Drawing:
    """The arms of an ablation as numbers."""
    return Drawing(
        caption=answer.sentence,
        parts=(_arms(answer),),
        control=ablation_control(answer),
        numbers=ablation_numbers(answer),
    )


def _arms(answer: Ablation) -> Table:
    ends = ("", ", low", ", high")
    columns = ("taken out", *(f"{what}{end}" for what in ("its own", "others") for end in ends), "own − others")
    rows = tuple(
        (ARMS.get(a.name, a.name), a.own, *a.own_interval, a.other, *a.other_interval, a.score)
        for a in in_order((*answer.arms, answer.whole))
    )
    return Table(f"What falls, in {answer.unit}, with 95 % intervals", columns, rows)


@view("neurons/null", NeuronsKnown)
def null_parts(known: NeuronsKnown, options: NoOptions, theme: str) -> Drawing:
    """What random vectors give: this is the null itself, and so has no control."""
    null = known.null
    if null is None:
        return Drawing(caption=known.why_not, parts=(Facts("The null", (("measured", "no"),)),))
    groups = sorted(null.attractors, key=lambda group: -group.share)[:GROUPS]
    low, middle, high = null.own_z
    return Drawing(
        caption=f"{null.sentence} {known.caption}".strip(),
        parts=(
            Facts(
                "Channels of random vectors",
                (("vectors", null.vectors), ("channels of each", null.rounds), ("best own z, 5 %", low),
                 ("best own z, 50 %", middle), ("best own z, 95 %", high)),
            ),
            Table(
                "Where they land",
                ("share of random vectors", "tokens"),
                tuple((group.share, " ".join(t.token.strip() for t in group.tokens[:12])) for group in groups),
            ),
        ),
        numbers={"own z low": low, "own z median": middle, "own z high": high, "vectors": float(null.vectors)},
    )  # fmt: skip
