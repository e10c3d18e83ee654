"""Two prompts: by how much a predicted token falls with each block's site at each token as it is in the other one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.qk.answers.sites import PatchedSites
from components.kit.figure import figure
from components.kit.labels import escaped
from components.kit.theme import DIVERGING, SEQUENTIAL
from components.kit.view import Control, Drawing, view
from components.qk.controls import measured

HEIGHT = 300
_SHORT = {"residual": "residual stream", "attention": "attention output", "mlp": "MLP output"}
_NAMED = 3
"""Tokens that are named with the last block that carries half."""
_GAP = 0.1
"""Nats by which the prompts must differ for a share to be given."""
_SHOWN = 48
"""Columns of tokens that are drawn; of more those where most changes."""


@dataclass(frozen=True)
class SiteOptions:
    """``unit``: "nats" of the chosen difference, or "kl" of the whole prediction."""

    unit: str = "nats"


@view("attention/sites patched", PatchedSites, options=SiteOptions)
def sites_patched(answer: PatchedSites, options: SiteOptions, theme: str) -> Drawing:
    """Blocks across, tokens down, and all tokens at once in the last row."""
    values, whole = (answer.kl, answer.whole_kl) if options.unit == "kl" else (answer.falls, answer.whole)
    rows = _rows(values)
    words = [_pair(answer, n) for n in rows]
    table = np.concatenate([values[:, rows].T, whole[None]]).astype(np.float32)
    kls = np.concatenate([answer.kl[:, rows].T, answer.whole_kl[None]])
    signed = options.unit == "nats"
    finite = table[np.isfinite(table)]
    top = float(np.abs(finite).max()) if finite.size else 1.0
    names = [*words, "all of them"]
    text = [
        [
            f"block {layer}, {escaped(name, 60)}<br>falls by {fall:.3f} nats"
            f"{_share(answer, float(fall))}<br>KL {kl:.3f}"
            for layer, (fall, kl) in enumerate(zip(line, divergence, strict=True))
        ]
        for name, line, divergence in zip(
            names, np.concatenate([answer.falls[:, rows].T, answer.whole[None]]), kls, strict=True
        )
    ]
    trace = {
        "type": "heatmap",
        "z": table,
        "y": [f"{n}" for n in range(len(names))],
        "text": text,
        "hovertemplate": "%{text}<extra></extra>",
        "colorscale": DIVERGING if signed else SEQUENTIAL,
        "zmin": -top if signed else 0.0,
        "zmax": top or 1.0,
        "xgap": 1,
        "ygap": 1,
        "colorbar": {
            "title": {"text": "falls by (nats)" if signed else "KL (nats)", "side": "right"},
            "thickness": 12,
            "outlinewidth": 0,
        },
    }
    across = {"title": {"text": "block"}, "showgrid": False, "zeroline": False, "dtick": max(1, len(values) // 15)}
    down = {
        "type": "category",
        "showgrid": False,
        "autorange": "reversed",
        "tickvals": trace["y"],
        "ticktext": [escaped(name, 26) for name in names],
        "automargin": True,
    }
    picture = figure([trace], theme, xaxis=across, yaxis=down, uirevision="sites")
    left = f"The {len(rows)} tokens where most changes are drawn, of {len(answer.pairs)}." if _many(answer) else ""
    caption = " ".join(filter(None, (_spread(answer), _carried(answer), _asking(answer), left, _unpaired(answer))))
    strongest = _most(answer)
    largest = None if strongest is None else strongest[2]
    numbers = measured({"here": answer.total, "in the other prompt": answer.other_total, "largest": largest})
    low, high = _range(answer)
    control = Control("other places", _spread(answer), measured({"5 % of places": low, "95 % of places": high}))
    return Drawing(picture, caption, control=control, numbers=numbers)


def claim(answer: PatchedSites) -> str:
    """What the two prompts differ by, and the place that carries most of it, in two lines; the caption has the rest."""
    whole = f"{answer.target.words}: {answer.total:+.1f} here, {answer.other_total:+.1f} in the other prompt."
    if abs(answer.total - answer.other_total) < _GAP:
        return f"{whole} They hardly differ in it, so no place can be said to carry it."
    if not _open(answer):
        return f"{whole} Only the token that asks differs."
    strongest = _most(answer)
    if strongest is None:
        return f"{whole} No single token’s {_SHORT[answer.site]} of one block moves it towards the other prompt."
    layer, pair, value = strongest
    return (
        f"{whole} The {_SHORT[answer.site]} carries most at {_pair(answer, pair)}, block {layer}: as in the other "
        f"prompt, the difference falls by {value:.2f} nats{_share(answer, value)}."
    )


def _asks(answer: PatchedSites, number: int) -> bool:
    """Whether a pair is that of the token that asks, where the residual stream ends in the answer itself: behind the
    last block it makes all of the difference whatever the model does: no place that anybody looks for."""
    return answer.site == "residual" and answer.pairs[number][0] == len(answer.labels) - 1


def _open(answer: PatchedSites) -> list[int]:
    """The pairs that were run and whose fall says something about the model."""
    pairs = enumerate(answer.pairs)
    return [n for n, (a, b) in pairs if not a == b < answer.same and not _asks(answer, n)]


def _towards(answer: PatchedSites) -> np.ndarray:
    """Falls (L, P) counted positive towards the other prompt, -inf where there are none."""
    sign = 1.0 if answer.total >= answer.other_total else -1.0
    return np.where(np.isfinite(answer.falls), sign * answer.falls, -np.inf)


def _most(answer: PatchedSites) -> tuple[int, int, float] | None:
    """(block, number of the pair, fall) of the largest fall in the direction of the other prompt, if there is one."""
    columns = _open(answer)
    order = _towards(answer)[:, columns]
    if not order.size or order.max() <= 0:
        return None
    layer, place = (int(i) for i in np.unravel_index(np.argmax(order), order.shape))
    return layer, columns[place], float(answer.falls[layer, columns[place]])


def _carried(answer: PatchedSites) -> str:
    """Up to which block each token's residual stream makes half of the difference, for the tokens where it does."""
    if answer.site != "residual":
        return ""
    half = _towards(answer) >= abs(answer.total - answer.other_total) / 2
    last = {n: int(np.flatnonzero(half[:, n])[-1]) for n in _open(answer) if half[:, n].any()}
    if not last:
        return "No token alone carries half of it."
    first = sorted(last, key=lambda n: -last[n])[:_NAMED]
    more = f" and {len(last) - _NAMED} more" if len(last) > _NAMED else ""
    return f"Half of it or more: {'; '.join(f'{_pair(answer, n)} up to block {last[n]}' for n in first)}{more}."


def _asking(answer: PatchedSites) -> str:
    """From which block on the residual stream of the token that asks makes half of the difference."""
    asking = next((n for n in range(len(answer.pairs)) if _asks(answer, n)), None)
    if asking is None:
        return ""
    half = _towards(answer)[:, asking] >= abs(answer.total - answer.other_total) / 2
    if not half.any():
        return ""
    # The block behind the last one that has less: from there on it is never below half.
    below = np.flatnonzero(~half)
    begin = int(below[-1]) + 1 if below.size else 0
    if begin >= len(half):
        return ""
    return (
        f"The token that asks, {_pair(answer, asking)}, makes half of it or more from block {begin} on; it is left out "
        "else, since behind the last block its residual stream is the answer itself."
    )


def _pair(answer: PatchedSites, number: int) -> str:
    mine, theirs = answer.pairs[number]
    a, b = answer.labels[mine], answer.others[theirs]
    if mine == theirs:
        return f"{mine} {a}" if a == b else f"{mine} {a} ← {b}"
    return f"{mine} {a} ← {theirs} {b}"


def _share(answer: PatchedSites, fall: float) -> str:
    gap = answer.total - answer.other_total
    return f", {fall / gap:.0%} of what the prompts differ by" if abs(gap) >= _GAP else ""


def _many(answer: PatchedSites) -> bool:
    return len(answer.pairs) > _SHOWN


def _rows(values: np.ndarray) -> list[int]:
    if values.shape[1] <= _SHOWN:
        return list(range(values.shape[1]))
    largest = np.nan_to_num(np.abs(values)).max(0)
    return sorted(np.argsort(largest)[-_SHOWN:].tolist())


def _unpaired(answer: PatchedSites) -> str:
    mine, theirs = ({pair[side] for pair in answer.pairs} for side in (0, 1))
    parts = []
    for places, labels, name in ((mine, answer.labels, "this prompt"), (theirs, answer.others, "the other")):
        alone = [f"{i} “{label}”" for i, label in enumerate(labels) if i not in places]
        if alone:
            more = f" and {len(alone) - 4} more" if len(alone) > 4 else ""
            parts.append(f"of {name} {', '.join(alone[:4])}{more}")
    alone_said = f"Without a partner, so left as they are: {'; '.join(parts)}. " if parts else ""
    first = f"The first {answer.same} tokens are the same in both, so nothing changes there. " if answer.same else ""
    return (first + alone_said).strip()


def _range(answer: PatchedSites) -> tuple[float, float]:
    """Between what falls 90 % of the places lie that were run and say something; NaN where there are none."""
    finite = answer.falls[:, _open(answer)]
    finite = finite[np.isfinite(finite)]
    low, high = np.quantile(finite, [0.05, 0.95]) if finite.size else (np.nan, np.nan)
    return float(low), float(high)


def _spread(answer: PatchedSites) -> str:
    """Where a place drawn at random lies; the tokens that are the same in both left out, which change nothing."""
    low, high = _range(answer)
    return f"90 % of places: {low:.2f} to {high:.2f} nats." if np.isfinite(low) else ""
