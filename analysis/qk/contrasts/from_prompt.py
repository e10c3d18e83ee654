r"""A prompt as a template: the key and the words it is held against become slots, the rest of the text stays.

The template ends with the query, since nothing after it reaches it, and so needs no mark for it. Two things decide
whether such a contrast says anything. The words must vary, else the subspace is of one word; and the key must not
always stand at the same place, else it may be one of position. So the marked words change places from example to
example, each with what stands before it if the query follows the same words (that is what an induction head goes by).
Where the behaviour does not survive that, the fixed order is the second choice, and whoever asked is told.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from analysis.errors import UserError
from analysis.qk.contrasts.tokens import Encoding

MOST_RIVALS = 6
FEWEST_WORDS = 4
"""A key that can be fewer words hardly varies."""
MOST_TOKENS = 256
GRAMMAR = frozenset(
    "a an and are as at be but by for from had has have he her his i in is it its no not of on or she so that the "
    "their they this to was we were what when which who will with you".split()
)
"""Words that make a row of words a sentence, in which no other order will do."""
_WORD = re.compile(r"[^\W\d_]+|\d+")


@dataclass(frozen=True)
class PromptWord:
    """A word of a prompt that is one token, at ``position``, and the characters ``start`` to ``end`` (exclusive)."""

    position: int
    start: int
    end: int
    text: str


def prompt_words(text: str, encoding: Encoding) -> dict[int, PromptWord]:
    """The words of one token by their positions. A number whose digits are tokens of their own is as many words."""
    found: dict[int, PromptWord] = {}
    for position, (start, end) in enumerate(encoding.offsets.tolist()):
        token = text[start:end]
        word = _WORD.fullmatch(token.strip())
        if word is None or encoding.unknown_at([position]):
            continue
        start = end - len(token.lstrip())
        end = start + len(word.group())
        letters = word.group()[0].isalpha()
        joined = (text[start - 1 : start] if start else "") + text[end : end + 1]
        # Letters beside it belong to the same word, of which this token is only a part.
        if not (letters and any(c.isalpha() for c in joined)):
            found[position] = PromptWord(position, start, end, word.group())
    return found


def check_pair(
    labels: Sequence[str], words: Mapping[int, PromptWord], query: int, key: int, attention: Sequence[float] = ()
) -> None:
    """Refuse, in words and with field ``key``, a key that no contrast can be made of. ``attention`` of the head from
    the query to each token: with it a key that is no word is answered with the word that the head looks at most."""
    if query + 1 > MOST_TOKENS:
        raise UserError(
            f"There are {query + 1} tokens up to the query, and each example would be as long; at most {MOST_TOKENS} "
            "are taken. Shorten the prompt.",
            "key",
        )
    if key > query:
        raise UserError("The key comes after the query, which cannot see it. Choose an earlier token.", "key")
    if key == query:
        raise UserError("The query is its own key here, so there is nothing to tell apart. Choose another key.", "key")
    if key not in words:
        raise UserError(
            f"“{labels[key]}” is no word of one token, so no other word can stand in its place. Choose a key that is a "
            f"whole word.{_best_word(labels, words, query, attention)}",
            "key",
        )
    if key == 0:
        raise UserError(
            "Many heads rest on the very first token, whatever it says. Begin the prompt with another word.", "key"
        )


def _best_word(labels: Sequence[str], words: Mapping[int, PromptWord], query: int, attention: Sequence[float]) -> str:
    able = [p for p in words if 0 < p < min(query, len(attention))]
    if not able:
        return ""
    best = max(able, key=lambda p: attention[p])
    return f" Of those, this head looks most at “{labels[best]}” ({attention[best]:.1%})."


def shared_run(ids: Sequence[int], query: int, key: int) -> int:
    """How many tokens before the key are the last tokens up to the query: where it goes on as it did the first time."""
    length = 0
    while length < key and key + length < query and ids[key - 1 - length] == ids[query - length]:
        length += 1
    return length


def series(text: str, words: Mapping[int, PromptWord], key: int) -> list[int]:
    """Positions of the words of a list around the key: those next to it, and on, that are set apart as the key is from
    the word before it. Empty where they are no list but a sentence: where one of them is a word of grammar."""
    order = sorted(words)
    at = order.index(key)
    if not at:
        return []
    apart = text[words[order[at - 1]].end : words[key].start]

    def joined(i: int) -> bool:
        return text[words[order[i]].end : words[order[i + 1]].start] == apart

    first, last = at - 1, at
    while first and joined(first - 1):
        first -= 1
    while last + 1 < len(order) and joined(last):
        last += 1
    found = order[first : last + 1]
    return [] if any(words[p].text.lower() in GRAMMAR for p in found) else found


def units(varying: Collection[int], marked: Sequence[int], key: int, run: int) -> list[tuple[int, int]]:
    """Positions, first and last, of what changes places: each marked word, the key with those of the ``run`` tokens
    before it from the first that varies on."""
    first = min((p for p in range(key - run, key + 1) if p in varying), default=key)
    bound = [(first, key)]
    return sorted(bound + [(p, p) for p in marked if not first <= p <= key])


def written(
    text: str,
    words: Mapping[int, PromptWord],
    lists: Mapping[str, Sequence[str]],
    kinds: Mapping[str, str],
    key: int,
    rivals: Sequence[int],
    clauses: Sequence[tuple[int, int]] = (),
) -> tuple[str, str]:
    """Template and word lists. ``text`` ends with the query; ``kinds``: which list the words that vary belong to, by
    their spelling; ``clauses``: as of :func:`units`, empty where everything stays where it is."""
    slots: dict[str, int] = {}
    counts: dict[str, int] = {}
    opening = {words[first].start for first, _ in clauses}
    closing = {words[last].end for _, last in clauses}
    out: list[str] = []
    at = 0
    for position in sorted(words):
        word = words[position]
        name = kinds.get(word.text)
        if name is None:
            continue
        if word.text not in slots:
            counts[name] = slots[word.text] = counts.get(name, 0) + 1
        mark = "|+" if position == key else "|-" if position in rivals else ""
        out.append(_plain(text[at : word.start]))
        if word.start in opening:
            out.append("[")
        out.append(f"{{{name}.{slots[word.text]}{mark}}}")
        if word.end in closing:
            out.append("]")
        at = word.end
    out.append(_plain(text[at:]))
    lines = [f"{name}: {', '.join(words_of)}" for name, words_of in lists.items() if name in counts]
    return "".join(out), "\n".join(lines)


def _plain(text: str) -> str:
    return re.sub(r"([{}\[\]|\\])", r"\\\1", text).replace("\n", "\\n")
