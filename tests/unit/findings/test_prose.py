"""Numbers in prose follow their results, and what people write stays text, whatever they write."""

from __future__ import annotations

import re
import time
from html.parser import HTMLParser

import pytest

from analysis.findings.prose import Numbers, pieces, plain, renamed, spoken
from analysis.findings.records import Check, Pin
from components.findings.prose import TAGS, line, rendered


def pin(name: str, made: float, **numbers: float) -> Pin:
    return Pin(name, f"View {name}", {"view": "x/y"}, "/attention", "", "light", made, (), numbers=numbers)


OLD, NEW = pin("aaaa1111bbbb", 1.0, kl=0.0123456, n=40), pin("cccc2222dddd", 2.0, kl=3.5, steps=1234567)


def test_a_name_means_the_oldest_view_of_the_finding_in_any_order() -> None:
    for own in ([OLD, NEW], [NEW, OLD]):
        numbers = Numbers(own)
        assert (
            plain("KL {{kl}} after {{ steps }}, not {{kl@cccc2222}}", numbers) == "KL 0.0123 after 1,234,567, not 3.50"
        )
    assert plain("{{kl}} {{kl@aaaa1111}}", Numbers([NEW], [OLD])) == "3.50 0.0123"


def test_a_reference_without_a_number_stays_and_is_marked() -> None:
    numbers = Numbers([OLD], [pin("aaaa9999", 3.0, kl=1.0)])
    for text in ("{{loss}}", "{{kl@dddd}}", "{{kl@aaaa}}", "{{n@aaaa9999}}"):  # the third fits two pins
        (piece,) = pieces(text, numbers)
        assert piece.kind == "unbound" and piece.text == text and "list" in piece.words


def test_a_number_is_that_of_the_newest_check_where_it_moved() -> None:
    for state, shown in (("moved", "0.500"), ("equal", "0.0123"), ("failed", "0.0123")):
        checks = {OLD.id: Check(OLD.id, 9.0, state, "", numbers={"kl": 0.5})}
        assert plain("{{kl}} {{n}}", Numbers([OLD], checks=checks)) == f"{shown} 40"
    moved = Numbers([OLD], checks={OLD.id: Check(OLD.id, 9.0, "moved", "", numbers={"kl": 0.5})})
    (piece,) = pieces("{{kl}}", moved)
    assert "it was 0.0123 when" in piece.words


def test_numerals_are_told_from_the_digits_of_names() -> None:
    text = "GPT2 and z1 fell by −3.5e-4, 12% of 1,000 in layer 7 of L3."
    kinds = [(p.kind, p.text) for p in pieces(text, Numbers([]))]
    assert [t for kind, t in kinds if kind == "numeral"] == ["−3.5e-4", "12%", "1,000", "7"]
    assert "".join(t for _, t in kinds) == text


def test_the_list_offers_what_then_is_found() -> None:
    numbers = Numbers([NEW, OLD], [pin("eeee3333ffff", 3.0, kl=9.0)])
    listed = {reference: number.value for reference, number in numbers.listed()}
    assert listed == {
        "{{kl@cccc2222}}": 3.5,
        "{{steps}}": 1234567,
        "{{kl}}": 0.0123456,
        "{{n}}": 40,
        "{{kl@eeee3333}}": 9,
    }
    for reference, value in listed.items():
        assert plain(reference, numbers) == spoken(value)


def test_references_follow_their_pins_into_a_copy() -> None:
    text = "{{kl}} {{kl@aaaa1111}} {{kl@zzzz}}"
    assert renamed(text, {OLD.id: "f" * 32}) == "{{kl}} {{kl@ffffffff}} {{kl@zzzz}}"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (-1, "−1"), (0.5, "0.500"), (0.999960, "1.00"), (123.456, "123"), (1234.5, "1,230"), (40_000, "40,000"),
     (1e-5, "1.00e−5"), (-2.5e20, "−2.50e20"), (float("nan"), "not a number"), (float("-inf"), "−∞")],
)  # fmt: skip
def test_three_digits(value: float, text: str) -> None:
    assert spoken(value) == text


class Look(HTMLParser):
    """The tags and attributes of a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<svg onload=alert(1)>",
    "<iframe src=//e.com></iframe>", "<a href='javascript:alert(1)'>a</a>", "<style>*{display:none}</style>",
    "<b onclick=alert(1)>b</b>", "<!--<script>-->", "<math><mi xlink:href='javascript:alert(1)'>",
    "<form action=//e.com><button>b</button></form>", "<base href=//e.com>", "<p style='position:fixed'>",
    "</div></section><h1>out</h1>", "<template><script>1</script></template>", "[a](javascript:alert(1))",
    "[a](JaVaScRiPt:alert(1))", "[a](&#106;avascript:alert(1))", "[a](java\tscript:alert(1))",
    "[a](data:text/html,<script>1</script>)", "[a](data:image/svg+xml;base64,PHN2Zz4=)", "[a](vbscript:x)",
    "[a](file:///etc/passwd)", "[a](//e.com)", "[a](/\\e.com)", "[a](\\\\e.com)", "[a](blob:x)", "[a](about:blank)",
    "[a](<javascript:alert(1)>)", "[a][b]\n\n[b]: javascript:alert(1)", "<javascript:alert(1)>", "[a](#x)",
    "![a](https://e.com/t.png)", "![a](javascript:alert(1))", "![a](data:image/svg+xml,<svg onload=alert(1)>)",
    "`<script>alert(1)</script>`", "```html\n<script>alert(1)</script>\n```",
    "[<script>](https://e.com \"<script>\")", "[a](https://e.com/\"onmouseover=\"alert(1))", "{{<script>}}",
    "{{\"><img onerror=1>}}", "&lt;script&gt;", "\u202ecod.exe", "|<script>|\n|-|\n|<img onerror=1>|", "1<script>2",
    "\u2066a\u2069 \u202b", "<<script>script>alert(1)<</script>",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_text(text: str) -> None:
    for html in (rendered(text, Numbers([OLD])), line(text, Numbers([OLD]))):
        look = Look(html)
        assert {tag for tag, _ in look.tags} <= TAGS
        for tag, attributes in look.tags:
            assert attributes.keys() <= {"a": {"href", "title", "rel"}, "span": {"class", "title"}}.get(tag, set())
            assert re.match(r"https?://|mailto:|/(?![/\\])", attributes.get("href") or "/")
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", html)


def test_links_to_the_web_and_to_pages_of_this_app_stay() -> None:
    look = Look(rendered("[a](https://e.com/?a=1&b=2) [b](/attention?x=1) [c](mailto:a@b.c) **d**", Numbers([])))
    assert [a["href"] for tag, a in look.tags if tag == "a"] == [
        "https://e.com/?a=1&b=2",
        "/attention?x=1",
        "mailto:a@b.c",
    ]
    assert ("strong", {}) in look.tags


def test_a_claim_is_no_markdown_and_numbers_stand_in_both() -> None:
    numbers = Numbers([OLD])
    assert line("**{{kl}}** <b>", numbers).startswith('**<span class="fnd-number"')
    assert '<strong><span class="fnd-number"' in rendered("**{{kl}}**", numbers)
    assert "<code>{{kl}}</code>" in rendered("`{{kl}}`", numbers)


def test_the_longest_note_is_rendered_in_seconds_whatever_it_is_made_of() -> None:
    for part in ("[a](", "{{a", "*a_ ", "![[]()", "<", "1 "):
        began = time.process_time()
        rendered((part * 50_000)[:50_000], Numbers([OLD]))
        assert time.process_time() - began < 6
