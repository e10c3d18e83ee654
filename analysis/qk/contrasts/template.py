r"""The template language: text with slots, marks and clauses, and the word lists that fill them.

A page's user writes a contrast as a sentence, so the language is a sentence with three additions:

- a slot, ``{list}`` or ``{list.2}``: a word of the list. Slots of one list with different numbers hold different
  words in one example; the same slot twice is the same word. ``{list}`` is short for ``{list.1}``.
- a mark after a bar: ``{animal.1|+}`` is a positive key, ``{animal.2|-}`` a negative key, ``{animal.1|?}`` the query.
  One slot may be a key in one mention and the query in another. Without a query mark the last token is the query.
- square brackets around clauses: they change places from example to example, so that position does not give the
  answer away. What stands between the clauses stays where it is.

A backslash takes the meaning from the character after it, one of ``{ } [ ] | \``, and ``\n`` is a line break.
Word lists are lines ``name: word, word, word``. Parsing needs no tokenizer, so that a page can refuse at once; only
the sibling ``template_examples`` knows about tokens.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from analysis.errors import UserError

MAX_TEMPLATE = 20_000

TEMPLATE_HELP = r"""{animal} is a slot: each example puts a word of the list animal there.
{animal.1} and {animal.2} are two different words of that list. The same slot twice is the same word.
{animal.1|+} is a positive key: the token that the query should find.
{animal.2|-} is a negative key: a token that it should not find.
{animal.1|?} is the query. Without one, the last token of the prompt is the query.
[ ... ] is a clause. Clauses change places from example to example, so that position does not give the answer away.
\{ \} \[ \] \| \\ are the plain characters, \n is a line break.
Word lists: one a line, as in  animal: fox, cat, horse
A marked word should be one token. Choose "last" for words of several tokens to use the last one.
Many heads rest on the very first token of a prompt, so do not begin the text with a marked word."""

TEMPLATE_EXAMPLE = (
    "[{name.1} carries the {object.1|+}], [{name.2} carries the {object.2|-}] and "
    "[{name.3} carries the {object.3|-}]. Question: what does {name.1|?}"
)
WORD_LISTS_EXAMPLE = (
    "name: Anna, Tom, Maria, Peter, Sarah, David, Laura, Simon\n"
    "object: cup, book, lamp, rope, drum, coin, key, clock, plate, bottle"
)

_SLOT = re.compile(r"([\w-]+)(?:\.([1-9][0-9]?))?")
_NAME = re.compile(r"[\w-]+")
_PLAIN = "{}[]|\\"


@dataclass(frozen=True)
class Mention:
    """One slot where it stands: the list, the number, and the mark (``+``, ``-``, ``?`` or empty)."""

    list_name: str
    number: int
    mark: str

    @property
    def written(self) -> str:
        """As a person would write it."""
        return f"{{{self.list_name}.{self.number}{'|' + self.mark if self.mark else ''}}}"


Segment = tuple["str | Mention", ...]


@dataclass(frozen=True)
class Template:
    """A parsed template: ``segments`` in order, ``clauses`` the indices of those that may change places."""

    segments: tuple[Segment, ...]
    clauses: tuple[int, ...]
    lists: dict[str, tuple[str, ...]]

    def mentions(self) -> list[Mention]:
        """Every slot, in the order of the template."""
        return [piece for segment in self.segments for piece in segment if isinstance(piece, Mention)]


def parse_template(text: str, word_lists: str) -> Template:
    """Parse and check a template with its word lists.

    Raises UserError (field ``template`` or ``word_lists``) that names what is wrong: empty or too long, a bracket or
    brace without its partner, no slot, an unknown list or mark, too few words, no positive or negative key, more than
    one query.
    """
    for what, value, field in (("The template", text, "template"), ("The word lists", word_lists, "word_lists")):
        if len(value) > MAX_TEMPLATE:
            raise UserError(f"{what} has {len(value):,} characters; at most {MAX_TEMPLATE:,} are allowed.", field)
    if not text.strip():
        raise _refuse("The template is empty. Write a text with slots such as {animal.1|+}.")
    lists = parse_word_lists(word_lists)
    segments, clauses = _scan(text)
    template = Template(segments, clauses, lists)
    mentions = template.mentions()
    if not mentions:
        raise _refuse("The template has no slots. Write a list's name in braces, as in {animal.1|+}.")
    for mention in mentions:
        if mention.list_name not in lists:
            known = ", ".join(lists) or "none"
            raise _refuse(f"{mention.written} names no word list. The lists are: {known}.")
    for name in dict.fromkeys(mention.list_name for mention in mentions):
        needed = len({mention.number for mention in mentions if mention.list_name == name})
        if len(lists[name]) < needed:
            raise UserError(
                f"The list {name} has {len(lists[name])} different words, but the template needs {needed} at a time. "
                "Add words.",
                "word_lists",
            )
    marks = [mention.mark for mention in mentions]
    if "+" not in marks:
        raise _refuse("The template has no positive key. Mark one with |+, as in {animal.1|+}.")
    if "-" not in marks:
        raise _refuse("The template has no negative key. Mark one with |-, as in {animal.2|-}.")
    queries = [mention.written for mention in mentions if mention.mark == "?"]
    if len(queries) > 1:
        raise _refuse(f"The template has {len(queries)} query marks ({', '.join(queries)}). Keep one.")
    return template


def parse_word_lists(text: str) -> dict[str, tuple[str, ...]]:
    """Lines ``name: word, word`` as name to its different words. Raises UserError (field ``word_lists``)."""
    lists: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, colon, rest = line.partition(":")
        name = name.strip()
        if not colon or not _NAME.fullmatch(name):
            raise UserError(
                f"Line {number} of the word lists must be a name, a colon and words, as in animal: fox, cat.",
                "word_lists",
            )
        if name in lists:
            raise UserError(f"There are two word lists named {name}. Give one another name.", "word_lists")
        lists[name] = tuple(dict.fromkeys(word for part in rest.split(",") if (word := part.strip())))
    return lists


def _refuse(message: str) -> UserError:
    return UserError(message, "template")


def _scan(text: str) -> tuple[tuple[Segment, ...], tuple[int, ...]]:
    """Split a template into segments. A segment is a clause or the text between two clauses."""
    segments: list[Segment] = []
    clauses: list[int] = []
    pieces: list[str | Mention] = []
    opened: int | None = None
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            pieces.append(_escape(text, at))
            at += 2
            continue
        if char == "{":
            end = text.find("}", at)
            if end < 0:
                raise _refuse(f"The brace at character {at + 1} is never closed. Add a }} or write \\{{.")
            pieces.append(_slot(text[at + 1 : end]))
            at = end + 1
            continue
        if char == "}":
            raise _refuse(f"The brace at character {at + 1} closes nothing. Remove it or write \\}}.")
        if char == "[" and opened is not None:
            raise _refuse(f"The bracket at character {at + 1} opens a clause inside a clause. Close the first one.")
        if char == "]" and opened is None:
            raise _refuse(f"The bracket at character {at + 1} closes nothing. Remove it or write \\].")
        if char in "[]":
            if char == "]":
                clauses.append(len(segments))
            segments.append(tuple(pieces))
            pieces = []
            opened = at if char == "[" else None
        else:
            pieces.append(char)
        at += 1
    if opened is not None:
        raise _refuse(f"The bracket at character {opened + 1} is never closed. Add a ] or write \\[.")
    return (*segments, tuple(pieces)), tuple(clauses)


def _escape(text: str, at: int) -> str:
    follower = text[at + 1 : at + 2]
    if follower == "n":
        return "\n"
    if follower and follower in _PLAIN:
        return follower
    raise _refuse(f"The backslash at character {at + 1} must stand before one of {' '.join(_PLAIN)} or n.")


def _slot(body: str) -> Mention:
    shown = body if len(body) <= 40 else body[:40] + "..."
    name, bar, mark = (part.strip() for part in body.partition("|"))
    match = _SLOT.fullmatch(name)
    if match is None:
        raise _refuse(f"{{{shown}}} is no slot. Write {{list}}, {{list.2}} or {{list.1|+}}; numbers go from 1 to 99.")
    if bar and mark not in ("+", "-", "?"):
        raise _refuse(f"The mark of {{{shown}}} is not known. Use |+ (positive), |- (negative) or |? (query).")
    return Mention(match.group(1), int(match.group(2) or 1), mark)
