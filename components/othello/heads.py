"""Heads on the board: a head's row on the squares of the moves that it looks at, the heads that look at one move, and
the position without a head.

A row and a ranking are answers of the Attention page's operations about the game as text; here tokens are moves again.
Each number stands beside what is usual: the same head in random games, or other heads in its place.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.othello.squares import CENTRE, square_name
from analysis.qk.answers.prompt import QueryRow
from analysis.qk.answers.token import TokenHeads
from analysis.tpr.answers.heads import HeadRemoval, UsualAttention
from components.kit.part import Boards, Table
from components.kit.view import Control, Drawing, view
from components.othello.board import BoardData, belief_board, board_data, difference_board
from components.othello.position import OPACITY, Position, colour_just_moved

SHOWN = 6
"""Heads in the list of those that look at a move."""
BASELINES = {
    "games": "its mean at that ply over random games",
    "mean": "its mean over this game, the first move aside, as on the Attention page",
    "zero": "nothing",
}
"""What stands in place of a head, in words."""


@dataclass(frozen=True)
class Looking(Position):
    """``square``: that of the move looked at; ``block`` and ``head``: who looks."""

    square: int = 0
    block: int = 0
    head: int = 0

    @property
    def played(self) -> tuple[int, ...]:
        """The moves up to the ply."""
        return tuple(self.moves[: self.ply])

    @property
    def key(self) -> int:
        """The move at the square, counted from 0."""
        return self.played.index(self.square)


@dataclass(frozen=True)
class Looker:
    """A head that looks at a move, with how much it usually looks at that ply: mean and 95 % point of random games."""

    block: int
    head: int
    attention: float
    share: float
    usual: float
    high: float

    @property
    def name(self) -> str:
        """Block and head, as on the Attention page."""
        return f"L{self.block} H{self.head}"

    @property
    def beyond(self) -> bool:
        """Whether it looks there more than in 95 of 100 random games."""
        return self.attention > self.high


def move_words(options: Looking, key: int) -> str:
    """A move in words: its number and its square."""
    return f"move {key + 1} ({square_name(options.moves[key])})"


def lookers(heads: TokenHeads, usual: UsualAttention) -> list[Looker]:
    """All heads by their attention from the query to the key, the strongest first."""
    order = np.argsort(-np.nan_to_num(heads.attention, nan=-1.0), axis=None, kind="stable")
    places = [divmod(int(i), heads.attention.shape[1]) for i in order]
    mean, high = usual.mean[..., heads.key], usual.high[..., heads.key]
    return [
        Looker(*at, *(float(part[at]) for part in (heads.attention, heads.weighted, mean, high)))
        for at in places
        if np.isfinite(heads.attention[at])
    ]


def row_board(row: QueryRow, usual: UsualAttention, options: Looking) -> BoardData:
    """A head's row on the squares of the moves: attention as colour and in per cent, the move looked at outlined."""
    moves, at = options.played, (options.block, options.head)
    heat, texts = np.full(64, np.nan), [""] * 64
    labels = [f"{square_name(s)}: no move yet" for s in range(64)]
    for s in CENTRE:
        labels[s] = f"{square_name(s)}: filled from the start, no move"
    movers = options.board.movers
    for key, square in enumerate(moves):
        share = float(row.attention[key])
        heat[square] = share
        texts[square] = f"{100 * share:.0f}" if share >= 0.005 else ""
        labels[square] = (
            f"{square_name(square)}: move {key + 1}, {movers[key]}; attention {share:.1%}, usually "
            f"{usual.mean[(*at, key)]:.1%}"
        )
    discs = [disc if s in CENTRE else 0 for s, disc in enumerate(options.board.discs)]
    return board_data(
        discs=discs,
        shades=[0.8] * 64,
        heat=heat.tolist(),
        heat_max=max(0.05, float(np.nanmax(heat))),
        legend="attention, %",
        selected=[options.square],
        texts=texts,
        labels=labels,
    )


def of_look(row: QueryRow, usual: UsualAttention, options: Looking) -> Control:
    """The same look of the same head in random games."""
    at = (options.block, options.head, options.key)
    mean, high = float(usual.mean[at]), float(usual.high[at])
    count = len(options.played)
    text = (
        f"From move {count} to move {options.key + 1} this head gives {row.attention[options.key]:.1%}; in "
        f"{usual.games} random games {mean:.1%} on average, in 95 of 100 at most {high:.1%}. Spread evenly over the "
        f"{count} moves it would be {1 / count:.1%}."
    )
    return Control("random games", text, {"usual attention": mean, "95 % point of random games": high})


@view("othello/head's row", QueryRow, UsualAttention, options=Looking)
def head_row(row: QueryRow, usual: UsualAttention, options: Looking, theme: str) -> Drawing:
    """Which earlier moves one head looks at from the last one, by their squares."""
    title = f"Attention of L{options.block} H{options.head}"
    return Drawing(
        None,
        f"After ply {options.ply}: from {move_words(options, options.ply - 1)} to the moves so far. Outlined: "
        f"{move_words(options, options.key)}.",
        parts=(Boards("", ((title, row_board(row, usual, options)),)),),
        control=of_look(row, usual, options),
        numbers={"attention to the move": float(row.attention[options.key])},
    )


@view("othello/lookers", TokenHeads, UsualAttention, options=Looking)
def looking_heads(heads: TokenHeads, usual: UsualAttention, options: Looking, theme: str) -> Drawing:
    """Which heads look at the move on one square, ranked."""
    ranked = lookers(heads, usual)[:SHOWN]
    rows = tuple((r.name, r.attention, r.usual, r.high, r.share) for r in ranked)
    columns = ("head", "attention", "usual", "95 % point", "share of what it writes")
    beyond = [r.name for r in ranked if r.beyond]
    text = f"Beyond the 95 % point of {usual.games} random games: {', '.join(beyond) or 'none of these'}."
    return Drawing(
        None,
        f"Heads that look from {move_words(options, options.ply - 1)} at {move_words(options, options.key)}.",
        parts=(Table("", columns, rows),),
        control=Control("random games", text, {f"usual, {r.name}": r.usual for r in ranked[:3]}),
        numbers={f"attention, {r.name}": r.attention for r in ranked[:3]},
    )


def removal_boards(removal: HeadRemoval, options: Position) -> tuple[BoardData, ...]:
    """Change of the next move and the board believed, without the head and without the first of those drawn at random;
    both changes on one scale."""
    after, other = removal.next_after, removal.other_next
    top = float(max(np.abs(p - removal.next_before).max() for p in (after, other)))
    moved = colour_just_moved(options.board, options.labels)
    return (
        difference_board(removal.next_before, after, removal.legal, removal.legal, top),
        belief_board(removal.belief_after, removal.truth, moved),
        difference_board(removal.next_before, other, removal.legal, removal.legal, top),
        belief_board(removal.other_belief, removal.truth, moved),
    )


def removal_words(removal: HeadRemoval) -> str:
    """What goes wrong without the head."""
    stand = BASELINES[removal.baseline].replace("random games", f"{removal.games} random games")
    return (
        f"Without L{removal.block} H{removal.head} ({stand} in its place, at every move): probability on illegal moves "
        f"{removal.illegal_before:.2%} → {removal.illegal_after:.2%}; squares read wrongly after block "
        f"{removal.layer}: {removal.wrong_before} → {removal.wrong_after}; the next move changes by "
        f"{removal.kl:.3f} nats."
    )


def of_removal(removal: HeadRemoval) -> Control:
    """Other heads, drawn at random, taken out in the same way."""
    kl = [other.kl for other in removal.others]
    more = sum(k >= removal.kl for k in kl)
    wrong, illegal = (max(getattr(other, name) for other in removal.others) for name in ("wrong", "illegal"))
    text = (
        f"Of {len(kl)} other heads drawn at random, {more} change{'s' * (more == 1)} the next move as much or more "
        f"(median {np.median(kl):.3f}, most {max(kl):.3f} nats); at most {wrong} squares wrong and {illegal:.2%} on "
        "illegal moves without one of them."
    )
    return Control("other heads", text, {"median change, other heads": float(np.median(kl))})


@view("othello/without head", HeadRemoval, options=Position)
def without_one(removal: HeadRemoval, options: Position, theme: str) -> Drawing:
    """A position without one head, beside one without a head drawn at random."""
    name, first = f"L{removal.block} H{removal.head}", removal.others[0]
    other = f"L{first.block} H{first.head} (drawn at random)"
    boards = removal_boards(removal, options)
    titles = ("Change of the next move", f"Believed after block {removal.layer}")
    return Drawing(
        None,
        f"After ply {options.ply}. {removal_words(removal)} {OPACITY}",
        parts=(
            Boards(f"Without {name}", tuple(zip(titles, boards[:2], strict=True))),
            Boards(f"Without {other}", tuple(zip(titles, boards[2:], strict=True))),
        ),
        control=of_removal(removal),
        numbers={
            "illegal mass": removal.illegal_before,
            "illegal mass without the head": removal.illegal_after,
            "squares wrong": float(removal.wrong_before),
            "squares wrong without the head": float(removal.wrong_after),
            "change of the next move": removal.kl,
        },
    )
