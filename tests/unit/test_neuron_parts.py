"""What leaves the Neurons page beside figures: parts, controls, numbers, against their answers."""

from __future__ import annotations

import dataclasses

import pytest

from analysis.rotate.answers.channels import Ablation, Arm, NeuronChannels, SentenceActivation
from analysis.rotate.answers.neurons import Band, NeuronsKnown, ReadyNeuron, Token, TokenGroup, TokenScore, VectorCard
from components.kit.part import Facts, Table, Texts
from components.kit.view import VIEWS
from components.rotate import ablation_figures, channel_figures, neuron_figures, parts
from components.rotate.channel_figures import OpenChannel
from components.rotate.neuron_figures import OpenVector
from tests.unit.drawn_again import drawn_again, kind
from tests.unit.test_neuron_figures import an_answer, channel

VECTOR = dataclasses.replace(
    an_answer(VectorCard),
    band=Band(-0.1, 0.0, 0.2),
    in_layer=97.0,
    high=(TokenScore(3, "but", 6.5),),
    low=(TokenScore(4, "<b>", -5.0),),
)
KNOWN = dataclasses.replace(
    an_answer(NeuronsKnown),
    bundled=(
        ReadyNeuron(3, "down", 5, 9.0, 4.5, 99.0, 2, 5, False, ("␣but", "yet"), "3 down 5 but"),
        ReadyNeuron(0, "in", 2, 1.0, 1.5, 20.0, 0, 5, True, ("law",), "0 in 2 law"),
    ),
)
CHANNELS = an_answer(NeuronChannels)
ABLATION = an_answer(Ablation)


@pytest.mark.parametrize("name", sorted(name for name in VIEWS if name.startswith("neurons/")))
def test_every_view_says_plain_numbers(name: str) -> None:
    view = VIEWS[name]
    chosen = {OpenChannel: OpenChannel(2), OpenVector: OpenVector(3, "down")}.get(view.options)
    assert drawn_again(view, *map(an_answer, view.answers), options=chosen).numbers


def test_the_list_of_neurons_is_that_of_the_page_beside_random_vectors() -> None:
    drawing = drawn_again(parts.ready_neurons, KNOWN, options=parts.ListOptions("layer", "down"))
    assert kind(drawing, Table)[0].rows == ((3, "down", 5, "␣but yet", 9.0, 4.5, 99.0, 2, 5),)
    assert drawing.numbers == {"neurons": 2.0, "neurons with something": 1.0} and "1 of 2 neurons" in drawing.caption
    assert drawing.control is not None and drawing.control.name == "random vectors"
    assert drawing.control.numbers == {"own z low": 0.5, "own z median": 0.6, "own z high": 0.8, "vectors": 200.0}
    assert drawn_again(parts.ready_neurons, dataclasses.replace(KNOWN, null=None)).control is None


def test_both_ends_and_the_histogram_stand_beside_the_band_of_their_kurtosis() -> None:
    drawing = drawn_again(parts.token_ends, VECTOR)
    assert [t.rows for t in kind(drawing, Table)] == [(("but", 6.5),), (("<b>", -5.0),)]
    assert drawing.numbers == {"kurtosis": 2.0, "skewness": 0.1, "norm": 1.0, "percent of its block below": 97.0}
    assert drawing.control is not None
    assert drawing.control.numbers == {"kurtosis low": -0.1, "kurtosis median": 0.0, "kurtosis high": 0.2}
    assert drawn_again(neuron_figures.vector_histogram, VECTOR).control == drawing.control
    assert drawn_again(parts.token_ends, dataclasses.replace(VECTOR, band=None)).control is None
    channel_of = drawn_again(neuron_figures.channel_histogram, VECTOR, CHANNELS, options=OpenChannel(2))
    assert channel_of.numbers["own z of the channel"] == CHANNELS.channels[1].own_z
    assert channel_of.control is not None and channel_of.control.numbers["vectors"] == CHANNELS.null.vectors


def test_channels_carry_tokens_scores_and_the_null() -> None:
    first = channel(1)
    drawing = drawn_again(parts.neuron_channels, CHANNELS, options=OpenChannel(1))
    overview, *of_each = kind(drawing, Table)
    assert [r[0] for r in overview.rows] == [1, 2] and overview.rows[0][2] == first.own_z
    assert of_each[0].rows == tuple((t.token, t.z, t.own) for t in first.tokens)
    assert drawing.numbers["own z"] == first.own_z and drawing.numbers["p"] == first.p
    assert drawing.numbers["channels"] == 2.0 and drawing.caption.startswith("Two.")
    null, control = CHANNELS.null, drawing.control
    assert control is not None and control.numbers["own z high"] == null.own_z[2]
    assert control.numbers["vectors"] == float(null.vectors) and str(null.vectors) in control.text
    assert "own z" not in drawn_again(parts.neuron_channels, CHANNELS).numbers, "no channel is open"


def test_geometry_quotes_cosines_and_what_is_rebuilt_beside_its_null() -> None:
    cosines = drawn_again(channel_figures.cosines, CHANNELS)
    assert cosines.numbers == {"cosine of channel 1": 0.0, "cosine of channel 2": 0.0, "largest between channels": 0.0}
    rebuilt = drawn_again(channel_figures.rebuilding, CHANNELS)
    assert rebuilt.numbers == {"channels": 2.0, "cosine": 0.5, "share explained": 0.5}
    assert rebuilt.control is not None and rebuilt.control.numbers == {"share explained": 0.5}


def test_an_ablation_stands_beside_directions_that_take_out_as_much() -> None:
    drawing = drawn_again(parts.arm_rows, ABLATION)
    (table,) = kind(drawing, Table)
    assert [r[0] for r in table.rows] == ["this channel", "null: random direction", "the whole neuron"]
    own: Arm = next(a for a in ABLATION.arms if a.name == "channel")
    random: Arm = next(a for a in ABLATION.arms if a.name == "random direction")
    assert table.rows[0][1:] == (own.own, *own.own_interval, own.other, *own.other_interval, own.score)
    assert drawing.numbers["drop of its own"] == own.own and drawing.numbers["difference"] == own.score
    control = drawing.control
    assert control is not None and control.name == "random direction"
    assert control.numbers["drop of its own without random direction"] == random.own
    assert control.numbers["drop of its own without whole neuron"] == ABLATION.whole.own
    assert "1 tokens at 1 positions of one text" in control.text
    text = drawn_again(parts.ablation_parts, ABLATION)
    assert kind(text, Texts)[0].texts[0].tokens == (("a", 1.0),) and text.control == control
    assert drawn_again(ablation_figures.before_after, ABLATION).control == control
    sentences = tuple(SentenceActivation(("a",), 1.0, 0.5, own) for own in (True, False, False))
    reads = dataclasses.replace(ABLATION, kind="input", tokens=(), sentences=sentences)
    said = drawn_again(parts.ablation_parts, reads).control
    assert said is not None and "on 1 sentences that end with a token of the channel and 2 others" in said.text


def test_the_null_is_its_own_page_and_has_no_control() -> None:
    group = TokenGroup((Token(3, "a"), Token(4, "b")), 0.25)
    null = dataclasses.replace(KNOWN.null, attractors=(group,)) if KNOWN.null else None
    drawing = drawn_again(parts.null_parts, dataclasses.replace(KNOWN, null=null))
    assert kind(drawing, Table)[0].rows == ((0.25, "a b"),) and drawing.control is None
    assert dict(kind(drawing, Facts)[0].rows)["vectors"] == 200
    shares = drawn_again(neuron_figures.shares_by_layer, KNOWN)
    assert shares.numbers == {"block 3 down": 0.3} and shares.control is not None
    assert shares.control.numbers == {"share": 0.05, "vectors": 200.0}
