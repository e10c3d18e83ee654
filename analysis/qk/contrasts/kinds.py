"""The kinds of contrast and their options, as data: a page draws its form from this table.

The same table checks what comes back from the form, so an option is described, bounded and defaulted in one place.
"""

from __future__ import annotations

from dataclasses import dataclass

from analysis.errors import UserError
from analysis.fields import Choice, Field, Flag, Text, Whole
from analysis.qk.contrasts.template import MAX_TEMPLATE, TEMPLATE_EXAMPLE, WORD_LISTS_EXAMPLE
from analysis.qk.contrasts.words import CATEGORIES

MAX_FILE = 20_000_000

OptionValue = int | bool | str


@dataclass(frozen=True)
class Option:
    """One input of a form: ``field`` says what it may be and, in its words, what it is called."""

    name: str
    field: Field
    default: OptionValue
    help: str

    def check(self, value: object) -> OptionValue:
        """``value`` if it is allowed. Raises UserError whose field is the name of the option."""
        if isinstance(self.field, Text) and isinstance(value, str):
            if len(value) > self.field.most:  # its text would be too long for the sentence, too
                raise UserError(
                    f"{self.field.words} has {len(value):,} characters; at most {self.field.most:,} are allowed.",
                    self.name,
                )
            if not whole_text(value):
                raise UserError(f"{self.field.words} holds half of a surrogate pair. Paste the text again.", self.name)
        self.field.check(value, self.name)
        assert isinstance(value, OptionValue)
        return value


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
    return Option("n_boxes", Whole(3, 9, words="Boxes"), 4, f"How many boxes each list has. {why}")


CONTRAST_KINDS: dict[str, ContrastKind] = {
    "induction": ContrastKind(
        "Induction",
        "Random words, one of which comes again at the end. The query is the repeated word. The matching key is the "
        "word that followed it the first time; the other keys are the rest of the words that could have been it. A "
        "head that separates them finds what came after. Which word repeats is random, so position does not tell.",
        (
            Option(
                "n_words",
                Whole(4, 64, words="Words"),
                16,
                "How many different words can be repeated.",
            ),
        ),
        300,
    ),
    "order": ContrastKind(
        "Order of boxes",
        "A list puts objects into boxes, and the question asks for one of them. It always asks for the same object, "
        "which stands at a random place in the list. The matching key is the letter of its box, the other keys are "
        "the letters of the other boxes. What tells them apart is the place in the list, not the object.",
        (
            _n_boxes("With more boxes there are more places to tell apart."),
            Option(
                "filler",
                Flag(words="Filler before the list"),
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
        "same except that another object takes its place. The matching key is the letter of the box in the first "
        "prompt, the other key is the same letter at the same position in the second. What tells them apart is the "
        "object, not the place.",
        (
            _n_boxes("The fitting vocabulary has as many objects."),
            Option(
                "pairing",
                Choice(("clean", "coded"), words="Pairing"),
                "clean",
                "Clean pairs the query of the first prompt with both keys. Coded pairs the key of the second prompt "
                "with the query of the second prompt, as the published code does.",
            ),
        ),
        400,
    ),
    "category": ContrastKind(
        "Items of a category",
        "A shuffled list of 25 words from five categories, then a question for one category. The matching keys are "
        "the five words of that category, the other keys are the twenty that are left.",
        (
            Option(
                "predicate",
                Choice(("any", *CATEGORIES), words="Category asked for"),
                "any",
                "One category, or any, which draws one at random for each example.",
            ),
        ),
        300,
    ),
    "previous": ContrastKind(
        "Previous token",
        "Random words. The query is one of them, at a random position. The matching key is the word just before it; "
        "the other keys are the earlier words. This is a contrast of position only.",
        (
            Option(
                "length",
                Whole(8, 200, words="Words"),
                24,
                "How many different words each prompt has.",
            ),
        ),
        300,
    ),
    "template": ContrastKind(
        "Template",
        "Your own text with slots that are filled from your own word lists. Marks say which words are the query, the "
        "matching keys and the other keys.",
        (
            Option(
                "template",
                Text(MAX_TEMPLATE, words="Template"),
                TEMPLATE_EXAMPLE,
                "Text with slots such as {animal.1|+}. “How to write a template”, above, explains the marks.",
            ),
            Option(
                "word_lists",
                Text(MAX_TEMPLATE, words="Word lists"),
                WORD_LISTS_EXAMPLE,
                "One list a line: name: word, word, word.",
            ),
            Option(
                "shuffle",
                Flag(words="Shuffle the clauses"),
                True,
                "Changes the order of the clauses in square brackets from example to example, so that position does "
                "not give the answer away.",
            ),
            Option(
                "long_words",
                Choice(("refuse", "last"), words="Words of several tokens"),
                "refuse",
                "Refuse asks for another word. Last takes the last token of the word.",
            ),
        ),
        200,
    ),
    "jsonl": ContrastKind(
        "Your own examples",
        "A file with one JSON object a line: a text, the spans of the matching (positive) and of the other (negative) "
        "keys and, if it is not the last token, the query. A span is a string that occurs once in the text, or "
        "[start, end] in characters. The number of examples is an upper limit: the first lines are used. Of 40 "
        "different texts or more, one in five is held back from the fit, so that it can be tested on texts that it has "
        "not seen.",
        (
            Option(
                "text",
                Text(MAX_FILE, words="File"),
                "",
                'Lines such as {"text": "A cat and a dog. Meow, says the", "positive": ["cat"], "negative": ["dog"]}.',
            ),
        ),
        20_000,
    ),
}
