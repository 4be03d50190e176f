"""Figures are rendered: their texts lie inside and apart, their bytes depend on the input only."""

import io
import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import RendererAgg
from PIL import Image

from ferspore.evaluation.calibration import reliability
from ferspore.evaluation.scores import score, softmax
from ferspore.labels import EMOTIONS
from ferspore.pictures import figures
from ferspore.pictures.figures import DPI, RIGHT, SERIES, WRONG, Tile
from ferspore.run.history import History

LONG = "a_file_name_that_is_far_too_long_for_the_picture_it_stands_above_" * 3


@pytest.fixture(scope="module")
def judged():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 7, 4000)
    logits = rng.normal(size=(4000, 7)) + 2.5 * np.eye(7)[labels]
    return logits, labels


def face(number=0):
    return np.random.default_rng(number).integers(0, 256, (48, 48), np.uint8)


def history(epochs, name="run", resumed=()):
    records = []
    for epoch in epochs:
        accuracy = round(0.6 - 0.3 / epoch, 4)
        values = {"loss": 2 / epoch, "val_loss": 2.2 / epoch, "val_accuracy": accuracy}
        records.append({"epoch": epoch, "lr": 0.1 / epoch, **values, "best": True})
    return History(name, tuple(records), resumed)


def probabilities(top, value=0.94):
    row = np.full(7, (1 - value) / 6)
    row[top] = value
    return row


def all_figures(judged):
    logits, labels = judged
    scores = score(logits, labels)
    tile = Tile(face(), "true surprise\npredicted surprise 0.97", WRONG)
    matrix = {pair: Tile(face(sum(pair))) for pair in np.ndindex(7, 7) if sum(pair) % 5}
    certain = reliability(np.eye(7), np.arange(7))
    return {
        "right": figures.face_beside_bars(face(), probabilities(3), 3, "happy"),
        "certain": figures.face_beside_bars(face(), probabilities(5, 1.0), 5, "surprise"),
        "wrong": figures.face_beside_bars(face(), probabilities(3), 5, LONG),
        "unknown": figures.face_beside_bars(face(), probabilities(3), None, "costs $5 and $6"),
        "grid": figures.grid([("a", [tile] * 6), ("b", []), ("c", [tile])], "grid of faces " * 9),
        "long grid": figures.grid([(LONG, [Tile(face(), LONG)])], LONG),
        "empty grid": figures.grid([], "nothing"),
        "face matrix": figures.face_matrix(matrix, scores.confusion * 100, "pairs"),
        "confusion": figures.confusion_matrix(scores.confusion * 100, "confusion"),
        "no confusion": figures.confusion_matrix(np.zeros((7, 7), int), "none"),
        "per class": figures.per_class(scores, "precision and recall"),
        "perfect": figures.per_class(score(np.eye(7), np.arange(7)), "perfect"),
        "calibration": figures.reliability_diagram(reliability(softmax(logits), labels), "c"),
        "one bin": figures.reliability_diagram(certain, "certain"),
        "history": figures.history_curves([history(range(1, 60))], "a run"),
        "one epoch": figures.history_curves([history([1], resumed=(1,))], "one epoch"),
        "runs": figures.history_curves([history([1, 5], LONG)] * len(SERIES), "runs"),
        "not judged": figures.history_curves([History("a", ({"epoch": 3, "loss": 1.0},))], "a"),
    }


class Recorder(RendererAgg):
    """An Agg renderer that notes each line of text that is really drawn: (left, top, right,
    bottom) in pixels from the upper left corner."""

    def draw_text(self, gc, x, y, s, prop, angle, ismath=False, mtext=None):
        width, height, descent = self.get_text_width_height_descent(s, prop, ismath)
        if angle == 90:
            box = (x - height + descent, y - width, x + descent, y)
        else:
            box = (x, y - height + descent, x + width, y + descent)
        self.lines.append((s, box))
        super().draw_text(gc, x, y, s, prop, angle, ismath, mtext)


def drawn(figure):
    """Lines of text with their boxes, and the pixels uint8 (H,W,4)."""
    width, height = (figure.get_size_inches() * DPI).astype(int)
    renderer = Recorder(width, height, DPI)
    renderer.lines = []
    with matplotlib.style.context(figures.STYLE, after_reset=True):
        figure.draw(renderer)
    return renderer.lines, np.asarray(renderer.buffer_rgba())


def test_every_text_lies_inside_apart_from_others_and_nothing_touches_the_edge(judged):
    for name, figure in all_figures(judged).items():
        lines, pixels = drawn(figure)
        height, width = pixels.shape[:2]
        assert lines, name
        for text, (left, top, right, bottom) in lines:
            inside = left >= 0 and top >= 0 and right <= width and bottom <= height
            assert inside, (name, text, left, top, right, bottom, width, height)
        for (one, a), (other, b) in itertools.combinations(lines, 2):
            overlap_x = min(a[2], b[2]) - max(a[0], b[0])
            overlap_y = min(a[3], b[3]) - max(a[1], b[1])
            assert overlap_x <= 1 or overlap_y <= 1, (name, one, other)
        edges = [pixels[:3], pixels[-3:], pixels[:, :3], pixels[:, -3:]]
        assert all((edge == 255).all() for edge in edges), name


def test_same_input_same_bytes_whatever_the_users_settings(judged, tmp_path):
    def draw():
        confusion = score(*judged).confusion
        return [
            figures.png(figures.face_beside_bars(face(), probabilities(3), 5, "t")),
            figures.png(figures.grid([("a", [Tile(face(), "c")])], "t")),
            figures.png(figures.confusion_matrix(confusion, "t")),
            figures.png(figures.history_curves([history(range(1, 9))], "t")),
        ]

    first = draw()
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "savefig.pad_inches": 3}):
        again = draw()
    assert first == again
    path = tmp_path / "bars.png"
    figures.save(figures.face_beside_bars(face(), probabilities(3), 5, "t"), path)
    assert path.read_bytes() == first[0]
    with Image.open(path) as image:
        assert set(image.info) == {"dpi"}  # no date, no program


def test_the_face_is_drawn_pixel_by_pixel():
    figure = figures.face_beside_bars(face(7), probabilities(0), 0, "angry")
    pixels = np.asarray(Image.open(io.BytesIO(figures.png(figure))).convert("L"))
    box = figure.axes[0].get_position()
    height, width = pixels.shape
    left, right = box.x0 * width, box.x1 * width
    top, bottom = (1 - box.y1) * height, (1 - box.y0) * height
    columns = (left + (np.arange(48) + 0.5) * (right - left) / 48).astype(int)
    rows = (top + (np.arange(48) + 0.5) * (bottom - top) / 48).astype(int)
    seen = pixels[np.ix_(rows, columns)].astype(int)
    assert np.abs(seen - face(7)).max() <= 1
    assert (right - left) / 48 >= 4  # legible: each of the face's pixels is several of the screen


def drawn_words(figure):
    return [text for text, _ in drawn(figure)[0]]


def test_bars_say_truth_prediction_and_confidence():
    row = probabilities(3, 0.7)
    row[5], row[0] = 0.2, row[0] - 0.15
    words = drawn_words(figures.face_beside_bars(face(), row, 5, "t"))
    assert "true label surprise, predicted happy, confidence 0.70" in words
    assert "0.20  true" in words and "0.70" in words
    widths = [
        bar.get_width() for bar in figures.face_beside_bars(face(), row, 5, "t").axes[1].patches
    ]
    assert widths == row.tolist()
    words = drawn_words(figures.face_beside_bars(face(), row, None, "t"))
    assert not any("true" in word for word in words)


@pytest.mark.parametrize(("truth", "colour"), [(3, RIGHT), (None, RIGHT), (0, WRONG)])
def test_a_mistake_has_another_colour(truth, colour):
    axes = figures.face_beside_bars(face(), probabilities(3), truth, "t").axes[1]
    assert matplotlib.colors.to_hex(axes.patches[3].get_facecolor()).upper() == colour


def test_grid_shows_each_tile_in_its_row_and_says_none():
    tiles = [Tile(face(i), f"face {i}") for i in range(6)]
    figure = figures.grid([("angry", tiles), ("disgust", [])], "t", columns=4)
    shown = [axes.images[0].get_array().tolist() for axes in figure.axes]
    assert shown == [tile.image.tolist() for tile in tiles]
    left = [round(axes.get_position().x0, 6) for axes in figure.axes]
    assert left[4:] == left[:2] and len(set(left)) == 4
    assert {"angry", "disgust: none", "face 5"} <= set(drawn_words(figure))


def test_confusion_cells_say_fraction_of_their_row_and_count():
    confusion = np.diag([10, 0, 4, 4, 4, 4, 4])
    confusion[0, 3] = 30
    words = drawn_words(figures.confusion_matrix(confusion, "t"))
    assert {"0.25", "10", "0.75", "30", "1.00"} <= set(words)
    image = figures.confusion_matrix(confusion, "t").axes[0].images[0].get_array()
    assert image[0].tolist() == [0.25, 0, 0, 0.75, 0, 0, 0]
    assert image[1].tolist() == [0] * 7  # an emotion without faces


def test_reliability_diagram_names_the_error():
    bins = reliability(np.array([[0.9, 0.1]] * 4), np.array([0, 0, 0, 1]))
    assert any(
        "error 0.1500" in word for word in drawn_words(figures.reliability_diagram(bins, "t"))
    )


def test_history_has_gaps_best_and_resumes():
    gappy = History(
        "gappy",
        (
            {"epoch": 1, "loss": 2.0, "val_loss": 2.1, "val_accuracy": 0.3, "best": True},
            {"epoch": 4, "loss": 1.0, "val_loss": 1.1, "val_accuracy": 0.5, "best": True},
            {"epoch": 5, "loss": 0.9, "val_accuracy": 0.4, "lr": 0.1},
        ),
        resumed=(5,),
    )
    figure = figures.history_curves([gappy], "t")
    loss, accuracy = figure.axes[:2]
    nan = float("nan")
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), [2.0, nan, nan, 1.0, 0.9])
    np.testing.assert_array_equal(loss.lines[1].get_ydata(), [2.1, nan, nan, 1.1, nan])
    stars = [line for line in accuracy.lines if line.get_marker() == "*"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in stars] == [(4, 0.5)]
    triangles = [line for line in accuracy.lines if line.get_marker() == "^"]
    assert [line.get_xdata()[0] for line in triangles] == [5]
    assert "gappy: best validation accuracy 0.5000 at epoch 4" in drawn_words(figure)
    assert "first epoch after a resume" in drawn_words(figure)


def test_more_runs_than_colours_are_refused():
    with pytest.raises(ValueError, match="received 8 runs, expected at most 7"):
        figures.history_curves([history([1])] * 8, "t")


def test_long_text_is_shortened_in_its_middle():
    short = figures.shortened(LONG, 2.0, 9.5)
    assert figures.text_width(short, 9.5) <= 2.0
    start, end = short.split("…")
    assert LONG.startswith(start) and LONG.endswith(end) and start and end
    assert figures.shortened("short", 2.0, 9.5) == "short"
    lines = figures.wrapped("some words " * 20 + LONG, 2.0, 9.5)
    assert all(figures.text_width(line, 9.5) <= 2.0 for line in lines)
    assert " ".join(lines[:-1]).split() == ["some", "words"] * 20


def test_series_and_verdicts_are_told_apart_by_lightness_too():
    def lightness(colour):
        red, green, blue = matplotlib.colors.to_rgb(colour)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    assert abs(lightness(RIGHT) - lightness(WRONG)) > 0.05
    shades = [lightness(matplotlib.colormaps[figures.SEQUENTIAL](x)) for x in np.linspace(0, 1, 20)]
    assert (np.diff(shades) < 0).all()  # an amount is told by its lightness alone
    assert len(set(SERIES)) == len(SERIES) and len(EMOTIONS) == 7
