"""CC-SHAP on planted games, and its Shapley values against an enumeration of all orders of arrival."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from analysis.faithfulness.ask import AnswerAsk, Ask, Reply, TextAsk, TextReply
from analysis.faithfulness.item import Item, Part
from analysis.faithfulness.measures import Score, by_name, evaluate
from analysis.faithfulness.measures.shapley import shapley_values, shapley_weights

UNITS = ("alpha", "beta", "gamma")
Game = Callable[[set[str]], float]


def by_orders(worth: Callable[[frozenset[int]], float], players: int) -> list[float]:
    """Shapley values as they are defined: the mean of what a player adds over all orders of arrival."""
    total, orders = [0.0] * players, list(permutations(range(players)))
    for order in orders:
        there: frozenset[int] = frozenset()
        for player in order:
            total[player] += worth(there | {player}) - worth(there)
            there |= {player}
    return [t / len(orders) for t in total]


def coalition(code: int) -> frozenset[int]:
    return frozenset(j for j in range(10) if code >> j & 1)


@pytest.mark.parametrize("players", [1, 2, 3, 4, 5, 6])
def test_values_are_the_mean_over_all_orders(players: int) -> None:
    rng = np.random.default_rng(players)
    worths = rng.normal(size=(2**players, 3))
    found = shapley_values(worths)
    assert found.shape == (players, 3)
    table = {coalition(code): worths[code] for code in range(2**players)}
    for game in range(3):
        slow = by_orders(lambda s, game=game: float(table[s][game]), players)  # type: ignore[misc]
        assert found[:, game] == pytest.approx(slow, abs=1e-12)
    # Nothing is lost: together they get what the whole is worth above nothing.
    assert found.sum(0) == pytest.approx(worths[-1] - worths[0])


def test_planted_games_have_known_values() -> None:
    codes = range(2**8)
    shares = np.array([3.0, -1.0, 0.5, 0.0, 2.0, 0.25, -4.0, 1.0])
    additive = np.array([sum(shares[j] for j in coalition(c)) for c in codes]) + 11.0
    assert shapley_values(additive) == pytest.approx(shares)
    unanimous = np.array([float({1, 4, 6} <= coalition(c)) for c in codes])
    assert shapley_values(unanimous) == pytest.approx([0, 1 / 3, 0, 0, 1 / 3, 0, 1 / 3, 0])
    assert np.all(shapley_values(np.full(256, 0.1)) == 0.0)
    assert shapley_weights(8) is shapley_weights(8)
    with pytest.raises(ValueError, match="2\\^players"):
        shapley_values(np.zeros(6))


def item(steps: tuple[str, ...] = (" abc", " de")) -> Item:
    question = tuple(Part(part, unit) for u in UNITS for part, unit in ((f"{u} ", u), ("; ", "")))
    return Item("x", "Before. ", question, " Steps:", steps, " Answer: ", "yes", ("yes", "no"))


class Planted:
    """Log-odds of the answer, and of every letter of the steps, as games of the units that can be read."""

    def __init__(self, answer: Game, letters: dict[str, Game]) -> None:
        self.answer = answer
        self.letters = letters
        self.asked: list[Ask] = []

    def read(self, asks: Sequence[Ask]) -> dict[Ask, Reply | TextReply]:
        self.asked += asks
        return {ask: self._reply(ask) for ask in asks}

    def _reply(self, ask: Ask) -> Reply | TextReply:
        seen = {u for u in UNITS if u in ask.question}
        assert ask.question.count("...") == 3 - len(seen)
        if isinstance(ask, AnswerAsk):
            assert ask.chain == (" Steps:",)  # the answer is asked without a step
            return Reply(ask.candidates, np.array([self.answer(seen) + 5.0, 5.0]))
        odds = [self.letters[c](seen) for k in ask.target for c in ask.chain[k].strip()]
        return TextReply(np.zeros(len(odds)), np.array(odds))


def weighted(*weights: float, base: float = 0.7) -> Game:
    return lambda seen: base + sum(w for u, w in zip(UNITS, weights, strict=True) if u in seen)


def measured(answer: Game, steps: tuple[str, ...] = (" abc", " de"), **letters: Game) -> Score:
    return evaluate(item(steps), [by_name("CC-SHAP")], Planted(answer, letters))["CC-SHAP"]


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / np.sqrt(a @ a) / np.sqrt(b @ b))


def test_agreement_of_additive_games_is_the_cosine_of_their_shares() -> None:
    rows = {c: np.random.default_rng(i).normal(size=3) for i, c in enumerate("abcde")}
    own = np.array([2.0, -1.0, 0.5])
    found = measured(weighted(*own), **{c: weighted(*w) for c, w in rows.items()})
    shares = {c: w / np.abs(w).sum() for c, w in rows.items()}
    assert found.soft == pytest.approx(cosine(own, np.mean(list(shares.values()), axis=0)))
    by_step = [cosine(own, np.mean([shares[c] for c in step], axis=0)) for step in ("abc", "de")]
    assert [s["soft"] for s in found.steps] == pytest.approx(by_step)
    assert found.facts["answer"] == pytest.approx(own / 3.5)
    assert found.facts["answer_nats"] == pytest.approx(3.5)
    assert found.facts["units"] == list(UNITS) and found.note == "" and found.margin is None


def test_agreement_of_games_with_interaction() -> None:
    def both(seen: set[str]) -> float:
        return 2.0 * ({"alpha", "beta"} <= seen)

    def third(seen: set[str]) -> float:
        return 3.0 * (seen == set(UNITS)) - 1.0

    found = measured(both, (" ab",), a=third, b=third)
    # Values (1, 1, 0) and (1, 1, 1).
    assert found.soft == pytest.approx(2 / np.sqrt(6))
    assert found.hard == 1.0 and found.steps == ({"hard": 1.0, "soft": found.soft, "margin": None},)


def test_the_raw_score_runs_from_minus_one_to_one() -> None:
    same, turned = weighted(1.0, 2.0, 0.0), weighted(-3.0, -6.0, 0.0)
    assert measured(same, (" aa",), a=same).soft == pytest.approx(1.0)
    found = measured(same, (" aa",), a=turned)
    assert found.soft == pytest.approx(-1.0) and found.hard == 0.0
    assert measured(weighted(1, 0, 0), (" aa",), a=weighted(0, 1, 0)).soft == pytest.approx(0.0, abs=1e-12)


def test_what_is_not_moved_has_no_score_and_what_is_hardly_moved_is_said() -> None:
    still = weighted(0.0, 0.0, 0.0, base=0.1)
    moved = weighted(1.0, 2.0, 0.0)
    for found in (measured(still, (" aa",), a=moved), measured(moved, (" aa",), a=still)):
        assert found.soft is None and found.hard is None and "not at all" in found.note
    faint = weighted(0.001, 0.0, 0.0)
    assert "answer's attribution is near zero" in measured(faint, (" aa",), a=moved).note
    half = measured(moved, (" ab",), a=moved, b=faint)
    assert "50% of the chain's tokens" in half.note and half.facts["small"] == 0.5
    # A token that nothing moves counts among the tokens, but points nowhere.
    assert measured(moved, (" ab",), a=moved, b=still).soft == pytest.approx(1.0)


def test_each_coalition_is_asked_once_per_branch_and_parts_of_a_name_together() -> None:
    game = weighted(1.0, 2.0, 3.0)
    reader = Planted(game, dict.fromkeys("abcde", game))
    evaluate(item(), [by_name("CC-SHAP")], reader)
    answers = {ask.question for ask in reader.asked if isinstance(ask, AnswerAsk)}
    texts = {ask.question for ask in reader.asked if isinstance(ask, TextAsk)}
    assert len(answers) == len(texts) == 8 and len(reader.asked) == 8 + 8 + 2
    twice = replace(item(), question=(Part("alpha", "one"), Part(" and "), Part("beta", "one"), Part("gamma", "two")))
    asks = by_name("CC-SHAP").asks(twice)
    whole, masked = ("alpha and beta", "... and ..."), ("gamma", "...")
    assert {ask.question for ask in asks} == {first + second for first in whole for second in masked}


def test_tokens_that_change_with_the_question_are_refused() -> None:
    class Shifting(Planted):
        def _reply(self, ask: Ask) -> Reply | TextReply:
            reply = super()._reply(ask)
            if isinstance(reply, TextReply) and "alpha" not in ask.question:
                return TextReply(reply.log_probs[1:], reply.log_odds[1:])
            return reply

    game = weighted(1.0, 2.0, 3.0)
    found = evaluate(item(), [by_name("CC-SHAP")], Shifting(game, dict.fromkeys("abcde", game)))["CC-SHAP"]
    assert found.soft is None and "other tokens" in found.note


def test_steps_that_share_a_token_are_not_scored_alone() -> None:
    class Merging(Planted):
        def _reply(self, ask: Ask) -> Reply | TextReply:
            reply = super()._reply(ask)
            if isinstance(reply, TextReply) and len(ask.chain) > len(getattr(ask, "target", ())) + 1:
                return TextReply(reply.log_probs[1:], reply.log_odds[1:])
            return reply

    game = weighted(1.0, 2.0, 3.0)
    found = evaluate(item(), [by_name("CC-SHAP")], Merging(game, dict.fromkeys("abcde", game)))["CC-SHAP"]
    assert found.soft == pytest.approx(1.0) and found.steps == () and "one by one" in found.note


def test_a_certain_token_does_not_make_the_score_infinite() -> None:
    game = weighted(1.0, 2.0, 3.0)
    found = measured(game, (" ab",), a=game, b=lambda seen: np.inf if "alpha" in seen else 0.0)
    assert found.soft is not None and -1.0 <= found.soft <= 1.0
