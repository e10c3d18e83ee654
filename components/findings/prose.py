"""What somebody wrote on a board, as HTML that cannot do anything: Markdown for notes, one line for claims.

CommonMark with raw HTML switched off, no pictures (a picture of another site tells that site who reads), links only to
web pages, mail and pages of this app. What comes out goes through an allow-list of tags, and in the browser through
another one that builds elements by name (assets/frame/prose.js). Marks that turn the direction of writing are shown
instead of obeyed, since they make a text read as another.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, MutableMapping, Sequence
from functools import cache
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

from analysis.findings.prose import REFERENCE, Numbers, Piece, bound, numerals, pieces
from components.kit.links import local

CLASSES = {"number": "fnd-number", "unbound": "fnd-unbound", "numeral": "fnd-numeral"}
TAGS = frozenset(
    "p br hr h1 h2 h3 h4 h5 h6 ul ol li blockquote pre code em strong s a span table thead tbody tr th td".split()
)
TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")
_LINK = re.compile(r"(https?://|mailto:)[^\s]+|/(?![/\\])[^\s\\]*", re.IGNORECASE)


def rendered(text: str, numbers: Numbers) -> str:
    """A note in Markdown as HTML."""
    return _clean(str(_markdown().render(_visible(text), {"numbers": numbers})))


def line(text: str, numbers: Numbers) -> str:
    """A claim or a title as HTML: text and numbers, no Markdown."""
    return _clean("".join(_span(piece) for piece in pieces(_visible(text), numbers)))


def _visible(text: str) -> str:
    return TURNS.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)


def _clean(text: str) -> str:
    return str(
        nh3.clean(
            text,
            tags=set(TAGS),
            attributes={"a": {"href", "title"}, "span": {"title"}, "ol": {"start"}},
            allowed_classes={"span": set(CLASSES.values())},
            url_schemes={"http", "https", "mailto"},
            link_rel="noopener noreferrer nofollow",
        )
    )


def _span(piece: Piece) -> str:
    text = html.escape(piece.text)
    if piece.kind == "text":
        return text
    # A text may be nothing but numerals, whose words are always the same: the browser adds them.
    words = "" if piece.kind == "numeral" else f' title="{html.escape(piece.words)}"'
    return f'<span class="{CLASSES[piece.kind]}"{words}>{text}</span>'


@cache
def _markdown() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")
    parser.inline.ruler.before("escape", "number", _number_rule)
    parser.add_render_rule("number", _render_number)
    parser.add_render_rule("text", _render_text)
    parser.validateLink = _allowed  # type: ignore[method-assign]
    parser.add_render_rule("link_open", _render_link)
    return parser


def _allowed(url: str) -> bool:
    return _LINK.fullmatch(url) is not None


def _number_rule(state: StateInline, silent: bool) -> bool:
    match = REFERENCE.match(state.src, state.pos)
    if match is None:
        return False
    if not silent:
        token = state.push("number", "", 0)
        token.meta = {"match": match}
    state.pos = match.end()
    return True


Env = MutableMapping[str, Any]


def _render_number(_self: RendererHTML, tokens: Sequence[Token], at: int, _options: OptionsDict, env: Env) -> str:
    return _span(bound(tokens[at].meta["match"], env["numbers"]))


def _render_text(_self: RendererHTML, tokens: Sequence[Token], at: int, _options: OptionsDict, _env: Env) -> str:
    found: Iterator[Piece] = numerals(tokens[at].content)
    return "".join(map(_span, found))


def _render_link(self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, env: Env) -> str:
    token = tokens[at]
    href = str(token.attrGet("href") or "")
    if href.startswith("/"):
        token.attrSet("href", local(href))
    return self.renderToken(tokens, at, options, env)
