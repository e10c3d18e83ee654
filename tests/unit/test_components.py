"""What the browser gets: packed cells, pictures, escaped labels, figures that hold the numbers they were given."""

from __future__ import annotations

import base64
import json
import struct
import zlib

import numpy as np
import pytest

from components.kit.card import Card
from components.kit.cells import LIMIT, pack_cells, unpack_cells
from components.kit.figure_card import blank
from components.kit.labels import escaped, numbered
from components.kit.png import CIVIDIS, png_uri
from components.qk.figures import attribution_bars, swap_bars
from components.qk.heads import head_grid


@pytest.mark.parametrize("size", [1, 2, 37, 256])
def test_cells_come_back_as_they_were(size: int) -> None:
    cells = np.tril(np.random.default_rng(0).integers(0, 3, (size, size))).astype(np.uint8)
    packed = pack_cells(cells)
    assert packed["step"] == 1 and np.array_equal(unpack_cells(packed), cells)


def test_the_busiest_head_still_fits_and_says_how_coarse_it_is() -> None:
    cells = np.random.default_rng(1).integers(0, 256, (512, 512)).astype(np.uint8)
    packed = pack_cells(cells)
    assert len(packed["cells"]) <= LIMIT <= 100_000 and packed["step"] > 1
    error = np.abs(unpack_cells(packed).astype(int) - np.tril(cells).astype(int)).max()
    assert error <= packed["step"]


def test_signed_cells_keep_their_sign_and_their_masked_entries() -> None:
    cells = np.array([[-128, 0], [-127, 127]], np.int8)
    assert np.array_equal(unpack_cells(pack_cells(cells)), np.array([[-128, 0], [-127, 127]]))


def test_a_picture_holds_its_pixels() -> None:
    cells = np.arange(12, dtype=np.uint8).reshape(3, 4)
    raw = base64.b64decode(png_uri(cells, CIVIDIS).partition(",")[2])
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(raw):
        length, kind = struct.unpack(">I4s", raw[at : at + 8])
        body = raw[at + 8 : at + 8 + length]
        assert struct.unpack(">I", raw[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind + body)
        chunks[kind], at = body, at + 12 + length
    assert struct.unpack(">II", chunks[b"IHDR"][:8]) == (4, 3)
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(3, 5)
    assert (rows[:, 0] == 0).all() and np.array_equal(rows[:, 1:], cells)
    assert len(chunks[b"PLTE"]) == 768


@pytest.mark.parametrize("text", ["<s>", "</s>", "<br>", "<b>x", '<a href="x">y</a>', "a & b"])
def test_labels_cannot_be_read_as_markup(text: str) -> None:
    import html

    assert "<" not in escaped(text) and html.unescape(escaped(text, 99)) == text


def test_labels_of_equal_tokens_stay_apart() -> None:
    assert len(set(numbered(["the", "the", "the"]))) == 3


def test_the_grid_puts_each_head_where_its_layer_and_number_say() -> None:
    scores = np.arange(6, dtype=float).reshape(3, 2)
    scores[1, 1] = np.nan
    trace = head_grid(scores, "score", "light", (2, 0))["data"][0]
    for head in range(2):
        for layer in range(3):
            assert trace["customdata"][head][layer] == [layer, head]
            value = trace["z"][head][layer]
            assert value == scores[layer, head] or (np.isnan(value) and np.isnan(scores[layer, head]))


def test_the_ranked_grid_falls_and_remembers_who_is_who() -> None:
    scores = np.random.default_rng(2).random((4, 3))
    trace = head_grid(scores, "score", "dark", None, ranked=True)["data"][0]
    flat = trace["z"].ravel()
    assert (np.diff(flat) <= 0).all()
    where = [tuple(c) for row in trace["customdata"] for c in row]
    assert [scores[w] for w in where] == pytest.approx(flat.tolist())


def test_bars_add_up_to_the_line() -> None:
    parts = np.random.default_rng(3).normal(size=(5, 3))
    figure = attribution_bars(parts, ["a", "b"], list("vwxyz"), [1, 2, 4], 2, "nats", "light")
    bars = [t["y"] for t in figure["data"] if t["type"] == "bar"]
    line = next(t["y"] for t in figure["data"] if t["name"] == "total")
    assert np.allclose(sum(bars), line, atol=1e-5) and np.allclose(line, parts[[1, 2, 4]].sum(1), atol=1e-5)
    assert [t["name"] for t in figure["data"]] == ["a", "b", "unexplained", "total"]


def test_swap_bars_show_before_after_and_the_random_band() -> None:
    before, after = np.array([0.7, 0.2, 0.1]), np.array([0.2, 0.7, 0.1])
    band = np.array([[0.5, 0.1, 0.0], [0.6, 0.2, 0.1], [0.65, 0.4, 0.2]])
    first, second, random = swap_bars(before, after, band, ["x", "y", "z"], [0, 1], "light")["data"]
    assert (
        first["y"].tolist() == [0.7, 0.2] and second["y"].tolist() == [0.2, 0.7] and random["y"].tolist() == [0.6, 0.2]
    )
    assert random["error_y"]["array"].tolist() == pytest.approx([0.05, 0.2])


def test_the_busiest_signed_matrix_fits_too_and_keeps_sign_and_mask() -> None:
    cells = np.random.default_rng(4).integers(-127, 128, (512, 512)).astype(np.int8)
    cells[np.tril_indices(512)[0][::50], np.tril_indices(512)[1][::50]] = -128
    packed = pack_cells(cells)
    back, kept = unpack_cells(packed).astype(int), np.tril(cells).astype(int)
    assert len(json.dumps(packed)) <= 100_000 and packed["signed"]
    assert np.array_equal(back == -128, kept == -128)
    seen = (kept != -128) & (np.abs(kept) > packed["step"])
    assert (np.sign(back[seen]) == np.sign(kept[seen])).all()
    assert np.abs(back - kept).max() <= packed["step"]


def test_random_causal_attention_of_512_tokens_fits() -> None:
    logits = np.random.default_rng(5).normal(size=(512, 512)) * 3
    weights = np.tril(np.exp(logits))
    weights /= weights.sum(1, keepdims=True)
    cells = np.rint(weights / weights.max() * 255).astype(np.uint8)
    packed = pack_cells(cells)
    assert len(json.dumps(packed)) <= 100_000
    assert np.abs(unpack_cells(packed).astype(int) - cells.astype(int)).max() <= packed["step"]


@pytest.mark.parametrize("background", ["#ffffff", "#151b23"])
def test_the_words_of_an_empty_figure_can_be_read_on_both_themes(background: str) -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    (words,) = blank(360, "Fit a feature first")["layout"]["annotations"]
    a, b = sorted([luminance(words["font"]["color"]), luminance(background)])
    assert words["text"] == "Fit a feature first" and (b + 0.05) / (a + 0.05) >= 4.0


def test_a_card_without_a_figure_says_what_leads_to_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.kit.card.CARDS", {})
    card = Card("some", "Some", start="Press “Go”")
    words = lambda figure: [note["text"] for note in figure["layout"]["annotations"]]  # noqa: E731
    assert words(card.empty()["figure"]) == ["Press “Go”"] and words(card.empty("None yet")["figure"]) == ["None yet"]
    (graph,) = [part for part in card.layout()._traverse() if getattr(part, "id", None) == "some"]
    assert words(graph.figure) == ["Press “Go”"] and words(Card("other", "Other").empty()["figure"]) == []
