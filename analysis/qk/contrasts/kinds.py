"""The kinds of contrast and their options, as data: a page draws its form from this table.

The same table checks what comes back from the form, so an option is described, bounded and defaulted in one place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from analysis.errors import UserError, empty_number, is_empty
from analysis.qk.contrasts.template import MAX_TEMPLATE, TEMPLATE_EXAMPLE, WORD_LISTS_EXAMPLE
from analysis.qk.contrasts.words import CATEGORIES

MAX_FILE = 20_000_000

OptionValue = int | bool | str


@dataclass(frozen=True)
class Option:
    """One input of a form. ``choices`` belong to a choice, ``minimum`` and ``maximum`` to an integer, ``maximum``
    (characters) to a text."""

    name: str
    label: str
    type: Literal["integer", "choice", "switch", "text"]
    default: OptionValue
    help: str
    choices: tuple[str, ...] = ()
    minimum: int | None = None
    maximum: int | None = None

    def check(self, value: object) -> OptionValue:
        """``value`` if it is allowed. Raises UserError whose field is the name of the option."""
        if self.type == "integer":
            if is_empty(value):
                raise empty_number(self.label, f"a whole number from {self.minimum:,} to {self.maximum:,}", self.name)
            whole = isinstance(value, int) and not isinstance(value, bool)
            if whole and (self.minimum or 0) <= cast(int, value) <= (self.maximum or 0):
                return cast(int, value)
            raise self._refusal(f"a whole number from {self.minimum:,} to {self.maximum:,}")
        if self.type == "switch":
            if isinstance(value, bool):
                return value
            raise self._refusal("yes or no (true or false)")
        if not isinstance(value, str):
            raise self._refusal("text")
        if self.type == "choice" and value not in self.choices:
            raise self._refusal("one of " + ", ".join(self.choices))
        if self.type == "text":
            if self.maximum is not None and len(value) > self.maximum:
                raise UserError(
                    f"{self.label} has {len(value):,} characters; at most {self.maximum:,} are allowed.", self.name
                )
            if not whole_text(value):
                raise UserError(f"{self.label} holds half of a surrogate pair. Paste the text again.", self.name)
        return value

    def _refusal(self, wanted: str) -> UserError:
        return UserError(f"{self.label} must be {wanted}.", self.name)


@dataclass(frozen=True)
class ContrastKind:
    """A kind of contrast: what it is called, what it asks of a head, its options, how many examples by default."""

    title: str
    explanation: str
    options: tuple[Option, ...]
    default_examples: int


def whole_text(text: str) -> bool:
    """Whether the text can be written as UTF-8. A lone surrogate, which JSON can carry, makes a tokenizer fail."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _n_boxes(why: str) -> Option:
    return Option("n_boxes", "Boxes", "integer", 4, f"How many boxes each list has. {why}", minimum=3, maximum=9)


CONTRAST_KINDS: dict[str, ContrastKind] = {
    "induction": ContrastKind(
        "Induction",
        "Random words, one of which comes again at the end. The query is the repeated word. The positive key is the "
        "word that followed it the first time; the negative keys are the other words that could have been it. A head "
        "that separates them finds what came after. Which word repeats is random, so position does not tell.",
        (
            Option(
                "n_words", "Words", "integer", 16, "How many different words can be repeated.", minimum=4, maximum=64
            ),
        ),
        300,
    ),
    "order": ContrastKind(
        "Order of boxes",
        "A list puts objects into boxes, and the question asks for one of them. It always asks for the same object, "
        "which stands at a random place in the list. The positive key is the letter of its box, the negative keys are "
        "the other letters. What tells them apart is the place in the list, not the object.",
        (
            _n_boxes("With more boxes there are more places to tell apart."),
            Option(
                "filler",
                "Filler before the list",
                "switch",
                False,
                "Puts a random number of words before the list. Without it each place in the list is always the same "
                "position in the prompt, so a subspace of order may be one of position.",
            ),
        ),
        400,
    ),
    "lexical": ContrastKind(
        "Object in a box",
        "A list puts the same few objects into boxes, and the question asks for one of them. A second prompt is the "
        "same except that another object takes its place. The positive key is the letter of the box in the first "
        "prompt, the negative key is the same letter at the same position in the second. What tells them apart is the "
        "object, not the place.",
        (
            _n_boxes("The fitting vocabulary has as many objects."),
            Option(
                "pairing",
                "Pairing",
                "choice",
                "clean",
                "Clean pairs the query of the first prompt with both keys. Coded pairs the key of the second prompt "
                "with the query of the second prompt, as the published code does.",
                choices=("clean", "coded"),
            ),
        ),
        400,
    ),
    "category": ContrastKind(
        "Items of a category",
        "A shuffled list of 25 words from five categories, then a question for one category. The positive keys are "
        "the five words of that category, the negative keys are the other twenty.",
        (
            Option(
                "predicate",
                "Category asked for",
                "choice",
                "any",
                "One category, or any, which draws one at random for each example.",
                choices=("any", *CATEGORIES),
            ),
        ),
        300,
    ),
    "previous": ContrastKind(
        "Previous token",
        "Random words. The query is one of them, at a random position. The positive key is the word just before it; "
        "the negative keys are the earlier words. This is a contrast of position only.",
        (
            Option(
                "length", "Words", "integer", 24, "How many different words each prompt has.", minimum=8, maximum=200
            ),
        ),
        300,
    ),
    "template": ContrastKind(
        "Template",
        "Your own text with slots that are filled from your own word lists. Marks say which words are the query, the "
        "positive keys and the negative keys.",
        (
            Option(
                "template",
                "Template",
                "text",
                TEMPLATE_EXAMPLE,
                "Text with slots such as {animal.1|+}. The help below explains the marks.",
                maximum=MAX_TEMPLATE,
            ),
            Option(
                "word_lists",
                "Word lists",
                "text",
                WORD_LISTS_EXAMPLE,
                "One list a line: name: word, word, word.",
                maximum=MAX_TEMPLATE,
            ),
            Option(
                "shuffle",
                "Shuffle the clauses",
                "switch",
                True,
                "Changes the order of the clauses in square brackets from example to example, so that position does "
                "not give the answer away.",
            ),
            Option(
                "long_words",
                "Words of several tokens",
                "choice",
                "refuse",
                "Refuse asks for another word. Last takes the last token of the word.",
                choices=("refuse", "last"),
            ),
        ),
        200,
    ),
    "jsonl": ContrastKind(
        "Your own examples",
        "A file with one JSON object a line: a text, the spans that are positive keys, the spans that are negative "
        "keys and, if it is not the last token, the query. A span is a string that occurs once in the text, or "
        "[start, end] in characters. The number of examples is an upper limit: the first lines are used. Of 40 "
        "different texts or more, one in five is held back from the fit, so that it can be tested on texts that it has "
        "not seen.",
        (
            Option(
                "text",
                "File",
                "text",
                "",
                'Lines such as {"text": "A cat and a dog. Meow, says the", "positive": ["cat"], "negative": ["dog"]}.',
                maximum=MAX_FILE,
            ),
        ),
        20_000,
    ),
}
