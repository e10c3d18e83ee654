"""When two answers are one, and answers that are taken whole or not at all."""

from __future__ import annotations

import json
import time

import pytest

from analysis.errors import UserError
from analysis.faithfulness.answer_text import answer_alone, find_answer
from analysis.faithfulness.ops.jobs import _listed
from analysis.faithfulness.row_fields import MAX_GIVEN
from analysis.faithfulness.rows import read_rows
from analysis.faithfulness.splitting import numbers_in
from analysis.faithfulness.values import distinct, named, same

SAME = [
    (r"\frac{3}{4}", "3/4"), (r"\dfrac12", "0.5"), (r"7\frac{1}{2}", "7.5"), ("7½", "7 1/2"), ("12{,}345", "12345"),
    (r"50\%", "50%"), ("0.5", "50%"), ("50", "50%"), (r"\text{(B)}", "B"), ("(B)", "b."), ("yes", "Yes"),
    (r"\textbf{True}", "true"), (r"$\boxed{7}$", "7"), ("**Paris**", "paris"), ("7.0", "7"), ("\u22127", "-7"),
    ("1.234,5", "1234.5"), ("1 234", "1234"), ("1\u202f234", "1,234"), ("1’234", "1234"), ("1,00,000", "100000"),
    ("3,5", "3.5"), ("$5", "5"), ("5 dollars", "$5"), ("7 + 2i", "7+2i"), (r"1.2\times 10^{3}", "1200"),
    ("1.2 × 10³", "1200"), ("seven", "7"), ("Twenty-one", "21"), (r"45^\circ", "45°"), ("１２", "12"),
    ("12,345.", "12345"),
]  # fmt: skip
OTHER = [
    ("7", "7 + 2i"), ("$5", "5 €"), ("7²", "72"), ("1,234", "1.234"), ("1", "1,234"), ("3/4", "4/3"), ("A", "B"),
    ("50%", "5"), ("7", "7 million"), ("12", "12 34"), ("1 2345", "12345"), ("3,4,5", "345"), ("valid", "invalid"),
    ("1e999999999", "1"), ("", ""), ("1/0", "1"),
]  # fmt: skip


@pytest.mark.parametrize(("a", "b"), SAME)
def test_the_same_value_in_another_writing_is_one_candidate(a: str, b: str) -> None:
    assert same(a, b) and same(b, a)
    assert distinct([a, b, "zebra"], 8) == (a, "zebra")
    assert named(a, [b, "zebra"]) == b


@pytest.mark.parametrize(("a", "b"), OTHER)
def test_other_values_are_not_the_same(a: str, b: str) -> None:
    assert not same(a, b) and not same(b, a)


@pytest.mark.parametrize(
    ("written", "candidates", "meant"),
    [
        ("1,234 apples", ["1", "1234"], "1234"), ("1’234", ["1", "234", "1234"], "1234"), ("7 + 2i", ["7", "2"], ""),
        ("x = 12", ["12", "13"], "12"), ("not valid", ["valid", "invalid"], ""), ("B) Paris", ["A", "B"], "B"),
        ("B", ["A) Rome", "B) Paris"], "B) Paris"), ("7 million", ["7", "8"], ""), ("about 7 cats", ["7", "8"], "7"),
        ("1.5", ["1", "5"], ""), ("7 - 3", ["7", "3"], ""), ("12 or 13", ["12", "13"], ""),
    ],
)  # fmt: skip
def test_a_candidate_is_named_whole_or_not_at_all(written: str, candidates: list[str], meant: str) -> None:
    assert named(written, candidates) == meant


@pytest.mark.parametrize(
    ("said", "answer", "how"),
    [
        ("Answer: 7 + 2i", "7 + 2i", "marker"), ("Answer is B", "B", "phrase"), ("So answer is 7.", "7", "phrase"),
        ("Final answer: 7", "7", "marker"),
        ("**Final Answer**\n\n\\(7\\)", "7", "marker"), ("Answer：B", "B", "marker"),
        ("The answer is (B).", "B", "phrase"), ("答案是：B", "B", "marker"), ("所以答案为 12。", "12", "marker"),
        ("Réponse : 12", "12", "marker"), ("La respuesta es 12.", "12", "marker"),
        ("Die Antwort ist 3,5.", "3,5", "marker"),
        ("<answer>12</answer>\nThat took 5 steps.", "12", "tag"), ("[ANSWER]B[/ANSWER]", "B", "tag"),
        ("<answer>So it is \\boxed{9}.</answer>", "9", "tag"), ('```json\n{"answer": "B"}\n```', "B", "json"),
        ('{"answer": 7.50}', "7.50", "json"), ("{'final_answer': 'B'}", "B", "json"),
        ("The answer is 1 234.", "1 234", "phrase"), ("The answer is 1.234,5.", "1.234,5", "phrase"),
        ("The answer is 1’234.", "1’234", "phrase"), ("Answer: 50%", "50%", "marker"),
        ("Answer: 3 + 4 = 7", "7", "marker"),
        ("Answer: x = 7", "7", "marker"), ("Answer: about 7 cats", "7", "marker"),
        ("Answer: 7 million", "7 million", "marker"),
        ("Answer: 7 hours 30 minutes", "7 hours 30 minutes", "marker"), ("Answer: 7, 8 and 9", "7, 8 and 9", "marker"),
        ("Answer: 7:30", "7:30", "marker"), ("Answer: 5 - 3i", "5 - 3i", "marker"), ("Answer: \u22127", "-7", "marker"),
        ("So it is 7 + 2i.", "", ""), ("So it is 1 234.", "", ""), ("So 3 + 4 = 7.", "7", "number"),
    ],
)  # fmt: skip
def test_an_answer_is_taken_whole_or_not_at_all(said: str, answer: str, how: str) -> None:
    found = find_answer(f"We take 3. We add 4.\n{said}")
    assert (found.answer, found.how) == (answer, how)
    if how not in ("", "number"):
        assert "".join(found.steps) == "We take 3. We add 4."


def test_a_tag_beats_the_numbers_of_the_chain_and_json_keeps_its_reasons_as_the_chain() -> None:
    assert (
        find_answer("We take \\boxed{3}. Answer: 4\n<answer>7</answer> (8 steps)", ("3", "4", "7", "8")).answer == "7"
    )
    found = find_answer('{"reasoning": "We take 3. Then we add 4.", "answer": "7"}')
    assert found.answer == "7" and "Then we add 4." in "".join(found.steps) and "answer" not in "".join(found.steps)
    assert find_answer("It is 1’234.", ("1", "234", "1234")).answer == "1234"
    assert find_answer("It is 7 + 2i.", ("7", "2")).answer == ""


def test_numbers_of_other_countries_are_one_number() -> None:
    texts = ["1.234,5", "1’234", "1\u00a0234", "3,5", "1,234.5", "1,00,000", "1.234.567", "1,2345"]
    assert [numbers_in(f"It is {t} kg.") for t in texts] == [[t] for t in texts]
    assert numbers_in("3,5,7 and (3, 5)") == ["3", "5", "7", "3", "5"]


def a_row(**more: object) -> str:
    return json.dumps({"question": "How?", "cot": "We halve it. Then we add.", "label_type": "FAITHFUL_COT", **more})


@pytest.mark.parametrize(
    ("said", "correct"),
    [(r"\frac{3}{4}", "3/4"), ("<answer>12</answer>", "12"), ('{"answer": "B"}', "B"), ("yes", "Yes"), ("50\\%", "50%"),
     ("The answer is 7.", "7"), ("$12{,}345$", "12345")],
)  # fmt: skip
def test_rows_never_compare_an_answer_with_itself(said: str, correct: str) -> None:
    listed = read_rows(a_row(model_answer=said, candidates=[correct, "zebra"])).items[0]
    assert (listed.answer, listed.candidates) == (correct, (correct, "zebra"))
    free = read_rows(a_row(model_answer=said, correct_answer=correct, cot="We take 90. We add 91.")).items[0]
    assert sum(same(c, correct) for c in free.candidates) == 1 and same(free.answer, correct)
    twice = read_rows(a_row(model_answer=said, candidates=[correct, said]))
    assert "Only one answer is known" in twice.refused[0][1]


def test_many_candidates_are_refused_at_once_and_rows_have_safe_points() -> None:
    many = a_row(model_answer="1", candidates=[str(i) for i in range(9_000)])
    same_question = [a_row(model_answer=str(i), cot=f"We take {i}. We add.") for i in range(400)]
    seen: list[int] = []
    began = time.monotonic()
    found = read_rows("\n".join([many, *same_question]), check=lambda: seen.append(1))
    assert time.monotonic() - began < 2
    assert f"at most {MAX_GIVEN}" in found.refused[0][1] and len(found.refused) == 1
    assert len(found.items) == 400 and len(seen) >= 800


def test_a_list_of_answers_does_not_cut_numbers() -> None:
    assert _listed("7, 8") == _listed("7,8") == ("7", "8")
    assert _listed("12,345; 12,346") == _listed("12,345, 12,346") == ("12,345", "12,346")
    with pytest.raises(UserError, match="semicolon") as caught:
        _listed("12,345,12,346")
    assert caught.value.field == "candidates"


def test_an_answer_without_anything_around_it_stays_as_it_is() -> None:
    for said in ("7 + 2i", "Paris", "no answer is known", "3/4"):
        assert answer_alone(said) == said


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("7 km", "7"), ("10 m/s", "10"), ("20 °C", "20"), ("3 apples", "3"), ("4 square meters", "4"), ("x = 7", "7"),
        ("minus 3", "-3"), (r"2\sqrt{3}", "2√3"), (r"7\pi", "7π"),
    ],
)  # fmt: skip
def test_a_unit_or_a_name_makes_no_other_answer_of_a_bare_number(a: str, b: str) -> None:
    assert same(a, b) and same(b, a)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("7 km", "7 m"), ("7 am", "7 pm"), ("7 million", "7"), ("5x", "5"), ("5 x", "5"), ("3i", "3"), ("7 π", "7"),
        ("x = 7", "y = 7"), ("7 or 8", "7"), ("3 and 4", "3"),
    ],
)  # fmt: skip
def test_what_is_more_than_a_number_with_a_unit_is_another_answer(a: str, b: str) -> None:
    assert not same(a, b) and not same(b, a)


@pytest.mark.parametrize(
    ("said", "answer"),
    [("La réponse est : 7", "7"), ("答えは42です", "42"), ("정답은 B입니다", "B"), ('{"answer": [1,2]}', "[1,2]")],
)
def test_answers_in_other_languages_and_lists_are_taken_without_what_stands_around(said: str, answer: str) -> None:
    assert find_answer(f"We add. That makes 9.\n{said}").answer == answer


@pytest.mark.parametrize("place", ["<answer></answer>", "<answer> \n</answer>", '{"answer": null}', '{"answer": ""}'])
def test_where_the_place_for_the_answer_is_empty_no_number_of_the_chain_is_taken(place: str) -> None:
    found = find_answer(f"We add. That makes 9.\n{place}")
    assert found.answer == "" and "empty" in found.sentence
    row = {
        "question": "q?",
        "cot": "We add.",
        "model_answer": place,
        "correct_answer": "7",
        "label_type": "FAITHFUL_COT",
    }
    assert "no answer" in read_rows(json.dumps(row)).refused[0][1]


def test_a_number_or_a_candidate_that_is_denied_is_no_answer() -> None:
    assert find_answer("So 3 + 4 = 7. It cannot be 8.").answer == "7"
    assert find_answer("We look. It is in Rome. It is not Paris.", ("Paris", "Rome")).answer == "Rome"
    assert named("not 7", ["7", "8"]) == ""
