import json
import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics as sklearn_metrics

from ferspore.evaluation.scores import (
    defined_ratios,
    format_confusion,
    format_interval,
    format_per_class,
    macro_average,
    score,
    softmax,
    to_dict,
    wilson_interval,
)
from ferspore.labels import EMOTIONS

ANGRY, DISGUST, FEAR = 0, 1, 2
ALL = range(7)


def random_case(shown, predicted, count=500):
    """Logits and labels with only some emotions shown and only some ever predicted."""
    rng = np.random.default_rng(7)
    labels = rng.choice(shown, count)
    logits = rng.normal(size=(count, 7))
    logits[np.arange(count), labels] += 1
    logits[:, np.setdiff1d(ALL, predicted)] -= 20
    return logits.astype(np.float32), labels.astype(np.uint8)


@pytest.mark.parametrize("shown", [ALL, (0, 3, 6), (4,)])
@pytest.mark.parametrize("predicted", [ALL, (0, 1, 3), (5,)])
def test_equals_scikit_learn(shown, predicted):
    logits, labels = random_case(shown, predicted)
    scores = score(logits, labels)
    guesses = logits.argmax(axis=1)
    probabilities = softmax(logits)

    assert scores.count == 500
    assert scores.accuracy == pytest.approx(sklearn_metrics.accuracy_score(labels, guesses))
    assert scores.loss == pytest.approx(
        sklearn_metrics.log_loss(labels, probabilities, labels=ALL), rel=1e-9
    )
    assert scores.confusion.dtype == np.int64
    np.testing.assert_array_equal(
        scores.confusion, sklearn_metrics.confusion_matrix(labels, guesses, labels=ALL)
    )
    expected = sklearn_metrics.precision_recall_fscore_support(
        labels, guesses, labels=ALL, zero_division=0
    )
    assert tuple(scores.per_class) == EMOTIONS
    rows = [list(row.values()) for row in scores.per_class.values()]
    assert list(scores.per_class["angry"]) == ["precision", "recall", "f1", "support"]
    np.testing.assert_allclose(rows, np.transpose(expected))
    macro = sklearn_metrics.precision_recall_fscore_support(
        labels, guesses, labels=ALL, average="macro", zero_division=0
    )
    assert list(macro_average(scores).values()) == pytest.approx([*macro[:3], 500])


def four_faces():
    """Angry right, angry taken for fear, disgust right, fear taken for disgust."""
    logits = np.zeros((4, 7))
    logits[np.arange(4), [ANGRY, FEAR, DISGUST, DISGUST]] = math.log(6)  # 6 against 6 * 1
    return logits, np.array([ANGRY, ANGRY, DISGUST, FEAR])


def test_four_faces_by_hand():
    scores = score(*four_faces())
    assert scores.accuracy == 0.5
    # probability 1/2 where the guess lies, 1/12 elsewhere
    assert scores.loss == pytest.approx((2 * math.log(2) + 2 * math.log(12)) / 4)
    assert scores.per_class["angry"] == pytest.approx(
        {"precision": 1, "recall": 0.5, "f1": 2 / 3, "support": 2}
    )
    assert scores.per_class["disgust"] == pytest.approx(
        {"precision": 0.5, "recall": 1, "f1": 2 / 3, "support": 1}
    )
    zero = {"precision": 0, "recall": 0, "f1": 0}
    assert scores.per_class["fear"] == {**zero, "support": 1}
    assert scores.per_class["neutral"] == {**zero, "support": 0}


@pytest.mark.parametrize("offset", [-1e4, 1e4])
def test_large_logits_lose_nothing(offset):
    logits, labels = four_faces()
    assert score(logits + offset, labels).loss == pytest.approx(score(logits, labels).loss)
    np.testing.assert_allclose(softmax(logits + offset), softmax(logits))


def test_a_sure_mistake_costs_its_margin():
    logits = np.zeros((1, 7), np.float32)
    logits[0, FEAR] = 1e4
    assert score(logits, [ANGRY]).loss == pytest.approx(1e4)
    assert score(logits, [FEAR]).loss == 0


def test_softmax_gives_float64_rows_that_sum_to_1():
    probabilities = softmax(np.array([[0, 0, 0, 0, 0, 0, math.log(4)]], np.float32))
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities, [[0.1] * 6 + [0.4]], rtol=1e-6)


def test_a_row_with_nan_is_wrong_and_predicts_nothing():
    logits, labels = four_faces()
    logits[0, ANGRY] = np.nan  # the face that was right
    scores = score(logits, labels)
    assert scores.accuracy == 0.25 and scores.count == 4
    assert math.isnan(scores.loss)
    assert scores.confusion.sum() == 3
    assert scores.per_class["angry"]["support"] == 2
    assert scores.per_class["angry"]["recall"] == 0


@pytest.mark.filterwarnings("error")
def test_infinite_logits_do_not_crash():
    logits, labels = four_faces()
    logits[0, ANGRY] = np.inf
    assert score(logits, labels).accuracy == 0.5
    assert math.isnan(score(logits, labels).loss)
    logits[0, ANGRY] = -np.inf
    assert score(logits, labels).loss == math.inf
    assert math.isnan(score(np.full((1, 7), -np.inf), [0]).loss)


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        (np.zeros((0, 7)), np.zeros(0, int), "no faces"),
        (np.zeros((2, 6)), np.zeros(2, int), r"\(2, 6\).*expected \(N, 7\)"),
        (np.zeros(7), np.zeros(1, int), "do not fit"),
        (np.zeros((2, 7)), np.zeros(3, int), r"labels \(3,\)"),
        (np.zeros((2, 7)), np.array([0, 7]), r"0\.\.7, expected 0\.\.6"),
        (np.zeros((2, 7)), np.array([-1, 0]), r"-1\.\.0, expected 0\.\.6"),
    ],
)
def test_refuses_what_cannot_be_scored(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        score(logits, labels)


def test_a_ratio_without_cases_is_not_defined():
    defined = defined_ratios(score(np.eye(7)[[ANGRY, ANGRY, FEAR]], [ANGRY, DISGUST, ANGRY]))
    assert tuple(defined) == EMOTIONS
    assert defined["angry"] == {"precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert defined["disgust"] == {"precision": None, "recall": 0.0, "f1": 0.0}
    assert defined["fear"] == {"precision": 0.0, "recall": None, "f1": 0.0}
    assert defined["sad"] == {"precision": None, "recall": None, "f1": None}


@pytest.mark.parametrize("count", [1, 7, 3589])
@pytest.mark.parametrize("fraction", [0, 0.3, 0.65, 1])
def test_wilson_interval_equals_scipy(fraction, count):
    right = round(fraction * count)
    expected = binomtest(right, count).proportion_ci(0.95, method="wilson")
    assert wilson_interval(right, count) == pytest.approx(tuple(expected), abs=1e-12)


def test_the_interval_is_that_of_the_accuracy():
    scores = score(*four_faces())  # 2 of 4
    assert scores.accuracy_interval == wilson_interval(2, 4)
    assert format_interval(scores) == "95% interval 0.1500 to 0.8500"


def test_to_dict_survives_strict_json():
    scores = score(*four_faces())
    fields = to_dict(scores)
    names = ["accuracy", "loss", "count", "per_class", "confusion", "accuracy_interval"]
    assert list(fields) == names
    again = json.loads(json.dumps(fields, allow_nan=False))
    assert again == fields
    assert again["loss"] == scores.loss
    assert again["per_class"]["fear"] == {"precision": 0, "recall": 0, "f1": 0, "support": 1}
    none = dict.fromkeys(("precision", "recall", "f1"))
    assert again["per_class"]["neutral"] == {**none, "support": 0}  # "-" in the table
    np.testing.assert_array_equal(again["confusion"], scores.confusion)


def test_to_dict_writes_a_loss_that_is_not_finite_as_none():
    fields = to_dict(score(np.full((1, 7), np.nan), [0]))
    assert fields["loss"] is None
    json.dumps(fields, allow_nan=False)


def test_format_confusion_is_aligned_with_row_totals():
    confusion = np.arange(49).reshape(7, 7) * 100
    lines = format_confusion(confusion).split("\n")
    assert lines[0].split()[-8:] == [*EMOTIONS, "total"]
    assert len({len(line) for line in lines}) == 1
    for emotion, counts, line in zip(EMOTIONS, confusion, lines[1:], strict=True):
        assert line.split() == [emotion, *map(str, counts), str(counts.sum())]
    # every number ends where its heading ends
    for name in (*EMOTIONS, "total"):
        end = lines[0].rindex(name) + len(name)
        assert all(
            line[end - 1].isdigit() and line[end : end + 1] in ("", " ") for line in lines[1:]
        )


def test_format_confusion_takes_other_names():
    lines = format_confusion(np.eye(2, dtype=int), ["yes", "no"]).split("\n")
    assert [line.split() for line in lines[1:]] == [["yes", "1", "0", "1"], ["no", "0", "1", "1"]]


def test_format_per_class_prints_fractions_with_4_digits_and_a_macro_row():
    lines = format_per_class(score(*four_faces())).split("\n")
    assert len({len(line) for line in lines}) == 1
    assert lines[0].split() == ["emotion", "precision", "recall", "F1", "support"]
    assert lines[1].split() == ["angry", "1.0000", "0.5000", "0.6667", "2"]
    assert [line.split()[0] for line in lines[1:8]] == list(EMOTIONS)
    assert lines[3].split() == ["fear", "0.0000", "0.0000", "0.0000", "1"]
    assert lines[4].split() == ["happy", "-", "-", "-", "0"]
    # 1.5 / 7, 1.5 / 7, (4 / 3) / 7
    assert lines[8].split() == ["macro", "average", "0.2143", "0.2143", "0.1905", "4"]
    assert len(lines) == 9
