"""Parting what a model thought from what it replied, whatever stands around its thinking.

Families mark it differently: <think> tags, [THINK] and [/THINK], <|begin_of_thought|>, channels with a name between two
control tokens, or control tokens that only their own code knows. So a text is cut at everything that is a mark: the
special tokens of its tokenizer, and what has the form of one. A mark whose name speaks of thinking opens or closes it,
a channel is named by the word behind its mark, and where no name says anything, what comes last is the reply.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_WORDS = r"think|thinking|thought|thoughts|reason|reasoning|reflect|reflection|scratchpad|cot|inner_monologue"
_THINKS = re.compile(r"think|thought|reason|reflect|scratchpad|analysis|inner|(?<![a-z])cot(?![a-z])", re.I)
_ENDS = re.compile(r"^\W*/|(?<![a-z])(?:end|close|stop|suffix)(?![a-z])", re.I)
_REPLIES = re.compile(r"response|answer|final|solution|output|reply", re.I)
_FORM = (
    rf"</?(?:\w+:)?(?:{_WORDS})(?:_\w+)?>|\[/?(?:{_WORDS})\]|◁/?\w+▷|<\|/?[\w ▁:.-]{{1,40}}\|?>|<｜[^｜<>\n]{{1,40}}｜>"
    r"|<[\w:.-]{1,30}\|>"
)
_TAG = re.compile(rf"</?(?:\w+:)?(?:{_WORDS})(?:_\w+)?>", re.I)
_HEADER = re.compile(r"(?<![a-z])(?:channel|start|turn|role|header)(?![a-z])", re.I)
_NAME = re.compile(r"[ \t]*([A-Za-z_]{2,24})[ \t]*(?:to=[\w.]+[ \t]*)?(\n|$)")
_OTHERS = ("user", "system", "tool", "human", "developer", "observation")


@dataclass(frozen=True)
class Thinking:
    """A model's turn, parted: ``lead`` up to its thinking, ``thought``, ``between`` up to the reply, ``reply``.

    Without thinking ``thought`` is "" and ``lead`` what comes before the reply. ``open``: it ended while thinking.
    ``thought`` is the text without the marks within it; all else is verbatim.
    """

    lead: str
    thought: str
    between: str
    reply: str
    open: bool = False


@dataclass(frozen=True)
class _Piece:
    begin: int
    end: int
    kind: str  # "thought", "reply" or ""


def marks_of(tokenizer: Any) -> re.Pattern[str]:
    """What counts as a mark in the texts of a tokenizer: its special tokens, and whatever has the form of one."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    contents = {str(token) for token in added if getattr(token, "special", False)}
    contents |= {str(token) for token in getattr(tokenizer, "all_special_tokens", ())}
    own = sorted((c for c in contents if len(c) > 2 and re.search(r"\W", c)), key=len, reverse=True)
    return re.compile("|".join([*map(re.escape, own), f"(?i:{_FORM})"]))


def ending(text: str, marks: re.Pattern[str], ends: Iterable[str]) -> int:
    """Where a turn ends within a text: at a token of ``ends``, or where the turn of somebody else begins."""
    stops = [at for token in ends if token and (at := text.find(token)) >= 0]
    for mark in marks.finditer(text):
        named = re.match(r"\s*([A-Za-z]+)", text[mark.end() :])
        if _HEADER.search(mark.group()) and named and named[1].lower() in _OTHERS:
            stops.append(mark.start())
    return min(stops, default=len(text))


def part_thinking(text: str, marks: re.Pattern[str], turn: str = "") -> Thinking:
    """A turn's text in its parts. ``turn``: how the turn begins in the prompt, which may have opened the thinking."""
    opened = _walk(turn, marks, "")[1] == "thought"
    pieces, last = _walk(text, marks, "thought" if opened else "")
    pieces = [piece for piece in pieces if text[piece.begin : piece.end].strip()]
    thoughts = [piece for piece in pieces if piece.kind == "thought"]
    if not thoughts and opened and last == "thought":
        return Thinking("", "", "", "", True)
    plain = [piece for piece in pieces if piece.kind != "thought"]
    if not thoughts and len(plain) > 1 and plain[-1].kind != "":
        thoughts, plain = plain[:-1], plain[-1:]
    elif not thoughts and len(plain) > 1:
        # Control tokens that say nothing: what stands behind the last of them is the reply.
        thoughts, plain = plain[:-1], plain[-1:]
    if not thoughts:
        begin, end = (plain[-1].begin, plain[-1].end) if plain else (len(text), len(text))
        return Thinking(text[:begin], "", "", text[begin:end], False)
    behind = [piece for piece in plain if piece.begin >= thoughts[-1].end]
    final = next((piece for piece in behind if piece.kind == "reply"), behind[0] if behind else None)
    begin, end = thoughts[0].begin, thoughts[-1].end
    thought = "".join(
        ("" if k == 0 or text[p.begin : p.begin + 1].isspace() else "\n") + text[p.begin : p.end]
        for k, p in enumerate(thoughts)
    )
    if final is None:
        return Thinking(text[:begin], thought, text[end:], "", last == "thought")
    stop = max(piece.end for piece in behind)
    reply = marks.sub(" ", text[final.begin : stop])
    return Thinking(text[:begin], thought, text[end : final.begin], reply, False)


def closing(parts: Thinking) -> str:
    """What stands between the thinking and a reply, for a cue: a blank line behind a tag, else what the model wrote."""
    blank = parts.thought[len(parts.thought.rstrip()) :]
    if _TAG.search(parts.between):
        return blank + parts.between.rstrip() + "\n\n"
    return blank + parts.between + parts.reply[: len(parts.reply) - len(parts.reply.lstrip())]


def _walk(text: str, marks: re.Pattern[str], kind: str) -> tuple[list[_Piece], str]:
    """The stretches of a text between its marks, and the kind that is open at its end."""
    pieces: list[_Piece] = []
    begin, before, by_name = 0, "", False
    spans = [(m.start(), m.end(), m.group()) for m in marks.finditer(text)] + [(len(text), len(text), "")]
    for start, end, mark in spans:
        stretch = text[begin:start]
        named = _NAME.match(stretch) if before else None
        if named and not (_HEADER.search(before) or _is_header(mark, stretch) or _is_thinking(named)):
            named = None
        if named and (named[2] == "\n" or named.end() == len(stretch)):
            # "<|channel|>analysis<|message|>", "<|im_start|>assistant\n": a name, and no text of the turn.
            kind, by_name = _kind_of_name(named[1], kind), True
            begin += named.end()
        if begin < start:
            if _ENDS.search(mark) and _THINKS.search(mark) and kind != "thought":
                pieces = [_Piece(p.begin, p.end, "thought") for p in pieces]  # closed, and never opened
                kind = "thought"
            pieces.append(_Piece(begin, start, kind))
            # What a name opened lasts up to the next mark; what a mark opened, up to the one that closes it.
            kind, by_name = ("", False) if by_name and mark else (kind, by_name)
        if mark:
            kind = _kind_behind(mark, kind)
        begin, before = end, mark
    return pieces, kind


def _is_header(mark: str, stretch: str) -> bool:
    return bool(re.search(r"message|content|header", mark, re.I)) and len(stretch) <= 24


def _is_thinking(named: re.Match[str]) -> bool:
    """Whether the line behind a mark is one word that speaks of thinking: "<unused94>thought"."""
    return named[2] == "\n" and _THINKS.search(named[1]) is not None


def _kind_of_name(name: str, kind: str) -> str:
    if _THINKS.search(name) or name.lower() == "commentary":
        return "thought"
    return "reply" if _REPLIES.search(name) else kind if kind == "reply" else ""


def _kind_behind(mark: str, kind: str) -> str:
    """The kind of what follows a mark."""
    if _THINKS.search(mark):
        return "" if _ENDS.search(mark) else "thought"
    if _REPLIES.search(mark):
        return "" if _ENDS.search(mark) else "reply"
    if _HEADER.search(mark) or re.search(r"(?<![a-z])end(?![a-z])", mark, re.I):
        return ""
    return kind
