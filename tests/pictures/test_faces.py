"""Faces are drawn as they are, under the words that belong to them."""

import io

import matplotlib
import numpy as np
import pytest
from PIL import Image

from ferspore.pictures.faces import Tile, face_beside_bars, face_matrix, grid, labelled_rows
from ferspore.pictures.style import RIGHT, WRONG, png
from tests.pictures.drawing import drawn, drawn_words, face, probabilities


def pixels_of(figure, axes):
    """What the picture holds where the axes stand, which is at whole pixels: uint8 (H,W)."""
    box = axes.get_position()
    width, height = figure.canvas.get_width_height()
    edges = np.array([(1 - box.y1) * height, (1 - box.y0) * height, box.x0 * width, box.x1 * width])
    top, bottom, left, right = whole = np.rint(edges).astype(int)
    assert np.allclose(edges, whole)
    drawn = Image.open(io.BytesIO(png(figure)))
    return np.asarray(drawn.convert("L"))[top:bottom, left:right]


@pytest.mark.parametrize("title", ["angry", "a title of two lines " * 5])
def test_each_pixel_of_a_face_is_a_square_of_whole_pixels(title):
    one = face_beside_bars(face(7), probabilities(0), 0, title)
    many = grid([("a", [Tile(face(7), "x")] * 2)], title)
    pair = face_matrix({(0, 0): Tile(face(7))}, np.zeros((7, 7), int), title)
    for figure, side in ((one, 5), (many, 4), (pair, 2)):
        seen = pixels_of(figure, figure.axes[0]).astype(int)
        expected = np.kron(face(7), np.ones((side, side), int))
        assert seen.shape == expected.shape
        assert np.abs(seen - expected)[2:-2, 2:-2].max() <= 1  # without the frame


def test_pairs_without_a_face_are_grey_and_the_number_is_explained():
    confusion = np.zeros((7, 7), int)
    confusion[0, 0], confusion[0, 2] = 1234, 5
    tiles = {(0, 0): Tile(face(1)), (0, 2): Tile(face(2), "", WRONG)}
    figure = face_matrix(tiles, confusion, "t")
    assert len(figure.axes) == 49
    assert np.unique(pixels_of(figure, figure.axes[1])[3:-3, 3:-3]).tolist() == [0xEC]
    words = drawn_words(figure)
    assert {"1,234 correct", "5"} <= set(words) and words.count("0") == 41
    assert any("numbers: faces of each such pair" in word for word in words)


def test_bars_say_truth_prediction_and_confidence():
    row = probabilities(3, 0.7)
    row[5], row[0] = 0.2, row[0] - 0.15
    words = drawn_words(face_beside_bars(face(), row, 5, "t"))
    assert "true label surprise, predicted happy, confidence 0.70" in words
    assert "0.20  true" in words and "0.70" in words
    widths = [bar.get_width() for bar in face_beside_bars(face(), row, 5, "t").axes[1].patches]
    assert widths == row.tolist()
    words = drawn_words(face_beside_bars(face(), row, None, "t"))
    assert not any("true" in word for word in words)


@pytest.mark.parametrize(("truth", "colour"), [(3, RIGHT), (None, RIGHT), (0, WRONG)])
def test_a_mistake_has_another_colour(truth, colour):
    axes = face_beside_bars(face(), probabilities(3), truth, "t").axes[1]
    assert matplotlib.colors.to_hex(axes.patches[3].get_facecolor()).upper() == colour


def test_grid_shows_each_tile_in_its_row_and_says_none():
    tiles = [Tile(face(i), f"face {i}") for i in range(6)]
    figure = grid([("angry", tiles), ("disgust", [])], "t", columns=4)
    shown = [axes.images[0].get_array().tolist() for axes in figure.axes]
    assert shown == [tile.image.tolist() for tile in tiles]
    left = [round(axes.get_position().x0, 6) for axes in figure.axes]
    assert left[4:] == left[:2] and len(set(left)) == 4
    assert {"angry", "disgust: none", "face 5"} <= set(drawn_words(figure))


def test_a_row_has_its_label_at_the_left_and_goes_on_only_after_its_columns():
    tiles = [Tile(face(i), f"0.{i}") for i in range(30)]
    rows = [("angry\n30 of 40", tiles), ("fear", [])]
    figure = labelled_rows(rows, "t")
    assert len({round(axes.get_position().y0, 6) for axes in figure.axes}) == 1
    lines, _ = drawn(figure)
    boxes = dict(lines)
    assert {"angry", "30 of 40", "fear", "none", "0.29"} <= set(boxes)
    first = figure.axes[0].get_window_extent()
    assert boxes["angry"][2] < first.x0
    assert boxes["angry"][3] < figure.bbox.height - first.y0  # beside the face, not below
    wrapped = labelled_rows(rows, "t", columns=8)
    assert len({round(axes.get_position().y0, 6) for axes in wrapped.axes}) == 4
    assert pixels_of(wrapped, wrapped.axes[9]).shape == (96, 96)


def test_a_verdict_is_bold_below_its_caption():
    tile = Tile(np.hstack([face(1), face(2)]), "true sad", WRONG, "predicted happy 0.70")
    for figure in (
        grid([("a", [Tile(face(1), tile.caption, WRONG, tile.verdict)])], "t"),
        labelled_rows([("a", [tile])], "t"),
    ):
        weights = {text.get_text(): text.get_fontweight() for text in figure.texts}
        assert weights["true sad"] == "normal" and weights["predicted happy 0.70"] == "bold"
    assert pixels_of(figure, figure.axes[0]).shape == (96, 192)
