r"""The template language: text with slots, marks and clauses, and the word lists that fill them.

A page's user writes a contrast as a sentence, so the language is a sentence with three additions:

- a slot, ``{list}`` or ``{list.2}``: a word of the list. Slots of one list with different numbers hold different
  words in one example; the same slot twice is the same word. ``{list}`` is short for ``{list.1}``.
- a mark after a bar: ``{animal.1|+}`` is a matching key, ``{animal.2|-}`` another key, ``{animal.1|?}`` the query.
  One slot may be a key in one mention and the query in another. Without a query mark the last token is the query.
- square brackets around clauses: they change places from example to example, so that position does not give the
  answer away. What stands between the clauses stays where it is.

A backslash takes the meaning from the character after it, one of ``{ } [ ] | \``, and ``\n`` is a line break.
Word lists are lines ``name: word, word, word``. Parsing needs no tokenizer, so that a page can refuse at once; only
the sibling ``template_examples`` knows about tokens.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from analysis.errors import UserError

MAX_TEMPLATE = 20_000

TEMPLATE_HELP = r"""{animal} is a slot: each example puts a word of the list animal there.
{animal.1} and {animal.2} are two different words of that list. The same slot twice is the same word.
{animal.1|+} is a matching key: the token that the query should find.
{animal.2|-} is another key: a token that it should not find.
{animal.1|?} is the query. Without one, the last token of the prompt is the query.
[ ... ] is a clause. Clauses change places from example to example, so that position does not give the answer away.
\{ \} \[ \] \| \\ are the plain characters, \n is a line break.
Word lists: one a line, as in  animal: fox, cat, horse
A fixed word that is to be marked is a list of one. So  The {animal.1|+} and the {animal.2|-} met. Then {she.1|?} left
with the line  she: she  asks from the word "she" in every example.
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

Fault = tuple[str, str]
"""What is wrong, a sentence, and the field that it is in."""
MOST_FAULTS = 12

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

    Raises UserError (field ``template`` or ``word_lists``) that names all that is wrong, one fault a line: empty or too
    long, a bracket or brace without its partner, no slot, an unknown list or mark, too few words, no matching or other
    key, more than one query.
    """
    for what, value, field in (("The template", text, "template"), ("The word lists", word_lists, "word_lists")):
        if len(value) > MAX_TEMPLATE:
            raise UserError(f"{what} has {len(value):,} characters; at most {MAX_TEMPLATE:,} are allowed.", field)
    if not text.strip():
        raise UserError("The template is empty. Write a text with slots such as {animal.1|+}.", "template")
    faults: list[Fault] = []
    lists = parse_word_lists(word_lists, faults)
    segments, clauses = _scan(text, faults)
    template = Template(segments, clauses, lists)
    slots_are_whole = not any(field == "template" for _, field in faults)
    faults += _slot_faults(template, slots_are_whole)
    if faults:
        raise refusal_of(faults)
    return template


def refusal_of(faults: Sequence[Fault]) -> UserError:
    """All faults in one refusal, a line each; its field is that of the first."""
    messages = list(dict.fromkeys(message for message, _ in faults))
    if len(messages) == 1:
        return UserError(messages[0], faults[0][1])
    shown = messages[:MOST_FAULTS]
    more = [f"and {len(messages) - MOST_FAULTS} more"] if len(messages) > MOST_FAULTS else []
    listed = "\n".join(f"• {line}" for line in (*shown, *more))
    return UserError(f"There are {len(messages)} faults.\n{listed}", faults[0][1])


def _slot_faults(template: Template, whole: bool) -> list[Fault]:
    """What is wrong with the slots that there are; ``whole``: none was passed over, so that what is missing is."""
    faults: list[Fault] = []
    mentions, lists = template.mentions(), template.lists
    if not mentions:
        return (
            [_fault("The template has no slots. Write a list's name in braces, as in {animal.1|+}.")] if whole else []
        )
    known = ", ".join(lists) or "none"
    for mention in mentions:
        if mention.list_name not in lists:
            faults.append(_fault(f"{mention.written} names no word list. The lists are: {known}."))
    for name in dict.fromkeys(mention.list_name for mention in mentions if mention.list_name in lists):
        needed = len({mention.number for mention in mentions if mention.list_name == name})
        if len(lists[name]) < needed:
            faults.append((
                f"The list {name} has {len(lists[name])} different words, but the template needs {needed} at a time. "
                "Add words.",
                "word_lists",
            ))  # fmt: skip
    marks = [mention.mark for mention in mentions]
    if whole and "+" not in marks:
        faults.append(_fault("The template has no matching key. Mark one with |+, as in {animal.1|+}."))
    if whole and "-" not in marks:
        faults.append(_fault("The template has no other key. Mark one with |-, as in {animal.2|-}."))
    queries = [mention.written for mention in mentions if mention.mark == "?"]
    if len(queries) > 1:
        faults.append(_fault(f"The template has {len(queries)} query marks ({', '.join(queries)}). Keep one."))
    return faults


def parse_word_lists(text: str, faults: list[Fault]) -> dict[str, tuple[str, ...]]:
    """Lines ``name: word, word`` as name to its different words; what is wrong joins ``faults``."""
    lists: dict[str, tuple[str, ...]] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, colon, rest = line.partition(":")
        name = name.strip()
        if not colon or not _NAME.fullmatch(name):
            faults.append((
                f"Line {number} of the word lists must be a name, a colon and words, as in animal: fox, cat.",
                "word_lists",
            ))  # fmt: skip
            continue
        if name in lists:
            faults.append((f"There are two word lists named {name}. Give one another name.", "word_lists"))
        lists[name] = tuple(dict.fromkeys(word for part in rest.split(",") if (word := part.strip())))
    return lists


def _fault(message: str) -> Fault:
    return message, "template"


def _scan(text: str, faults: list[Fault]) -> tuple[tuple[Segment, ...], tuple[int, ...]]:
    """Split a template into segments. A segment is a clause or the text between two clauses. What cannot be read joins
    ``faults`` and is passed over."""
    segments: list[Segment] = []
    clauses: list[int] = []
    pieces: list[str | Mention] = []
    opened: int | None = None
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\":
            pieces.append(_escape(text, at, faults))
            at += 2
            continue
        if char == "{":
            end = text.find("}", at)
            if end < 0:
                faults.append(_fault(f"The brace at character {at + 1} is never closed. Add a }} or write \\{{."))
                break
            pieces += _slot(text[at + 1 : end], faults)
            at = end + 1
            continue
        if char == "}":
            faults.append(_fault(f"The brace at character {at + 1} closes nothing. Remove it or write \\}}."))
        elif char == "[" and opened is not None:
            faults.append(
                _fault(f"The bracket at character {at + 1} opens a clause inside a clause. Close the first one.")
            )
        elif char == "]" and opened is None:
            faults.append(_fault(f"The bracket at character {at + 1} closes nothing. Remove it or write \\]."))
        elif char in "[]":
            if char == "]":
                clauses.append(len(segments))
            segments.append(tuple(pieces))
            pieces = []
            opened = at if char == "[" else None
        else:
            pieces.append(char)
        at += 1
    if opened is not None:
        faults.append(_fault(f"The bracket at character {opened + 1} is never closed. Add a ] or write \\[."))
    return (*segments, tuple(pieces)), tuple(clauses)


def _escape(text: str, at: int, faults: list[Fault]) -> str:
    follower = text[at + 1 : at + 2]
    if follower == "n":
        return "\n"
    if follower and follower in _PLAIN:
        return follower
    faults.append(_fault(f"The backslash at character {at + 1} must stand before one of {' '.join(_PLAIN)} or n."))
    return ""


def _slot(body: str, faults: list[Fault]) -> list[Mention]:
    shown = body if len(body) <= 40 else body[:40] + "..."
    name, bar, mark = (part.strip() for part in body.partition("|"))
    match = _SLOT.fullmatch(name)
    if match is None:
        faults.append(
            _fault(f"{{{shown}}} is no slot. Write {{list}}, {{list.2}} or {{list.1|+}}; numbers go from 1 to 99.")
        )
        return []
    if bar and mark not in ("+", "-", "?"):
        faults.append(_fault(f"The mark of {{{shown}}} is not known. Use |+ (matching), |- (other) or |? (query)."))
        return []
    return [Mention(match.group(1), int(match.group(2) or 1), mark)]
