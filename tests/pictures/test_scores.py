"""What the charts of scores say, and how they set it apart."""

import numpy as np

from ferspore.evaluation.calibration import reliability
from ferspore.evaluation.scores import score
from ferspore.pictures.scores import FEW, confusion_matrix, per_class, reliability_diagram
from ferspore.pictures.style import GREY, INK
from tests.pictures.drawing import drawn_words

KEYS = ("precision", "recall", "f1")


def test_confusion_cells_say_fraction_of_their_row_and_count():
    confusion = np.diag([10, 0, 4, 4, 4, 4, 4])
    confusion[0, 3] = 30
    words = drawn_words(confusion_matrix(confusion, "t"))
    assert {"0.25", "10", "0.75", "30", "1.00"} <= set(words)
    image = confusion_matrix(confusion, "t").axes[0].images[0].get_array()
    assert image[0].tolist() == [0.25, 0, 0, 0.75, 0, 0, 0]
    assert image[1].tolist() == [0] * 7  # an emotion without faces


def test_cells_are_white_on_dark_and_grey_where_there_is_nothing():
    confusion = np.diag([67, 66, 1, 1, 1, 1, 1])
    confusion[0, 1], confusion[1, 0] = 33, 34
    texts = confusion_matrix(confusion, "t").axes[0].texts
    colours = {text.get_text(): text.get_color() for text in texts}
    assert colours["0.67"] == colours["67"] == colours["1.00"] == "white"
    assert colours["0.66"] == colours["66"] == colours["33"] == INK
    assert colours["0.00"] == colours["0"] == GREY


def test_ratios_are_bars_and_those_without_cases_are_dashes():
    labels = np.array([0, 0, 3, 1])
    scores = score(np.eye(7)[[0, 3, 3, 3]], labels)
    axes = per_class(scores, "t").axes[0]
    widths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    expected = [[row[key] for row in scores.per_class.values()] for key in KEYS]
    assert widths == expected
    said = np.reshape([text.get_text() for text in axes.texts], (3, 7))
    assert said[:, 0].tolist() == ["1.00", "0.50", "0.67"]
    assert said[:, 1].tolist() == ["-", "0.00", "0.00"]  # shown once, never predicted
    assert said[:, 2].tolist() == ["-", "-", "-"]


def test_bins_of_few_faces_are_faded():
    confidences = np.repeat([0.9, 0.7], [FEW, FEW - 1])
    bins = reliability(np.stack([confidences, 1 - confidences], 1), np.zeros(2 * FEW - 1, int))
    bars = reliability_diagram(bins, "t").axes[0].patches
    assert [bar.get_facecolor()[3] == 1 for bar in bars] == [False, True]


def test_reliability_diagram_names_the_error():
    bins = reliability(np.array([[0.9, 0.1]] * 4), np.array([0, 0, 0, 1]))
    assert any("error 0.1500" in word for word in drawn_words(reliability_diagram(bins, "t")))
