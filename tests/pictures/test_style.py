"""Pictures are rendered: their texts lie inside and apart, the same input gives the same bytes."""

import itertools

import matplotlib
import numpy as np
import pytest
from PIL import Image

from ferspore.evaluation.calibration import reliability
from ferspore.evaluation.scores import score, softmax
from ferspore.labels import EMOTIONS
from ferspore.pictures import curves, faces, scores, style
from ferspore.pictures.faces import Tile
from ferspore.pictures.style import RIGHT, SERIES, WRONG, png, shortened, text_width, wrapped
from ferspore.run.history import History
from tests.pictures.drawing import LONG, drawn, face, history, probabilities


@pytest.fixture(scope="module")
def judged():
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 7, 4000)
    logits = rng.normal(size=(4000, 7)) + 2.5 * np.eye(7)[labels]
    return logits, labels


def all_figures(judged):
    logits, labels = judged
    found = score(logits, labels)
    tile = Tile(face(), "true surprise\npredicted surprise 0.97", WRONG)
    matrix = {pair: Tile(face(sum(pair))) for pair in np.ndindex(7, 7) if sum(pair) % 5}
    certain = reliability(np.eye(7), np.arange(7))
    return {
        "right": faces.face_beside_bars(face(), probabilities(3), 3, "happy"),
        "certain": faces.face_beside_bars(face(), probabilities(5, 1.0), 5, "surprise"),
        "wrong": faces.face_beside_bars(face(), probabilities(3), 5, LONG),
        "unknown": faces.face_beside_bars(face(), probabilities(3), None, "costs $5 and $6"),
        "grid": faces.grid([("a", [tile] * 6), ("b", []), ("c", [tile])], "grid of faces " * 9),
        "long grid": faces.grid([(LONG, [Tile(face(), LONG)])], LONG),
        "rows": faces.labelled_rows([("a\n3 of 7", [tile] * 6), (LONG, [tile])], "t", foot=40),
        "one row": faces.labelled_rows([("a", [Tile(face(), LONG)])], LONG, columns=1),
        "no faces": faces.labelled_rows([("a", []), ("b", [])], "nothing"),
        "no rows": faces.labelled_rows([], "nothing"),
        "empty grid": faces.grid([], "nothing"),
        "face matrix": faces.face_matrix(matrix, found.confusion * 100, "pairs"),
        "confusion": scores.confusion_matrix(found.confusion * 100, "confusion"),
        "no confusion": scores.confusion_matrix(np.zeros((7, 7), int), "none"),
        "per class": scores.per_class(found, "precision and recall"),
        "perfect": scores.per_class(score(np.eye(7), np.arange(7)), "perfect"),
        "calibration": scores.reliability_diagram(reliability(softmax(logits), labels), "c"),
        "one bin": scores.reliability_diagram(certain, "certain"),
        "history": curves.history_curves([history(range(1, 60))], "a run"),
        "one epoch": curves.history_curves([history([1], resumed=(1,))], "one epoch"),
        "runs": curves.history_curves([history([1, 5], LONG)] * len(SERIES), "runs"),
        "not judged": curves.history_curves([History("a", ({"epoch": 3, "loss": 1.0},))], "a"),
    }


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
            png(faces.face_beside_bars(face(), probabilities(3), 5, "t")),
            png(faces.grid([("a", [Tile(face(), "c")])], "t")),
            png(scores.confusion_matrix(confusion, "t")),
            png(curves.history_curves([history(range(1, 9))], "t")),
        ]

    first = draw()
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "savefig.pad_inches": 3}):
        again = draw()
    assert first == again
    curve = curves.history_curves([history(range(1, 61))], "t")
    assert png(curve) == png(curve)  # laid out once only
    path = tmp_path / "bars.png"
    style.save(faces.face_beside_bars(face(), probabilities(3), 5, "t"), path)
    assert path.read_bytes() == first[0]
    with Image.open(path) as image:
        assert set(image.info) == {"dpi"}  # no date, no program


def test_long_text_is_shortened_in_its_middle():
    short = shortened(LONG, 240, 9.5)
    assert text_width(short, 9.5) <= 240
    start, end = short.split("…")
    assert LONG.startswith(start) and LONG.endswith(end) and start and end
    assert shortened("short", 240, 9.5) == "short"
    lines = wrapped("some words " * 20 + LONG, 240, 9.5)
    assert all(text_width(line, 9.5) <= 240 for line in lines)
    assert " ".join(lines[:-1]).split() == ["some", "words"] * 20


def test_series_and_verdicts_are_told_apart_by_lightness_too():
    def lightness(colour):
        red, green, blue = matplotlib.colors.to_rgb(colour)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    assert abs(lightness(RIGHT) - lightness(WRONG)) > 0.05
    shades = [lightness(matplotlib.colormaps[style.SEQUENTIAL](x)) for x in np.linspace(0, 1, 20)]
    assert (np.diff(shades) < 0).all()  # an amount is told by its lightness alone
    assert len(set(SERIES)) == len(SERIES) and len(EMOTIONS) == 7
