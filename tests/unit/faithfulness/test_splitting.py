"""Steps and answers of texts: nothing is lost, sentences end where a reader says so, answers are found."""

from __future__ import annotations

import time

import numpy as np
import pytest

from analysis.faithfulness.answer_text import find_answer, named
from analysis.faithfulness.splitting import marker_of, numbers_in, spans, split_steps

# A bar stands where a step ends.
CUT = [
    "3+4=7.| Check: 7.",
    "First, 3.5 + 1 = 4.5.| Then add e.g. 2.| Done!",
    "Dr. Who and Mrs. Smith met at 3 p.m. in the U.S. navy.| Then they left.",
    "It opens at 9 a.m.| Then we go.| Bring pens, paper, etc.| Good.",
    "5! = 120.| Then 4! is 24.| Wow!| So 5 is next.",
    'He said "It is 7. I am sure." and left.| OK?| Yes.',
    "“Is it 7? It is.” she said.| Good.",
    '"Really?" she asked.| "Yes." |Then go.',
    "1. Add 2 and 3.|\n2. Multiply by 4.|\n\na) Stop.",
    "Steps: 1. Add.| 2. Multiply.| So 9.",
    "Step 1. Do this.| **Step 2.** Do that.",
    "The answer is A.| The rest is B.| So (C).| Then D.",
    "John F. Kennedy and J. R. R. Tolkien met.| See Fig. 3 and No. 5.| The answer is no.| Yes.",
    "Wait... that is wrong.| Hmm...| Let me see… maybe 4.",
    "three plus four is seven.| check seven.",
    "一加一等于二。|所以是二。",
    "No full stop|\nanother line|\r\n  - item one|\n  - item two\n",
    "x = 3.|\nThe key is 4",
    '5" and 6" are sizes.| They differ.',
]


@pytest.mark.parametrize("marked", CUT)
def test_sentences_end_where_a_reader_says_so(marked: str) -> None:
    expected = marked.split("|")
    # A blank may be written on either side of the bar; it belongs to the step behind it.
    for k in range(len(expected) - 1):
        bare = expected[k].rstrip(" ")
        expected[k + 1] = expected[k][len(bare) :] + expected[k + 1]
        expected[k] = bare
    assert split_steps("".join(expected)) == tuple(expected)


def test_nothing_is_lost_whatever_the_text_is() -> None:
    draw = np.random.default_rng(0)
    pieces = [*' \n\t.!?"“”()1234aAbB$\\{}*:;,-…。', "e.g.", "Dr.", " The ", "\r\n", "3.5", "1. ", "\\boxed{4}"]
    for _ in range(400):
        text = "".join(draw.choice(pieces, int(draw.integers(0, 40))))
        steps = split_steps(text)
        assert "".join(steps) == text
        assert all(step.strip() for step in steps) or len(steps) == 1
        # A newline is never inside what a step says.
        assert all(not set(step.strip()) & set("\n\r") for step in steps)
        assert all(step == step.rstrip() for step in steps[:-1])
        assert [text[a:b] for a, b in spans(steps)] == list(steps)
        find_answer(text)


def test_nothing_to_split() -> None:
    assert split_steps("") == () and split_steps(" \n ") == (" \n ",)


def test_long_texts_take_no_longer_per_character() -> None:
    for text in ("word " * 12_000, "*" * 60_000, "1. " * 20_000, '"' * 60_000, "the answer is " * 4_000, "." * 60_000):
        began = time.perf_counter()
        assert "".join(split_steps(text)) == text
        find_answer(text)
        assert time.perf_counter() - began < 3


FOUND = [
    ("Let us see. 3+4=7. So the answer is 7.", ["Let us see.", " 3+4=7."], "7", "phrase"),
    ("3+4=7.\nAnswer: 7", ["3+4=7."], "7", "marker"),
    ("3+4=7.\n\n**Final Answer:** **(B)** Paris.", ["3+4=7."], "B", "marker"),
    ("3+4=7. Answer: 7 apples.\nI hope that helps!", ["3+4=7."], "7", "marker"),
    ("Three, then four.\n#### 1,000", ["Three, then four."], "1,000", "marker"),
    ("Thus 3+4 = \\boxed{7}.", ["Thus 3+4 = \\boxed{7}."], "7", "box"),
    ("We add.\nThe final answer is $\\boxed{\\frac{1}{2}}$. Good.", ["We add."], "\\frac{1}{2}", "box"),
    ("We add. \\boxed{3} is wrong. Add again. \\[\\boxed{\\text{Paris}}\\]", None, "Paris", "box"),
    ("Since 3+4=7, the answer is 7 because of it.", ["Since 3+4=7,"], "7", "phrase"),
    ("We know it. Therefore, the correct option is (C).", ["We know it."], "C", "phrase"),
    ("I think. The answer is not 7. The answer is Paris.", ["I think.", " The answer is not 7."], "Paris", "phrase"),
    ("x is 4. Then 4+5=-9.", ["x is 4.", " Then 4+5=-9."], "-9", "number"),
    ("It costs $3.50. That is all.", ["It costs $3.50."], "3.50", "number"),
]


@pytest.mark.parametrize(("text", "steps", "answer", "how"), FOUND)
def test_answers_are_found(text: str, steps: list[str] | None, answer: str, how: str) -> None:
    found = find_answer(text)
    assert (found.answer, found.how, found.sentence) == (answer, how, "")
    assert text.startswith("".join(found.steps))
    if steps is not None:
        assert list(found.steps) == steps


def test_what_is_missing_is_said() -> None:
    none = find_answer("No idea at all.")
    assert none.answer == "" and none.steps == ("No idea at all.",) and "No answer was found" in none.sentence
    first = find_answer("The answer is 7. Because 3+4=7.")
    assert first.answer == "7" and first.steps == () and "no chain before it" in first.sentence
    assert "not 7" in "".join(find_answer("The answer is not 7. Hmm.").steps)  # a denial announces nothing
    assert find_answer("").answer == "" and find_answer("Answer:").answer == ""
    assert find_answer("\\boxed{unclosed").how != "box"


def test_candidates_decide_what_an_answer_means() -> None:
    found = find_answer("We go to Rome, then to Paris.", ("Paris", "Rome"))
    assert (found.answer, found.how) == ("Paris", "candidate")
    assert find_answer("So 3+4=7. Answer: seven", ("7", "seven")).answer == "seven"
    assert find_answer("I take a bus.", ("A", "B")).answer == ""  # the word "a" is no option
    assert find_answer("I take option A, not (B), no: option A.", ("A", "B")).answer == "A"
    assert find_answer("It is 7.", ("3", "4")).sentence == "None of the candidate answers is named in this text."
    assert named("7.0", ("7", "8")) == "7" and named("1,000", ("1000", "100")) == "1000"
    assert named("(b) Paris", ("A", "B")) == "B" and named("the city of Rome", ("Rome", "Paris")) == "Rome"
    assert named("17", ("7", "1")) == "" and named("Rome or Paris", ("Rome", "Paris")) == "" and named("", ("",)) == ""


def test_numbers_and_markers() -> None:
    assert numbers_in("2. Add 3.5, -4 and 1,000: 3/4 or 20%.") == ["3.5", "-4", "1,000", "3/4", "20"]
    assert numbers_in("Step 2: x2 is 7") == ["7"] and numbers_in("v1.2.3") == []
    assert (
        marker_of("\n 2. Add") == "\n 2. " and marker_of(" 7.") == " " and marker_of("**Step 3:** x") == "**Step 3:** "
    )
